"""A preview says exactly what a webhook at that instant would do."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cli_world import DAY, NIGHT, POLICY, ROUTES, alert
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapter.config.load import load
from adapter.intake import route_alerts
from adapter.model import Alert, Labels, Reason, Status
from adapter.paging import Known, decide
from adapter.preview import preview, sample, sample_alerts
from adapter.rendering.repairs import RepairKind


def shown(labels: Labels, at: datetime) -> list[tuple[str, str, list[str]]]:
    found = preview(POLICY, labels, {}, at)
    return [
        (lead.receiver.name, lead.reason.value, [said.person.name for said in lead.said])
        for lead in found.leads
    ]


@pytest.mark.parametrize(
    ("labels", "at", "expected"),
    [
        pytest.param(
            {}, DAY, [("sre-phone", "first", ["alice", "+86139****0000"])], id="no labels: the root"
        ),
        pytest.param({"severity": "info"}, DAY, [("nobody", "no_receiver", [])], id="nobody"),
        pytest.param({"team": "db"}, NIGHT, [("db-phone", "first", ["bob"])], id="not muted"),
        pytest.param(
            {"team": "batch"},
            NIGHT,
            [("sre-phone", "muted", []), ("db-phone", "first", ["bob"])],
            id="muted, and the next sibling",
        ),
        pytest.param(
            {"team": "batch"},
            DAY,
            [("sre-phone", "first", ["alice", "+86139****0000"]), ("db-phone", "first", ["bob"])],
            id="two receivers",
        ),
    ],
)
def test_who_is_called(labels, at, expected):
    assert shown(labels, at) == expected


def test_words_params_and_repairs():
    labels = {"alertname": "DiskFull", "cluster": "shanghai-1"}
    (lead,) = preview(POLICY, labels, {"summary": "磁盘 96%"}, DAY).leads
    rendered = lead.said[0].rendered
    assert rendered.words == "shanghai-1告警，磁盘 百分之96，共1条，请及时处理。"
    assert rendered.params == ("shanghai-1", "磁盘 百分之96", "1")
    assert [repair.kind for repair in rendered.repairs] == [RepairKind.SYMBOLS]
    assert lead.group_labels == {"cluster": "shanghai-1"}


def test_group_wait_makes_the_call_due_later():
    (lead,) = preview(POLICY, {"team": "db"}, {}, DAY).leads
    assert lead.due_at == DAY + timedelta(seconds=30)


def test_why_muted():
    lead = preview(POLICY, {"team": "batch"}, {}, NIGHT).leads[0]
    assert (lead.muted_by, lead.detail) == (("night",), "by time interval night")
    assert lead.due_at is None


TWICE = load(
    ROUTES.replace("      receiver: db-phone\n", "      receiver: sre-phone\n"), "twice.yaml"
)


def test_an_alert_that_two_routes_send_to_one_receiver_counts_once():
    leads = preview(TWICE, {"team": "batch"}, {}, DAY).leads
    assert [lead.reason for lead in leads] == [Reason.FIRST, Reason.DUPLICATE]
    assert leads[1].detail == "an earlier route sends it to this receiver"
    assert [len(lead.said) for lead in leads] == [2, 0]
    assert preview(TWICE, {"team": "batch"}, {}, DAY).receivers == ("sre-phone", "sre-phone")


def test_of_two_routes_to_one_receiver_the_one_that_is_not_muted_counts():
    leads = preview(TWICE, {"team": "batch"}, {}, NIGHT).leads
    assert [lead.reason for lead in leads] == [Reason.MUTED, Reason.FIRST]
    assert leads[0].detail == "by time interval night"
    assert [len(lead.said) for lead in leads] == [0, 2]


@given(
    labels=st.dictionaries(
        st.sampled_from(["team", "severity", "cluster"]),
        st.sampled_from(["batch", "db", "info", "x"]),
    ),
    at=st.sampled_from([DAY, NIGHT]),
)
def test_a_preview_calls_whom_a_webhook_would_call(labels, at):
    found = preview(POLICY, labels, {}, at)
    told = Alert(
        fingerprint=found.alert.fingerprint, status=Status.FIRING, labels=labels, starts_at=at
    )
    routed = route_alerts(POLICY, (told,), at)
    changes = decide(routed, Known(), truncated=False, now=at, new_id=iter("abcdefgh").__next__)
    assert [said.person.phone for lead in found.leads for said in lead.said] == [
        call.phone for call in changes.new_calls
    ]
    assert [lead.due_at for lead in found.leads for _ in lead.said] == [
        call.due_at for call in changes.new_calls
    ]


# --- voice templates ---------------------------------------------------------------------------


def test_a_template_filled_with_sample_alerts():
    found = sample(POLICY, "outage", sample_alerts(DAY), DAY)
    assert found.rendered.words == (
        "cn-bj2告警，db-1点example点com端口9100 无法访问，共2条，请及时处理。"
    )
    assert (found.receiver, found.reason, found.alerts) == ("sre-phone", Reason.FIRST, 2)
    assert found.rendered.errors == ()


def test_a_template_is_seen_with_the_grouping_of_a_route_that_leads_to_it():
    found = sample(POLICY, "over", [alert("Gone", cluster="c", status=Status.RESOLVED)], DAY)
    assert found.rendered.words == "c的告警已恢复。"
    assert found.reason is Reason.RESOLVED


def test_a_template_for_what_is_over_tells_it_as_over():
    found = sample(POLICY, "over", sample_alerts(DAY), DAY)
    assert (found.receiver, found.reason, found.alerts) == ("sre-phone", Reason.RESOLVED, 2)


def test_alerts_that_fire_are_told_and_not_those_that_have_resolved():
    alerts = [alert("Gone", cluster="a", status=Status.RESOLVED), alert("Here", cluster="b")]
    found = sample(POLICY, "outage", alerts, DAY)
    assert (found.alerts, found.rendered.params[0]) == (1, "b")


def test_a_template_that_no_receiver_uses():
    unused = replace(POLICY, receivers={"nobody": POLICY.receivers["nobody"]})
    found = sample(unused, "outage", sample_alerts(DAY), DAY)
    assert (found.receiver, found.rendered.params[2]) == ("nobody", "2")


def test_a_template_of_a_receiver_that_no_route_chooses():
    lonely = replace(POLICY, route=replace(POLICY.route, receiver="nobody", routes=()))
    assert sample(lonely, "outage", sample_alerts(DAY), DAY).receiver == "sre-phone"


def test_a_template_without_any_alert():
    found = sample(POLICY, "outage", [], DAY)
    assert found.rendered.params[2] == "0"
