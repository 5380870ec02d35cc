"""Broken routes.yaml files, each with the exact words its author reads."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.config.load import MOST_BYTES, load, load_file
from adapter.config.problems import ConfigError

GOOD = """\
people:
  alice: {phone: "+8613512345678"}
voice_templates:
  outage:
    id: UVVT1
    text: "{1}告警，请处理。"
    params: ["{{ alert.labels.alertname }}"]
receivers:
  - name: sre
    voice_template: outage
    call: [alice]
  - name: nobody
route:
  receiver: sre
  routes:
    - matchers: [severity="info"]
      receiver: nobody
time_intervals:
  - name: night
    time_intervals:
      - times: [{start_time: "22:00", end_time: "24:00"}]
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def added(text: str) -> str:
    return GOOD + text


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(text)
    return [str(problem) for problem in refused.value.problems]


BROKEN: dict[str, tuple[str, list[str]]] = {}


def broken(name: str, text: str, *messages: str) -> None:
    assert name not in BROKEN
    BROKEN[name] = (text, [f"routes.yaml:{message}" for message in messages])


# --- the whole file ----------------------------------------------------------------------------
broken(
    "empty",
    "",
    "1:1: receivers: found nothing, expected a list; add receivers",
    "1:1: route: found nothing, expected a mapping; add route",
)
broken(
    "a list",
    "- a\n",
    "1:1: found a list, expected a mapping",
)
broken(
    "a text",
    "routes\n",
    '1:1: found "routes", expected a mapping',
)
broken(
    "no route",
    "receivers: [{name: a}]\n",
    "1:1: route: found nothing, expected a mapping; add route",
)
broken(
    "no receivers",
    "route: {receiver: a}\n",
    "1:1: receivers: found nothing, expected a list; add receivers",
    ('1:19: route.receiver: found "a", expected the name of a receiver; there is none yet'),
)
broken(
    "a route without a value",
    "route:\nreceivers: [{name: a}]\n",
    "1:7: route: found nothing, expected a mapping; add route",
)
broken(
    "an unknown key",
    added("recievers: []\n"),
    (
        '22:1: recievers: found the unknown key "recievers", expected route, receivers, '
        "people, schedules, voice_templates, time_intervals, mute_time_intervals, "
        "heartbeats, limits, receipts, uvms, delivery, mode, retention, stale_after or "
        'keep_webhooks; did you mean "receivers"?'
    ),
)
broken(
    "a key of Alertmanager's own",
    added("inhibit_rules: []\n"),
    (
        '22:1: inhibit_rules: found the unknown key "inhibit_rules", expected route, '
        "receivers, people, schedules, voice_templates, time_intervals, "
        "mute_time_intervals, heartbeats, limits, receipts, uvms, delivery, mode, retention, "
        "stale_after or keep_webhooks; it belongs into alertmanager.yml; here stands "
        "only who is called"
    ),
)
broken(
    "a duplicate key",
    added("people: {}\n"),
    (
        '22:1: people: found the key "people" again, expected it once; it stands at '
        "1:1 already; remove one of the two"
    ),
)

