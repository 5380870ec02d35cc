"""Times as people write them into routes.yaml: `2026-11-02T10:00`, `22:00`, `08:00-20:00`.

Every error is a ValueError that says how to mend it, or nothing where the expected form says it
all. Knows nothing of what happens at these times.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from adapter.schedules import instant

_DATE_TIME: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?"
_OFFSET: Final = "(Z|[+-][0-9]{2}:[0-9]{2})"
WALL_TIME_PATTERN: Final = f"^{_DATE_TIME}$"
MOMENT_PATTERN: Final = f"^{_DATE_TIME}{_OFFSET}?$"
UNREAD: Final = datetime.min  # noqa: DTZ901 - stands for a wall time, and these are naive
MINUTES_A_DAY: Final = 24 * 60
HOURS_PATTERN: Final = "^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$"

_YEARS = range(2000, 2200)
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MINUTE = re.compile("(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")


def parse_moment(text: str) -> datetime:
    """Return a time that is aware if an offset stands there, and else naive."""
    if not re.fullmatch(MOMENT_PATTERN, text):
        day = _DATE.fullmatch(text)
        raise ValueError(f"add the time of the day: {text}T00:00" if day else "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("there is no such day, time or offset") from None
    if moment.year not in _YEARS:
        raise ValueError(f"write a year from {_YEARS[0]} to {_YEARS[-1]}")
    return moment


def parse_wall_time(text: str) -> datetime:
    """Return a naive time."""
    moment = parse_moment(text)
    if moment.tzinfo is not None:
        raise ValueError("leave out the offset: this is wall time of the schedule's time_zone")
    return moment


def instant_of(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant of a moment; one without an offset is wall time of the zone."""
    return moment.astimezone(UTC) if moment.tzinfo else instant(moment, zone)


def parse_time_zone(text: str) -> ZoneInfo:
    """Return the zone of an IANA name."""
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # not found, no name at all, a directory
        raise ValueError("it is a name of the IANA database, in its exact spelling") from None


def parse_part_of_day(start: str, end: str) -> tuple[int, int]:
    """Return both ends in minutes of the day; an end that is not later is one of the next day."""
    first, last = (_minute(text) for text in (start, end))
    if first == MINUTES_A_DAY:
        raise ValueError("write a start at midnight as 00:00")
    if first == last:
        raise ValueError("the end must differ from the start; leave both out for the whole day")
    return first, last or MINUTES_A_DAY


def parse_hours(text: str) -> tuple[int, int]:
    """Return both ends of `08:00-20:00` in minutes of the day, as `parse_part_of_day`."""
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError("")
    return parse_part_of_day(start.strip(), end.strip())


def spell_minute(minute: int) -> str:
    """Write a minute of the day as `08:00`."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _minute(text: str) -> int:
    if not _MINUTE.fullmatch(text):
        raise ValueError("write hours and minutes with two digits each, from 00:00 to 24:00")
    return int(text[:2]) * 60 + int(text[3:])
