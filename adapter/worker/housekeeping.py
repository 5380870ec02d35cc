"""Housekeeping: closes pages that no webhook confirms any more, and forgets what ended long ago."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.errors import StoreUnavailable
from adapter.logs import Changes, logger
from adapter.store.store import Store

_log = logger(__name__)

_PAUSE_SECONDS = 60.0
_PRUNE_AT_MOST = 500  # rows a step, so that intake never waits long for housekeeping


async def keep_house(store: Store, policy: Callable[[], Policy], clock: Clock) -> None:
    """Tidy up once a minute until cancelled. Whatever goes wrong, no phone waits for it."""
    news = Changes()
    while True:
        try:
            await _tidy(store, policy(), clock())
        except StoreUnavailable:
            pass  # whoever observes the store says so
        except Exception as error:  # tidying must never keep a phone from ringing
            if news.is_news("housekeeping", repr(error)):
                _log.exception("housekeeping failed")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _tidy(store: Store, policy: Policy, now: datetime) -> None:
    stale, old = now - policy.stale_after, now - policy.retention
    bodies = now - policy.keep_webhooks
    await store.write(lambda session: session.close_stale(stale, now))
    pruned = 1
    while pruned:
        pruned = await store.write(
            lambda session: session.prune(old, _PRUNE_AT_MOST, webhooks_before=bodies)
        )
