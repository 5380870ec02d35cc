"""Who is on call according to an iCalendar feed.

The recurrence arithmetic is `recurring-ical-events` (the extra `ical`); what is ours: whom an event
means (`ical_names`), what is safe to work out (`ical_bounds`), which zone times without one are in
(the schedule's), and a cache, so that asking often is cheap.
https://www.rfc-editor.org/rfc/rfc5545

Knows nothing of where a feed comes from, reads no clock and does no I/O. The libraries are
imported when the first feed is read.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from adapter.errors import InvalidCalendar, MissingExtra
from adapter.model import Record
from adapter.schedules.ical_bounds import (
    DATE_COST,
    EVENT_COST,
    HORIZON,
    LONGEST_REPEATED,
    MOST_COST,
    check_time_zones,
    cost_of_rule,
    read_rule,
)
from adapter.schedules.ical_names import Attendee, Meant, Names
from adapter.schedules.records import Shift

if TYPE_CHECKING:
    from icalendar import Calendar, Component

MAX_BYTES = 5 * 1024 * 1024
WINDOW = timedelta(days=28)  # events are worked out for so long a time at once
WINDOWS_KEPT = 64

_FIRST = datetime(1971, 1, 1, tzinfo=UTC)
_LAST = datetime(HORIZON, 1, 1, tzinfo=UTC)
_MARGIN = timedelta(days=2)  # more than any zone's offset: times without a zone are near their own
_FOLDED = re.compile(r"\r?\n[ \t]")
# What the libraries stumble over a feed with.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
# The library keeps the feed's own time zones by their name, for the whole process: two feeds that
# call different zones the same would share one. So one feed is read at a time, from a clean start.
_READING = threading.Lock()


class Turn(Record):
    """One event at one time."""

    start: datetime  # an instant
    end: datetime  # an instant, later than `start`
    meant: Meant


class _Window(Record):
    shifts: tuple[Shift, ...]  # without gap or overlap
    starts: tuple[datetime, ...]  # of the shifts
    turns: tuple[Turn, ...]


class Feed:
    """A feed that was read. Threads may share it."""

    def __init__(
        self,
        calendars: Sequence[Calendar],
        names: Names,
        time_zone: ZoneInfo,
        left_out: Sequence[str] = (),
    ) -> None:
        import recurring_ical_events

        self._series = [
            one for calendar in calendars for one in recurring_ical_events.of(calendar).series
        ]
        self._names, self._zone = names, time_zone
        self._windows: dict[int, _Window] = {}
        self._working_out = threading.Lock()
        self.left_out = tuple(left_out)  # events that cannot be understood, and why
        meant = (
            self._meant(event)
            for calendar in calendars
            for event in calendar.walk("VEVENT")
            if not _cancelled(event)
        )
        unknown = dict.fromkeys(text for one in meant for text in one.unknown)
        self.unknown: tuple[str, ...] = tuple(unknown)  # texts of its events that name nobody

    def on_call(self, at: datetime) -> tuple[str, ...]:
        """Return who is on call at an instant; empty: nobody."""
        if not _FIRST <= at < _LAST:
            return ()
        window = self._window(_index(at))
        return window.shifts[bisect_right(window.starts, at) - 1].people

    def shifts(self, start: datetime, end: datetime) -> list[Shift]:
        """Return who is on call from start to end: without gap or overlap, holes without people."""
        cut = [
            Shift(people=one.people, start=max(one.start, start), end=min(one.end, end))
            for window in self._windows_of(start, end)
            for one in window.shifts
            if one.start < end and start < one.end
        ]
        if start < _FIRST:
            cut.insert(0, Shift(people=(), start=start, end=min(end, _FIRST)))
        if end > _LAST:
            cut.append(Shift(people=(), start=max(start, _LAST), end=end))
        return _merged(cut)

    def unknown_between(self, start: datetime, end: datetime) -> tuple[str, ...]:
        """Return the texts of a time's events that should name a person, and name nobody."""
        turns = (
            turn
            for window in self._windows_of(start, end)
            for turn in window.turns
            if turn.start < end and start < turn.end
        )
        return tuple(dict.fromkeys(text for turn in turns for text in turn.meant.unknown))

    def _windows_of(self, start: datetime, end: datetime) -> Iterator[_Window]:
        begin, last = max(start, _FIRST), min(end, _LAST)
        if begin < last:
            yield from map(self._window, range(_index(begin), _index(last) + 1))

    def _window(self, index: int) -> _Window:
        have = self._windows  # replaced, never changed: threads may share it
        if index in have:
            return have[index]
        with self._working_out:
            found = self._worked_out(index)
        self._windows = {**(have if len(have) < WINDOWS_KEPT else {}), index: found}
        return found

    def _worked_out(self, index: int) -> _Window:
        start = _FIRST + index * WINDOW
        end = start + WINDOW
        begin = (start - _MARGIN).astimezone(self._zone)
        last = (end + _MARGIN).astimezone(self._zone)
        events = self._between(begin, last)
        turns = (self._turn(event) for event in events if not _cancelled(event))
        inside = [one for one in turns if one.start < end and start < one.end]
        inside.sort(key=lambda one: (one.start, one.end, one.meant.people))
        shifts = tuple(_laid_out(inside, start, end))
        starts = tuple(one.start for one in shifts)
        return _Window(shifts=shifts, starts=starts, turns=tuple(inside))

    def _between(self, start: datetime, end: datetime) -> list[Component]:
        """Return the events of a time; a series that breaks is given up.

        It may not be asked again: `dateutil` then waits for a lock that it did not give back.
        """
        found: list[Component] = []
        for series in [*self._series]:
            try:
                found += [one.as_component(False) for one in series.between(start, end)]
            except _BROKEN as error:
                self._series.remove(series)
                self.left_out += (f"a series cannot be worked out: {_first_line(error)}",)
        return found

    def _turn(self, event: Component) -> Turn:
        start = _start(event, self._zone)
        end = start + _duration(event, self._zone)
        return Turn(start=start, end=end, meant=self._meant(event))

    def _meant(self, event: Component) -> Meant:
        return self._names.meant(str(event.get("SUMMARY", "")), _attendees(event))