# --- people ------------------------------------------------------------------------------------
PHONE = '"+8613512345678"'
broken(
    "people as a list",
    changed("alice: {", "- alice: {"),
    "2:3: people: found a list, expected a mapping",
    (
        '11:12: receivers[0].call[0]: found "alice", expected the name of a person or a '
        "schedule, or a phone number; there is none yet"
    ),
)
broken(
    "a person without a phone",
    changed(f"phone: {PHONE}", "name: 王小丽"),
    (
        "2:10: people.alice.phone: found nothing, expected a phone number in E.164 "
        "form (+, country code, number); add phone"
    ),
)
broken(
    "a person without anything",
    changed(f"{{phone: {PHONE}}}", ""),
    "2:9: people.alice: found nothing, expected a mapping",
)
broken(
    "a person that is a number",
    changed(f"{{phone: {PHONE}}}", PHONE),
    '2:10: people.alice: found "+86135****5678", expected a mapping',
)
broken(
    "a phone without country code",
    changed(PHONE, "13512345678"),
    (
        '2:18: people.alice.phone: found "1351****678", expected a phone number in '
        "E.164 form (+, country code, number); put +86 before a number of mainland "
        "China"
    ),
)
broken(
    "a phone with 00",
    changed(PHONE, '"008613512345678"'),
    (
        '2:18: people.alice.phone: found "008613****5678", expected a phone number in '
        "E.164 form (+, country code, number); write + instead of 00"
    ),
)
broken(
    "a phone with dashes",
    changed(PHONE, '"+86 135-1234-5678"'),
    (
        '2:18: people.alice.phone: found "+86 13****5678", expected a phone number in '
        "E.164 form (+, country code, number); leave out spaces, dashes, dots and "
        "brackets"
    ),
)
broken(
    "a phone that is too short",
    changed(PHONE, '"+86135123456"'),
    (
        '2:18: people.alice.phone: found "+861****3456", expected a phone number in '
        "E.164 form (+, country code, number); +86 has no such number"
    ),
)
broken(
    "a phone that is too long",
    changed(PHONE, '"+861351234567890"'),
    (
        '2:18: people.alice.phone: found "+86135****7890", expected a phone number in '
        "E.164 form (+, country code, number); it is too long"
    ),
)
broken(
    "a phone that is far too long",
    changed(PHONE, '"+8613512345678901234567"'),
    (
        '2:18: people.alice.phone: found "+86135****4567", expected a phone number in '
        "E.164 form (+, country code, number); it is too long"
    ),
)
broken(
    "a phone of no country",
    changed(PHONE, '"+99913512345678"'),
    (
        '2:18: people.alice.phone: found "+99913****5678", expected a phone number in '
        "E.164 form (+, country code, number); no country has this code"
    ),
)
broken(
    "a phone of no plan",
    changed(PHONE, '"+8610001234567"'),
    (
        '2:18: people.alice.phone: found "+86100****4567", expected a phone number in '
        "E.164 form (+, country code, number); +86 has no such number"
    ),
)
broken(
    "a phone with the area code's 0",
    changed(PHONE, '"+8602188889057"'),
    (
        '2:18: people.alice.phone: found "+86021****9057", expected a phone number in '
        "E.164 form (+, country code, number); leave out the 0 after the country code"
    ),
)
broken(
    "a phone that is a word",
    changed(PHONE, "mobile"),
    (
        '2:18: people.alice.phone: found "mobile", expected a phone number in E.164 '
        "form (+, country code, number); begin with + and the country code, then "
        "digits only"
    ),
)
broken(
    "a phone that is a list",
    changed(PHONE, f"[{PHONE}]"),
    (
        "2:18: people.alice.phone: found a list, expected a phone number in E.164 form "
        "(+, country code, number)"
    ),
)
broken(
    "a person's unknown key",
    changed("phone:", "phones: x, phone:"),
    (
        '2:11: people.alice.phones: found the unknown key "phones", expected phone or '
        'name; did you mean "phone"?'
    ),
)
broken(
    "an empty spoken name",
    changed(f"phone: {PHONE}", f'phone: {PHONE}, name: ""'),
    ("2:42: people.alice.name: found an empty text, expected a text that is not empty"),
)
broken(
    "a person called like a number",
    changed("alice:", '"+8613900000000":'),
    '2:3: people["+86139****0000"]: found "+86139****0000", expected a name that is no number',
    (
        '11:12: receivers[0].call[0]: found "alice", expected the name of a person or a '
        "schedule, or a phone number; there is +86139****0000"
    ),
)

