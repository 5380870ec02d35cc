"""What becomes of a call after an attempt or a look-up.

Knows nothing of who asks, who stores the result, or what else is waiting.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from adapter.delivery.account import Account, Trouble
from adapter.delivery.outcomes import Answer, Outcome, explain
from adapter.delivery.policy import DeliveryPolicy, backoff
from adapter.delivery.records import LookUp
from adapter.model import Attempt, Call, CallState, Record

_LEAST_PAUSE = timedelta(seconds=1)  # between two look-ups, whatever the policy says


class Redial(StrEnum):
    """Why a call whose outcome was unknown is dialled again."""

    NONE = "none"  # it is not
    ABSENT = "absent"  # the vendor's records say that it was not placed
    CANNOT_TELL = "cannot_tell"  # it may ring twice: a missed page is worse than a double one


class Settlement(Record):
    """A call's next state."""

    state: CallState
    due_at: datetime | None = None  # None: the call is settled
    redial: Redial = Redial.NONE
    note: str = ""


def settle(
    call: Call,
    outcome: Outcome,
    answer: Answer,
    account: Account,
    policy: DeliveryPolicy,
    now: datetime,
    jitter: float,
) -> Settlement:
    """Return what becomes of the call after an attempt that gave `outcome`.

    `call.attempts` counts this attempt too; `account` is as it stands after this answer. Trouble of
    the account never uses up a call's patience: the call waits as long as that lasts.
    """
    why = explain(answer)
    match outcome:
        case Outcome.ACCEPTED:
            return Settlement(state=CallState.ACCEPTED, note=why)
        case Outcome.REFUSED:
            return Settlement(state=CallState.REFUSED, note=why)
        case Outcome.UNKNOWN:
            due_at = now + policy.reconcile_first
            return Settlement(state=CallState.UNKNOWN, due_at=due_at, note=why)
        case Outcome.RETRY:
            pause = backoff(policy.retry_initial, policy.retry_cap, call.attempts, jitter)
            again = Settlement(state=CallState.WAITING, due_at=now + pause, note=why)
            return _unless_given_up(again, call, account, policy, now)
        case Outcome.THROTTLED:
            pause = backoff(policy.throttle_initial, policy.throttle_cap, call.attempts, jitter)
            return Settlement(state=CallState.WAITING, due_at=now + pause, note=why)
        case Outcome.ACCOUNT_REFUSED:
            # Later than the others that wait: the next probe is another call, should it be this one
            # alone that some firewall dislikes.
            due_at = now + policy.account_probe_interval
            return Settlement(state=CallState.WAITING, due_at=due_at, note=why)
        case never:
            assert_never(never)


def reconcile(
    call: Call,
    attempt: Attempt,
    found: LookUp,
    account: Account,
    policy: DeliveryPolicy,
    now: datetime,
) -> Settlement:
    """Return what becomes of a call that may have rung, after looking it up.

    Found: accepted. Absent, and old enough to be seen: dialled again. Else looked up again in
    growing steps, until `reconcile_for` has passed: then dialled again without knowing.
    """
    if found is LookUp.FOUND:
        return Settlement(state=CallState.ACCEPTED, note="found in the vendor's records")
    age = max(now - attempt.started_at, timedelta(0))
    if found is LookUp.ABSENT and age >= policy.record_visible_after:
        redial, why = Redial.ABSENT, "not in the vendor's records: to be dialled again"
    elif age >= policy.reconcile_for:
        redial, why = Redial.CANNOT_TELL, "may have rung, cannot be told: to be dialled again"
    else:
        due_at = now + _until_next_look(age, policy)
        note = f"may have rung; last look-up: {found}"
        return Settlement(state=CallState.UNKNOWN, due_at=due_at, note=note)
    again = Settlement(state=CallState.WAITING, due_at=now, redial=redial, note=why)
    return _unless_given_up(again, call, account, policy, now)


def _until_next_look(age: timedelta, policy: DeliveryPolicy) -> timedelta:
    """Double the age each time, but be there when a look-up begins to decide something."""
    target = max(2 * age, policy.reconcile_first)
    for edge in (policy.record_visible_after, policy.reconcile_for):
        if age < edge:
            target = min(target, edge)
    return max(target - age, _LEAST_PAUSE)


def _unless_given_up(
    again: Settlement, call: Call, account: Account, policy: DeliveryPolicy, now: datetime
) -> Settlement:
    """Return the settlement, or the end of the call's patience.

    Patience is used up only while calls can be made: not in trouble of the account, and not before
    that ended or the process began.
    """
    if account.trouble is not Trouble.NONE:
        return again
    tried_since = max(call.due_since, account.able_since or call.due_since)
    if now - tried_since < policy.give_up_after:
        return again
    minutes = policy.give_up_after / timedelta(minutes=1)
    note = f"given up after {minutes:g} min; last: {again.note}"
    return Settlement(state=CallState.GAVE_UP, note=note)
