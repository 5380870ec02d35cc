"""What the embedded engine needs: durable settings, one owner, and which of its errors are whose.

Nothing else in the store knows SQLite, but for two kinds of column in `schema`.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO

import msgspec
import sqlalchemy as sa

from adapter.errors import StoreInUse, StoreUnavailable


class Access(Enum):
    """What an engine's connections are for."""

    READ = "read"  # beside the writer, and surely without writing
    WRITE = "write"  # one connection at a time: SQLite has one writer
    MIGRATE = "migrate"  # altering a table makes it anew: its children must not go with the old one


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
    path = database.with_name(f"{database.name}.lock")
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
