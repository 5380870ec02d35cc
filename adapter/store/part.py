"""What every part of a session has: the transaction's connection, locks, and a way to write much.

Where one process owns the database there is one writer, and nothing to lock. Where many share it:

- `lock` comes first in a transaction, once, with all its keys; it takes them in an order that is
  the same for all, so that nobody waits in a circle. What is read after it is what the one before
  has committed.
- `try_lock` never waits. It may come at any time, and whoever gets False leaves that work alone.
- Rows that are locked by writing to them come after both. Should two still meet in a circle, the
  database ends one of them, and its job is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from adapter.store.listening import CHANNEL
from adapter.store.rows import Row

_T = TypeVar("_T")

# How many values one IN () may hold; SQLite's limit is 32,766 variables a statement.
_CHUNK = 5_000

# Locks come in two kinds, told apart by the first of their two numbers. Those that are waited for
# are few: a webhook of ten thousand groups must not use up the server's table of locks.
_WAITED_FOR, _TRIED = 7_001, 7_002
_FEW = 256
_MANY = 2**31
_LOCK = sa.text(
    "SELECT pg_advisory_xact_lock(:kind, number)"
    " FROM unnest(CAST(:numbers AS int[])) WITH ORDINALITY AS wanted (number, place)"
)
_TRY_LOCK = sa.text("SELECT pg_try_advisory_xact_lock(:kind, :number)")
_NOTIFY = sa.text("SELECT pg_notify(:channel, '')")

# Above so many rows PostgreSQL takes them as one JSON array, in a fraction of the time: others wait
# for what a storm has locked. It knows no NUL in JSON.
_FEW_ROWS = 20
_NUL = "\\u0000"


class Part:
    """One concern of a session."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def lock(self, keys: Iterable[str]) -> None:
        """Have the others wait who lock one of these keys, until this transaction ends.

        A key says of what kind it is: `page:…`, `receiver:…`. Now and then two of them are one.
        """
        numbers = sorted({_number(key, _FEW) for key in keys})
        if numbers and self._is_shared:
            self._connection.execute(_LOCK, {"kind": _WAITED_FOR, "numbers": numbers})

    def try_lock(self, key: str) -> bool:
        """Have the key until this transaction ends; False: somebody else has it now."""
        if not self._is_shared:
            return True
        values = {"kind": _TRIED, "number": _number(key, _MANY)}
        return bool(self._connection.scalar(_TRY_LOCK, values))

    def wake(self) -> None:
        """Have the other processes look for work as soon as this is committed."""
        if self._is_shared:
            self._connection.execute(_NOTIFY, {"channel": CHANNEL})

    @property
    def _is_shared(self) -> bool:
        return self._connection.dialect.name == "postgresql"

    def _write(self, statement: sa.Insert | sa.Update, rows: Sequence[Row]) -> None:
        """Run a statement for each of the rows, which hold what the driver takes as it is.

        The statement is one of a module's constants; all rows have the same names, more than one.
        """
        if not rows:
            return
        dialect, names = self._connection.dialect, tuple(rows[0])
        if self._is_shared and len(rows) > _FEW_ROWS and isinstance(statement, sa.Insert):
            text = _json(statement.table, rows)
            if _NUL not in text:
                sql = _of_json(statement, names, dialect)
                self._connection.exec_driver_sql(sql, {"rows": text})
                return
        sql, in_order = _for_driver(statement, names, dialect)
        values = [in_order(row) for row in rows]
        # Of one row, a driver makes less ado.
        self._connection.exec_driver_sql(sql, values if len(values) > 1 else values[0])


@cache
def _for_driver(
    statement: sa.Insert | sa.Update, names: tuple[str, ...], dialect: sa.Dialect
) -> tuple[str, Callable[[Row], Any]]:
    """Return the statement's text, and what puts a row into the form that goes with it."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    positions = compiled.positiontup
    return str(compiled), itemgetter(*positions) if positions else dict


@cache
def _of_json(statement: sa.Insert, names: tuple[str, ...], dialect: sa.Dialect) -> str:
    """Return the text of PostgreSQL's statement that inserts the rows of a JSON array.

    Source: https://www.postgresql.org/docs/current/functions-json.html
    """
    table = statement.table
    rows = sa.cast(sa.bindparam("rows"), postgresql.JSON)
    kind: sa.ColumnClause[Any] = sa.literal_column(f"NULL::{table.name}")
    found = sa.func.json_populate_recordset(kind, rows).table_valued(*map(sa.column, names))
    wanted = sa.select(*(found.c[name] for name in names))
    whole = statement.from_select(list(names), wanted, include_defaults=False)
    return str(whole.compile(dialect=dialect))


def _json(table: sa.FromClause, rows: Sequence[Row]) -> str:
    """Write rows as a JSON array; what is JSON in them becomes part of it."""
    within = [name for name in rows[0] if isinstance(table.c[name].type, sa.JSON)]
    whole = [row | {name: msgspec.Raw(row[name].encode()) for name in within} for row in rows]
    return msgspec.json.encode(whole).decode()


def _number(key: str, below: int) -> int:
    return int.from_bytes(blake2b(key.encode(errors="replace"), digest_size=8).digest()) % below


def chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Cut a long list into ones that fit into one statement."""
    source = iter(items)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk
