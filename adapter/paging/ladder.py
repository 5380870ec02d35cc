"""The working state of one page's escalation: where it stands, and the moves it can make.

When a move is due is said in `escalation` and `decisions`. Knows neither alerts nor notifications,
and not how a call is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from adapter.model import (
    ABOUT_FIRING,
    MISSED,
    OPEN_STATES,
    Acknowledgement,
    Call,
    CallState,
    Event,
    EventKind,
    Fallback,
    FallbackState,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Receiver,
    Record,
    Result,
    Step,
    Target,
)

OnCall = Callable[[Target], Sequence[Person]]  # who a target is now; empty: nobody

_PLACED = (CallState.ACCEPTED, CallState.SHADOWED)
_WAITING = (CallState.WAITING,)


class Owed(Record):
    """A call that a person is owed."""

    person: Person
    reason: Reason
    due: datetime


class Moves(Record):
    """What an escalation's going on changes."""

    page: Page
    new_calls: tuple[Call, ...] = ()
    moved_calls: tuple[Call, ...] = ()  # open calls that serve another step now
    events: tuple[Event, ...] = ()
    fallback: Fallback | None = None  # None: nobody is to be told
    acknowledged_by: str = ""  # the person who answered; "": nobody did


class Ladder:
    """The working state of one page's escalation."""

    def __init__(
        self,
        page: Page,
        receiver: Receiver,
        calls: Iterable[Call],
        *,
        on_call: OnCall,
        now: datetime,
        new_id: Callable[[], str],
    ) -> None:
        self.page = page
        self._receiver, self._on_call, self._now, self._new_id = receiver, on_call, now, new_id
        self._calls = {call.id: call for call in calls if call.reason in ABOUT_FIRING}
        self._new: list[str] = []
        self._moved: dict[str, None] = {}
        self._events: list[Event] = []
        self._fallback: Fallback | None = None

    def moves(self) -> Moves:
        """Return what has changed so far."""
        return Moves(
            page=self.page,
            new_calls=tuple(self._calls[call_id] for call_id in self._new),
            moved_calls=tuple(self._calls[i] for i in self._moved if i not in self._new),
            events=tuple(self._events),
            fallback=self._fallback,
        )

    # --- what a notification asks for ---

    def first(self) -> Sequence[Person]:
        """Return whom the first step calls that has somebody; nobody: no step has."""
        return next((people for step in self._steps if (people := self._people(step))), ())

    def begin(self, owed: Sequence[Owed]) -> list[datetime]:
        """Begin at the first step that has somebody; return when its calls are due.

        `owed`: the calls of the people of that step. Without any, nobody is on call at all.
        """
        self.page = replace(
            self.page,
            run=self.page.run + 1,
            repeats_left=self._receiver.repeat,
            acknowledged_at=None,
            acknowledged_by="",
            exhausted_at=None,
        )
        for index, step in enumerate(self._steps):
            if not self._people(step):
                self._skip(index, "nobody is on call")
                continue
            self._stand_on(index)
            due_times = [self._ring(each, _WAITING) for each in owed]
            self._wait_from(max((self._calls[i].due_at for i in self._new), default=self._now))
            return due_times
        self._exhaust("nobody is on call in any step")
        return []

    def ring(self, owed: Sequence[Owed]) -> list[datetime]:
        """Ring people for the step under way, or beside any; return when their calls are due."""
        return [self._ring(each, _WAITING) for each in owed]

    def under_way(self) -> Sequence[Person]:
        """Return whom the step under way names now; where that is nobody, whom it has called."""
        step = self.page.step
        if (
            step is not None
            and step < len(self._steps)
            and (people := self._people(self._steps[step]))
        ):
            return people
        found = {call.phone: call for call in self._of_step()}
        return [Person(name=call.person, phone=phone) for phone, call in found.items()]

    @property
    def may_begin(self) -> bool:
        """Whether another run may begin: none is under way, or one whose end changes nothing."""
        receiver = self._receiver
        plain = len(self._steps) == 1 and not receiver.repeat and receiver.fallback_webhook is None
        return self.page.step is None or plain

    # --- what time and results ask for ---

    def stop(self) -> None:
        """End the escalation: somebody has the page, or nothing fires any more."""
        self.page = replace(self.page, step=None, step_until=None, look_at=None)

    def go_on(self) -> None:
        """Take as many steps as have to be taken now."""
        while self.page.step is not None and not self._may_wait():
            self._advance()
        if self.page.step is None:
            self.page = replace(self.page, look_at=None)

    def _may_wait(self) -> bool:
        """Whether the step under way still has time, and a reason to use it."""
        until = self._until()
        pending = any(self._may_reach(call, until) for call in self._of_step())
        # Going through all of it again at once would ring the same phones again at once.
        before_repeating = self._is_last() and self.page.repeats_left > 0
        if self._now >= until or not (pending or before_repeating):
            return False
        self.page = replace(self.page, step_until=until, look_at=until)
        return True

    def _may_reach(self, call: Call, until: datetime) -> bool:
        """Whether a call may still get the page taken before the step's time is over."""
        if call.state is CallState.WAITING:
            return call.due_at < until
        if call.state in (CallState.SENDING, CallState.UNKNOWN):
            return True
        if call.result is Result.ANSWERED:  # and the page is not taken: only a human can do more
            return self._receiver.acknowledgement is Acknowledgement.BY_HAND
        return call.state in _PLACED and call.result not in MISSED

    def _until(self) -> datetime:
        """Return until when the step waits: longer for who answered and will hear of more."""
        until = self.page.step_until or self._now
        mine = self._of_step()
        answered = {call.phone for call in mine if call.result is Result.ANSWERED}
        news = [
            call.due_at + self._wait
            for call in mine
            if call.state is CallState.WAITING and call.phone in answered
        ]
        return max([until, *news])

    def _advance(self) -> None:
        """Take the next step that has somebody; else begin again, or end."""
        step = self.page.step
        assert step is not None, "only an escalation under way goes on"  # noqa: S101
        before = frozenset(call.phone for call in self._of_step())
        if self._climb(step + 1, before):
            return
        called = any(call.run == self.page.run for call in self._calls.values())
        if self.page.repeats_left > 0 and called:
            left = self.page.repeats_left - 1
            self.page = replace(self.page, run=self.page.run + 1, repeats_left=left)
            if self._climb(0, frozenset()):
                return
        self._exhaust("its last step reached nobody")

    def _climb(self, start: int, before: frozenset[PhoneNumber]) -> bool:
        """Take the first step from `start` on that has somebody to call; False: none has."""
        for index in range(start, len(self._steps)):
            people = self._people(self._steps[index])
            mine = [person for person in people if self._is_new(person, before)]
            if not mine:
                why = "the same people as in the step before" if people else "nobody is on call"
                self._skip(index, why)
                continue
            self._stand_on(index)
            for person in mine:
                owed = Owed(person=person, reason=Reason.ESCALATION, due=self._now)
                self._ring(owed, OPEN_STATES)
            self._wait_from(self._now)
            self._tell_step(index, mine, people)
            return True
        return False

    def _is_new(self, person: Person, before: frozenset[PhoneNumber]) -> bool:
        """Whether the step has to call a person: in a row once, but one call may serve two."""
        return person.phone not in before or self._call_in(person, OPEN_STATES) is not None

    # --- steps ---

    @property
    def _steps(self) -> Sequence[Step]:
        return self._receiver.escalation

    @property
    def _wait(self) -> timedelta:
        """How long the step under way waits, or the last one where a reload took steps away."""
        waits = [step.wait for step in self._steps[: (self.page.step or 0) + 1]]
        return waits[-1] if waits else timedelta(0)

    def _is_last(self) -> bool:
        return self.page.step is not None and self.page.step >= len(self._steps) - 1

    def _people(self, step: Step) -> Sequence[Person]:
        """Return whom a step calls now, each phone once."""
        found: dict[PhoneNumber, Person] = {}
        for target in step.call:
            for person in self._on_call(target):
                found.setdefault(person.phone, person)
        return tuple(found.values())

    def _stand_on(self, index: int) -> None:
        self.page = replace(self.page, step=index)

    def _wait_from(self, since: datetime) -> None:
        until = since + self._wait
        self.page = replace(self.page, step_until=until, look_at=until)

    def _of_step(self) -> list[Call]:
        return [
            call
            for call in self._calls.values()
            if call.run == self.page.run and call.step == self.page.step
        ]

    # --- calls ---

    def _ring(self, owed: Owed, absorbing: Collection[CallState]) -> datetime:
        """Call a person for the step under way, or let a call in one of these states serve it."""
        found = self._call_in(owed.person, absorbing)
        if found is None:
            found = self._new_call(owed)
            self._new.append(found.id)
        else:
            here = replace(found, run=self.page.run, step=self.page.step)
            if here != found:
                self._moved[found.id] = None
            found = here
        self._calls[found.id] = found
        return found.due_at

    def _call_in(self, person: Person, states: Collection[CallState]) -> Call | None:
        """Return the person's latest call in one of these states."""
        mine = (
            call
            for call in self._calls.values()
            if call.phone == person.phone and call.state in states
        )
        return max(mine, key=lambda call: call.created_at, default=None)

    def _new_call(self, owed: Owed) -> Call:
        return Call(
            id=self._new_id(),
            page_id=self.page.id,
            receiver=self.page.receiver,
            person=owed.person.name,
            phone=owed.person.phone,
            reason=owed.reason,
            state=CallState.WAITING,
            created_at=self._now,
            due_at=owed.due,
            due_since=owed.due,
            run=self.page.run,
            step=self.page.step,
        )

    # --- the end, and the story ---

    def _exhaust(self, why: str) -> None:
        self.stop()
        self.page = replace(self.page, exhausted_at=self._now, repeats_left=0)
        self._tell(EventKind.EXHAUSTED, why)
        if self._receiver.fallback_webhook is not None:
            self._fallback = Fallback(
                id=self._new_id(),
                page_id=self.page.id,
                receiver=self.page.receiver,
                run=self.page.run,
                state=FallbackState.WAITING,
                created_at=self._now,
                due_at=self._now,
            )

    def _tell_step(self, index: int, mine: Sequence[Person], people: Sequence[Person]) -> None:
        said = f"step {index + 1} of {len(self._steps)} calls {_names(mine)}"
        if left_out := [person for person in people if person not in mine]:
            said += f"; called by the step before: {_names(left_out)}"
        self._tell(EventKind.STEP, said, index)

    def _skip(self, index: int, why: str) -> None:
        targets = ", ".join(map(str, self._steps[index].call))
        self._tell(EventKind.SKIPPED, f"step {index + 1}, {targets}: {why}", index)

    def _tell(self, kind: EventKind, detail: str, step: int | None = None) -> None:
        self._events.append(
            Event(at=self._now, kind=kind, page_id=self.page.id, step=step, detail=detail)
        )


def _names(people: Iterable[Person]) -> str:
    return ", ".join(person.name for person in people)
