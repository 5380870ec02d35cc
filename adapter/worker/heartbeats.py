"""Waits for heartbeats: one that is missing becomes an alert of our own, decided as any other.

Which are missing is decided in `adapter.heartbeats`, whom that rings in `paging`. The alert and the
note that it was given are one transaction, and one replica at a time is at it, so each silence
rings once, over restarts too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.errors import StoreUnavailable
from adapter.heartbeats import Heartbeat, news
from adapter.intake import decide_and_record
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.model import Alert, Notification, Source, Status
from adapter.on_call import Feeds
from adapter.paging import Routed
from adapter.store.session import Session
from adapter.store.store import Store

_log = logger(__name__)

_EVERY_SECONDS = 5.0  # how late a silence may be noticed
ROUTE = "heartbeats"  # in place of a route's id, for the story


async def watch_heartbeats(
    store: Store,
    policy: Callable[[], Policy],
    feeds: Feeds,
    metrics: Metrics,
    clock: Clock,
    new_id: Callable[[], str],
    wake: Callable[[], None],
) -> None:
    """Look for heartbeats that are missing, for ever."""
    changes, since = Changes(), clock()

    def judged(session: Session) -> list[tuple[Heartbeat, Alert]] | None:
        return judge(session, policy(), feeds, since, clock(), new_id)

    while True:
        try:
            found = await store.write(judged)
            if found is not None:
                _tell(policy().heartbeats, found, metrics, changes)
            if found:
                wake()
        except StoreUnavailable:
            pass  # whoever observes the store says so
        except Exception as error:  # the loop lives on
            if changes.is_news("heartbeats", repr(error)):
                _log.exception("waiting for heartbeats failed")
        await asyncio.sleep(_EVERY_SECONDS)


def _tell(
    heartbeats: Sequence[Heartbeat],
    found: Sequence[tuple[Heartbeat, Alert]],
    metrics: Metrics,
    changes: Changes,
) -> None:
    missing = {heartbeat.name for heartbeat, alert in found if alert.status is Status.FIRING}
    metrics.heartbeat_missing.clear()  # of a heartbeat that is waited for no more nothing is said
    for heartbeat in heartbeats:
        is_missing = heartbeat.name in missing
        metrics.heartbeat_missing.labels(heartbeat.name).set(is_missing)
        if changes.is_news(f"heartbeat {heartbeat.name}", is_missing):
            names = {"heartbeat": heartbeat.name, "receiver": heartbeat.receiver}
            if is_missing:
                _log.error("heartbeat missing: monitoring is silent", **names)
            else:
                _log.info("heartbeat heard", **names)


def judge(
    session: Session,
    policy: Policy,
    feeds: Feeds,
    listening_since: datetime,
    now: datetime,
    new_id: Callable[[], str],
) -> list[tuple[Heartbeat, Alert]] | None:
    """Decide about the heartbeats that are missing or back, and return them with their alerts.

    None: another replica is at it just now.
    """
    if not policy.heartbeats and not session.pulses():
        return []
    if not session.try_lock("heartbeats"):
        return None
    session.wait_for((heartbeat.name for heartbeat in policy.heartbeats), now)
    pulses = session.pulses()
    found = list(news(policy.heartbeats, pulses, listening_since, now))
    for heartbeat, alert in found:
        decide_and_record(
            session,
            policy,
            Notification(source=Source.ALERTMANAGER, receiver="", alerts=(alert,)),
            [_routed(policy, heartbeat, alert)],
            now=now,
            new_id=new_id,
            feeds=feeds,
        )
        fires = alert.status is Status.FIRING
        if fires is (pulses[heartbeat.name].silent_since is None):
            session.note_silence(heartbeat.name, alert.starts_at if fires else None)
    return found


def _routed(policy: Policy, heartbeat: Heartbeat, alert: Alert) -> Routed:
    return Routed(
        alert=alert,
        receiver=policy.receivers[heartbeat.receiver],
        group_labels={"heartbeat": heartbeat.name},
        timing=policy.route.timing,
        route=ROUTE,
    )
