"""Which phones an alert would ring, step by step, with which words, and why, or why none.

The store is one in which nothing is known yet, and nobody answers: the escalation is gone through
once to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.durations import format_duration
from adapter.heartbeats import Heartbeat, heartbeat_of
from adapter.intake import route_alerts
from adapter.model import (
    Alert,
    Call,
    CallState,
    Episode,
    EventKind,
    Labels,
    Mode,
    Page,
    Person,
    Reason,
    Receiver,
    Record,
    Status,
)
from adapter.on_call import roster_at as by_file
from adapter.paging import Changes, Known, Moves, Routed, Verdict, decide, look
from adapter.rendering.hours import next_usable, usable_template
from adapter.rendering.render import Rendered, render
from adapter.rendering.templates import VoiceTemplate
from adapter.rendering.views import RenderContext
from adapter.routing import Route, group_labels, match
from adapter.schedules.roster import Roster
from adapter.sources.fingerprints import fingerprint

RosterAt = Callable[[datetime], Roster]


class Said(Record):
    """What one person would hear."""

    person: Person
    template: VoiceTemplate
    rendered: Rendered
    silent_until: datetime | None = None  # until then the template's hours forbid it; None: said


class StepPreview(Record):
    """One step of an escalation that nobody answers."""

    number: int  # from 1
    at: datetime
    said: tuple[Said, ...] = ()  # empty: it is passed over
    skipped: str = ""  # why


class Lead(Record):
    """One route that the labels lead to, and what follows from it."""

    route: Route
    receiver: Receiver
    group_labels: Labels
    muted_by: tuple[str, ...]
    reason: Reason  # `first`: calls follow; else why none does
    detail: str
    due_at: datetime | None  # when the first calls would be made; None: nobody is called
    steps: tuple[StepPreview, ...]
    exhausted_at: datetime | None = None  # when its escalation ends; None: nobody is called

    @property
    def shadow(self) -> bool:
        """Whether everything is decided and nobody is dialled."""
        return self.receiver.mode is Mode.SHADOW


class Preview(Record):
    """What would become of one firing alert that nobody has heard of."""

    at: datetime
    alert: Alert
    leads: tuple[Lead, ...]  # in the order of the file; never empty, the root takes everything

    @property
    def receivers(self) -> tuple[str, ...]:
        """Return the receivers in the order of their routes; one may come twice."""
        return tuple(lead.receiver.name for lead in self.leads)


def preview(
    policy: Policy,
    labels: Labels,
    annotations: Labels,
    at: datetime,
    roster_at: RosterAt | None = None,
) -> Preview:
    """Return what a new alert of these labels would lead to at this instant.

    `roster_at`: who is on call at an instant; by default as routes.yaml alone says.
    """
    alert = Alert(
        fingerprint=fingerprint(labels),
        status=Status.FIRING,
        labels=labels,
        annotations=annotations,
        starts_at=at,
    )
    routes = match(policy.route, labels)
    beat = heartbeat_of(policy.heartbeats, labels)
    if beat is not None:
        return Preview(at=at, alert=alert, leads=(_awaited(policy, routes[0], beat, labels),))
    look_ahead = _LookAhead(policy, alert, roster_at or by_file(policy))
    routed = route_alerts(policy, (alert,), at)
    return Preview(at=at, alert=alert, leads=tuple(look_ahead.leads(routes, routed, at)))


def _awaited(policy: Policy, route: Route, beat: Heartbeat, labels: Labels) -> Lead:
    """Say of a heartbeat who is called without it."""
    receiver, every = policy.receivers[beat.receiver], format_duration(beat.every)
    return Lead(
        route=route,
        receiver=receiver,
        group_labels=group_labels(route, labels),
        muted_by=(),
        reason=Reason.HEARTBEAT,
        detail=f"heartbeat {beat.name}: {receiver.name} is called without it for {every}",
        due_at=None,
        steps=(),
    )


class _LookAhead:
    """The working state of one preview."""

    def __init__(self, policy: Policy, alert: Alert, roster_at: RosterAt) -> None:
        self._policy, self._alert, self._roster_at = policy, alert, roster_at
        self._ids = count(1)

    def _new_id(self) -> str:
        return f"preview-{next(self._ids)}"

    def leads(
        self, routes: Sequence[Route], routed: Sequence[Routed], at: datetime
    ) -> Iterator[Lead]:
        """Return what follows from each route that chooses a receiver."""
        changes = decide(
            routed,
            Known(),
            truncated=False,
            now=at,
            new_id=self._new_id,
            on_call=self._roster_at(at).people,
        )
        verdicts = {verdict.receiver: verdict for verdict in changes.verdicts}
        taken: set[str] = set()
        for route, item in zip(routes, routed, strict=True):
            verdict = verdicts[item.receiver.name]
            reason, detail = _reason(item, verdict, already_taken=verdict.receiver in taken)
            if reason is verdict.reason:
                taken.add(verdict.receiver)
            yield self._lead(route, item, reason, detail, changes)

    def _lead(
        self, route: Route, item: Routed, reason: Reason, detail: str, changes: Changes
    ) -> Lead:
        called = reason in (Reason.FIRST, Reason.NOBODY_ON_CALL)
        steps, ends = self._steps(item.receiver, changes) if called else ((), None)
        due_times = [said.silent_until or step.at for step in steps for said in step.said]
        return Lead(
            route=route,
            receiver=item.receiver,
            group_labels=item.group_labels,
            muted_by=item.muted_by,
            reason=reason,
            detail=detail,
            due_at=min(due_times, default=None),
            steps=steps,
            exhausted_at=ends,
        )

    def _steps(
        self, receiver: Receiver, changes: Changes
    ) -> tuple[tuple[StepPreview, ...], datetime | None]:
        """Return the steps of a receiver's escalation that nobody answers, and when it ends."""
        (page,) = (page for page in changes.new_pages if page.receiver == receiver.name)
        alerts = [episode for episode in changes.new_episodes if episode.receiver == receiver.name]
        calls: dict[str, Call] = {}
        moves = Moves(
            page=replace(page, repeats_left=0),
            new_calls=tuple(call for call in changes.new_calls if call.page_id == page.id),
            events=tuple(event for event in changes.events if event.page_id == page.id),
        )
        now = page.opened_at
        steps = [*self._taken(receiver, moves, alerts)]
        while moves.page.look_at is not None:
            now = min((call.due_at for call in moves.new_calls), default=now)
            made = (*(self._held(receiver, call) for call in moves.new_calls), *moves.moved_calls)
            calls |= {call.id: call for call in made}
            if not _waits_past_its_step(moves.page, calls.values()):
                now = moves.page.look_at
            calls = {call.id: _unanswered(call, now) for call in calls.values()}
            moves = look(
                moves.page,
                receiver,
                tuple(calls.values()),
                0,
                on_call=self._roster_at(now).people,
                now=now,
                new_id=self._new_id,
            )
            steps += self._taken(receiver, moves, alerts)
        return tuple(steps), moves.page.exhausted_at

    def _taken(
        self, receiver: Receiver, moves: Moves, alerts: Sequence[Episode]
    ) -> Iterator[StepPreview]:
        """Return the steps of one move, those passed over among them."""
        told: set[int | None] = set()
        for event in moves.events:
            number = (event.step or 0) + 1
            calls = [call for call in moves.new_calls if call.step == event.step]
            if event.kind is EventKind.SKIPPED:
                why = event.detail.removeprefix(f"step {number}, ")
                yield StepPreview(number=number, at=event.at, skipped=why)
            elif event.kind is EventKind.STEP and calls:
                told.add(event.step)
                yield self._step(receiver, moves.page, calls, alerts)
            elif event.kind is EventKind.STEP:
                names = ", ".join(call.person for call in moves.moved_calls)
                why = f"{names}: a call of the step before still waits"
                yield StepPreview(number=number, at=event.at, skipped=why)
        if first := [call for call in moves.new_calls if call.step not in told]:
            yield self._step(receiver, moves.page, first, alerts)

    def _step(
        self, receiver: Receiver, page: Page, calls: Sequence[Call], alerts: Sequence[Episode]
    ) -> StepPreview:
        return StepPreview(
            number=(calls[0].step or 0) + 1,
            at=min(call.due_at for call in calls),
            said=tuple(self._said(receiver, page, call, alerts) for call in calls),
        )

    def _held(self, receiver: Receiver, call: Call) -> Call:
        """Return a call as it waits for the hours of its voice template, where it has to."""
        until = next_usable(self._policy.voice_templates, receiver.voice_template, call.due_at)
        return replace(call, due_at=until)

    def _said(self, receiver: Receiver, page: Page, call: Call, alerts: Sequence[Episode]) -> Said:
        templates, name = self._policy.voice_templates, receiver.voice_template
        template = usable_template(templates, name, call.due_at)
        person = self._policy.people.get(call.person, Person(name=call.person, phone=call.phone))
        context = RenderContext(
            alerts=alerts,
            page=page,
            receiver=receiver.name,
            person=person,
            reason=call.reason,
            now=call.due_at,
        )
        spoken = template or templates[name]
        return Said(
            person=person,
            template=spoken,
            rendered=render(spoken, context),
            silent_until=None if template else next_usable(templates, name, call.due_at),
        )


def _waits_past_its_step(page: Page, calls: Iterable[Call]) -> bool:
    """Whether no call of the step under way can be made in its time: the next one is taken."""
    mine = [call for call in calls if call.step == page.step]
    until = page.step_until
    return until is not None and all(
        call.state is CallState.WAITING and call.due_at >= until for call in mine
    )


def _unanswered(call: Call, now: datetime) -> Call:
    """Return a call once it is due: the vendor took it, and nobody answered."""
    if call.state is not CallState.WAITING or call.due_at > now:
        return call
    return replace(call, state=CallState.ACCEPTED, dialled_at=call.due_at, settled_at=call.due_at)


def _reason(item: Routed, verdict: Verdict, *, already_taken: bool) -> tuple[Reason, str]:
    """An alert that several routes send to one receiver counts once."""
    if already_taken:
        return Reason.DUPLICATE, "an earlier route sends it to this receiver"
    if item.muted_by and verdict.reason is not Reason.MUTED:
        return Reason.MUTED, "by time interval " + ", ".join(item.muted_by)
    return verdict.reason, verdict.detail
