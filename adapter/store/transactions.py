"""Transactions on a database that many share: each job in one of its own, several at once.

PostgreSQL lets transactions that end together share an fsync on its own. A group commit of ours
would only make strangers hold each other's locks, in an order nobody chose, and deadlock.

A job that others got in the way of is undone and done again from the beginning: it is a function
of what it reads, so doing it again is deciding again. That ends after a few tries, or when its time
is up. Nobody is told that something is written before COMMIT has returned.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import sqlalchemy as sa

from adapter.errors import StoreUnavailable
from adapter.logs import logger
from adapter.store.engine import Database, unavailable
from adapter.store.postgres import others_in_the_way
from adapter.store.session import Session
from adapter.store.writer import Job, Observe, Put

_T = TypeVar("_T")

_log = logger(__name__)

_TRIES = 8
_FIRST_PAUSE_SECONDS = 0.005  # doubled with each try, and a random part of it taken
_WATCH_SECONDS = 0.25


class Trouble(StoreUnavailable):
    """The database's own, as opposed to one that a job raises."""


class Transactions:
    """Runs jobs, each in a transaction; used by several threads at once."""

    def __init__(
        self, engine: sa.Engine, database: Database, patience_seconds: float, watch: Watch
    ) -> None:
        self._engine, self._database, self._watch = engine, database, watch
        self.patience_seconds = patience_seconds

    def run(self, job: Job[_T], until: float) -> _T:
        """Return the job's result once it is committed; `until`: monotonic seconds.

        Raises Trouble where that cannot be done now; else what the job raises.
        """
        reconnected = False
        for tried in range(1, _TRIES + 1):
            if time.monotonic() >= until:
                raise Trouble(f"{self._database.shown} cannot be used now: it is too slow")
            try:
                return self._once(job, until)
            except sa.exc.DBAPIError as error:
                if others_in_the_way(error) and tried < _TRIES:
                    time.sleep(_FIRST_PAUSE_SECONDS * 2**tried * random.random())  # noqa: S311
                elif error.connection_invalidated and not reconnected:
                    reconnected = True  # one from the pool that had died meanwhile
                else:
                    raise self._explained(error) from error
        raise AssertionError("the last try returns or raises")

    def _once(self, job: Job[_T], until: float) -> _T:
        with (
            self._engine.connect() as connection,
            self._watch.over(connection, until),
            connection.begin() as transaction,
        ):
            result = job(Session(connection))
            self._commit(connection, transaction)
        return result

    def _commit(self, connection: sa.Connection, transaction: sa.RootTransaction) -> None:
        """Commit, where there is something to commit.

        COMMIT of a transaction that has failed says nothing and rolls back.
        """
        shown = self._database.shown
        if not _is_intact(connection):
            raise Trouble(f"{shown} cannot be used now: the transaction ended before its commit")
        try:
            transaction.commit()
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise Trouble(
                f"{shown} was lost during a commit, which may be written or not: {error.orig}"
            ) from error

    def _explained(self, error: sa.exc.DBAPIError) -> Exception:
        if not self._database.to_blame(error):
            return error
        if not others_in_the_way(error):
            self._engine.dispose()  # after a failover, the others lead to the old server too
        return Trouble(str(unavailable(error, self._database.shown)))


def _is_intact(connection: sa.Connection) -> bool:
    from psycopg.pq import TransactionStatus

    driver: Any = connection.connection.driver_connection
    return bool(driver.info.transaction_status == TransactionStatus.INTRANS)


class Writers:
    """The threads that write: the shared database's counterpart of `writer.Writer`."""

    def __init__(self, transactions: Transactions, threads: int, observe: Observe) -> None:
        self._transactions, self._observe = transactions, observe
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store-writer")

    def put(self, job: Job[_T]) -> Future[_T]:
        """Queue a job; the future has its result once that is committed."""
        put = Put(job)
        until = time.monotonic() + self._transactions.patience_seconds
        try:
            self._threads.submit(self._run, put, until)
        except RuntimeError:
            raise StoreUnavailable("the store is closed") from None
        return put.answer

    def close(self) -> None:
        """Finish the jobs that were put, then stop."""
        self._threads.shutdown()

    def _run(self, put: Put[Any], until: float) -> None:
        started, failure = time.perf_counter(), None
        try:
            put.result = self._transactions.run(put.job, until)
        except Trouble as error:
            failure = error
        except BaseException as error:  # the job's own; this thread serves others too
            put.error = error
        try:
            self._observe(time.perf_counter() - started, failure)
        except Exception:  # as above
            _log.exception("observing a transaction failed")
        put.tell(failure)


class Watch:
    """Cuts the connections whose time is up: a server that hangs answers no timeout of its own."""

    def __init__(self) -> None:
        self._running: dict[object, tuple[float, Any]] = {}
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)
        self._thread.start()

    @contextmanager
    def over(self, connection: sa.Connection, until: float) -> Iterator[None]:
        """Cut the connection if this has not ended in time."""
        key = object()
        with self._changing:
            self._running[key] = (until, connection.connection.driver_connection)
        try:
            yield
        finally:
            with self._changing:
                self._running.pop(key, None)

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_WATCH_SECONDS):
            with self._changing:  # none of them can be closed, and its number used again, meanwhile
                now = time.monotonic()
                late = [key for key, (until, _) in self._running.items() if until < now]
                for key in late:
                    _cut(self._running.pop(key)[1])


def _cut(driver: Any) -> None:
    """Make whoever waits for the connection find it ended."""
    with (
        suppress(Exception),  # it is closed already
        socket.socket(fileno=os.dup(driver.pgconn.socket)) as cut,
    ):
        cut.shutdown(socket.SHUT_RDWR)
