"""Finding a call that may have rung in the vendor's records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.delivery.outcomes import Answer, Failure
from adapter.delivery.policy import DeliveryPolicy
from adapter.delivery.records import (
    CallRecord,
    LookUp,
    Records,
    find_record,
    look_up,
    match_records,
    record_window,
    same_number,
)
from adapter.model import Attempt, PhoneNumber

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = DeliveryPolicy()  # 30 s before the attempt to 2 min after it
ALICE = PhoneNumber("+8613512345678")
ATTEMPT = Attempt(id="a" * 32, call_id="c", started_at=NOW, template_id="UVVT1")
OURS = CallRecord(
    task_no="t-1", phone=PhoneNumber("13512345678"), template_id="UVVT1", placed_at=NOW + SECOND
)
FINE = Answer(http_status=200, ret_code=0)


def at(*instants):
    """Requests that lasted no time."""
    return [(instant, instant) for instant in instants]


def like_ours(**changes):
    return msgspec.structs.replace(OURS, **changes)


SAME = {
    "the very same": ("+8613512345678", "+8613512345678"),
    "without the plus": ("+8613512345678", "8613512345678"),
    "national": ("+8613512345678", "13512345678"),
    "national first": ("13512345678", "+8613512345678"),
    "international prefix": ("+8613512345678", "008613512345678"),
    "with blanks and dashes": ("+8613512345678", "+86 135-1234-5678"),
    "masked": ("+8613512345678", "135****5678"),
    "both masked": ("+86135****5678", "135123**678"),
    "landline with trunk zero": ("+862188889057", "02188889057"),
    "three digits of country code": ("+85291234567", "91234567"),
    "seven digits": ("+3541234567", "1234567"),
}
DIFFERENT = {
    "another last digit": ("+8613512345678", "13512345679"),
    "another first digit": ("+8613512345678", "23512345678"),
    "masked, another end": ("+8613512345678", "135****5679"),
    "another country": ("+8613512345678", "+8513512345678"),
    "too short to mean anything": ("+8613512345678", "345678"),
    "four digits longer": ("+123491234567", "91234567"),
    "empty": ("+8613512345678", ""),
    "both empty": ("", ""),
    "no number at all": ("+8613512345678", "unknown"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_ways_of_writing_one_number(one, other):
    assert same_number(PhoneNumber(one), PhoneNumber(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_different_numbers(one, other):
    assert not same_number(PhoneNumber(one), PhoneNumber(other))


@given(st.text("+0123456789* -", max_size=20), st.text("+0123456789* -", max_size=20))
def test_same_number_is_symmetric(one, other):
    left, right = PhoneNumber(one), PhoneNumber(other)
    assert same_number(left, right) == same_number(right, left)


MATCHES = {
    "ours": ({}, True),
    "at the early edge": ({"placed_at": NOW - 30 * SECOND}, True),
    "before it": ({"placed_at": NOW - 31 * SECOND}, False),
    "at the late edge": ({"placed_at": NOW + 120 * SECOND}, True),
    "after it": ({"placed_at": NOW + 121 * SECOND}, False),
    "no time": ({"placed_at": None}, False),
    "no template": ({"template_id": ""}, True),
    "another template": ({"template_id": "UVVT2"}, False),
    "another person": ({"phone": PhoneNumber("13512345679")}, False),
    "no phone": ({"phone": PhoneNumber("")}, False),
    "another attempt's": ({"task_no": "used"}, False),
    "no task number": ({"task_no": ""}, True),
}


@pytest.mark.parametrize(("changes", "matches"), MATCHES.values(), ids=MATCHES)
def test_which_record_can_be_the_attempts(changes, matches):
    record = like_ours(**changes)
    found = find_record([record], ATTEMPT, ALICE, {"used", ""}, POLICY)
    assert found == (record if matches else None)


MISFITS = {name: changes for name, (changes, matches) in MATCHES.items() if not matches}


@pytest.mark.parametrize("changes", MISFITS.values(), ids=MISFITS)
def test_a_record_that_cannot_be_ours_hides_no_other(changes):
    records = [like_ours(**changes), OURS]
    assert find_record(records, ATTEMPT, ALICE, {"used"}, POLICY) == OURS


@pytest.mark.parametrize("reverse", [False, True])
def test_the_nearest_in_time_is_taken(reverse):
    records = [
        like_ours(task_no="early", placed_at=NOW - 5 * SECOND),
        like_ours(task_no="near", placed_at=NOW + 4 * SECOND),
        like_ours(task_no="late", placed_at=NOW + 60 * SECOND),
    ]
    records.sort(key=lambda record: record.task_no, reverse=reverse)
    assert find_record(records, ATTEMPT, ALICE, (), POLICY).task_no == "near"
    assert find_record(records, ATTEMPT, ALICE, {"near"}, POLICY).task_no == "early"


def test_of_two_as_near_the_first_is_taken():
    before = like_ours(task_no="before", placed_at=NOW - 4 * SECOND)
    behind = like_ours(task_no="behind", placed_at=NOW + 4 * SECOND)
    assert find_record([before, behind], ATTEMPT, ALICE, (), POLICY) == before
    assert find_record([behind, before], ATTEMPT, ALICE, (), POLICY) == behind


OTHERS = {
    "no other call": (at(NOW), True),
    "the call before it is farther away": (at(NOW - 25 * SECOND, NOW), True),
    "the call before it is nearer": (at(NOW - 15 * SECOND, NOW), False),
    "the call before it is as near": (at(NOW - 20 * SECOND, NOW), True),
    "a call after it is no matter": (at(NOW, NOW + 60 * SECOND), True),
    "while the request before it lasted": ([(NOW - 25 * SECOND, NOW - 9 * SECOND)], False),
    "as long after that as before ours": ([(NOW - 25 * SECOND, NOW - 20 * SECOND)], True),
}


@pytest.mark.parametrize(("dialled", "ours"), OTHERS.values(), ids=OTHERS)
def test_a_record_is_that_of_the_attempt_it_is_nearest_to(dialled, ours):
    record = like_ours(placed_at=NOW - 10 * SECOND)
    seen = Records(answer=FINE, records=(record,), complete=True)
    verdict, found = look_up(seen, ATTEMPT, ALICE, (), POLICY, dialled)
    assert (verdict, found) == ((LookUp.FOUND, record) if ours else (LookUp.ABSENT, None))


def test_a_record_of_a_later_call_is_not_ours():
    record = like_ours(placed_at=NOW + 61 * SECOND)
    dialled = at(NOW, NOW + 60 * SECOND)
    assert find_record([record], ATTEMPT, ALICE, (), POLICY, dialled) is None
    assert find_record([record, OURS], ATTEMPT, ALICE, (), POLICY, dialled) == OURS


def test_a_record_from_while_our_request_lasted_is_ours():
    """Though the next one began sooner after it than ours did before."""
    ours = msgspec.structs.replace(ATTEMPT, finished_at=NOW + 20 * SECOND)
    record = like_ours(placed_at=NOW + 19 * SECOND)
    dialled = [(NOW, NOW + 20 * SECOND), (NOW + 21 * SECOND, NOW + 22 * SECOND)]
    early = like_ours(task_no="early", placed_at=NOW - SECOND)
    assert find_record([early, record], ours, ALICE, (), POLICY, dialled) == record
    assert find_record([record], ATTEMPT, ALICE, (), POLICY, dialled[1:]) is None


def test_no_records():
    assert find_record([], ATTEMPT, ALICE, (), POLICY) is None


OTHER = like_ours(phone=PhoneNumber("13900000000"))
LOOK_UPS = {
    "found": (Records(answer=FINE, records=(OTHER, OURS), complete=True), LookUp.FOUND),
    "found on a page before the failure": (Records(answer=FINE, records=(OURS,)), LookUp.FOUND),
    "nothing there": (Records(answer=FINE, complete=True), LookUp.ABSENT),
    "only others": (Records(answer=FINE, records=(OTHER,), complete=True), LookUp.ABSENT),
    "not read to the end": (Records(answer=FINE, records=(OTHER,)), LookUp.FAILED),
    "not read at all": (Records(answer=Answer(failure=Failure.CONNECT)), LookUp.FAILED),
    "a record without time may be ours": (
        Records(answer=FINE, records=(OTHER, like_ours(placed_at=None)), complete=True),
        LookUp.FAILED,
    ),
    "a record without number may be ours": (
        Records(answer=FINE, records=(OTHER, like_ours(phone=PhoneNumber("n/a"))), complete=True),
        LookUp.FAILED,
    ),
}


@pytest.mark.parametrize(("seen", "verdict"), LOOK_UPS.values(), ids=LOOK_UPS)
def test_look_up(seen, verdict):
    found, record = look_up(seen, ATTEMPT, ALICE, (), POLICY)
    assert found is verdict
    assert record == (OURS if verdict is LookUp.FOUND else None)


# --- the records of many calls ---

BOB = PhoneNumber("+8613512345679")


def attempt_of(name: str, after: int = 0, **values) -> Attempt:
    return msgspec.structs.replace(ATTEMPT, id=name, started_at=NOW + after * SECOND, **values)


def record_of(task_no: str, phone: str = "13512345678", after: int = 1) -> CallRecord:
    return like_ours(task_no=task_no, phone=PhoneNumber(phone), placed_at=NOW + after * SECOND)


# The attempts with their phones, the records, session numbers that are known, when the phones were
# dialled; then each attempt's record.
MANY = {
    "nothing": ([], [], (), {}, {}),
    "each phone its own": (
        [(attempt_of("a"), ALICE), (attempt_of("b"), BOB)],
        [record_of("t-b", "13512345679"), record_of("t-a")],
        (),
        {},
        {"a": "t-a", "b": "t-b"},
    ),
    "two calls to one phone, one record each": (
        [(attempt_of("a"), ALICE), (attempt_of("b", 60), ALICE)],
        [record_of("t-b", after=61), record_of("t-a", after=2)],
        (),
        {ALICE: at(NOW, NOW + 60 * SECOND)},
        {"a": "t-a", "b": "t-b"},
    ),
    "two calls to one phone, one record: its that is nearest": (
        [(attempt_of("a"), ALICE), (attempt_of("b", 60), ALICE)],
        [record_of("t-b", after=61)],
        (),
        {ALICE: at(NOW, NOW + 60 * SECOND)},
        {"b": "t-b"},
    ),
    "a record is used once": (
        [(attempt_of("a"), ALICE), (attempt_of("b"), ALICE)],
        [record_of("t-1")],
        (),
        {},
        {"a": "t-1"},
    ),
    "where the task is the session, that decides": (
        [
            (attempt_of("a", session_no="s-a"), ALICE),
            (attempt_of("b", 20, session_no="s-b"), ALICE),
        ],
        [record_of("s-b", after=1), record_of("s-a", after=21)],
        ("s-a", "s-b"),
        {ALICE: at(NOW, NOW + 20 * SECOND)},
        {"a": "s-a", "b": "s-b"},
    ),
    "a session of another call is not ours": (
        [(attempt_of("a", session_no="s-a"), ALICE)],
        [record_of("s-other")],
        ("s-a", "s-other"),
        {},
        {},
    ),
    "a session that is ours, at another phone": (
        [(attempt_of("a", session_no="s-a"), ALICE)],
        [record_of("s-a", "13512345679")],
        ("s-a",),
        {},
        {},
    ),
    "no task and no session are not the same one": (
        [(attempt_of("a"), ALICE), (attempt_of("b", 30), ALICE)],
        [record_of("", after=31)],
        (),
        {ALICE: at(NOW, NOW + 30 * SECOND)},
        {"b": ""},
    ),
    "masked in the middle": (
        [(attempt_of("a"), ALICE)],
        [record_of("t-a", "135****5678")],
        (),
        {},
        {"a": "t-a"},
    ),
    "masked at its end": (
        [(attempt_of("a"), ALICE)],
        [record_of("t-a", "1351234****")],
        (),
        {},
        {"a": "t-a"},
    ),
}


@pytest.mark.parametrize(("wanted", "records", "used", "dialled", "found"), MANY.values(), ids=MANY)
def test_the_records_of_many_calls(wanted, records, used, dialled, found):
    matched = match_records(records, wanted, used, POLICY, dialled)
    assert {attempt: record.task_no for attempt, record in matched.items()} == found


NUMBERS = ("13512345678", "13512345679", "135****5678", "1351234****")


@given(
    st.lists(st.tuples(st.sampled_from([ALICE, BOB]), st.integers(0, 300)), max_size=8),
    st.lists(st.tuples(st.sampled_from(NUMBERS), st.integers(-60, 400)), max_size=8),
)
def test_no_record_is_two_calls_own(calls, listed):
    wanted = [(attempt_of(f"a{n}", after), phone) for n, (phone, after) in enumerate(calls)]
    records = [record_of(f"t{n}", phone, after) for n, (phone, after) in enumerate(listed)]
    matched = match_records(records, wanted, (), POLICY, {})
    tasks = [record.task_no for record in matched.values()]
    assert len(tasks) == len(set(tasks))
    for attempt, phone in wanted:
        if attempt.id in matched:
            assert find_record([matched[attempt.id]], attempt, phone, (), POLICY)


def test_the_window_to_ask_for():
    since = NOW - 30 * SECOND
    end = NOW + 120 * SECOND
    assert record_window(ATTEMPT, POLICY, NOW + 5 * SECOND) == (since, None)
    assert record_window(ATTEMPT, POLICY, end) == (since, None)
    assert record_window(ATTEMPT, POLICY, end + SECOND) == (since, end)


def test_no_number_shows():
    assert "13512345678" not in repr(Records(answer=FINE, records=(OURS,)))
