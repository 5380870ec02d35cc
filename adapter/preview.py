"""What would happen: which phones an alert would ring, with which words, and why, or why none.

Asks the very functions that take a webhook in and make its calls, with a store in which nothing
is known yet. Reads no store and changes nothing; must not know who asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.intake import route_alerts
from adapter.model import (
    Alert,
    Episode,
    Labels,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Receiver,
    Record,
    Status,
)
from adapter.paging import Changes, Known, Routed, Verdict, decide
from adapter.rendering.render import Rendered, render
from adapter.rendering.templates import VoiceTemplate
from adapter.rendering.views import RenderContext
from adapter.routing import Route, group_labels, match
from adapter.sources.fingerprints import fingerprint

SAMPLE_PERSON = Person(name="alice", phone=PhoneNumber("+8613800138000"), spoken_name="王小丽")


class Said(Record):
    """What one person would hear."""

    person: Person
    template: VoiceTemplate
    rendered: Rendered


class Lead(Record):
    """One route that the labels lead to, and what follows from it."""

    route: Route
    receiver: Receiver
    group_labels: Labels
    muted_by: tuple[str, ...]
    reason: Reason  # `first`: calls follow; else why none does
    detail: str
    due_at: datetime | None  # when the calls would be made; None: nobody is called
    said: tuple[Said, ...]


class Preview(Record):
    """What would become of one firing alert that nobody has heard of."""

    at: datetime
    alert: Alert
    leads: tuple[Lead, ...]  # in the order of the file; never empty, the root takes everything

    @property
    def receivers(self) -> tuple[str, ...]:
        """Return the receivers in the order of their routes; one may come twice."""
        return tuple(lead.receiver.name for lead in self.leads)


class Sample(Record):
    """A voice template filled in."""

    template: VoiceTemplate
    receiver: str
    reason: Reason
    alerts: int
    rendered: Rendered


def preview(policy: Policy, labels: Labels, annotations: Labels, at: datetime) -> Preview:
    """Return what a new alert of these labels would lead to at this instant."""
    alert = Alert(
        fingerprint=fingerprint(labels),
        status=Status.FIRING,
        labels=labels,
        annotations=annotations,
        starts_at=at,
    )
    routed = route_alerts(policy, (alert,), at)
    ids = count(1)
    changes = decide(
        routed, Known(), truncated=False, now=at, new_id=lambda: f"preview-{next(ids)}"
    )
    routes = match(policy.route, labels)
    return Preview(at=at, alert=alert, leads=tuple(_leads(policy, routes, routed, changes)))


def _leads(
    policy: Policy, routes: Sequence[Route], routed: Sequence[Routed], changes: Changes
) -> Iterator[Lead]:
    verdicts = {verdict.receiver: verdict for verdict in changes.verdicts}
    taken: set[str] = set()
    for route, item in zip(routes, routed, strict=True):
        name = item.receiver.name
        reason, detail = _reason(item, verdicts[name], already_taken=name in taken)
        calls = [call for call in changes.new_calls if call.receiver == name]
        called = reason is Reason.FIRST
        yield Lead(
            route=route,
            receiver=item.receiver,
            group_labels=item.group_labels,
            muted_by=item.muted_by,
            reason=reason,
            detail=detail,
            due_at=calls[0].due_at if called else None,
            said=tuple(_said(policy, item.receiver, changes)) if called else (),
        )
        if reason is verdicts[name].reason:
            taken.add(name)


def _reason(item: Routed, verdict: Verdict, *, already_taken: bool) -> tuple[Reason, str]:
    """An alert that several routes send to one receiver counts once."""
    if already_taken:
        return Reason.DUPLICATE, "an earlier route sends it to this receiver"
    if item.muted_by and verdict.reason is not Reason.MUTED:
        return Reason.MUTED, "by time interval " + ", ".join(item.muted_by)
    return verdict.reason, verdict.detail


def _said(policy: Policy, receiver: Receiver, changes: Changes) -> Iterator[Said]:
    template = policy.voice_templates[receiver.voice_template]
    (page,) = (page for page in changes.new_pages if page.receiver == receiver.name)
    alerts = [episode for episode in changes.new_episodes if episode.receiver == receiver.name]
    for call in changes.new_calls:
        if call.receiver == receiver.name:
            person = policy.people.get(call.person, Person(name=call.person, phone=call.phone))
            context = RenderContext(
                alerts=alerts,
                page=page,
                receiver=receiver.name,
                person=person,
                reason=call.reason,
                now=call.due_at,
            )
            yield Said(person=person, template=template, rendered=render(template, context))


# --- voice templates ---------------------------------------------------------------------------


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
    if receiver.people and receiver.voice_template != name:
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
        person=receiver.people[0] if receiver.people else SAMPLE_PERSON,
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
