"""A store made of dicts, and hands that dial: drives the decisions of `paging` through a night.

It writes what is decided, finds what a call names and has escalations looked at when they are due
as the real store and the worker do, and refuses what the real one's constraints refuse. Tests of
the store itself use the real one. `paging_nights` tells nights in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from msgspec.structs import replace

from adapter.model import (
    ABOUT_FIRING,
    MISSED,
    Alert,
    Call,
    CallState,
    Episode,
    Event,
    Fallback,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Receiver,
    Result,
    Secret,
    Status,
    Step,
    Target,
    Timing,
)
from adapter.paging import Changes, Known, Moves, Routed, decide, look, page_key, persons_only

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

ALICE = Person(name="alice", phone=PhoneNumber("+8613512345678"))
BOB = Person(name="bob", phone=PhoneNumber("+8613512345679"))
CAROL = Person(name="carol", phone=PhoneNumber("+8613512345670"))

DAVE = Person(name="dave", phone=PhoneNumber("+8613512345671"))
TEAM = {person.name: person for person in (ALICE, BOB, CAROL, DAVE)}

FALLBACK = Secret("https://chat.example.com/hook")


def target(text: str) -> Target:
    """Read `alice`, `@primary` or `@primary:next`."""
    if not text.startswith("@"):
        return Target(person=TEAM[text])
    schedule, _, which = text.removeprefix("@").partition(":")
    return Target(schedule=schedule, next=which == "next")


def escalates(*steps: str, wait: timedelta = 5 * MINUTE, **how: object) -> Receiver:
    """Return a receiver with these steps, each the names of whom it calls at once."""
    escalation = tuple(Step(call=tuple(map(target, step.split())), wait=wait) for step in steps)
    return Receiver(**{"name": "sre-phone", "escalation": escalation} | how)


ON_CALL = escalates("alice")
BOTH = escalates("alice bob")
TELLS_RESOLVED = escalates("alice bob", send_resolved=True)
NOBODY = escalates()
DBA = escalates("carol", name="dba-phone")

PATIENT = Timing(group_wait=MINUTE)
NEVER = Timing(repeat_interval=None)
OFTEN = Timing(repeat_interval=5 * MINUTE)


def at(text: str) -> datetime:
    """Read `10:05` or `10:05:30`; `25:00` is one o'clock of the next night."""
    hours, minutes, seconds = ([int(part) for part in text.split(":")] + [0])[:3]
    return MIDNIGHT + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def routed(
    name: str,
    status: Status,
    receiver: Receiver,
    *,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    group: str | None = None,
    timing: Timing | None = None,
    muted: bool = False,
    summary: str = "",
) -> Routed:
    """Return an alert, known by its name, under a route to the receiver."""
    return Routed(
        alert=Alert(
            fingerprint=name,
            status=status,
            labels={"alertname": name},
            annotations={"summary": summary} if summary else {},
            starts_at=starts_at,
            ends_at=ends_at,
        ),
        receiver=receiver,
        group_labels={} if group is None else {"cluster": group},
        timing=timing or Timing(),
        muted_by=("weekend",) if muted else (),
    )


# What a look at an escalation may change of its page; the acknowledgement is written by itself.
_ESCALATION = ("run", "repeats_left", "step", "step_until", "look_at", "exhausted_at")
_TOLD = (CallState.ACCEPTED, CallState.SHADOWED)
_MAY_KNOW = (*_TOLD, CallState.UNKNOWN)


class Looked(NamedTuple):
    """One look at one page, what it moved, and which calls an acknowledgement cancelled."""

    at: datetime
    before: Page
    moves: Moves
    cancelled: Sequence[Call]


