"""What a good routes.yaml becomes, and what works but is told."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from adapter.config.load import load, load_file
from adapter.config.problems import ConfigError
from adapter.delivery.outcomes import Outcome
from adapter.delivery.policy import DeliveryPolicy, ReceiptPolicy, UvmsSettings
from adapter.model import (
    Acknowledgement,
    Mode,
    Person,
    PersonLimits,
    PhoneNumber,
    Receiver,
    Secret,
    Step,
    Target,
    Timing,
)
from adapter.rendering.speech import Language
from adapter.rendering.templates import ApprovedHours
from adapter.routing import ALL_LABELS, Route, match
from adapter.schedules import Calendar, Hours, Override, Rotation
from adapter.schedules.workdays import known

ROOT = Path(__file__).parents[1]

SMALL = "receivers: [{name: a}]\nroute: {receiver: a}\n"

ALICE = Person(name="alice", phone=PhoneNumber("+8613512345678"), spoken_name="王小丽")
VOICE = """\
people: {alice: {phone: +8613512345678, name: 王小丽}}
voice_templates: {v: {id: UVVT1, text: "{1}告警。", params: ["{{ alert.labels.alertname }}"]}}
"""


SCHEDULE = """\
schedules: {s: {time_zone: Asia/Shanghai, rotations: [{people: [alice], start: 2026-11-02T10:00}]}}
"""
CALLS_ALICE = "receivers: [{name: a, voice_template: v, call: [alice]}]\nroute: {receiver: a}\n"


def warnings(text: str) -> list[str]:
    return [str(warning) for warning in load(text).warnings]


def receiver(text: str) -> Receiver:
    return load(VOICE + "receivers: [{name: a, " + text + "}]\nroute: {receiver: a}").receivers["a"]


def called(text: str) -> Person | None:
    ((target,),) = (step.call for step in receiver(text).escalation)
    return target.person


def route(text: str) -> Route:
    return load(f"receivers: [{{name: a}}, {{name: b}}]\nroute: {text}\n").route


def test_the_least_file_has_defaults_for_all_the_rest() -> None:
    policy = load(SMALL)

    assert policy.people == {}
    assert policy.schedules == {}
    assert policy.voice_templates == {}
    assert policy.receivers == {"a": Receiver(name="a")}
    assert policy.route.receiver == "a"
    assert policy.route.timing == Timing()
    assert policy.time_intervals == {}
    assert policy.limits == PersonLimits()
    assert (policy.concurrent_calls, policy.requests_per_second) == (16, 10)
    assert policy.uvms == UvmsSettings()
    assert policy.delivery == DeliveryPolicy()
    assert policy.receipts == ReceiptPolicy()
    assert policy.keep_webhooks == timedelta(days=7)
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
receipts: {poll_interval: never, poll_for: 7d}
keep_webhooks: 0s
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
    assert policy.receipts == ReceiptPolicy(poll_interval=None, poll_for=timedelta(days=7))
    assert policy.keep_webhooks == timedelta(0)
    assert (policy.retention, policy.stale_after) == (timedelta(days=5), timedelta(hours=2))
    assert policy.warnings == ()


def test_keys_without_a_value_are_not_set() -> None:
    keys = [
        "people",
        "schedules",
        "voice_templates",
        "time_intervals",
        "uvms",
        "mode",
        "receipts",
        "retention",
    ]
    bare = "".join(f"{key}:\n" for key in keys) + "limits: {per_person: }\n"

    policy = load(SMALL + bare)

    assert replace(policy, hash=0) == replace(load(SMALL), hash=0)


# --- receivers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["call: [alice]", "escalation: [{call: [alice]}]"])
def test_a_receiver_calls_people_by_name(call: str) -> None:
    assert receiver(f"voice_template: v, {call}") == Receiver(
        name="a", escalation=(Step(call=(Target(person=ALICE),)),), voice_template="v"
    )


@pytest.mark.parametrize("number", ["+8613900000000", '"+8613900000000"'])
def test_a_bare_number_is_a_person_with_a_masked_name(number: str) -> None:
    assert called(f"voice_template: v, call: [{number}]") == Person(
        name="+86139****0000", phone=PhoneNumber("+8613900000000")
    )


def test_a_bare_number_that_somebody_has_is_that_person() -> None:
    assert called("voice_template: v, call: [+8613512345678]") == ALICE


def test_a_receiver_without_call_calls_no_one() -> None:
    assert receiver("voice_template: v").escalation == ()
    assert receiver("call: []").escalation == ()


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


# --- who is called when -----------------------------------------------------------------------

SHANGHAI, LONDON = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/London")
CALLS = ROOT / "tests" / "data" / "calls.yaml"


def test_rotations_are_read() -> None:
    weekly, nights, off = load_file(CALLS).schedules["primary"].rotations

    assert weekly == Rotation(
        turns=(("alice",), ("bob", "carol")),
        start=datetime.fromisoformat("2026-11-02T10:00"),
        every=timedelta(weeks=1),
    )
    assert nights == Rotation(
        name="nights",
        turns=(("carol",),),
        start=datetime.fromisoformat("2026-11-02T00:00"),
        end=datetime.fromisoformat("2027-01-01T00:00"),
        weekdays=frozenset({0, 1, 2, 3, 4, 5}),
        hours=(Hours(start=22 * 60, end=8 * 60), Hours(start=12 * 60, end=24 * 60)),
        workdays="CN",
    )
    assert (off.turns, off.days_off) == ((("bob",),), "CN")


def test_overrides_are_wall_times_of_the_schedule_or_have_an_offset() -> None:
    schedule = load_file(CALLS).schedules["primary"]

    assert schedule.time_zone == SHANGHAI
    assert schedule.overrides == (
        Override(
            people=("bob",),
            start=datetime(2026, 11, 24, 10, tzinfo=UTC),
            end=datetime(2026, 11, 25, 1, tzinfo=UTC),
        ),
        Override(
            people=("carol",),
            start=datetime(2026, 11, 26, 10, tzinfo=UTC),
            end=datetime(2026, 11, 26, 12, tzinfo=UTC),
        ),
    )


def test_calendars_are_read() -> None:
    schedules = load_file(CALLS).schedules

    assert schedules["feed"].time_zone == LONDON
    assert schedules["feed"].calendar == Calendar(
        url="https://calendar.example.com/basic.ics",
        people={"Wang Xiaoli": "alice"},
        refresh=timedelta(minutes=5),
    )
    assert schedules["paper"].calendar == Calendar(file=str(CALLS.parent / "on-call.ics"))


def test_an_escalation_is_read() -> None:
    policy = load_file(CALLS)
    primary = Target(schedule="primary")
    number = Person(name="+86139****0000", phone=PhoneNumber("+8613900000000"))

    assert policy.receivers["sre"] == Receiver(
        name="sre",
        voice_template="outage",
        escalation=(
            Step(call=(primary,), wait=timedelta(minutes=3)),
            Step(
                call=(
                    Target(person=policy.people["alice"]),
                    replace(primary, next=True),
                    Target(person=number),
                ),
                wait=timedelta(minutes=5),
            ),
        ),
        repeat=2,
        fallback_webhook=Secret("https://chat.example.com/hook?key=1"),
        acknowledgement=Acknowledgement.BY_HAND,
        minimum_answer_duration=timedelta(0),
        mode=Mode.SHADOW,
    )


def test_call_is_short_for_one_step() -> None:
    policy = load_file(CALLS)

    (step,) = policy.receivers["team"].escalation
    assert [str(target) for target in step.call] == ["feed", "paper", "bob"]
    assert policy.receivers["team"].mode is Mode.LIVE


def test_the_mode_of_the_file_is_stronger() -> None:
    text = CALLS.read_text().replace("mode: live", "mode: shadow", 1)

    assert {one.mode for one in load(text).receivers.values()} == {Mode.SHADOW}


def test_hours_are_read() -> None:
    templates = load_file(CALLS).voice_templates

    assert templates["outage"].hours == ApprovedHours(start=8 * 60, end=20 * 60, time_zone=SHANGHAI)
    assert templates["outage"].outside_hours == "night"
    assert templates["night"].hours is None  # the whole day


def test_all_of_it_is_well_meant() -> None:
    policy = load_file(CALLS)

    assert policy.warnings == ()
    assert policy.receipts == ReceiptPolicy(
        poll_interval=timedelta(seconds=30), poll_for=timedelta(hours=2)
    )


def fallback_file(path: Path, content: str | bytes) -> Path:
    """Write a URL to a file, and a routes.yaml beside it that names it."""
    raw = content.encode() if isinstance(content, str) else content
    (path / "hook-url").write_bytes(raw)
    routes = path / "routes.yaml"
    text = VOICE + CALLS_ALICE.replace("}]", ", fallback_webhook_file: hook-url}]")
    routes.write_text(text)
    return routes


def test_the_fallback_may_stand_in_a_file_that_is_read_at_every_load(tmp_path: Path) -> None:
    routes = fallback_file(tmp_path, "https://chat.example.com/hook?key=1\n")
    before = load_file(routes).receivers["a"].fallback_webhook
    (tmp_path / "hook-url").write_text("https://chat.example.com/hook?key=2\n")
    after = load_file(routes).receivers["a"].fallback_webhook

    assert before == Secret("https://chat.example.com/hook?key=1")
    assert after == Secret("https://chat.example.com/hook?key=2")


FALLBACK_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": (
        "",
        "found a file with what is no URL, expected a URL such as https://chat.example.com/hook",
    ),
    "another scheme": (
        "ftp://chat.example.com/hunter2",
        'found a file with "ftp://chat.example.com/…", expected a URL such as '
        "https://chat.example.com/hook",
    ),
    "not UTF-8": (
        b"\xff",
        'found "hook-url", expected a file that can be read; cannot read {path}: it is not UTF-8',
    ),
    "huge": (
        "x" * 65537,
        'found "hook-url", expected a file that can be read; cannot read {path}: '
        "it is larger than 65536 bytes",
    ),
}


@pytest.mark.parametrize(("content", "message"), FALLBACK_FILES.values(), ids=list(FALLBACK_FILES))
def test_a_fallback_file_without_a_url_is_told(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    routes = fallback_file(tmp_path, content)

    with pytest.raises(ConfigError) as refused:
        load_file(routes)

    where = f"{routes}:3:80: receivers[0].fallback_webhook_file: "
    assert str(refused.value) == where + message.format(path=tmp_path / "hook-url")


def test_workdays_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    known.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)  # as if it were not installed

    with pytest.raises(ConfigError) as refused:
        load(VOICE + SCHEDULE.replace("T10:00}", "T10:00, workdays: CN}") + CALLS_ALICE)

    known.cache_clear()
    assert str(refused.value) == (
        "routes.yaml:3:108: schedules.s.rotations[0].workdays: "
        'found "CN", expected no such condition; the package holidays is not installed: '
        "pip install 'uvms-adapter[holidays]'"
    )


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
        "1:10: people.alice: found a person whom no receiver and no schedule calls",
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
    "a schedule that nobody calls": (
        VOICE + SCHEDULE + CALLS_ALICE,
        "3:13: schedules.s: found a schedule that no receiver calls",
    ),
    "a schedule of nobody": (
        VOICE + "schedules: {s: {time_zone: UTC}}\n" + CALLS_ALICE.replace("[alice]", "[alice, s]"),
        "3:13: schedules.s: found a schedule without rotations and calendar; "
        "nobody is on call in it but by an override",
    ),
    "steps and nobody who hears that they failed": (
        VOICE + "receivers: [{name: a, voice_template: v, "
        "escalation: [{call: [alice]}, {call: [alice]}]}]\nroute: {receiver: a}\n",
        "3:42: receivers[0].escalation: found 2 steps without fallback_webhook; "
        "nobody is told when nobody answers",
    ),
    "a fallback that anybody on the way can read": (
        VOICE + CALLS_ALICE.replace("}]", ", fallback_webhook: http://chat.local/x?key=1}]"),
        '3:57: receivers[0].fallback_webhook: found "http://chat.local/…", expected https://; '
        "what is told can be read on the way",
    ),
    "a fallback of a receiver that calls no one": (
        "receivers: [{name: a, fallback_webhook: https://x}]\nroute: {receiver: a}\n",
        "1:23: receivers[0].fallback_webhook: found fallback_webhook of a receiver that calls no "
        "one; it is told when nobody answers: add call or escalation",
    ),
    "answers that nobody asks for": (
        VOICE + CALLS_ALICE.replace("}]", ", repeat: 1}]") + "receipts: {poll_interval: never}\n",
        "5:12: receipts.poll_interval: found never, where answers end escalations; "
        "unless receipts are pushed, no answer is heard of and every step is taken",
    ),
    "a poll that comes too late": (
        SMALL + "receipts: {poll_interval: 2h}\n",
        "3:12: receipts.poll_interval: found 2h, longer than poll_for; no call is ever asked about",
    ),
    "a live receiver in a shadow file": (
        "mode: shadow\nreceivers: [{name: a, mode: live}]\nroute: {receiver: a}\n",
        '2:23: receivers[0].mode: found "live"; the mode of the file is shadow: it dials nobody',
    ),
    "a receiver that cannot ring at 3 a.m.": (
        VOICE.replace("id: UVVT1", "id: UVVT1, hours: 08:00-20:00") + CALLS_ALICE,
        '3:23: receivers[0].voice_template: found "v", which may not be spoken from 20:00 to 08:00 '
        "in Asia/Shanghai; its calls wait so long: name another one under outside_hours",
    ),
    "a night that the other template does not cover": (
        VOICE.replace("id: UVVT1", "id: UVVT1, hours: 08:00-20:00, outside_hours: w").replace(
            "]}}\n", "]}, w: {id: x, text: 你好, hours: 18:00-02:30}}\n"
        )
        + CALLS_ALICE,
        '3:23: receivers[0].voice_template: found "v", which may not be spoken from 02:30 to 08:00 '
        "in Asia/Shanghai; its calls wait so long: name another one under outside_hours",
    ),
    "a time zone of no hours": (
        VOICE.replace("id: UVVT1", "id: UVVT1, time_zone: UTC") + CALLS_ALICE,
        "2:34: voice_templates.v.time_zone: found time_zone without hours; it has no effect",
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
        "schedules": 1,
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
