"""Alertmanager's webhook body, of every age since 0.6, as a Notification.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config and
https://github.com/prometheus/alertmanager/blob/main/template/template.go. Version 4 grew
truncatedAlerts, fingerprint and notification_reason on its way; version 3 has a number for a
groupKey. Hand-made bodies and other senders of this shape (vmalert, Grafana) leave more out.
"""

from __future__ import annotations

import re
from datetime import datetime

from adapter.errors import InvalidNotification
from adapter.model import Alert, Labels, Notification, Source, Status
from adapter.sources import fields
from adapter.sources.fields import Json
from adapter.sources.fingerprints import fingerprint

# What Go's regexp.QuoteMeta puts a backslash before.
_QUOTED = re.compile(r"\\([\\.+*?()|\[\]{}^$])")

_FINGERPRINT = re.compile("[0-9a-f]{16}")


def parse(body: bytes, now: datetime) -> Notification:
    """Return what an Alertmanager sent. Raises NotJson or InvalidNotification."""
    return read(fields.decode(body), Source.ALERTMANAGER, now)


def read(body: dict[str, Json], source: Source, now: datetime) -> Notification:
    """Return the notification of a decoded body with an `alerts` list; it may be empty."""
    items = body.get("alerts")
    if not isinstance(items, list):
        raise InvalidNotification("$.alerts", "a list of alerts", fields.describe(items))
    truncated = fields.count(body.get("truncatedAlerts"))
    # Of a cut-off group the status says nothing: it is made of the alerts that were left.
    group_status = None if truncated else _status(body.get("status"))
    return Notification(
        source=source,
        receiver=_QUOTED.sub(r"\1", fields.text(body.get("receiver"))),
        alerts=tuple(
            _alert(item, f"$.alerts[{index}]", group_status, now)
            for index, item in enumerate(items)
        ),
        truncated_alerts=truncated,
        group_key=fields.text(body.get("groupKey")),
        external_url=fields.text(body.get("externalURL")),
        notification_reason=fields.text(body.get("notification_reason")),
    )


def _alert(item: Json, path: str, group_status: Status | None, now: datetime) -> Alert:
    if not isinstance(item, dict):
        raise InvalidNotification(path, "an alert (an object)", fields.describe(item))
    labels = fields.labels(item.get("labels"), f"{path}.labels")
    ends_at = fields.instant(item.get("endsAt"))
    status = _status(item.get("status")) or _derived_status(ends_at, group_status, now)
    return Alert(
        fingerprint=_identity(item.get("fingerprint"), labels, path),
        status=status,
        labels=labels,
        annotations=fields.texts(item.get("annotations")),
        starts_at=fields.instant(item.get("startsAt")),
        # Old Alertmanagers put the time-out of a firing alert here.
        ends_at=ends_at if status is Status.RESOLVED else None,
        generator_url=fields.text(item.get("generatorURL")),
        values=fields.numbers(item.get("values")),  # Grafana's alone
    )


def _status(value: Json) -> Status | None:
    """Return the status that was given; None for none, or for a word that is no status."""
    word = fields.text(value).lower()
    return Status(word) if word in list(Status) else None


def _derived_status(ends_at: datetime | None, group_status: Status | None, now: datetime) -> Status:
    if ends_at is not None and ends_at <= now:
        return Status.RESOLVED
    return group_status or Status.FIRING


def _identity(given: Json, labels: Labels, path: str) -> str:
    """Return the sender's fingerprint, else that of the labels.

    Grafana hides some labels but hashes them, so its own is the better one. Alertmanager takes no
    alert without labels; one that has neither could not be told from the next one.
    """
    word = fields.text(given).lower()
    if _FINGERPRINT.fullmatch(word):
        return word
    if not labels:
        raise InvalidNotification(f"{path}.labels", "at least one label, or a fingerprint", "none")
    return fingerprint(labels)
