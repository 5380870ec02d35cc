"""Looks ahead for times in which nobody is on call: a human has to hear of it before the night."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.errors import StoreUnavailable
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.on_call import Feeds, standing_overrides
from adapter.schedules import holes
from adapter.schedules.workdays import is_workday
from adapter.store.store import Store

_log = logger(__name__)

AHEAD = timedelta(hours=24)
_EVERY_SECONDS = 60.0


async def watch_coverage(
    store: Store, policy: Callable[[], Policy], feeds: Feeds, metrics: Metrics, clock: Clock
) -> None:
    """Keep the gauge of each schedule right; a hole that was not there before is logged."""
    news = Changes()
    while True:
        try:
            await _look(store, policy(), feeds, metrics, clock, news)
        except StoreUnavailable:
            pass  # whoever observes the store says so
        except Exception as error:  # looking ahead must not end the calls
            if news.is_news("coverage", repr(error)):
                _log.exception("looking for holes in schedules failed")
        await asyncio.sleep(_EVERY_SECONDS)


async def _look(
    store: Store, policy: Policy, feeds: Feeds, metrics: Metrics, clock: Clock, news: Changes
) -> None:
    now = clock()
    overrides = await store.read(lambda session: standing_overrides(session, policy, now))
    metrics.schedule_uncovered.clear()  # a schedule that is gone has no holes
    for name, schedule in policy.schedules.items():
        found = holes(schedule, now, now + AHEAD, overrides, feeds().get(name), is_workday)
        uncovered = sum((hole.end - hole.start for hole in found), timedelta())
        metrics.schedule_uncovered.labels(name).set(uncovered.total_seconds())
        first = found[0].start if found else None
        if news.is_news(f"schedule {name}", bool(found)) and first is not None:
            _log.error("nobody is on call for a time", schedule=name, first=first.isoformat())
