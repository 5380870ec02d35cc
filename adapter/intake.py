"""One webhook into one transaction. Calls the deciders and decides nothing; never waits for UVMS.

body -> parse -> route each alert -> (load what is known -> decide -> record) committed -> answer
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from msgspec.structs import replace

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.errors import InvalidNotification, NotJson, StoreUnavailable
from adapter.heartbeats import heard, heartbeat_of
from adapter.logs import logger
from adapter.metrics import Metrics
from adapter.model import Alert, EventKind, Notification, Reason, Record, Source
from adapter.on_call import Feeds, no_feeds, roster
from adapter.paging import Changes, Routed, Verdict, decide
from adapter.routing import Route, group_labels, match_many, muted_by
from adapter.sources import alertmanager, grafana
from adapter.store.session import Rejected, Session
from adapter.store.store import Store
from adapter.tracing import NO_TRACES, Span, Tracer

_log = logger(__name__)

_PARSERS: Mapping[Source, Callable[[bytes, datetime], Notification]] = {
    Source.ALERTMANAGER: alertmanager.parse,
    Source.GRAFANA: grafana.parse,
}

LARGE_BODY_BYTES = 256 * 1024
_LARGE_BODIES_AT_ONCE = 2  # to parse; more would only take each other's time
REJECTED_KEPT = 100  # refused bodies
REJECTED_BYTES = 64 * 1024  # of each


class Taken(Record):
    """What became of one webhook."""

    notification: Notification
    changes: Changes


class Intake:
    """Takes in webhooks. `wake` tells the worker that calls may be due."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
        wake: Callable[[], None],
        feeds: Feeds = no_feeds,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._feeds, self._tracer = feeds, tracer
        self._store, self._policy, self._metrics = store, policy, metrics
        self._clock, self._new_id, self._wake = clock, new_id, wake
        # Threads of our own: those of the event loop may all be waiting for a dead name server.
        self._readers = ThreadPoolExecutor(_LARGE_BODIES_AT_ONCE, thread_name_prefix="intake")

    async def take(self, source: Source, body: bytes, traceparent: str = "") -> Taken:
        """Take in one authenticated webhook; when this returns, it is on the disk.

        Raises NotJson or InvalidNotification, the body being kept for inspection; raises
        StoreUnavailable, nothing being kept.
        """
        now = self._clock()
        try:
            notification, routed = await self._read(source, body, now)
        except (NotJson, InvalidNotification) as error:
            await self._refuse(source, body, error, now)
            raise
        try:
            with self._tracer.span("decision", traceparent, alerts=len(routed)) as span:
                changes = await self._store.write(
                    lambda session: self._decide(
                        session, source, body, notification, routed, now, span.traceparent
                    )
                )
                _tell_trace(span, changes)
        except StoreUnavailable:
            self._metrics.notifications_invalid.labels(source, "store_unavailable").inc()
            raise
        self._tell(source, notification, changes)
        if changes.new_calls or changes.fallbacks:
            self._wake()
        return Taken(notification=notification, changes=changes)

    async def _read(
        self, source: Source, body: bytes, now: datetime
    ) -> tuple[Notification, list[Routed]]:
        """Parse and route; a large body does so beside the event loop, so that others get in."""
        policy = self._policy()

        def read() -> tuple[Notification, list[Routed]]:
            notification = parse(source, body, now)
            return notification, route_notification(policy, notification, now)

        if len(body) <= LARGE_BODY_BYTES:
            return read()
        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    def _decide(
        self,
        session: Session,
        source: Source,
        body: bytes,
        notification: Notification,
        routed: list[Routed],
        now: datetime,
        traceparent: str,
    ) -> Changes:
        policy = self._policy()
        changes = decide_and_record(
            session,
            policy,
            notification,
            routed,
            now=now,
            new_id=self._new_id,
            feeds=self._feeds,
            traceparent=traceparent,
        )
        if changes.new_calls or changes.fallbacks:
            session.wake()
        if policy.keep_webhooks:
            session.keep_webhook(source, body, now)
        return changes

    async def _refuse(
        self, source: Source, body: bytes, error: NotJson | InvalidNotification, now: datetime
    ) -> None:
        reason = "not_json" if isinstance(error, NotJson) else "no_notification"
        self._metrics.notifications_invalid.labels(source, reason).inc()
        _log.warning("webhook refused", source=source, reason=reason, error=str(error))
        kept = Rejected(
            id=0,
            received_at=now,
            source=source,
            error=str(error),
            size=len(body),
            body=body[:REJECTED_BYTES],
        )
        await self._store.write(lambda session: session.reject(kept, REJECTED_KEPT))

    def _tell(self, source: Source, notification: Notification, changes: Changes) -> None:
        self._metrics.notifications_received.labels(source).inc()
        reasons = Counter(verdict.reason for verdict in changes.verdicts)
        for reason, count in reasons.items():
            self._metrics.alerts_received.labels(reason).inc(count)
        self._tell_of_nobody(changes)
        _log.info(
            "webhook accepted",
            source=source,
            receiver=notification.receiver,
            group_key=notification.group_key[:200],
            alerts=len(notification.alerts),
            truncated_alerts=notification.truncated_alerts,
            new_calls=len(changes.new_calls),
            **{f"alerts_{reason}": count for reason, count in reasons.items()},
        )

    def _tell_of_nobody(self, changes: Changes) -> None:
        """Shout where somebody should be called and nobody is on call."""
        kinds = Counter(event.kind for event in changes.events)
        self._metrics.nobody_on_call.inc(kinds[EventKind.SKIPPED])
        self._metrics.escalations_exhausted.inc(kinds[EventKind.EXHAUSTED])
        for event in changes.events:
            if event.kind is EventKind.EXHAUSTED:
                _log.error("nobody is called", page=event.page_id, detail=event.detail)
            elif event.kind is EventKind.SKIPPED:
                _log.warning("nobody is on call", page=event.page_id, detail=event.detail)


