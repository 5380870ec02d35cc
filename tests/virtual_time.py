"""An event loop whose time is virtual: where nothing can run it jumps to the next timer.

Threads are real. While one works for the loop, time stands still and the loop really waits; so what
a thread does takes no time, and a story gives the same times on every machine. The loop knows of
threads through `run_in_executor` (`asyncio.to_thread` too), through anyio, which Starlette runs
plain functions by, and through `watch`; another one is told of as soon as it reaches the loop.
Sockets are not for it: the other end would live in real time.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

import anyio.to_thread

_T = TypeVar("_T")

_TICK_DIGITS = 6  # a datetime's: timers that are due at one instant have the same number
_TICK_SECONDS = 1e-6
_GLANCE_SECONDS = 0.05  # real; a thread that is done wakes us at once, unless nobody awaits it
_PATIENCE_SECONDS = 30.0  # real; for a thread on a busy machine
_MOST_TURNS = 500_000  # of the loop within one instant: more of them is a busy loop


class Standstill(RuntimeError):
    """Nothing will ever happen again, or the same thing for ever; says who waits."""


class UnknownThread(RuntimeError):
    """A thread reached the loop that had not waited for it: times may be wrong."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at second 0. All else is as in any event loop."""

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._now = 0.0
        self._turns = 0  # since time moved
        self._patience = patience_seconds
        self._at_work_since: float | None = None  # real; None: no thread works
        self._work: list[tuple[Future[Any] | None, asyncio.Future[Any]]] = []
        self._known_threads: set[int] = set()
        self._anyio_threads: anyio.CapacityLimiter | None = None  # None: none has been asked for
        self._first: list[asyncio.Future[None]] = []  # told of quiet before the others
        self._quiet: list[asyncio.Future[None]] = []
        self._pool = ThreadPoolExecutor(thread_name_prefix="virtual-time")
        self.unhandled: list[BaseException] = []
        super().__init__(_Selector(self._select))
        self.set_exception_handler(self._keep_unhandled)

    # --- time ---

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now

    def call_at(  # type: ignore[override]
        self, when: float, *args: Any, **more: Any
    ) -> asyncio.TimerHandle:
        """Set a timer to a whole tick; one in the future never to this instant."""
        rounded = round(when, _TICK_DIGITS)
        if when > self._now >= rounded:
            rounded = round(self._now + _TICK_SECONDS, _TICK_DIGITS)
        return super().call_at(rounded, *args, **more)

    async def quiet(self) -> None:
        """Return when all that happens at this instant has happened."""
        future = self.create_future()
        self._quiet.append(future)
        await future

    async def let_others_go_first(self) -> None:
        """Return when nothing else can happen at this instant; more may follow from what we do.

        So a network behaves: what leaves at one instant has all left before any of it arrives.
        """
        future = self.create_future()
        self._first.append(future)
        await future

    async def sleep_until(self, when: float) -> None:
        """Return at this instant, when all that is due then has happened."""
        assert when >= self._now, f"it is second {self._now} already, not {when}"
        if when > self._now:
            reached = self.create_future()
            self.call_at(when, reached.set_result, None)
            await reached
        await self.quiet()

    # --- threads ---

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Run it in a thread; time stands still meanwhile, even if nobody awaits it any more."""
        self._check_closed()  # type: ignore[attr-defined]

        def known() -> _T:
            self._known_threads.add(threading.get_ident())
            return func(*args)

        job = (executor or self._pool).submit(known)
        answer = asyncio.wrap_future(job, loop=self)
        self._work.append((job, answer))
        return answer

    def watch(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run a coroutine that waits for a thread which the loop does not know of."""
        task = self.create_task(work)
        self._work.append((None, task))
        return task

    def watch_anyio(self) -> None:
        """Know of anyio's threads from now on."""
        self._anyio_threads = anyio.to_thread.current_default_thread_limiter()

    def call_soon_threadsafe(self, *args: Any, **more: Any) -> asyncio.Handle:  # type: ignore[override]
        """Note a thread whose work the loop did not know of: time may have run ahead of it."""
        caller = threading.get_ident()
        if self._work or self._anyio_works():
            self._known_threads.add(caller)
        elif caller != self._thread_id and caller not in self._known_threads:  # type: ignore[attr-defined]
            name = threading.current_thread().name
            self.unhandled.append(
                UnknownThread(f"the loop did not know that thread {name!r} works")
            )
        return super().call_soon_threadsafe(*args, **more)

    def close(self) -> None:
        """Wait for the threads, and close."""
        self._pool.shutdown()
        super().close()

    # --- waiting ---

    def _select(self, select: Callable[[float], list[Any]], timeout: float | None) -> list[Any]:
        """Do what a selector does, but for waiting: `timeout` says until when nothing is due."""
        self._turns += 1
        if self._turns > _MOST_TURNS:
            raise Standstill(f"no time passes in {_MOST_TURNS} turns; there are:{self._tasks()}")
        if timeout == 0:
            return select(0)
        if self._threads_work():
            return select(_GLANCE_SECONDS)
        if events := select(0):  # somebody called from a thread
            return events
        if self._first or self._quiet:
            self._tell_quiet()
        elif timeout is None:
            raise Standstill(f"no timer is set and no thread works; there wait:{self._tasks()}")
        else:
            self._now, self._turns = round(self._now + timeout, _TICK_DIGITS), 0
        return []

    def _threads_work(self) -> bool:
        """Tell whether a thread works, or the loop has not taken over yet what it gave."""
        self._work = [
            (job, answer)
            for job, answer in self._work
            if not (answer.done() and (job is None or job.done()))
        ]
        if not self._work and not self._anyio_works():
            self._at_work_since = None
            return False
        since = self._at_work_since = self._at_work_since or time.monotonic()
        if time.monotonic() - since > self._patience:
            raise Standstill(
                f"threads have been at work for {self._patience:g} real seconds; "
                f"there wait:{self._tasks()}"
            )
        return True

    def _anyio_works(self) -> bool:
        return self._anyio_threads is not None and self._anyio_threads.borrowed_tokens > 0

    def _tell_quiet(self) -> None:
        if self._first:
            told, self._first = self._first, []
        else:
            told, self._quiet = self._quiet, []
        for future in told:
            if not future.done():
                future.set_result(None)

    def _tasks(self) -> str:
        tasks = sorted(
            f"{task.get_name()}: {getattr(task.get_coro(), '__qualname__', task.get_coro())}"
            for task in asyncio.all_tasks(self)
        )
        return "".join(f"\n  {task}" for task in tasks)

    def _keep_unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unhandled.append(context.get("exception") or RuntimeError(context["message"]))


class _Selector(selectors.DefaultSelector):
    """Asks the loop instead of waiting."""

    def __init__(self, ask: Callable[[Callable[[float], list[Any]], float | None], Any]) -> None:
        super().__init__()
        self._ask = ask

    def select(self, timeout: float | None = None) -> Any:
        return self._ask(super().select, timeout)


def run(main: Coroutine[Any, Any, _T], *, patience_seconds: float = _PATIENCE_SECONDS) -> _T:
    """Run a coroutine in virtual time; what nobody handled in a callback or a task is raised."""
    loop = VirtualTimeLoop(patience_seconds)

    async def watched() -> _T:
        loop.watch_anyio()
        return await main

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(watched())
    if loop.unhandled:
        raise BaseExceptionGroup("nobody handled", loop.unhandled)
    return result


def virtual_loop() -> VirtualTimeLoop:
    """Return the loop that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop), "to be run by virtual_time.run"
    return loop


def clock_of(loop: asyncio.AbstractEventLoop, began: datetime) -> Callable[[], datetime]:
    """Return a clock that shows `began` at second 0; threads may ask it too."""
    return lambda: began + timedelta(seconds=loop.time())
