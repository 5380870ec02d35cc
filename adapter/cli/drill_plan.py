"""A drill's plan and its report: who is rung when, and what became of it. Prints nothing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from adapter.config.policy import Policy
from adapter.errors import NotFound, NotPossible
from adapter.model import Call, CallState, Mode, Person, Reason, Receiver, Result, Step, Target
from adapter.on_call import everybody
from adapter.schedules import shifts
from adapter.schedules.workdays import is_workday
from adapter.store.session import Session
from adapter.views.calendars import feeds_of
from adapter.views.stored import SUBMITTED, result_of
from adapter.views.values import Json, maybe_shown, shown

_CALENDAR_DAYS = timedelta(days=90)  # whom a calendar names in the coming ones belongs to it


def speaking_receiver(policy: Policy, name: str) -> Receiver:
    """Return the receiver whose words are spoken. Raises NotFound, NotPossible."""
    speaking = {each.name: each for each in policy.receivers.values() if each.voice_template}
    if name not in speaking:
        there = ", ".join(sorted(speaking)) or "none"
        raise NotFound(f"no receiver {name!r} has a voice template; there is: {there}")
    if speaking[name].mode is Mode.SHADOW:
        raise NotPossible(f"receiver {name!r} is in shadow mode: nobody would be rung")
    return speaking[name]


def members(session: Session, policy: Policy, name: str, now: datetime) -> list[Person]:
    """Return whom a schedule names: in its file, its overrides, and its calendar for a while.

    Raises NotFound.
    """
    if name not in policy.schedules:
        there = ", ".join(sorted(policy.schedules)) or "none"
        raise NotFound(f"there is no schedule {name!r}; there is: {there}")
    schedule = policy.schedules[name]
    all_of_it = Receiver(name="", escalation=(Step(call=(Target(schedule=name),)),))
    names = {person.name: None for person in everybody(policy, all_of_it)}
    overrides = [each for each in session.overrides(now) if each.schedule == name]
    names |= {each.person: None for each in overrides}
    if schedule.calendar is not None:
        feed = feeds_of(session, policy).get(name)
        coming = shifts(schedule, now, now + _CALENDAR_DAYS, overrides, feed, is_workday)
        names |= {person: None for shift in coming for person in shift.people}
    return [policy.people[each] for each in names if each in policy.people]


def chosen(named: Sequence[Person], schedule: str, people: str | None) -> list[Person]:
    """Return whom to ring, each phone once. Raises NotFound, NotPossible."""
    by_name = {person.name: person for person in named}
    if people is None:
        wanted = list(by_name)
    else:
        wanted = [name.strip() for name in people.split(",") if name.strip()]
    for name in wanted:
        if name not in by_name:
            there = ", ".join(sorted(by_name)) or "nobody"
            raise NotFound(f"{name!r} is not in schedule {schedule!r}; there is: {there}")
    found = {by_name[name].phone: by_name[name] for name in reversed(wanted)}
    if not found:
        raise NotPossible(f"schedule {schedule!r} names nobody, so there is nobody to ring")
    return list(reversed(found.values()))


def plan(
    people: Sequence[Person],
    receiver: Receiver,
    begin: datetime,
    every: timedelta,
    now: datetime,
) -> list[Call]:
    """Return a drill's calls, one after the other."""
    drill_id = uuid.uuid4().hex
    return [
        Call(
            id=uuid.uuid4().hex,
            page_id=None,
            receiver=receiver.name,
            person=person.name,
            phone=person.phone,
            reason=Reason.DRILL,
            state=CallState.WAITING,
            created_at=now,
            due_at=begin + index * every,
            due_since=begin + index * every,
            drill_id=drill_id,
        )
        for index, person in enumerate(people)
    ]


def add(session: Session, planned: Sequence[Call]) -> None:
    """Put a drill's calls into the outbox."""
    for call in planned:
        session.add_call(call)


# --- the report --------------------------------------------------------------------------------


def find(session: Session, drill_id: str) -> str:
    """Return the id of the drill that it begins; of the latest one for none. Raises NotFound."""
    found = session.find_drills(id_begins=drill_id, limit=2)
    exact = [each for each in found if each == drill_id] or found
    if not exact:
        what = f"no drill {drill_id!r}" if drill_id else "no drill yet"
        raise NotFound(f"there is {what}")
    if drill_id and len(exact) > 1:
        raise NotFound(f"more than one drill begins with {drill_id!r}: give more of its id")
    return exact[0]


def report(session: Session, drill_id: str) -> Json:
    """Return a drill's calls, and what became of them."""
    calls = session.calls_of_drill(drill_id)
    return {
        "drill": drill_id,
        "created_at": shown(calls[0].created_at),
        "calls": [_reported(session, call) for call in calls],
        "reached": sum(call.result is Result.ANSWERED for call in calls),
        "under_way": sum(map(is_under_way, calls)),
    }


def _reported(session: Session, call: Call) -> Json:
    receipts = [attempt.receipt for attempt in session.attempts_of(call)]
    talk = [receipt.talk_seconds for receipt in receipts if receipt is not None]
    return {
        "id": call.id,
        "person": call.person,
        "phone": str(call.phone),
        "receiver": call.receiver,
        "state": str(call.state),
        "result": result_of(call),
        "due_at": shown(call.due_since),
        "dialled_at": maybe_shown(call.dialled_at),
        "reported_at": maybe_shown(call.reported_at),
        "talk_seconds": max(talk, default=None),
        "note": call.note,
    }


def state_of(call: Call) -> str:
    """Return what became of a call in a word: its result, else its state."""
    return result_of(call) or str(call.state)


def is_under_way(call: Call) -> bool:
    """Whether more may be heard of a call."""
    return call.state.open or result_of(call) == SUBMITTED


def cancel(session: Session, drill_id: str, note: str, now: datetime) -> Json:
    """Withdraw what waits to be dialled; return the report, and how many calls are withdrawn."""
    for call in session.calls_of_drill(drill_id):
        if call.state is CallState.WAITING:
            session.end(call, CallState.CANCELLED, now, note)
    found = report(session, drill_id)
    withdrawn = [each for each in found["calls"] if each["state"] == CallState.CANCELLED]
    return found | {"withdrawn": len(withdrawn)}
