"""Wall clocks: which instant a local time stands for, and the other way round.

Wall times are naive datetimes, instants are aware ones in UTC. Two instants are compared as
instants: comparing wall times of one zone would take a repeated hour in autumn for one hour.
Knows nothing of schedules.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clocks of the zone show this wall time.

    They never show it, since they jump over it: the first instant after the jump. They show it
    twice: the first time. So a later wall time is never an earlier instant.
    """
    local = wall.replace(tzinfo=zone, fold=0)
    before = local.astimezone(UTC)
    after = local.replace(fold=1).astimezone(UTC)
    # https://peps.python.org/pep-0495/#mind-the-gap: only in a gap is the second the earlier one.
    return before if before <= after else _end_of_gap(after, before, zone)


def _end_of_gap(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """Return the jump between two instants; zone data knows it by the second."""
    earlier = earlier.replace(microsecond=0)
    offset = later.astimezone(zone).utcoffset()

    def jumped(seconds: int) -> bool:
        return (earlier + timedelta(seconds=seconds)).astimezone(zone).utcoffset() == offset

    seconds = range(int((later - earlier).total_seconds()) + 1)
    return earlier + timedelta(seconds=bisect_left(seconds, True, key=jumped))


def wall_time(at: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clocks of the zone show at an instant."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)
