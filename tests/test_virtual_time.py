"""The virtual event loop: timers jump, threads do not; what would hang is told."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.to_thread
import pytest
from virtual_time import Standstill, UnknownThread, clock_of, run, virtual_loop

BEGAN = datetime(2026, 11, 23, 19, tzinfo=UTC)


class Door:
    """A thread's work that lasts until somebody opens; says when it has begun."""

    def __init__(self) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()
        self.passed = False

    def wait(self) -> str:
        self.begun.set()
        assert self.opened.wait(20), "nobody opened"
        self.passed = True
        return "through"


def now() -> float:
    return asyncio.get_running_loop().time()


# --- timers -------------------------------------------------------------------------------------


def test_timers_fire_in_order_each_at_its_instant():
    async def main() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, now()))

        async with asyncio.TaskGroup() as tasks:
            for name, seconds in (("late", 90), ("early", 0.25), ("middle", 60), ("now", 0)):
                tasks.create_task(sleeper(name, seconds))
        return seen

    assert run(main()) == [("now", 0), ("early", 0.25), ("middle", 60), ("late", 90)]


def test_two_hours_of_seconds_take_no_time():
    async def main() -> float:
        for _ in range(7200):
            await asyncio.sleep(1)
        return now()

    began = time.monotonic()
    assert run(main()) == 7200
    assert time.monotonic() - began < 10


def test_a_sleep_longer_than_a_selector_may_wait():
    async def main() -> float:
        await asyncio.sleep(timedelta(days=30).total_seconds())
        return now()

    assert run(main()) == timedelta(days=30).total_seconds()


def test_sums_of_fractions_meet_at_the_same_instant():
    """0.1 + 0.2 is not 0.3 in floats, but is due together with it."""

    async def main() -> list[float]:
        loop, seen = virtual_loop(), []
        loop.call_at(0.3, lambda: seen.append(now()))
        await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
        await loop.quiet()
        return [*seen, now()]

    assert run(main()) == [0.3, 0.3]


def test_a_timer_in_the_future_lets_time_pass_however_near_it_is():
    async def main() -> float:
        await asyncio.sleep(10)
        await asyncio.sleep(1e-9)
        return now()

    assert run(main()) == pytest.approx(10.000001, abs=1e-9)


def test_timeouts_count_virtual_seconds():
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return now()

    assert run(main()) == 30


def test_the_clock_shows_virtual_time_to_threads_too():
    async def main() -> tuple[datetime, datetime]:
        clock = clock_of(asyncio.get_running_loop(), BEGAN)
        await asyncio.sleep(1.5)
        return clock(), await asyncio.to_thread(clock)

    later = BEGAN + timedelta(seconds=1.5)
    assert run(main()) == (later, later)


# --- an instant's end ---------------------------------------------------------------------------


def test_quiet_comes_after_everything_of_the_instant_and_before_the_next():
    async def main() -> list[str]:
        loop, seen = virtual_loop(), []

        async def works() -> None:
            await asyncio.sleep(60)
            seen.append("due")
            await asyncio.to_thread(seen.append, "from a thread")
            for _ in range(10):
                await asyncio.sleep(0)
            seen.append("after it")
            await asyncio.sleep(0.000001)
            seen.append("later")

        working = asyncio.create_task(works())
        await loop.sleep_until(60)
        seen.append("quiet")
        await working
        return seen

    assert run(main()) == ["due", "from a thread", "after it", "quiet", "later"]


def test_what_leaves_at_one_instant_has_left_before_any_of_it_arrives():
    async def main() -> list[str]:
        loop, seen = virtual_loop(), []

        async def sends(name: str) -> None:
            for _ in range(ord(name)):
                await asyncio.sleep(0)
            seen.append(f"{name} leaves")
            await loop.let_others_go_first()
            seen.append(f"{name} arrives")
            await asyncio.to_thread(seen.append, f"{name} is answered")

        sending = [asyncio.create_task(sends(name)) for name in "zA"]
        await loop.quiet()
        seen.append("quiet")
        await asyncio.gather(*sending)
        assert now() == 0
        return seen

    found = run(main())
    assert found[:3] == ["A leaves", "z leaves", "A arrives"]
    assert {"z arrives", "A is answered", "z is answered"} == set(found[3:-1])
    assert found[-1] == "quiet"


def test_the_past_cannot_be_waited_for():
    async def main() -> None:
        await asyncio.sleep(60)
        await virtual_loop().sleep_until(59)

    with pytest.raises(AssertionError, match=r"it is second 60\.0 already, not 59"):
        run(main())


# --- threads ------------------------------------------------------------------------------------


