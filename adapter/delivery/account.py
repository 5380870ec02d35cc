"""Whether the whole account may call now: well, throttled or refused.

Knows nothing of single calls, nor of how many may be under way at once. Before a request leaves:
`may_send`, then `let_out`; the `news` of what that returns is the request's ticket. When its
outcome is known: `settle_account` with that ticket.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import msgspec

from adapter.delivery.outcomes import Answer, Outcome, explain
from adapter.delivery.policy import DeliveryPolicy, backoff
from adapter.model import Record


class Trouble(StrEnum):
    """What keeps the whole account from calling."""

    NONE = "none"  # nothing
    THROTTLED = "throttled"  # too many requests; waiting helps
    REFUSED = "refused"  # credentials, permissions or endpoint are wrong; a human has to act


class Account(Record):
    """Whether the account may call now. In trouble, one request at a time goes out as a probe."""

    trouble: Trouble = Trouble.NONE
    since: datetime | None = None  # when the trouble began; None: there is none
    blocked_from: datetime | None = None  # None: there is no trouble
    blocked_until: datetime | None = None  # when the next probe may go; None: there is no trouble
    strikes: int = 0  # how often in a row the trouble was met
    ret_code: int | None = None  # of the last bad answer; None: there is none, or it had none
    note: str = ""  # what a human should know of the trouble
    # When the last trouble ended, or the process began: waiting before does not count as trying.
    able_since: datetime | None = None  # None: nothing was in the way
    news: int = 0  # grows with each trouble met and each probe; tells late answers from new ones


_TROUBLES: Mapping[Outcome, Trouble] = MappingProxyType(
    {Outcome.THROTTLED: Trouble.THROTTLED, Outcome.ACCOUNT_REFUSED: Trouble.REFUSED}
)


def may_send(account: Account, now: datetime) -> bool:
    """Tell whether a request may go out now."""
    if account.blocked_from is None or account.blocked_until is None:
        return True
    # A clock that was set back must not block for as long as it was set back.
    return not account.blocked_from <= now < account.blocked_until


def let_out(account: Account, policy: DeliveryPolicy, now: datetime) -> Account:
    """Return the account as a request goes out: in trouble, the others wait for its outcome."""
    if account.trouble is Trouble.NONE:
        return account
    return msgspec.structs.replace(
        account,
        blocked_from=now,
        blocked_until=now + policy.account_probe_interval,
        news=account.news + 1,
    )


def settle_account(
    account: Account,
    outcome: Outcome,
    answer: Answer,
    policy: DeliveryPolicy,
    ticket: int,
    now: datetime,
    jitter: float,
) -> Account:
    """Return the account after the outcome of the request that went out with `ticket`.

    Requests that were under way together make one strike, and none of them can undo it: what left
    before the last news says nothing about it. A retry and an unknown outcome prove nothing.
    """
    if ticket < account.news:
        return account
    trouble = _TROUBLES.get(outcome)
    if trouble is not None:
        return _in_trouble(account, trouble, answer, policy, now, jitter)
    well = outcome in (Outcome.ACCEPTED, Outcome.REFUSED)
    if well and account.trouble is not Trouble.NONE:
        return Account(able_since=now, news=account.news)
    return account


def _in_trouble(
    account: Account,
    trouble: Trouble,
    answer: Answer,
    policy: DeliveryPolicy,
    now: datetime,
    jitter: float,
) -> Account:
    again = account.trouble is trouble
    strikes = account.strikes + 1 if again else 1
    return msgspec.structs.replace(
        account,
        trouble=trouble,
        since=account.since if again else now,
        blocked_from=now,
        blocked_until=now + _pause(trouble, policy, strikes, jitter),
        strikes=strikes,
        ret_code=answer.ret_code,
        note=explain(answer),
        news=account.news + 1,
    )


def _pause(trouble: Trouble, policy: DeliveryPolicy, strikes: int, jitter: float) -> timedelta:
    if trouble is Trouble.REFUSED:
        return policy.account_probe_interval
    # At least half the pause: a jitter near zero would be no pause for anyone.
    return backoff(policy.throttle_initial, policy.throttle_cap, strikes, (1 + jitter) / 2)
