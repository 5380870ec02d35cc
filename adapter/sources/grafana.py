"""Grafana's webhook bodies as a Notification: unified alerting, and the one before it.

Unified alerting (since 8) sends Alertmanager's shape with additions, or whatever a custom payload
makes of it: anything with a list of alerts is read.
Source: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/

Legacy alerting (up to 10) sends one rule's change of state, with neither start time nor identity.
Source: https://grafana.com/docs/grafana/v7.5/alerting/old-alerting/notifications/#webhook
"""

from __future__ import annotations

import re
from datetime import datetime

from adapter.errors import InvalidNotification
from adapter.model import Alert, Notification, Source, Status
from adapter.sources import alertmanager, fields
from adapter.sources.fields import Json
from adapter.sources.fingerprints import fingerprint

# What a legacy state means. None: the rule neither fires nor has it resolved (its `for` has not
# passed yet, or it was never evaluated), so there is nothing to tell anybody.
_LEGACY_STATES: dict[str, Status | None] = {
    "alerting": Status.FIRING,
    "no_data": Status.FIRING,
    "ok": Status.RESOLVED,
    "paused": Status.RESOLVED,
    "pending": None,
    "unknown": None,
}

_LEGACY_LABELS = {
    "alertname": "ruleName",
    "rule_id": "ruleId",
    "org_id": "orgId",
    "dashboard_id": "dashboardId",
    "panel_id": "panelId",
}
_LEGACY_ANNOTATIONS = ("title", "message", "ruleUrl", "imageUrl")

_ORIGIN = re.compile(r"https?://[^/?#]+")


def parse(body: bytes, now: datetime) -> Notification:
    """Return what a Grafana sent. Raises NotJson or InvalidNotification."""
    found = fields.decode(body)
    if "alerts" not in found and _names_a_rule(found):
        return _legacy(found)
    return alertmanager.read(found, Source.GRAFANA, now)


def _names_a_rule(body: dict[str, Json]) -> bool:
    return bool(fields.text(body.get("ruleName")) or fields.text(body.get("ruleId")))


def _legacy(body: dict[str, Json]) -> Notification:
    word = fields.text(body.get("state")).lower()
    if word not in _LEGACY_STATES:
        expected = f"one of {', '.join(_LEGACY_STATES)}"
        raise InvalidNotification("$.state", expected, fields.describe(body.get("state")))
    status = _LEGACY_STATES[word]
    origin = _ORIGIN.match(fields.text(body.get("ruleUrl")))
    external_url = origin[0] if origin else ""
    return Notification(
        source=Source.GRAFANA_LEGACY,
        receiver="",
        alerts=() if status is None else (_legacy_alert(body, status, external_url),),
        external_url=external_url,
    )


def _legacy_alert(body: dict[str, Json], status: Status, external_url: str) -> Alert:
    annotations = {name: fields.text(body.get(name)) for name in _LEGACY_ANNOTATIONS}
    annotations["summary"] = annotations["message"] or annotations["title"]  # as a rule's own
    return Alert(
        fingerprint=_legacy_identity(body, external_url),
        status=status,
        labels=_legacy_labels(body),
        annotations=_without_empty(annotations),
        generator_url=annotations["ruleUrl"],
        values=_legacy_values(body.get("evalMatches")),
    )


def _legacy_labels(body: dict[str, Json]) -> dict[str, str]:
    """Return the rule's tags, its name as `alertname`, and its ids."""
    own = {label: fields.text(body.get(name)) for label, name in _LEGACY_LABELS.items()}
    return fields.labels(body.get("tags"), "$.tags") | _without_empty(own)


def _legacy_identity(body: dict[str, Json], external_url: str) -> str:
    """Return a fingerprint of the rule, the same when it fires and when it is over.

    Ids count within one Grafana only, so its address is part of it. Tags, title, message and
    matches are not: they may change meanwhile. The rule's name counts where there is no id.
    """
    rule_id = fields.text(body.get("ruleId"))
    real_id = rule_id not in ("", "0")  # the test button sends 0
    return fingerprint(
        {
            "grafana": external_url,
            "org_id": fields.text(body.get("orgId")),
            "rule": rule_id if real_id else fields.text(body.get("ruleName")),
        }
    )


def _legacy_values(matches: Json) -> dict[str, float | None]:
    """Return the values by the name of their series; of two with one name, the last."""
    found = matches if isinstance(matches, list) else []
    return {
        fields.text(match.get("metric")): fields.number(match.get("value"))
        for match in found
        if isinstance(match, dict)
    }


def _without_empty(texts: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}
