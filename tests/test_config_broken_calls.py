"""Broken schedules and escalations, each with the exact words its author reads."""

from __future__ import annotations

import re

import pytest

from adapter.config.load import load
from adapter.config.problems import ConfigError

GOOD = """\
people:
  alice: {phone: "+8613512345678"}
  bob: {phone: "+8613512345679"}
schedules:
  primary:
    time_zone: Asia/Shanghai
    rotations:
      - people: [alice, [bob, alice]]
        start: "2026-11-02T10:00"
        every: 1w
    overrides:
      - {person: bob, from: "2026-11-24T18:00", until: "2026-11-25T09:00"}
voice_templates:
  outage: {id: UVVT1, text: 请处理。, hours: 08:00-20:00, outside_hours: night}
  night: {id: UVVT2, text: 请处理。}
receivers:
  - name: sre
    voice_template: outage
    escalation:
      - {call: [primary], wait: 5m}
      - {call: ["primary:next", "+8613900000000"]}
    fallback_webhook: https://chat.example.com/hook
route: {receiver: sre}
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


# --- schedules -----------------------------------------------------------------------------------
broken(
    "a schedule without time zone",
    changed("    time_zone: Asia/Shanghai\n", ""),
    (
        "6:5: schedules.primary.time_zone: found nothing, expected a time zone such as "
        "Asia/Shanghai; add time_zone"
    ),
)
broken(
    "a time zone that is none",
    changed("Asia/Shanghai", "Asia/Peking"),
    (
        '6:16: schedules.primary.time_zone: found "Asia/Peking", expected a time zone '
        "such as Asia/Shanghai; it is a name of the IANA database, in its exact spelling"
    ),
)
broken(
    "a time zone in small letters",
    changed("Asia/Shanghai", "asia/shanghai"),
    (
        '6:16: schedules.primary.time_zone: found "asia/shanghai", expected a time zone '
        "such as Asia/Shanghai; it is a name of the IANA database, in its exact spelling"
    ),
)
broken(
    "a time zone as an offset",
    changed("Asia/Shanghai", '"+08:00"'),
    (
        '6:16: schedules.primary.time_zone: found "+08:00", expected a time zone such as '
        "Asia/Shanghai; it is a name of the IANA database, in its exact spelling"
    ),
)
broken(
    "the time zone in another word",
    changed("time_zone: Asia", "timezone: Asia"),
    (
        "6:5: schedules.primary.time_zone: found nothing, expected a time zone such as "
        "Asia/Shanghai; add time_zone"
    ),
    (
        '6:5: schedules.primary.timezone: found the unknown key "timezone", expected '
        "time_zone, rotations, overrides or calendar; write time_zone"
    ),
)
broken(
    "a schedule called as a person is",
    changed("bob: {phone", "primary: {phone"),
    (
        '5:3: schedules.primary: found "primary", a person\'s name too, expected a name '
        "of its own; rename one of the two: receivers call both by name"
    ),
    (
        '8:26: schedules.primary.rotations[0].people[1][0]: found "bob", expected the '
        "name of a person; there is alice or primary"
    ),
    (
        '12:18: schedules.primary.overrides[0].person: found "bob", expected the name of '
        "a person; there is alice or primary"
    ),
)
broken(
    "a person called as who is next",
    changed("  bob: {phone", '  "primary:next": {phone: "+8613512345670"}\n  bob: {phone'),
    (
        '6:3: schedules.primary: found "primary:next", a person\'s name too, expected a '
        "name of its own; rename one of the two: receivers call both by name"
    ),
)
broken(
    "a schedule called as who is next",
    changed("  primary:\n", '  "primary:next":\n'),
    (
        '5:3: schedules["primary:next"]: found "primary:next", expected a name that does '
        "not end in :next; receivers write :next for who is on after"
    ),
    (
        '20:17: receivers[0].escalation[0].call[0]: found "primary", expected the name '
        'of a person or a schedule, or a phone number; did you mean "primary:next"?'
    ),
)
broken(
    "a schedule called like a number",
    changed("  primary:\n", '  "13512345678":\n'),
    '5:3: schedules.1351****678: found "1351****678", expected a name that is no number',
    (
        '20:17: receivers[0].escalation[0].call[0]: found "primary", expected the name '
        "of a person or a schedule, or a phone number; there is 1351****678, alice or "
        "bob"
    ),
    (
        '21:17: receivers[0].escalation[1].call[0]: found "primary:next", expected the '
        "name of a person or a schedule, or a phone number; there is 1351****678, "
        "1351****678:next, alice or bob"
    ),
)
broken(
    "rotations as a mapping",
    changed("      - people: [alice, [bob, alice]]\n        start", "        start"),
    "8:9: schedules.primary.rotations: found a mapping, expected a list",
)
broken(
    "a rotation's word for rotations",
    changed("    rotations:\n", "    layers:\n"),
    (
        '7:5: schedules.primary.layers: found the unknown key "layers", expected '
        "time_zone, rotations, overrides or calendar; write rotations: a list of them"
    ),
)
broken(
    "people beside the rotations",
    changed("    time_zone:", "    people: [alice]\n    time_zone:"),
    (
        '6:5: schedules.primary.people: found the unknown key "people", expected '
        "time_zone, rotations, overrides or calendar; it belongs to a rotation: write "
        "rotations: [{people: …, start: …, every: …}]"
    ),
)

# --- rotations -----------------------------------------------------------------------------------
broken(
    "a rotation without people",
    changed("people: [alice, [bob, alice]]\n        start", "start"),
    "8:9: schedules.primary.rotations[0].people: found nothing, expected a list; add people",
)
broken(
    "a rotation without start",
    changed('        start: "2026-11-02T10:00"\n', ""),
    (
        "8:9: schedules.primary.rotations[0].start: found nothing, expected a time such "
        'as "2026-11-02T10:00"; add start'
    ),
)
broken(
    "turns without their length",
    changed("        every: 1w\n", ""),
    (
        "8:9: schedules.primary.rotations[0].every: found nothing for 2 turns, expected "
        "how long a turn is; add every: 1w, or put who is on together into one turn: "
        "[[alice, bob]]"
    ),
)
broken(
    "a turn that is too short",
    changed("every: 1w", "every: 10m"),
    (
        '10:16: schedules.primary.rotations[0].every: found "10m", expected a duration '
        "of at least 1h"
    ),
)
broken(
    "a turn of a number",
    changed("every: 1w", "every: 7"),
    (
        '10:16: schedules.primary.rotations[0].every: found "7", expected a duration '
        'such as 30s, 5m or 1h30m; not a valid duration string: "7": write whole numbers '
        "with the units y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"
    ),
)
broken(
    "people as a text",
    changed("people: [alice, [bob, alice]]", "people: alice"),
    (
        '8:17: schedules.primary.rotations[0].people: found "alice", expected a list; '
        'write it as a list: ["alice"]'
    ),
)
broken(
    "no turn",
    changed("people: [alice, [bob, alice]]", "people: []"),
    (
        "8:17: schedules.primary.rotations[0].people: found an empty list, expected a "
        "list that is not empty"
    ),
)
broken(
    "a turn of nobody",
    changed("[bob, alice]]", "[]]"),
    (
        "8:25: schedules.primary.rotations[0].people[1]: found an empty list, expected a "
        "list that is not empty"
    ),
)
broken(
    "a turn in a mapping",
    changed("[bob, alice]]", "{bob: alice}]"),
    (
        "8:25: schedules.primary.rotations[0].people[1]: found a mapping, expected a "
        "text that is not empty"
    ),
)
broken(
    "somebody twice in a turn",
    changed("[bob, alice]]", "[bob, bob]]"),
    (
        '8:31: schedules.primary.rotations[0].people[1][1]: found "bob" again, expected '
        "each person of a turn once; remove one of the two"
    ),
)
broken(
    "somebody unknown in a turn",
    changed("[bob, alice]]", "[bbo, alice]]"),
    (
        '8:26: schedules.primary.rotations[0].people[1][0]: found "bbo", expected the '
        'name of a person; did you mean "bob"?'
    ),
)
broken(
    "a number in a turn",
    changed("people: [alice,", 'people: ["+8613900000009",'),
    (
        '8:18: schedules.primary.rotations[0].people[0][0]: found "+86139****0009", '
        "expected the name of a person; give the number a name under people"
    ),
)
broken(
    "a start without the time",
    changed('"2026-11-02T10:00"', "2026-11-02"),
    (
        '9:16: schedules.primary.rotations[0].start: found "2026-11-02", expected a time '
        'such as "2026-11-02T10:00"; add the time of the day: 2026-11-02T00:00'
    ),
)
broken(
    "a start with an offset",
    changed('"2026-11-02T10:00"', '"2026-11-02T10:00+08:00"'),
    (
        '9:16: schedules.primary.rotations[0].start: found "2026-11-02T10:00+08:00", '
        'expected a time such as "2026-11-02T10:00"; leave out the offset: this is wall '
        "time of the schedule's time_zone"
    ),
)
broken(
    "a start on no day",
    changed('"2026-11-02T10:00"', '"2026-11-31T10:00"'),
    (
        '9:16: schedules.primary.rotations[0].start: found "2026-11-31T10:00", expected '
        'a time such as "2026-11-02T10:00"; there is no such day, time or offset'
    ),
)
broken(
    "a start in another century",
    changed('"2026-11-02T10:00"', '"1926-11-02T10:00"'),
    (
        '9:16: schedules.primary.rotations[0].start: found "1926-11-02T10:00", expected '
        'a time such as "2026-11-02T10:00"; write a year from 2000 to 2199'
    ),
)
broken(
    "a start in words",
    changed('"2026-11-02T10:00"', "monday"),
    (
        '9:16: schedules.primary.rotations[0].start: found "monday", expected a time '
        'such as "2026-11-02T10:00"'
    ),
)
broken(
    "an end before the start",
    changed("every: 1w", 'every: 1w\n        end: "2026-11-01T10:00"'),
    (
        '11:14: schedules.primary.rotations[0].end: found "2026-11-01T10:00", expected a '
        "time after start"
    ),
)
broken(
    "a rotation's weekday in short",
    changed("every: 1w", "every: 1w\n        weekdays: [mon, '']"),
    (
        '11:20: schedules.primary.rotations[0].weekdays[0]: found "mon", expected a '
        "weekday or a range such as monday:friday; mon is not a valid weekday"
    ),
    (
        "11:25: schedules.primary.rotations[0].weekdays[1]: found an empty text, "
        "expected a text that is not empty"
    ),
)
broken(
    "a rotation on no weekday",
    changed("every: 1w", "every: 1w\n        weekdays: []"),
    (
        "11:19: schedules.primary.rotations[0].weekdays: found an empty list, expected a "
        "list that is not empty"
    ),
)
broken(
    "a rotation's hours without end",
    changed("every: 1w", 'every: 1w\n        hours: [{start_time: "22:00"}]'),
    (
        "11:17: schedules.primary.rotations[0].hours[0].end_time: found nothing, "
        "expected a text that is not empty; add end_time"
    ),
)
broken(
    "a rotation's hours of nothing",
    changed("every: 1w", 'every: 1w\n        hours: [{start_time: "22:00", end_time: "22:00"}]'),
    (
        '11:17: schedules.primary.rotations[0].hours[0]: found "22:00" to "22:00", '
        'expected start_time and end_time such as "22:00" and "08:00"; the end must '
        "differ from the start; leave both out for the whole day"
    ),
)
broken(
    "a rotation's hours from midnight",
    changed("every: 1w", 'every: 1w\n        hours: [{start_time: "24:00", end_time: "08:00"}]'),
    (
        '11:17: schedules.primary.rotations[0].hours[0]: found "24:00" to "08:00", '
        'expected start_time and end_time such as "22:00" and "08:00"; write a start at '
        "midnight as 00:00"
    ),
)
broken(
    "a rotation's hours of one digit",
    changed("every: 1w", 'every: 1w\n        hours: [{start_time: "22:00", end_time: "8:00"}]'),
    (
        '11:17: schedules.primary.rotations[0].hours[0]: found "22:00" to "8:00", '
        'expected start_time and end_time such as "22:00" and "08:00"; write hours and '
        "minutes with two digits each, from 00:00 to 24:00"
    ),
)
broken(
    "workdays of no country",
    changed("every: 1w", "every: 1w\n        workdays: China"),
    (
        '11:19: schedules.primary.rotations[0].workdays: found "China", expected a '
        "country or a part of one, such as CN or DE-BY"
    ),
)
broken(
    "workdays of a country in small letters",
    changed("every: 1w", "every: 1w\n        days_off: cn"),
    (
        '11:19: schedules.primary.rotations[0].days_off: found "cn", expected a country '
        "or a part of one, such as CN or DE-BY; did you mean CN?"
    ),
)
broken(
    "workdays and days off",
    changed("every: 1w", "every: 1w\n        workdays: CN\n        days_off: CN"),
    (
        "12:9: schedules.primary.rotations[0].days_off: found workdays and days_off, "
        "expected one of them; no day is both: make two rotations of it"
    ),
)
broken(
    "a rotation's word for people",
    changed("people: [alice, [bob, alice]]", "users: [alice]\n        people: [alice, bob]"),
    (
        '8:9: schedules.primary.rotations[0].users: found the unknown key "users", '
        "expected people, start, every, end, name, weekdays, hours, workdays or "
        "days_off; write people: a turn is a name, or a list of names that are on "
        "together"
    ),
)
broken(
    "a rotation's word for its turn",
    changed("every: 1w", "every: 1w\n        handoff: 1w"),
    (
        '11:9: schedules.primary.rotations[0].handoff: found the unknown key "handoff", '
        "expected people, start, every, end, name, weekdays, hours, workdays or "
        "days_off; write every: a duration such as 12h, 1d or 1w"
    ),
)
broken(
    "a time zone of a rotation",
    changed("every: 1w", "every: 1w\n        time_zone: UTC"),
    (
        "11:9: schedules.primary.rotations[0].time_zone: found the unknown key "
        '"time_zone", expected people, start, every, end, name, weekdays, hours, '
        "workdays or days_off; write time_zone beside rotations"
    ),
)

# --- overrides and calendars ---------------------------------------------------------------------
broken(
    "an override of nobody",
    changed("{person: bob, ", "{"),
    (
        "12:9: schedules.primary.overrides[0].person: found nothing, expected a text "
        "that is not empty; add person"
    ),
)
broken(
    "an override of somebody unknown",
    changed("person: bob", "person: carol"),
    (
        '12:18: schedules.primary.overrides[0].person: found "carol", expected the name '
        "of a person; there is alice or bob"
    ),
)
broken(
    "an override that ends before it begins",
    changed('until: "2026-11-25T09:00"', 'until: "2026-11-24T09:00Z"'),
    (
        '12:56: schedules.primary.overrides[0].until: found "2026-11-24T09:00+00:00", '
        "expected a time after from"
    ),
)
broken(
    "an override without end",
    changed(', until: "2026-11-25T09:00"', ""),
    (
        "12:9: schedules.primary.overrides[0].until: found nothing, expected a time such "
        'as "2026-11-02T10:00" or "2026-11-02T10:00+08:00"; add until'
    ),
)
broken(
    "an override whose end is unreadable",
    changed('"2026-11-25T09:00"', '"25.11.2026"'),
    (
        '12:56: schedules.primary.overrides[0].until: found "25.11.2026", expected a '
        'time such as "2026-11-02T10:00" or "2026-11-02T10:00+08:00"'
    ),
)
broken(
    "an override's words of another system",
    changed('from: "2026-11-24T18:00"', 'start: "2026-11-24T18:00"'),
    (
        "12:9: schedules.primary.overrides[0].from: found nothing, expected a time such "
        'as "2026-11-02T10:00" or "2026-11-02T10:00+08:00"; add from'
    ),
    (
        '12:23: schedules.primary.overrides[0].start: found the unknown key "start", '
        "expected person, from or until; write from"
    ),
)
broken(
    "a calendar from nowhere",
    changed("    overrides:\n", "    calendar: {refresh: 5m}\n    overrides:\n"),
    (
        "11:15: schedules.primary.calendar.url: found nothing, expected url or file; say "
        "where the feed is"
    ),
)
broken(
    "a calendar from two places",
    changed(
        "    overrides:\n",
        "    calendar: {url: https://a.example/x.ics, file: x.ics}\n    overrides:\n",
    ),
    (
        "11:46: schedules.primary.calendar.file: found url and file, expected one of "
        "them; keep one of the two"
    ),
)
broken(
    "a calendar that is no web page",
    changed(
        "    overrides:\n", "    calendar: {url: webcal://a.example/hunter2.ics}\n    overrides:\n"
    ),
    (
        '11:21: schedules.primary.calendar.url: found "webcal://a.example/…", expected a '
        "URL such as https://chat.example.com/hook; write https:// instead of webcal://"
    ),
)
broken(
    "a calendar read all the time",
    changed("    overrides:\n", "    calendar: {file: x.ics, refresh: 1s}\n    overrides:\n"),
    '11:38: schedules.primary.calendar.refresh: found "1s", expected a duration of at least 1m',
)
broken(
    "a calendar with somebody unknown",
    changed(
        "    overrides:\n",
        "    calendar: {file: x.ics, people: {Wang Xiaoli: ailce}}\n    overrides:\n",
    ),
    (
        '11:51: schedules.primary.calendar.people["Wang Xiaoli"]: found "ailce", '
        'expected the name of a person; did you mean "alice"?'
    ),
)

# --- escalation ----------------------------------------------------------------------------------
broken(
    "a wait of 0",
    changed("wait: 5m", "wait: 0s"),
    '20:33: receivers[0].escalation[0].wait: found "0s", expected a duration above 0',
)
broken(
    "a step without anybody",
    changed("call: [primary]", "call: []"),
    (
        "20:16: receivers[0].escalation[0].call: found an empty list, expected a list "
        "that is not empty"
    ),
)
broken(
    "an unknown schedule",
    changed("call: [primary]", "call: [primray]"),
    (
        '20:17: receivers[0].escalation[0].call[0]: found "primray", expected the name '
        'of a person or a schedule, or a phone number; did you mean "primary"?'
    ),
)
broken(
    "who is next of an unknown schedule",
    changed('"primary:next"', '"primray:next"'),
    (
        '21:17: receivers[0].escalation[1].call[0]: found "primray:next", expected the '
        'name of a person or a schedule, or a phone number; did you mean "primary:next"?'
    ),
)
broken(
    "who is next after a person",
    changed('"primary:next"', '"alice:next"'),
    (
        '21:17: receivers[0].escalation[1].call[0]: found "alice:next", expected the '
        "name of a person or a schedule, or a phone number; only a schedule has somebody "
        "who is next"
    ),
)
broken(
    "a schedule twice in a step",
    changed("call: [primary]", "call: [primary, primary]"),
    (
        '20:26: receivers[0].escalation[0].call[1]: found "primary" again, expected each '
        "schedule once; remove it"
    ),
)
broken(
    "a person twice in a step",
    changed("call: [primary]", 'call: [alice, "+8613512345678"]'),
    (
        '20:24: receivers[0].escalation[0].call[1]: found the phone of "alice" again, '
        "expected each phone once; remove it"
    ),
)
broken(
    "two people without a readable phone in a step",
    changed('"+8613512345678"', "a")
    .replace('"+8613512345679"', "b")
    .replace("[primary]", "[alice, bob]", 1),
    (
        '2:18: people.alice.phone: found "a", expected a phone number in E.164 form (+, '
        "country code, number); begin with + and the country code, then digits only"
    ),
    (
        '3:16: people.bob.phone: found "b", expected a phone number in E.164 form (+, '
        "country code, number); begin with + and the country code, then digits only"
    ),
)
broken(
    "a step's word for wait",
    changed("wait: 5m", "delay_minutes: 5"),
    (
        "20:27: receivers[0].escalation[0].delay_minutes: found the unknown key "
        '"delay_minutes", expected call or wait; write wait: how long this step is given '
        "before the next one is taken"
    ),
)
broken(
    "a step's word for call",
    changed("call: [primary]", "targets: [primary], call: [alice]"),
    (
        '20:10: receivers[0].escalation[0].targets: found the unknown key "targets", '
        "expected call or wait; list people and schedules under call"
    ),
)
broken(
    "a receiver's word for steps",
    changed("    escalation:\n", "    steps: []\n    escalation:\n"),
    (
        '19:5: receivers[0].steps: found the unknown key "steps", expected name, '
        "voice_template, call, escalation, repeat, fallback_webhook, "
        "fallback_webhook_file, acknowledge, minimum_answer_duration, mode, "
        "send_resolved, resolved_template, from_number, group_type or dispatch_rule; "
        "write escalation: a list of steps, each with call and wait"
    ),
)
broken(
    "a repeat interval of a receiver",
    changed("    escalation:\n", "    repeat_interval: 1h\n    escalation:\n"),
    (
        '19:5: receivers[0].repeat_interval: found the unknown key "repeat_interval", '
        "expected name, voice_template, call, escalation, repeat, fallback_webhook, "
        "fallback_webhook_file, acknowledge, minimum_answer_duration, mode, "
        "send_resolved, resolved_template, from_number, group_type or dispatch_rule; it "
        "belongs to a route; repeat is how often the escalation is gone through again"
    ),
)
broken(
    "a schedule beside the call",
    changed("    escalation:\n", "    on_call: primary\n    escalation:\n"),
    (
        '19:5: receivers[0].on_call: found the unknown key "on_call", expected name, '
        "voice_template, call, escalation, repeat, fallback_webhook, "
        "fallback_webhook_file, acknowledge, minimum_answer_duration, mode, "
        "send_resolved, resolved_template, from_number, group_type or dispatch_rule; "
        "list people and schedules under call"
    ),
)
broken(
    "too many repeats",
    changed("    escalation:\n", "    repeat: 101\n    escalation:\n"),
    (
        '19:13: receivers[0].repeat: found "101", expected a whole number of at least 0 '
        "and at most 100"
    ),
)
broken(
    "a negative repeat",
    changed("    escalation:\n", "    repeat: -1\n    escalation:\n"),
    (
        '19:13: receivers[0].repeat: found "-1", expected a whole number of at least 0 '
        "and at most 100"
    ),
)
broken(
    "an acknowledgement in other words",
    changed("    escalation:\n", "    acknowledge: manual\n    escalation:\n"),
    '19:18: receivers[0].acknowledge: found "manual", expected answered or by_hand',
)
broken(
    "an answer that lasts too long",
    changed("    escalation:\n", "    minimum_answer_duration: 2h\n    escalation:\n"),
    '19:30: receivers[0].minimum_answer_duration: found "2h", expected a duration of at most 1h',
)
broken(
    "a mode that does not exist",
    changed("    escalation:\n", "    mode: shadwo\n    escalation:\n"),
    '19:11: receivers[0].mode: found "shadwo", expected live or shadow; did you mean "shadow"?',
)
broken(
    "an escalation policy beside the receivers",
    changed("route: {", "escalation_policies: []\nroute: {"),
    (
        '23:1: escalation_policies: found the unknown key "escalation_policies", '
        "expected route, receivers, people, schedules, voice_templates, time_intervals, "
        "mute_time_intervals, heartbeats, limits, receipts, uvms, delivery, mode, retention, "
        "stale_after or keep_webhooks; an escalation stands in its receiver"
    ),
)
broken(
    "an escalation in a route",
    changed("route: {", "route: {escalation: [], "),
    (
        '23:9: route.escalation: found the unknown key "escalation", expected receiver, '
        "matchers, match, match_re, continue, routes, group_by, group_wait, "
        "group_interval, repeat_interval, mute_time_intervals or active_time_intervals; "
        "it belongs to a receiver, which the route names"
    ),
)

# --- the fallback --------------------------------------------------------------------------------
broken(
    "a fallback that is no URL",
    changed("https://chat.example.com/hook", "chat.example.com"),
    (
        "22:23: receivers[0].fallback_webhook: found what is no URL, expected a URL such "
        "as https://chat.example.com/hook"
    ),
)
broken(
    "a fallback that is a list",
    changed("https://chat.example.com/hook", "[https://chat.example.com/hunter2]"),
    (
        "22:23: receivers[0].fallback_webhook: found a list, expected a URL such as "
        "https://chat.example.com/hook"
    ),
)
broken(
    "a fallback of another kind",
    changed("https://chat.example.com/hook", "ftp://chat.example.com/hunter2"),
    (
        '22:23: receivers[0].fallback_webhook: found "ftp://chat.example.com/…", '
        "expected a URL such as https://chat.example.com/hook"
    ),
)
broken(
    "a fallback with a user",
    changed("https://chat.example.com/hook", "https://me:hunter2@chat.example.com/hook"),
    (
        '22:23: receivers[0].fallback_webhook: found "https://chat.example.com/…", '
        "expected a URL such as https://chat.example.com/hook; a URL with a user is not "
        "supported"
    ),
)
broken(
    "a fallback without host",
    changed("https://chat.example.com/hook", "https:///hunter2"),
    (
        "22:23: receivers[0].fallback_webhook: found what is no URL, expected a URL such "
        "as https://chat.example.com/hook"
    ),
)
broken(
    "a fallback on no port",
    changed("https://chat.example.com/hook", "https://chat.example.com:99999/hunter2"),
    (
        '22:23: receivers[0].fallback_webhook: found "https://chat.example.com:99999/…", '
        "expected a URL such as https://chat.example.com/hook; there is no such host or "
        "port"
    ),
)
broken(
    "a fallback on a port in words",
    changed("https://chat.example.com/hook", "https://chat.example.com:http/hunter2"),
    (
        '22:23: receivers[0].fallback_webhook: found "https://chat.example.com:http/…", '
        "expected a URL such as https://chat.example.com/hook; there is no such host or "
        "port"
    ),
)
broken(
    "two fallbacks",
    changed(
        "https://chat.example.com/hook",
        "https://chat.example.com/hook\n    fallback_webhook_file: /nowhere/hook",
    ),
    (
        "23:5: receivers[0].fallback_webhook_file: found fallback_webhook and "
        "fallback_webhook_file, expected one of them; keep one of the two"
    ),
    (
        '23:28: receivers[0].fallback_webhook_file: found "/nowhere/hook", expected a '
        "file that can be read; cannot read /nowhere/hook: No such file or directory"
    ),
)
broken(
    "a fallback in no file",
    changed(
        "fallback_webhook: https://chat.example.com/hook", "fallback_webhook_file: nowhere/hook"
    ),
    (
        '22:28: receivers[0].fallback_webhook_file: found "nowhere/hook", expected a '
        "file that can be read; cannot read nowhere/hook: No such file or directory"
    ),
)

# --- hours of voice templates --------------------------------------------------------------------
broken(
    "hours in words",
    changed("08:00-20:00", "day"),
    '14:42: voice_templates.outage.hours: found "day", expected hours such as 08:00-20:00',
)
broken(
    "hours without a dash",
    changed("08:00-20:00", "'08:00'"),
    '14:42: voice_templates.outage.hours: found "08:00", expected hours such as 08:00-20:00',
)
broken(
    "hours of one digit",
    changed("08:00-20:00", "8:00-20:00"),
    (
        '14:42: voice_templates.outage.hours: found "8:00-20:00", expected hours such as '
        "08:00-20:00; write hours and minutes with two digits each, from 00:00 to 24:00"
    ),
)
broken(
    "hours of nothing",
    changed("08:00-20:00", "08:00-08:00"),
    (
        '14:42: voice_templates.outage.hours: found "08:00-08:00", expected hours such '
        "as 08:00-20:00; the end must differ from the start; leave both out for the "
        "whole day"
    ),
)
broken(
    "hours that are empty",
    changed("08:00-20:00", '""'),
    ("14:42: voice_templates.outage.hours: found an empty text, expected a text that is not empty"),
)
broken(
    "an unknown template outside of hours",
    changed("outside_hours: night", "outside_hours: nigth"),
    (
        '14:70: voice_templates.outage.outside_hours: found "nigth", expected the name '
        'of a voice template; did you mean "night"?'
    ),
)
broken(
    "a template that hands over to itself",
    changed("outside_hours: night", "outside_hours: outage"),
    (
        '14:70: voice_templates.outage.outside_hours: found "outage", which leads back '
        'to "outage", expected a voice template outside of this circle'
    ),
)
broken(
    "templates that hand over in a circle",
    changed(
        "{id: UVVT2, text: 请处理。}",
        "{id: UVVT2, text: 请处理。, hours: 20:00-08:00, outside_hours: outage}",
    ),
    (
        '14:70: voice_templates.outage.outside_hours: found "night", which leads back to '
        '"outage", expected a voice template outside of this circle'
    ),
)
broken(
    "a template's hours in a zone that is none",
    changed("hours: 08:00-20:00", "hours: 08:00-20:00, time_zone: CST8"),
    (
        '14:66: voice_templates.outage.time_zone: found "CST8", expected a time zone '
        "such as Asia/Shanghai; it is a name of the IANA database, in its exact spelling"
    ),
)

# --- receipts and the rest -----------------------------------------------------------------------
broken(
    "a poll of 0",
    added("receipts: {poll_interval: 0}\n"),
    (
        '24:27: receipts.poll_interval: found "0", expected a duration above 0; write '
        "never if receipts are pushed"
    ),
)
broken(
    "a poll without unit",
    added("receipts: {poll_interval: 15}\n"),
    (
        '24:27: receipts.poll_interval: found "15", expected a duration such as 30s, 5m '
        'or 1h30m, or never; not a valid duration string: "15": write whole numbers with '
        "the units y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"
    ),
)
broken(
    "polls beyond what the vendor keeps",
    added("receipts: {poll_for: 8d}\n"),
    '24:22: receipts.poll_for: found "8d", expected a duration of at most 1w',
)
broken(
    "polls for no time",
    added("receipts: {poll_for: 0s}\n"),
    '24:22: receipts.poll_for: found "0s", expected a duration above 0',
)
broken(
    "webhooks kept for ever",
    added("keep_webhooks: forever\n"),
    (
        '24:16: keep_webhooks: found "forever", expected a duration such as 30s, 5m or '
        '1h30m; not a valid duration string: "forever": write whole numbers with the '
        "units y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"
    ),
)
broken(
    "a mode of the file that does not exist",
    added("mode: dark\n"),
    '24:7: mode: found "dark", expected live or shadow',
)
broken(
    "shadow as a key",
    added("shadow: true\n"),
    (
        '24:1: shadow: found the unknown key "shadow", expected route, receivers, '
        "people, schedules, voice_templates, time_intervals, mute_time_intervals, "
        "heartbeats, limits, receipts, uvms, delivery, mode, retention, stale_after or "
        "keep_webhooks; write mode: shadow"
    ),
)
broken(
    "overrides of no schedule",
    added("overrides: []\n"),
    (
        '24:1: overrides: found the unknown key "overrides", expected route, receivers, '
        "people, schedules, voice_templates, time_intervals, mute_time_intervals, "
        "heartbeats, limits, receipts, uvms, delivery, mode, retention, stale_after or "
        "keep_webhooks; overrides stand in their schedule"
    ),
)


# --- heartbeats ----------------------------------------------------------------------------------
def beats(**changes: str) -> str:
    fields = {
        "name": "prometheus",
        "matchers": "['alertname=\"Watchdog\"']",
        "every": "10m",
        "receiver": "sre",
    }
    entry = ", ".join(f"{key}: {value}" for key, value in (fields | changes).items() if value)
    return added(f"heartbeats:\n  - {{{entry}}}\n")


broken(
    "a heartbeat of no receiver",
    beats(receiver="nobody"),
    '25:82: heartbeats[0].receiver: found "nobody", expected the name of a receiver; there is sre',
)
broken(
    "a heartbeat without matchers",
    beats(matchers="[]"),
    "25:34: heartbeats[0].matchers: found an empty list, expected a list that is not empty",
)
broken(
    "a heartbeat whose matcher is none",
    beats(matchers="['=x']"),
    (
        '25:35: heartbeats[0].matchers[0]: found "=x", '
        'expected a matcher such as severity="critical"; bad matcher format: =x'
    ),
)
broken(
    "a heartbeat that need not come",
    beats(every="0s"),
    '25:67: heartbeats[0].every: found "0s", expected a duration above 0',
)
broken(
    "a heartbeat without every",
    beats(every=""),
    (
        "25:5: heartbeats[0].every: found nothing, "
        "expected a duration such as 30s, 5m or 1h30m; add every"
    ),
)
broken(
    "a heartbeat to a receiver that calls no one",
    beats(receiver="quiet").replace("route:", "  - name: quiet\nroute:"),
    (
        '26:82: heartbeats[0].receiver: found "quiet", '
        "expected a receiver that calls somebody; choose another one"
    ),
)
broken(
    "two heartbeats of one name",
    beats() + "  - {name: prometheus, matchers: [a=b], every: 1m, receiver: sre}\n",
    (
        '26:12: heartbeats[1].name: found "prometheus" again, '
        "expected a name of its own for each heartbeat; rename one of the two"
    ),
)


@pytest.mark.parametrize(("text", "messages"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_says_where_what_and_how_to_mend_it(text: str, messages: list[str]) -> None:
    assert problems(text) == messages


def test_the_file_they_are_made_from_is_good() -> None:
    assert load(GOOD).warnings == ()


@pytest.mark.parametrize("text", [text for text, _ in BROKEN.values()], ids=BROKEN)
def test_no_problem_shows_a_secret_or_a_full_number(text: str) -> None:
    shown = "\n".join(problems(text))

    assert "hunter2" not in shown
    digits = re.sub(r"[^0-9\n]", "", shown)  # however they are set apart
    assert not [number for number in re.findall(r"1[3-9]\d{9}", text) if number in digits]
