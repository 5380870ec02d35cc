"""What becomes of telling a fallback webhook: before a try at it, and after one.

For a day it is tried again, later and later, whatever was answered: even a refusal is often mended
by somebody within the day (a wrong URL, an expired token), and the news must not be lost.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from adapter.delivery.policy import backoff
from adapter.model import Fallback, FallbackState, Mode, Page, Receiver, Record, Secret

GIVE_UP_AFTER = timedelta(hours=24)
# The first pause is 2 to 4 s: half of each is fixed, so that a webhook in trouble can breathe.
_INITIAL, _CAP = timedelta(seconds=4), timedelta(minutes=5)

# Refusals that mend themselves: Request Timeout, Too Early, Too Many Requests.
_PASSING = (408, 425, 429)


class Outcome(StrEnum):
    """What came of it."""

    SENT = "sent"
    RETRY = "retry"  # waiting may help
    REFUSED = "refused"  # tried again too, but somebody has to mend the URL or what is behind it
    GAVE_UP = "gave_up"
    SHADOWED = "shadowed"  # the receiver is in shadow mode
    NOT_NEEDED = "not_needed"  # somebody took the page, or it was closed, before it was told


class Reply(Record):
    """What came of one request."""

    http_status: int | None  # None: no answer
    said: str = ""  # for a human, cleaned; "": nothing


class Settlement(Record):
    """What is next."""

    outcome: Outcome
    note: str
    due_at: datetime | None = None  # None: it is settled

    @property
    def state(self) -> FallbackState:
        """Return where the telling stands with it."""
        return _STATES[self.outcome]


_STATES = {
    Outcome.SENT: FallbackState.SENT,
    Outcome.RETRY: FallbackState.WAITING,
    Outcome.REFUSED: FallbackState.WAITING,
    Outcome.GAVE_UP: FallbackState.GAVE_UP,
    Outcome.SHADOWED: FallbackState.SHADOWED,
    Outcome.NOT_NEEDED: FallbackState.GAVE_UP,
}


def where_to_tell(page: Page, receiver: Receiver | None) -> Secret | Settlement:
    """Return the URL, or what becomes of what is not to be told any more."""
    if page.closed_at is not None:
        return Settlement(outcome=Outcome.NOT_NEEDED, note="the page has been closed")
    if page.acknowledged_at is not None:
        return Settlement(outcome=Outcome.NOT_NEEDED, note="somebody has taken the page")
    if receiver is not None and receiver.mode is Mode.SHADOW:
        return Settlement(outcome=Outcome.SHADOWED, note="shadow mode: nothing was sent")
    if receiver is None or receiver.fallback_webhook is None:
        note = f"receiver {page.receiver} has no fallback_webhook any more"
        return Settlement(outcome=Outcome.GAVE_UP, note=note)
    return receiver.fallback_webhook


def settle(fallback: Fallback, reply: Reply, now: datetime, jitter: float) -> Settlement:
    """Return what becomes of it; `fallback.attempts` counts this try too, `0 <= jitter < 1`."""
    status, note = reply.http_status, _note(reply)
    if status is not None and 200 <= status < 300:
        return Settlement(outcome=Outcome.SENT, note=note)
    if now - fallback.created_at >= GIVE_UP_AFTER:
        hours = GIVE_UP_AFTER // timedelta(hours=1)
        return Settlement(outcome=Outcome.GAVE_UP, note=f"given up after {hours} h; last: {note}")
    pause = backoff(_INITIAL, _CAP, fallback.attempts, 0.5 + jitter / 2)
    refused = status is not None and 300 <= status < 500 and status not in _PASSING
    outcome = Outcome.REFUSED if refused else Outcome.RETRY
    return Settlement(outcome=outcome, note=note, due_at=now + pause)


def _note(reply: Reply) -> str:
    if reply.http_status is None:
        return reply.said
    redirect = ", and redirects are not followed" if 300 <= reply.http_status < 400 else ""
    return f"HTTP {reply.http_status}{redirect}" + (f": {reply.said}" if reply.said else "")
