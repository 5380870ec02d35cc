"""The worker's hands, one behaviour a test: claim, send, settle, look up, adopt, tidy."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from store_world import begun, call, episode, held, opened, page, recorded
from worker_world import (
    DAY,
    HOUR,
    MINUTE,
    NO_ANSWER,
    NO_CONNECTION,
    NOT_THERE,
    NOW,
    SECOND,
    TAKEN,
    World,
    limits,
    receiver,
    ret_code,
    routes,
    running,
    until,
    working,
)

from adapter.delivery.account import Trouble
from adapter.model import CallState
from adapter.worker.pace import Pace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def each_alert(*people: str, **sections: Any) -> Any:
    """Return routes in which each alert has a page of its own."""
    return routes(receiver("phone", *people), **{"limits": limits(), **sections}, route=EACH)


EACH = {"receiver": "phone", "group_by": ["..."]}
RESOLVING = {"send_resolved": True, "resolved_template": "over"}


# --- calls --------------------------------------------------------------------------------------


class TestACall:
    async def test_is_written_down_with_its_words_before_it_leaves(self, tmp_path: Path) -> None:
        async with working(tmp_path) as world:
            world.vendor.gate.clear()
            await world.post(world.firing("DiskFull"))
            await until(lambda: world.vendor.rang == ["alice"])
            [made] = world.calls(CallState.SENDING)
            [tried] = world.read(lambda session: session.attempts_of(made))
            assert (tried.outcome, tried.params) == (None, ("DiskFull", "1"))
            assert world.vendor.sent[0].user_id == tried.id
            world.vendor.gate.set()
            await until(lambda: world.states() == {"accepted": 1})
            [tried] = world.read(lambda session: session.attempts_of(made))
            assert (tried.outcome, tried.ret_code, tried.session_no) == ("accepted", 0, "s")

    async def test_names_what_joined_while_it_waited(self, tmp_path: Path) -> None:
        policy = routes(route={"receiver": "phone", "group_wait": "30s"})
        async with working(tmp_path, policy) as world:
            await world.post(world.firing("A"))
            await world.post(world.firing("B"))
            await world.rest()
            assert world.vendor.rang == []
            await world.passes(30 * SECOND)
            await until(lambda: world.states() == {"accepted": 1})
            assert world.vendor.sent[0].params == ("A", "2")

    async def test_whose_alerts_resolved_while_it_was_retried_is_not_made(
        self, tmp_path: Path
    ) -> None:
        async with working(tmp_path) as world:
            world.vendor.answer = NO_CONNECTION
            await world.post(world.firing("A"))
            await until(
                lambda: len(world.calls(CallState.WAITING)) == 1 and bool(world.vendor.sent)
            )
            await world.passes(SECOND / 2)
            await world.post(world.resolved("A"))
            await world.passes(MINUTE)
            assert (world.vendor.rang, world.states()) == (["alice"], {"cancelled": 1})

    async def test_of_a_receiver_that_is_gone_is_refused_and_harms_nobody(
        self, tmp_path: Path
    ) -> None:
        policy = routes(
            receiver("phone", "alice"),
            receiver("dba", "bob"),
            route={
                "receiver": "phone",
                "group_wait": "30s",
                "routes": [{"receiver": "dba", "matchers": ["team=db"]}],
            },
        )
        async with working(tmp_path, policy) as world:
            await world.post(world.firing("A"), world.firing("B", team="db"))
            world.policy = routes(receiver("phone", "alice"))
            await world.passes(30 * SECOND)
            await until(lambda: world.states() == {"accepted": 1, "refused": 1})
            assert world.vendor.rang == ["alice"]
            assert world.metric("calls_total", outcome="refused") == 1

    async def test_that_was_asked_for_as_a_test_rings_with_its_receivers_words(
        self, tmp_path: Path
    ) -> None:
        async with working(tmp_path) as world:
            test = call(None, receiver="phone")
            await world.store.write(lambda session: session.add_call(test))
            world.worker.wake()
            await until(lambda: world.states() == {"accepted": 1})
            assert world.vendor.sent[0].params == ("test", "0")

    async def test_that_fails_in_an_unforeseen_way_is_looked_up_and_made_again(
        self, tmp_path: Path
    ) -> None:
        async with working(tmp_path) as world:
            world.vendor.will("alice", RuntimeError("a bug"))
            await world.post(world.firing("A"))
            await until(lambda: world.vendor.rang == ["alice"])
            await world.passes(MINUTE)  # its lease ends
            await until(lambda: world.states() == {"unknown": 1})
            await world.passes(5 * SECOND)
            await until(lambda: world.vendor.rang == ["alice", "alice"])
            await until(lambda: world.states() == {"accepted": 1})
            assert world.metric("redials_total", reason="absent") == 1


OUTCOMES: dict[str, tuple[Any, str, dict[str, int]]] = {
    "taken": (TAKEN, "accepted", {"accepted": 1}),
    "no connection": (NO_CONNECTION, "retry", {"waiting": 1}),
    "throttled": (ret_code(153), "throttled", {"waiting": 1}),
    "the account is refused": (ret_code(171), "account_refused", {"waiting": 1}),
    "the number is refused": (ret_code(230), "refused", {"refused": 1}),
    "no answer": (NO_ANSWER, "unknown", {"unknown": 1}),
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_what_an_answer_makes_of_a_call(tmp_path: Path, name: str) -> None:
    answer, outcome, states = OUTCOMES[name]
    async with working(tmp_path) as world:
        world.vendor.answer = answer
        await world.post(world.firing("A"))
        await until(lambda: bool(world.vendor.sent) and world.states() == states)
        await until(lambda: world.metric("call_attempts_total", outcome=outcome) == 1)
        await world.rest()
        assert world.vendor.rang == ["alice"]


async def test_a_call_gives_up_in_the_end(tmp_path: Path) -> None:
    async with working(tmp_path) as world:
        world.vendor.answer = NO_CONNECTION
        await world.post(world.firing("A"))
        for tries in range(1, 100):
            await until(lambda tries=tries: len(world.vendor.sent) == tries)  # type: ignore[misc]
            await until(lambda: not world.calls(CallState.SENDING))
            if world.states() == {"gave_up": 1}:
                break
            await world.passes(2 * MINUTE)
        assert world.now - NOW >= 30 * MINUTE
        assert world.metric("calls_total", outcome="gave_up") == 1


# --- unknown outcomes ---------------------------------------------------------------------------


class TestAnUnknownOutcome:
    async def unknown(self, world: World) -> None:
        world.vendor.will("alice", NO_ANSWER)
        await world.post(world.firing("A"))
        await until(lambda: world.states() == {"unknown": 1})

    async def test_that_was_placed_is_not_dialled_again(self, tmp_path: Path) -> None:
        async with working(tmp_path) as world:
            world.vendor.has_record_of("alice", NOW)
            await self.unknown(world)
            await world.passes(5 * SECOND)
            await until(lambda: world.states() == {"accepted": 1})
            assert world.vendor.rang == ["alice"]

    async def test_that_was_not_placed_is_dialled_again(self, tmp_path: Path) -> None:
        async with working(tmp_path) as world:
            await self.unknown(world)
            await world.passes(40 * SECOND)
            await until(lambda: world.vendor.rang == ["alice", "alice"])
            assert world.metric("redials_total", reason="absent") == 1

    async def test_that_cannot_be_told_is_dialled_again_and_counted(self, tmp_path: Path) -> None:
        async with working(tmp_path) as world:
            world.vendor.records = replace(NOT_THERE, complete=False)
            await self.unknown(world)
            await world.passes(90 * SECOND)
            await until(lambda: world.vendor.rang == ["alice", "alice"])
            assert world.metric("redials_total", reason="cannot_tell") == 1

    async def test_whose_records_nobody_can_read_is_dialled_again_too(self, tmp_path: Path) -> None:
        async with working(tmp_path) as world:
            world.vendor.records = ValueError("a bug in reading them")
            await self.unknown(world)
            await world.passes(90 * SECOND)
            await until(lambda: world.vendor.rang == ["alice", "alice"])

    async def test_of_a_page_that_closed_meanwhile_is_not_dialled_again(
        self, tmp_path: Path
    ) -> None:
        async with working(tmp_path) as world:
            await self.unknown(world)
            await world.passes(SECOND)
            await world.post(world.resolved("A"))
            await world.passes(40 * SECOND)
            await until(lambda: world.states() == {"cancelled": 1})
            assert world.vendor.rang == ["alice"]

    async def test_of_a_page_that_closed_meanwhile_is_called_back(self, tmp_path: Path) -> None:
        """The phone may have rung: it is told that this is over."""
        async with working(tmp_path, routes(receiver("phone", "alice", **RESOLVING))) as world:
            await self.unknown(world)
            await world.passes(SECOND)
            await world.post(world.resolved("A"))
            await world.passes(MINUTE)
            await until(lambda: len(world.calls(CallState.ACCEPTED)) == 1)
            assert [request.template_id for request in world.vendor.sent] == ["UVVT1", "UVVT2"]

    async def test_hundreds_of_them_leave_room_for_calls(self, tmp_path: Path) -> None:
        policy = routes(receiver("phone", "alice"), limits=limits() | {"concurrent_calls": 4})
        with opened(tmp_path) as store:
            world = World(store, policy)

            def a_night_without_answers(session: Any) -> None:
                mine = page(receiver="phone")
                recorded(session, mine, episode(mine, receiver="phone"))
                for number in range(200):
                    lost = call(mine, receiver="phone", id=f"lost{number}")
                    recorded(session, lost)
                    made = begun(session, lost)
                    session.settle(made.id, CallState.UNKNOWN, now=NOW, due_at=NOW, note="")

            store.write_now(a_night_without_answers)
            world.vendor.record_gate.clear()
            async with running(world):
                await until(lambda: world.vendor.looking == 2)
                await world.post(world.firing("A"))
                await until(lambda: world.vendor.rang == ["alice"], "a call gets a slot")
                await world.rest()
                assert world.vendor.most_looking == 2


# --- what a dead process left -------------------------------------------------------------------


class TestAdoption:
    async def test_a_start_looks_up_what_the_last_process_was_sending(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            mine = page(receiver="phone")

            def killed(session: Any) -> None:
                recorded(session, mine, episode(mine, receiver="phone"))
                recorded(session, lead := call(mine, receiver="phone"))
                begun(session, lead)

            store.write_now(killed)
            world = World(store, routes())
            async with running(world):
                await world.lease_ends(MINUTE)
                await until(lambda: world.states() != {"sending": 1})
                await world.passes(40 * SECOND)
                await until(lambda: world.states() == {"accepted": 1})
                assert (len(world.vendor.asked), world.vendor.rang) == (1, ["alice"])

    async def test_a_start_takes_over_the_look_ups_of_the_last_process(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as store:
            mine = page(receiver="phone")

            def killed(session: Any) -> None:
                recorded(session, mine, lead := call(mine, receiver="phone"))
                made = begun(session, lead)
                session.settle(made.id, CallState.UNKNOWN, now=NOW, due_at=NOW, note="")
                session.lease(made.id, NOW + HOUR)

            store.write_now(killed)
            world = World(store, routes())
            world.vendor.has_record_of("alice", NOW)
            async with running(world):
                await world.lease_ends(HOUR)
                await until(lambda: world.states() == {"accepted": 1})
                assert world.vendor.rang == []

    @pytest.mark.parametrize("jump", [2 * MINUTE, HOUR], ids=["the lease ran out", "clock + 1 h"])
    async def test_a_call_whose_answer_is_awaited_is_nobodys_orphan(
        self, tmp_path: Path, jump: timedelta
    ) -> None:
        """The lease is a matter of clocks; the task that waits for the answer is not."""
        async with working(tmp_path) as world:
            world.vendor.gate.clear()
            await world.post(world.firing("A"))
            await until(lambda: world.vendor.rang == ["alice"])
            await world.passes(jump)
            await world.passes(MINUTE)
            assert (world.vendor.asked, world.states()) == ([], {"sending": 1})
            world.vendor.gate.set()
            await until(lambda: world.states() == {"accepted": 1})
            assert world.vendor.rang == ["alice"]

    async def test_a_store_that_cannot_settle_for_long_doubles_nothing(
        self, tmp_path: Path
    ) -> None:
        async with working(tmp_path) as world:
            world.vendor.gate.clear()
            await world.post(world.firing("A"))
            await until(lambda: world.vendor.rang == ["alice"])
            with held(tmp_path):
                world.vendor.gate.set()
                await until(lambda: world.vendor.under_way == 0)
                world.now += HOUR
                world.worker.wake()
            await until(lambda: world.states() == {"accepted": 1})
            assert (world.vendor.rang, world.vendor.asked) == (["alice"], [])

    async def test_a_request_that_outlives_its_lease_is_cut_off(self, tmp_path: Path) -> None:
        quick = {"timeouts": {"connect": "10ms", "read": "10ms"}}
        async with working(tmp_path, routes(uvms=quick)) as world:
            world.vendor.gate.clear()
            await world.post(world.firing("A"))
            await until(lambda: world.states() == {"unknown": 1})
            assert world.vendor.under_way == 0


# --- whose turn it is ---------------------------------------------------------------------------


class TestTurns:
    async def test_a_phone_rings_for_one_call_at_a_time(self, tmp_path: Path) -> None:
        async with working(tmp_path, each_alert("alice")) as world:
            world.vendor.gate.clear()
            await world.post(world.firing("A"), world.firing("B"))
            await until(lambda: world.vendor.rang == ["alice"])
            await world.rest()
            assert world.vendor.rang == ["alice"]
            world.vendor.gate.set()
            await until(lambda: world.states() == {"accepted": 2})

    async def test_no_more_than_concurrent_calls_are_under_way(self, tmp_path: Path) -> None:
        policy = routes(
            receiver("phone", "alice", "bob", "carol", "dave"),
            limits=limits() | {"concurrent_calls": 2},
        )
        async with working(tmp_path, policy) as world:
            world.vendor.gate.clear()
            await world.post(world.firing("A"))
            await until(lambda: world.vendor.under_way == 2)
            await world.rest()
            world.vendor.gate.set()
            await until(lambda: world.states() == {"accepted": 4})
            assert world.vendor.most_under_way == 2

    async def test_who_was_not_called_yet_goes_before_who_was(self, tmp_path: Path) -> None:
        policy = routes(
            receiver("phone", "alice"),
            receiver("dba", "bob"),
            route=EACH | {"routes": [{"receiver": "dba", "matchers": ["team=db"]}]},
            limits=limits(bundle_above=100) | {"concurrent_calls": 1},
        )
        async with working(tmp_path, policy) as world:
            world.vendor.gate.clear()
            await world.post(*(world.firing(f"A{number}") for number in range(20)))
            await until(lambda: world.vendor.rang == ["alice"])
            await world.post(world.firing("B", team="db"))
            world.vendor.gate.set()
            await until(lambda: world.states() == {"accepted": 21})
            assert world.vendor.rang.index("bob") == 1

    async def test_a_person_over_a_limit_waits_and_holds_nobody_up(self, tmp_path: Path) -> None:
        policy = each_alert("alice", "bob", limits=limits(min_interval="10m"))
        async with working(tmp_path, policy) as world:
            world.vendor.will("bob", ret_code(230))
            await world.post(world.firing("A"))
            await until(lambda: not world.calls(CallState.WAITING, CallState.SENDING))
            await world.post(world.firing("B"))
            await until(lambda: world.vendor.rang.count("bob") == 2)
            await until(lambda: world.metric("calls_limited_total") == 1)
            [waits] = world.calls(CallState.WAITING)
            assert (waits.person, waits.limited_until) == ("alice", NOW + 10 * MINUTE)
            await world.passes(10 * MINUTE)
            await until(lambda: world.vendor.rang.count("alice") == 2)

    async def test_a_clock_that_is_set_back_limits_nobody_until_it_has_caught_up(
        self, tmp_path: Path
    ) -> None:
        policy = each_alert("alice", limits=limits(min_interval="1m"))
        async with working(tmp_path, policy) as world:
            await world.post(world.firing("A"))
            await until(lambda: world.states() == {"accepted": 1})
            world.now -= HOUR
            await world.post(world.firing("B"))
            await until(lambda: world.vendor.rang == ["alice", "alice"])

    async def test_news_goes_before_what_is_over(self, tmp_path: Path) -> None:
        """However many calls back are owed, a new page is not behind them."""
        policy = routes(
            receiver("phone", "alice", **RESOLVING),
            route=EACH,
            limits=limits(min_interval="1m", bundle_above=100),
        )
        async with working(tmp_path, policy) as world:
            await world.post(*(world.firing(f"A{number}") for number in range(10)))
            while len(world.calls(CallState.ACCEPTED)) < 10:
                await world.passes(MINUTE)
            await world.passes(SECOND)
            await world.post(*(world.resolved(f"A{number}") for number in range(10)))
            await world.rest()
            await world.passes(SECOND)
            await world.post(world.firing("New"))
            await world.rest()  # it waits for the same limit now
            await world.passes(MINUTE)
            await until(lambda: len(world.vendor.sent) == 11)
            assert world.vendor.sent[-1].params == ("New", "1")

    async def test_a_storm_that_resolves_is_one_call_back(self, tmp_path: Path) -> None:
        policy = routes(receiver("phone", "alice", **RESOLVING), route=EACH, limits=limits())
        async with working(tmp_path, policy) as world:
            await world.post(*(world.firing(f"A{number}") for number in range(50)))
            await until(lambda: world.states() == {"accepted": 50})
            await world.post(*(world.resolved(f"A{number}") for number in range(50)))
            await until(lambda: world.states() == {"accepted": 100})
            assert [request.params[1] for request in world.vendor.sent] == ["50", "50"]

    async def test_a_storm_through_two_receivers_is_one_call_each(self, tmp_path: Path) -> None:
        policy = routes(
            receiver("phone", "alice"),
            receiver("dba", "alice"),
            route=EACH
            | {
                "routes": [
                    {"receiver": "dba", "continue": True, "matchers": ["x=y"]},
                    {"receiver": "phone", "matchers": ["x=y"]},
                ]
            },
            limits=limits(),
        )
        async with working(tmp_path, policy) as world:
            await world.post(*(world.firing(f"A{number}", x="y") for number in range(40)))
            await until(lambda: world.states() == {"accepted": 80})
            assert [request.params[1] for request in world.vendor.sent] == ["40", "40"]

    async def test_a_bundle_whose_lead_is_retried_loses_nobody(self, tmp_path: Path) -> None:
        async with working(tmp_path, each_alert("alice")) as world:
            world.vendor.will("alice", NO_CONNECTION)
            await world.post(*(world.firing(f"A{number}") for number in range(5)))
            await until(lambda: bool(world.vendor.sent) and world.states() == {"waiting": 5})
            await world.post(world.resolved("A1"))
            await world.passes(MINUTE)
            await until(lambda: world.states() == {"accepted": 4, "cancelled": 1})
            assert [request.params[1] for request in world.vendor.sent] == ["5", "4"]


# --- the account --------------------------------------------------------------------------------


class TestTheAccount:
    async def test_refused_it_is_probed_with_one_call_at_a_time(self, tmp_path: Path) -> None:
        policy = routes(
            receiver("phone", "alice", "bob", "carol"), limits=limits() | {"concurrent_calls": 1}
        )
        async with working(tmp_path, policy) as world:
            world.vendor.answer = ret_code(171)
            await world.post(world.firing("A"))
            await until(lambda: world.worker.account.trouble is Trouble.REFUSED)
            await world.rest()
            assert len(world.vendor.sent) == 1
            await world.passes(MINUTE)
            await until(lambda: len(set(world.vendor.rang)) == 2, "the probe is another call")
            await world.rest()
            assert len(world.vendor.sent) == 2
            assert world.metric("account_trouble", trouble="refused") == 1
            world.vendor.answer = TAKEN
            await world.passes(MINUTE)
            await world.passes(MINUTE)
            await until(lambda: world.states() == {"accepted": 3})
            assert world.metric("account_trouble", trouble="refused") == 0

    async def test_refused_for_a_day_it_costs_no_call_its_patience(self, tmp_path: Path) -> None:
        async with working(tmp_path) as world:
            world.vendor.answer = ret_code(171)
            await world.post(world.firing("A"))
            await until(lambda: bool(world.vendor.sent) and world.states() == {"waiting": 1})
            await world.passes(DAY)
            await until(lambda: len(world.vendor.sent) == 2 and world.states() == {"waiting": 1})
            world.vendor.answer = TAKEN
            await world.passes(MINUTE)
            await until(lambda: world.states() == {"accepted": 1})

    async def test_throttled_it_lets_nothing_out_for_a_while(self, tmp_path: Path) -> None:
        policy = routes(
            receiver("phone", "alice", "bob"), limits=limits() | {"concurrent_calls": 1}
        )
        async with working(tmp_path, policy) as world:
            world.vendor.will("alice", ret_code(153))
            world.vendor.will("bob", ret_code(153))
            await world.post(world.firing("A"))
            await until(lambda: world.worker.account.trouble is Trouble.THROTTLED)
            await world.rest()
            assert len(world.vendor.sent) == 1
            await world.passes(SECOND)
            await until(lambda: len(world.vendor.sent) == 2)
            await world.passes(MINUTE)
            await world.passes(MINUTE)
            await until(lambda: world.states() == {"accepted": 2})


# --- pace ---------------------------------------------------------------------------------------


RATES: dict[str, tuple[float, int]] = {
    "ten a second": (10.0, 10),
    "two and a half a second": (2.5, 2),
    "one in two seconds": (0.5, 1),
}


@pytest.mark.parametrize("name", RATES)
def test_no_more_leave_in_any_second_than_the_rate_says(name: str) -> None:
    rate, burst = RATES[name]
    pace, left, at = Pace(), [], 0.0
    while at < 20:
        free = pace.free(rate, at)
        assert 0 <= free <= burst
        left += [at] * free
        pace.take(free, at)
        assert pace.free(rate, at) == 0
        at += max(pace.pause(rate, at), 0.001)
    window = burst / rate
    for begin in left:
        assert len([each for each in left if begin <= each < begin + window - 1e-6]) <= burst
    assert len(left) >= rate * 20 - burst


def test_a_rate_that_was_lowered_holds_at_once() -> None:
    pace = Pace()
    pace.take(pace.free(10, 0.0), 0.0)
    assert pace.free(2, 0.5) < 1
    assert pace.pause(2, 0.5) == 0.5
    assert pace.free(2, 1.0) == 2


# --- trouble ------------------------------------------------------------------------------------


class TestTrouble:
    async def test_a_store_that_is_away_delays_calls_and_loses_none(self, tmp_path: Path) -> None:
        failures: list[Exception] = []

        def observe(_seconds: float, failure: Exception | None) -> None:
            failures.extend([failure] if failure else [])

        with opened(tmp_path, lock_wait_seconds=1.0, observe=observe) as store:
            world = World(store, routes(route={"receiver": "phone", "group_wait": "30s"}))
            async with running(world):
                await world.post(world.firing("A"))
                await world.rest()
                with held(tmp_path):
                    world.now += 30 * SECOND
                    world.worker.wake()
                    await until(lambda: bool(failures))
                    assert world.vendor.rang == []
                await until(lambda: world.states() == {"accepted": 1})
                assert world.vendor.rang == ["alice"]

    async def test_a_store_that_cannot_be_written_at_the_start_is_waited_for(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path, lock_wait_seconds=1.0) as store:
            world = World(store, routes())
            await world.post(world.firing("A"))
            with held(tmp_path):
                task = asyncio.create_task(world.worker.run())
                await asyncio.sleep(0.01)
            await until(lambda: world.states() == {"accepted": 1})
            world.worker.stop()
            await task

    async def test_housekeeping_that_fails_keeps_no_phone_from_ringing(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as store:
            world = World(store, replace(routes(), retention=timedelta.max))  # too large to count
            async with running(world):
                await world.post(world.firing("A"))
                await until(lambda: world.states() == {"accepted": 1})

    async def test_name_servers_that_hang_keep_no_phone_from_ringing(self, tmp_path: Path) -> None:
        """They block the event loop's own threads, all of them."""
        answered = threading.Event()
        loop = asyncio.get_running_loop()
        hanging = [loop.run_in_executor(None, answered.wait, 60) for _ in range(64)]
        try:
            async with working(tmp_path) as world:
                many = [world.firing("A", instance=str(n), x="x" * 300) for n in range(1000)]
                async with asyncio.timeout(20):
                    await world.post(*many)  # a body so large that it is parsed in a thread
                await until(lambda: world.states() == {"accepted": 1})
        finally:
            answered.set()
            await asyncio.gather(*hanging)

    async def test_stopped_it_settles_what_is_under_way_and_claims_no_more(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as store:
            world = World(store, each_alert("alice"))
            task = asyncio.create_task(world.worker.run())
            world.vendor.gate.clear()
            await world.post(world.firing("A"), world.firing("B"))
            await until(lambda: world.vendor.rang == ["alice"])
            await world.rest()
            world.worker.stop()
            world.vendor.gate.set()
            await task
            assert world.states() == {"accepted": 1, "waiting": 1}

    async def test_cut_off_it_leaves_its_call_to_the_next_start(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            world = World(store, routes())
            task = asyncio.create_task(world.worker.run())
            world.vendor.gate.clear()
            await world.post(world.firing("A"))
            await until(lambda: world.vendor.rang == ["alice"])
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert world.states() == {"sending": 1}
            again = World(store, routes())
            again.vendor.has_record_of("alice", NOW)
            async with running(again):
                await again.lease_ends(MINUTE)
                await until(lambda: again.states() != {"sending": 1})
                await again.passes(5 * SECOND)
                await until(lambda: again.states() == {"accepted": 1})
            assert again.vendor.rang == []


# --- tidying ------------------------------------------------------------------------------------


class TestHousekeeping:
    async def test_closes_what_nothing_confirms_and_forgets_what_is_old(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as store:
            world = World(store, routes())
            old, stale = page(closed_at=NOW - 40 * DAY), page(confirmed_at=NOW - 2 * DAY)
            over = {"firing": False, "ends_at": NOW - 40 * DAY}
            many = [episode(old, **over) for _ in range(1200)]
            store.write_now(lambda session: recorded(session, old, stale, episode(stale), *many))
            async with running(world):
                await until(
                    lambda: (
                        [
                            (each.id, each.closed_at)
                            for each in world.read(
                                lambda session: session.find_pages(only_open=False, limit=9)
                            )
                        ]
                        == [(stale.id, NOW)]
                    )
                )

    def test_a_page_of_thousands_of_alerts_goes_in_small_steps(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            old = page(closed_at=NOW - DAY)
            over = {"firing": False, "ends_at": NOW - DAY}
            many = [episode(old, **over) for _ in range(25)]
            store.write_now(lambda session: recorded(session, old, *many))
            steps = [
                store.write_now(lambda session: session.prune(NOW, 10, webhooks_before=NOW))
                for _ in range(4)
            ]
            assert steps == [10, 10, 6, 0]