# --- voice templates ---------------------------------------------------------------------------
broken(
    "a voice template without id",
    changed("    id: UVVT1\n", ""),
    ("5:5: voice_templates.outage.id: found nothing, expected a text that is not empty; add id"),
)
broken(
    "too few params",
    changed("{1}告警", "{1}告警{2}，共{3}条"),
    (
        "6:11: voice_templates.outage.text: found 1 parameter for 3 variables of the "
        "text, expected one for each; the vendor refuses any other number"
    ),
)
broken(
    "too many params",
    changed('alertname }}"]', 'alertname }}", "x"]'),
    (
        "6:11: voice_templates.outage.text: found 2 parameters for 1 variable of the "
        "text, expected one for each; the vendor refuses any other number"
    ),
)
broken(
    "a template that does not end",
    changed("alertname }}", "alertname"),
    (
        "7:14: voice_templates.outage.params[0]: found '{{ alert.labels.alertname', "
        "expected a Jinja2 template (unexpected end of template, expected 'end of "
        "print statement'.)"
    ),
)
broken(
    "a template of Go",
    changed("{{ alert.labels.alertname }}", "{{ .Labels.alertname }}"),
    (
        "7:14: voice_templates.outage.params[0]: found '{{ .Labels.alertname }}', "
        "expected a Jinja2 template (unexpected '.'); this is Jinja2, not Go: write {{ "
        "alert.labels.alertname }} or {{ page.group_labels.x }}"
    ),
)
broken(
    "an unknown filter",
    changed("alertname }}", "alertname | uper }}"),
    (
        "7:14: voice_templates.outage.params[0]: found the unknown filter 'uper', "
        "expected one that exists; did you mean upper?"
    ),
)
broken(
    "an unknown name in a template",
    changed("alert.labels", "alrt.labels"),
    (
        "7:14: voice_templates.outage.params[0]: found the unknown name 'alrt', "
        "expected one of alert, alerts, page, receiver, person, reason, now; did you "
        "mean alert? A label is alert.labels.alrt"
    ),
)
broken(
    "params that are a text",
    changed('["{{ alert.labels.alertname }}"]', "alertname"),
    (
        "6:11: voice_templates.outage.text: found 0 parameters for 1 variable of the "
        "text, expected one for each; the vendor refuses any other number"
    ),
    (
        '7:13: voice_templates.outage.params: found "alertname", expected a list; '
        'write it as a list: ["alertname"]'
    ),
)
broken(
    "a text with a sign",
    changed("，请处理", "100%，请处理"),
    (
        "6:11: voice_templates.outage.text: found % in the text, expected words "
        "instead; copy the text from UCloud's console as it was approved"
    ),
)
broken(
    "a param length below any use",
    changed("id: UVVT1", "id: UVVT1\n    max_param_length: 1"),
    (
        '6:23: voice_templates.outage.max_param_length: found "1", expected a whole '
        "number of at least 10 and at most 1000"
    ),
)
broken(
    "an unknown language",
    changed("id: UVVT1", "id: UVVT1\n    language: zn"),
    '6:15: voice_templates.outage.language: found "zn", expected zh or en',
)

