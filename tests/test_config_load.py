"""What a good routes.yaml becomes, and what works but is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapter.config.load import load, load_file
from adapter.delivery.outcomes import Outcome
from adapter.delivery.policy import DeliveryPolicy, UvmsSettings
from adapter.model import Person, PersonLimits, PhoneNumber, Receiver, Timing
from adapter.rendering.speech import Language
from adapter.routing import ALL_LABELS, Route, match

ROOT = Path(__file__).parents[1]

SMALL = "receivers: [{name: a}]\nroute: {receiver: a}\n"

ALICE = Person(name="alice", phone=PhoneNumber("+8613512345678"), spoken_name="王小丽")
VOICE = """\
people: {alice: {phone: +8613512345678, name: 王小丽}}
voice_templates: {v: {id: UVVT1, text: "{1}告警。", params: ["{{ alert.labels.alertname }}"]}}
"""


def warnings(text: str) -> list[str]:
    return [str(warning) for warning in load(text).warnings]


def receiver(text: str) -> Receiver:
    return load(VOICE + "receivers: [{name: a, " + text + "}]\nroute: {receiver: a}").receivers["a"]


def route(text: str) -> Route:
    return load(f"receivers: [{{name: a}}, {{name: b}}]\nroute: {text}\n").route


def test_the_least_file_has_defaults_for_all_the_rest() -> None:
    policy = load(SMALL)

    assert policy.people == {}
    assert policy.voice_templates == {}
    assert policy.receivers == {"a": Receiver(name="a")}
    assert policy.route.receiver == "a"
    assert policy.route.timing == Timing()
    assert policy.time_intervals == {}
    assert policy.limits == PersonLimits()
    assert (policy.concurrent_calls, policy.requests_per_second) == (16, 10)
    assert policy.uvms == UvmsSettings()
    assert policy.delivery == DeliveryPolicy()
    assert policy.retention == timedelta(days=30)
    assert policy.stale_after == timedelta(hours=24)
    assert policy.warnings == ()


def test_every_setting_finds_its_place() -> None:
    policy = load(
        SMALL
        + """
limits:
  per_person: {min_interval: 2m, per_hour: 5, per_day: 20, bundle_above: 4}
  concurrent_calls: 8
  requests_per_second: 0.5
uvms:
  endpoint: http://api.service.ucloud.cn
  project_id: org-1
  region: cn-bj2
  zone: cn-bj2-04
  from_number: 02112345678
  group_type: 2
  dispatch_rule: 1
  timeouts: {connect: 1s, read: 9s}
  ret_codes: {18013: account_refused, 230: retry}