async def in_the_default_executor(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def in_an_executor(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


async def in_a_thread_of_anyio(work: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(work)


async def in_a_thread_that_is_watched(work: Callable[[], Any]) -> Any:
    async def waits() -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        thread = threading.Thread(
            target=lambda: loop.call_soon_threadsafe(future.set_result, work())
        )
        thread.start()
        try:
            return await future
        finally:
            thread.join()

    return await virtual_loop().watch(waits())


@pytest.mark.parametrize(
    "way",
    [
        in_the_default_executor,
        in_an_executor,
        in_a_thread_of_anyio,
        in_a_thread_that_is_watched,
    ],
)
def test_time_stands_still_while_a_thread_works(way):
    """A timer that is set to the next second does not fire before the thread is done."""
    door, seen = Door(), []

    def opens() -> None:
        door.begun.wait(20)
        for _ in range(5):  # the loop has every chance to run ahead meanwhile
            time.sleep(0.005)
        seen.append("opened")
        door.opened.set()

    async def main() -> tuple[str, float]:
        virtual_loop().call_later(1, seen.append, "a second passed")
        said = await way(door.wait)
        done_at = now()
        await asyncio.sleep(2)
        return said, done_at

    opener = threading.Thread(target=opens)
    opener.start()
    assert run(main()) == ("through", 0)
    opener.join()
    assert seen == ["opened", "a second passed"]


def test_a_thread_that_nobody_awaits_any_more_holds_time_all_the_same():
    door = Door()

    def opens() -> None:
        door.begun.wait(20)
        time.sleep(0.01)
        door.opened.set()

    async def main() -> bool:
        """Go on while the thread works, as after a cancelled reading of the store."""
        waiting = asyncio.create_task(asyncio.to_thread(door.wait))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await asyncio.sleep(1)
        return door.passed

    opener = threading.Thread(target=opens)
    opener.start()
    assert run(main())
    opener.join()


def test_many_threads_and_timers_keep_their_order():
    async def main() -> list[float]:
        seen: list[float] = []

        async def works(seconds: float) -> None:
            for _ in range(20):
                await asyncio.sleep(seconds)
                seen.append(await asyncio.to_thread(asyncio.get_running_loop().time))

        async with asyncio.TaskGroup() as tasks:
            for seconds in (1, 1.5, 2):
                tasks.create_task(works(seconds))
        return seen

    found = run(main())
    assert found == sorted(found)
    assert found[-1] == 40


# --- trouble ------------------------------------------------------------------------------------


def raises() -> None:
    raise ZeroDivisionError("of this test")


async def in_the_coroutine() -> None:
    await asyncio.sleep(60)
    raises()


async def in_a_thread() -> None:
    await asyncio.to_thread(raises)


async def in_a_task_beside() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(in_the_coroutine())
        await asyncio.sleep(3600)


async def in_a_callback() -> None:
    asyncio.get_running_loop().call_later(1, raises)
    await asyncio.sleep(2)


@pytest.mark.parametrize("where", [in_the_coroutine, in_a_thread])
def test_an_exception_surfaces_as_it_is(where):
    with pytest.raises(ZeroDivisionError, match="of this test"):
        run(where())


@pytest.mark.parametrize("where", [in_a_task_beside, in_a_callback])
def test_an_exception_beside_surfaces_in_a_group(where):
    with pytest.raises(ExceptionGroup) as caught:
        run(where())
    assert [str(error) for error in caught.value.exceptions] == ["of this test"]


def test_a_hang_is_told_with_who_waits():
    async def for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(for_ever(), name="the sleeper")

    with pytest.raises(Standstill, match=r"(?s)no timer is set .*\n  the sleeper: .*for_ever"):
        run(main())


def test_a_thread_that_the_loop_does_not_know_of_is_told():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        thread = threading.Thread(
            target=lambda: loop.call_soon_threadsafe(called.set_result, None), name="stranger"
        )
        thread.start()
        thread.join()
        await called

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    [told] = caught.value.exceptions
    assert isinstance(told, UnknownThread)
    assert str(told) == "the loop did not know that thread 'stranger' works"


def test_a_busy_loop_is_told():
    async def busy() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Standstill, match=r"no time passes in 500000 turns"):
        run(busy())


def test_a_thread_that_never_ends_is_told():
    door = Door()

    async def main() -> None:
        await asyncio.to_thread(door.wait)

    opener = threading.Timer(0.3, door.opened.set)  # the thread has to end before the test can
    opener.start()
    with pytest.raises(Standstill, match=r"threads have been at work for 0\.05 real seconds"):
        run(main(), patience_seconds=0.05)
    opener.join()