# --- receivers ---------------------------------------------------------------------------------
broken(
    "a receiver without name",
    changed("  - name: nobody\n", "  - call: []\n"),
    ("12:5: receivers[1].name: found nothing, expected a text that is not empty; add name"),
    (
        '17:17: route.routes[0].receiver: found "nobody", expected the name of a '
        "receiver; there is sre"
    ),
)
broken(
    "a receiver with an empty name",
    changed("name: nobody", 'name: ""'),
    ("12:11: receivers[1].name: found an empty text, expected a text that is not empty"),
    (
        '17:17: route.routes[0].receiver: found "nobody", expected the name of a '
        "receiver; there is sre"
    ),
)
broken(
    "two receivers of one name",
    changed("name: nobody", "name: sre"),
    (
        '12:11: receivers[1].name: found "sre" again, expected a name of its own for '
        "each receiver; rename one of the two"
    ),
    (
        '17:17: route.routes[0].receiver: found "nobody", expected the name of a '
        "receiver; there is sre"
    ),
)
broken(
    "receivers as a mapping",
    "receivers: {name: a}\nroute: {receiver: a}\n",
    "1:12: receivers: found a mapping, expected a list",
    ('2:19: route.receiver: found "a", expected the name of a receiver; there is none yet'),
)
broken(
    "a misspelt person",
    changed("call: [alice]", "call: [alcie]"),
    (
        '11:12: receivers[0].call[0]: found "alcie", expected the name of a person or a '
        'schedule, or a phone number; did you mean "alice"?'
    ),
)
broken(
    "an unknown person",
    changed("call: [alice]", "call: [bob]"),
    (
        '11:12: receivers[0].call[0]: found "bob", expected the name of a person or a '
        "schedule, or a phone number; there is alice"
    ),
)
broken(
    "call as a text",
    changed("call: [alice]", "call: alice"),
    ('11:11: receivers[0].call: found "alice", expected a list; write it as a list: ["alice"]'),
)
broken(
    "a person twice",
    changed("call: [alice]", f"call: [alice, {PHONE}]"),
    (
        '11:19: receivers[0].call[1]: found the phone of "alice" again, expected each '
        "phone once; remove it"
    ),
)
broken(
    "a bad number to call",
    changed("call: [alice]", "call: [13512345679]"),
    (
        '11:12: receivers[0].call[0]: found "1351****679", expected a phone number in '
        "E.164 form (+, country code, number); put +86 before a number of mainland "
        "China"
    ),
)
broken(
    "an unknown voice template",
    changed("voice_template: outage", "voice_template: outrage"),
    (
        '10:21: receivers[0].voice_template: found "outrage", expected the name of a '
        'voice template; did you mean "outage"?'
    ),
)
broken(
    "a call without words",
    changed("    voice_template: outage\n", ""),
    (
        "9:5: receivers[0].voice_template: found nothing, expected the name of a voice "
        "template; say with which words people are called"
    ),
)
broken(
    "send_resolved without words",
    changed("call: [alice]", "call: [alice]\n    send_resolved: true"),
    (
        "9:5: receivers[0].resolved_template: found nothing, expected the name of a "
        "voice template; send_resolved needs words of its own"
    ),
)
broken(
    "send_resolved as yes",
    changed("call: [alice]", "call: [alice]\n    send_resolved: yes"),
    ('12:20: receivers[0].send_resolved: found "yes", expected true or false; write true'),
)
broken(
    "send_resolved in quotes",
    changed("call: [alice]", 'call: [alice]\n    send_resolved: "true"'),
    ('12:20: receivers[0].send_resolved: found "true", expected true or false; remove the quotes'),
)
broken(
    "send_resolved as a word",
    changed("call: [alice]", 'call: [alice]\n    send_resolved: "maybe"'),
    '12:20: receivers[0].send_resolved: found "maybe", expected true or false',
)
broken(
    "a group type that does not exist",
    changed("call: [alice]", "call: [alice]\n    group_type: 3"),
    '12:17: receivers[0].group_type: found "3", expected 1 or 2',
)
broken(
    "a receiver of Alertmanager's",
    changed("name: nobody", "name: nobody\n    webhook_configs: []"),
    (
        '13:5: receivers[1].webhook_configs: found the unknown key "webhook_configs", '
        "expected name, voice_template, call, escalation, repeat, fallback_webhook, "
        "fallback_webhook_file, acknowledge, minimum_answer_duration, mode, "
        "send_resolved, resolved_template, from_number, group_type or dispatch_rule; it "
        "belongs into alertmanager.yml; here stands only who is called"
    ),
)
broken(
    "no step",
    changed("call: [alice]", "escalation: []"),
    "11:17: receivers[0].escalation: found an empty list, expected a list that is not empty",
)
broken(
    "a step without call",
    changed("call: [alice]", "escalation: [{}]"),
    ("11:18: receivers[0].escalation[0].call: found nothing, expected a list; add call"),
)
broken(
    "call and escalation",
    changed("call: [alice]", "call: [alice]\n    escalation: [{call: [alice]}]"),
    (
        "12:5: receivers[0].escalation: found call and escalation, expected one of them; "
        "make a step of it, or keep call"
    ),
)

