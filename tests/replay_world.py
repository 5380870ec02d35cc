"""A routes.yaml with an escalation, and recorded notifications, for tests of replays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from adapter.config.load import load
from adapter.config.policy import Policy
from adapter.intake import parse
from adapter.model import Source
from adapter.replay import DatedBy, Night, Recording

# 03:00 in Shanghai.
NIGHT = datetime(2026, 11, 23, 19, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
PHONES = {"alice": "+8613512345678", "bob": "+8613512345679", "carol": "+8613512345670"}
STEPS = ({"call": ["alice"], "wait": "5m"}, {"call": ["bob"], "wait": "5m"})


def tree(*receivers: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """Return a routes.yaml as a tree; alice is called, then bob, unless it says otherwise."""
    chosen = receivers or (receiver(),)
    return {
        "people": {name: {"phone": phone} for name, phone in PHONES.items()},
        "voice_templates": {
            "outage": {
                "id": "UVVT20221122ABCD",
                "text": "{1}，共{2}条。",
                "params": ["{{ alert.labels.alertname }}", "{{ alerts | length }}"],
            }
        },
        "receivers": list(chosen),
        "route": {"receiver": chosen[0]["name"], "group_by": ["cluster"]},
    } | sections


def receiver(name: str = "sre", *steps: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    found = {"name": name, "voice_template": "outage", "escalation": list(steps or STEPS)}
    return found | more


def text(*receivers: Mapping[str, Any], **sections: Any) -> str:
    return yaml.safe_dump(tree(*receivers, **sections), allow_unicode=True)


def policy(*receivers: Mapping[str, Any], **sections: Any) -> Policy:
    return load(text(*receivers, **sections))


def alert(name: str = "DiskFull", *, since: timedelta = 0 * SECOND, **labels: str) -> Any:
    """Return a firing alert that began so long after the night did."""
    return {
        "status": "firing",
        "labels": {"alertname": name} | labels,
        "annotations": {},
        "startsAt": (NIGHT + since).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
    }


def over(found: Any, after: timedelta) -> Any:
    """Return the alert once it has resolved."""
    return found | {"status": "resolved", "endsAt": (NIGHT + after).isoformat()}


def body(*alerts: Any) -> dict[str, Any]:
    return {"version": "4", "status": "firing", "receiver": "x", "alerts": list(alerts)}


def posted(after: timedelta, *alerts: Any) -> Recording:
    """Return a notification that came in so long after the night began."""
    raw, at = json.dumps(body(*alerts)).encode(), NIGHT + after
    return Recording(
        at=at,
        source=Source.ALERTMANAGER,
        notification=parse(Source.ALERTMANAGER, raw, at),
        dated_by=DatedBy.RECEIVED_AT,
    )


def line(after: timedelta, *alerts: Any) -> str:
    """Return the same as a line of a file."""
    at = (NIGHT + after).isoformat()
    return json.dumps({"received_at": at, "source": "alertmanager", "body": body(*alerts)})


def rang(night: Night) -> list[tuple[str, str]]:
    """Return who is rung how long after the night began: `("5m", "bob")`."""
    return [(after(ring.at), ring.person) for ring in night.rings]


def after(at: datetime) -> str:
    seconds = int((at - NIGHT).total_seconds())
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if rest else f"{minutes}m"
