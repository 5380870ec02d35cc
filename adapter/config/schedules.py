"""Schedules: who is on call when. Must not know who calls a schedule, nor what time it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path as FilePath

from adapter.config.clocks import UNREAD, instant_of, parse_part_of_day
from adapter.config.draft import Draft
from adapter.config.phones import looks_like_phone
from adapter.config.problems import Path, quote
from adapter.config.schema_routes import TimesSection
from adapter.config.schema_schedules import (
    CalendarSection,
    OverrideSection,
    RotationSection,
    ScheduleSection,
)
from adapter.errors import InvalidTimeInterval, MissingExtra
from adapter.schedules import Calendar, Hours, Override, Rotation, Schedule
from adapter.schedules.workdays import known
from adapter.time_intervals import parse_spec

NEXT = ":next"  # after a schedule's name: who is on after those on call

_PERSON = "the name of a person"
_DEFAULT_REFRESH = timedelta(minutes=15)


def build_schedules(
    sections: Mapping[str, ScheduleSection],
    people: Collection[str],
    directory: FilePath,
    draft: Draft,
) -> dict[str, Schedule]:
    """Return the schedules by name; files they name are looked for in `directory`."""
    builder = _Schedules(people, directory, draft)
    return {name: builder.schedule(name, section) for name, section in sections.items()}


def people_of(schedule: Schedule) -> Iterator[str]:
    """Give everybody who may be on call."""
    for rotation in schedule.rotations:
        for turn in rotation.turns:
            yield from turn
    for override in schedule.overrides:
        yield from override.people
    if schedule.calendar is not None:
        yield from schedule.calendar.people.values()


class _Schedules:
    def __init__(self, people: Collection[str], directory: FilePath, draft: Draft) -> None:
        self._people, self._directory, self._draft = people, directory, draft

    def schedule(self, name: str, section: ScheduleSection) -> Schedule:
        path: Path = ("schedules", name)
        self._check_name(name, path)
        schedule = Schedule(
            name=name,
            time_zone=section.time_zone,
            rotations=tuple(
                self._rotation(rotation, (*path, "rotations", index))
                for index, rotation in enumerate(section.rotations or ())
            ),
            overrides=tuple(
                self._override(override, section, (*path, "overrides", index))
                for index, override in enumerate(section.overrides or ())
            ),
            calendar=self._calendar(section.calendar, (*path, "calendar")),
        )
        if not schedule.rotations and schedule.calendar is None:
            hint = "nobody is on call in it but by an override"
            self._draft.warning(path, "a schedule without rotations and calendar", hint=hint)
        return schedule

    def _check_name(self, name: str, path: Path) -> None:
        if looks_like_phone(name):
            self._draft.key_problem(path, quote(name), "a name that is no number")
        if name.endswith(NEXT):
            hint = f"receivers write {NEXT} for who is on after"
            self._draft.key_problem(path, quote(name), f"a name that does not end in {NEXT}", hint)
        for taken in (name, f"{name}{NEXT}"):
            if taken in self._people:
                found = f"{quote(taken)}, a person's name too"
                hint = "rename one of the two: receivers call both by name"
                self._draft.key_problem(path, found, "a name of its own", hint)

    # --- rotations -----------------------------------------------------------------------------

    def _rotation(self, section: RotationSection, path: Path) -> Rotation:
        turns = tuple(
            self._turn([turn] if isinstance(turn, str) else turn, (*path, "people", index))
            for index, turn in enumerate(section.people)
        )
        self._check_turns(section, path)
        if section.workdays and section.days_off:
            hint = "no day is both: make two rotations of it"
            self._draft.key_problem(
                (*path, "days_off"), "workdays and days_off", "one of them", hint
            )
        return Rotation(
            turns=turns,
            start=section.start,
            every=section.every,
            end=section.end,
            name=section.name or "",
            weekdays=self._weekdays(section.weekdays or (), (*path, "weekdays")),
            hours=self._hours(section.hours or (), (*path, "hours")),
            workdays=self._country(section.workdays, (*path, "workdays")),
            days_off=self._country(section.days_off, (*path, "days_off")),
        )

    def _turn(self, names: Sequence[str], path: Path) -> tuple[str, ...]:
        places: list[tuple[str, Path]] = [(name, (*path, i)) for i, name in enumerate(names)]
        self._draft.no_repeats(places, "each person of a turn once", "remove one of the two")
        for name, here in places:
            self._check_person(name, here)
        return tuple(names)

    def _check_person(self, name: str, path: Path) -> None:
        if name not in self._people and looks_like_phone(name):
            hint = "give the number a name under people"
            self._draft.problem(path, quote(name), _PERSON, hint)
        else:
            self._draft.knows(name, self._people, path, _PERSON)

    def _check_turns(self, section: RotationSection, path: Path) -> None:
        count = len(section.people)
        if section.every is None and count > 1 and not self._draft.has_value((*path, "every")):
            expected = "how long a turn is"
            hint = "add every: 1w, or put who is on together into one turn: [[alice, bob]]"
            self._draft.problem((*path, "every"), f"nothing for {count} turns", expected, hint)
        if section.end is not None and section.end <= section.start and section.end != UNREAD:
            found = quote(section.end.isoformat(timespec="minutes"))
            self._draft.problem((*path, "end"), found, "a time after start")

    def _weekdays(self, texts: Sequence[str], path: Path) -> frozenset[int]:
        days: set[int] = set()
        for index, text in enumerate(texts):
            try:
                spec = parse_spec({"weekdays": [text]})
            except InvalidTimeInterval as error:
                if text:
                    expected = "a weekday or a range such as monday:friday"
                    self._draft.problem((*path, index), quote(text), expected, str(error))
                continue
            for one in spec.weekdays or ():
                days.update(one)
        return frozenset(days)

    def _hours(self, sections: Sequence[TimesSection], path: Path) -> tuple[Hours, ...]:
        found = []
        for index, section in enumerate(sections):
            start, end = section.start_time, section.end_time
            if not start or not end:
                continue  # that has been noted
            try:
                first, last = parse_part_of_day(start, end)
            except ValueError as error:
                expected = 'start_time and end_time such as "22:00" and "08:00"'
                shown = f"{quote(start)} to {quote(end)}"
                self._draft.problem((*path, index), shown, expected, str(error))
                continue
            found.append(Hours(start=first, end=last))
        return tuple(found)

    def _country(self, country: str | None, path: Path) -> str:
        if not country:
            return ""
        expected = "a country or a part of one, such as CN or DE-BY"
        try:
            if not known(country):
                hint = f"did you mean {country.upper()}?" if known(country.upper()) else ""
                self._draft.problem(path, quote(country), expected, hint)
        except MissingExtra as error:
            self._draft.problem(path, quote(country), "no such condition", str(error))
        return country

    # --- overrides and calendars ---------------------------------------------------------------

    def _override(
        self, section: OverrideSection, schedule: ScheduleSection, path: Path
    ) -> Override:
        self._check_person(section.person, (*path, "person"))
        override = Override(
            people=(section.person,),
            start=_instant(section.from_, schedule),
            end=_instant(section.until, schedule),
        )
        read = UNREAD not in (section.from_, section.until)
        if read and override.end <= override.start:
            found = quote(section.until.isoformat(timespec="minutes"))
            self._draft.problem((*path, "until"), found, "a time after from")
        return override

    def _calendar(self, section: CalendarSection | None, path: Path) -> Calendar | None:
        if section is None:
            return None
        both = {"url": section.url, "file": section.file}
        given = [key for key, value in both.items() if value is not None]
        if len(given) == 2:
            hint = "keep one of the two"
            self._draft.key_problem((*path, "file"), "url and file", "one of them", hint)
        if not given and not any(self._draft.has_value((*path, key)) for key in both):
            self._draft.problem((*path, "url"), "nothing", "url or file", "say where the feed is")
        for text, name in (section.people or {}).items():
            self._check_person(name, (*path, "people", text))
        return Calendar(
            url=section.url.reveal if section.url else "",
            file=str(self._directory / section.file) if section.file else "",
            people=section.people or {},
            refresh=section.refresh or _DEFAULT_REFRESH,
        )


def _instant(moment: datetime, schedule: ScheduleSection) -> datetime:
    return moment if moment == UNREAD else instant_of(moment, schedule.time_zone)
