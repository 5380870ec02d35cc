"""Claiming: which calls leave now, with which words, each written down before it does.

Runs inside one transaction of the store. Who may ring when is decided in `paging`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.delivery.policy import UvmsSettings
from adapter.model import Attempt, Call, CallState, Person, Reason, Record
from adapter.paging import limited_until
from adapter.rendering.render import Rendered, render
from adapter.rendering.templates import VoiceTemplate
from adapter.rendering.views import RenderContext
from adapter.store.session import Session
from adapter.uvms.wire import SendRequest

_LEASE_MARGIN = timedelta(seconds=10)
_MANY_ALERTS = 1_000  # a call that names more is claimed alone: loading them takes its time


class Ready(Record):
    """A claimed call, its attempt written down, about to leave."""

    call: Call
    attempt: Attempt
    request: SendRequest
    rendered: Rendered
    first: bool  # no request has left for this call before


class Claimed(Record):
    """What one claim found."""

    ready: tuple[Ready, ...] = ()
    limited: int = 0  # calls that wait for a limit now
    ended: tuple[tuple[Call, CallState, str], ...] = ()  # without a request, and why
    alerts: int = 0  # how many had to be loaded


def claim(
    session: Session, policy: Policy, slots: int, now: datetime, new_id: Callable[[], str]
) -> Claimed:
    """Claim at most so many calls, of different phones, and write their attempts down."""
    claimed = Claimed()
    for due in session.due_phones(now):
        if len(claimed.ready) == slots:
            break
        dialled = session.dialled_since(due.phone, now - timedelta(days=1))
        until = limited_until(dialled, policy.limits, now)
        if until is not None:
            limited = session.limit(due.phone, now, until)
            claimed = replace(claimed, limited=claimed.limited + limited)
            continue
        lead = session.due_calls(due.phone, now, 1)[0]
        if session.alike(lead, now) >= policy.limits.bundle_above:
            lead = session.bundle(lead, now)
        claimed = _prepare(session, policy, lead, claimed, now, new_id)
        if claimed.alerts > _MANY_ALERTS:
            break  # what is ready leaves first
    return claimed


def _prepare(
    session: Session,
    policy: Policy,
    call: Call,
    claimed: Claimed,
    now: datetime,
    new_id: Callable[[], str],
) -> Claimed:
    """Render the call as things stand now, and write its attempt down."""
    template = _template(policy, call)
    if template is None:
        note = f"receiver {call.receiver!r} has no voice template in routes.yaml any more"
        session.end(call, CallState.REFUSED, now, note)
        return replace(claimed, ended=(*claimed.ended, (call, CallState.REFUSED, note)))
    alerts = session.alerts_named_by(call) if call.page_id else []
    if call.page_id and not alerts:
        note = "its alerts resolved before it was made"
        session.end(call, CallState.CANCELLED, now, note)
        return replace(claimed, ended=(*claimed.ended, (call, CallState.CANCELLED, note)))
    claimed = replace(claimed, alerts=claimed.alerts + len(alerts))
    page = session.page(call.page_id) if call.page_id else None
    rendered = render(
        template,
        RenderContext(
            alerts=alerts,
            page=page,
            receiver=call.receiver,
            person=policy.people.get(call.person, Person(name=call.person, phone=call.phone)),
            reason=call.reason,
            now=now,
        ),
    )
    attempt = Attempt(
        id=new_id(),
        call_id=call.id,
        started_at=now,
        template_id=template.id,
        params=rendered.params,
    )
    if not session.begin(call, attempt, now + lease(policy.uvms)):
        return claimed  # somebody else makes it
    ready = Ready(
        call=replace(call, attempts=call.attempts + 1),
        attempt=attempt,
        request=_request(policy, call, template, attempt),
        rendered=rendered,
        first=call.dialled_at is None,
    )
    return replace(claimed, ready=(*claimed.ready, ready))


def longest_request(uvms: UvmsSettings) -> timedelta:
    """How long a request can take at the most: a slot, TCP, TLS and writing, then the answer."""
    return 4 * uvms.connect_timeout + uvms.read_timeout


def lease(uvms: UvmsSettings) -> timedelta:
    """How long an attempt holds its call: longer than any request can take."""
    return longest_request(uvms) + _LEASE_MARGIN


def _template(policy: Policy, call: Call) -> VoiceTemplate | None:
    receiver = policy.receivers.get(call.receiver)
    if receiver is None:
        return None
    resolved = call.reason is Reason.RESOLVED
    return policy.voice_templates.get(
        receiver.resolved_template if resolved else receiver.voice_template
    )


def _request(policy: Policy, call: Call, template: VoiceTemplate, attempt: Attempt) -> SendRequest:
    receiver = policy.receivers[call.receiver]
    return SendRequest(
        called=call.phone,
        template_id=template.id,
        params=attempt.params,
        user_id=attempt.id,
        from_number=receiver.from_number,
        group_type=receiver.group_type,
        dispatch_rule=receiver.dispatch_rule,
    )
