"""A preview says exactly what a webhook at that instant would do."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cli_world import DAY, NIGHT, POLICY, ROUTES, alert
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from night_world import BEFORE_MIDNIGHT, EVENING, HOUR, MINUTE, NOW
from night_world import POLICY as STEPS
from night_world import ROUTES as STEP_ROUTES

from adapter.config.load import load
from adapter.config.policy import Policy
from adapter.intake import route_alerts
from adapter.model import Alert, Labels, Reason, Status, StoredOverride
from adapter.on_call import roster_at
from adapter.paging import Known, decide
from adapter.preview import Lead, RosterAt, Said, preview, sample, sample_alerts
from adapter.rendering.repairs import RepairKind

SHANGHAI = ZoneInfo("Asia/Shanghai")


def shown(labels: Labels, at: datetime) -> list[tuple[str, str, list[str]]]:
    found = preview(POLICY, labels, {}, at)
    return [
        (lead.receiver.name, lead.reason.value, [said.person.name for said in first(lead)])
        for lead in found.leads
    ]


def first(lead: Lead) -> tuple[Said, ...]:
    """Return what is said in the first step."""
    return lead.steps[0].said if lead.steps else ()


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
    rendered = first(lead)[0].rendered
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
    assert [len(first(lead)) for lead in leads] == [2, 0]
    assert preview(TWICE, {"team": "batch"}, {}, DAY).receivers == ("sre-phone", "sre-phone")


def test_of_two_routes_to_one_receiver_the_one_that_is_not_muted_counts():
    leads = preview(TWICE, {"team": "batch"}, {}, NIGHT).leads
    assert [lead.reason for lead in leads] == [Reason.MUTED, Reason.FIRST]
    assert leads[0].detail == "by time interval night"
    assert [len(first(lead)) for lead in leads] == [0, 2]


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
    assert [said.person.phone for lead in found.leads for said in first(lead)] == [
        call.phone for call in changes.new_calls
    ]
    assert [lead.due_at for lead in found.leads for _ in first(lead)] == [
        call.due_at for call in changes.new_calls
    ]


# --- steps -------------------------------------------------------------------------------------


def steps_of(
    team: str = "", at: datetime = NOW, policy: Policy = STEPS, roster_at: RosterAt | None = None
) -> list[tuple[str, int, str]]:
    """Return time, number, and who is called or why nobody is, of each step."""
    labels = {"alertname": "DiskFull"} | ({"team": team} if team else {})
    (lead,) = preview(policy, labels, {}, at, roster_at).leads
    return [
        (
            f"{step.at.astimezone(SHANGHAI):%a %H:%M}",
            step.number,
            step.skipped or ", ".join(said.person.name for said in step.said),
        )
        for step in lead.steps
    ]


@pytest.mark.parametrize(
    ("team", "at", "expected"),
    [
        pytest.param(
            "",
            NOW,
            [
                ("Tue 11:00", 1, "alice"),
                ("Tue 11:05", 2, "carol"),
                ("Tue 11:10", 3, "bob, +86139****0000"),
            ],
            id="a schedule, another, and who is on after the first",
        ),
        pytest.param(
            "",
            EVENING,
            [
                ("Tue 20:00", 1, "alice"),
                ("Tue 20:05", 2, "office: nobody is on call"),
                ("Tue 20:05", 3, "bob, +86139****0000"),
            ],
            id="a hole: the next step at once",
        ),
        pytest.param(
            "handover",
            BEFORE_MIDNIGHT,
            [("Tue 23:58", 1, "carol"), ("Wed 00:03", 2, "bob")],
            id="a handover: who is on call when the step is taken",
        ),
        pytest.param("office", EVENING, [("Tue 20:00", 1, "office: nobody is on call")], id="hole"),
        pytest.param("again", NOW, [("Tue 11:00", 1, "bob")], id="a repeat is told once"),
        pytest.param("single", NOW, [("Tue 11:00", 1, "alice")], id="one step"),
        pytest.param("nobody", NOW, [], id="nobody is called on purpose"),
        pytest.param(
            "daytime",
            NOW,
            [("Tue 11:00", 1, "alice"), ("Tue 11:05", 2, "bob")],
            id="who was called by the step before is not called again",
        ),
        pytest.param(
            "daytime",
            EVENING,
            [("Tue 20:00", 1, "alice"), ("Tue 20:00", 2, "bob")],
            id="outside of the template's hours the next step is taken at once",
        ),
        pytest.param(
            "daytime",
            EVENING + 12 * HOUR - 2 * MINUTE,
            [("Wed 07:58", 1, "alice"), ("Wed 08:03", 2, "bob")],
            id="unless its hours begin before the step is over",
        ),
    ],
)
def test_steps_that_nobody_answers(team, at, expected):
    assert steps_of(team, at) == expected


def test_a_step_whose_calls_all_wait_already():
    """Only alice in both steps, and her words may not be said: one call serves both."""
    alone = load(STEP_ROUTES.replace("{call: [alice, bob], wait: 5m}", "{call: [alice]}"))
    assert steps_of("daytime", EVENING, alone) == [
        ("Tue 20:00", 1, "alice"),
        ("Tue 20:00", 2, "alice: a call of the step before still waits"),
    ]


def lead_of(team: str, at: datetime = NOW) -> Lead:
    (lead,) = preview(STEPS, {"alertname": "DiskFull", "team": team}, {}, at).leads
    return lead


@pytest.mark.parametrize(
    ("team", "at", "due_at", "exhausted_at"),
    [
        pytest.param("chain", NOW, NOW, NOW + 20 * MINUTE, id="all steps waited for"),
        pytest.param("again", NOW, NOW, NOW + 5 * MINUTE, id="until it begins again"),
        pytest.param("office", EVENING, None, EVENING, id="nobody to wait for"),
        pytest.param("nobody", NOW, None, None, id="no escalation"),
        pytest.param("daytime", EVENING, EVENING + 12 * HOUR, EVENING, id="words that must wait"),
        pytest.param("shadow", NOW, NOW, NOW + 10 * MINUTE, id="shadow mode goes through all"),
    ],
)
def test_when_it_begins_and_ends(team, at, due_at, exhausted_at):
    lead = lead_of(team, at)
    assert (lead.due_at, lead.exhausted_at) == (due_at, exhausted_at)


def test_until_when_words_must_wait():
    (said, *_) = lead_of("daytime", EVENING).steps[0].said
    assert (said.silent_until, said.template.name) == (EVENING + 12 * HOUR, "daytime")
    assert lead_of("daytime").steps[0].said[0].silent_until is None


def test_shadow_mode_is_told():
    assert (lead_of("shadow").shadow, lead_of("single").shadow) == (True, False)


def test_overrides_of_the_store_count_where_they_are_given():
    stands_in = StoredOverride(
        id="o",
        schedule="primary",
        person="carol",
        starts_at=NOW - HOUR,
        ends_at=NOW + HOUR,
        created_at=NOW,
        created_by="x",
    )
    names = [name for _, _, name in steps_of(roster_at=roster_at(STEPS, [stands_in]))]
    # Carol is in the office too: two steps in a row call her once.
    assert names == [
        "carol",
        "office: the same people as in the step before",
        "alice, +86139****0000",
    ]


@given(
    minutes=st.integers(0, 14 * 24 * 60),
    team=st.sampled_from(["", "again", "single", "office", "shadow", "daytime"]),
)
def test_every_preview_ends_and_its_steps_are_in_order(minutes, team):
    lead = lead_of(team, NOW + minutes * MINUTE)
    times = [step.at for step in lead.steps]
    assert times == sorted(times)
    assert [step.number for step in lead.steps] == list(range(1, len(lead.steps) + 1))
    assert lead.exhausted_at is not None
    assert all(time <= lead.exhausted_at for time in times)
    assert all(bool(step.said) is not bool(step.skipped) for step in lead.steps)


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
