"""Replaying: the calls that recorded notifications lead to, and how two nights differ."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from replay_world import (
    DAY,
    HOUR,
    MINUTE,
    NIGHT,
    SECOND,
    alert,
    body,
    line,
    over,
    policy,
    posted,
    rang,
    receiver,
)
from worker_world import NAMES, working

from adapter.model import PhoneNumber, Reason, Source, StoredOverride
from adapter.replay import (
    EVERYBODY,
    AlertFate,
    DatedBy,
    DifferenceKind,
    InvalidRecording,
    Night,
    Ring,
    compare,
    of_webhooks,
    read_paths,
    replay,
    write_line,
)
from adapter.store.session import KeptWebhook

# --- whom, and when ----------------------------------------------------------------------------


def test_nobody_answers_so_that_every_step_waits_its_whole_time():
    night = replay(policy(), [posted(0 * SECOND, alert(cluster="c"))])
    assert rang(night) == [("0m", "alice"), ("5m", "bob")]
    assert [ring.reason for ring in night.rings] == [Reason.FIRST, Reason.ESCALATION]
    assert [ring.step for ring in night.rings] == [1, 2]
    assert {ring.words for ring in night.rings} == {"DiskFull，共1条。"}
    assert [(end.at, end.told) for end in night.exhausted] == [(NIGHT + 10 * MINUTE, False)]
    assert (night.notifications, night.pages, night.acknowledged) == (1, 1, 0)
    assert night.verdicts == {Reason.FIRST: 1}


@pytest.mark.parametrize(
    ("answered_by", "expected"),
    [
        ({"alice"}, [("0m", "alice")]),
        ({"bob"}, [("0m", "alice"), ("5m", "bob")]),
        ({"carol"}, [("0m", "alice"), ("5m", "bob")]),
        ({EVERYBODY}, [("0m", "alice")]),
    ],
    ids=["the first step", "the second", "somebody who is not called", "everybody"],
)
def test_who_answers_ends_the_escalation(answered_by, expected):
    recordings = [posted(0 * SECOND, alert()), posted(30 * MINUTE, alert())]
    night = replay(policy(), recordings, answered_by=frozenset(answered_by))
    assert rang(night) == expected
    assert night.acknowledged == (0 if answered_by == {"carol"} else 1)
    assert bool(night.exhausted) == (answered_by == {"carol"})


def test_who_answered_is_not_rung_again_before_something_new_fires():
    new = alert("SlowQuery", since=HOUR)
    recordings = [posted(0 * SECOND, alert()), posted(5 * HOUR, alert()), posted(6 * HOUR, new)]
    night = replay(policy(), recordings, answered_by=frozenset({EVERYBODY}))
    assert rang(night) == [("0m", "alice"), ("360m", "alice")]


def test_what_resolves_before_its_step_rings_nobody_else():
    found = alert()
    night = replay(policy(), [posted(0 * SECOND, found), posted(MINUTE, over(found, MINUTE))])
    assert rang(night) == [("0m", "alice")]
    assert night.exhausted == ()


def test_what_is_due_at_the_instant_of_a_notification_comes_after_it():
    found = alert()
    resolved = posted(5 * MINUTE, over(found, 5 * MINUTE))
    assert rang(replay(policy(), [posted(0 * SECOND, found), resolved])) == [("0m", "alice")]


def test_an_alert_that_still_fires_is_repeated():
    recordings = [posted(hours * HOUR, alert()) for hours in (0, 1, 2, 3, 4)]
    night = replay(policy(receiver("sre", {"call": ["alice"]})), recordings)
    assert rang(night) == [("0m", "alice"), ("240m", "alice")]
    assert night.verdicts == {Reason.FIRST: 1, Reason.DUPLICATE: 3, Reason.REPEAT: 1}


def test_limits_hold_a_call_back():
    recordings = [posted(n * SECOND, alert(cluster=f"c{n}")) for n in range(2)]
    night = replay(policy(receiver("sre", {"call": ["alice"]})), recordings)
    assert rang(night) == [("0m", "alice"), ("1m", "alice")]
    assert [ring.limited for ring in night.rings] == [False, True]


def test_shadow_mode_dials_nobody_and_goes_through_all_of_it():
    shadow = policy(receiver(mode="shadow"))
    night = replay(shadow, [posted(0 * SECOND, alert())], answered_by=frozenset({EVERYBODY}))
    assert rang(night) == [("0m", "alice"), ("5m", "bob")]
    assert all(ring.shadow and ring.alerts for ring in night.rings)
    assert [fate.labels["alertname"] for fate in night.silent] == ["DiskFull"]


def test_overrides_count_for_their_time():
    schedules = {
        "primary": {
            "time_zone": "UTC",
            "rotations": [{"people": ["alice"], "start": "2026-11-02T10:00", "every": "1w"}],
        }
    }
    on_call = policy(receiver("sre", {"call": ["primary"]}), schedules=schedules)
    standing_in = StoredOverride(
        id="o",
        schedule="primary",
        person="carol",
        starts_at=NIGHT,
        ends_at=NIGHT + HOUR,
        created_at=NIGHT,
        created_by="bob",
    )
    recordings = [posted(n * HOUR, alert(cluster=f"c{n}", since=n * HOUR)) for n in (0, 1)]
    night = replay(on_call, recordings, overrides=[standing_in])
    assert rang(night) == [("0m", "carol"), ("60m", "alice")]


def test_a_page_that_nothing_confirms_is_closed_while_time_goes_by():
    recordings = [posted(0 * SECOND, alert()), posted(26 * HOUR, alert())]
    night = replay(policy(), recordings)
    assert night.verdicts == {Reason.FIRST: 2}
    assert night.pages == 2


def test_a_chain_that_is_exhausted_at_once_is_told_of():
    empty = {"time_zone": "UTC", "rotations": [{"people": ["alice"], "start": "2030-01-01T00:00"}]}
    hook = "https://chat.example.com/hook"
    nobody = receiver("sre", {"call": ["later"]}, fallback_webhook=hook)
    night = replay(policy(nobody, schedules={"later": empty}), [posted(0 * SECOND, alert())])
    assert rang(night) == []
    assert [(end.at, end.told, end.receiver) for end in night.exhausted] == [(NIGHT, True, "sre")]
    assert night.verdicts == {Reason.NOBODY_ON_CALL: 1}
    assert [fate.reasons for fate in night.silent] == [{Reason.NOBODY_ON_CALL: 1}]


def test_nothing_recorded_is_a_quiet_night():
    night = replay(policy(), [])
    assert (night.notifications, night.rings, night.alerts) == (0, (), {})


def test_the_same_night_twice_is_the_same():
    recordings = [posted(n * MINUTE, alert(f"A{n % 5}", cluster=f"c{n % 3}")) for n in range(40)]
    nights = [replay(policy(), recordings) for _ in range(2)]
    assert nights[0] == nights[1]
    assert not compare(*nights).differs


def test_progress_and_a_store_that_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told: list[int] = []
    recordings = [posted(n * SECOND, alert()) for n in range(450)]
    replay(policy(), recordings, progress=told.append)
    assert told == [200, 200, 50]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_it_rings_whom_the_service_rings(tmp_path):
    """The same notifications through intake and worker, minute by minute."""
    first, second = alert("A", cluster="a"), alert("B", cluster="b", since=3 * MINUTE)
    night = {0: [first], 3: [second], 7: [over(first, 7 * MINUTE)], 12: [second]}
    expected = replay(policy(), [posted(n * MINUTE, *found) for n, found in night.items()])
    rung: list[tuple[str, str]] = []
    async with working(tmp_path, policy()) as world:
        world.now = NIGHT
        await world.rest()
        for minute in range(30):
            before = len(world.vendor.sent)
            world.now = NIGHT + minute * MINUTE
            if minute in night:
                raw = json.dumps(body(*night[minute])).encode()
                await world.intake.take(Source.ALERTMANAGER, raw)
            await world.rest()
            await asyncio.sleep(0)
            for sent in world.vendor.sent[before:]:
                rung.append((f"{minute}m", NAMES[sent.called.e164]))
    assert rung == rang(expected)
    assert len(rung) > 3


# --- recordings --------------------------------------------------------------------------------


def write(path: Path, content: str | bytes, modified: datetime | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if modified is not None:
        os.utime(path, (modified.timestamp(), modified.timestamp()))
    return path


AT_THREE = datetime(2026, 11, 24, 3, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "2026-11-24T03:00:05Z.json",
        "2026-11-24T03-00-05Z.json",
        "2026-11-24T03:00:05Z-disk-full.json",
        "20261124T030005Z.json",
        "20261124T030005Z_1.json",
        "2026-11-24T11:00:05+08:00.json",
        "20261123T220005-0500.json",
        "20261124_030005.json",  # in this machine's zone
        "2026-11-24T03:00:05.000Z.json",
    ],
)
def test_a_file_is_dated_by_its_name(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TZ", "UTC")
    path = write(tmp_path / name, json.dumps(body(alert())))
    [found] = read_paths([path]).found
    assert (found.at, found.dated_by) == (AT_THREE, DatedBy.FILE_NAME)


@pytest.mark.parametrize(
    ("name", "alerts", "at", "by"),
    [
        ("1.json", [alert(), alert("B", since=MINUTE)], NIGHT + MINUTE, DatedBy.ALERTS),
        ("1.json", [alert(), over(alert("B"), HOUR)], NIGHT + HOUR, DatedBy.ALERTS),
        ("20269999T030005Z.json", [alert()], NIGHT, DatedBy.ALERTS),
        ("1.json", [{"labels": {"a": "b"}}], AT_THREE, DatedBy.MODIFIED),
        ("1.json", [], AT_THREE, DatedBy.MODIFIED),
    ],
    ids=["the latest start", "the latest end", "a name that is no time", "no times", "no alerts"],
)
def test_a_file_is_dated_by_what_is_in_it(tmp_path, name, alerts, at, by):
    path = write(tmp_path / name, json.dumps(body(*alerts)), modified=AT_THREE)
    [found] = read_paths([path]).found
    assert (found.at, found.dated_by) == (at, by)


def test_lines_and_bodies_in_the_order_of_their_times(tmp_path):
    lines = "\n".join([line(3 * HOUR, alert("late")), "", line(HOUR, alert("early")), ""])
    write(tmp_path / "night" / "a.jsonl", lines)
    write(tmp_path / "night" / "deep" / "one.json", line(2 * HOUR, alert("between")))
    write(tmp_path / "night" / ".hidden" / "x.json", "no JSON")
    write(tmp_path / "night" / "README.md", "no JSON")
    pretty = json.dumps(body(alert("pretty", since=4 * HOUR)), indent=2)
    write(tmp_path / "night" / "b.json", b"\xef\xbb\xbf" + pretty.encode())
    found = read_paths([tmp_path / "night"]).found
    names = [recording.notification.alerts[0].labels["alertname"] for recording in found]
    assert names == ["early", "between", "late", "pretty"]


def test_who_posted_a_body_is_seen_from_it(tmp_path):
    legacy = {"ruleName": "CPU", "ruleId": 7, "state": "alerting", "orgId": 1}
    bodies = [body(alert()), body(alert()) | {"orgId": 1}, legacy]
    path = write(tmp_path / "all.jsonl", "\n".join(map(json.dumps, bodies)))
    found = {recording.notification.source for recording in read_paths([path]).found}
    assert found == {Source.ALERTMANAGER, Source.GRAFANA, Source.GRAFANA_LEGACY}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "the body is not JSON: it is empty"),
        ("{", "the body is not JSON: "),
        ("[]", "$: expected"),
        ('{"alerts": 3}', "$.alerts: expected a list of alerts, found"),
        ('{"received_at": "today", "body": {}}', 'received_at is "today", not a time such as'),
        ('{"received_at": 3, "body": {}}', "received_at is 3, not a time such as"),
        (
            '{"received_at": "2026-11-24T03:00:05Z", "source": "nagios", "body": {}}',
            'source is "nagios", not one of alertmanager, grafana, grafana_legacy',
        ),
        ('{"received_at": "2026-11-24T03:00:05Z", "body": []}', "$: expected"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path, content, why):
    path = write(tmp_path / "x.json", content)
    with pytest.raises(InvalidRecording) as error:
        read_paths([path])
    assert error.value.where == str(path)
    assert error.value.why.startswith(why)
    skipped = read_paths([path], skip_invalid=True)
    assert (skipped.found, [each.why for each in skipped.skipped]) == ((), [error.value.why])


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    lines = "\n".join([line(HOUR, alert()), "{", '{"alerts": 3}'])
    paths = [write(tmp_path / "a.jsonl", lines), tmp_path / "none.json", tmp_path / "empty"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExceptionGroup) as error:
        read_paths(paths)
    where = [getattr(each, "where", "") for each in error.value.exceptions]
    wanted = [f"{paths[0]}:2", f"{paths[0]}:3", str(paths[1]), str(paths[2])]
    assert sorted(where) == sorted(wanted)
    assert len(read_paths(paths, skip_invalid=True).found) == 1


WEBHOOKS = {
    "a plain one": json.dumps(body(alert())).encode(),
    "with line breaks": json.dumps(body(alert(text="中\n文")), indent=2).encode(),
    "with a byte order mark": b"\xef\xbb\xbf" + json.dumps(body(alert())).encode(),
    "with half a surrogate pair": json.dumps(body(alert(text="\ud800"))).encode(),
}


@pytest.mark.parametrize("raw", WEBHOOKS.values(), ids=list(WEBHOOKS))
def test_what_the_store_has_kept_is_the_same_once_it_was_written(tmp_path, raw):
    kept = KeptWebhook(id=1, received_at=AT_THREE, source=Source.GRAFANA, body=raw)
    written = write_line(kept)
    assert written.count(b"\n") == 1
    path = write(tmp_path / "x.jsonl", written)
    [read], [known] = read_paths([path]).found, of_webhooks([kept]).found
    assert read == known
    assert (read.at, read.source, read.dated_by) == (AT_THREE, Source.GRAFANA, DatedBy.RECEIVED_AT)


def test_what_the_store_has_kept_may_be_no_notification_any_more():
    kept = KeptWebhook(id=7, received_at=AT_THREE, source=Source.ALERTMANAGER, body=b"{}")
    with pytest.raises(InvalidRecording, match=r"webhook 7: \$.alerts: expected a list"):
        of_webhooks([kept])
    assert of_webhooks([kept], skip_invalid=True).found == ()


def test_every_payload_that_was_collected_can_be_replayed():
    payloads = Path(__file__).parent.parent.parent / "shared" / "payloads"
    if not payloads.is_dir():
        pytest.skip(f"no payloads in {payloads}")
    read = read_paths([payloads], skip_invalid=True)
    assert len(read.found) > 60
    assert replay(policy(), read.found).notifications == len(read.found)


# --- comparing ---------------------------------------------------------------------------------


def ring(at: int, person: str, *alerts: str, **more: object) -> Ring:
    """Return a call so many minutes after the night began."""
    found = Ring(
        at=NIGHT + at * MINUTE,
        person=person,
        phone=PhoneNumber("+8613512345678"),
        receiver="sre",
        reason=Reason.FIRST,
        step=1,
        group={},
        alerts=alerts or ("f1",),
        words="DiskFull",
    )
    return changed(found, **more)


def night(*rings: Ring, alerts: tuple[str, ...] = ("f1", "f2", "f3")) -> Night:
    named = {alert for each in rings if not each.shadow for alert in each.alerts}
    fates = {
        fingerprint: AlertFate(
            fingerprint=fingerprint,
            labels={"alertname": fingerprint},
            first_at=NIGHT,
            rang=fingerprint in named,
            reasons={Reason.FIRST: 1},
        )
        for fingerprint in alerts
    }
    return Night(
        notifications=1,
        pages=1,
        acknowledged=0,
        rings=rings,
        exhausted=(),
        alerts=fates,
        verdicts={},
    )


ONE = ring(0, "alice")
COMPARED = {
    "the same": ((ONE,), (ONE,), []),
    "nothing": ((), (), []),
    "later": ((ONE,), (ring(5, "alice"),), [DifferenceKind.MOVED]),
    "other alerts": ((ONE,), (ring(0, "alice", "f1", "f2"),), [DifferenceKind.MOVED]),
    "other words": ((ONE,), (ring(0, "alice", words="x"),), [DifferenceKind.REWORDED]),
    "other person": ((ONE,), (ring(0, "bob"),), [DifferenceKind.OTHER_PERSON]),
    "other person and time": (
        (ONE,),
        (ring(5, "bob"),),
        [DifferenceKind.ONLY_A, DifferenceKind.ONLY_B],
    ),
    "one less": ((ONE, ring(5, "alice")), (ONE,), [DifferenceKind.ONLY_A]),
    "one more": ((ONE,), (ONE, ring(5, "alice")), [DifferenceKind.ONLY_B]),
    "about something else": (
        (ONE,),
        (ring(0, "alice", "f2"),),
        [DifferenceKind.ONLY_A, DifferenceKind.ONLY_B],
    ),
    "steps that change places": (
        (ONE, ring(5, "bob", step=2)),
        (ring(0, "bob"), ring(5, "alice", step=2)),
        [DifferenceKind.OTHER_PERSON, DifferenceKind.OTHER_PERSON],
    ),
    "everything two minutes later": (
        (ONE, ring(2, "bob", step=2)),
        (ring(2, "alice"), ring(4, "bob", step=2)),
        [DifferenceKind.MOVED, DifferenceKind.MOVED],
    ),
    "in shadow mode": (
        (ONE,),
        (ring(0, "alice", shadow=True),),
        [DifferenceKind.ONLY_A, DifferenceKind.ONLY_B],
    ),
}


@pytest.mark.parametrize(("a", "b", "kinds"), COMPARED.values(), ids=list(COMPARED))
def test_how_two_nights_differ(a, b, kinds):
    found = compare(night(*a), night(*b))
    assert [each.kind for each in found.differences] == kinds
    assert found.differs == bool(kinds)


def test_an_alert_that_rings_nobody_any_more_is_told_of():
    a, b = night(ring(0, "alice", "f1", "f2")), night(ring(0, "alice", "f1", "f3"))
    found = compare(a, b)
    assert [fate.fingerprint for fate in found.silenced] == ["f2"]
    assert [fate.fingerprint for fate in found.heard] == ["f3"]


RINGS = st.lists(
    st.builds(
        ring,
        st.integers(0, 3),
        st.sampled_from(["alice", "bob"]),
        st.sampled_from(["f1", "f2"]),
        step=st.sampled_from([1, 2]),
        words=st.sampled_from(["x", "y"]),
    ),
    max_size=6,
)


@given(RINGS, RINGS)
def test_every_call_is_accounted_for_once(a, b):
    found = compare(night(*a), night(*b))
    of_a = [each.a for each in found.differences if each.a is not None]
    of_b = [each.b for each in found.differences if each.b is not None]
    assert len(of_a) + found.same == len(a)
    assert len(of_b) + found.same == len(b)
    assert all(of_a.count(each) <= a.count(each) for each in of_a)
    back = compare(night(*b), night(*a))
    assert back.same == found.same
    assert compare(night(*a), night(*a)).differs is False


@settings(max_examples=25, deadline=None)  # each is a store of its own
@given(
    st.lists(
        st.tuples(
            st.integers(0, 600), st.sampled_from("ABC"), st.sampled_from("xy"), st.booleans()
        ),
        max_size=12,
    )
)
def test_no_phone_rings_for_nothing_and_limits_hold(events):
    """Whatever comes in: a call names an alert that fired, and a phone rests for a minute."""
    recordings = []
    for minutes, name, cluster, fires in sorted(events):
        found = alert(name, cluster=cluster, since=minutes * MINUTE)
        after = timedelta(minutes=minutes)
        recordings.append(posted(after, found if fires else over(found, after)))
    found_night = replay(policy(), recordings)
    last: dict[str, datetime] = {}
    for each in found_night.rings:
        assert each.alerts
        assert set(each.alerts) <= set(found_night.alerts)
        assert each.at - last.get(each.person, each.at - DAY) >= MINUTE
        last[each.person] = each.at
