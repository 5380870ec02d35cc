"""Makes the calls that are owed: claim -> render -> send -> settle, and looks up what is unknown.

The worker calls things in order; what a limit, an outcome or a look-up means is decided in
`paging` and `delivery`. An attempt is written down, with its words, before its request leaves; its
outcome is written down when it is known. Killed in between, the next start finds the attempt
without an outcome and looks it up before anybody is dialled again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import Any, Protocol

from msgspec.structs import replace

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.delivery.account import Account, Trouble, let_out, may_send, settle_account
from adapter.delivery.outcomes import Answer, Failure, Outcome, classify
from adapter.delivery.policy import UvmsSettings
from adapter.delivery.records import Records, look_up, record_window
from adapter.delivery.settling import Redial, reconcile, settle
from adapter.errors import StoreUnavailable
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.model import Attempt, Call, CallState
from adapter.on_call import Feeds, no_feeds
from adapter.store.records import Due
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.tracing import NO_TRACES, Span, Tracer
from adapter.uvms.wire import RecordQuery, SendRequest
from adapter.worker.claiming import Ready, claim, leave_within, longest_request
from adapter.worker.escalating import escalate
from adapter.worker.housekeeping import keep_house
from adapter.worker.pace import Pace
from adapter.worker.reporting import Reporter
from adapter.worker.settling import (
    adopt,
    answered,
    lease_look_ups,
    settle_answered,
    settle_looked_up,
)

_log = logger(__name__)

_POLL_SECONDS = 1.0  # another process (the command line) may have put a call into the store
_STORE_PAUSE_SECONDS = 0.5  # between two tries at a store that cannot commit


class Vendor(Protocol):
    """What the worker needs of the signed client."""

    async def send(self, request: SendRequest) -> Answer:
        """Place one call; trouble on the way is in the answer."""

    async def find(self, query: RecordQuery) -> Records:
        """Look for a call that may have been placed."""


class Worker:
    """One process's hands. `run` until `stop`; `wake` says that a call may be due."""

    def __init__(
        self,
        store: Store,
        vendor: Vendor,
        policy: Callable[[], Policy],
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
        chance: Callable[[], float],
        feeds: Feeds = no_feeds,
        exhausted: Callable[[], None] = lambda: None,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        """Take what it needs; `exhausted` is called when somebody else has to be told of a page."""
        self._feeds, self._exhausted, self._tracer = feeds, exhausted, tracer
        self._store, self._vendor, self._policy, self._metrics = store, vendor, policy, metrics
        self._clock, self._new_id, self._chance = clock, new_id, chance
        self._account = Account(able_since=clock())
        self._news = Changes()
        self._report = Reporter(metrics, self._news)
        self._awake = asyncio.Event()
        self._stopping = False
        self._calling: set[asyncio.Task[None]] = set()
        self._looking: set[asyncio.Task[None]] = set()
        self._look_ups_first = False
        self._in_hand: set[str] = set()  # attempts whose tasks live: nobody need adopt them
        self._pace = Pace()

    @property
    def account(self) -> Account:
        """Whether the vendor takes calls of our account."""
        return self._account

    @property
    def able(self) -> bool:
        """Whether asking the vendor for anything makes sense now."""
        return self._account.trouble is not Trouble.REFUSED

    def wake(self) -> None:
        """Look for due calls now."""
        self._awake.set()

    def stop(self) -> None:
        """Claim nothing more; `run` ends when what is under way has been settled."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Take over what a dead process left behind, then make calls until stopped."""
        alone = self._store.alone  # else others may be sending what we would take over
        await self._persist(lambda session: self._adopt(session, everything=alone))
        async with asyncio.TaskGroup() as tasks:
            tidying = tasks.create_task(
                keep_house(self._store, self._policy, self._clock), name="housekeeping"
            )
            while not self._stopping:
                self._awake.clear()
                await self._round(tasks)
            while under_way := self._calling | self._looking:
                await asyncio.wait(under_way)
            tidying.cancel()

    # --- one round ---

    async def _round(self, tasks: asyncio.TaskGroup) -> None:
        """Start whatever is due and may start, then sleep until something may be again."""
        pause = _POLL_SECONDS
        try:
            due = await self._store.read(lambda session: session.due())
            now = self._clock()
            if due.first is not None and due.first <= now:
                pause = await self._start_due(tasks, due, now)
            elif due.first is not None:
                pause = min(_POLL_SECONDS, (due.first - now).total_seconds())
        except StoreUnavailable:
            pass  # whoever observes the store says so; calls wait
        except Exception as error:  # the loop lives on: everything else would wait for a human
            if self._news.is_news("round", repr(error)):
                _log.exception("a round of calls failed")
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):  # wait_for of 3.11 can lose a cancellation
                await self._awake.wait()

    async def _start_due(self, tasks: asyncio.TaskGroup, due: Due, now: datetime) -> float:
        """Start what is due, and what that makes due; return for how many seconds to sleep."""
        policy, more = self._policy(), False
        adopts, escalates, rings, looks_up = (
            at is not None and at <= now
            for at in (due.orphans, due.escalations, due.calls, due.look_ups)
        )
        if adopts:
            await self._store.write(lambda session: self._adopt(session, everything=False))
        if escalates:
            more = await self._escalate(policy)
        if self._account.trouble is Trouble.THROTTLED and not may_send(
            self._account, self._clock()
        ):
            return self._until_probe()
        # In turns: where requests are scarce, neither kind keeps the other waiting for long.
        kinds = []
        if rings or escalates:
            kinds.append(self._start_calls)
        if looks_up or adopts:
            kinds.append(self._start_look_ups)
        self._look_ups_first = not self._look_ups_first
        if self._look_ups_first:
            kinds.reverse()
        pauses = [await start(tasks, policy) for start in kinds]
        return 0.0 if more else min(pauses)

    async def _escalate(self, policy: Policy) -> bool:
        """Take the steps that are due; return whether there are more."""
        escalated = await self._store.write(
            lambda session: escalate(session, policy, self._feeds, self._clock(), self._new_id)
        )
        self._report.escalated(escalated)
        if escalated.exhausted:
            self._exhausted()
        return escalated.more

    async def _start_calls(self, tasks: asyncio.TaskGroup, policy: Policy) -> float:
        """Start the calls that are due, as far as slots, pace and account allow."""
        slots = policy.concurrent_calls - len(self._calling)
        if slots < 1 or self._stopping:
            return _POLL_SECONDS  # we wake when one is done
        if not may_send(self._account, self._clock()):
            return self._until_probe()
        at = asyncio.get_running_loop().time()
        free = self._pace.free(policy.requests_per_second, at)
        if free < 1:
            return self._pace.pause(policy.requests_per_second, at)
        slots = min(slots, free, 1 if self._account.trouble is not Trouble.NONE else slots)
        leave_by = at + leave_within(policy.uvms).total_seconds()
        claimed = await self._store.write(
            lambda session: claim(session, policy, slots, self._clock, self._new_id)
        )
        self._pace.take(len(claimed.ready), at)
        for ready in claimed.ready:
            self._start(tasks, self._calling, ready.attempt, self._make(ready, leave_by))
        self._report.claimed(claimed)
        # Nothing: the phones that are due are ringing just now, and we wake when they are done.
        return 0.0 if claimed.moved else _POLL_SECONDS

    async def _start_look_ups(self, tasks: asyncio.TaskGroup, policy: Policy) -> float:
        """Start the look-ups that are due: half as many at once as calls, and at the same pace."""
        slots = max(1, policy.concurrent_calls // 2) - len(self._looking)
        if slots < 1:
            return _POLL_SECONDS
        at = asyncio.get_running_loop().time()
        free = self._pace.free(policy.requests_per_second, at)
        if free < 1:
            return self._pace.pause(policy.requests_per_second, at)
        most, mine = min(slots, free), frozenset(self._in_hand)
        leased = await self._store.write(
            lambda session: lease_look_ups(session, policy, mine, most, self._clock())
        )
        self._pace.take(len(leased), at)
        for call, attempt in leased:
            self._start(tasks, self._looking, attempt, self._look_up(call, attempt))
        return 0.0 if len(leased) == most else _POLL_SECONDS

    def _until_probe(self) -> float:
        """Return for how many seconds the account's trouble lets nothing out, within a poll's."""
        blocked_until, now = self._account.blocked_until, self._clock()
        left = (blocked_until - now).total_seconds() if blocked_until else 0.0
        return min(max(left, 0.0), _POLL_SECONDS)

    def _start(
        self,
        tasks: asyncio.TaskGroup,
        kind: set[asyncio.Task[None]],
        attempt: Attempt,
        work: Coroutine[Any, Any, None],
    ) -> None:
        task = tasks.create_task(self._guarded(work), name=f"attempt {attempt.id}")
        kind.add(task)
        self._in_hand.add(attempt.id)

        def done(_task: asyncio.Task[None]) -> None:
            kind.discard(task)
            self._in_hand.discard(attempt.id)
            self._awake.set()

        task.add_done_callback(done)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreUnavailable:  # whoever observes the store says so
            pass
        except Exception:  # one call's bug must not end the others
            _log.exception("a call failed in an unforeseen way; it will be looked up")

    # --- sending ---

    async def _make(self, ready: Ready, leave_by: float) -> None:
        """Send one call, or not if it is late, and write down what became of it."""
        policy = self._policy()
        self._account = let_out(self._account, policy.delivery, self._clock())
        ticket, started = self._account.news, asyncio.get_running_loop().time()
        if ready.first:
            waited = self._clock() - ready.call.created_at
            self._metrics.alert_to_wire.observe(waited.total_seconds())
        with self._span("attempt", ready.call, ready.attempt) as span:
            answer = await self._send(replace(ready.request, leave_by=leave_by), policy.uvms)
            outcome = classify(answer, policy.delivery.overrides)
            span.set(outcome=outcome, ret_code=answer.ret_code)
            if outcome is not Outcome.ACCEPTED:
                span.fail(outcome)
        took = asyncio.get_running_loop().time() - started
        self._metrics.vendor_request_duration.observe(took)
        now = self._clock()
        self._account = settle_account(
            self._account, outcome, answer, policy.delivery, ticket, now, self._chance()
        )
        settlement = settle(
            ready.call, outcome, answer, self._account, policy.delivery, now, self._chance()
        )
        attempt = answered(ready.attempt, answer, outcome, now)
        held = await self._persist(
            lambda session: settle_answered(session, attempt, settlement, now)
        )
        self._report.attempted(
            ready.call, attempt, outcome, answer, settlement, took, held, self._account
        )

    async def _send(self, request: SendRequest, uvms: UvmsSettings) -> Answer:
        """Place one call, within its lease, whatever the network does."""
        try:
            async with asyncio.timeout(longest_request(uvms).total_seconds()):
                return await self._vendor.send(request)
        except TimeoutError:
            return Answer(failure=Failure.TIMEOUT)

    # --- unknown outcomes ---

    def _adopt(self, session: Session, *, everything: bool) -> None:
        adopt(
            session,
            self._policy(),
            self._account,
            frozenset(self._in_hand),
            everything=everything,
            now=self._clock(),
            chance=self._chance,
        )

    async def _look_up(self, call: Call, attempt: Attempt) -> None:
        """Ask the vendor whether a call that may have rung was placed."""
        with self._span("look-up", call, attempt) as span:
            await self._settle_unknown(call, attempt, span)

    async def _settle_unknown(self, call: Call, attempt: Attempt, span: Span) -> None:
        policy = self._policy()
        asked = self._clock()
        since, until = record_window(attempt, policy.delivery, asked)
        seen = await self._find(
            RecordQuery(
                phone=call.phone, template_id=attempt.template_id, since=since, until=until
            ),
            policy.uvms,
        )
        now = self._clock()
        earlier = since - policy.delivery.record_before
        used, dialled = await self._store.read(
            lambda session: (
                session.sessions_used(call.phone, since),
                session.requests_since(call.phone, earlier, now),
            )
        )
        found, record = look_up(seen, attempt, call.phone, used, policy.delivery, dialled)
        settlement = reconcile(call, attempt, found, self._account, policy.delivery, asked)
        span.set(found=found, state=settlement.state, ret_code=seen.answer.ret_code)
        if record is not None:
            attempt = replace(attempt, session_no=attempt.session_no or record.task_no)
        if settlement.state is CallState.ACCEPTED:
            attempt = replace(attempt, outcome=Outcome.ACCEPTED)
        elif settlement.redial is Redial.ABSENT:
            attempt = replace(attempt, outcome=Outcome.RETRY)
        held = await self._persist(
            lambda session: settle_looked_up(session, call, attempt, found, settlement, now)
        )
        self._report.looked_up(call, attempt, found, settlement, held)

    async def _find(self, query: RecordQuery, uvms: UvmsSettings) -> Records:
        """Look for a call; one that cannot be looked for must be dialled again in the end."""
        try:
            async with asyncio.timeout(longest_request(uvms).total_seconds()):
                return await self._vendor.find(query)
        except TimeoutError:
            return Records(answer=Answer(failure=Failure.TIMEOUT))
        except Exception:  # what the vendor sends is not ours to foresee
            _log.exception("looking for a call failed in an unforeseen way")
            return Records(answer=Answer(failure=Failure.UNREADABLE))

    def _span(self, name: str, call: Call, attempt: Attempt) -> AbstractContextManager[Span]:
        return self._tracer.span(
            name,
            call.traceparent,
            call=call.id,
            attempt=attempt.id,
            page=call.page_id,
            receiver=call.receiver,
            reason=call.reason,
        )

    # --- the store ---

    async def _persist(self, job: Callable[[Session], Any]) -> Any:
        """Write what must not be lost, however long the store is away."""
        while True:
            try:
                return await self._store.write(job)
            except StoreUnavailable:
                await asyncio.sleep(_STORE_PAUSE_SECONDS)