class World:
    """Pages, episodes and calls as they stand; `now` is moved by the test."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.pages: dict[str, Page] = {}
        self.episodes: dict[int, Episode] = {}
        self.calls: dict[str, Call] = {}
        self.events: list[Event] = []
        self.fallbacks: list[Fallback] = []
        self.receivers: dict[str, Receiver] = {}  # as they are configured now
        self.duty: dict[str, Sequence[Person]] = {}  # who is on call, by what a target is called
        self.looked: list[Looked] = []
        self._ids = count(1)

    def on_call(self, target: Target) -> Sequence[Person]:
        return persons_only(target) or self.duty.get(str(target), ())

    # --- taking in a webhook ---

    def post(self, items: Sequence[Routed], *, truncated: bool = False) -> Changes:
        """Decide and write down."""
        self.look_around()
        self.receivers |= {item.receiver.name: item.receiver for item in items}
        changes = self.decide(items, self.known(items), truncated=truncated)
        self._record(changes)
        return changes

    def decide(self, items: Sequence[Routed], known: Known, *, truncated: bool) -> Changes:
        return decide(
            items,
            known,
            truncated=truncated,
            now=self.now,
            new_id=self._numbers(),
            on_call=self.on_call,
        )

    def _numbers(self) -> Callable[[], str]:
        first, ids = next(self._ids), count()
        return lambda: f"{first}.{next(ids)}"

    def known(self, items: Iterable[Routed]) -> Known:
        """Return what a store would load for these alerts."""
        items = list(items)
        alerts, groups = {i.alert_key for i in items}, {i.page_key for i in items}
        latest = {(e.receiver, e.fingerprint): e for _, e in sorted(self.episodes.items())}
        episodes = {key: latest[key] for key in alerts if key in latest}
        newest: dict[object, datetime] = {}
        for page in self.pages.values():
            key = page_key(page.receiver, page.group_labels)
            newest[key] = max(newest.get(key, page.opened_at), page.opened_at)
        pages = {
            page.id: page
            for page in self.pages.values()
            if page.id in {e.page_id for e in episodes.values()}
            or (
                (key := page_key(page.receiver, page.group_labels)) in groups
                and (page.closed_at is None or page.opened_at == newest[key])
            )
        }
        calls: dict[str, list[Call]] = {}
        for call in sorted(self.calls.values(), key=lambda call: call.created_at):
            if call.page_id in pages:
                calls.setdefault(call.page_id, []).append(call)
        firing = Counter(e.page_id for e in self.episodes.values() if e.firing)
        return Known(episodes=episodes, pages=pages, calls=calls, firing=firing)

    def _record(self, changes: Changes) -> None:
        for page in changes.new_pages:
            assert page.id not in self.pages
            self.pages[page.id] = page
        for page in changes.changed_pages:
            self.pages[page.id] = page
        open_groups = [
            page_key(page.receiver, page.group_labels)
            for page in self.pages.values()
            if page.closed_at is None
        ]
        assert len(open_groups) == len(set(open_groups)), "two open pages of one group"
        for episode in changes.changed_episodes:
            assert episode.id in self.episodes
            self.episodes[episode.id] = episode
        for episode in changes.new_episodes:
            number = len(self.episodes) + 1
            self.episodes[number] = replace(episode, id=number)
        firing = [(e.receiver, e.fingerprint) for e in self.episodes.values() if e.firing]
        assert len(firing) == len(set(firing)), "two firing episodes of one alert"
        for call in changes.changed_calls:
            assert self.calls[call.id].state is CallState.WAITING
            self.calls[call.id] = call
        self._record_escalation(changes.new_calls, changes.moved_calls, changes.events)
        self.fallbacks += changes.fallbacks

    def _record_escalation(
        self, new: Iterable[Call], moved: Iterable[Call], events: Iterable[Event]
    ) -> None:
        for call in new:
            assert call.id not in self.calls
            self.calls[call.id] = call
        for call in moved:
            assert self.calls[call.id].state.open
            self._change(self.calls[call.id], run=call.run, step=call.step)
        self.events += events

    # --- escalations ---

    def look_around(self) -> None:
        """Have every escalation looked at that has become due, in order and at its time."""
        until = self.now
        while due := [page for page in self.pages.values() if _is_due(page, until)]:
            page = min(due, key=lambda page: (page.look_at, page.id))
            self.now = page.look_at
            self.look(page)
        self.now = until

    def look(self, page: Page) -> Moves:
        """Look at a page's escalation and write down how it goes on."""
        moves = self._moves(page)
        self.pages[page.id] = replace(page, **_escalation(moves.page))
        assert self.pages[page.id] == moves.page, "a look changes nothing else of a page"
        self._record_escalation(moves.new_calls, moves.moved_calls, moves.events)
        if moves.fallback is not None:
            self.fallbacks.append(moves.fallback)
        cancelled: Sequence[Call] = ()
        if moves.acknowledged_by:
            cancelled = self.acknowledge(moves.page, moves.acknowledged_by)
        self.looked.append(Looked(self.now, page, moves, cancelled))
        page = self.pages[page.id]
        assert self._moves(page) == Moves(page=page), "to look again changes nothing more"
        return moves

    def _moves(self, page: Page) -> Moves:
        firing = [e.id for e in self.episodes.values() if e.page_id == page.id and e.firing]
        return look(
            page,
            self.receivers[page.receiver],
            self._calls_of_run(page),
            max(firing, default=0),
            on_call=self.on_call,
            now=self.now,
            new_id=self._numbers(),
        )

    def _calls_of_run(self, page: Page) -> Collection[Call]:
        return [
            call
            for call in self.calls.values()
            if call.page_id == page.id
            and (call.run == page.run or call.state.open or call.result is Result.ANSWERED)
        ]

    def acknowledge(self, page: Page, by: str = "api") -> Sequence[Call]:
        """Note who has taken the page; return the waiting calls that are not made for it."""
        self.pages[page.id] = replace(
            self.pages[page.id],
            acknowledged_at=self.now,
            acknowledged_by=by,
            step=None,
            step_until=None,
            look_at=None,
        )
        waiting = [
            call
            for call in self.calls.values()
            if call.page_id == page.id
            and call.state is CallState.WAITING
            and call.reason in ABOUT_FIRING
        ]
        for call in waiting:
            self._change(call, state=CallState.CANCELLED, settled_at=self.now)
        return waiting

    def _look_soon(self, call: Call) -> None:
        """Have the escalation that a call is made for looked at again, if one is under way."""
        page = self.pages[call.page_id or ""]
        if page.look_at is not None:
            self.pages[page.id] = replace(page, look_at=self.now)

    # --- making calls ---

    def named_by(self, call: Call) -> list[Episode]:
        """Return the alerts that a call would name if it were made now."""
        page = self.pages[call.page_id or ""]
        mine = [episode for episode in self.episodes.values() if episode.page_id == page.id]
        if call.reason is Reason.RESOLVED:
            heard = self._through(call, _MAY_KNOW, about_resolved=False)
            called_back = self._through(call, _TOLD, about_resolved=True)
            return [e for e in mine if not e.firing and called_back < e.id <= heard]
        if page.acknowledged_at is not None:
            return []
        heard = self._through(call, _TOLD, about_resolved=False)
        again = call.reason in (Reason.REPEAT, Reason.ESCALATION) and not self._overtaken(call)
        return [e for e in mine if (e.firing or page.truncated) and (again or e.id > heard)]

    def _through(self, call: Call, states: Collection[CallState], *, about_resolved: bool) -> int:
        return max(
            (
                other.named_through or 0
                for other in self.calls.values()
                if other.page_id == call.page_id
                and other.phone == call.phone
                and other.state in states
                and other.result not in MISSED
                and (other.reason is Reason.RESOLVED) is about_resolved
            ),
            default=0,
        )

    def _overtaken(self, call: Call) -> bool:
        """Whether a call made since this one was decided has told its person of the page."""
        return any(
            other.page_id == call.page_id
            and other.phone == call.phone
            and other.state in _TOLD
            and other.reason is not Reason.RESOLVED
            and other.dialled_at is not None
            and other.dialled_at > call.created_at
            for other in self.calls.values()
        )

    def claim(self, call: Call) -> list[Episode]:
        """Start a call that is due, or cancel it where it has nothing to say."""
        assert call.state is CallState.WAITING
        assert call.due_at <= self.now
        named = self.named_by(call)
        if named:
            youngest = max(e.id for e in self.episodes.values() if e.page_id == call.page_id)
            self._change(
                call,
                state=CallState.SENDING,
                dialled_at=self.now,
                named_through=youngest,
                attempts=call.attempts + 1,
            )
        else:
            self._change(call, state=CallState.CANCELLED, settled_at=self.now)
            self._look_soon(call)
        return named

    def settle(self, call: Call, state: CallState) -> None:
        """Move a call on: an attempt's outcome, or the end of patience."""
        if state is CallState.WAITING:
            self._change(call, state=state, due_at=self.now + MINUTE, named_through=None)
        elif state is CallState.UNKNOWN:
            self._change(call, state=state)
        else:
            self._change(call, state=state, settled_at=self.now)
            self._look_soon(call)

    def report(self, call: Call, result: Result) -> None:
        """Hear of what became of a call; an answer counts whenever it is heard of."""
        assert call.state is CallState.ACCEPTED
        self._change(call, result=result, reported_at=self.now)
        page = self.pages[call.page_id or ""]
        if page.closed_at is None:
            self.pages[page.id] = replace(page, look_at=self.now)

    def limit(self, call: Call, until: datetime) -> None:
        """Let a call wait for its person's limit."""
        assert call.state is CallState.WAITING
        self._change(call, due_at=until, due_since=until, limited_until=until)
        page = self.pages[call.page_id or ""]
        if page.step_until is not None and page.step_until <= until:
            self._look_soon(call)

    def _change(self, call: Call, **values: object) -> None:
        self.calls[call.id] = replace(call, **values)


def _escalation(page: Page) -> Mapping[str, object]:
    return {name: getattr(page, name) for name in _ESCALATION}


def _is_due(page: Page, now: datetime) -> bool:
    return page.look_at is not None and page.look_at <= now