def read_feed(
    text: str | bytes, people_map: Mapping[str, str], people: Collection[str], time_zone: ZoneInfo
) -> Feed:
    """Return the feed that a text is. Raises InvalidCalendar, and MissingExtra.

    Events that cannot be understood are left out, and said to be; a feed that is no calendar, or
    would take too long to work out, is refused.
    """
    calendars = _calendars(_decoded(text))
    left_out = [why for calendar in calendars for why in _leave_out(calendar, time_zone)]
    _check_cost([event for one in calendars for event in one.walk("VEVENT")], time_zone)
    return Feed(calendars, Names(people_map, people), time_zone, left_out)


def instant(value: date, zone: ZoneInfo) -> datetime:
    """Return the instant of an iCalendar time: a day begins, and a floating time is, in `zone`."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    local = value if value.tzinfo is not None else value.replace(tzinfo=zone)
    return local.astimezone(UTC)


# --- reading -----------------------------------------------------------------------------------


def _decoded(text: str | bytes) -> str:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise InvalidCalendar(f"it has {size} bytes; {MAX_BYTES} at most")
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidCalendar(f"it is not UTF-8: {error.reason} at byte {error.start}") from None


def _calendars(text: str) -> list[Calendar]:
    """Return the VCALENDARs of a text, mostly one."""
    try:
        import recurring_ical_events  # noqa: F401 - wanted later: better missed now
        from icalendar import Calendar
        from icalendar.timezone import tzp
    except ImportError as error:
        package = (error.name or "icalendar").replace("_", "-")
        raise MissingExtra(package, "ical") from error
    check_time_zones(_FOLDED.sub("", text).splitlines())
    with _READING:
        tzp.use_default()
        try:
            found = Calendar.from_ical(text, multiple=True)
        except _BROKEN as error:
            raise InvalidCalendar(f"it is no iCalendar text: {_first_line(error)}") from None
    calendars = [one for one in found if one.name == "VCALENDAR"]
    if not calendars:
        raise InvalidCalendar("it is no iCalendar text: no BEGIN:VCALENDAR … END:VCALENDAR")
    return [_in_known_zone(one) for one in calendars]


def _in_known_zone(calendar: Calendar) -> Calendar:
    """Drop an X-WR-TIMEZONE that is no IANA name, and a CALSCALE; both stop the library."""
    calendar.pop("CALSCALE", None)  # only GREGORIAN is registered
    try:
        ZoneInfo(str(calendar.get("X-WR-TIMEZONE", "UTC")))
    except (KeyError, ValueError, OSError):
        calendar.pop("X-WR-TIMEZONE")
    return calendar


def _leave_out(calendar: Calendar, zone: ZoneInfo) -> Iterator[str]:
    """Keep of a calendar the events that can be understood; yield which others, and why."""
    kept = []
    for event in calendar.subcomponents:
        if event.name != "VEVENT":
            continue
        event.subcomponents = []  # alarms
        if why := _trouble(event, zone):
            yield f"{_shown(event)}: {why}"
        else:
            kept.append(event)
    calendar.subcomponents = kept


def _trouble(event: Component, zone: ZoneInfo) -> str:
    """Return why an event cannot be understood; "": it can."""
    from icalendar import Calendar
    from recurring_ical_events import CalendarQuery

    rules = _values(event, "RRULE")
    if any(read_rule(_text(one)) is None for one in rules):
        return f"its RRULE cannot be followed: {', '.join(map(_text, rules))[:80]}"
    try:
        start = _start(event, zone)
        end = start + _duration(event, zone)
        alone = Calendar()
        alone.add_component(event)
        CalendarQuery(alone)
    except _BROKEN as error:
        return f"its times cannot be read: {_first_line(error)}"
    return "it ends before it begins" if end < start else ""


def _check_cost(events: Sequence[Component], zone: ZoneInfo) -> None:
    """Refuse a feed that would take too long to work out."""
    cost = 0
    for event in events:
        start = _start(event, zone)
        rules = [rule for one in _values(event, "RRULE") if (rule := read_rule(_text(one)))]
        dates = [one for name in ("RDATE", "EXDATE") for one in _values(event, name)]
        cost += EVENT_COST + sum(cost_of_rule(rule, start) for rule in rules)
        cost += DATE_COST * sum(len(getattr(one, "dts", ())) for one in dates)
        if (rules or dates) and _duration(event, zone) > LONGEST_REPEATED:
            raise InvalidCalendar(f"{_shown(event)} is repeated, and longer than a year")
        if cost > MOST_COST:
            raise InvalidCalendar(f"it repeats events too often to work out, up to {_shown(event)}")


def _start(event: Component, zone: ZoneInfo) -> datetime:
    return instant(_value(event, "DTSTART").dt, zone)


def _duration(event: Component, zone: ZoneInfo) -> timedelta:
    if "DTEND" in event:
        return instant(_value(event, "DTEND").dt, zone) - _start(event, zone)
    if "DURATION" not in event:
        return timedelta(0)
    found: timedelta = _value(event, "DURATION").dt
    return found


# --- of an event -------------------------------------------------------------------------------


def _cancelled(event: Component) -> bool:
    return str(event.get("STATUS", "")).strip().upper() == "CANCELLED"


def _attendees(event: Component) -> list[Attendee]:
    return [
        Attendee(
            mail=re.sub("^mailto:", "", str(one), flags=re.IGNORECASE).strip(),
            name=_parameter(one, "CN"),
            kind=_parameter(one, "CUTYPE"),
            answer=_parameter(one, "PARTSTAT"),
        )
        for one in _values(event, "ATTENDEE")
    ]


def _parameter(value: Any, name: str) -> str:
    return str(getattr(value, "params", {}).get(name, "")).strip('" ')


def _value(event: Component, name: str) -> Any:
    return event[name]


def _values(event: Component, name: str) -> list[Any]:
    found: Any = event.get(name, [])
    return found if isinstance(found, list) else [found]


def _text(value: Any) -> str:
    """Return a property's value as the feed has it."""
    raw = value.to_ical()
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _shown(event: Component) -> str:
    return f"event {str(event.get('SUMMARY', ''))[:40]!r}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


