"""What is posted: webhooks as Alertmanager posts them, labels and texts as long as real ones."""

from __future__ import annotations

import itertools
import json
from typing import Any

GROUPS = 100  # open pages over which the webhooks of a run are spread
ALERTS = 3  # in each of them

_numbers = itertools.count()


def new_bodies(count: int) -> list[bytes]:
    """Return webhooks with alerts that nobody has seen."""
    return [
        _body(*(_alert(group=number % GROUPS) for _ in range(ALERTS))) for number in range(count)
    ]


def own_group(phone: int) -> bytes:
    """Return a webhook with one alert, in a group of its own, for one of several phones."""
    return _body(_alert(group=next(_numbers), phone=f"phone-{phone}"))


def storm(alerts: int) -> bytes:
    """Return one webhook with so many alerts, of which no two have the same labels."""
    return _body(*(_alert(group=0) for _ in range(alerts)))


def _body(*alerts: dict[str, Any]) -> bytes:
    return json.dumps(
        {
            "version": "4",
            "groupKey": '{}:{alertname="HostDown"}',
            "receiver": "phones",
            "status": "firing",
            "alerts": alerts,
            "groupLabels": {"alertname": "HostDown"},
            "commonLabels": {"alertname": "HostDown", "severity": "critical"},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example.com",
            "truncatedAlerts": 0,
        }
    ).encode()


def _alert(group: int, **labels: str) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "status": "firing",
        "labels": {
            "alertname": "HostDown",
            "cluster": f"cluster-{group}",
            "instance": f"host-{number}.example.com:9100",
            "job": "node",
            "namespace": "monitoring",
            "severity": "critical",
        }
        | labels,
        "annotations": {
            "summary": f"host-{number} is down",
            "description": "Prometheus has not reached it for five minutes.",
            "runbook_url": "https://runbooks.example.com/HostDown",
        },
        "startsAt": "2026-11-02T10:00:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        "fingerprint": f"{number:016x}",
    }
