"""Receipts: what is read out of a push, which of two counts, and what it is worth."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapter.delivery.receipts import BEST_FIRST, Reported, judge, merge, read_push
from adapter.errors import InvalidNotification, NotJson
from adapter.model import PhoneNumber, Receipt, Result

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
# The vendor's own example, with a number and ids that are whole.
EXAMPLE = {
    "SessionNo": "d0000000-f7",
    "Phone": "18512349057",
    "ShowNumber": "02188889057",
    "CostCount": 2,
    "ReceiptResult": 1,
    "ReceiptCode": "487",
    "ReceiptDesc": "用户接收成功",
    "CallStartTime": 1649756907000,
    "AnswerTime": 1649756907000,
    "CallEndTime": 1649756907000,
    "Duration": 23,
    "UserId": "attempt1",
}
READ = Reported(
    user_id="attempt1",
    session_no="d0000000-f7",
    phone=PhoneNumber("18512349057"),
    placed_at=datetime(2022, 4, 12, 9, 48, 27, tzinfo=UTC),
    receipt=Receipt(
        result=Result.ANSWERED,
        received_at=NOW,
        talk_seconds=23,
        billed=2,
        code="487",
        description="用户接收成功",
    ),
)


def body(*items: object) -> bytes:
    return json.dumps(items[0] if len(items) == 1 else items).encode()


def like_read(**changes: object) -> Reported:
    own = {name: changes.pop(name) for name in ("user_id", "phone", "placed_at") if name in changes}
    return replace(READ, **own, receipt=replace(READ.receipt, **changes))


# --- reading ---

# What differs from the example, and what then differs from what is read of it.
RECEIPTS = {
    "the vendor's example": ({}, {}),
    "with the country code": (
        {"Phone": "+8618512349057"},
        {"phone": PhoneNumber("+8618512349057")},
    ),
    "a number that is one": ({"Phone": 18512349057}, {}),
    "numbers as texts": (
        {
            "ReceiptResult": "1",
            "Duration": "23",
            "CostCount": "2",
            "ReceiptCode": 487,
            "CallStartTime": "1649756907000",
        },
        {},
    ),
    "fractions": ({"Duration": 23.9, "ReceiptResult": 1.0}, {}),
    "unknown fields": ({"Weather": {"rain": [1]}}, {}),
    "an unknown code": ({"ReceiptCode": "Q.850/16"}, {"code": "Q.850/16"}),
    "unanswered": (
        {"ReceiptResult": 2, "Duration": 0, "CostCount": 0},
        {"result": Result.UNANSWERED, "talk_seconds": 0, "billed": 0},
    ),
    "unanswered, whatever rang so long": (
        {"ReceiptResult": 2},
        {"result": Result.UNANSWERED, "talk_seconds": 0},
    ),
    "unreported": (
        {"ReceiptResult": 3, "Duration": 0},
        {"result": Result.UNREPORTED, "talk_seconds": 0},
    ),
    "a result that is not documented": (
        {"ReceiptResult": 4},
        {
            "result": Result.UNREPORTED,
            "talk_seconds": 0,
            "description": "用户接收成功 (ReceiptResult 4)",
        },
    ),
    "a result in words": (
        {"ReceiptResult": "OK", "ReceiptDesc": None},
        {"result": Result.UNREPORTED, "talk_seconds": 0, "description": "(ReceiptResult OK)"},
    ),
    "between two results": (
        {"ReceiptResult": 1.5, "ReceiptDesc": ""},
        {"result": Result.UNREPORTED, "talk_seconds": 0, "description": "(ReceiptResult 1.5)"},
    ),
    "no duration, but times": (
        {"Duration": 0, "CallEndTime": 1649756915999},
        {"talk_seconds": 8},
    ),
    "no duration, and times that say nothing": ({"Duration": 0}, {"talk_seconds": 0}),
    "no duration, and times the wrong way round": (
        {"Duration": 0, "CallEndTime": 1649756900000},
        {"talk_seconds": 0},
    ),
    "no duration, and no answer time": (
        {"Duration": 0, "AnswerTime": 0, "CallEndTime": 1649756915999},
        {"talk_seconds": 0},
    ),
    "a duration goes before times": ({"CallEndTime": 1649756915999}, {}),
    "a duration that is none": ({"Duration": 10**30}, {"talk_seconds": 0}),
    "no time": ({"CallStartTime": 0}, {"placed_at": None}),
    "a number in the description": (
        {"ReceiptDesc": "18512349057 忙"},
        {"description": "1851****057 忙"},
    ),
}


@pytest.mark.parametrize(("changes", "differs"), RECEIPTS.values(), ids=RECEIPTS)
def test_what_is_read_of_a_receipt(changes, differs):
    assert read_push(body(EXAMPLE | changes), NOW).reported == (like_read(**differs),)


def test_an_id_and_a_result_are_enough():
    for identity, value in (("UserId", "attempt1"), ("SessionNo", "s1")):
        (found,) = read_push(body({identity: value, "ReceiptResult": 2}), NOW).reported
        assert found.receipt == Receipt(result=Result.UNANSWERED, received_at=NOW)
        assert (found.user_id or found.session_no) == value
        assert found.phone == PhoneNumber("")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_unicode_of_json(encoding):
    text = json.dumps(EXAMPLE, ensure_ascii=False)
    assert read_push(text.encode(encoding), NOW).reported == (READ,)


def test_an_array_of_receipts():
    push = read_push(body(EXAMPLE, EXAMPLE | {"UserId": "attempt2"}), NOW)
    assert push.reported == (READ, like_read(user_id="attempt2"))
    assert push.invalid == ()


def test_items_that_are_no_receipts_cost_the_others_nothing():
    items = [7, EXAMPLE, {"SessionNo": "s"}, {"ReceiptResult": 1}, EXAMPLE | {"ReceiptResult": []}]
    push = read_push(body(*items), NOW)
    assert push.reported == (READ,)
    assert [str(error) for error in push.invalid] == [
        "$[0]: expected a receipt (an object), found a scalar",
        "$[2].ReceiptResult: expected 1, 2 or 3, found nothing",
        "$[3].SessionNo: expected a SessionNo or a UserId, found neither",
        "$[4].ReceiptResult: expected 1, 2 or 3, found a list",
    ]


NO_RECEIPTS = {
    "empty": (b"", NotJson, "the body is not JSON: it is empty"),
    "cut off": (b'{"UserId"', NotJson, "the body is not JSON: Expecting ':' delimiter"),
    "no UTF-8": (b'{"UserId": "\xff"}', NotJson, "the body is not JSON: it is not UTF-8"),
    "nested without end": (
        b"[" * 100_000,
        NotJson,
        "the body is not JSON: it is nested too deeply",
    ),
    "a number": (b"1", InvalidNotification, "$: expected a receipt (an object), found a scalar"),
    "null": (b"null", InvalidNotification, "$: expected a receipt (an object), found nothing"),
    "a list in a list": (
        b"[[]]",
        InvalidNotification,
        "$[0]: expected a receipt (an object), found a list",
    ),
    "an empty list": (b"[]", InvalidNotification, "$: expected receipts, found an empty list"),
    "an empty object": (
        b"{}",
        InvalidNotification,
        "$.ReceiptResult: expected 1, 2 or 3, found nothing",
    ),
    "a result that is an object": (
        b'{"UserId": "u", "ReceiptResult": {}}',
        InvalidNotification,
        "$.ReceiptResult: expected 1, 2 or 3, found an object",
    ),
    "of nobody": (
        b'{"ReceiptResult": 1, "UserId": " ", "SessionNo": null}',
        InvalidNotification,
        "$.SessionNo: expected a SessionNo or a UserId, found neither",
    ),
}


@pytest.mark.parametrize(("raw", "kind", "said"), NO_RECEIPTS.values(), ids=NO_RECEIPTS)
def test_a_body_that_is_no_receipt_says_why(raw, kind, said):
    with pytest.raises(kind) as refused:
        read_push(raw, NOW)
    assert str(refused.value).startswith(said)


def test_an_error_quotes_no_number():
    with pytest.raises(NotJson) as refused:
        read_push(b'{"Phone": "18512349057\xff"}', NOW)
    assert "18512349057" not in str(refused.value)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(EXAMPLE)), JSON_VALUES) | JSON_VALUES))
def test_of_an_array_every_item_is_read_or_refused(items):
    try:
        push = read_push(json.dumps(items).encode(), NOW)
    except InvalidNotification:
        return
    assert len(push.reported) + len(push.invalid) == len(items)
    for one in push.reported:
        assert one.user_id or one.session_no
        json.dumps([one.user_id, one.session_no, one.receipt.description]).encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw):
    with suppress(NotJson, InvalidNotification):
        assert read_push(raw, NOW).reported


# --- which counts ---

RECEIPT = st.builds(
    Receipt,
    result=st.sampled_from([Result.ANSWERED, Result.UNANSWERED, Result.UNREPORTED]),
    received_at=st.integers(0, 3).map(lambda seconds: NOW + seconds * SECOND),
    talk_seconds=st.integers(0, 2),
    billed=st.integers(0, 2),
    code=st.sampled_from(["", "200", "487"]),
    description=st.sampled_from(["", "x"]),
)


@given(RECEIPT, RECEIPT)
def test_the_order_of_two_receipts_changes_nothing(one, other):
    assert merge(one, other) == merge(other, one)


@given(RECEIPT)
def test_a_copy_changes_nothing(receipt):
    assert merge(receipt, receipt) == receipt
    assert merge(None, receipt) == receipt


@given(RECEIPT, RECEIPT, RECEIPT)
def test_receipts_may_be_merged_in_any_grouping(one, other, third):
    assert merge(merge(one, other), third) == merge(one, merge(other, third))


@given(st.lists(RECEIPT, min_size=1, max_size=4))
def test_any_order_and_any_copies_give_the_same(receipts):
    def after(order):
        known = None
        for receipt in order:
            known = merge(known, receipt)
        return known

    expected = after(receipts)
    assert all(after([*order, *receipts]) == expected for order in itertools.permutations(receipts))


def receipt(result: Result = Result.ANSWERED, **values: object) -> Receipt:
    return Receipt(result=result, **({"received_at": NOW} | values))


# The one that counts first.
ORDER = {
    "answered before unanswered": (receipt(), receipt(Result.UNANSWERED, billed=9, code="z")),
    "unanswered before unreported": (receipt(Result.UNANSWERED), receipt(Result.UNREPORTED)),
    "the longer talk": (receipt(talk_seconds=9), receipt(talk_seconds=8, billed=9)),
    "what says more": (receipt(billed=1, code="200"), receipt()),
    "of copies the first": (receipt(), receipt(received_at=NOW + SECOND)),
}


@pytest.mark.parametrize(("first", "second"), ORDER.values(), ids=ORDER)
def test_which_of_two_receipts_counts(first, second):
    assert merge(second, first) == first


# --- what it is worth ---

TALKS = {
    "long enough": (receipt(talk_seconds=5), 5 * SECOND, Result.ANSWERED),
    "too short": (receipt(talk_seconds=4), 5 * SECOND, Result.HUNG_UP),
    "between two seconds": (receipt(talk_seconds=5), 5.5 * SECOND, Result.HUNG_UP),
    "any answer counts": (receipt(), 0 * SECOND, Result.ANSWERED),
    "unanswered": (receipt(Result.UNANSWERED), 5 * SECOND, Result.UNANSWERED),
    "unreported": (receipt(Result.UNREPORTED), 5 * SECOND, Result.UNREPORTED),
}


@pytest.mark.parametrize(("reported", "minimum", "result"), TALKS.values(), ids=TALKS)
def test_what_a_receipt_is_worth(reported, minimum, result):
    assert judge(reported, minimum) is result


@given(RECEIPT, RECEIPT, st.integers(0, 3))
def test_merging_never_makes_a_result_worse(one, other, minimum):
    def worth(receipt):
        return BEST_FIRST.index(judge(receipt, minimum * SECOND))

    assert worth(merge(one, other)) <= min(worth(one), worth(other))


def test_no_number_shows():
    assert "18512349057" not in repr(READ)