# --- routes ------------------------------------------------------------------------------------
ROOT = "  receiver: sre\n"
CHILD = '    - matchers: [severity="info"]\n'
broken(
    "a root without receiver",
    changed(ROOT, "  group_wait: 30s\n"),
    (
        "14:3: route.receiver: found nothing, expected the name of a receiver; the "
        "root names the receiver of all that no child route takes"
    ),
)
broken(
    "a misspelt receiver",
    changed("receiver: nobody", "receiver: nobdy"),
    (
        '17:17: route.routes[0].receiver: found "nobdy", expected the name of a '
        'receiver; did you mean "nobody"?'
    ),
)
broken(
    "a root with matchers",
    changed(ROOT, ROOT + "  matchers: [a=b]\n"),
    (
        "15:3: route.matchers: found matchers, expected none in the root route; the "
        "root takes every alert: move this to a child route"
    ),
)
broken(
    "a root with match",
    changed(ROOT, ROOT + "  match: {a: b}\n"),
    (
        "15:3: route.match: found match, expected none in the root route; the root "
        "takes every alert: move this to a child route"
    ),
)
broken(
    "a root that continues",
    changed(ROOT, ROOT + "  continue: true\n"),
    (
        "15:3: route.continue: found continue, expected none in the root route; the "
        "root takes every alert: move this to a child route"
    ),
)
broken(
    "a root with a mute interval",
    changed(ROOT, ROOT + "  mute_time_intervals: [night]\n"),
    (
        "15:3: route.mute_time_intervals: found mute_time_intervals, expected none in "
        "the root route; the root takes every alert: move this to a child route"
    ),
)
broken(
    "a root with an active interval",
    changed(ROOT, ROOT + "  active_time_intervals: [night]\n"),
    (
        "15:3: route.active_time_intervals: found active_time_intervals, expected none "
        "in the root route; the root takes every alert: move this to a child route"
    ),
)
broken(
    "an unknown time interval",
    changed(CHILD, CHILD + "      mute_time_intervals: [nigth]\n"),
    (
        '17:29: route.routes[0].mute_time_intervals[0]: found "nigth", expected the '
        'name of a time interval; did you mean "night"?'
    ),
)
broken(
    "group_interval 0",
    changed(ROOT, ROOT + "  group_interval: 0s\n"),
    '15:19: route.group_interval: found "0s", expected a duration above 0',
)
broken(
    "repeat_interval 0",
    changed(ROOT, ROOT + "  repeat_interval: 0\n"),
    (
        '15:20: route.repeat_interval: found "0", expected a duration above 0; write '
        "never to call but once"
    ),
)
broken(
    "a duration without unit",
    changed(ROOT, ROOT + "  group_wait: 30\n"),
    (
        '15:15: route.group_wait: found "30", expected a duration such as 30s, 5m or '
        '1h30m; not a valid duration string: "30": write whole numbers with the units '
        "y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"
    ),
)
broken(
    "a duration in words",
    changed(ROOT, ROOT + "  repeat_interval: 4 hours\n"),
    (
        '15:20: route.repeat_interval: found "4 hours", expected a duration such as 30s, '
        '5m or 1h30m, or never; unknown unit " hours" in duration "4 hours": write whole '
        "numbers with the units y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"
    ),
)
broken(
    "a negative duration",
    changed(ROOT, ROOT + "  group_wait: -5m\n"),
    (
        '15:15: route.group_wait: found "-5m", expected a duration such as 30s, 5m or '
        '1h30m; not a valid duration string: "-5m": write whole numbers with the units '
        "y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"
    ),
)
broken(
    "a duration that is a list",
    changed(ROOT, ROOT + "  group_wait: [5m]\n"),
    ("15:15: route.group_wait: found a list, expected a duration such as 30s, 5m or 1h30m"),
)
broken(
    "a repeated label",
    changed(ROOT, ROOT + "  group_by: [a, b, a]\n"),
    ('15:20: route.group_by[2]: found "a" again, expected each label once; remove one of the two'),
)
broken(
    "... beside labels",
    changed(ROOT, ROOT + "  group_by: [a, '...']\n"),
    (
        '15:13: route.group_by: found "..." beside other labels, expected one or the '
        "other; it means every label: remove it or the others"
    ),
)
broken(
    "an empty label",
    changed(ROOT, ROOT + '  group_by: [""]\n'),
    ("15:14: route.group_by[0]: found an empty text, expected a text that is not empty"),
)
broken(
    "a matcher without operator",
    changed('severity="info"', "severity"),
    (
        '16:18: route.routes[0].matchers[0]: found "severity", expected a matcher such '
        'as severity="critical"; bad matcher format: severity'
    ),
)
broken(
    "a matcher with a bad regex",
    changed('severity="info"', 'severity=~"("'),
    (
        "16:18: route.routes[0].matchers[0]: found 'severity=~\"(\"', expected a matcher "
        'such as severity="critical"; error parsing regexp: missing closing ): '
        "`^(?:()$`"
    ),
)
broken(
    "a matcher with a look-ahead",
    changed('severity="info"', 'severity=~"(?!a)"'),
    (
        "16:18: route.routes[0].matchers[0]: found 'severity=~\"(?!a)\"', expected a "
        'matcher such as severity="critical"; error parsing regexp: invalid or '
        "unsupported Perl syntax: `(?!`"
    ),
)
broken(
    "matchers as a text",
    changed('[severity="info"]', 'severity="info"'),
    (
        "16:17: route.routes[0].matchers: found 'severity=\"info\"', expected a list; "
        "write it as a list: ['severity=\"info\"']"
    ),
)
broken(
    "matchers as a mapping",
    changed('[severity="info"]', "{severity: info}"),
    "16:17: route.routes[0].matchers: found a mapping, expected a list",
)
broken(
    "a bad regex in match_re",
    changed(CHILD, "    - match_re: {severity: '['}\n"),
    (
        '16:28: route.routes[0].match_re.severity: found "[", expected an RE2 regex; '
        "error parsing regexp: missing closing ]: `[)$`"
    ),
)
broken(
    "a name that no label has",
    changed(CHILD, "    - match: {a-b: c}\n"),
    (
        '16:15: route.routes[0].match.a-b: found "a-b", expected a label name of '
        "letters, digits and _; write it as a matcher if the label is really called so"
    ),
)
broken(
    "a name that no label has in match_re",
    changed(CHILD, "    - match_re: {a-b: c}\n"),
    (
        '16:18: route.routes[0].match_re.a-b: found "a-b", expected a label name of letters, '
        "digits and _; write it as a matcher if the label is really called so"
    ),
)
broken(
    "match as a list",
    changed(CHILD, "    - match: [a]\n"),
    "16:14: route.routes[0].match: found a list, expected a mapping",
)
broken(
    "an unknown key of a route",
    changed(CHILD, CHILD + "      reciever: sre\n"),
    (
        '17:7: route.routes[0].reciever: found the unknown key "reciever", expected '
        "receiver, matchers, match, match_re, continue, routes, group_by, group_wait, "
        "group_interval, repeat_interval, mute_time_intervals or "
        'active_time_intervals; did you mean "receiver"?'
    ),
)
broken(
    "routes as a mapping",
    changed(CHILD, "      matchers: []\n"),
    "16:7: route.routes: found a mapping, expected a list",
)
broken(
    "continue as a number",
    changed(CHILD, CHILD + "      continue: 1\n"),
    '17:17: route.routes[0].continue: found "1", expected true or false',
)

