"""The people behind an escalation's targets at one instant.

A roster is made for a moment (`now`) and thrown away: a schedule is worked out when it is first
asked for, and once. Names that are no longer in the configuration are left out and remembered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from adapter.model import Person, StoredOverride, Target
from adapter.schedules import layers, workdays
from adapter.schedules.layers import Feed
from adapter.schedules.records import Schedule
from adapter.schedules.rotations import IsWorkday


class Roster:
    """Answers who is on call now, and who is on after them."""

    def __init__(
        self,
        schedules: Mapping[str, Schedule],
        people: Mapping[str, Person],
        overrides: Sequence[StoredOverride],
        feeds: Mapping[str, Feed],
        now: datetime,
        is_workday: IsWorkday = workdays.is_workday,
    ) -> None:
        self._schedules = schedules
        self._people = people
        self._overrides = _by_schedule(overrides)
        self._feeds = feeds
        self._now = now
        self._is_workday = is_workday
        self._answers: dict[tuple[str, bool], tuple[str, ...]] = {}
        self._unknown: set[str] = set()

    @property
    def unknown(self) -> frozenset[str]:
        """Schedules and people that were asked for so far and are not in the configuration."""
        return frozenset(self._unknown)

    def people(self, target: Target) -> tuple[Person, ...]:
        """Return whom a target means now, without those who are unknown."""
        if target.person is not None:
            return (target.person,)
        names = self.on_call(target.schedule, next=target.next)
        self._unknown.update(name for name in names if name not in self._people)
        return tuple(self._people[name] for name in names if name in self._people)

    def on_call(self, schedule: str, *, next: bool = False) -> tuple[str, ...]:
        """Return the names of who is on call in a schedule now, or of who is on after them."""
        key = (schedule, next)
        if key not in self._answers:
            self._answers[key] = self._asked(schedule, next)
        return self._answers[key]

    def _asked(self, name: str, next: bool) -> tuple[str, ...]:
        schedule = self._schedules.get(name)
        if schedule is None:
            self._unknown.add(name)
            return ()
        ask = layers.next_on_call if next else layers.on_call
        return ask(
            schedule,
            self._now,
            self._overrides.get(name, ()),
            self._feeds.get(name),
            self._is_workday,
        )


def _by_schedule(overrides: Sequence[StoredOverride]) -> Mapping[str, Sequence[StoredOverride]]:
    """Sort overrides out once, so that asking many schedules does not go through all each time."""
    found: dict[str, list[StoredOverride]] = defaultdict(list)
    for one in overrides:
        found[one.schedule].append(one)
    return found
