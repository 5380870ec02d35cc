"""What a fallback webhook is told, and when it is told again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapter.model import (
    Call,
    CallState,
    Episode,
    Fallback,
    FallbackState,
    Mode,
    Page,
    PhoneNumber,
    Reason,
    Receiver,
    Result,
    Secret,
    Source,
)
from adapter.sources.alertmanager import parse
from adapter.telling.body import MOST_ALERTS, Exhausted, body_of
from adapter.telling.retrying import (
    GIVE_UP_AFTER,
    Outcome,
    Reply,
    Settlement,
    settle,
    where_to_tell,
)

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
ALICE = PhoneNumber("+8613512345678")
PAGE = Page(
    id="page1",
    receiver="sre",
    group_labels={"cluster": 'c"1', "alertname": "HighLatency"},
    opened_at=NOW,
    confirmed_at=NOW,
    run=1,
    exhausted_at=NOW + HOUR,
)
URL = "https://oncall.example.com"
LINK = f"{URL}/v1/acknowledge/t"


def episode(number=1, **values):
    found = Episode(
        id=number,
        receiver="sre",
        fingerprint=f"{number:016x}",
        page_id=PAGE.id,
        firing=True,
        starts_at=NOW,
        ends_at=None,
        labels={"alertname": "HighLatency", "instance": f"i{number}"},
        annotations={"summary": "延迟过高", "description": f"on i{number}"},
        generator_url="http://prometheus/graph",
    )
    return replace(found, **values)


def call(**values):
    found = Call(
        id="call1",
        page_id=PAGE.id,
        receiver="sre",
        person="alice",
        phone=ALICE,
        reason=Reason.FIRST,
        state=CallState.ACCEPTED,
        created_at=NOW,
        due_at=NOW,
        due_since=NOW,
        dialled_at=NOW + 5 * SECOND,
        run=1,
        step=0,
    )
    return replace(found, **values)


def told(alerts=None, calls=None, **values):
    alerts = [episode(1), episode(2)] if alerts is None else alerts
    calls = [call()] if calls is None else calls
    counts = {"alerts_in_all": len(alerts), "calls_in_all": len(calls)}
    return Exhausted(**({"page": PAGE, "alerts": alerts, "calls": calls} | counts | values))


def body(given=None, link=LINK):
    return json.loads(body_of(given or told(), 1, URL, link))


# --- the body -----------------------------------------------------------------------------------


def test_it_is_a_notification_as_alertmanager_sends_it():
    notification = body()
    assert notification["version"] == "4"
    assert notification["status"] == "firing"
    assert notification["receiver"] == "sre"
    assert notification["groupLabels"] == dict(PAGE.group_labels)
    assert notification["groupKey"] == '{}:{alertname="HighLatency", cluster="c\\"1"}'
    assert notification["commonLabels"] == {"alertname": "HighLatency"}
    assert notification["externalURL"] == URL
    assert notification["truncatedAlerts"] == 0
    assert notification["alerts"][0] | {"annotations": {}} == {
        "status": "firing",
        "labels": {"alertname": "HighLatency", "instance": "i1"},
        "annotations": {},
        "startsAt": "2026-11-24T03:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "0000000000000001",
    }


def test_our_own_reader_of_alertmanagers_webhooks_takes_it():
    found = parse(body_of(told(), 1, URL, LINK), NOW)
    assert found.source is Source.ALERTMANAGER
    assert [alert.fingerprint for alert in found.alerts] == ["0" * 15 + "1", "0" * 15 + "2"]
    assert all(alert.ends_at is None for alert in found.alerts)


def test_people_read_what_was_tried_in_the_annotations():
    common = body()["commonAnnotations"]
    assert common == {
        "summary": "延迟过高",
        "uvms_adapter_summary": "Nobody was reached by 1 call; 2 alerts firing, "
        "the page of sre is open since 2026-11-24 03:00:00 UTC",
        "uvms_adapter_tried": "2026-11-24 03:00:05 UTC alice +86135****5678: "
        "placed; nothing reported yet",
        "uvms_adapter_acknowledge_url": LINK,
    }
    for alert in body()["alerts"]:  # what shows alerts alone still shows what to do
        assert alert["annotations"]["uvms_adapter_acknowledge_url"] == LINK
        assert alert["annotations"]["uvms_adapter_summary"] == common["uvms_adapter_summary"]


def test_scripts_read_it_as_data():
    assert body(told(calls=[call(result=Result.UNANSWERED)]))["uvmsAdapter"] == {
        "pageId": "page1",
        "receiver": "sre",
        "run": 1,
        "openedAt": "2026-11-24T03:00:00Z",
        "exhaustedAt": "2026-11-24T04:00:00Z",
        "acknowledgeUrl": LINK,
        "tried": [
            {
                "at": "2026-11-24T03:00:05Z",
                "callId": "call1",
                "person": "alice",
                "phone": "+86135****5678",
                "run": 1,
                "step": 1,
                "reason": "first",
                "state": "accepted",
                "result": "unanswered",
                "cameOfIt": "not answered",
            }
        ],
        "truncatedTried": 0,
    }


def test_without_a_link_none_is_shown():
    found = body(link="")
    assert "uvms_adapter_acknowledge_url" not in found["commonAnnotations"]
    assert found["uvmsAdapter"]["acknowledgeUrl"] is None


def test_a_page_that_is_not_exhausted_any_more_has_no_time_for_it():
    found = body(told(page=replace(PAGE, exhausted_at=None)))
    assert found["uvmsAdapter"]["exhaustedAt"] is None


@pytest.mark.parametrize(
    ("values", "came_of_it"),
    [
        ({"result": Result.ANSWERED}, "answered"),
        ({"result": Result.HUNG_UP}, "answered, but hung up too soon to count"),
        ({"result": Result.UNANSWERED}, "not answered"),
        ({"result": Result.UNREPORTED}, "placed; the carrier reported nothing"),
        ({"note": "RetCode 0"}, "placed; nothing reported yet"),
        ({"state": CallState.WAITING}, "still waits to be placed"),
        (
            {"state": CallState.WAITING, "note": "RetCode 153"},
            "still waits to be placed: RetCode 153",
        ),
        ({"state": CallState.SENDING, "note": "RetCode 153"}, "is being placed"),
        ({"state": CallState.UNKNOWN, "note": "timeout"}, "may have rung: timeout"),
        ({"state": CallState.REFUSED, "note": "RetCode 18016"}, "refused: RetCode 18016"),
        ({"state": CallState.GAVE_UP, "note": "given up"}, "could not be placed: given up"),
        ({"state": CallState.CANCELLED, "note": "resolved"}, "not placed: resolved"),
        ({"state": CallState.SHADOWED, "note": "shadow"}, "not placed: shadow mode"),
    ],
)
def test_what_came_of_each_call_is_said(values, came_of_it):
    found = body(told(calls=[call(**values)]))
    assert found["commonAnnotations"]["uvms_adapter_tried"].endswith(f"5678: {came_of_it}")
    assert found["uvmsAdapter"]["tried"][0]["cameOfIt"] == came_of_it


@pytest.mark.parametrize("state", CallState)
@pytest.mark.parametrize("result", [None, *Result])
def test_there_is_a_word_for_all_that_may_come_of_a_call(state, result):
    assert body(told(calls=[call(state=state, result=result)]))["uvmsAdapter"]["tried"]


@pytest.mark.parametrize(
    ("values", "at"),
    [
        pytest.param({}, 5, id="dialled"),
        pytest.param({"dialled_at": None, "settled_at": NOW + SECOND}, 1, id="ended undialled"),
        pytest.param({"dialled_at": None, "step": None}, 0, id="only decided"),
    ],
)
def test_a_call_has_the_time_of_the_last_known_of_it(values, at):
    [tried] = body(told(calls=[call(**values)]))["uvmsAdapter"]["tried"]
    assert tried["at"] == f"2026-11-24T03:00:0{at}Z"


@pytest.mark.parametrize(
    ("calls", "in_all", "first", "summary"),
    [
        pytest.param([], 0, "no call: nobody was there to call", "nobody was there", id="none"),
        pytest.param([call()], 2, "1 earlier call", "by 2 calls", id="one is left out"),
        pytest.param([call()], 60, "59 earlier calls", "by 60 calls", id="many are left out"),
    ],
)
def test_calls_that_are_not_listed_are_counted(calls, in_all, first, summary):
    found = body(told(alerts=[episode()], calls=calls, calls_in_all=in_all))
    assert found["commonAnnotations"]["uvms_adapter_tried"].splitlines()[0] == first
    assert summary in found["commonAnnotations"]["uvms_adapter_summary"]
    assert "1 alert firing" in found["commonAnnotations"]["uvms_adapter_summary"]
    assert found["uvmsAdapter"]["truncatedTried"] == in_all - len(calls)


def test_it_stays_small_however_large_the_page_is():
    large = [episode(number, annotations={"dump": "字" * 100_000}) for number in range(1, 151)]
    found = body(told(alerts=large, alerts_in_all=10_000))
    assert len(found["alerts"]) == MOST_ALERTS == 100
    assert found["truncatedAlerts"] == 9_900
    assert found["alerts"][0]["annotations"]["dump"] == "字" * 1_999 + "…"
    assert len(body_of(told(alerts=large), 1, URL, LINK)) < 1_000_000


def test_a_page_whose_alerts_are_unknown_is_told_all_the_same():
    found = body(told(alerts=[], alerts_in_all=0))
    assert found["alerts"] == []
    assert found["commonLabels"] == {}
    assert found["commonAnnotations"]["uvms_adapter_tried"]


@given(
    labels=st.dictionaries(
        st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))
    ),
    annotations=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")), max_size=4
    ),
)
def test_labels_are_what_they_were_and_nothing_is_called_common_that_is_not(labels, annotations):
    alerts = [episode(n, labels=labels, annotations=own) for n, own in enumerate(annotations)]
    found = body(told(page=replace(PAGE, group_labels=labels), alerts=alerts))
    assert found["groupLabels"] == labels
    assert all(alert["labels"] == labels for alert in found["alerts"])
    common = found["commonAnnotations"]
    for name in "abc":
        values = {own.get(name) for own in annotations}
        assert common.get(name) == (values.pop() if len(values) == 1 else None)


def test_the_whole_number_is_nowhere():
    assert ALICE.e164.removeprefix("+") not in body_of(told(), 1, URL, LINK).decode()


# --- trying again -------------------------------------------------------------------------------


def fallback(attempts=1, created_at=NOW):
    return Fallback(
        id="fallback1",
        page_id=PAGE.id,
        receiver="sre",
        run=1,
        state=FallbackState.WAITING,
        created_at=created_at,
        due_at=created_at,
        attempts=attempts,
    )


SENT, RETRY, REFUSED, GAVE_UP = Outcome.SENT, Outcome.RETRY, Outcome.REFUSED, Outcome.GAVE_UP


@pytest.mark.parametrize(
    ("status", "outcome", "note"),
    [
        (200, SENT, "HTTP 200: said"),
        (204, SENT, "HTTP 204: said"),
        (299, SENT, "HTTP 299: said"),
        (100, RETRY, "HTTP 100: said"),
        (199, RETRY, "HTTP 199: said"),
        (300, REFUSED, "HTTP 300, and redirects are not followed: said"),
        (302, REFUSED, "HTTP 302, and redirects are not followed: said"),
        (399, REFUSED, "HTTP 399, and redirects are not followed: said"),
        (400, REFUSED, "HTTP 400: said"),
        (401, REFUSED, "HTTP 401: said"),
        (404, REFUSED, "HTTP 404: said"),
        (408, RETRY, "HTTP 408: said"),
        (425, RETRY, "HTTP 425: said"),
        (429, RETRY, "HTTP 429: said"),
        (499, REFUSED, "HTTP 499: said"),
        (500, RETRY, "HTTP 500: said"),
        (503, RETRY, "HTTP 503: said"),
        (None, RETRY, "said"),
    ],
)
def test_only_2xx_ends_it_and_some_answers_need_a_human(status, outcome, note):
    settlement = settle(fallback(), Reply(http_status=status, said="said"), NOW, 0.5)
    assert (settlement.outcome, settlement.note) == (outcome, note)
    assert (settlement.due_at is None) == (outcome is SENT)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (SENT, FallbackState.SENT),
        (RETRY, FallbackState.WAITING),
        (REFUSED, FallbackState.WAITING),
        (GAVE_UP, FallbackState.GAVE_UP),
        (Outcome.SHADOWED, FallbackState.SHADOWED),
        (Outcome.NOT_NEEDED, FallbackState.GAVE_UP),
    ],
)
def test_every_outcome_leads_to_a_state(outcome, state):
    assert Settlement(outcome=outcome, note="").state is state


def test_an_answer_without_words_is_its_status():
    assert settle(fallback(), Reply(http_status=500), NOW, 0.5).note == "HTTP 500"


@pytest.mark.parametrize(
    ("attempts", "jitter", "seconds"),
    [
        pytest.param(1, 0.0, 2, id="first, at the least"),
        pytest.param(1, 0.5, 3, id="first"),
        pytest.param(2, 0.5, 6, id="second"),
        pytest.param(5, 0.5, 48, id="fifth"),
        pytest.param(9, 0.0, 150, id="capped, at the least"),
        pytest.param(10_000, 0.5, 225, id="for ever after"),
    ],
)
def test_pauses_grow_to_five_minutes(attempts, jitter, seconds):
    settlement = settle(fallback(attempts), Reply(http_status=500), NOW, jitter)
    assert settlement.due_at == NOW + timedelta(seconds=seconds)


@given(attempts=st.integers(1, 10**6), jitter=st.floats(0, 1, exclude_max=True))
def test_every_pause_is_from_two_seconds_to_five_minutes(attempts, jitter):
    due_at = settle(fallback(attempts), Reply(http_status=None, said="x"), NOW, jitter).due_at
    assert due_at is not None
    assert 2 * SECOND <= due_at - NOW <= timedelta(minutes=5)


@pytest.mark.parametrize(
    ("age", "status", "outcome"),
    [
        pytest.param(GIVE_UP_AFTER - SECOND, 500, RETRY, id="not yet"),
        pytest.param(GIVE_UP_AFTER, 500, GAVE_UP, id="after a day"),
        pytest.param(GIVE_UP_AFTER, None, GAVE_UP, id="after a day without an answer"),
        pytest.param(48 * HOUR, 200, SENT, id="late is told too"),
    ],
)
def test_it_is_tried_for_a_day(age, status, outcome):
    reply = Reply(http_status=status, said="said")
    settlement = settle(fallback(created_at=NOW - age), reply, NOW, 0.5)
    assert settlement.outcome is outcome
    if outcome is GAVE_UP:
        assert settlement.note.startswith("given up after 24 h; last: ")
        assert settlement.due_at is None


# --- before a try -------------------------------------------------------------------------------

URL_OF_CHAT = Secret("https://chat.example.com/hook")
SRE = Receiver(name="sre", fallback_webhook=URL_OF_CHAT)


@pytest.mark.parametrize(
    ("page", "receiver", "outcome", "note"),
    [
        pytest.param(
            {"closed_at": NOW}, SRE, Outcome.NOT_NEEDED, "the page has been closed", id="closed"
        ),
        pytest.param(
            {"acknowledged_at": NOW},
            SRE,
            Outcome.NOT_NEEDED,
            "somebody has taken the page",
            id="acknowledged",
        ),
        pytest.param(
            {},
            replace(SRE, mode=Mode.SHADOW),
            Outcome.SHADOWED,
            "shadow mode: nothing was sent",
            id="shadow mode",
        ),
        pytest.param(
            {},
            replace(SRE, fallback_webhook=None),
            GAVE_UP,
            "receiver sre has no fallback_webhook any more",
            id="the URL is gone",
        ),
        pytest.param(
            {},
            None,
            GAVE_UP,
            "receiver sre has no fallback_webhook any more",
            id="the receiver is gone",
        ),
    ],
)
def test_what_need_not_or_cannot_be_told_says_why(page, receiver, outcome, note):
    settlement = where_to_tell(replace(PAGE, **page), receiver)
    assert isinstance(settlement, Settlement)
    assert (settlement.outcome, settlement.note, settlement.due_at) == (outcome, note, None)


def test_an_open_page_that_nobody_took_is_told():
    assert where_to_tell(PAGE, SRE) == URL_OF_CHAT
