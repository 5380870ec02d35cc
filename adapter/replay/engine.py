"""Runs recorded notifications through the functions that decide in earnest, in virtual time.

What the vendor and people do is supposed: every call is taken at once, whoever is said to answer
does so after a while, and of everybody else nothing is heard, so that each step of an escalation
waits its whole time. The pace of requests is not part of it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.delivery.outcomes import Outcome
from adapter.delivery.receipts import Reported
from adapter.intake import decide_and_record, route_notification
from adapter.model import (
    Alert,
    CallState,
    Event,
    EventKind,
    Fallback,
    Mode,
    Page,
    PhoneNumber,
    Reason,
    Receipt,
    Result,
    Status,
    StoredOverride,
)
from adapter.on_call import Feeds, no_feeds
from adapter.paging import Changes
from adapter.receipts import record_reports
from adapter.replay.night import AlertFate, Exhausted, Night, Ring
from adapter.replay.recordings import Recording
from adapter.store.session import Session
from adapter.store.store import Store, open_store
from adapter.worker.claiming import Ready, claim
from adapter.worker.escalating import Escalated, escalate

EVERYBODY = "everybody"  # in place of the names of who answers
ANSWERED_AFTER = timedelta(seconds=20)
RUN_ON = timedelta(hours=24)  # after the last notification

_TALK_SECONDS = 3600  # longer than any minimum_answer_duration
_BATCH = 200  # notifications a commit: an fsync each would take most of the time
_ALL_SLOTS = 1_000_000
_LOOKS = 144  # for stale pages, in the time after which they are: each 10 min of 24 h


def replay(
    policy: Policy,
    recordings: Sequence[Recording],
    *,
    answered_by: frozenset[str] = frozenset(),
    overrides: Sequence[StoredOverride] = (),
    feeds: Feeds = no_feeds,
    progress: Callable[[int], None] | None = None,
) -> Night:
    """Return what the policy makes of the recordings, which are in the order of their times.

    `answered_by`: names of people, or EVERYBODY. `overrides`: who stood in besides routes.yaml.
    `progress` is told of how many more notifications are done.
    """
    player = _Player(policy, answered_by, feeds)
    with _private_store() as store:
        store.write_now(lambda session: _add(session, overrides))
        for start in range(0, len(recordings), _BATCH):
            batch = recordings[start : start + _BATCH]
            store.write_now(partial(player.play, recordings=batch))
            if progress is not None:
                progress(len(batch))
        store.write_now(player.run_out)
    return player.night()


@contextmanager
def _private_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="uvms-adapter-replay-") as directory:
        store = open_store(f"sqlite:///{Path(directory, 'replay.db')}", exclusive=True)
        try:
            yield store
        finally:
            store.close()


def _add(session: Session, overrides: Sequence[StoredOverride]) -> None:
    for override in overrides:
        session.add_override(override)


class _Player:
    """The working state of one replay."""

    def __init__(self, policy: Policy, answered_by: frozenset[str], feeds: Feeds) -> None:
        self._policy, self._answered_by, self._feeds = policy, answered_by, feeds
        self._dialling = _all_live(policy)
        self._ids = count(1)
        self._now: datetime | None = None  # None: nothing has come in yet
        self._tidied_at: datetime | None = None  # as above
        self._answers: list[tuple[datetime, str, PhoneNumber]] = []  # a heap: when, which attempt
        self._notifications = self._pages = self._acknowledged = 0
        self._rings: list[Ring] = []
        self._exhausted: list[Exhausted] = []
        self._verdicts: Counter[Reason] = Counter()
        self._first: dict[str, tuple[Alert, datetime]] = {}
        self._reasons: dict[str, Counter[Reason]] = {}
        self._rang: set[str] = set()

    def night(self) -> Night:
        """Return all that has happened so far."""
        return Night(
            notifications=self._notifications,
            pages=self._pages,
            acknowledged=self._acknowledged,
            rings=tuple(self._rings),
            exhausted=tuple(self._exhausted),
            alerts={
                fingerprint: AlertFate(
                    fingerprint=fingerprint,
                    labels=alert.labels,
                    first_at=first_at,
                    rang=fingerprint in self._rang,
                    reasons=dict(self._reasons.get(fingerprint, {})),
                )
                for fingerprint, (alert, first_at) in self._first.items()
            },
            verdicts=dict(self._verdicts),
        )

    # --- time ---

    def play(self, session: Session, recordings: Sequence[Recording]) -> None:
        """Take in notifications, each in its time, after all that was due before."""
        for recording in recordings:
            self._until(session, recording.at)
            self._now = recording.at
            self._take_in(session, recording)

    def run_out(self, session: Session) -> None:
        """Go on until nothing is due any more, or a day is over."""
        if self._now is not None:
            self._until(session, self._now + RUN_ON)

    def _until(self, session: Session, end: datetime) -> None:
        """Do all that is due before then."""
        while (due := self._next(session)) is not None and due < end:
            now = max(due, self._now or due)
            self._tidy(session, now)
            if not self._act(session, now) and self._now == now and due == self._next(session):
                raise RuntimeError(f"what is due at {due} cannot be done")
            self._now = now
        self._tidy(session, end)

    def _next(self, session: Session) -> datetime | None:
        times = [self._answers[0][0]] if self._answers else []
        due = session.due().first
        return min([*times, due] if due is not None else times, default=None)

    def _new_id(self) -> str:
        return f"{next(self._ids):032d}"

    def _tidy(self, session: Session, until: datetime) -> None:
        """Close what is stale, as the service does while time goes by."""
        stale_after = self._policy.stale_after
        at = self._tidied_at or until
        # Of a longer silence only the beginning: then everything is closed.
        for _ in range(2 * _LOOKS):
            if at + stale_after / _LOOKS > until:
                break
            at += stale_after / _LOOKS
            session.close_stale(at - stale_after, at)
        else:
            at = until
        self._tidied_at = at

    # --- what happens ---

    def _take_in(self, session: Session, recording: Recording) -> None:
        notification, now = recording.notification, recording.at
        changes = decide_and_record(
            session,
            self._policy,
            notification,
            route_notification(self._policy, notification, now),
            now=now,
            new_id=self._new_id,
            feeds=self._feeds,
        )
        for alert in notification.alerts:
            if alert.status is Status.FIRING:
                self._first.setdefault(alert.fingerprint, (alert, now))
        self._note_changes(session, changes)

    def _act(self, session: Session, now: datetime) -> bool:
        """Do what is due now, as the worker does in a round; False: there was nothing."""
        heard = self._hear(session, now)
        escalated = escalate(session, self._policy, self._feeds, now, self._new_id)
        self._note_escalated(escalated)
        claimed = claim(session, self._dialling, _ALL_SLOTS, lambda: now, self._new_id)
        for ready in claimed.ready:
            self._ring(session, ready, now)
        return heard or bool(escalated.moves) or claimed.moved

    def _hear(self, session: Session, now: datetime) -> bool:
        """Let those answer whose time it is."""
        reported: list[Reported] = []
        while self._answers and self._answers[0][0] <= now:
            _, attempt_id, phone = heappop(self._answers)
            receipt = Receipt(result=Result.ANSWERED, received_at=now, talk_seconds=_TALK_SECONDS)
            reported.append(
                Reported(user_id=attempt_id, session_no="", phone=phone, receipt=receipt)
            )
        record_reports(session, self._policy, reported, now)
        return bool(reported)

    def _ring(self, session: Session, ready: Ready, now: datetime) -> None:
        """Have the vendor take a call, or record it where its receiver is in shadow mode."""
        call, attempt = ready.call, ready.attempt
        shadow = self._policy.receivers[call.receiver].mode is Mode.SHADOW
        named = tuple(episode.fingerprint for episode in session.alerts_named_by(call))
        outcome = CallState.SHADOWED if shadow else Outcome.ACCEPTED
        session.finish_attempt(replace(attempt, finished_at=now, outcome=outcome))
        state = CallState.SHADOWED if shadow else CallState.ACCEPTED
        session.settle(attempt.id, state, now=now, due_at=None, note="")
        if not shadow:
            if call.reason is not Reason.RESOLVED:
                self._rang.update(named)
            if EVERYBODY in self._answered_by or call.person in self._answered_by:
                heappush(self._answers, (now + ANSWERED_AFTER, attempt.id, call.phone))
        page = session.page(call.page_id) if call.page_id else None
        self._rings.append(
            Ring(
                at=now,
                person=call.person,
                phone=call.phone,
                receiver=call.receiver,
                reason=call.reason,
                step=None if call.step is None else call.step + 1,
                group=page.group_labels if page else {},
                alerts=named,
                words=ready.rendered.words,
                limited=call.limited_until is not None,
                shadow=shadow,
            )
        )

    # --- what is noted ---

    def _note_changes(self, session: Session, changes: Changes) -> None:
        self._notifications += 1
        self._pages += len(changes.new_pages)
        for verdict in changes.verdicts:
            self._verdicts[verdict.reason] += 1
            self._reasons.setdefault(verdict.alert.fingerprint, Counter())[verdict.reason] += 1
        for event in changes.events:
            if event.kind is EventKind.EXHAUSTED:
                page = session.page(event.page_id or "")
                self._note_exhausted(event, page, changes.fallbacks)

    def _note_escalated(self, escalated: Escalated) -> None:
        self._acknowledged += escalated.acknowledged
        for move in escalated.moves:
            fallbacks = () if move.fallback is None else (move.fallback,)
            for event in move.events:
                if event.kind is EventKind.EXHAUSTED:
                    self._note_exhausted(event, move.page, fallbacks)

    def _note_exhausted(
        self, event: Event, page: Page | None, fallbacks: Sequence[Fallback]
    ) -> None:
        told = any(fallback.page_id == event.page_id for fallback in fallbacks)
        if page is not None:
            self._exhausted.append(
                Exhausted(at=event.at, receiver=page.receiver, group=page.group_labels, told=told)
            )


def _all_live(policy: Policy) -> Policy:
    """Return the policy as if no receiver were in shadow mode: what would be dialled is noted."""
    receivers = {
        name: replace(receiver, mode=Mode.LIVE) for name, receiver in policy.receivers.items()
    }
    return replace(policy, receivers=receivers)
