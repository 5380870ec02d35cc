"""When a page's escalation goes on, and when somebody's answer ends it.

A step waits until its time is over, or until none of its calls can reach anybody any more. The
next one calls whoever it names then; who was called by the step before is not called again. After
the last step the whole begins again as often as `repeat` says, and then it is exhausted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from msgspec.structs import replace

from adapter.model import (
    ABOUT_FIRING,
    Acknowledgement,
    Call,
    Page,
    Person,
    Receiver,
    Result,
    Target,
)
from adapter.paging.ladder import Ladder, Moves, OnCall


def persons_only(target: Target) -> Sequence[Person]:
    """Return the person of a target; a schedule has nobody."""
    return () if target.person is None else (target.person,)


def look(
    page: Page,
    receiver: Receiver,
    calls: Collection[Call],
    newest: int,
    *,
    on_call: OnCall,
    now: datetime,
    new_id: Callable[[], str],
) -> Moves:
    """Return how the page's escalation goes on, if it does.

    `calls`: those of the page's present run, and those that were answered. `newest`: id of the
    youngest alert that fires; an answered call that does not name it acknowledges nothing.
    """
    ladder = Ladder(page, receiver, calls, on_call=on_call, now=now, new_id=new_id)
    answered_by = _answered_by(page, receiver, calls, newest)
    if page.closed_at is None and page.acknowledged_at is None and not answered_by:
        ladder.go_on()
    else:
        ladder.stop()
    return replace(ladder.moves(), acknowledged_by=answered_by)


def _answered_by(page: Page, receiver: Receiver, calls: Collection[Call], newest: int) -> str:
    """Return who answered a call that named all that fires; "": nobody, or it does not count."""
    if page.acknowledged_at is not None or page.closed_at is not None:
        return ""
    if receiver.acknowledgement is Acknowledgement.BY_HAND:
        return ""
    answered = (
        call
        for call in calls
        if call.result is Result.ANSWERED
        and call.reason in ABOUT_FIRING
        and (call.named_through or 0) >= newest
    )
    last = max(answered, key=lambda call: call.dialled_at or call.created_at, default=None)
    return "" if last is None else last.person