# --- time intervals ----------------------------------------------------------------------------
TIMES = 'times: [{start_time: "22:00", end_time: "24:00"}]'
broken(
    "a time interval without name",
    changed("  - name: night\n    time", "  - time"),
    ("19:5: time_intervals[0].name: found nothing, expected a text that is not empty; add name"),
)
broken(
    "a second time interval of the name",
    added("  - name: night\n"),
    (
        '22:11: time_intervals[1].name: found "night" again, expected a name of its '
        "own for each time interval; rename one of the two"
    ),
)
broken(
    "a second one under the old key",
    added("mute_time_intervals: [{name: night}]\n"),
    (
        '22:30: mute_time_intervals[0].name: found "night" again, expected a name of '
        "its own for each time interval; rename one of the two"
    ),
)
broken(
    "a time over midnight",
    changed('"24:00"', '"08:00"'),
    (
        '21:17: time_intervals[0].time_intervals[0].times[0]: found "22:00" to '
        '"08:00", expected start_time and end_time such as "09:00" and "17:00"; start '
        "time cannot be equal or greater than end time"
    ),
)
broken(
    "a time of one digit",
    changed('"22:00"', "9:00"),
    (
        '21:17: time_intervals[0].time_intervals[0].times[0]: found "9:00" to "24:00", '
        'expected start_time and end_time such as "09:00" and "17:00"; couldn\'t parse '
        "timestamp 9:00, invalid format"
    ),
)
broken(
    "a time without an end",
    changed(', end_time: "24:00"', ""),
    (
        "21:17: time_intervals[0].time_intervals[0].times[0].end_time: found nothing, "
        "expected a text that is not empty; add end_time"
    ),
)
broken(
    "a weekday in short",
    changed(TIMES, "weekdays: [mon, tue]"),
    (
        '21:20: time_intervals[0].time_intervals[0].weekdays[0]: found "mon", expected '
        "a weekday or a range such as monday:friday; mon is not a valid weekday"
    ),
    (
        '21:25: time_intervals[0].time_intervals[0].weekdays[1]: found "tue", expected '
        "a weekday or a range such as monday:friday; tue is not a valid weekday"
    ),
)
broken(
    "a day that no month has",
    changed(TIMES, "days_of_month: [32]"),
    (
        '21:25: time_intervals[0].time_intervals[0].days_of_month[0]: found "32", '
        "expected a day from 1 to 31 or -31 to -1, or a range of them; 32 is not a "
        "valid day of the month: out of range"
    ),
)
broken(
    "a month that does not exist",
    changed(TIMES, "months: [januar]"),
    (
        '21:18: time_intervals[0].time_intervals[0].months[0]: found "januar", '
        "expected a month or a range such as january:march; januar is not a valid month"
    ),
)
broken(
    "years backwards",
    changed(TIMES, "years: ['2028:2026']"),
    (
        '21:17: time_intervals[0].time_intervals[0].years[0]: found "2028:2026", '
        "expected a year or a range such as 2026:2028; end year 2026 is before start "
        "year 2028"
    ),
)
broken(
    "an unknown time zone",
    changed(TIMES, "location: Asia/Peking"),
    (
        '21:19: time_intervals[0].time_intervals[0].location: found "Asia/Peking", '
        "expected a time zone such as Asia/Shanghai; unknown time zone Asia/Peking"
    ),
)
broken(
    "a spec that is a text",
    changed(TIMES, "night"),
    '21:9: time_intervals[0].time_intervals[0]: found "night", expected a mapping',
)

