"""When the whole account has to wait, and how it finds out that it need not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.delivery.account import Account, Trouble, let_out, may_send, settle_account
from adapter.delivery.outcomes import Answer, Outcome
from adapter.delivery.policy import DeliveryPolicy, backoff

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = DeliveryPolicy()
THROTTLED = Answer(http_status=200, ret_code=153)
DENIED = Answer(http_status=200, ret_code=299)
FINE = Answer(http_status=200, ret_code=0)
WELL = Account()


def after(account, outcome, answer=FINE, *, ticket=None, now=NOW, jitter=0.0):
    ticket = account.news if ticket is None else ticket
    return settle_account(account, outcome, answer, POLICY, ticket, now, jitter)


def throttled(now=NOW, jitter=0.0):
    return after(WELL, Outcome.THROTTLED, THROTTLED, now=now, jitter=jitter)


def refused(now=NOW):
    return after(WELL, Outcome.ACCOUNT_REFUSED, DENIED, now=now)


# --- the pause ---


PAUSES = {
    "first failure": (1, 0.5, 1.0),
    "second": (2, 0.5, 2.0),
    "third": (3, 0.5, 4.0),
    "at the cap": (7, 0.5, 60.0),
    "far beyond the cap": (10**9, 0.5, 60.0),
    "no failure counts as the first": (0, 0.5, 1.0),
    "no jitter, no pause": (5, 0.0, 0.0),
}


@pytest.mark.parametrize(("failures", "jitter", "seconds"), PAUSES.values(), ids=PAUSES)
def test_backoff(failures, jitter, seconds):
    pause = backoff(2 * SECOND, 120 * SECOND, failures, jitter)
    assert pause == timedelta(seconds=seconds)


durations = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000))


@given(
    initial=durations,
    cap=durations,
    failures=st.integers(-5, 10**6),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_backoff_is_bounded_and_never_negative(initial, cap, failures, jitter):
    pause = backoff(initial, cap, failures, jitter)
    assert timedelta(0) <= pause <= cap


# --- who may send ---


def test_a_well_account_may_send_any_number():
    assert may_send(WELL, NOW)
    assert let_out(WELL, POLICY, NOW) is WELL


def test_throttling_blocks_everyone_for_a_moment():
    account = throttled(jitter=0.5)
    assert account.trouble is Trouble.THROTTLED
    assert account.since == NOW
    assert (account.strikes, account.ret_code) == (1, 153)
    assert account.note == "RetCode 153: too many requests: lower limits.requests_per_second"
    assert account.blocked_until == NOW + 0.75 * SECOND
    assert not may_send(account, NOW)
    assert not may_send(account, NOW + 0.74 * SECOND)
    assert may_send(account, NOW + 0.75 * SECOND)


def test_a_refused_account_is_probed_by_one_request_per_interval():
    account = refused()
    assert account.trouble is Trouble.REFUSED
    assert not may_send(account, NOW + 59 * SECOND)
    assert may_send(account, NOW + 60 * SECOND)
    probed = let_out(account, POLICY, NOW + 60 * SECOND)
    assert not may_send(probed, NOW + 60 * SECOND)
    assert not may_send(probed, NOW + 119 * SECOND)
    assert may_send(probed, NOW + 120 * SECOND)
    assert (probed.since, probed.strikes, probed.ret_code) == (NOW, 1, 299)


def test_a_clock_set_back_blocks_nobody():
    assert may_send(refused(), NOW - SECOND)
    probed = let_out(refused(), POLICY, NOW + 60 * SECOND)
    assert may_send(probed, NOW + 59 * SECOND)


# --- what an outcome says about the account ---


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REFUSED])
@pytest.mark.parametrize("start", [throttled, refused])
def test_a_verdict_on_one_call_proves_the_account_well(start, outcome):
    probed = let_out(start(), POLICY, NOW + 60 * SECOND)
    well = after(probed, outcome, now=NOW + 61 * SECOND)
    assert may_send(well, NOW + 61 * SECOND)
    assert well == Account(able_since=NOW + 61 * SECOND, news=probed.news)


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.UNKNOWN])
@pytest.mark.parametrize("start", [throttled, refused])
def test_what_proves_nothing_changes_nothing(start, outcome):
    probed = let_out(start(), POLICY, NOW + 60 * SECOND)
    assert after(probed, outcome, now=NOW + 61 * SECOND) is probed


@pytest.mark.parametrize(
    "outcome", [Outcome.ACCEPTED, Outcome.REFUSED, Outcome.RETRY, Outcome.UNKNOWN]
)
def test_a_well_account_stays_as_it_is(outcome):
    started = Account(able_since=NOW)
    assert after(started, outcome, now=NOW + SECOND) is started


def test_throttling_again_doubles_the_pause_up_to_the_cap():
    account, now, pauses = WELL, NOW, []
    for _ in range(9):
        account = let_out(account, POLICY, now)
        account = after(account, Outcome.THROTTLED, THROTTLED, now=now)
        pauses.append((account.blocked_until - now).total_seconds())
        now = account.blocked_until
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]  # the shorter halves of 1, 2, 4, … 60
    assert account.strikes == 9
    assert account.since == NOW


def test_refused_again_keeps_the_beginning_and_the_pace():
    later = NOW + 60 * SECOND
    account = after(let_out(refused(), POLICY, later), Outcome.ACCOUNT_REFUSED, DENIED, now=later)
    assert (account.strikes, account.since) == (2, NOW)
    assert account.blocked_until == later + 60 * SECOND


def test_other_trouble_begins_anew():
    later = NOW + 60 * SECOND
    account = after(let_out(refused(), POLICY, later), Outcome.THROTTLED, THROTTLED, now=later)
    assert account.trouble is Trouble.THROTTLED
    assert (account.strikes, account.since, account.ret_code) == (1, later, 153)


def test_requests_under_way_together_make_one_strike():
    ticket = WELL.news
    first = throttled()
    for outcome in Outcome:
        assert after(first, outcome, THROTTLED, ticket=ticket, now=NOW + SECOND) is first


def test_an_answer_from_before_the_probe_says_nothing():
    account = refused()
    probed = let_out(account, POLICY, NOW + 60 * SECOND)
    assert after(probed, Outcome.ACCEPTED, ticket=account.news) is probed


def test_a_straggler_does_not_bring_back_trouble_that_is_over():
    ticket = WELL.news
    probed = let_out(throttled(), POLICY, NOW + SECOND)
    well = after(probed, Outcome.ACCEPTED, now=NOW + 2 * SECOND)
    assert after(well, Outcome.THROTTLED, THROTTLED, ticket=ticket) is well


def test_trouble_after_trouble_is_news():
    """After it was well again, a new request can find new trouble, and remembers the old end."""
    well = after(let_out(refused(), POLICY, NOW), Outcome.ACCEPTED, now=NOW)
    again = after(well, Outcome.THROTTLED, THROTTLED, now=NOW + SECOND)
    assert again.trouble is Trouble.THROTTLED
    assert again.able_since == NOW
    assert again.news > well.news


steps = st.lists(
    st.tuples(
        st.sampled_from(Outcome),
        st.integers(0, 90),  # seconds that pass
        st.integers(0, 3),  # how many requests ago the answered one left
        st.floats(0, 1, exclude_max=True),
    ),
    max_size=30,
)


@given(steps)
def test_no_history_blocks_longer_than_the_longest_pause(history):
    account, now, tickets = WELL, NOW, [0]
    for outcome, seconds, ago, jitter in history:
        now += seconds * SECOND
        if may_send(account, now):
            account = let_out(account, POLICY, now)
            tickets.append(account.news)
        ticket = tickets[max(0, len(tickets) - 1 - ago)]
        before = account.news
        account = after(account, outcome, THROTTLED, ticket=ticket, now=now, jitter=jitter)
        assert account.news >= before
        assert may_send(account, now + 60 * SECOND)
        assert (account.trouble is Trouble.NONE) == (account.since is None)
        assert (account.trouble is Trouble.NONE) == (account.blocked_until is None)
        assert (account.trouble is Trouble.NONE) == (account.strikes == 0)
