"""Voice templates filled in, as a call about given alerts would say them. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.model import (
    Alert,
    Episode,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Receiver,
    Record,
    Status,
)
from adapter.on_call import everybody
from adapter.rendering.render import Rendered, render
from adapter.rendering.templates import VoiceTemplate
from adapter.rendering.views import RenderContext
from adapter.routing import Route, group_labels
from adapter.sources.fingerprints import fingerprint

SAMPLE_PERSON = Person(name="alice", phone=PhoneNumber("+8613800138000"), spoken_name="王小丽")


class Sample(Record):
    """A voice template filled in."""

    template: VoiceTemplate
    receiver: str
    reason: Reason
    alerts: int
    rendered: Rendered


def sample_alerts(now: datetime) -> tuple[Alert, ...]:
    """Return two alerts with the labels and annotations that rules commonly have."""
    return tuple(
        Alert(
            fingerprint=fingerprint({"instance": instance}),
            status=Status.FIRING,
            labels={
                "alertname": "InstanceDown",
                "cluster": "cn-bj2",
                "instance": instance,
                "job": "node",
                "namespace": "monitoring",
                "service": "node-exporter",
                "severity": "critical",
                "team": "sre",
            },
            annotations={
                "summary": f"{instance} 无法访问",
                "description": f"{instance} has been down for more than 5 minutes.",
                "runbook_url": "https://runbooks.example.com/InstanceDown",
            },
            starts_at=now - timedelta(minutes=5),
            values={"A": 1.0, "B": 95.333},
        )
        for instance in ("db-1.example.com:9100", "db-2.example.com:9100")
    )


def sample(policy: Policy, name: str, alerts: Sequence[Alert], now: datetime) -> Sample:
    """Fill the voice template of this name in, as a call about these alerts would.

    The alerts that fire are told; where none does, those that have resolved. A template that only
    tells what is over tells them all as resolved.
    """
    template = policy.voice_templates[name]
    receiver, route = _user(policy, name)
    if receiver.escalation and receiver.voice_template != name:
        alerts = [replace(alert, status=Status.RESOLVED, ends_at=now) for alert in alerts]
    firing = [alert for alert in alerts if alert.status is Status.FIRING]
    reason = Reason.FIRST if firing else Reason.RESOLVED
    told = firing or alerts
    page = Page(
        id="preview-1",
        receiver=receiver.name,
        group_labels=group_labels(route, told[0].labels) if told else {},
        opened_at=now,
        confirmed_at=now,
    )
    context = RenderContext(
        alerts=[_episode(alert, receiver.name, now) for alert in told],
        page=page,
        receiver=receiver.name,
        person=next(iter(everybody(policy, receiver)), SAMPLE_PERSON),
        reason=reason,
        now=now,
    )
    return Sample(
        template=template,
        receiver=receiver.name,
        reason=reason,
        alerts=len(told),
        rendered=render(template, context),
    )


def _user(policy: Policy, template: str) -> tuple[Receiver, Route]:
    """Return a receiver that speaks with this template, and a route that leads to it."""
    users = {
        receiver.name: receiver
        for receiver in policy.receivers.values()
        if template in (receiver.voice_template, receiver.resolved_template)
    }
    for route in _all_routes(policy.route):
        if route.receiver in users:
            return users[route.receiver], route
    receiver = next(iter(users.values()), Receiver(name="nobody"))
    return receiver, policy.route


def _all_routes(route: Route) -> Iterator[Route]:
    yield route
    for child in route.routes:
        yield from _all_routes(child)


def _episode(alert: Alert, receiver: str, now: datetime) -> Episode:
    return Episode(
        id=1,
        receiver=receiver,
        fingerprint=alert.fingerprint,
        page_id="preview-1",
        firing=alert.status is Status.FIRING,
        starts_at=alert.starts_at or now,
        ends_at=alert.ends_at,
        labels=alert.labels,
        annotations=alert.annotations,
        values=alert.values,
        generator_url=alert.generator_url,
    )
