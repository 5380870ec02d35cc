"""Receipts into the store, pushed or asked for. Knows neither HTTP nor how the vendor is asked.

receipt -> whose is it -> merge with what is known -> judge by its receiver -> write, committed
        -> metrics, log -> wake the worker: an escalation may stop, or go on
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.delivery.receipts import Push, Reported, judge, merge, read_push
from adapter.delivery.records import same_number
from adapter.errors import InvalidNotification, NotJson
from adapter.intake import REJECTED_BYTES, REJECTED_KEPT
from adapter.logs import logger
from adapter.metrics import Metrics
from adapter.model import CallState, Receiver, Record, Result
from adapter.store.session import Rejected, Session
from adapter.store.store import Store
from adapter.tracing import NO_TRACES, Tracer

_log = logger(__name__)

SOURCE = "receipts"  # of refused bodies

HeardFrom = Literal["push", "poll"]

_DEFAULT_MINIMUM: timedelta = Receiver(name="").minimum_answer_duration


class Hearing(StrEnum):
    """What became of one receipt."""

    NEWS = "news"  # it is the first that says so
    KNOWN = "known"  # a copy, or no better than what is known
    UNMATCHED = "unmatched"  # of a call that is not ours
    MISTRUSTED = "mistrusted"  # it names our attempt and another phone


class Heard(Record):
    """One receipt, and what became of it."""

    hearing: Hearing
    reported: Reported
    result: Result | None = None  # None: it is not known to be ours
    call: str = ""  # id of the call; "": as above
    attempt: str = ""
    page: str | None = None  # None: as above, or a test call
    person: str = ""
    traceparent: str = ""  # of the call; "": nothing was traced
    settled: int = 0  # calls that might have been dialled again, and will not be
    billed: int = 0  # more than was known


def record_reports(
    session: Session, policy: Policy, reported: Iterable[Reported], now: datetime
) -> list[Heard]:
    """Write down what was reported, all in one transaction; `tell` of it once it is committed."""
    # Always in the same order: two replicas must not wait for each other's rows.
    in_order = sorted(reported, key=lambda one: (one.user_id, one.session_no))
    return [_record(session, policy, one, now) for one in in_order]


def _record(session: Session, policy: Policy, reported: Reported, now: datetime) -> Heard:
    found = session.attempt_of_receipt(reported.user_id, reported.session_no)
    if found is None:
        return Heard(hearing=Hearing.UNMATCHED, reported=reported)
    call, attempt = found
    if reported.phone.e164 and not same_number(reported.phone, call.phone):
        return Heard(
            hearing=Hearing.MISTRUSTED, reported=reported, call=call.id, attempt=attempt.id
        )
    receipt = merge(attempt.receipt, reported.receipt)
    receiver = policy.receivers.get(call.receiver)
    minimum = receiver.minimum_answer_duration if receiver else _DEFAULT_MINIMUM
    result = judge(receipt, minimum)
    noted = session.report(attempt, receipt, result, now)
    return Heard(
        hearing=Hearing.NEWS if noted.news else Hearing.KNOWN,
        reported=reported,
        result=result,
        call=call.id,
        attempt=attempt.id,
        page=call.page_id,
        person=call.person,
        traceparent=call.traceparent,
        settled=noted.settled,
        billed=max(0, receipt.billed - (attempt.receipt.billed if attempt.receipt else 0)),
    )


def tell(
    heard: Iterable[Heard], source: HeardFrom, metrics: Metrics, tracer: Tracer = NO_TRACES
) -> bool:
    """Count, log and trace what was heard; return whether any of it is news."""
    any_news = False
    for one in heard:
        metrics.billed.inc(one.billed)
        metrics.calls.labels(CallState.ACCEPTED).inc(one.settled)
        match one.hearing:
            case Hearing.NEWS:
                any_news = True
                metrics.receipts.labels(source, one.result).inc()
                _tell_news(one, source)
                _trace(one, source, tracer)
            case Hearing.UNMATCHED:
                metrics.receipts_unmatched.inc()
                _log.debug("receipt of a call that is not ours", **_shown(one))
            case Hearing.MISTRUSTED:
                metrics.receipts_unmatched.inc()
                _log.warning("receipt names our call and another phone: ignored", **_shown(one))
            case Hearing.KNOWN:
                _log.debug("receipt says nothing new", **_shown(one))
    return any_news


def _tell_news(heard: Heard, source: HeardFrom) -> None:
    receipt = heard.reported.receipt
    _log.info(
        "call reported",
        status=heard.result,
        heard_by=source,
        page=heard.page,
        person=heard.person,
        talk_seconds=receipt.talk_seconds,
        code=receipt.code,
        description=receipt.description,
        **_shown(heard),
    )


def _trace(heard: Heard, source: HeardFrom, tracer: Tracer) -> None:
    with tracer.span("receipt", heard.traceparent) as span:
        span.set(
            heard_by=source,
            result=heard.result,
            talk_seconds=heard.reported.receipt.talk_seconds,
            page=heard.page,
            call=heard.call,
            attempt=heard.attempt,
        )


def _shown(heard: Heard) -> dict[str, str]:
    return {
        "call": heard.call,
        "attempt": heard.attempt,
        "session_no": heard.reported.session_no,
        "phone": str(heard.reported.phone),
    }


class Taken(Record):
    """What became of one pushed body."""

    heard: tuple[Heard, ...]
    invalid: int  # items of it that are no receipts


class Receipts:
    """Takes in pushed receipts. `wake` tells the worker that an escalation may move."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        metrics: Metrics,
        clock: Clock,
        wake: Callable[[], None],
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._store, self._policy, self._metrics = store, policy, metrics
        self._clock, self._wake, self._tracer = clock, wake, tracer

    async def take(self, body: bytes) -> Taken:
        """Take in one pushed body; when this returns, it is on the disk.

        Raises NotJson or InvalidNotification where it holds no receipt, the body being kept for
        inspection; raises StoreUnavailable, nothing being kept: the vendor pushes it again.
        """
        now = self._clock()
        try:
            push = read_push(body, now)
        except (NotJson, InvalidNotification) as error:
            refused = _refused(body, [error], now)
            await self._store.write(lambda session: session.reject(refused, REJECTED_KEPT))
            self._tell_invalid([error])
            raise
        policy = self._policy()
        heard = await self._store.write(lambda session: _take(session, policy, push, body, now))
        self._tell_invalid(push.invalid)
        if tell(heard, "push", self._metrics, self._tracer):
            self._wake()
        return Taken(heard=tuple(heard), invalid=len(push.invalid))

    def _tell_invalid(self, errors: Iterable[NotJson | InvalidNotification]) -> None:
        for error in errors:
            self._metrics.receipts_invalid.inc()
            _log.warning("no receipt", error=str(error))


def _take(session: Session, policy: Policy, push: Push, body: bytes, now: datetime) -> list[Heard]:
    if push.invalid:
        session.reject(_refused(body, push.invalid, now), REJECTED_KEPT)
    return record_reports(session, policy, push.reported, now)


def _refused(
    body: bytes, errors: Iterable[NotJson | InvalidNotification], now: datetime
) -> Rejected:
    return Rejected(
        id=0,
        received_at=now,
        source=SOURCE,
        error="; ".join(map(str, errors)),
        size=len(body),
        body=body[:REJECTED_BYTES],
    )
