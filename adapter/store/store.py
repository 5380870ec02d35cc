"""The store: opens the database and runs transactions.

A database in a file has one writing thread that commits in groups, see `writer`; one that many
share has several, see `transactions`. Reads run beside them, each on a snapshot of its own. A job
is written whole or not at all, and whoever gets its answer knows it on the disk. A job may be run
more than once before it is written, so it does nothing but ask and tell its session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from adapter.errors import StoreError, StoreInUse, StoreUnavailable
from adapter.store import sqlite
from adapter.store.engine import Access, Database, shown, unavailable
from adapter.store.migrating import Schema, check_schema, migrate, schema_in
from adapter.store.postgres import POSTGRESQL, Postgres
from adapter.store.session import Session
from adapter.store.transactions import Transactions, Watch, Writers
from adapter.store.writer import Job, Observe, Writer

_T = TypeVar("_T")

# How long a statement waits for another process's lock before the store counts as unavailable.
# Below Alertmanager's peer_timeout of 15 s, so that our 503 comes before its next peer posts.
_LOCK_WAIT_SECONDS = 5.0

# All that one transaction may take, its waiting for a thread included; below that peer_timeout too.
_PATIENCE = 2  # times that

_READERS = 4
_WRITERS = 8  # where many may write at once

_EXAMPLES = f"{sqlite.EXAMPLE}, or postgresql+psycopg://uvms@db.example.com/uvms"


class Writes(Protocol):
    """What takes in jobs that write."""

    def put(self, job: Job[_T]) -> Future[_T]:
        """Queue a job; the future has its result once that is on the disk."""

    def close(self) -> None:
        """Finish the jobs that were put, then stop."""


class Store:
    """Pages, alerts, calls and attempts. Build one with `open_store`; end it with `close`."""

    def __init__(
        self,
        database: Database,
        owned: IO[str] | None,
        observe: Observe,
        *,
        patience_seconds: float,
        writers: int,
    ) -> None:
        self._database, self._owned = database, owned
        self._reading = database.connections(Access.READ)
        self._writing = database.connections(Access.WRITE)
        self._patience_seconds = patience_seconds
        _connect_first(database, self._reading, self._writing)
        self._watch = None if database.alone else Watch()
        self._writer = self._writes(observe, writers)
        # Threads of our own: those of the event loop may all be waiting for a dead name server.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._listening: list[Callable[[], None]] = []
        self._closed = False

    def _writes(self, observe: Observe, writers: int) -> Writes:
        if self._watch is None:
            return Writer(self._writing, self._database.shown, observe)
        return Writers(self._transactions(self._writing, self._watch), writers, observe)

    def _transactions(self, engine: sa.Engine, watch: Watch) -> Transactions:
        return Transactions(engine, self._database, self._patience_seconds, watch)

    @property
    def alone(self) -> bool:
        """Whether no other process works with this database: what is being sent is ours."""
        return self._database.alone

    def listen(self, callback: Callable[[], None]) -> None:
        """Have the callback called when another process has committed a `Session.wake`.

        It is called in a thread of the store's, and now and then for nothing; never rely on it
        alone. Ends when the store is closed.
        """
        self._listening.append(self._database.listen(callback))

    async def write(self, job: Job[_T]) -> _T:
        """Run the job in a transaction and return its result once that is on the disk.

        A caller who is cancelled while it waits cancels the waiting, not the job. Raises
        StoreUnavailable where it cannot be committed now; else what the job raises.
        """
        return await asyncio.wrap_future(self._writer.put(job))

    async def read(self, job: Job[_T]) -> _T:
        """Run a job that only reads, beside the writer. Raises as `write` does."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self.read_now, job)

    def write_now(self, job: Job[_T]) -> _T:
        """Do as `write` does, for callers without an event loop: the command line."""
        return self._writer.put(job).result()

    def read_now(self, job: Job[_T]) -> _T:
        """Do as `read` does, for callers without an event loop."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._watch is not None:
            reads = self._transactions(self._reading, self._watch)
            return reads.run(job, time.monotonic() + self._patience_seconds)
        try:
            with self._reading.begin() as connection:
                return job(Session(connection))
        except sa.exc.DBAPIError as error:
            if self._database.to_blame(error):
                raise unavailable(error, self._database.shown) from error
            raise

    def close(self) -> None:
        """Finish the jobs that were put, then let go of the database."""
        self._closed = True
        for end in self._listening:
            end()
        self._writer.close()
        self._readers.shutdown()
        if self._watch is not None:
            self._watch.close()
        for engine in (self._reading, self._writing):
            engine.dispose()
        if self._owned is not None:
            self._owned.close()


def open_store(
    url: str,
    *,
    exclusive: bool = False,
    observe: Observe | None = None,
    lock_wait_seconds: float = _LOCK_WAIT_SECONDS,
    writers: int = _WRITERS,
    listen_url: str | None = None,
) -> Store:
    """Open the database at a SQLAlchemy URL.

    `exclusive`: as the service does. It migrates the schema, and an embedded database is locked,
    so that whatever another process was sending is surely orphaned. Without it, as the command
    line does beside a running service, the schema has to be one that this version can work with.
    `observe` is told of every writing transaction, in whatever thread it ran: how many seconds it
    took, and what of the database's trouble kept it from being committed, if anything did.
    `writers`: how many transactions may write at once where the database takes that.
    `listen_url`: the same database past a pooler of transactions, through which nobody can listen.
    Raises StoreInUse, StoreError (the schema or the server is not for us) or StoreUnavailable.
    """
    database = find_database(url, lock_wait_seconds, writers, listen_url)
    owned = database.own() if exclusive else None
    try:
        _check(database, exclusive=exclusive)
        return Store(
            database,
            owned,
            observe or _unobserved,
            patience_seconds=_PATIENCE * lock_wait_seconds,
            writers=writers,
        )
    except BaseException:
        if owned is not None:
            owned.close()
        raise


def _connect_first(database: Database, *engines: sa.Engine) -> None:
    """Let SQLAlchemy ask what it wants to know of a server now: later on nobody bounds its wait."""
    if database.alone:
        return
    try:
        for engine in engines:
            engine.connect().close()
    except sa.exc.DBAPIError as error:
        raise unavailable(error, database.shown) from error


def shown_url(url: str) -> str:
    """Return the URL without password and parameters, for logs and errors."""
    return shown(_parsed(url))


def _parsed(url: str) -> sa.URL:
    try:
        return make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # their texts may quote the password
        raise StoreError(f"UVMS_DATABASE_URL is no database URL: {_EXAMPLES}") from None


def find_database(
    url: str,
    wait_seconds: float = _LOCK_WAIT_SECONDS,
    writers: int = _WRITERS,
    listen_url: str | None = None,
) -> Database:
    """Return what a URL names, without connecting to it."""
    parsed = _parsed(url)
    engine = parsed.drivername.split("+")[0]
    if engine == "sqlite":
        return sqlite.Sqlite(parsed, wait_seconds)
    if engine in POSTGRESQL:
        direct = _parsed(listen_url) if listen_url else parsed
        return Postgres(parsed, wait_seconds, writers, direct)
    raise StoreError(f"UVMS_DATABASE_URL names {engine!r}, in which nothing is stored: {_EXAMPLES}")


@contextmanager
def connecting(database: Database, access: Access, to: str) -> Iterator[sa.Engine]:
    """Lend an engine `to` do something; tell the database's trouble as StoreError."""
    engine = database.connections(access)
    try:
        database.look_at(engine)
        yield engine
    except sa.exc.DBAPIError as error:
        if database.to_blame(error):
            raise unavailable(error, database.shown) from error
        raise StoreError(f"{database.shown} cannot be {to}: {error.orig}") from error
    finally:
        engine.dispose()


def _check(database: Database, *, exclusive: bool) -> None:
    """Bring the schema up to date, or only look at it."""
    access = Access.MIGRATE if exclusive else Access.READ
    with connecting(database, access, "brought up to date") as engine:
        (migrate if exclusive else check_schema)(engine, database.shown)


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the schema up to date without a service; return which it was (None: none), and is.

    Raises as `open_store` does. An embedded database that a service uses is left alone, unless its
    schema is up to date.
    """
    database = find_database(url)
    try:
        owned = database.own()
    except StoreInUse:
        found = _schema(database)
        if not found.usable:
            raise
        return found.found, found.found or ""
    try:
        with connecting(database, Access.MIGRATE, "brought up to date") as engine:
            with engine.connect() as connection:
                before = schema_in(connection).found
            migrate(engine, database.shown)
            with engine.connect() as connection:
                return before, schema_in(connection).found or ""
    finally:
        if owned is not None:
            owned.close()


def _schema(database: Database) -> Schema:
    with (
        connecting(database, Access.READ, "looked at") as engine,
        engine.connect() as connection,
    ):
        return schema_in(connection)


def _unobserved(_seconds: float, _failure: Exception | None) -> None:
    """Tell nobody."""
