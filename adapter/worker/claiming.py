"""Claiming: which calls leave now, with which words, each written down before it does.

Runs inside one transaction of the store. Who may ring when is decided in `paging`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.delivery.policy import UvmsSettings
from adapter.model import Attempt, Call, CallState, Episode, Mode, Person, Reason, Record
from adapter.paging import limited_until, wait_for_look_up
from adapter.rendering.hours import next_usable, usable_template
from adapter.rendering.render import Rendered, render
from adapter.rendering.templates import VoiceTemplate
from adapter.rendering.views import RenderContext
from adapter.store.session import Session
from adapter.uvms.wire import SendRequest
from adapter.worker.pace import in_window

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
    postponed: int = 0  # calls whose words may not be said before their template's hours
    told: int = 0  # calls with nothing but what their person may have heard: a look-up will tell
    alerts: int = 0  # how many had to be loaded

    @property
    def moved(self) -> bool:
        """Whether anything changed: there may be more to claim."""
        return bool(self.ready or self.limited or self.ended or self.postponed or self.told)


def claim(
    session: Session, policy: Policy, slots: int, clock: Clock, new_id: Callable[[], str]
) -> Claimed:
    """Claim at most so many calls, of different phones, and write their attempts down.

    An attempt begins when its phone is ours: as we wait for others, they may still ring it.
    """
    claimed, now = Claimed(), clock()
    most, window = in_window(policy.requests_per_second)
    slots = min(slots, session.within_pace(most, now - timedelta(seconds=window), slots))
    for due in session.due_phones(now) if slots else ():
        if len(claimed.ready) == slots:
            break
        if not session.lock_phone(due.phone, now):
            continue
        begun = max(now, clock())
        dialled = session.dialled_since(due.phone, begun - timedelta(days=1))
        until = limited_until(dialled, policy.limits, begun)
        if until is not None:
            limited = session.limit(due.phone, now, until)
            claimed = replace(claimed, limited=claimed.limited + limited)
            continue
        lead = next(iter(session.due_calls(due.phone, now, 1)), None)
        if lead is None:
            continue  # another replica was faster
        begun = max(begun, clock())  # now that nobody rings it
        if session.alike(lead, now) >= policy.limits.bundle_above:
            lead = session.bundle(lead, now)
        claimed = _prepare(session, policy, lead, claimed, begun, new_id)
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
    """Find out whether and with which words the call leaves, and write its attempt down."""
    name = _template_name(policy, call)
    if name not in policy.voice_templates:
        note = f"receiver {call.receiver!r} has no voice template in routes.yaml any more"
        return _end(session, call, CallState.REFUSED, note, claimed, now)
    template = usable_template(policy.voice_templates, name, now)
    if template is None:
        until = next_usable(policy.voice_templates, name, now)
        waiting = session.postpone(call, now, until, f"voice template {name!r} has hours")
        return replace(claimed, postponed=claimed.postponed + waiting)
    alerts = session.alerts_named_by(call) if call.page_id else []
    if call.page_id and not alerts:
        note = "its alerts resolved, were taken or were told of otherwise, before it was made"
        return _end(session, call, CallState.CANCELLED, note, claimed, now)
    claimed = replace(claimed, alerts=claimed.alerts + len(alerts))
    if call.reason is not Reason.RESOLVED:
        known_at = wait_for_look_up(alerts, session.maybe_told(call), now)
        if known_at is not None:
            why = "its person may have heard all of it in a call that is looked up"
            waiting = session.postpone(call, now, known_at, why)
            return replace(claimed, told=claimed.told + waiting)
    return _begin(session, policy, call, template, alerts, claimed, now, new_id)


def _begin(
    session: Session,
    policy: Policy,
    call: Call,
    template: VoiceTemplate,
    alerts: Sequence[Episode],
    claimed: Claimed,
    now: datetime,
    new_id: Callable[[], str],
) -> Claimed:
    """Render the call, and hold it by an attempt."""
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
    if policy.receivers[call.receiver].mode is Mode.SHADOW:
        return _shadow(session, call, attempt, claimed, now)
    ready = Ready(
        call=replace(call, attempts=call.attempts + 1),
        attempt=attempt,
        request=_request(policy, call, template, attempt),
        rendered=rendered,
        first=call.dialled_at is None,
    )
    return replace(claimed, ready=(*claimed.ready, ready))


def _end(
    session: Session, call: Call, state: CallState, note: str, claimed: Claimed, now: datetime
) -> Claimed:
    """End a call for which no request leaves."""
    session.end(call, state, now, note)
    return replace(claimed, ended=(*claimed.ended, (call, state, note)))


def _shadow(
    session: Session, call: Call, attempt: Attempt, claimed: Claimed, now: datetime
) -> Claimed:
    """Record a call as it would have been made, and dial nobody."""
    note = "not dialled: its receiver is in shadow mode"
    session.finish_attempt(replace(attempt, finished_at=now, outcome=CallState.SHADOWED))
    session.settle(attempt.id, CallState.SHADOWED, now=now, due_at=None, note=note)
    return replace(claimed, ended=(*claimed.ended, (call, CallState.SHADOWED, note)))


def longest_request(uvms: UvmsSettings) -> timedelta:
    """How long a request can take at the most: a slot, TCP, TLS and writing, then the answer."""
    return 4 * uvms.connect_timeout + uvms.read_timeout


def leave_within(uvms: UvmsSettings) -> timedelta:
    """How long after its claim a request may leave: its answer then comes within the lease."""
    return 4 * uvms.connect_timeout + _LEASE_MARGIN / 2


def lease(uvms: UvmsSettings) -> timedelta:
    """How long an attempt holds its call: longer than any request can take."""
    return longest_request(uvms) + _LEASE_MARGIN


def _template_name(policy: Policy, call: Call) -> str:
    """Return the name of the voice template of the call's words; "": there is none any more."""
    receiver = policy.receivers.get(call.receiver)
    if receiver is None:
        return ""
    resolved = call.reason is Reason.RESOLVED
    return receiver.resolved_template if resolved else receiver.voice_template


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
