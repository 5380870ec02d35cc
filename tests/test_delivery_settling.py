"""What becomes of a call after an attempt or a look-up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.delivery.account import Account, Trouble
from adapter.delivery.outcomes import Answer, Failure, Outcome
from adapter.delivery.policy import DeliveryPolicy
from adapter.delivery.records import LookUp
from adapter.delivery.settling import Redial, Settlement, reconcile, settle
from adapter.model import OPEN_STATES, Attempt, Call, CallState, PhoneNumber, Reason

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
POLICY = DeliveryPolicy()
WELL = Account()
REFUSED_ACCOUNT = Account(
    trouble=Trouble.REFUSED, since=NOW, blocked_from=NOW, blocked_until=NOW + MINUTE, strikes=1
)
CALL = Call(
    id="c",
    page_id="p",
    receiver="sre-phone",
    person="alice",
    phone=PhoneNumber("+8613512345678"),
    reason=Reason.FIRST,
    state=CallState.SENDING,
    created_at=NOW - 10 * SECOND,
    due_at=NOW - 2 * SECOND,
    due_since=NOW - 2 * SECOND,
    attempts=1,
)
UNREACHABLE = Answer(failure=Failure.CONNECT)
UNREACHABLE_NOTE = "no connection to uvms.endpoint: check network, DNS, proxy and TLS"


def call(**changes):
    return msgspec.structs.replace(CALL, **changes)


def settled(outcome, answer=UNREACHABLE, *, of=CALL, account=WELL, policy=POLICY, jitter=0.5):
    return settle(of, outcome, answer, account, policy, NOW, jitter)


SETTLED = {
    "accepted": (
        Outcome.ACCEPTED,
        Answer(http_status=200, ret_code=0),
        Settlement(state=CallState.ACCEPTED, note="RetCode 0: accepted"),
    ),
    "refused": (
        Outcome.REFUSED,
        Answer(http_status=200, ret_code=230),
        Settlement(
            state=CallState.REFUSED,
            note="RetCode 230: a parameter is not acceptable: check number and template",
        ),
    ),
    "unknown": (
        Outcome.UNKNOWN,
        Answer(failure=Failure.TIMEOUT),
        Settlement(
            state=CallState.UNKNOWN, due_at=NOW + 5 * SECOND, note="no complete answer in time"
        ),
    ),
    "retry": (
        Outcome.RETRY,
        UNREACHABLE,
        Settlement(state=CallState.WAITING, due_at=NOW + SECOND, note=UNREACHABLE_NOTE),
    ),
    "throttled": (
        Outcome.THROTTLED,
        Answer(http_status=200, ret_code=153),
        Settlement(
            state=CallState.WAITING,
            due_at=NOW + 0.5 * SECOND,
            note="RetCode 153: too many requests: lower limits.requests_per_second",
        ),
    ),
    "account refused": (
        Outcome.ACCOUNT_REFUSED,
        Answer(http_status=200, ret_code=172),
        Settlement(
            state=CallState.WAITING,
            due_at=NOW + MINUTE,
            note="RetCode 172: unknown user: check UVMS_PUBLIC_KEY",
        ),
    ),
}


@pytest.mark.parametrize(("outcome", "answer", "expected"), SETTLED.values(), ids=SETTLED)
def test_settle(outcome, answer, expected):
    assert settled(outcome, answer) == expected


@pytest.mark.parametrize(
    ("outcome", "attempts", "seconds"),
    [
        (Outcome.RETRY, 2, 2),
        (Outcome.RETRY, 5, 16),
        (Outcome.RETRY, 100, 60),
        (Outcome.THROTTLED, 4, 4),
        (Outcome.THROTTLED, 100, 30),
    ],
)
def test_pauses_grow_with_the_attempts_up_to_the_cap(outcome, attempts, seconds):
    waiting = settled(outcome, of=call(attempts=attempts))
    assert waiting.due_at == NOW + seconds * SECOND  # jitter is one half


# --- giving up ---

OLD = call(due_since=NOW - 30 * MINUTE)
GIVING_UP = {
    "its time is over": (OLD, WELL, True),
    "a moment before": (call(due_since=NOW - 30 * MINUTE + SECOND), WELL, False),
    "only waited for group_wait or a limit": (call(created_at=NOW - 60 * MINUTE), WELL, False),
    "the account is in trouble": (OLD, REFUSED_ACCOUNT, False),
    "the account was in trouble till lately": (OLD, Account(able_since=NOW - 29 * MINUTE), False),
    "the account is well for long": (OLD, Account(able_since=NOW - 30 * MINUTE), True),
    "was not due yet when the process began": (CALL, Account(able_since=NOW - 90 * MINUTE), False),
}


@pytest.mark.parametrize(("of", "account", "gives_up"), GIVING_UP.values(), ids=GIVING_UP)
def test_giving_up(of, account, gives_up):
    after = settled(Outcome.RETRY, of=of, account=account)
    if gives_up:
        note = f"given up after 30 min; last: {UNREACHABLE_NOTE}"
        assert after == Settlement(state=CallState.GAVE_UP, note=note)
    else:
        assert after == SETTLED["retry"][2]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.ACCEPTED, CallState.ACCEPTED),
        (Outcome.REFUSED, CallState.REFUSED),
        (Outcome.UNKNOWN, CallState.UNKNOWN),  # first whether it rang, then whether to give up
        (Outcome.THROTTLED, CallState.WAITING),
        (Outcome.ACCOUNT_REFUSED, CallState.WAITING),
    ],
)
def test_only_failing_uses_up_the_patience(outcome, state):
    assert settled(outcome, of=OLD).state is state


def test_the_note_says_how_long_was_tried():
    policy = DeliveryPolicy(give_up_after=90 * SECOND)
    assert settled(Outcome.RETRY, of=OLD, policy=policy).note.startswith("given up after 1.5 min;")


# --- looking up ---


def reconciled(found, age, *, of=CALL, account=WELL, policy=POLICY):
    attempt = Attempt(id="a" * 32, call_id="c", started_at=NOW - age)
    return reconcile(of, attempt, found, account, policy, NOW)


def again(redial):
    why = {
        Redial.ABSENT: "not in the vendor's records: to be dialled again",
        Redial.CANNOT_TELL: "may have rung, cannot be told: to be dialled again",
    }
    return Settlement(state=CallState.WAITING, due_at=NOW, redial=redial, note=why[redial])


def look_again(found, seconds):
    return Settlement(
        state=CallState.UNKNOWN,
        due_at=NOW + seconds * SECOND,
        note=f"may have rung; last look-up: {found}",
    )


FOUND = Settlement(state=CallState.ACCEPTED, note="found in the vendor's records")
RECONCILED = {
    "found at once": (LookUp.FOUND, 1, FOUND),
    "found late": (LookUp.FOUND, 3600, FOUND),
    "absence is too young to prove anything": (LookUp.ABSENT, 29, look_again("absent", 1)),
    "absence proves it": (LookUp.ABSENT, 30, again(Redial.ABSENT)),
    "absent long after": (LookUp.ABSENT, 3600, again(Redial.ABSENT)),
    "could not be asked": (LookUp.FAILED, 5, look_again("failed", 5)),
    "not asked yet for long enough": (LookUp.FAILED, 89, look_again("failed", 1)),
    "asked for long enough": (LookUp.FAILED, 90, again(Redial.CANNOT_TELL)),
    "after a long stop": (LookUp.FAILED, 7200, again(Redial.CANNOT_TELL)),
}


@pytest.mark.parametrize(("found", "age", "expected"), RECONCILED.values(), ids=RECONCILED)
def test_reconcile(found, age, expected):
    assert reconciled(found, age * SECOND) == expected


def test_look_ups_come_in_growing_steps():
    ages, age = [], timedelta(0)
    while (after := reconciled(LookUp.FAILED, age)).state is CallState.UNKNOWN:
        age += after.due_at - NOW
        ages.append(age.total_seconds())
    assert ages == [5, 10, 20, 30, 60, 90]


def test_records_that_show_later_than_we_wait_prove_nothing():
    policy = DeliveryPolicy(record_visible_after=10 * MINUTE)
    assert reconciled(LookUp.ABSENT, 90 * SECOND, policy=policy) == again(Redial.CANNOT_TELL)


def test_a_clock_set_back_looks_again_soon():
    assert reconciled(LookUp.FAILED, -60 * MINUTE) == look_again("failed", 5)


def test_look_ups_never_spin():
    policy = DeliveryPolicy(reconcile_first=timedelta(0))
    assert reconciled(LookUp.FAILED, timedelta(0), policy=policy) == look_again("failed", 1)


@pytest.mark.parametrize("found", [LookUp.ABSENT, LookUp.FAILED])
def test_an_old_call_that_may_have_rung_is_not_dialled_again(found):
    after = reconciled(found, 90 * SECOND, of=OLD)
    assert after.state is CallState.GAVE_UP
    assert after.redial is Redial.NONE
    assert after.note.startswith("given up after 30 min; last: ")
    assert reconciled(found, 90 * SECOND, of=OLD, account=REFUSED_ACCOUNT).redial is not Redial.NONE


# --- whatever comes ---

spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
calls = st.builds(
    lambda attempts, age: call(attempts=attempts, due_since=NOW - age),
    st.integers(0, 10**6),
    st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=400)),
)
accounts = st.sampled_from([WELL, REFUSED_ACCOUNT, Account(able_since=NOW)])
policies = st.builds(
    DeliveryPolicy,
    **{
        name: spans
        for name in DeliveryPolicy.__struct_fields__
        if name not in ("overrides", "record_before", "record_after")
    },
)


def check(after):
    assert (after.state in OPEN_STATES) == (after.due_at is not None)
    assert after.due_at is None or after.due_at >= NOW
    assert after.state is not CallState.SENDING
    assert after.note


@given(calls, st.sampled_from(Outcome), accounts, policies, st.floats(0, 1, exclude_max=True))
def test_settle_always_leads_somewhere(of, outcome, account, policy, jitter):
    after = settle(of, outcome, UNREACHABLE, account, policy, NOW, jitter)
    check(after)
    assert (after.state is CallState.ACCEPTED) == (outcome is Outcome.ACCEPTED)
    assert (after.state is CallState.UNKNOWN) == (outcome is Outcome.UNKNOWN)
    assert after.redial is Redial.NONE


@given(
    calls,
    st.sampled_from(LookUp),
    st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=400)),
    accounts,
    policies,
)
def test_reconcile_always_leads_somewhere(of, found, age, account, policy):
    after = reconciled(found, age, of=of, account=account, policy=policy)
    check(after)
    assert (after.state is CallState.ACCEPTED) == (found is LookUp.FOUND)
    assert (after.state is CallState.WAITING) == (after.redial is not Redial.NONE)
    assert after.state is not CallState.UNKNOWN or after.due_at >= NOW + SECOND
