"""Who a single rotation puts on call, and when that may change.

Handovers are wall times: `start`, `start + every`, `start + 2 * every`, … by the calendar on the
wall, each then turned into an instant. So 10:00 stays 10:00 in summer and in winter, and a turn
over a clock change is an hour shorter or longer. Restrictions only take times away: they never
shift whose turn it is.

Knows nothing of schedules, overrides or calendars, and asks a function for workdays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from heapq import merge
from itertools import count
from zoneinfo import ZoneInfo

from adapter.schedules.records import Hours, Rotation
from adapter.schedules.wall_times import instant, wall_time

IsWorkday = Callable[[str, date], bool]  # (country, local day)

_DAY = timedelta(days=1)
_WHOLE_DAY = (Hours(start=0, end=24 * 60),)


def on_call(
    rotation: Rotation, zone: ZoneInfo, at: datetime, is_workday: IsWorkday
) -> tuple[str, ...]:
    """Return who the rotation puts on call at an instant; empty: nobody."""
    if at < instant(rotation.start, zone):
        return ()
    if rotation.end is not None and at >= instant(rotation.end, zone):
        return ()
    if _restricted(rotation) and not _open(rotation, zone, at, is_workday):
        return ()
    return rotation.turns[_turn(rotation, zone, at) % len(rotation.turns)]


def changes(
    rotation: Rotation, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[datetime]:
    """Yield, in order, every instant between the two at which another answer may begin.

    Not each of them changes something, and some come twice.
    """
    begin = instant(rotation.start, zone)
    over = end if rotation.end is None else instant(rotation.end, zone)
    first = max(start, begin)
    for at in merge((begin,), _handovers(rotation, zone, first), _edges(rotation, zone, first)):
        if at >= min(over, end):
            break
        if at > start:
            yield at
    if start < over < end:
        yield over


# --- turns -------------------------------------------------------------------------------------


def _turn(rotation: Rotation, zone: ZoneInfo, at: datetime) -> int:
    """Return how many handovers came after the first one, at an instant not before it."""
    if rotation.every is None:
        return 0
    number = (wall_time(at, zone) - rotation.start) // rotation.every
    # While clocks show an hour for the second time, its handovers have all been.
    while instant(rotation.start + (number + 1) * rotation.every, zone) <= at:
        number += 1
    return number


def _handovers(rotation: Rotation, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Return the handovers after an instant, without end."""
    every = rotation.every
    if every is None:
        return iter(())
    later = count(_turn(rotation, zone, after) + 1)
    return (instant(rotation.start + number * every, zone) for number in later)


# --- restrictions ------------------------------------------------------------------------------


def _restricted(rotation: Rotation) -> bool:
    return bool(rotation.weekdays or rotation.hours or rotation.workdays or rotation.days_off)


def _open(rotation: Rotation, zone: ZoneInfo, at: datetime, is_workday: IsWorkday) -> bool:
    """Tell whether the hours of a day that counts are under way.

    They may be yesterday's, that go over midnight, or already tomorrow's: where clocks are put
    back over midnight, the wall shows yesterday's date once more after a day has begun.
    """
    today = wall_time(at, zone).date()
    return any(
        _hours_hold(rotation, zone, day, at) and _counts(rotation, day, is_workday)
        for day in (today - _DAY, today, today + _DAY)
    )


def _hours_hold(rotation: Rotation, zone: ZoneInfo, day: date, at: datetime) -> bool:
    midnight = datetime.combine(day, time())
    for hours in rotation.hours or _WHOLE_DAY:
        ends_on = midnight + _DAY if hours.end <= hours.start else midnight
        start = instant(midnight + timedelta(minutes=hours.start), zone)
        if start <= at < instant(ends_on + timedelta(minutes=hours.end), zone):
            return True
    return False


def _counts(rotation: Rotation, day: date, is_workday: IsWorkday) -> bool:
    """Tell whether shifts that begin on this day are the rotation's."""
    if rotation.weekdays and day.isoweekday() % 7 not in rotation.weekdays:
        return False
    if rotation.workdays and not is_workday(rotation.workdays, day):
        return False
    return not (rotation.days_off and is_workday(rotation.days_off, day))


def _edges(rotation: Rotation, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Return each start and end of a day's hours from the day of an instant on, without end."""
    if not _restricted(rotation):
        return iter(())
    hours = rotation.hours or _WHOLE_DAY
    minutes = sorted({edge % (24 * 60) for one in hours for edge in (one.start, one.end)})
    first = datetime.combine(wall_time(after, zone).date(), time())
    midnights = (first + day * _DAY for day in count())
    return (instant(day + timedelta(minutes=one), zone) for day in midnights for one in minutes)
