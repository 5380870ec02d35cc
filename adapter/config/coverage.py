"""What a good routes.yaml lets happen in the coming days: times in which nobody is on call.

Pure, like `load`, but asked with the time: what it finds today may be gone tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.config.problems import Path, Position, Problem, Report, quote
from adapter.model import Receiver, StoredOverride, Target
from adapter.schedules import (
    Feed,
    IsWorkday,
    Schedule,
    Shift,
    doubled,
    holes,
    instant,
    next_on_call,
    shifts,
    wall_time,
)
from adapter.schedules.workdays import is_workday, published_until

AHEAD = timedelta(days=30)


def coverage_problems(
    policy: Policy,
    now: datetime,
    feeds: Mapping[str, Feed] = {},
    overrides: Sequence[StoredOverride] = (),
    works: IsWorkday = is_workday,
) -> tuple[Problem, ...]:
    """Return what will go wrong within `AHEAD`, and what has been over for long, by position.

    A schedule with a calendar that is not among `feeds` counts as one that always has somebody.
    """
    looked = _Ahead(policy, now, feeds, overrides, works)
    looked.schedules()
    looked.receivers()
    return looked.report.warnings


class _Ahead:
    """Looks ahead once; each schedule is worked out when it is first asked for."""

    def __init__(
        self,
        policy: Policy,
        now: datetime,
        feeds: Mapping[str, Feed],
        overrides: Sequence[StoredOverride],
        works: IsWorkday,
    ) -> None:
        self._policy, self._feeds, self._overrides, self._works = policy, feeds, overrides, works
        self._now, self._end = now, now + AHEAD
        self._holes: dict[Target, list[Shift]] = {}
        self.report = Report(policy.file)

    # --- schedules -----------------------------------------------------------------------------

    def schedules(self) -> None:
        called = {target for one in self._policy.receivers.values() for target in _targets(one)}
        for schedule in self._policy.schedules.values():
            path: Path = ("schedules", schedule.name)
            if any(target.schedule == schedule.name for target in called):
                self._check_holes(schedule, path)
            if Target(schedule=schedule.name, next=True) in called:
                self._check_next(schedule, path)
            self._check_rotations(schedule, path)
            self._check_overrides(schedule, path)
            self._check_workdays(schedule, path)

    def _check_holes(self, schedule: Schedule, path: Path) -> None:
        found = self._holes_of(Target(schedule=schedule.name))
        if found:
            hint = "the next step is taken at once, and without one nobody is called"
            self._note(path, f"nobody on call {self._times(found, schedule.time_zone)}", hint)

    def _check_next(self, schedule: Schedule, path: Path) -> None:
        if self._holes_of(Target(schedule=schedule.name, next=True)):
            hint = "it takes two turns for somebody to be on after another"
            self._note(path, f"nobody who is {quote(f'{schedule.name}:next')}", hint)

    def _check_rotations(self, schedule: Schedule, path: Path) -> None:
        turns = _that_get_a_turn(schedule, self._now, self._end, self._works)
        for index, rotation in enumerate(schedule.rotations):
            here = (*path, "rotations", index)
            name = f"the rotation {quote(rotation.name)}" if rotation.name else "a rotation"
            if rotation.end and instant(rotation.end, schedule.time_zone) <= self._now:
                ended = rotation.end.isoformat(timespec="minutes")
                self._note(here, f"{name} that ended at {ended}", "delete it")
            elif index not in turns:
                alone = replace(schedule, rotations=(rotation,))
                if _that_get_a_turn(alone, self._now, self._end, self._works):
                    hint = "the rotations after it always have somebody: move it below them"
                    self._note(here, f"{name} that never gets a turn", hint)

    def _check_overrides(self, schedule: Schedule, path: Path) -> None:
        for index, override in enumerate(schedule.overrides):
            if override.end <= self._now:
                ended = _spell(override.end, schedule.time_zone)
                here = (*path, "overrides", index)
                self._note(here, f"an override that ended at {ended}", "delete it")
        for one in doubled(schedule, self._now, self._end, self._overrides):
            people, others = (quote(", ".join(names)) for names in (one.people, one.passed_over))
            start, end = (_spell(at, schedule.time_zone) for at in (one.start, one.end))
            found = f"two overrides from {start} to {end}: {people} is on call, {others} is not"
            self._note(path, found, "the one that was added later counts")

    def _check_workdays(self, schedule: Schedule, path: Path) -> None:
        rotations = schedule.rotations
        countries = {c for one in rotations for c in (one.workdays, one.days_off) if c}
        for country in sorted(countries):
            until = published_until(country)
            if until is not None and until < self._end.date():
                hint = "once they are published, update the package holidays"
                self._note(path, f"workdays of {country} that are known until {until}", hint)

    # --- receivers -----------------------------------------------------------------------------

    def receivers(self) -> None:
        for index, receiver in enumerate(self._policy.receivers.values()):
            targets = list(_targets(receiver))
            if not targets:
                continue
            nobody = [Shift(people=(), start=self._now, end=self._end)]
            for target in targets:
                nobody = _common(nobody, self._holes_of(target))
            if nobody:
                zone = self._policy.schedules[targets[0].schedule].time_zone
                found = f"{quote(receiver.name)}, which calls nobody {self._times(nobody, zone)}"
                hint = "add a last step with a person or a number"
                self._note(("receivers", index), found, hint)

    def _holes_of(self, target: Target) -> list[Shift]:
        if target not in self._holes:
            self._holes[target] = list(self._found_holes(target))
        return self._holes[target]

    def _found_holes(self, target: Target) -> Sequence[Shift]:
        if target.person is not None:
            return ()
        schedule = self._policy.schedules[target.schedule]
        feed = self._feeds.get(schedule.name)
        if schedule.calendar is not None and feed is None:
            return ()
        if not target.next:
            return holes(schedule, self._now, self._end, self._overrides, feed, self._works)
        if next_on_call(schedule, self._now, self._overrides, feed, self._works):
            return ()
        return (Shift(people=(), start=self._now, end=self._end),)

    # --- words ---------------------------------------------------------------------------------

    def _times(self, found: Sequence[Shift], zone: ZoneInfo) -> str:
        first, others = found[0], len(found) - 1
        more = f", and {others} more time{'s' if others > 1 else ''}" if others else ""
        starts = "now" if first.start == self._now else _spell(first.start, zone)
        ends = "on" if first.end == self._end else f"to {_spell(first.end, zone)}"
        return f"from {starts} {ends} in {zone.key}{more}, in the coming {AHEAD.days} days"

    def _note(self, path: Path, found: str, hint: str) -> None:
        at = self._policy.places.get(path, Position())
        self.report.warning(at, path, found, hint=hint)


def _targets(receiver: Receiver) -> Iterator[Target]:
    for step in receiver.escalation:
        yield from step.call


def _common(some: Sequence[Shift], others: Sequence[Shift]) -> list[Shift]:
    """Return the times that both have."""
    both = (
        Shift(people=(), start=max(a.start, b.start), end=min(a.end, b.end))
        for a in some
        for b in others
    )
    return [one for one in both if one.start < one.end]


def _that_get_a_turn(
    schedule: Schedule, start: datetime, end: datetime, works: IsWorkday
) -> frozenset[int]:
    """Return which of its rotations have somebody on call, overrides and calendar aside."""
    marked = tuple(
        replace(one, turns=((str(index),),), every=None)
        for index, one in enumerate(schedule.rotations)
    )
    alone = replace(schedule, rotations=marked, overrides=(), calendar=None)
    found = shifts(alone, start, end, is_workday=works)
    return frozenset(int(name) for shift in found for name in shift.people)


def _spell(at: datetime, zone: ZoneInfo) -> str:
    return wall_time(at, zone).isoformat(timespec="minutes")
