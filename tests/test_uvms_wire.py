"""What is said to UVMS, and how its answers are read."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.delivery.outcomes import Answer, Failure
from adapter.delivery.policy import UvmsSettings
from adapter.delivery.records import CallRecord
from adapter.model import PhoneNumber, Receipt, Result, Secret
from adapter.signing import sign
from adapter.uvms.wire import (
    MAX_ANSWER_BYTES,
    Keys,
    RecordQuery,
    SendRequest,
    clean_message,
    inflate,
    read_answer,
    read_records,
    record_params,
    send_params,
    signed_form,
    windows,
)

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ALICE = PhoneNumber("+8613512345678")
KEYS = Keys(public_key="public", private_key=Secret("private"))
REQUEST = SendRequest(called=ALICE, template_id="UVVT1")
CALL = {"Action": "SendUVMSMessage", "CalledNumber": "+8613512345678", "TemplateId": "UVVT1"}


def sent(settings: UvmsSettings = UvmsSettings(), **changes):  # noqa: B008 - frozen
    """Return the form of a call without what every form has."""
    request = msgspec.structs.replace(REQUEST, **changes)
    form = signed_form(send_params(settings, request), KEYS)
    assert form.pop("PublicKey") == "public"
    del form["Signature"]
    return form


# --- requests ---

ACCOUNT_WIDE = UvmsSettings(from_number="02100000000", group_type=2, dispatch_rule=1)
CALLS = {
    "the least": (UvmsSettings(), {}, CALL),
    "words": (
        UvmsSettings(),
        {"params": ("生产", "90"), "user_id": "u1"},
        CALL | {"TemplateParams.0": "生产", "TemplateParams.1": "90", "UserId": "u1"},
    ),
    "a project": (UvmsSettings(project_id="org-1"), {}, CALL | {"ProjectId": "org-1"}),
    "region and zone when set": (
        UvmsSettings(region="cn-bj2", zone="cn-bj2-04"),
        {},
        CALL | {"Region": "cn-bj2", "Zone": "cn-bj2-04"},
    ),
    "account-wide number": (
        ACCOUNT_WIDE,
        {},
        CALL | {"FromNumber": "02100000000", "GroupType": "2", "DispatchRule": "1"},
    ),
    "a receiver's own number brings its own rules": (
        ACCOUNT_WIDE,
        {"from_number": "02199999999"},
        CALL | {"FromNumber": "02199999999"},
    ),
    "all of a receiver's own": (
        ACCOUNT_WIDE,
        {"from_number": "02199999999", "group_type": 1, "dispatch_rule": 0},
        CALL | {"FromNumber": "02199999999", "GroupType": "1", "DispatchRule": "0"},
    ),
    "a receiver's own rules for the account-wide number": (
        ACCOUNT_WIDE,
        {"group_type": 1, "dispatch_rule": 0},
        CALL | {"FromNumber": "02100000000", "GroupType": "1", "DispatchRule": "0"},
    ),
    "dispatch rule 0 is a value": (
        UvmsSettings(dispatch_rule=0),
        {},
        CALL | {"DispatchRule": "0"},
    ),
}


@pytest.mark.parametrize(("settings", "changes", "form"), CALLS.values(), ids=CALLS)
def test_parameters_of_a_call(settings, changes, form):
    assert sent(settings, **changes) == form


def test_the_signature_covers_all_that_is_sent():
    form = signed_form(send_params(ACCOUNT_WIDE, REQUEST), KEYS)
    signature = form.pop("Signature")
    assert signature == sign(form, "private")
    for name in form:
        assert signature != sign({**form, name: form[name] + "x"}, "private")


def test_a_temporary_key_pair_sends_its_token():
    keys = Keys(public_key="p", private_key=Secret("k"), security_token=Secret("t"))
    form = signed_form({"Action": "A"}, keys)
    assert form == {
        "Action": "A",
        "PublicKey": "p",
        "SecurityToken": "t",
        "Signature": sign({"Action": "A", "PublicKey": "p", "SecurityToken": "t"}, "k"),
    }


QUERY = RecordQuery(phone=ALICE, template_id="UVVT1", since=NOW + timedelta(milliseconds=500))
LOOK_UP = {
    "Action": "GetUVMSSendRecord",
    "TemplateId": "UVVT1",
    "StartTime": "1795489200",
    "OrderBy": "call_start_time",
    "OrderType": "asc",
    "Page": "0",
    "NumPerPage": "50",
    "PhoneNumber": "13512345678",
}
QUERIES = {
    "until now": ({}, {}),
    "until then, in full seconds": (
        {"until": NOW + timedelta(milliseconds=1500)},
        {"EndTime": "1795489202"},
    ),
    "another country": ({"phone": PhoneNumber("+85291234567")}, {"PhoneNumber": "85291234567"}),
}


@pytest.mark.parametrize(("changes", "more"), QUERIES.values(), ids=QUERIES)
def test_parameters_of_a_look_up(changes, more):
    query = msgspec.structs.replace(QUERY, **changes)
    form = signed_form(record_params(UvmsSettings(), query, 0, by_phone=True), KEYS)
    del form["PublicKey"], form["Signature"]
    assert form == LOOK_UP | more


def test_a_look_up_of_everybody_and_everything():
    form = signed_form(
        record_params(UvmsSettings(), RecordQuery(since=NOW), 0, by_phone=True), KEYS
    )
    assert "PhoneNumber" not in form
    assert "TemplateId" not in form


def test_parameters_of_a_look_up_of_everybody():
    query = msgspec.structs.replace(QUERY, template_id="")
    settings = UvmsSettings(project_id="org-1", region="r", zone="z")
    form = signed_form(record_params(settings, query, 3, by_phone=False), KEYS)
    assert "PhoneNumber" not in form
    assert "TemplateId" not in form
    assert form["Page"] == "3"
    assert (form["ProjectId"], form["Region"], form["Zone"]) == ("org-1", "r", "z")


# --- answers ---


def read(body: object, status: int = 200, headers=None) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(status, headers or {}, raw)


def test_a_full_answer():
    answer = read(
        {
            "RetCode": 0,
            "Action": "SendUVMSMessageResponse",
            "Message": "Send success",
            "ReqUuid": "req",
            "SessionNo": "session",
            "UserId": "user",
        }
    )
    assert answer == Answer(
        http_status=200,
        ret_code=0,
        message="Send success",
        req_uuid="req",
        session_no="session",
        user_id="user",
    )


def test_the_request_id_may_stand_in_a_header():
    headers = {"x-ucloud-request-uuid": "from-header"}
    assert read({"RetCode": 0}, headers=headers).req_uuid == "from-header"
    assert read({"RetCode": 0, "ReqUuid": "own"}, headers=headers).req_uuid == "own"


RET_CODES = {
    "a number": (171, 171),
    "a numeric string": ("171", 171),
    "with blanks": (" 171 ", 171),
    "zero as a string": ("0", 0),
    "negative": (-1, -1),
    "nine digits": (999_999_999, 999_999_999),
    "true": (True, None),
    "a fraction": (0.0, None),
    "words": ("ok", None),
    "empty": ("", None),
    "ten digits": (1_000_000_000, None),
    "ten digits as a string": ("1000000000", None),
    "absurdly long": (10**400, None),
    "digits of another script": ("١٧١", None),
    "null": (None, None),
    "a list": ([0], None),
}


@pytest.mark.parametrize(("said", "ret_code"), RET_CODES.values(), ids=RET_CODES)
def test_ret_code(said, ret_code):
    answer = read({"RetCode": said, "Message": "m"})
    assert answer.ret_code == ret_code
    assert answer.failure is (Failure.UNREADABLE if ret_code is None else None)
    assert answer.message == "m"


UNREADABLE = {
    "empty": b"",
    "HTML": b"<html>502 Bad Gateway</html>",
    "cut off": b'{"RetCode": 0',
    "a list": b"[0]",
    "a number": b"0",
    "null": b"null",
    "no RetCode": b"{}",
    "not UTF-8": b'{"RetCode": 0, "Message": "\xff"}',
    "nested without end": b"[" * 100_000,
    "an endless number": b'{"RetCode": ' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_bodies(body):
    assert read(body, 502) == Answer(http_status=502, failure=Failure.UNREADABLE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_unicode_of_json(encoding):
    assert read('{"RetCode": 0, "Message": "成功"}'.encode(encoding)).message == "成功"


MESSAGES = {
    "plain": ("Send success", "Send success"),
    "a phone number": (
        "Params [+8613512345678] not available",
        "Params [+86135****5678] not available",
    ),
    "a national number": ("13512345678", "1351****678"),
    "a number in groups": ("+86 135-1234-5678!", "+86 13****5678!"),
    "seven digits": ("call 1234567", "call ****"),
    "six digits": ("code 123456", "code 123456"),
    "several lines": ("a\r\n\tb\u2028c\x00", "a b c"),
    "half a surrogate pair": ("a\ud83db", "a b"),
    "very long": ("x" * 1000, "x" * 500),
}


@pytest.mark.parametrize(("said", "clean"), MESSAGES.values(), ids=MESSAGES)
def test_messages_are_made_fit_for_logs(said, clean):
    assert clean_message(said) == clean


@given(st.text())
def test_a_clean_message_is_one_short_line(said):
    clean = clean_message(said)
    assert len(clean) <= 500
    assert len(clean.splitlines()) <= 1
    clean.encode()


def test_ids_are_bounded_and_lenient():
    answer = read({"RetCode": 0, "SessionNo": 42, "ReqUuid": ["x"], "UserId": " a\nb" + "c" * 500})
    assert answer.session_no == "42"
    assert answer.req_uuid == ""
    assert answer.user_id == "ab" + "c" * 126


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FIELDS = (
    *("RetCode", "Message", "ReqUuid", "Total", "Count", "Data", "Phone", "SubmitTime"),
    *("ReceiptResult", "ReceiptDesc", "ReceiveTime", "Duration", "BillSecond", "BillPeriod"),
)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_reading_is_total(fields):
    answer = read(fields)
    assert (answer.ret_code is None) == (answer.failure is Failure.UNREADABLE)
    read_records(json.dumps(fields).encode())
    read_records(json.dumps({"Data": [fields]}).encode())


@given(st.binary(max_size=200))
def test_reading_any_bytes_is_total(body):
    read(body)
    read_records(body)


# --- records ---

RECORD = {
    "TaskNo": "t-1",
    "Phone": "13512345678",
    "TemplateId": "UVVT1",
    "CallStartTime": 1795489205000.0,
    "SubmitTime": 1795489200000.0,
    "ReceiptResult": 1,
}
OURS = CallRecord(
    task_no="t-1",
    phone=PhoneNumber("13512345678"),
    template_id="UVVT1",
    placed_at=NOW,
    receipt=Receipt(result=Result.ANSWERED, received_at=NOW),
)

PAGES = {
    "as the schema says": ({"Total": 1, "Data": [RECORD]}, (1, (OURS,))),
    "as the example says": ({"Count": 1, "Data": [RECORD]}, (1, (OURS,))),
    "no total": ({"Data": [RECORD]}, (None, (OURS,))),
    "a total that is none": ({"Total": "1", "Data": []}, (None, ())),
    "true is no total": ({"Total": True, "Data": []}, (None, ())),
    "none there": ({"Total": 0, "Data": []}, (0, ())),
    "none there, and no list": ({"Total": 0, "Data": None}, (0, ())),
    "some there, but no list": ({"Total": 1}, None),
    "nothing said": ({"RetCode": 0}, None),
    "no object": ([], None),
    "strange items are passed over": ({"Total": 2, "Data": ["x", RECORD]}, (2, (OURS,))),
}


@pytest.mark.parametrize(("body", "read_page"), PAGES.values(), ids=PAGES)
def test_pages_of_records(body, read_page):
    assert read_records(json.dumps(body).encode()) == read_page


TIMES = {
    "submitted, in milliseconds": ({}, NOW),
    "submitted, in seconds": ({"SubmitTime": 1795489200}, NOW),
    "with a fraction": (
        {"SubmitTime": 1795489200500.0},
        NOW + timedelta(milliseconds=500),
    ),
    "only dialled": ({"SubmitTime": None}, NOW + timedelta(seconds=5)),
    "zero is no time": ({"SubmitTime": 0}, NOW + timedelta(seconds=5)),
    "neither": ({"SubmitTime": 0, "CallStartTime": -1}, None),
    "text": ({"SubmitTime": "2026-11-24", "CallStartTime": True}, None),
    "beyond all calendars": ({"SubmitTime": 1e300, "CallStartTime": float("nan")}, None),
    "the last that is read as seconds": (
        {"SubmitTime": 99_999_999_999},
        datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC),
    ),
    "the first that is read as milliseconds": (
        {"SubmitTime": 100_000_000_000},
        datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC),
    ),
    "just too large": ({"SubmitTime": 10**14, "CallStartTime": 0}, None),
}


@pytest.mark.parametrize(("changes", "placed_at"), TIMES.values(), ids=TIMES)
def test_times_of_records(changes, placed_at):
    _, (record,) = read_records(json.dumps({"Data": [RECORD | changes]}).encode())
    assert record.placed_at == placed_at


MINUTE = timedelta(minutes=1)
REPORTED = RECORD | {
    "CallEndTime": 1795489230000.0,
    "ReceiveTime": 1795489260000.0,
    "ReceiptDesc": "用户接收成功",
    "Duration": 61,
    "BillSecond": 61,
    "BillPeriod": 60,
}
ANSWERED = Receipt(
    result=Result.ANSWERED,
    received_at=NOW + MINUTE,
    talk_seconds=61,
    billed=2,
    description="用户接收成功",
)
# What differs from REPORTED, and the receipt or what of it differs from ANSWERED.
RECEIPTS = {
    "answered": ({}, {}),
    "as texts": ({"ReceiptResult": "1", "Duration": "61"}, {}),
    "unanswered: nobody listened": (
        {"ReceiptResult": 2, "BillSecond": 0},
        {"result": Result.UNANSWERED, "talk_seconds": 0, "billed": 0},
    ),
    "the carrier said nothing": (
        {"ReceiptResult": 3, "BillSecond": 0},
        {"result": Result.UNREPORTED, "talk_seconds": 0, "billed": 0},
    ),
    "not known yet": ({"ReceiptResult": 3, "ReceiveTime": 0}, None),
    "not known yet, and no time given": ({"ReceiptResult": 3, "ReceiveTime": None}, None),
    "nothing said yet": ({"ReceiptResult": None, "ReceiveTime": 0.0}, None),
    "a result that is not documented": (
        {"ReceiptResult": 7},
        {
            "result": Result.UNREPORTED,
            "talk_seconds": 0,
            "description": "用户接收成功 (ReceiptResult 7)",
        },
    ),
    "answered, and not said when that was heard": (
        {"ReceiveTime": 0},
        {"received_at": NOW + MINUTE / 2},
    ),
    "answered, and no time but the dialling": (
        {"ReceiveTime": 0, "CallEndTime": 0},
        {"received_at": NOW},
    ),
    "no time at all": (
        {"ReceiveTime": 0, "CallEndTime": 0, "CallStartTime": 0, "SubmitTime": 0},
        None,
    ),
    "billed by pieces": ({"BillPeriod": 0}, {"billed": 0}),
    "a number in its words": (
        {"ReceiptDesc": "13512345678 busy"},
        {"description": "1351****678 busy"},
    ),
}


@pytest.mark.parametrize(("changes", "differs"), RECEIPTS.values(), ids=RECEIPTS)
def test_what_a_record_says_of_the_result(changes, differs):
    _, (record,) = read_records(json.dumps({"Data": [REPORTED | changes]}).encode())
    expected = None if differs is None else msgspec.structs.replace(ANSWERED, **differs)
    assert record.receipt == expected


DAY = timedelta(days=1)
WEEK = 7 * DAY - MINUTE
WINDOWS = {
    "without an end": (None, [(NOW, None)]),
    "short": (NOW + DAY, [(NOW, NOW + DAY)]),
    "as long as allowed": (NOW + WEEK, [(NOW, NOW + WEEK)]),
    "longer": (NOW + 7 * DAY, [(NOW, NOW + WEEK), (NOW + WEEK, NOW + 7 * DAY)]),
    "three weeks less a day": (
        NOW + 20 * DAY,
        [
            (NOW, NOW + WEEK),
            (NOW + WEEK, NOW + 2 * WEEK),
            (NOW + 2 * WEEK, NOW + 20 * DAY),
        ],
    ),
}


@pytest.mark.parametrize(("until", "cut"), WINDOWS.values(), ids=WINDOWS)
def test_a_window_is_cut_to_what_the_vendor_looks_at(until, cut):
    found = windows(RecordQuery(phone=ALICE, since=NOW, until=until))
    assert [(one.since, one.until) for one in found] == cut
    assert {one.phone for one in found} == {ALICE}
    for one in found:
        params = record_params(UvmsSettings(), one, 0, by_phone=True)
        if params["EndTime"] is not None:
            assert params["EndTime"] - params["StartTime"] <= 7 * 24 * 3600


def test_an_empty_record_is_read_as_knowing_nothing():
    assert read_records(b'{"Data": [{}]}') == (
        None,
        (CallRecord(task_no="", phone=PhoneNumber("")),),
    )


# --- compressed answers ---

TEXT = b'{"RetCode": 0}'
ENCODED = {
    "not said": ("", TEXT, TEXT),
    "identity": ("Identity", TEXT, TEXT),
    "gzip": ("gzip", gzip.compress(TEXT), TEXT),
    "deflate": (" deflate ", zlib.compress(TEXT), TEXT),
    "gzip that is none": ("gzip", TEXT, None),
    "gzip cut short": ("gzip", gzip.compress(TEXT)[:-9], None),
    "empty": ("gzip", b"", None),
    "brotli": ("br", b"\x0b\x06\x80", None),
    "a bomb": ("gzip", gzip.compress(b"0" * (MAX_ANSWER_BYTES + 1)), None),
}


@pytest.mark.parametrize(("encoding", "raw", "body"), ENCODED.values(), ids=ENCODED)
def test_inflate(encoding, raw, body):
    assert inflate(encoding, raw) == body


# --- what shows ---


def test_no_number_and_no_key_shows():
    keys = Keys(
        public_key="public-shown-never",
        private_key=Secret("private-shown-never"),
        security_token=Secret("token-shown-never"),
    )
    shown = f"{keys!r} {keys} {[keys]} {REQUEST!r} {QUERY!r} {OURS!r}"
    assert "never" not in shown
    assert "13512345678" not in shown
