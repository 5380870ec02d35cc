"""The final schedule: who is on call once everything that has a say is laid over each other.

From the bottom: the rotations in their order, the calendar feed, the overrides in the order in
which they were added. Whatever lies on top and names somebody is right; whoever names nobody lets
through what lies below.

Decides and returns data; how it is shown, and what a hole means, is for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import combinations
from typing import Protocol

from adapter.model import Record, StoredOverride
from adapter.schedules import rotations, workdays
from adapter.schedules.records import Override, Schedule, Shift
from adapter.schedules.rotations import IsWorkday

NEXT_WITHIN = timedelta(days=60)  # no one looks further ahead for who is on after this


class Feed(Protocol):
    """A calendar that says who is on call. Its shifts may overlap: then all of them are on."""

    def on_call(self, at: datetime) -> tuple[str, ...]:
        """Return who is on call at an instant; empty: the calendar names nobody."""
        ...

    def shifts(self, start: datetime, end: datetime) -> Sequence[Shift]:
        """Return the shifts that overlap a time; nobody's may be among them."""
        ...


class Doubled(Record):
    """A time in which two overrides of a schedule put different people on call."""

    start: datetime
    end: datetime
    people: tuple[str, ...]  # of the override added later, which wins
    passed_over: tuple[str, ...]  # of the other one


def on_call(
    schedule: Schedule,
    at: datetime,
    overrides: Sequence[StoredOverride] = (),
    feed: Feed | None = None,
    is_workday: IsWorkday = workdays.is_workday,
) -> tuple[str, ...]:
    """Return who is on call at an instant; empty: nobody.

    Stored overrides of other schedules, and removed ones, do not count.
    """
    planned = feed.on_call if feed is not None and schedule.calendar is not None else _nobody
    return _on_top(schedule, at, standing(schedule, overrides), planned, is_workday)


def shifts(
    schedule: Schedule,
    start: datetime,
    end: datetime,
    overrides: Sequence[StoredOverride] = (),
    feed: Feed | None = None,
    is_workday: IsWorkday = workdays.is_workday,
) -> list[Shift]:
    """Return who is on call from start to end: without gap or overlap, holes without people."""
    return list(_shifts(schedule, start, end, overrides, feed, is_workday))


def holes(
    schedule: Schedule,
    start: datetime,
    end: datetime,
    overrides: Sequence[StoredOverride] = (),
    feed: Feed | None = None,
    is_workday: IsWorkday = workdays.is_workday,
) -> list[Shift]:
    """Return the times from start to end in which nobody is on call."""
    every = _shifts(schedule, start, end, overrides, feed, is_workday)
    return [one for one in every if not one.people]


def next_on_call(
    schedule: Schedule,
    at: datetime,
    overrides: Sequence[StoredOverride] = (),
    feed: Feed | None = None,
    is_workday: IsWorkday = workdays.is_workday,
) -> tuple[str, ...]:
    """Return who is on after those on call at an instant, over holes; empty: not for 60 days."""
    every = _shifts(schedule, at, at + NEXT_WITHIN, overrides, feed, is_workday)
    now = set(next(every).people)
    return next((one.people for one in every if one.people and set(one.people) != now), ())


def doubled(
    schedule: Schedule,
    start: datetime,
    end: datetime,
    overrides: Sequence[StoredOverride] = (),
) -> list[Doubled]:
    """Return the times in which two overrides contradict each other, in order.

    Somebody probably overlooked the other one. All else that overlaps is meant: a rotation over
    another one, an override over a rotation, two events of a calendar.
    """
    pairs = combinations(standing(schedule, overrides), 2)
    found = [
        Doubled(
            start=max(start, earlier.start, later.start),
            end=min(end, earlier.end, later.end),
            people=later.people,
            passed_over=earlier.people,
        )
        for earlier, later in pairs
        if set(earlier.people) != set(later.people)
    ]
    return sorted((one for one in found if one.start < one.end), key=lambda one: one.start)


def standing(schedule: Schedule, overrides: Sequence[StoredOverride]) -> tuple[Override, ...]:
    """Return all overrides of a schedule in the order they were added: the file's, then these."""
    stored = sorted(
        (one for one in overrides if one.schedule == schedule.name and one.removed_at is None),
        key=lambda one: (one.created_at, one.id),
    )
    return schedule.overrides + tuple(
        Override(people=(one.person,), start=one.starts_at, end=one.ends_at) for one in stored
    )


# --- laying over each other --------------------------------------------------------------------

Planned = Callable[[datetime], tuple[str, ...]]  # whom the calendar has on call at an instant


def _nobody(at: datetime) -> tuple[str, ...]:
    return ()


def _on_top(
    schedule: Schedule,
    at: datetime,
    overrides: Sequence[Override],
    planned: Planned,
    is_workday: IsWorkday,
) -> tuple[str, ...]:
    for override in reversed(overrides):
        if override.people and override.start <= at < override.end:
            return override.people
    if people := planned(at):
        return people
    for rotation in reversed(schedule.rotations):
        if people := rotations.on_call(rotation, schedule.time_zone, at, is_workday):
            return people
    return ()


def _shifts(
    schedule: Schedule,
    start: datetime,
    end: datetime,
    overrides: Sequence[StoredOverride],
    feed: Feed | None,
    is_workday: IsWorkday,
) -> Iterator[Shift]:
    """Yield the shifts from start to end as they are found: asks again at each possible change."""
    added = standing(schedule, overrides)
    events = feed.shifts(start, end) if feed is not None and schedule.calendar is not None else ()

    def planned(at: datetime) -> tuple[str, ...]:
        on = (name for one in events if one.start <= at < one.end for name in one.people)
        return tuple(dict.fromkeys(on))

    def asked(at: datetime) -> tuple[str, ...]:
        return _on_top(schedule, at, added, planned, is_workday)

    begin, people = start, asked(start)
    for at in _changes(schedule, start, end, (*added, *events)):
        following = asked(at)
        if set(following) != set(people):
            yield Shift(people=people, start=begin, end=at)
            begin, people = at, following
    yield Shift(people=people, start=begin, end=end)


def _changes(
    schedule: Schedule, start: datetime, end: datetime, fixed: Sequence[Override | Shift]
) -> Iterator[datetime]:
    """Yield, in order, the instants between start and end at which another answer may begin."""
    edges = sorted(edge for one in fixed for edge in (one.start, one.end) if start < edge < end)
    each = (rotations.changes(one, schedule.time_zone, start, end) for one in schedule.rotations)
    return merge(edges, *each)
