"""The only place that reads the system clock.

Stored times are aware UTC datetimes; waits inside a process use the event loop's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present instant as an aware datetime in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the place the rule points to
