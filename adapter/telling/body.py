"""The body of a fallback webhook: an Alertmanager notification, and what was tried besides.

Whatever shows Alertmanager's webhooks shows this one too. Source of its shape:
https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, version "4". What is ours
has names of our own: annotations `uvms_adapter_…` for people, the object `uvmsAdapter` for scripts.
Labels stay as they came, so that they group as ever. No phone number is in what we add.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from adapter.model import Call, CallState, Episode, Page, Record, Result

MOST_ALERTS = 100  # of one body; `truncatedAlerts` counts the rest
MOST_CALLS = 50  # of what was tried, the last ones
_LONGEST_ANNOTATION = 2_000  # characters

_NO_TIME = "0001-01-01T00:00:00Z"  # Alertmanager's endsAt of an alert that fires

_RESULTS = {
    Result.ANSWERED: "answered",
    Result.HUNG_UP: "answered, but hung up too soon to count",
    Result.UNANSWERED: "not answered",
    Result.UNREPORTED: "placed; the carrier reported nothing",
}
_STATES = {
    CallState.WAITING: "still waits to be placed",
    CallState.SENDING: "is being placed",
    CallState.UNKNOWN: "may have rung",
    CallState.ACCEPTED: "placed; nothing reported yet",
    CallState.REFUSED: "refused",
    CallState.GAVE_UP: "could not be placed",
    CallState.CANCELLED: "not placed",
    CallState.SHADOWED: "not placed: shadow mode",
}
_SPEAKS_FOR_ITSELF = (CallState.SENDING, CallState.ACCEPTED, CallState.SHADOWED)


class Exhausted(Record):
    """A page that reached nobody, with as much of it as one body holds."""

    page: Page
    alerts: Sequence[Episode]  # that fire, oldest first
    alerts_in_all: int
    calls: Sequence[Call]  # about firing alerts, oldest first
    calls_in_all: int


def body_of(told: Exhausted, run: int, external_url: str, acknowledge_url: str) -> bytes:
    """Return the JSON to post. `external_url`, `acknowledge_url`: "" where there is none."""
    page, summary = told.page, _summary(told)
    alerts = told.alerts[:MOST_ALERTS]
    for_each = {"uvms_adapter_summary": summary}
    if acknowledge_url:
        for_each["uvms_adapter_acknowledge_url"] = acknowledge_url
    for_all = for_each | {"uvms_adapter_tried": "\n".join(_tried_lines(told))}
    annotations = [_cut(alert.annotations) for alert in alerts]
    message = {
        "receiver": page.receiver,
        "status": "firing",
        "alerts": [
            _alert(alert, own | for_each) for alert, own in zip(alerts, annotations, strict=True)
        ],
        "groupLabels": page.group_labels,
        "commonLabels": _common([alert.labels for alert in alerts]),
        "commonAnnotations": _common(annotations) | for_all,
        "externalURL": external_url,
        "version": "4",
        "groupKey": _group_key(page.group_labels),
        "truncatedAlerts": max(told.alerts_in_all - len(alerts), 0),
        "uvmsAdapter": _data(told, run, acknowledge_url),
    }
    return msgspec.json.encode(message)


def _alert(alert: Episode, annotations: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "status": "firing",
        "labels": alert.labels,
        "annotations": annotations,
        "startsAt": _instant(alert.starts_at),
        "endsAt": _NO_TIME,
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    }


def _common(several: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the pairs that are in all of them."""
    if not several:
        return {}
    pairs = set.intersection(*(set(each.items()) for each in several))
    return dict(sorted(pairs))


def _group_key(group_labels: Mapping[str, str]) -> str:
    """Return what Alertmanager writes for a group of the root route."""
    pairs = (
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in sorted(group_labels.items())
    )
    return f"{{}}:{{{', '.join(pairs)}}}"


def _cut(annotations: Mapping[str, str]) -> dict[str, str]:
    return {
        name: text if len(text) <= _LONGEST_ANNOTATION else f"{text[: _LONGEST_ANNOTATION - 1]}…"
        for name, text in annotations.items()
    }


# --- what was tried -----------------------------------------------------------------------------


def _summary(told: Exhausted) -> str:
    page, calls, alerts = told.page, told.calls_in_all, told.alerts_in_all
    firing = f"{alerts} alert{'' if alerts == 1 else 's'} firing"
    since = f"the page of {page.receiver} is open since {_shown(page.opened_at)}"
    if not calls:
        return f"Nobody was reached: nobody was there to call; {firing}, {since}"
    return f"Nobody was reached by {calls} call{'' if calls == 1 else 's'}; {firing}, {since}"


def _tried_lines(told: Exhausted) -> Sequence[str]:
    """Return a line for each call: when, who, which phone, what came of it."""
    lines = [
        f"{_shown(_at(call))} {call.person} {call.phone}: {_came_of(call)}" for call in told.calls
    ]
    if missing := told.calls_in_all - len(lines):
        lines.insert(0, f"{missing} earlier call{'' if missing == 1 else 's'}")
    return lines or ["no call: nobody was there to call"]


def _data(told: Exhausted, run: int, acknowledge_url: str) -> Mapping[str, Any]:
    page = told.page
    return {
        "pageId": page.id,
        "receiver": page.receiver,
        "run": run,
        "openedAt": _instant(page.opened_at),
        "exhaustedAt": None if page.exhausted_at is None else _instant(page.exhausted_at),
        "acknowledgeUrl": acknowledge_url or None,
        "tried": [_call(call) for call in told.calls],
        "truncatedTried": told.calls_in_all - len(told.calls),
    }


def _call(call: Call) -> Mapping[str, Any]:
    return {
        "at": _instant(_at(call)),
        "callId": call.id,
        "person": call.person,
        "phone": str(call.phone),
        "run": call.run,
        "step": None if call.step is None else call.step + 1,  # people count from one
        "reason": call.reason,
        "state": call.state,
        "result": call.result,
        "cameOfIt": _came_of(call),
    }


def _came_of(call: Call) -> str:
    if call.result is not None:
        return _RESULTS[Result(call.result)]
    said = _STATES[call.state]
    return said if call.state in _SPEAKS_FOR_ITSELF or not call.note else f"{said}: {call.note}"


def _at(call: Call) -> datetime:
    return call.dialled_at or call.settled_at or call.created_at


def _shown(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