def parse(source: Source, body: bytes, now: datetime) -> Notification:
    """Return what a sender of webhooks sent. Raises NotJson or InvalidNotification."""
    return _PARSERS[source](body, now)


def decide_and_record(
    session: Session,
    policy: Policy,
    notification: Notification,
    routed: Sequence[Routed],
    *,
    now: datetime,
    new_id: Callable[[], str],
    feeds: Feeds = no_feeds,
    traceparent: str = "",
) -> Changes:
    """Decide what a notification changes, and write that down in the same transaction."""
    alerts = {item.alert_key for item in routed}
    groups = {item.page_key for item in routed if item.receiver.escalation}
    session.lock_decisions(alerts, groups)
    known = session.known(alerts, groups)
    changes = decide(
        routed,
        known,
        truncated=notification.truncated_alerts > 0,
        now=now,
        new_id=new_id,
        on_call=roster(session, policy, feeds, now).people,
    )
    changes = _traced(changes, traceparent)
    session.record(changes)
    session.hear(heard(policy.heartbeats, notification.alerts), now)
    changes = replace(changes, verdicts=(*changes.verdicts, *_heartbeats(policy, notification)))
    session.keep_verdicts(changes.verdicts, now)
    return changes


def _traced(changes: Changes, traceparent: str) -> Changes:
    """Let the new calls know what they come from."""
    if not traceparent:
        return changes
    new_calls = tuple(replace(call, traceparent=traceparent) for call in changes.new_calls)
    return replace(changes, new_calls=new_calls)


def _tell_trace(span: Span, changes: Changes) -> None:
    pages = {call.page_id for call in changes.new_calls}
    span.set(
        new_calls=len(changes.new_calls),
        new_pages=len(changes.new_pages),
        page=pages.pop() if len(pages) == 1 else None,
    )


def _heartbeats(policy: Policy, notification: Notification) -> Iterator[Verdict]:
    """Say of the heartbeats among the alerts that they are."""
    for alert in notification.alerts:
        beat = heartbeat_of(policy.heartbeats, alert.labels)
        if beat is not None:
            yield Verdict(
                alert=alert,
                receiver=beat.receiver,
                reason=Reason.HEARTBEAT,
                detail=f"heartbeat {beat.name}",
            )


def route_notification(policy: Policy, notification: Notification, now: datetime) -> list[Routed]:
    """Return each alert under each route that chooses a receiver for it; heartbeats have none."""
    alerts = [a for a in notification.alerts if heartbeat_of(policy.heartbeats, a.labels) is None]
    return route_alerts(policy, alerts, now)


def route_alerts(policy: Policy, alerts: Sequence[Alert], now: datetime) -> list[Routed]:
    """Return each alert under each route that chooses a receiver for its own labels."""
    muted: dict[str, tuple[str, ...]] = {}

    def muted_now(route: Route) -> tuple[str, ...]:
        if route.id not in muted:
            muted[route.id] = muted_by(route, policy.time_intervals, now)
        return muted[route.id]

    matched = match_many(policy.route, (alert.labels for alert in alerts))
    return [
        Routed(
            alert=alert,
            receiver=policy.receivers[route.receiver],
            group_labels=group_labels(route, alert.labels),
            timing=route.timing,
            muted_by=muted_now(route),
            route=route.id,
        )
        for alert, routes in zip(alerts, matched, strict=True)
        for route in routes
    ]
