"""What the embedded engine needs: durable settings, one owner, and which of its errors are whose.

Nothing else in the store knows SQLite, but for two kinds of column in `schema`.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO

import msgspec
import sqlalchemy as sa

from adapter.errors import StoreError, StoreInUse, StoreUnavailable
from adapter.store.engine import Access, shown

EXAMPLE = "write for example sqlite:////data/uvms-adapter.db"

# The write lock is taken at the beginning: one that is asked for late can deadlock.
_BEGIN: Mapping[Access, str] = MappingProxyType(
    {Access.READ: "BEGIN", Access.WRITE: "BEGIN IMMEDIATE", Access.MIGRATE: "BEGIN IMMEDIATE"}
)

# WAL: readers and the writer do not block each other. FULL: each commit is fsynced.
_DURABLE = ("journal_mode = WAL", "synchronous = FULL")
_PRAGMAS: Mapping[Access, tuple[str, ...]] = MappingProxyType(
    {
        Access.READ: (*_DURABLE, "query_only = ON"),
        Access.WRITE: (*_DURABLE, "foreign_keys = ON"),
        # Altering a table makes it anew: its children must not go with the old one.
        Access.MIGRATE: (*_DURABLE, "foreign_keys = OFF"),
    }
)

# Result codes that say nothing of the statement: the file, the disk or another process is in the
# way, for every job alike. Source: https://www.sqlite.org/rescode.html.
_OF_THE_DATABASE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)


class Sqlite:
    """A database in a file: the `Database` of one process."""

    alone = True

    def __init__(self, url: sa.URL, wait_seconds: float) -> None:
        if not url.database or url.database == ":memory:":
            raise StoreError(
                f"UVMS_DATABASE_URL names no file, so nothing would be kept: {EXAMPLE}"
            )
        self._url, self._wait_seconds = url, wait_seconds
        self._file = Path(url.database).resolve()
        self.shown = shown(url)

    def own(self) -> IO[str]:
        """Lock the file, see `lock`."""
        return lock(self._file)

    def held_by(self, _connection: sa.Connection) -> int:
        """Return 1 where a service has locked the file."""
        return int(_is_locked(self._file))

    def troubles(self, connection: sa.Connection) -> list[str]:
        """Read every page of the file, and look for rows that belong to none."""
        damage = connection.exec_driver_sql("PRAGMA integrity_check(10)").scalars()
        strays = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        orphaned = sorted({(str(row[0]), str(row[2])) for row in strays})
        return [
            *(f"the file is damaged: {said}" for said in damage if said != "ok"),
            *(f"{table} has rows that belong to no row of {parent}" for table, parent in orphaned),
        ]

    def size(self, _connection: sa.Connection) -> int:
        """Add up the file and what SQLite keeps beside it."""
        files = (self._file.with_name(self._file.name + end) for end in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    def version(self, _connection: sa.Connection) -> str:
        """Name SQLite and its version."""
        return f"SQLite {sqlite3.sqlite_version}"

    def look_at(self, engine: sa.Engine) -> None:
        """Raise StoreError where there is no file."""
        if not self._file.exists():
            raise StoreError(
                f"there is no database {self._file}; name the service's own with "
                "--database or UVMS_DATABASE_URL"
            )

    def connections(self, access: Access) -> sa.Engine:
        """Return an engine whose connections are set up for one kind of access."""
        return create_engine(self._url, access, self._wait_seconds)

    def to_blame(self, error: BaseException) -> bool:
        """See `is_of_the_database`."""
        return is_of_the_database(error)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Do nothing: whoever else writes here, a command, is found by the poll."""
        return lambda: None


def create_engine(url: sa.URL, access: Access, lock_wait_seconds: float) -> sa.Engine:
    """Return an engine whose connections are set up for one kind of access."""
    engine = sa.create_engine(
        url,
        connect_args={"timeout": lock_wait_seconds},
        hide_parameters=True,  # phone numbers and words have no business in an error's text
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    sa.event.listen(engine, "connect", partial(_prepare, access=access))
    sa.event.listen(engine, "begin", partial(_begin, access=access))
    return engine


def _prepare(connection: sqlite3.Connection, _record: object, *, access: Access) -> None:
    connection.isolation_level = None  # the driver must not begin transactions on its own
    try:
        for pragma in _PRAGMAS[access]:
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()
        raise


def _begin(connection: sa.Connection, *, access: Access) -> None:
    connection.exec_driver_sql(_BEGIN[access])


def is_of_the_database(error: BaseException) -> bool:
    """Tell whether an error is the database's trouble rather than a fault of the one statement."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in _OF_THE_DATABASE  # the upper bits tell which kind of it


def lock(database: Path) -> IO[str]:
    """Own an embedded database until the returned file is closed, or this process dies.

    Makes the directory and the empty database, for its owner's eyes only: it holds phone numbers.
    """
    path = _lock_of(database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database.touch(mode=0o600)
        path.touch(mode=0o600)
        file = path.open("r+")
    except OSError as error:
        raise StoreUnavailable(f"cannot write {error.filename}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreInUse(
            f"another process uses {database}; one embedded database serves one process: "
            "stop the other, or give this one a database of its own"
        ) from None
    return file


def _is_locked(database: Path) -> bool:
    """Tell whether a process owns it; for an instant nobody can begin to."""
    try:
        file = _lock_of(database).open()
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _lock_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")
