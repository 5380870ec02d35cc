"""What became of attempts, written down; and taking over those that nobody finishes.

Runs inside one transaction of the store. What an answer or a look-up means is decided in
`delivery`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from itertools import islice

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.delivery.account import Account
from adapter.delivery.outcomes import Answer, Failure, Outcome, classify
from adapter.delivery.records import LookUp
from adapter.delivery.settling import Settlement, settle
from adapter.logs import logger
from adapter.model import Attempt, Call, CallState, Event, EventKind
from adapter.store.session import Session
from adapter.worker.claiming import lease

_log = logger(__name__)


def answered(attempt: Attempt, answer: Answer, outcome: Outcome, now: datetime) -> Attempt:
    """Return the attempt with what the vendor said."""
    return replace(
        attempt,
        finished_at=now,
        outcome=outcome,
        ret_code=answer.ret_code,
        message=answer.message,
        req_uuid=answer.req_uuid,
        session_no=answer.session_no,
    )


def settle_answered(
    session: Session, attempt: Attempt, settlement: Settlement, now: datetime
) -> bool:
    """Write down the vendor's answer; return whether the attempt still held its call."""
    session.finish_attempt(attempt)
    return _settle(session, attempt, settlement, now)


def settle_looked_up(
    session: Session,
    call: Call,
    attempt: Attempt,
    found: LookUp,
    settlement: Settlement,
    now: datetime,
) -> bool:
    """Write down what the vendor's records say; return whether the attempt still held its call."""
    session.tell(
        Event(
            at=now,
            kind=EventKind.LOOKED_UP,
            page_id=call.page_id,
            call_id=call.id,
            detail=f"{found}: {settlement.note}",
        )
    )
    return _conclude(session, attempt, settlement, now)


def adopt(
    session: Session,
    policy: Policy,
    account: Account,
    mine: Collection[str],
    *,
    everything: bool,
    now: datetime,
    chance: Callable[[], float],
) -> None:
    """Take over calls whose process died, or forgot them, while a request may have been out.

    Not `mine`, whatever a clock that jumped says of their leases: their answers are awaited.
    `everything`: this process has just started and owns the store alone.
    """
    interrupted = Answer(failure=Failure.INTERRUPTED)
    outcome = classify(interrupted)
    if everything:  # else what a dead process was looking up had to wait for its lease to end
        for call, attempt in session.due_look_ups(now, all_of_them=True):
            session.settle(attempt.id, CallState.UNKNOWN, now=now, due_at=now, note=call.note)
    for call, attempt in session.orphans(now, all_of_them=everything):
        if attempt.id in mine:
            continue
        settlement = settle(call, outcome, interrupted, account, policy.delivery, now, chance())
        _conclude(session, answered(attempt, interrupted, outcome, now), settlement, now)
        _log.warning("call of unknown outcome, to be looked up", call=call.id)


def lease_look_ups(
    session: Session, policy: Policy, mine: Collection[str], most: int, now: datetime
) -> list[tuple[Call, Attempt]]:
    """Take look-ups that are due, so that nobody else makes them meanwhile."""
    until = now + lease(policy.uvms)
    due = (
        (call, attempt)
        for call, attempt in session.due_look_ups(now)
        if attempt.id not in mine and session.lease(attempt.id, until)
    )
    return list(islice(due, most))


def _conclude(session: Session, attempt: Attempt, settlement: Settlement, now: datetime) -> bool:
    """Settle without the vendor's answer: whoever was faster knows better what became of it."""
    if not _settle(session, attempt, settlement, now):
        return False
    session.finish_attempt(attempt)
    return True


def _settle(session: Session, attempt: Attempt, settlement: Settlement, now: datetime) -> bool:
    return session.settle(
        attempt.id,
        settlement.state,
        now=now,
        due_at=settlement.due_at,
        note=settlement.note,
    )