# --- laying turns beside each other ------------------------------------------------------------


def _laid_out(turns: Sequence[Turn], start: datetime, end: datetime) -> list[Shift]:
    """Return who is on from start to end, of turns in the order of their start."""
    edges = sorted({start, *(at for one in turns for at in (one.start, one.end)), end})
    inner = [at for at in edges if start <= at <= end]
    on: dict[int, tuple[str, ...]] = {}
    ends: list[tuple[datetime, int]] = []
    found, following = [], 0
    for begin, until in pairwise(inner):
        while following < len(turns) and turns[following].start <= begin:
            on[following] = turns[following].meant.people
            heappush(ends, (turns[following].end, following))
            following += 1
        while ends and ends[0][0] <= begin:
            del on[heappop(ends)[1]]
        people = tuple(dict.fromkeys(name for names in on.values() for name in names))
        found.append(Shift(people=people, start=begin, end=until))
    return _merged(found)


def _merged(shifts: Sequence[Shift]) -> list[Shift]:
    """Return the same times with neighbours of the same people as one."""
    found: list[Shift] = []
    for one in shifts:
        if found and found[-1].people == one.people:
            found[-1] = Shift(people=one.people, start=found[-1].start, end=one.end)
        elif one.start < one.end:
            found.append(one)
    return found


def _index(at: datetime) -> int:
    return (at - _FIRST) // WINDOW
