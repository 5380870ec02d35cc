"""What the store asks of a database, whichever it is. Knows neither of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import IO, Protocol

import sqlalchemy as sa

from adapter.errors import StoreUnavailable


class Access(Enum):
    """What an engine's connections are for."""

    READ = "read"  # beside the writer, and surely without writing
    WRITE = "write"
    MIGRATE = "migrate"  # may take its time, and alters tables


class Database(Protocol):
    """One place where things are stored."""

    @property
    def shown(self) -> str:
        """Its URL without password and parameters."""

    @property
    def alone(self) -> bool:
        """Whether one process at a time owns it, so that what another was sending is orphaned."""

    def own(self) -> IO[str] | None:
        """Own it until the returned file is closed; None: it is for many."""

    def held_by(self, connection: sa.Connection) -> int:
        """Count the services that use it now, as far as it can tell."""

    def troubles(self, connection: sa.Connection) -> list[str]:
        """Look through all of it; return what it finds wrong with itself, a sentence each."""

    def size(self, connection: sa.Connection) -> int:
        """Return how many bytes it takes on the disk."""

    def version(self, connection: sa.Connection) -> str:
        """Name the engine and its version."""

    def look_at(self, engine: sa.Engine) -> None:
        """Raise StoreError where there is no database, or none that keeps what we promise."""

    def connections(self, access: Access) -> sa.Engine:
        """Return an engine whose connections are set up for one kind of access."""

    def to_blame(self, error: BaseException) -> bool:
        """Tell whether an error is the database's trouble rather than a fault of one statement."""

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have the callback called, in a thread, when another process says wake; return the end."""


def take_your_time(connection: sa.Connection) -> None:
    """Let this transaction take as long as reading or writing all of it takes."""
    if connection.dialect.name == "postgresql":
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = '1h'")


def shown(url: sa.URL) -> str:
    """Return a URL without password and parameters, for logs and errors."""
    return url.set(query={}).render_as_string(hide_password=True)


def unavailable(error: sa.exc.DBAPIError, shown: str) -> StoreUnavailable:
    """Say what a database's trouble means to whoever wants something of the store."""
    return StoreUnavailable(f"{shown} cannot be used now: {error.orig}")
