"""What happens in the demo: webhooks in the order in which they come, and what has to follow.

Data alone: nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from adapter.model import Record

Json = dict[str, Any]
Body = Callable[[datetime, datetime], Json]  # (when the demo began, now)

DEAD_NUMBER = "+8613512345681"  # dave's: the simulated vendor refuses it


class Step(Record):
    """One webhook, and what has to follow from it."""

    title: str
    note: str  # why what follows does
    path: str
    body: Body
    rings: Mapping[str, str]  # person -> what the call says, in full
    reasons: Mapping[str, int]  # what becomes of the alerts
    fails: Mapping[str, str] = {}  # person -> the state a call ends in that reaches nobody
    status: int = 200


def _alert(status: str, starts_at: datetime, ends_at: datetime | None, **about: Json) -> Json:
    return {
        "status": status,
        "labels": about["labels"],
        "annotations": about.get("annotations", {}),
        "startsAt": starts_at.isoformat(),
        "endsAt": "0001-01-01T00:00:00Z" if ends_at is None else ends_at.isoformat(),
        "generatorURL": "http://prometheus.example:9090/graph",
    }


def _alertmanager(*alerts: Json) -> Json:
    firing = any(alert["status"] == "firing" for alert in alerts)
    return {
        "version": "4",
        "groupKey": '{}:{cluster="shanghai-1"}',
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "uvms",
        "groupLabels": {"cluster": "shanghai-1"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": list(alerts),
    }


def _disk(host: str, used: int, status: str, start: datetime, end: datetime | None = None) -> Json:
    return _alert(
        status,
        start,
        end,
        labels={"alertname": "DiskFull", "cluster": "shanghai-1", "instance": f"{host}:9100"},
        annotations={"summary": f"{host} 数据盘 {used}%"},
    )


def _db_1(began: datetime, _now: datetime) -> Json:
    return _alertmanager(_disk("db-1", 96, "firing", began - timedelta(minutes=2)))


def _db_1_of_the_peer(began: datetime, _now: datetime) -> Json:
    seconds_off = began - timedelta(minutes=2, seconds=-3)
    return _alertmanager(_disk("db-1", 96, "firing", seconds_off))


def _db_2_joins(began: datetime, now: datetime) -> Json:
    return _alertmanager(
        _disk("db-1", 97, "firing", began - timedelta(minutes=2)),
        _disk("db-2", 91, "firing", now - timedelta(seconds=30)),
    )


def _information(_began: datetime, now: datetime) -> Json:
    labels = {"alertname": "CertificateExpiresSoon", "cluster": "shanghai-1", "severity": "info"}
    return _alertmanager(_alert("firing", now, None, labels=labels))


def _maintenance(_began: datetime, now: datetime) -> Json:
    labels = {"alertname": "JobFailed", "cluster": "shanghai-1", "team": "batch"}
    return _alertmanager(_alert("firing", now, None, labels=labels))


def _resolved(began: datetime, now: datetime) -> Json:
    return _alertmanager(
        _disk("db-1", 40, "resolved", began - timedelta(minutes=2), now),
        _disk("db-2", 35, "resolved", began - timedelta(seconds=30), now),
    )


def _grafana(_began: datetime, now: datetime) -> Json:
    alert = _alert(
        "firing",
        now - timedelta(minutes=1),
        None,
        labels={"alertname": "SlowCheckout", "grafana_folder": "Shop", "team": "web"},
        annotations={"summary": "checkout answers in 4.2 s @ https://shop.example.com/pay?id=1"},
    )
    alert |= {"values": {"A": 4.2}, "valueString": "[ var='A' value=4.2 ]"}
    return {
        "receiver": "web phone",
        "status": "firing",
        "orgId": 1,
        "version": "1",
        "title": "[FIRING:1] SlowCheckout Shop",
        "state": "alerting",
        "message": "checkout is slow",
        "groupKey": '{}/{team="web"}:{alertname="SlowCheckout"}',
        "truncatedAlerts": 0,
        "groupLabels": {"alertname": "SlowCheckout"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://grafana.example:3000/",
        "alerts": [alert],
    }


def _no_notification(_began: datetime, _now: datetime) -> Json:
    return {"text": "the disk is full!"}


_ALERTMANAGER, _GRAFANA = "/v1/alertmanager", "/v1/grafana"
_FIRST = "shanghai-1告警，db-1 数据盘 百分之96，共1条，请及时处理。"
_NEWS = "shanghai-1告警，db-2 数据盘 百分之91，共1条，请及时处理。"
_SLOW = (
    "Alert for team web: checkout answers in 4.2 s at shop dot example dot com. "
    "Please look into it."
)
_OVER = "shanghai-1的2条告警已恢复。"

STORY = (
    Step(
        title="Alertmanager: the disk of db-1 is full",
        note="a new alert opens a page, and everybody of its receiver is rung",
        path=_ALERTMANAGER,
        body=_db_1,
        rings={"alice": _FIRST, "bob": _FIRST},
        reasons={"first": 1},
    ),
    Step(
        title="The second Alertmanager of the pair posts it too",
        note="its Prometheus saw it three seconds later: the same episode all the same",
        path=_ALERTMANAGER,
        body=_db_1_of_the_peer,
        rings={},
        reasons={"duplicate": 1},
    ),
    Step(
        title="The disk of db-2 fills up as well",
        note="it joins the page: one more call after group_interval, naming what is new",
        path=_ALERTMANAGER,
        body=_db_2_joins,
        rings={"alice": _NEWS, "bob": _NEWS},
        reasons={"duplicate": 1, "new_alerts": 1},
    ),
    Step(
        title="An alert of severity info",
        note="its route leads to a receiver that calls no one",
        path=_ALERTMANAGER,
        body=_information,
        rings={},
        reasons={"no_receiver": 1},
    ),
    Step(
        title="A batch job fails during maintenance",
        note="a time interval mutes its route",
        path=_ALERTMANAGER,
        body=_maintenance,
        rings={},
        reasons={"muted": 1},
    ),
    Step(
        title="Both disks have room again",
        note="the page closes; send_resolved: those who were rung hear that it is over",
        path=_ALERTMANAGER,
        body=_resolved,
        rings={"alice": _OVER, "bob": _OVER},
        reasons={"resolved": 2},
    ),
    Step(
        title="An old retry arrives late and says that db-1 fires",
        note="it is about the episode that is over",
        path=_ALERTMANAGER,
        body=_db_1,
        rings={},
        reasons={"stale": 1},
    ),
    Step(
        title="Grafana: the checkout is slow",
        note="dave's number is dead; that costs nobody else a call. The link is repaired",
        path=_GRAFANA,
        body=_grafana,
        rings={"carol": _SLOW},
        fails={"dave": "refused"},
        reasons={"first": 1},
    ),
    Step(
        title="A chat message is posted where notifications belong",
        note="refused with the path of what is wrong, and kept: uvms-adapter rejected list",
        path=_ALERTMANAGER,
        body=_no_notification,
        rings={},
        reasons={},
        status=422,
    ),
)
