"""What PostgreSQL needs: connections that never wait for ever, and which of its errors are whose.

No session state outlives a transaction, so that pgbouncer may pool transactions: what a connection
needs is said with each BEGIN, nothing is prepared, and locks end with their transaction.
`LISTEN` alone needs a session; where it gets none, the poll is behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from adapter.errors import StoreError
from adapter.store.engine import Access, shown
from adapter.store.listening import LISTEN, Listening

if TYPE_CHECKING:
    import psycopg

OLDEST = 14
_DRIVER = "postgresql+psycopg"
POSTGRESQL = ("postgresql", "postgres")  # as the URL may name it

# libpq's own; whatever the URL says of them goes before. A server that is gone is noticed by its
# silence: unanswered data within tcp_user_timeout (ms), idle connections by keepalives (s).
# Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_CONNECTING: Mapping[str, Any] = MappingProxyType(
    {
        "application_name": "uvms-adapter",
        "connect_timeout": 3,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 5_000,
    }
)

# Reads see one instant. Writes see what others committed before each statement, and rely on
# conditional updates, unique indexes and `Session.lock`: nothing has to be tried again for it.
_BEGIN: Mapping[Access, str] = MappingProxyType(
    {
        Access.READ: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        Access.WRITE: "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",
        Access.MIGRATE: "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",
    }
)

# A migration may take its time, but others must not queue up for long behind the table it wants.
_MIGRATION_SECONDS = 600.0

# Classes of SQLSTATE, and single ones, that say nothing of the statement.
# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
_OF_THE_DATABASE = (
    "08",  # the connection
    "25006",  # read-only: a standby, or a primary that was one a moment ago
    "28",  # the password, which somebody is changing
    "3D000",  # there is no such database, yet
    "40",  # rolled back, for others were in the way
    "42501",  # not allowed
    "53",  # disk, memory or connections are used up
    "55P03",  # a lock was not to be had in time
    "57",  # an operator, a crash, a timeout
    "58",  # the system below it
    "XX",  # it does not trust itself any more
)
_OTHERS_IN_THE_WAY = ("40001", "40P01", "23505", "23503")
_UNIQUE = "23505"

_LISTENING = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = :query"
)
_NOT_VALID = (
    "SELECT 'index ' || indexrelid::regclass FROM pg_index JOIN pg_class ON oid = indexrelid"
    " WHERE relnamespace = current_schema()::regnamespace AND NOT (indisvalid AND indisready)"
    " UNION ALL SELECT 'constraint ' || conname || ' of ' || conrelid::regclass FROM pg_constraint"
    " WHERE connamespace = current_schema()::regnamespace AND NOT convalidated ORDER BY 1"
)


class Postgres:
    """A database that many processes share."""

    alone = False

    def __init__(
        self, url: sa.URL, wait_seconds: float, connections: int, listen_url: sa.URL | None = None
    ) -> None:
        self._url = _with_driver(url)
        self._listen_url = _with_driver(listen_url or url)
        self._wait_seconds, self._connections = wait_seconds, connections
        self.shown = shown(url)

    def own(self) -> None:
        """Own nothing: leases and locks keep the processes apart."""

    def held_by(self, connection: sa.Connection) -> int:
        """Count those who listen; behind a pooler of transactions nobody can."""
        return connection.scalar(_LISTENING, {"query": LISTEN}) or 0

    def troubles(self, connection: sa.Connection) -> list[str]:
        """Look for what the server does not rely on, and whether it can be written."""
        names = connection.exec_driver_sql(_NOT_VALID).scalars()
        standby = connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()
        return [
            *(["it is a standby, which nobody can write to"] if standby else ()),
            *(f"{name} is not valid" for name in names),
        ]

    def size(self, connection: sa.Connection) -> int:
        """Return what the whole database takes."""
        return connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0

    def version(self, connection: sa.Connection) -> str:
        """Name PostgreSQL and its version."""
        return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"

    def look_at(self, engine: sa.Engine) -> None:
        """Raise StoreError for a server that cannot keep what we promise."""
        with engine.connect() as connection:
            _check_server(connection, self.shown)

    def connections(self, access: Access) -> sa.Engine:
        """Return an engine whose connections are set up for one kind of access."""
        engine = sa.create_engine(
            self._url,
            connect_args={
                **{name: at for name, at in _CONNECTING.items() if name not in self._url.query},
                "prepare_threshold": None,
                "autocommit": True,  # the driver must not begin transactions on its own
                "client_encoding": "utf8",
            },
            use_native_hstore=False,  # spares a question to the server
            pool_size=self._connections if access is Access.WRITE else 4,
            max_overflow=0,
            hide_parameters=True,  # phone numbers and words have no business in an error's text
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
        )
        wait = _MIGRATION_SECONDS if access is Access.MIGRATE else self._wait_seconds
        begin = f"{_BEGIN[access]}; {_limits(wait, self._wait_seconds)}"
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", partial(_begin, sql=begin))
        sa.event.listen(engine, "handle_error", _shorten)
        return engine

    def to_blame(self, error: BaseException) -> bool:
        """Tell whether an error is the database's trouble rather than a fault of one statement."""
        if not isinstance(error, sa.exc.DBAPIError):
            return False
        code = _sqlstate(error)
        if not code:  # said by the driver, or by nobody: the connection is gone
            lost = (sa.exc.OperationalError, sa.exc.InterfaceError)
            return error.connection_invalidated or isinstance(error, lost)
        return code.startswith(_OF_THE_DATABASE) or is_race(error)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have the callback called, in a thread, when another process says wake; return the end."""
        parameters = sa.create_engine(self._listen_url).dialect.create_connect_args(
            self._listen_url
        )[1]
        parameters.pop("context", None)
        known = {**_CONNECTING, **parameters, "autocommit": True}
        return Listening(known, callback).close


def others_in_the_way(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the whole job may succeed when it is done again from the beginning."""
    return _sqlstate(error) in _OTHERS_IN_THE_WAY


