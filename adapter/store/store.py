"""The store: opens the database and runs transactions.

Writes are group-committed by one thread, see `writer`. Reads run beside it, each on a snapshot of
its own. A job is written whole or not at all, and whoever gets its answer knows it on the disk.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from adapter.errors import StoreError, StoreUnavailable
from adapter.store.migrating import check_schema, migrate
from adapter.store.session import Session
from adapter.store.sqlite import Access, create_engine, is_of_the_database, lock
from adapter.store.writer import Job, Observe, Writer, unavailable

_T = TypeVar("_T")

# How long a statement waits for another process's lock before the store counts as unavailable.
# Below Alertmanager's peer_timeout of 15 s, so that our 503 comes before its next peer posts.
_LOCK_WAIT_SECONDS = 5.0

_READERS = 4

_EXAMPLE = "write for example sqlite:////data/uvms-adapter.db"


class Store:
    """Pages, alerts, calls and attempts. Build one with `open_store`; end it with `close`."""

    def __init__(
        self, reading: sa.Engine, writing: sa.Engine, owned: IO[str] | None, observe: Observe
    ) -> None:
        self._reading, self._owned = reading, owned
        self._shown = _shown(reading.url)
        self._writer = Writer(writing, self._shown, observe)
        # Threads of our own: those of the event loop may all be waiting for a dead name server.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._closed = False

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
        try:
            with self._reading.begin() as connection:
                return job(Session(connection))
        except sa.exc.DBAPIError as error:
            if is_of_the_database(error):
                raise unavailable(error, self._shown) from error
            raise

    def close(self) -> None:
        """Finish the jobs that were put, then let go of the database."""
        self._closed = True
        self._writer.close()
        self._readers.shutdown()
        self._reading.dispose()
        if self._owned is not None:
            self._owned.close()


def open_store(
    url: str,
    *,
    exclusive: bool = False,
    observe: Observe | None = None,
    lock_wait_seconds: float = _LOCK_WAIT_SECONDS,
) -> Store:
    """Open the database at a SQLAlchemy URL.

    `exclusive`: as the service does. It migrates the schema, and an embedded database is locked,
    so that whatever another process was sending is surely orphaned. Without it, as the command
    line does beside a running service, the schema has to be current.
    `observe` is told of every writing transaction: how many seconds it took, and what kept it from
    being committed, if anything did.
    Raises StoreInUse, StoreError (the schema is not ours) or StoreUnavailable.
    """
    parsed, database = _parse(url)
    owned = lock(database) if exclusive else None
    try:
        _check(parsed, database, exclusive=exclusive, lock_wait_seconds=lock_wait_seconds)
        return Store(
            create_engine(parsed, Access.READ, lock_wait_seconds),
            create_engine(parsed, Access.WRITE, lock_wait_seconds),
            owned,
            observe or _unobserved,
        )
    except BaseException:
        if owned is not None:
            owned.close()
        raise


def shown_url(url: str) -> str:
    """Return the URL without password and parameters, for logs and errors."""
    return _shown(_parsed(url))


def _shown(url: sa.URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _parsed(url: str) -> sa.URL:
    try:
        return make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # their texts may quote the password
        raise StoreError(f"UVMS_DATABASE_URL is no database URL: {_EXAMPLE}") from None


def _parse(url: str) -> tuple[sa.URL, Path]:
    """Return the URL and the file it names."""
    parsed = _parsed(url)
    if (backend := parsed.get_backend_name()) != "sqlite":
        raise StoreError(
            f"UVMS_DATABASE_URL names {backend!r}; this version stores in SQLite: {_EXAMPLE}"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"UVMS_DATABASE_URL names no file, so nothing would be kept: {_EXAMPLE}")
    return parsed, Path(parsed.database).resolve()


def _check(url: sa.URL, database: Path, *, exclusive: bool, lock_wait_seconds: float) -> None:
    """Bring the schema up to date, or only look at it."""
    if not exclusive and not database.exists():
        raise StoreError(
            f"there is no database {database}; name the service's own with "
            "--database or UVMS_DATABASE_URL"
        )
    access = Access.MIGRATE if exclusive else Access.READ
    engine = create_engine(url, access, lock_wait_seconds)
    try:
        (migrate if exclusive else check_schema)(engine, _shown(url))
    except sa.exc.DBAPIError as error:
        if is_of_the_database(error):
            raise unavailable(error, _shown(url)) from error
        raise StoreError(f"{_shown(url)} cannot be brought up to date: {error.orig}") from error
    finally:
        engine.dispose()


def _unobserved(_seconds: float, _failure: Exception | None) -> None:
    """Tell nobody."""
