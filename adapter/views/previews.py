"""Previews as plain JSON values."""

from __future__ import annotations

from adapter.durations import format_duration
from adapter.model import Timing
from adapter.preview import Lead, Preview, Said, Sample, StepPreview
from adapter.rendering.render import Rendered
from adapter.views.values import Json, maybe_shown, shown


def preview(found: Preview) -> Json:
    """Return what an alert would lead to."""
    return {
        "at": shown(found.at),
        "labels": dict(found.alert.labels),
        "annotations": dict(found.alert.annotations),
        "receivers": list(found.receivers),
        "routes": [_lead(lead) for lead in found.leads],
    }


def sample(found: Sample) -> Json:
    """Return a voice template filled in."""
    return {
        "template": found.template.name,
        "template_id": found.template.id,
        "receiver": found.receiver,
        "reason": str(found.reason),
        "alerts": found.alerts,
        "sources": [param.source for param in found.template.params],
    } | _rendered(found.rendered)


def timing(knobs: Timing) -> Json:
    """Return a route's timing as routes.yaml writes it."""
    repeat = knobs.repeat_interval
    return {
        "group_wait": format_duration(knobs.group_wait),
        "group_interval": format_duration(knobs.group_interval),
        "repeat_interval": "never" if repeat is None else format_duration(repeat),
    }


def _lead(lead: Lead) -> Json:
    receiver = lead.receiver
    return {
        "route": lead.route.id,
        "matchers": [str(matcher) for matcher in lead.route.matchers],
        "receiver": receiver.name,
        "group_labels": dict(lead.group_labels),
        "timing": timing(lead.route.timing),
        "muted_by": list(lead.muted_by),
        "called": lead.due_at is not None,
        "shadow": lead.shadow,
        "reason": str(lead.reason),
        "detail": lead.detail,
        "due_at": maybe_shown(lead.due_at),
        "steps": [_step(step) for step in lead.steps],
        "steps_of": len(receiver.escalation),
        "repeat": receiver.repeat,
        "exhausted_at": maybe_shown(lead.exhausted_at),
        "fallback": receiver.fallback_webhook is not None,
    }


def _step(step: StepPreview) -> Json:
    return {
        "step": step.number,
        "at": shown(step.at),
        "skipped": step.skipped,
        "calls": [_said(said) for said in step.said],
    }


def _said(said: Said) -> Json:
    return {
        "person": said.person.name,
        "phone": str(said.person.phone),
        "template": said.template.name,
        "template_id": said.template.id,
        "silent_until": maybe_shown(said.silent_until),
    } | _rendered(said.rendered)


def _rendered(rendered: Rendered) -> Json:
    return {
        "params": list(rendered.params),
        "words": rendered.words,
        "repairs": [
            {
                "param": repair.param,
                "kind": str(repair.kind),
                "before": repair.before,
                "after": repair.after,
            }
            for repair in rendered.repairs
        ],
        "errors": list(rendered.errors),
    }