delivery: {give_up_after: 10m, reconcile_for: 2m}
retention: 5d
stale_after: 2h
"""
    )

    assert policy.limits == PersonLimits(
        min_interval=timedelta(minutes=2), per_hour=5, per_day=20, bundle_above=4
    )
    assert (policy.concurrent_calls, policy.requests_per_second) == (8, 0.5)
    assert policy.uvms == UvmsSettings(
        endpoint="http://api.service.ucloud.cn",
        project_id="org-1",
        region="cn-bj2",
        zone="cn-bj2-04",
        from_number="02112345678",
        group_type=2,
        dispatch_rule=1,
        connect_timeout=timedelta(seconds=1),
        read_timeout=timedelta(seconds=9),
    )
    assert policy.delivery == DeliveryPolicy(
        give_up_after=timedelta(minutes=10),
        reconcile_for=timedelta(minutes=2),
        overrides={18013: Outcome.ACCOUNT_REFUSED, 230: Outcome.RETRY},
    )
    assert (policy.retention, policy.stale_after) == (timedelta(days=5), timedelta(hours=2))
    assert policy.warnings == ()


def test_keys_without_a_value_are_not_set() -> None:
    bare = "people:\nvoice_templates:\ntime_intervals:\nlimits: {per_person: }\nuvms:\nretention:\n"

    policy = load(SMALL + bare)

    assert replace(policy, hash=0) == replace(load(SMALL), hash=0)


# --- receivers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["call: [alice]", "escalation: [{call: [alice]}]"])
def test_a_receiver_calls_people_by_name(call: str) -> None:
    assert receiver(f"voice_template: v, {call}") == Receiver(
        name="a", people=(ALICE,), voice_template="v"
    )


@pytest.mark.parametrize("number", ["+8613900000000", '"+8613900000000"'])
def test_a_bare_number_is_a_person_with_a_masked_name(number: str) -> None:
    (person,) = receiver(f"voice_template: v, call: [{number}]").people

    assert person == Person(name="+86139****0000", phone=PhoneNumber("+8613900000000"))


def test_a_bare_number_that_somebody_has_is_that_person() -> None:
    assert receiver("voice_template: v, call: [+8613512345678]").people == (ALICE,)


def test_a_receiver_without_call_calls_no_one() -> None:
    assert receiver("voice_template: v").people == ()
    assert receiver("call: []").people == ()


def test_a_receiver_may_differ_from_the_account() -> None:
    text = "from_number: 02112345678, group_type: 1, dispatch_rule: 0"

    assert receiver(f"{text}, send_resolved: true, resolved_template: v") == Receiver(
        name="a",
        from_number="02112345678",
        group_type=1,
        dispatch_rule=0,
        send_resolved=True,
        resolved_template="v",
    )


def test_a_voice_template_is_compiled() -> None:
    text = (
        "voice_templates: {v: {id: 20221122, text: 'Alert {1}.', max_param_length: 20, "
        "language: en, params: ['{{ alerts | length }}']}}\n"
    )

    template = load(text + SMALL).voice_templates["v"]

    assert (template.name, template.id, template.text) == ("v", "20221122", "Alert {1}.")
    assert (template.max_param_length, template.language) == (20, Language.EN)
    assert [param.source for param in template.params] == ["{{ alerts | length }}"]


# --- routes ------------------------------------------------------------------------------------


def test_the_four_knobs_are_read_and_inherited() -> None:
    root = route(
        "{receiver: a, group_by: [b, a], group_wait: 0, group_interval: 1m, repeat_interval: never,"
        " routes: [{group_by: ['...'], repeat_interval: 1h}, {group_by: []}]}"
    )

    assert root.group_by == ("a", "b")
    assert root.timing == Timing(
        group_wait=timedelta(0), group_interval=timedelta(minutes=1), repeat_interval=None
    )
    first, second = root.routes
    assert (first.receiver, first.group_by) == ("a", ALL_LABELS)
    assert first.timing.repeat_interval == timedelta(hours=1)
    assert second.group_by == ()


MATCHERS = {
    "one": 'matchers: [severity="critical"]',
    "several in a line": 'matchers: ["{severity=critical, team!=db}"]',
    "several lines": 'matchers: [severity="critical", team!="db"]',
    "the old form": "match: {severity: critical}",
    "the old form with a regex": "match_re: {severity: crit.*}",
    "old and new": 'match: {severity: critical}\n      matchers: [team!="db"]',
}


@pytest.mark.parametrize("text", MATCHERS.values(), ids=MATCHERS)
def test_matchers_are_taken_in_every_form(text: str) -> None:
    root = load(
        "receivers: [{name: a}, {name: b}]\n"
        f"route:\n  receiver: a\n  routes:\n    - receiver: b\n      {text}\n"
    ).route

    assert [found.receiver for found in match(root, {"severity": "critical"})] == ["b"]
    assert [found.receiver for found in match(root, {"severity": "info", "team": "db"})] == ["a"]


def test_labels_may_be_matched_with_what_yaml_takes_for_numbers_or_booleans() -> None:
    root = route("{receiver: a, routes: [{receiver: b, match: {code: 0500, ok: no}}]}")

    assert [found.receiver for found in match(root, {"code": "0500", "ok": "no"})] == ["b"]


def test_continue_is_read() -> None:
    root = route("{receiver: a, routes: [{receiver: b, continue: true}, {}]}")

    assert [found.receiver for found in match(root, {})] == ["b", "a"]


def test_time_intervals_hold_when_their_specs_say() -> None:
    text = """
time_intervals:
  - name: evening
    time_intervals:
      - times: [{start_time: 22:30, end_time: "24:00"}]
        weekdays: [monday:friday]
        days_of_month: [1, 5:31, -1]
        months: [11, january:march]
        years: [2026:2028]
        location: Asia/Shanghai
  - name: never
mute_time_intervals: [{name: old, time_intervals: [{}]}]
"""
    intervals = load(SMALL + text).time_intervals

    assert sorted(intervals) == ["evening", "never", "old"]
    tuesday = datetime(2026, 11, 24, 15, tzinfo=UTC)  # 23:00 in Shanghai
    assert intervals["evening"].contains(tuesday)
    assert not intervals["evening"].contains(tuesday - timedelta(hours=1))
    assert not intervals["never"].contains(tuesday)
    assert intervals["old"].contains(tuesday)


def test_an_empty_list_of_times_never_matches() -> None:
    text = "time_intervals: [{name: x, time_intervals: [{times: []}]}]\n"

    assert not load(SMALL + text).time_intervals["x"].contains(datetime(2026, 11, 24, tzinfo=UTC))


def test_a_route_can_name_its_time_intervals() -> None:
    text = """
time_intervals: [{name: night, time_intervals: [{}]}]
receivers: [{name: a}]
route:
  receiver: a
  routes: [{mute_time_intervals: [night], active_time_intervals: [night]}]
"""

    (child,) = load(text).route.routes

    assert (child.mute_time_intervals, child.active_time_intervals) == (("night",), ("night",))


def test_anchors_save_words() -> None:
    text = """
receivers: [{name: a}, {name: b}]
route:
  receiver: a
  routes:
    - &db
      receiver: b
      group_by: [cluster]
      matchers: [team="db"]
    - <<: *db
      matchers: [team="cache"]
