"""Asking how calls went: the simulated vendor over ASGI, a real store, a clock moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from store_world import (
    ALICE,
    BOB,
    CAROL,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    begun,
    call,
    held,
    opened,
    recorded,
    the_call,
)
from structlog.testing import capture_logs
from worker_world import receiver, routes

from adapter.config.policy import Policy
from adapter.delivery.policy import UvmsSettings
from adapter.delivery.records import Records
from adapter.metrics import Metrics
from adapter.model import Attempt, Call, CallState, PhoneNumber, Result, Secret
from adapter.simulator.app import create_app
from adapter.simulator.faults import LOOK_UP, Fault, Kind
from adapter.simulator.vendor import Account
from adapter.simulator.vendor import Vendor as SimulatedVendor
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.uvms.client import MAX_PAGES, UvmsClient, new_http_client
from adapter.uvms.wire import Keys, RecordQuery, SendRequest
from adapter.worker.polling import Poller

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

KEYS = Keys(public_key="public", private_key=Secret("private"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """A store with calls that were really placed with the simulator."""

    def __init__(self, store: Store, http: httpx.AsyncClient, simulated: SimulatedVendor) -> None:
        self.store, self.simulated, self.now = store, simulated, NOW
        self.policy: Policy = routes(receiver("sre", "alice"))
        self.metrics, self.able = Metrics(), True
        self.client = UvmsClient(http, UvmsSettings, lambda: KEYS)
        self.slept: list[float] = []
        self.poller = Poller(
            store,
            self.client,
            lambda: self.policy,
            self.metrics,
            lambda: self.now,
            lambda: self.able,
            lambda: None,
            self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        """Let the time pass, until a test has seen enough."""
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        if len(self.slept) > 3:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    async def placed(self, phone: PhoneNumber = ALICE, *, session: bool = True) -> Call:
        """Have a call placed as the worker does."""
        lead = call(None, phone)
        attempt: Attempt = self.store.write_now(lambda s: self._begun(s, lead))
        answer = await self.client.send(
            SendRequest(called=phone, template_id="UVVT1", user_id=attempt.id)
        )
        assert answer.ret_code == 0
        kept = replace(
            attempt,
            outcome="accepted",
            template_id="UVVT1",
            session_no=answer.session_no if session else "",
        )
        self.store.write_now(lambda s: self._settled(s, kept))
        return lead

    def _begun(self, session: Session, lead: Call) -> Attempt:
        recorded(session, lead)
        return begun(session, lead, self.now)

    def _settled(self, session: Session, attempt: Attempt) -> None:
        session.finish_attempt(attempt)
        session.settle(attempt.id, CallState.ACCEPTED, now=self.now, due_at=None, note="")

    def will(self, *faults: Fault) -> None:
        self.simulated.faults.add(*faults)

    def result(self, of: Call) -> Result | None:
        return self.store.read_now(lambda session: the_call(session, of)).result

    @property
    def asked(self) -> int:
        """How many requests for records the vendor has had."""
        return sum(exchange.action == LOOK_UP for exchange in self.simulated.requests)

    def metric(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"uvms_adapter_{name}", labels)
        assert value is not None, f"there is no series {name} {labels}"
        return value


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    ids = count(1)
    simulated = SimulatedVendor(
        Account(keys={"public": KEYS.private_key}),
        clock=lambda: NOW,
        new_id=lambda: f"id-{next(ids)}",
    )
    transport = httpx.ASGITransport(create_app(simulated))
    async with new_http_client(trust_env=False, transport=transport) as http:
        with opened(tmp_path, lock_wait_seconds=1.0) as store:
            found = World(store, http, simulated)
            simulated.clock = lambda: found.now
            yield found


# What becomes of the call, and what is known of it in the end.
RESULTS = {
    "answered": (Fault(kind=Kind.ANSWERED, duration=23), Result.ANSWERED),
    "hung up": (Fault(kind=Kind.ANSWERED, duration=2), Result.HUNG_UP),
    "unanswered": (Fault(kind=Kind.UNANSWERED), Result.UNANSWERED),
    "unreported": (Fault(kind=Kind.UNREPORTED), Result.UNREPORTED),
    "never in the records": (Fault(kind=Kind.NO_RECORD), None),
}


@pytest.mark.parametrize(("fault", "result"), RESULTS.values(), ids=RESULTS)
async def test_how_a_call_went_is_asked_for(world, fault, result):
    world.will(fault)
    lead = await world.placed()
    world.now += 15 * SECOND
    await world.poller.poll()
    assert world.result(lead) is result
    assert world.asked == 1
    assert world.metric("receipt_polls_total", outcome="ok") == 1
    if result is not None:
        assert world.metric("receipts_total", source="poll", result=result) == 1
    await world.poller.poll()
    assert world.asked == (1 if result else 2)  # what is known is not asked for again


async def test_a_result_that_is_not_known_yet_is_asked_for_again(world):
    world.will(Fault(kind=Kind.UNANSWERED, seconds=40))
    lead = await world.placed()
    known = []
    for _ in range(3):
        world.now += 15 * SECOND
        await world.poller.poll()
        known.append(world.result(lead))
    assert known == [None, None, Result.UNANSWERED]


async def test_while_nothing_is_waited_for_nobody_is_asked(world):
    await world.poller.poll()
    assert world.asked == 0
    assert world.metric("receipt_polls_total", outcome="ok") == 0


async def test_one_request_tells_of_all_calls(world):
    world.will(
        Fault(kind=Kind.UNANSWERED, number=BOB.e164), Fault(kind=Kind.UNREPORTED, number=CAROL.e164)
    )
    leads = [await world.placed(phone) for phone in (ALICE, BOB, CAROL)]
    world.now += MINUTE
    await world.poller.poll()
    expected = [Result.ANSWERED, Result.UNANSWERED, Result.UNREPORTED]
    assert [world.result(lead) for lead in leads] == expected
    assert world.asked == 1


@pytest.mark.parametrize("session", [True, False], ids=["a session each", "no session known"])
async def test_calls_to_one_phone_are_told_apart_by_their_times(world, session):
    world.will(Fault(kind=Kind.UNANSWERED, times=1), Fault(kind=Kind.ANSWERED, times=1, duration=0))
    first = await world.placed(session=session)
    world.simulated.faults.clear()
    world.now += MINUTE
    second = await world.placed(session=session)
    world.now += MINUTE
    await world.poller.poll()
    assert world.result(first) is Result.HUNG_UP
    assert world.result(second) is Result.ANSWERED


async def test_calls_of_others_are_passed_over(world):
    """The same account calls the same phone with another template, and other phones."""
    lead = await world.placed()
    for phone, template in ((ALICE, "UVVT-of-others"), (BOB, "UVVT1")):
        await world.client.send(SendRequest(called=phone, template_id=template))
    world.simulated.calls.popleft()  # ours is not in the records yet
    world.now += MINUTE
    await world.poller.poll()
    assert world.result(lead) is None


async def test_nobody_asks_for_ever(world):
    world.will(Fault(kind=Kind.NO_RECORD))
    await world.placed()
    world.now += HOUR
    await world.poller.poll()
    assert world.asked == 1
    world.now += SECOND
    await world.poller.poll()
    assert world.asked == 1


async def test_more_records_than_one_window_holds_are_read_on(world):
    """Another part of the account's business makes hundreds of calls meanwhile."""
    world.will(Fault(kind=Kind.ANSWERED))
    leads = [await world.placed()]
    others = world.simulated.calls[0]
    for number in range(600):
        at = NOW + number * SECOND
        world.simulated.calls.append(
            replace(others, time=at, template="UVVT-of-others", task_no=f"other-{number}")
        )
    world.now += 600 * SECOND
    leads.append(await world.placed(BOB))
    world.now += MINUTE
    await world.poller.poll()
    assert [world.result(lead) for lead in leads] == [Result.ANSWERED, Result.ANSWERED]
    assert MAX_PAGES < world.asked < 2 * MAX_PAGES