# --- the rest ----------------------------------------------------------------------------------
broken(
    "a limit of 0",
    added("limits: {per_person: {per_hour: 0}}\n"),
    ('22:33: limits.per_person.per_hour: found "0", expected a whole number of at least 1'),
)
broken(
    "a limit in quotes",
    added('limits: {per_person: {per_hour: "10"}}\n'),
    (
        '22:33: limits.per_person.per_hour: found "10", expected a whole number of at '
        "least 1; remove the quotes"
    ),
)
broken(
    "a rate of 0",
    added("limits: {requests_per_second: 0}\n"),
    ('22:31: limits.requests_per_second: found "0", expected a number above 0 and at most 1000'),
)
broken(
    "too many calls at once",
    added("limits: {concurrent_calls: 100000}\n"),
    (
        '22:28: limits.concurrent_calls: found "100000", expected a whole number of at '
        "least 1 and at most 1000"
    ),
)
broken(
    "a limit that is a duration",
    added("limits: {per_person: {per_day: 1d}}\n"),
    ('22:32: limits.per_person.per_day: found "1d", expected a whole number of at least 1'),
)
broken(
    "a secret in the file",
    added("uvms: {private_key: hunter2}\n"),
    (
        '22:8: uvms.private_key: found the unknown key "private_key", expected '
        "endpoint, project_id, region, zone, from_number, group_type, dispatch_rule, "
        "timeouts or ret_codes; secrets stand in the environment: UVMS_PUBLIC_KEY and "
        "UVMS_PRIVATE_KEY"
    ),
)
broken(
    "an endpoint without scheme",
    added("uvms: {endpoint: api.ucloud.cn}\n"),
    (
        '22:18: uvms.endpoint: found "api.ucloud.cn", expected a URL such as '
        "https://api.ucloud.cn, without user, query and fragment"
    ),
)
broken(
    "an endpoint with a password",
    added("uvms: {endpoint: 'https://a:hunter2@b'}\n"),
    (
        '22:18: uvms.endpoint: found "https://***@b", expected a URL such as '
        "https://api.ucloud.cn, without user, query and fragment"
    ),
)
broken(
    "a RetCode that is a word",
    added("uvms: {ret_codes: {throttle: retry}}\n"),
    '22:20: uvms.ret_codes.throttle: found "throttle", expected a whole number',
)
broken(
    "an outcome that does not exist",
    added("uvms: {ret_codes: {18013: retri}}\n"),
    (
        '22:27: uvms.ret_codes.18013: found "retri", expected accepted, retry, '
        'throttled, unknown, refused or account_refused; did you mean "retry"?'
    ),
)
broken(
    "a timeout of 0",
    added("uvms: {timeouts: {read: 0s}}\n"),
    '22:25: uvms.timeouts.read: found "0s", expected a duration above 0',
)
broken(
    "a retention of 0",
    added("retention: 0\n"),
    '22:12: retention: found "0", expected a duration above 0',
)
broken(
    "an unknown key of delivery",
    added("delivery: {give_up: 5m}\n"),
    (
        '22:12: delivery.give_up: found the unknown key "give_up", expected '
        "give_up_after, reconcile_for, reconcile_first, record_visible_after, retry_initial, "
        'retry_cap or account_probe_interval; did you mean "give_up_after"?'
    ),
)
broken(
    "many mistakes at once",
    changed("receiver: nobody", "receiver: x")
    .replace("outage\n", "outrage\n")
    .replace("+8613512345678", "13512345678")
    + "retension: 5d\n",
    (
        '2:18: people.alice.phone: found "1351****678", expected a phone number in E.164 '
        "form (+, country code, number); put +86 before a number of mainland China"
    ),
    (
        '10:21: receivers[0].voice_template: found "outrage", expected the name of a '
        'voice template; did you mean "outage"?'
    ),
    (
        '17:17: route.routes[0].receiver: found "x", expected the name of a receiver; '
        "there is nobody or sre"
    ),
    (
        '22:1: retension: found the unknown key "retension", expected route, receivers, '
        "people, schedules, voice_templates, time_intervals, mute_time_intervals, "
        "heartbeats, limits, receipts, uvms, delivery, mode, retention, stale_after or "
        'keep_webhooks; did you mean "retention"?'
    ),
)


