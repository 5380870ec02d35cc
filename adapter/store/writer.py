"""Group commit, for SQLite: one thread has the writing connection, and takes along all who wait.

Each job runs inside a savepoint of one transaction; the thread commits once, and only then answers.
So a caller that got its answer knows that it is on the disk, and a thousand webhooks cost a few
fsyncs. A job that raises undoes itself alone; where the database fails, every job of the
transaction gets `StoreUnavailable`, nothing of it is written, and the next one tries a fresh
connection, so that a full disk or a held lock needs no restart.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from adapter.errors import StoreUnavailable
from adapter.logs import logger
from adapter.store.engine import unavailable
from adapter.store.session import Session
from adapter.store.sqlite import is_of_the_database

_T = TypeVar("_T")
Job = Callable[[Session], _T]
# Seconds of one transaction, and what kept it from being committed; None: nothing did.
Observe = Callable[[float, Exception | None], None]

_log = logger(__name__)

# The most jobs one commit takes along: beyond that, answers would wait longer than fsyncs save.
_MOST_JOBS_A_COMMIT = 256


class Writer:
    """The one thread that writes."""

    def __init__(self, engine: sa.Engine, shown: str, observe: Observe) -> None:
        self._engine, self._shown, self._observe = engine, shown, observe
        self._jobs: queue.SimpleQueue[Put[Any] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, job: Job[_T]) -> Future[_T]:
        """Queue a job; the future has its result once that is on the disk."""
        put = Put(job)
        with self._closing:  # nothing may be queued behind the end, nobody would answer it
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._jobs.put(put)
        return put.answer

    def close(self) -> None:
        """Finish the jobs that were put, then stop."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch, last = self._together(first)
            started = time.perf_counter()
            failure = self._commit(batch)
            self._note(time.perf_counter() - started, failure)
            for put in batch:
                put.tell(failure and self._explained(failure))
            if last:
                return

    def _together(self, first: Put[Any]) -> tuple[list[Put[Any]], bool]:
        batch = [first]
        with suppress(queue.Empty):
            while len(batch) < _MOST_JOBS_A_COMMIT:
                put = self._jobs.get_nowait()
                if put is None:
                    return batch, True
                batch.append(put)
        return batch, False

    def _commit(self, batch: Sequence[Put[Any]]) -> Exception | None:
        """Run the jobs in one transaction; return what kept it from being committed."""
        try:
            with self._engine.begin() as connection:
                for put in batch:
                    put.run(connection)
        except Exception as error:  # a bug here must not end the thread that everybody waits for
            self._engine.dispose()
            return error
        return None

    def _explained(self, failure: Exception) -> Exception:
        if not isinstance(failure, sa.exc.DBAPIError):
            return failure
        explained = unavailable(failure, self._shown)
        explained.__cause__ = failure
        return explained

    def _note(self, seconds: float, failure: Exception | None) -> None:
        try:
            self._observe(seconds, failure and self._explained(failure))
        except Exception:  # as above
            _log.exception("observing a transaction failed")


class Put(Generic[_T]):
    """A job and whoever waits for it."""

    def __init__(self, job: Job[_T]) -> None:
        self.job = job
        self.answer: Future[_T] = Future()
        self.result: _T | None = None
        self.error: BaseException | None = None

    def run(self, connection: sa.Connection) -> None:
        """Run the job inside a savepoint; a failure of its own undoes it alone.

        Raises where the whole transaction has to end: the database is in trouble, or it has already
        rolled back so far that the savepoint is gone.
        """
        savepoint = connection.begin_nested()
        try:
            self.result = self.job(Session(connection))
        except BaseException as error:
            if is_of_the_database(error):
                raise
            savepoint.rollback()
            self.error = error
        else:
            savepoint.commit()

    def tell(self, failure: BaseException | None) -> None:
        """Wake who waits; somebody who went away meanwhile is no failure."""
        if not self.answer.set_running_or_notify_cancel():
            return
        if error := self.error or failure:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(self.result)  # type: ignore[arg-type] # run() has set it
