"""How often one phone may ring. Knows nothing of pages and alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from adapter.model import PersonLimits


def limited_until(
    dialled: Sequence[datetime], limits: PersonLimits, now: datetime
) -> datetime | None:
    """Return when the phone that was `dialled` at these instants may ring again; None: now.

    `dialled`: oldest first; instants older than a day may be left out. A call over a limit waits
    until the instant returned; no limit ever drops one.
    """
    # A clock that was set back must not hold a phone back until it has caught up.
    dialled = [at for at in dialled if at <= now]
    waits = [
        dialled[-count] + window
        for count, window in (
            (1, limits.min_interval),
            (limits.per_hour, timedelta(hours=1)),
            (limits.per_day, timedelta(days=1)),
        )
        if len(dialled) >= count
    ]
    latest = max(waits, default=now)
    return latest if latest > now else None
