"""What people and scripts are shown of the store: complete, masked, with zones."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from cli_world import BODY_WITH_NUMBERS, DAY, NUMBERS, POLICY, alert, fill, reject, ring, take_in
from databases import url_in
from hypothesis import given
from hypothesis import strategies as st
from night_world import MINUTE, Night

from adapter.errors import NotFound, NotPossible
from adapter.model import CallState, Reason, Result, Status, Timing
from adapter.preview import preview
from adapter.store.store import Store, open_store
from adapter.views import previews, stored
from adapter.views.values import mask_phones


@pytest.fixture
def store(database, tmp_path):
    opened = open_store(url_in(tmp_path), exclusive=True)
    yield opened
    opened.close()


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store)
    return store


def view(store: Store, job, *args, **kwargs):
    return store.write_now(lambda session: job(session, *args, **kwargs))


def test_pages_the_newest_first(filled):
    found = view(filled, stored.pages, only_open=False, limit=9)["pages"]
    assert {page["id"]: (page["state"], page["firing"]) for page in found} == {
        "am-1": ("open", 1),
        "db-1": ("open", 1),
        "old-1": ("closed", 0),
    }
    assert len(view(filled, stored.pages, only_open=True, limit=9)["pages"]) == 2
    assert len(view(filled, stored.pages, only_open=False, limit=1)["pages"]) == 1


def test_a_page_with_its_alerts_and_calls(filled):
    page = view(filled, stored.page, "am-1")
    assert page["group_labels"] == {"cluster": "shanghai-1"}
    assert page["opened_at"] == "2026-11-24T03:00:00.000+00:00"
    assert [one["labels"]["alertname"] for one in page["alerts"]] == ["DiskFull"]
    assert {call["id"]: call["state"] for call in page["calls"]} == {
        "am-2": "accepted",
        "am-3": "refused",
    }
    assert page["more_alerts"] is False


def test_a_page_shows_a_hundred_alerts_and_says_that_there_are_more(store):
    take_in(store, *(alert("Many", cluster="c", instance=str(number)) for number in range(101)))
    page = view(store, stored.page, "id-1")
    assert (len(page["alerts"]), page["more_alerts"], page["firing"]) == (100, True, 101)


@pytest.mark.parametrize("wanted", ["am-1", "am"])
def test_pages_are_found_by_the_beginning_of_their_id(filled, wanted):
    assert view(filled, stored.page, wanted)["id"] == "am-1"


@pytest.mark.parametrize("wanted", ["x", "", "%", "am-1x"])
def test_pages_that_are_not_there(filled, wanted):
    with pytest.raises(NotFound, match=f"^there is no page '{wanted}'$"):
        view(filled, stored.page, wanted)


def test_a_beginning_that_several_pages_share_finds_none(store):
    take_in(store, alert("A", cluster="a"), alert("B", cluster="b"), prefix="same")
    with pytest.raises(NotFound, match="more than one page begins with 'same'"):
        view(store, stored.page, "same")


# --- taking a page over ----------------------------------------------------------------------


def test_acknowledging_twice_keeps_the_first_time(filled):
    first = view(filled, stored.acknowledge, "am-1", DAY + timedelta(minutes=1), "bob")
    again = view(filled, stored.acknowledge, "am-1", DAY + timedelta(minutes=9), "alice")
    assert first["state"] == again["state"] == "acknowledged"
    assert again["acknowledged_at"] == "2026-11-24T03:01:00.000+00:00"
    assert again["acknowledged_by"] == "bob"


def test_a_closed_page_is_not_acknowledged(filled):
    with pytest.raises(NotPossible, match=r"page old-1 is closed since 2026-11-24T03:31:00"):
        view(filled, stored.acknowledge, "old-1", DAY, "bob")


# --- calls -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known_by", "expected"),
    [
        pytest.param("am-2", "am-2", id="id"),
        pytest.param("useram2", "am-2", id="UserId"),
        pytest.param("session-am-2", "am-2", id="SessionNo"),
        pytest.param("req-am-3", "am-3", id="ReqUuid"),
        pytest.param("230", "am-3", id="RetCode that only one has"),
        pytest.param("Params not", "am-3", id="Message"),
    ],
)
def test_calls_are_found_by_every_id_that_anybody_gave_them(filled, known_by, expected):
    assert view(filled, stored.call, known_by)["id"] == expected


@pytest.mark.parametrize(
    ("known_by", "error"),
    [
        pytest.param(
            "am-",
            "more than one call is known by 'am-': give more of its id",
            id="beginning of several",
        ),
        pytest.param("zz", "there is no call 'zz'", id="unknown"),
        pytest.param("", "there is no call ''", id="empty"),
    ],
)
def test_calls_that_are_not_there(filled, known_by, error):
    with pytest.raises(NotFound, match=f"^{error}$"):
        view(filled, stored.call, known_by)


def test_a_call_explained(filled):
    call = view(filled, stored.call, "am-3")
    assert call["page_of_call"]["id"] == "am-1"
    assert [one["labels"]["alertname"] for one in call["alerts_named"]] == ["DiskFull"]
    (attempt,) = call["attempts_made"]
    assert attempt["user_id"] == "useram3"
    assert (attempt["ret_code"], attempt["message"]) == (230, "Params not available")
    assert (attempt["req_uuid"], attempt["session_no"]) == ("req-am-3", "")
    assert attempt["params"] == ["shanghai-1", "磁盘满", "1"]
    assert [(event["event"], event["detail"]) for event in call["history"]] == [
        ("owed", "first, step 1 of run 1"),
        ("sending", "attempt 1, UserId useram3"),
        ("refused", "RetCode 230 Params not available"),
    ]


def test_a_waiting_call_names_what_it_would_say_now(filled):
    call = view(filled, stored.call, "db-2")
    assert [one["labels"]["alertname"] for one in call["alerts_named"]] == ["SlowQuery"]
    assert call["history"][-1] == {
        "at": "2026-11-24T03:00:30.000+00:00",
        "event": "due",
        "detail": "",
    }


def test_a_call_that_a_limit_holds_back_says_so(filled):
    call = view(filled, stored.call, "db-2")
    until = DAY + timedelta(hours=1)
    phone = next(p.phone for p in POLICY.people.values() if p.name == "bob")
    view(filled, lambda s: s.limit(phone, DAY + timedelta(minutes=1), until))
    limited = view(filled, stored.call, call["id"])
    assert limited["limited_until"] == "2026-11-24T04:00:00.000+00:00"
    assert limited["history"][-1]["detail"] == (
        "held back: its person's limit, or its template's hours"
    )


def test_a_call_of_unknown_outcome_tells_when_it_is_looked_up(store):
    call, _ = take_in(store, alert("DiskFull"))
    ring(store, call, state=CallState.UNKNOWN, ret_code=None, message="no answer in time")
    found = view(store, stored.call, call.id)
    assert [event["event"] for event in found["history"]] == [
        "owed",
        "sending",
        "unknown",
        "look-up due",
    ]
    assert found["history"][2]["detail"] == "no RetCode no answer in time"


def test_a_follow_up_names_only_what_joined(store):
    first, _ = take_in(store, alert("One", cluster="c"), prefix="a")
    ring(store, first, state=CallState.ACCEPTED)
    later = DAY + timedelta(minutes=6)
    second = take_in(store, alert("Two", cluster="c"), now=later, prefix="b")
    to_alice = next(call for call in second if call.person == "alice")
    ring(store, to_alice, state=CallState.ACCEPTED, now=later)
    named = view(store, stored.call, to_alice.id)["alerts_named"]
    assert [one["labels"]["alertname"] for one in named] == ["Two"]


def test_a_repeat_names_all(store):
    for each in take_in(store, alert("One", cluster="c"), prefix="a"):
        ring(store, each, state=CallState.ACCEPTED)
    later = DAY + timedelta(hours=5)
    repeats = take_in(store, alert("One", cluster="c"), now=later, prefix="b")
    assert {call.reason for call in repeats} == {Reason.REPEAT}
    ring(store, repeats[0], state=CallState.ACCEPTED, now=later)
    named = view(store, stored.call, repeats[0].id)["alerts_named"]
    assert [one["labels"]["alertname"] for one in named] == ["One"]


def test_a_cancelled_call_says_why(store):
    take_in(store, alert("Gone", cluster="c"), prefix="a")
    resolved = alert("Gone", cluster="c", status=Status.RESOLVED)
    take_in(store, resolved, now=DAY + timedelta(minutes=31), prefix="b")
    call = view(store, stored.call, "a-2")
    assert (call["state"], call["history"][-1]["event"]) == ("cancelled", "cancelled")
    assert call["history"][-1]["detail"] == call["note"] != ""


def test_a_test_call_has_no_page(store):
    from adapter.cli.call import _test_call

    made = _test_call(POLICY.people["bob"], POLICY.receivers["db-phone"])
    view(store, lambda session: session.add_call(made))
    call = view(store, stored.call, made.id)
    assert (call["page"], call["page_of_call"], call["alerts_named"]) == (None, None, [])


def test_lists_of_calls_can_be_narrowed(filled):
    def ids(**narrowed):
        narrowed = {"text": "", "page_id": None, "states": (), "limit": 9} | narrowed
        return sorted(call["id"] for call in view(filled, stored.calls, **narrowed)["calls"])

    assert len(ids()) == 5
    assert ids(text="bob") == ["db-2"]
    assert ids(page_id="am-1") == ids(page_id="am") == ["am-2", "am-3"]
    with pytest.raises(NotFound, match="there is no page 'zz'"):
        ids(page_id="zz")
    assert ids(states=[CallState.REFUSED]) == ["am-3"]
    assert len(ids(limit=2)) == 2


@pytest.mark.parametrize(
    ("call_id", "why"),
    [
        pytest.param("am-2", "is accepted", id="it rang"),
        pytest.param("db-2", "is waiting", id="it is under way"),
    ],
)
def test_what_has_reached_its_person_or_still_may_is_not_retried(filled, call_id, why):
    with pytest.raises(NotPossible, match=f"call {call_id} {why}; only one that is refused, "):
        view(filled, stored.retry, call_id, DAY, "bob")


def test_a_refused_call_is_retried(filled):
    later = DAY + timedelta(hours=1)
    call = view(filled, stored.retry, "am-3", later, "bob")
    assert (call["state"], call["due_at"]) == ("waiting", "2026-11-24T04:00:00.000+00:00")


# --- escalations -------------------------------------------------------------------------------


def page_of(night: Night) -> dict:
    return night.view(stored.page, "id-1")


def test_where_an_escalation_stands(store):
    night = Night(store)
    night.post()
    page = page_of(night)
    assert (page["state"], page["run"], page["step"]) == ("open", 1, 1)
    assert page["step_until"] == "2026-11-24T03:05:00.000+00:00"
    night.passes(5 * MINUTE)
    assert page_of(night)["step"] == 2
    assert [(call["person"], call["step"]) for call in page_of(night)["calls"]] == [
        ("carol", 2),
        ("alice", 1),
    ]


def test_a_page_that_reached_nobody_is_exhausted_until_somebody_takes_it(store):
    night = Night(store)
    night.post()
    for _ in range(4):
        night.passes(5 * MINUTE)
    page = page_of(night)
    assert (page["state"], page["step"], page["step_until"]) == ("exhausted", None, None)
    assert page["exhausted_at"] == "2026-11-24T03:20:00.000+00:00"
    night.acknowledges("wang")
    assert (page_of(night)["state"], page_of(night)["acknowledged_by"]) == ("acknowledged", "wang")


def test_new_alerts_take_an_acknowledgement_back(store):
    night = Night(store)
    night.post()
    night.answers("alice")
    assert page_of(night)["acknowledged_by"] == "alice"
    night.passes(MINUTE)
    night.post("Another")
    page = page_of(night)
    assert (page["state"], page["acknowledged_at"], page["acknowledged_by"]) == ("open", None, "")


@pytest.mark.parametrize(
    ("result", "talk_seconds", "shown", "carrier"),
    [
        pytest.param(None, 0, "submitted", "", id="nothing reported"),
        pytest.param(Result.ANSWERED, 23, "answered", "", id="answered"),
        pytest.param(Result.ANSWERED, 2, "hung_up", "", id="too short"),
        pytest.param(Result.UNANSWERED, 0, "unanswered", "NO_ANSWER", id="unanswered"),
        pytest.param(Result.UNREPORTED, 0, "unreported", "NO_ANSWER", id="not reported"),
    ],
)
def test_what_became_of_a_call(store, result, talk_seconds, shown, carrier):
    night = Night(store)
    night.post(team="single")
    if result is not None:
        night.passes(MINUTE)
        night.hears("alice", result, talk_seconds)
    call = night.view(stored.call, night.calls("alice")[0].id)
    assert (call["state"], call["result"], call["step"], call["run"]) == ("accepted", shown, 1, 1)
    (attempt,) = call["attempts_made"]
    if result is None:
        assert attempt["receipt"] is None
        return
    assert attempt["receipt"] == {
        "result": str(result),
        "talk_seconds": talk_seconds,
        "billed": 0,
        "code": carrier,
        "description": "",
        "received_at": "2026-11-24T03:01:00.000+00:00",
    }
    assert call["history"][-1]["event"] == "receipt"


def test_a_call_in_shadow_mode_says_that_nobody_was_dialled(store):
    night = Night(store)
    night.post(team="shadow")
    call = night.view(stored.call, night.calls("alice")[0].id)
    assert (call["state"], call["result"]) == ("shadowed", "")
    last = call["history"][-1]
    assert (last["event"], last["detail"]) == (
        "shadowed",
        "not dialled: its receiver is in shadow mode",
    )


def test_who_asked_for_a_call_again_is_told(filled):
    view(filled, stored.retry, "am-3", DAY + timedelta(hours=1), "wang")
    told = [e for e in view(filled, stored.call, "am-3")["history"] if e["event"] == "retried"]
    assert [each["detail"] for each in told] == ["by wang"]


# --- bodies that were refused --------------------------------------------------------------------


def test_refused_bodies_are_listed_without_their_contents(filled):
    (body,) = view(filled, stored.rejected, 9)["rejected"]
    assert body == {
        "id": 1,
        "received_at": "2026-11-24T03:00:00.000+00:00",
        "source": "grafana",
        "error": "$.alerts: …",
        "size": len(BODY_WITH_NUMBERS),
        "kept": len(BODY_WITH_NUMBERS),
    }


def test_a_refused_body_is_shown_with_numbers_masked(filled):
    body = view(filled, stored.rejected_body, 1)["body"]
    assert body == '{"to": "+86135****5678", "or": "1351****679", "id": 1732300000000}'


def test_a_refused_body_that_is_no_text(store):
    reject(store, b"\xff\x00 \xe5\x91")
    assert view(store, stored.rejected_body, 1)["body"] == "\ufffd\x00 \ufffd"


def test_an_unknown_body(store):
    with pytest.raises(NotFound, match="there is no refused body 7"):
        view(store, stored.rejected_body, 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("call +8613512345678 now", "call +86135****5678 now", id="E.164"),
        pytest.param("13512345678", "1351****678", id="mainland mobile"),
        pytest.param("电话13512345678。", "电话1351****678。", id="between hanzi"),
        pytest.param("tel.13512345678.", "tel.1351****678.", id="between full stops"),
        pytest.param("0.13512345678", "0.13512345678", id="a fraction"),
        pytest.param("2026-11-24T03:00:00.123456789Z", "2026-11-24T03:00:00.123456789Z", id="time"),
        pytest.param("57c6d9296de2ad39", "57c6d9296de2ad39", id="fingerprint"),
    ],
)
def test_what_looks_like_a_phone_number(text, expected):
    assert mask_phones(text) == expected


# --- all of them ---------------------------------------------------------------------------------


def test_no_view_tells_a_full_number(filled):
    views = [
        view(filled, stored.pages, only_open=False, limit=9),
        view(filled, stored.page, "am-1"),
        view(filled, stored.calls, text="", page_id=None, states=(), limit=9),
        *(view(filled, stored.call, call) for call in ("am-2", "am-3", "db-2")),
        view(filled, stored.rejected, 9),
        view(filled, stored.rejected_body, 1),
        previews.preview(preview(POLICY, {"team": "batch"}, {}, DAY)),
    ]
    text = json.dumps(views)
    assert not [number for number in NUMBERS if number[1:] in text or number[3:] in text]


@given(knobs=st.builds(Timing, group_wait=st.timedeltas(timedelta(0), timedelta(days=9))))
def test_timings_can_be_written_into_routes_yaml(knobs):
    from adapter.durations import parse_duration

    shown = previews.timing(knobs)["group_wait"]
    assert abs(parse_duration(shown) - knobs.group_wait) < timedelta(milliseconds=1)


def test_a_preview_as_json():
    found = previews.preview(preview(POLICY, {"team": "batch"}, {"summary": "x"}, DAY))
    assert json.loads(json.dumps(found)) == found
    assert datetime.fromisoformat(found["at"]) == DAY
    assert [route["route"] for route in found["routes"]] == [
        '{}/{team="batch"}/1',
        '{}/{team=~"batch|db"}/2',
    ]
    assert found["routes"][1]["timing"]["repeat_interval"] == "never"