@pytest.mark.parametrize(("text", "messages"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_says_where_what_and_how_to_mend_it(text: str, messages: list[str]) -> None:
    assert problems(text) == messages


def test_the_file_they_are_made_from_is_good() -> None:
    load(GOOD)


@pytest.mark.parametrize("text", [text for text, _ in BROKEN.values()], ids=BROKEN)
def test_no_problem_shows_a_secret_or_a_full_number(text: str) -> None:
    shown = "\n".join(problems(text))

    assert "hunter2" not in shown
    digits = re.sub(r"[^0-9\n]", "", shown)  # however they are set apart
    assert not [
        number for number in re.findall(r"1[3-9]\d{9}|2188889057", text) if number in digits
    ]


def mutilated(lines: list[str], cuts: list[tuple[int, int]]) -> str:
    """Take lines out and move them about."""
    for source, target in cuts:
        lines.insert(target % (len(lines) + 1), lines.pop(source % len(lines)))
    return "\n".join(lines[: len(lines) - len(cuts) // 2])


@given(st.one_of(st.text(), st.binary(), st.text("{}[]:,-&*!|>'\"%@`#?\n\t <ab1", max_size=80)))
def test_any_text_loads_or_is_a_config_error(text: str | bytes) -> None:
    with pytest.raises(ConfigError):  # no such text is a whole routes.yaml
        load(text)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8))
def test_a_mutilated_file_loads_or_is_a_config_error(cuts: list[tuple[int, int]]) -> None:
    with contextlib.suppress(ConfigError):
        load(mutilated(GOOD.splitlines(), cuts))


@given(
    st.sampled_from(sorted(set(re.findall(r"[\w+./]+", GOOD)))),
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(["null", "[]", "{}", "[null]", "-1", "1e999", "0x1", "true", "*a", "\\"]),
    ),
)
def test_a_file_with_another_word_loads_or_is_a_config_error(word: str, other: str) -> None:
    with contextlib.suppress(ConfigError):
        load(GOOD.replace(word, other))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"

    with pytest.raises(ConfigError) as refused:
        load_file(path)

    assert str(refused.value) == (
        f"{path}: found no file to read, expected a YAML file; No such file or directory"
    )


def test_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a YAML file; Is a directory$"):
        load_file(tmp_path)


def test_a_path_that_no_file_can_have_is_told() -> None:
    with pytest.raises(ConfigError, match=r"expected a YAML file; embedded null byte$"):
        load_file("a\0b")


def test_a_huge_file_is_told() -> None:
    with pytest.raises(ConfigError) as refused:
        load("#" * (MOST_BYTES + 1))

    assert str(refused.value) == (
        "routes.yaml: found more than 10485760 bytes, expected at most 10485760 bytes"
    )
