"""What an Alertmanager sends, of every age, and what others send in its shape."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidNotification, NotJson
from adapter.model import Alert, Notification, Source, Status
from adapter.sources import alertmanager
from adapter.sources.fingerprints import fingerprint

PAYLOADS = Path(__file__).parent / "data" / "payloads"
NOW = datetime(2026, 11, 20, 14, 10, tzinfo=UTC)
EARLIER, LATER = "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z"
ZERO_TIME = "0001-01-01T00:00:00Z"


def parse(body) -> Notification:
    return alertmanager.parse(json.dumps(body).encode(), NOW)


def parse_one(group=None, **alert) -> Alert:
    """Parse a body of one alert, with `group` beside the list."""
    [parsed] = parse({"alerts": [{"labels": {"alertname": "A"}} | alert]} | (group or {})).alerts
    return parsed


def test_a_body_of_today():
    parsed = alertmanager.parse((PAYLOADS / "alertmanager_v4.json").read_bytes(), NOW)
    labels = {"alertname": "DiskFull", "cluster": "shanghai-1", "severity": "critical"}
    assert parsed == Notification(
        source=Source.ALERTMANAGER,
        receiver="phone.core",
        alerts=(
            Alert(
                fingerprint="0123456789abcdef",
                status=Status.FIRING,
                labels=labels | {"instance": "db-7:9100"},
                annotations={"summary": "db-7 数据盘 96% <满>", "runbook": ""},
                starts_at=datetime(2026, 11, 20, 14, 4, 5, 123_456, UTC),
                ends_at=None,
                generator_url="http://prometheus.example:9090/graph?g0.expr=disk_used",
            ),
            Alert(
                fingerprint="fedcba9876543210",
                status=Status.RESOLVED,
                labels=labels | {"instance": "db-8:9100"},
                annotations={"summary": "db-8 数据盘 40%"},
                starts_at=datetime(2026, 11, 20, 13, 0, tzinfo=UTC),
                ends_at=datetime(2026, 11, 20, 14, 0, 0, 500_000, UTC),
            ),
        ),
        truncated_alerts=2,
        group_key='{}/{team="core"}:{cluster="shanghai-1"}',
        external_url="http://alertmanager.example:9093",
        notification_reason="some alerts resolved",
    )


def test_a_body_of_2017_has_no_fingerprint_and_a_time_out_for_an_end():
    parsed = alertmanager.parse((PAYLOADS / "alertmanager_v4_of_0_6.json").read_bytes(), NOW)
    [alert] = parsed.alerts
    assert (parsed.truncated_alerts, parsed.notification_reason) == (0, "")
    assert alert.fingerprint == fingerprint(alert.labels)
    assert (alert.status, alert.ends_at, alert.generator_url) == (Status.FIRING, None, "")


def test_a_body_of_version_3_keeps_its_numeric_group_key_to_the_digit():
    parsed = alertmanager.parse((PAYLOADS / "alertmanager_v3.json").read_bytes(), NOW)
    assert parsed.group_key == "18446744073709551615"
    assert [alert.status for alert in parsed.alerts] == [Status.RESOLVED]


def test_a_truncated_group_is_not_resolved_because_it_says_so():
    parsed = alertmanager.parse((PAYLOADS / "alertmanager_truncated.json").read_bytes(), NOW)
    assert parsed.truncated_alerts == 3
    assert [alert.status for alert in parsed.alerts] == [Status.FIRING]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        pytest.param("team-X_pager 1", "team-X_pager 1", id="nothing to quote"),
        pytest.param(r"team-X\.pager", "team-X.pager", id="a dot"),
        pytest.param(r"\[prod\] \(a\|b\)\*\+\?\{\}\^\$", "[prod] (a|b)*+?{}^$", id="all the signs"),
        pytest.param(r"a\\b", r"a\b", id="a backslash"),
        pytest.param(r"a\\\.b", r"a\.b", id="a backslash and a dot"),
        pytest.param(r"DOMAIN\user", r"DOMAIN\user", id="not quoted, as before 0.8"),
    ],
)
def test_the_receiver_is_freed_of_gos_quoting(sent, meant):
    assert parse({"receiver": sent, "alerts": []}).receiver == meant


@pytest.mark.parametrize(
    ("alert", "group", "expected"),
    [
        pytest.param({"status": "firing", "endsAt": EARLIER}, {"status": "resolved"}, "firing",
                     id="its own status comes first"),
        pytest.param({"status": "resolved"}, {"status": "firing", "truncatedAlerts": 9}, "resolved",
                     id="its own status stands in a truncated group"),
        pytest.param({"status": "Resolved"}, {}, "resolved", id="in any case of letters"),
        pytest.param({"endsAt": EARLIER}, {"status": "firing"}, "resolved", id="it has ended"),
        pytest.param({"endsAt": "2026-11-20T14:10:00Z"}, {}, "resolved", id="it ends now"),
        pytest.param({"endsAt": ZERO_TIME}, {"status": "resolved"}, "resolved",
                     id="no end: as the group says"),
        pytest.param({"endsAt": LATER}, {"status": "firing"}, "firing", id="it ends later"),
        pytest.param({"endsAt": LATER}, {"status": "resolved"}, "resolved",
                     id="it ends later, by a sender's clock"),
        pytest.param({}, {"status": "resolved", "truncatedAlerts": 1}, "firing",
                     id="a truncated group's status says nothing"),
        pytest.param({}, {"status": "resolved", "truncatedAlerts": "1"}, "firing",
                     id="truncated, in a template's words"),
        pytest.param({}, {}, "firing", id="nothing is said"),
        pytest.param({"status": "broken"}, {"status": ["resolved"]}, "firing",
                     id="what is said is no status"),
        pytest.param({"status": None, "endsAt": "soon"}, {"status": 5}, "firing",
                     id="nothing can be read"),
    ],
)  # fmt: skip
def test_the_status_of_an_alert(alert, group, expected):
    assert parse_one(group, **alert).status == expected


def test_a_firing_alert_has_no_end():
    assert parse_one(status="firing", endsAt=LATER).ends_at is None


def test_a_resolved_alert_need_not_say_when():
    assert parse_one(status="resolved", endsAt=ZERO_TIME).ends_at is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("57c6d9296de2ad39", "57c6d9296de2ad39", id="as it came"),
        pytest.param("57C6D9296DE2AD39", "57c6d9296de2ad39", id="in small letters"),
        pytest.param("gmp-test-alert-12345", None, id="no fingerprint"),
        pytest.param("57c6d9296de2ad39a", None, id="too long"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param(5, None, id="a number"),
        pytest.param({}, None, id="an object"),
    ],
)
def test_the_fingerprint_is_the_senders_or_that_of_the_labels(sent, kept):
    assert parse_one(fingerprint=sent).fingerprint == (kept or fingerprint({"alertname": "A"}))


def test_an_empty_label_does_not_change_the_fingerprint():
    assert parse_one(labels={"a": "b", "c": ""}).fingerprint == fingerprint({"a": "b"})


def test_an_alert_with_a_fingerprint_needs_no_label():
    alert = parse_one(labels={}, fingerprint="57c6d9296de2ad39")
    assert (alert.labels, alert.fingerprint) == ({}, "57c6d9296de2ad39")


def test_whatever_cannot_be_read_counts_as_not_given():
    odd = {"startsAt": 5, "endsAt": [], "annotations": "x", "generatorURL": {}, "values": 7}
    group = {"receiver": [], "groupKey": {}, "externalURL": None, "truncatedAlerts": "many",
             "notification_reason": [], "commonLabels": 5, "version": {}}  # fmt: skip
    parsed = parse({"alerts": [{"labels": {"alertname": "A"}} | odd]} | group)
    assert parsed == Notification(
        source=Source.ALERTMANAGER,
        receiver="",
        alerts=(
            Alert(
                fingerprint=fingerprint({"alertname": "A"}),
                status=Status.FIRING,
                labels={"alertname": "A"},
            ),
        ),
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({}, "$.alerts: expected a list of alerts, found nothing", id="no list"),
        pytest.param(
            {"text": "hello"}, "$.alerts: expected a list of alerts, found nothing", id="other JSON"
        ),
        pytest.param(
            {"alerts": None}, "$.alerts: expected a list of alerts, found nothing", id="null"
        ),
        pytest.param(
            {"alerts": {"a": {}}},
            "$.alerts: expected a list of alerts, found an object",
            id="an object for a list",
        ),
        pytest.param(
            {"alerts": "+8613512345678"},
            "$.alerts: expected a list of alerts, found a scalar",
            id="a text for a list",
        ),
        pytest.param(
            {"alerts": [{"labels": {"a": "b"}}, "down"]},
            "$.alerts[1]: expected an alert (an object), found a scalar",
            id="a text for an alert",
        ),
        pytest.param(
            {"alerts": [None]},
            "$.alerts[0]: expected an alert (an object), found nothing",
            id="null for an alert",
        ),
        pytest.param(
            {"alerts": [{"labels": ["a"]}]},
            "$.alerts[0].labels: expected an object of names and values, found a list",
            id="a list for labels",
        ),
        pytest.param(
            {"alerts": [{"labels": {"a": {"b": "c"}}}]},
            '$.alerts[0].labels["a"]: expected a string, found an object',
            id="an object for a label's value",
        ),
        pytest.param(
            {"alerts": [{"annotations": {"summary": "Server down"}}]},
            "$.alerts[0].labels: expected at least one label, or a fingerprint, found none",
            id="nothing to tell the alert from another",
        ),
        pytest.param(
            {"alerts": [{"labels": {"alertname": ""}, "fingerprint": "x"}]},
            "$.alerts[0].labels: expected at least one label, or a fingerprint, found none",
            id="labels that are empty, and no fingerprint worth the name",
        ),
    ],
)
def test_json_that_is_no_notification(body, message):
    with pytest.raises(InvalidNotification) as caught:
        parse(body)
    assert str(caught.value) == message


def test_a_group_without_alerts_is_a_notification():
    assert parse({"alerts": []}).alerts == ()


def test_ten_thousand_alerts_are_read_at_once():
    labels = {"alertname": "A", "cluster": "shanghai-1", "severity": "critical"}
    body = json.dumps({"alerts": [
        {"labels": labels | {"instance": str(index)}, "annotations": {"summary": "down " * 20},
         "startsAt": "2026-11-20T14:04:05.123456789+08:00", "endsAt": ZERO_TIME}
        for index in range(10_000)
    ]}).encode()  # fmt: skip
    started = time.process_time()
    parsed = alertmanager.parse(body, NOW)
    assert time.process_time() - started < 5  # about 0.3 s; the limit is for slow machines
    assert len({alert.fingerprint for alert in parsed.alerts}) == 10_000


def test_a_label_of_one_megabyte_is_kept_whole():
    assert parse_one(labels={"a": "火" * 350_000}).labels == {"a": "火" * 350_000}


# --- properties ----------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ANY = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=5)
STATUSES = st.sampled_from(["firing", "resolved", "", None]) | ANY
TIMES = st.sampled_from([ZERO_TIME, EARLIER, LATER, "garbage"]) | ANY
LABELS = st.dictionaries(st.text(), SCALARS) | ANY
ALERTS = st.fixed_dictionaries(
    {},
    optional={"status": STATUSES, "labels": LABELS, "annotations": LABELS, "startsAt": TIMES,
              "endsAt": TIMES, "generatorURL": ANY, "fingerprint": ANY, "values": ANY},
)  # fmt: skip
BODIES = st.fixed_dictionaries(
    {},
    optional={"alerts": st.lists(ALERTS, max_size=3) | ANY, "status": STATUSES, "receiver": ANY,
              "truncatedAlerts": st.integers() | ANY, "groupKey": ANY},
)  # fmt: skip


@given(BODIES.map(lambda body: json.dumps(body).encode()) | st.binary())
def test_any_body_is_a_notification_or_refused_by_name(body):
    try:
        parsed = alertmanager.parse(body, NOW)
    except (NotJson, InvalidNotification):
        return
    for alert in parsed.alerts:
        assert len(alert.fingerprint) == 16
        assert all(alert.labels.values())
        assert alert.ends_at is None or alert.status is Status.RESOLVED
        assert alert.starts_at is None or alert.starts_at.tzinfo is UTC
    repr(parsed).encode()