# --- trouble ---


async def test_a_failure_is_counted_told_once_and_told_to_be_over(world):
    lead = await world.placed()
    world.now += MINUTE
    world.will(Fault(kind=Kind.REFUSE, action=LOOK_UP, ret_code=150, times=2))
    with capture_logs() as lines:
        for _ in range(4):
            await world.poller.poll()
    events = [line["event"] for line in lines if not line["event"].startswith("simulator")]
    assert events == [
        "cannot ask for receipts",
        "the vendor tells of receipts again",
        "call reported",
    ]
    assert world.metric("receipt_polls_total", outcome="failed") == 2
    assert world.metric("receipt_polls_total", outcome="ok") == 1
    assert world.result(lead) is Result.ANSWERED


async def test_a_page_of_records_that_fails_costs_those_before_it_nothing(world):
    first = await world.placed()
    record = world.simulated.calls[0]
    for number in range(60):
        world.simulated.calls.append(replace(record, template="x", task_no=f"other-{number}"))
    world.now += MINUTE
    found = await world.client.records(RecordQuery(since=NOW - MINUTE))
    assert len(found.records) == 61

    class FailsHalfway:
        async def records(self, query: RecordQuery) -> Records:
            return replace(found, records=found.records[:50], complete=False)

    poller = Poller(
        world.store,
        FailsHalfway(),
        lambda: world.policy,
        world.metrics,
        lambda: world.now,
        lambda: True,
        lambda: None,
    )
    await poller.poll()
    assert world.result(first) is Result.ANSWERED


# --- the loop ---


async def run_for_three_rounds(world: World) -> None:
    with pytest.raises(asyncio.CancelledError):
        await world.poller.run()


async def test_the_loop_asks_every_interval_and_not_before(world):
    world.will(Fault(kind=Kind.NO_RECORD))
    await world.placed()
    await run_for_three_rounds(world)
    assert world.slept == [15.0] * 4
    assert world.asked == 3


async def test_polling_can_be_turned_off_and_on_again(world):
    world.will(Fault(kind=Kind.NO_RECORD))
    await world.placed()
    on = world.policy
    world.policy = replace(on, receipts=replace(on.receipts, poll_interval=None))
    await run_for_three_rounds(world)
    assert world.asked == 0
    assert world.slept == [5.0] * 4
    world.slept.clear()
    world.policy = on
    await run_for_three_rounds(world)
    assert world.asked == 3


async def test_while_the_account_is_refused_nobody_is_asked(world):
    await world.placed()
    world.able = False
    await run_for_three_rounds(world)
    assert world.asked == 0


async def test_the_loop_outlives_a_store_that_is_away(world, tmp_path):
    lead = await world.placed()
    with held(tmp_path):
        await run_for_three_rounds(world)
    assert world.result(lead) is None
    world.slept.clear()
    await run_for_three_rounds(world)
    assert world.result(lead) is Result.ANSWERED


async def test_the_loop_outlives_what_nobody_foresaw(world):
    class Bug:
        async def records(self, _query: RecordQuery) -> Records:
            raise ZeroDivisionError("+8613512345678")

    await world.placed()
    world.poller._vendor = Bug()
    with capture_logs() as lines:
        await run_for_three_rounds(world)
    assert [line["event"] for line in lines] == ["asking for receipts failed in an unforeseen way"]
    assert world.metric("receipt_polls_total", outcome="failed") == 3
