"""The only place that reads the system clock.

Stored times are aware UTC datetimes; waits inside a process use the event loop's monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

LITTLE = timedelta(seconds=2)  # how far off a clock may be and still be believed at once
_PATIENCE_SECONDS = 300.0  # for which a greater one must last, to be believed


def utc_now() -> datetime:
    """Return the present instant as an aware datetime in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the place the rule points to


def elapsed() -> float:
    """Return seconds since some instant, whatever is done to the clock; sleep counts too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """Tells the time, and is not led astray by a clock that jumps and is righted again.

    What was written down an hour ahead would wait for that hour once the clock is right, and who is
    an hour ahead of the other replicas takes what they are at for abandoned. So a clock that is
    suddenly far off is followed only when it has stayed so.
    """

    def __init__(self, now: datetime, elapsed: Callable[[], float] = elapsed) -> None:
        """Start at `now`; `elapsed` returns monotonic seconds."""
        self._elapsed = elapsed
        self._set = (now, elapsed())
        self._odd: tuple[timedelta, float] | None = None  # how far off, and since when

    def __call__(self) -> datetime:
        """Return the time."""
        now, at = self._set
        return now + timedelta(seconds=self._elapsed() - at)

    def hear(self, now: datetime) -> bool:
        """Note what another clock tells; return whether ours jumped to follow it."""
        at, difference = self._elapsed(), now - self()
        if abs(difference) <= LITTLE:
            self._set, self._odd = (now, at), None
            return False
        if self._odd is None or abs(difference - self._odd[0]) > LITTLE:
            self._odd = (difference, at)
        if at - self._odd[1] < _PATIENCE_SECONDS:
            return False
        self._set, self._odd = (now, at), None
        return True