"""
    root = load(text).route

    assert [child.group_by for child in root.routes] == [("cluster",), ("cluster",)]
    assert [found.receiver for found in match(root, {"team": "cache"})] == ["b"]


# --- warnings ----------------------------------------------------------------------------------

WARNINGS = {
    "a person whom nobody calls": (
        "people: {alice: {phone: +8613512345678}}\n" + SMALL,
        "1:10: people.alice: found a person whom no receiver calls",
    ),
    "two people with one phone": (
        VOICE.replace("王小丽}}", "王小丽}, bob: {phone: +8613512345678}}")
        + "receivers: [{name: a, voice_template: v, call: [bob]},\n"
        "  {name: b, voice_template: v, call: [alice]}]\n"
        "route: {receiver: a, routes: [{receiver: b}]}\n",
        '1:53: people.bob: found the phone of "alice"; its limits are shared',
    ),
    "a receiver that no route chooses": (
        "receivers: [{name: a}, {name: b}]\nroute: {receiver: a}\n",
        '1:25: receivers[1].name: found "b", which no route chooses',
    ),
    "a voice template that is not used": (
        "voice_templates: {v: {id: x, text: 你好}}\n" + SMALL,
        "1:19: voice_templates.v: found a voice template that no receiver uses",
    ),
    "a voice template without text": (
        "voice_templates: {v: {id: x}}\nreceivers: [{name: a, voice_template: v}]\n"
        "route: {receiver: a}\n",
        "1:19: voice_templates.v: found a voice template without its text; "
        "add it: for the preview, and to check the number of params",
    ),
    "a resolved template without send_resolved": (
        "voice_templates: {v: {id: x, text: 你好}}\n"
        "receivers: [{name: a, resolved_template: v}]\nroute: {receiver: a}\n",
        "2:23: receivers[0].resolved_template: found no send_resolved; add send_resolved: true",
    ),
    "an endpoint that anybody on the way can read": (
        SMALL + "uvms: {endpoint: 'http://api.ucloud.cn'}\n",
        '3:8: uvms.endpoint: found "http://api.ucloud.cn", expected https://; '
        "numbers and signatures can be read on the way",
    ),
    "the old key of time intervals": (
        SMALL + "mute_time_intervals: [{name: x}]\n",
        "3:1: mute_time_intervals: found a deprecated key; use time_intervals",
    ),
    "a matcher that only the old grammar reads": (
        "receivers: [{name: a}]\nroute: {receiver: a, routes: [{matchers: ['a=b c']}]}\n",
        '2:43: route.routes[0].matchers[0]: found "a=b c"; a=b c is read by the classic matcher '
        "grammar, not by the UTF-8 one (4:5: unexpected c: expected a comma or close brace): "
        'write a="b c" to mean the same in both',
    ),
    "a label that only few senders can have": (
        "receivers: [{name: a}]\nroute: {receiver: a, group_by: [service.name]}\n",
        '2:33: route.group_by[0]: found "service.name"; '
        "only senders with UTF-8 label names have such a label",
    ),
}


@pytest.mark.parametrize(("text", "warning"), WARNINGS.values(), ids=WARNINGS)
def test_what_works_but_is_hardly_meant_is_told(text: str, warning: str) -> None:
    assert warnings(text) == [f"routes.yaml:{warning}"]


@pytest.mark.parametrize("host", ["127.0.0.1:8081", "localhost:8081", "api.service.ucloud.cn"])
def test_http_is_fine_where_nobody_listens_or_nothing_else_is_spoken(host: str) -> None:
    assert warnings(SMALL + f"uvms: {{endpoint: 'http://{host}'}}\n") == []


# --- the file ----------------------------------------------------------------------------------


def test_the_shipped_routes_yaml_is_good() -> None:
    policy = load_file(ROOT / "routes.yaml")

    assert policy.warnings == ()
    assert policy.found == {
        "people": 3,
        "voice templates": 2,
        "receivers": 3,
        "routes": 4,
        "time intervals": 1,
    }
    assert (policy.uvms.region, policy.uvms.zone) == ("cn-bj2", "cn-bj2-04")


def test_the_hash_tells_files_apart() -> None:
    assert load(SMALL).hash == load(SMALL.encode()).hash
    assert load(SMALL).hash != load(SMALL + "\n").hash
    assert 0 <= load(SMALL).hash < 2**48


def test_thousands_of_routes_load() -> None:
    routes = "".join(f'    - matchers: [team="t{n}", env=~"a|b"]\n' for n in range(3000))

    policy = load(f"receivers: [{{name: a}}]\nroute:\n  receiver: a\n  routes:\n{routes}")

    assert policy.found["routes"] == 3001


def test_the_deepest_tree_that_is_allowed_loads() -> None:
    depth = 49
    routes = "routes: [{" * depth + "}]" * depth

    assert load(f"receivers: [{{name: a}}]\nroute: {{receiver: a, {routes}}}").found["routes"] == 50
