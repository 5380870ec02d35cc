"""Time intervals as Alertmanager has them: named sets of minutes, days, months and years.

Meaning: https://prometheus.io/docs/alerting/latest/configuration/#time_interval. Rules that page
does not tell, and the error texts, are those of
https://github.com/prometheus/alertmanager/blob/main/timeinterval/timeinterval.go.
Knows nothing of routes, and is told the time.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo

from adapter.errors import InvalidTimeInterval
from adapter.model import Record

T = TypeVar("T")


class TimeIntervalSpec(Record):
    """Instants that lie in one range of every field.

    None: the field was not given and holds for every instant. Empty: no instant lies in it.
    """

    times: tuple[range, ...] | None = None  # minutes of the day
    weekdays: tuple[range, ...] | None = None  # 0 = Sunday
    # First and last day, both included; a negative day counts from the end of the month.
    days_of_month: tuple[tuple[int, int], ...] | None = None
    months: tuple[range, ...] | None = None  # 1 = January
    years: tuple[range, ...] | None = None
    location: tzinfo | None = UTC  # None: the time zone of this machine ("Local")

    def contains(self, now: datetime) -> bool:
        """Tell whether this instant, read on a clock at the location, lies in every field."""
        local = now.astimezone(self.location)
        return (
            _within(self.times, local.hour * 60 + local.minute)
            and _within(self.weekdays, local.isoweekday() % 7)
            and _within(self.months, local.month)
            and _within(self.years, local.year)
            and _on_day(self.days_of_month, local)
        )


class TimeInterval(Record):
    """The instants of all its specs together, under the name routes refer to."""

    name: str
    specs: tuple[TimeIntervalSpec, ...]

    def contains(self, now: datetime) -> bool:
        """Tell whether this instant lies in at least one spec."""
        return any(spec.contains(now) for spec in self.specs)


def _within(ranges: tuple[range, ...] | None, value: int) -> bool:
    return ranges is None or any(value in one for one in ranges)


def _on_day(ranges: tuple[tuple[int, int], ...] | None, local: datetime) -> bool:
    if ranges is None:
        return True
    length = monthrange(local.year, local.month)[1]

    def day(number: int) -> int:
        return number if number > 0 else length + number + 1

    return any(day(first) <= local.day <= day(last) for first, last in ranges)


# --- from the YAML tree ------------------------------------------------------------------------

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_WEEKDAY_NUMBERS = {name: number for number, name in enumerate(_WEEKDAYS)}
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, start=1)}
_SHORTEST_MONTH = 28

_FIELDS = ("times", "weekdays", "days_of_month", "months", "years", "location")
_TIME_FIELDS = ("start_time", "end_time")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def parse_spec(data: Mapping[str, object]) -> TimeIntervalSpec:
    """Return the spec that a mapping of the YAML tree stands for.

    Raises InvalidTimeInterval with the path inside `data` of the first thing that is wrong.
    """
    _check_fields(data, _FIELDS)
    return TimeIntervalSpec(
        times=_each(data, "times", _times),
        weekdays=_each(data, "weekdays", _weekdays),
        days_of_month=_each(data, "days_of_month", _days_of_month),
        months=_each(data, "months", _months),
        years=_each(data, "years", _years),
        location=_at(("location",), _location, data.get("location") or ""),
    )


def _times(item: object) -> range:
    if not isinstance(item, Mapping):
        raise InvalidTimeInterval(f"expected start_time and end_time, found {_shown(item)}")
    _check_fields(item, _TIME_FIELDS)
    start, end = (_text(item.get(field) or "") for field in _TIME_FIELDS)
    if not start or not end:
        raise InvalidTimeInterval("both start and end times must be provided")
    minutes = range(_minute(start), _minute(end))
    if not minutes:
        raise InvalidTimeInterval("start time cannot be equal or greater than end time")
    return minutes


def _minute(text: str) -> int:
    if _TIME.fullmatch(text) is None:
        raise InvalidTimeInterval(f"couldn't parse timestamp {text}, invalid format")
    return int(text[:2]) * 60 + int(text[3:])


def _weekdays(item: object) -> range:
    first, last = _ends(item, _weekday)
    if first > last:
        raise InvalidTimeInterval("start day cannot be before end day")
    return range(first, last + 1)


def _weekday(text: str) -> int:
    if text not in _WEEKDAY_NUMBERS:
        raise InvalidTimeInterval(f"{text} is not a valid weekday")
    return _WEEKDAY_NUMBERS[text]


def _days_of_month(item: object) -> tuple[int, int]:
    first, last = _ends(item, _integer)
    for day in (first, last):
        if not 1 <= abs(day) <= 31:
            raise InvalidTimeInterval(f"{day} is not a valid day of the month: out of range")
    if first < 0 < last:
        raise InvalidTimeInterval("end day must be negative if start day is negative")
    # Only what is wrong in the shortest month is surely wrong. That -1 counts as the 27th here,
    # which refuses 28:-1, is upstream's choice.
    earliest, latest = (day if day > 0 else _SHORTEST_MONTH + day for day in (first, last))
    if earliest > latest:
        raise InvalidTimeInterval(f"end day {last} is always before start day {first}")
    return first, last


def _months(item: object) -> range:
    first, last = _ends(item, _month)
    if first > last:
        names = dict(enumerate(_MONTHS, start=1))
        begin, end = (names.get(month, str(month)) for month in (first, last))
        raise InvalidTimeInterval(f"end month {end} is before start month {begin}")
    return range(first, last + 1)


def _month(text: str) -> int:
    if text in _MONTH_NUMBERS:
        return _MONTH_NUMBERS[text]
    if _INTEGER.fullmatch(text) is None:
        raise InvalidTimeInterval(f"{text} is not a valid month")
    return int(text)  # 0 and 13 are taken as upstream does; no instant lies in them


def _years(item: object) -> range:
    first, last = _ends(item, _integer)
    if first > last:
        raise InvalidTimeInterval(f"end year {last} is before start year {first}")
    return range(first, last + 1)


def _location(item: object) -> tzinfo | None:
    name = _text(item)
    if name in ("", "UTC"):
        return UTC
    if name == "Local":
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found, no name at all, a directory
        raise InvalidTimeInterval(f"unknown time zone {name}") from None


def _ends(item: object, member: Callable[[str], int]) -> tuple[int, int]:
    """Return both ends of `a:b`, which are the same for a single member."""
    text = _text(item).lower()
    ends = text.split(":")
    if len(ends) > 2:
        raise InvalidTimeInterval(f"couldn't parse range {text}, invalid format")
    return member(ends[0]), member(ends[-1])


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise InvalidTimeInterval(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _text(item: object) -> str:
    """Return a YAML scalar as written; a bare number in a list of days or years is fine."""
    if isinstance(item, str):
        return item
    if isinstance(item, int) and not isinstance(item, bool):
        return str(item)
    raise InvalidTimeInterval(f"expected text, found {_shown(item)}")


def _each(
    data: Mapping[str, object], field: str, parse: Callable[[object], T]
) -> tuple[T, ...] | None:
    """Parse each item of a list; a field left out, or left empty (`times:`), is None."""
    items = data.get(field)
    if items is None:
        return None
    if not isinstance(items, list):
        raise InvalidTimeInterval(f"expected a list, found {_shown(items)}", (field,))
    return tuple(_at((field, index), parse, item) for index, item in enumerate(items))


def _at(path: tuple[str | int, ...], parse: Callable[[object], T], item: object) -> T:
    try:
        return parse(item)
    except InvalidTimeInterval as error:
        raise InvalidTimeInterval(str(error), (*path, *error.path)) from None


def _check_fields(data: Mapping[str, object], known: tuple[str, ...]) -> None:
    for field in data:
        if field not in known:
            expected = ", ".join(known)
            raise InvalidTimeInterval(
                f"unknown field {field}: expected one of {expected}", (field,)
            )


def _shown(item: object) -> str:
    return f"{type(item).__name__} {item!r}"