def is_race(error: sa.exc.DBAPIError) -> bool:
    """Tell whether two did what only one can: `uq_` are the indexes that make that impossible."""
    if _sqlstate(error) != _UNIQUE:
        return False
    diagnosis = getattr(error.orig, "diag", None)
    return (getattr(diagnosis, "constraint_name", None) or "").startswith("uq_")


def _sqlstate(error: sa.exc.DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _with_driver(url: sa.URL) -> sa.URL:
    """Return the URL for the one driver that we know; raise StoreError where it is not there."""
    if url.drivername not in (*POSTGRESQL, _DRIVER):
        raise StoreError(
            f"UVMS_DATABASE_URL asks for {url.drivername!r}: write {_DRIVER}://… instead"
        )
    try:
        import psycopg  # noqa: F401 # who stores in SQLite needs none
    except ImportError:
        raise StoreError(
            "UVMS_DATABASE_URL names PostgreSQL, and its driver is not installed: "
            "pip install 'uvms-adapter[postgres]'"
        ) from None
    return url.set(drivername=_DRIVER)


def _limits(statement_seconds: float, lock_seconds: float) -> str:
    """Say how long one transaction's statements, locks and pauses may last, and in which zone."""
    values = {
        "statement_timeout": statement_seconds,
        "lock_timeout": lock_seconds,
        "idle_in_transaction_session_timeout": statement_seconds,
    }
    # At least a millisecond: 0 means "for ever".
    said = [f"SET LOCAL {name} = {max(1, int(at * 1000))}" for name, at in values.items()]
    return "; ".join(["SET LOCAL TimeZone = 'UTC'", *said])


def _prepare(connection: psycopg.Connection[Any], _record: object) -> None:
    from psycopg.types.string import StrDumperUnknown

    class WithoutNul(StrDumperUnknown):
        """PostgreSQL's texts hold any character but this one; a sender may send it all the same."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)

    connection.adapters.register_dumper(str, WithoutNul)
    # Behind a pooler, what somebody listens to may arrive here; the driver would keep it for ever.
    connection.add_notify_handler(lambda _notify: None)


def _begin(connection: sa.Connection, *, sql: str) -> None:
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def _shorten(context: sa.engine.ExceptionContext) -> None:
    """Leave of an error what it is: its details quote whole rows, with their phone numbers."""
    error, orig = context.sqlalchemy_exception, context.original_exception
    diagnosis = getattr(orig, "diag", None)
    said = getattr(diagnosis, "message_primary", None) or " ".join(str(orig).split())
    orig.args = (said,)
    if error is not None:
        error.args = (f"({type(orig).__module__}.{type(orig).__qualname__}) {said}",)


def _check_server(connection: sa.Connection, shown: str) -> None:
    version, encoding, synchronous = connection.exec_driver_sql(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),"
        " current_setting('synchronous_commit')"
    ).one()
    if version // 10_000 < OLDEST:
        raise StoreError(f"{shown} is PostgreSQL {version // 10_000}; {OLDEST} or later is needed")
    if encoding != "UTF8":
        raise StoreError(
            f"{shown} has the encoding {encoding}, in which not every alert can be written: "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if synchronous == "off":
        raise StoreError(
            f"{shown} commits without writing to the disk, so a crash would lose accepted "
            "webhooks: ALTER DATABASE … SET synchronous_commit = on"
        )
