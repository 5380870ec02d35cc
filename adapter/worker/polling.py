"""Asks the vendor how the calls went that it took, where it does not push receipts.

submitted calls -> one look at the vendor's records since the oldest -> whose is which -> results

Costs one indexed query an interval while nothing is waited for, and seldom more than one request
else. Whether an answer may stop an escalation is not decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec.structs import replace

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.delivery.outcomes import Answer, Outcome, classify, explain
from adapter.delivery.policy import DeliveryPolicy
from adapter.delivery.receipts import Reported
from adapter.delivery.records import CallRecord, Records, Span, match_records
from adapter.errors import StoreUnavailable
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.model import Attempt, Call, PhoneNumber, Record
from adapter.receipts import record_reports, tell
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.tracing import NO_TRACES, Tracer
from adapter.uvms.wire import RecordQuery

_log = logger(__name__)

_IDLE_SECONDS = 5.0  # until the next look whether polling has been turned on
_MOST_CALLS = 1_000  # asked about in one round
_MOST_WINDOWS = 5  # read in one round, each as long as the client reads


class Vendor(Protocol):
    """What the poller needs of the signed client."""

    async def records(self, query: RecordQuery) -> Records:
        """Return the records of a window."""


class _Awaited(Record):
    """Calls whose result is not known, and what tells their records from others'."""

    submitted: Sequence[tuple[Call, Attempt]] = ()  # oldest first
    used: frozenset[str] = frozenset()  # session numbers of all attempts at their phones
    dialled: Mapping[PhoneNumber, Sequence[Span]] = {}


class Poller:
    """Asks until cancelled. `able`: whether the vendor takes requests of our account at all."""

    def __init__(
        self,
        store: Store,
        vendor: Vendor,
        policy: Callable[[], Policy],
        metrics: Metrics,
        clock: Clock,
        able: Callable[[], bool],
        wake: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._store, self._vendor, self._policy, self._metrics = store, vendor, policy, metrics
        self._clock, self._able, self._wake, self._sleep = clock, able, wake, sleep
        self._tracer = tracer
        self._news = Changes()
        self._news.is_news("poll", "")

    async def run(self) -> None:
        """Poll every interval, whatever goes wrong; an interval of None is asked for again."""
        while True:
            interval = self._policy().receipts.poll_interval
            await self._sleep(_IDLE_SECONDS if interval is None else interval.total_seconds())
            if self._policy().receipts.poll_interval is None or not self._able():
                continue
            try:
                await self.poll()
            except StoreUnavailable:
                pass  # whoever observes the store says so
            except Exception as error:  # what the vendor sends is not ours to foresee
                self._metrics.receipt_polls.labels("failed").inc()
                if self._news.is_news("poll", repr(error)):
                    _log.exception("asking for receipts failed in an unforeseen way")

    async def poll(self) -> None:
        """Ask once about the calls whose result is not known, if there are any."""
        policy, now = self._policy(), self._clock()
        since = now - policy.receipts.poll_for
        awaited = await self._store.read(lambda session: _awaited(session, policy, since, now))
        if not awaited.submitted:
            return
        _, oldest = awaited.submitted[0]
        seen = await self._ask(oldest.started_at - policy.delivery.record_before)
        self._tell(seen.answer)
        reported = _reported(awaited, seen, policy.delivery, self._clock())
        if not reported:
            return
        now = self._clock()
        heard = await self._store.write(
            lambda session: record_reports(session, policy, reported, now)
        )
        if tell(heard, "poll", self._metrics, self._tracer):
            self._wake()

    async def _ask(self, since: datetime) -> Records:
        """Read all records since then; what one window cannot hold, from its last record on."""
        seen: dict[CallRecord, None] = {}
        for _ in range(_MOST_WINDOWS):
            found = await self._vendor.records(RecordQuery(since=since))
            seen |= dict.fromkeys(found.records)
            last = max((one.placed_at for one in found.records if one.placed_at), default=since)
            if found.complete or classify(found.answer) is not Outcome.ACCEPTED or last <= since:
                break
            since = last
        return replace(found, records=tuple(seen))

    def _tell(self, answer: Answer) -> None:
        """Count an answer, and log what is new about it."""
        fine = classify(answer) is Outcome.ACCEPTED
        self._metrics.receipt_polls.labels("ok" if fine else "failed").inc()
        why = "" if fine else explain(answer)
        if self._news.is_news("poll", why):
            if fine:
                _log.info("the vendor tells of receipts again")
            else:
                _log.warning("cannot ask for receipts", error=why)


def _awaited(session: Session, policy: Policy, since: datetime, now: datetime) -> _Awaited:
    """Load the calls to ask about, and all that is known of other calls to their phones."""
    submitted = session.submitted(since, _MOST_CALLS)
    earlier = since - 2 * policy.delivery.record_before
    phones = {call.phone for call, _ in submitted}
    return _Awaited(
        submitted=submitted,
        used=frozenset().union(*(session.sessions_used(phone, earlier) for phone in phones)),
        dialled={phone: session.requests_since(phone, earlier, now) for phone in phones},
    )


def _reported(
    awaited: _Awaited, seen: Records, policy: DeliveryPolicy, now: datetime
) -> list[Reported]:
    """Return what the records say of the calls."""
    wanted = [(attempt, call.phone) for call, attempt in awaited.submitted]
    own = match_records(seen.records, wanted, awaited.used, policy, awaited.dialled)
    return [
        Reported(
            user_id=attempt.id,
            session_no=attempt.session_no,
            phone=record.phone,
            template_id=record.template_id,
            placed_at=record.placed_at,
            receipt=replace(record.receipt, received_at=now),
        )
        for attempt, _ in wanted
        if (record := own.get(attempt.id)) is not None and record.receipt is not None
    ]
