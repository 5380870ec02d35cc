"""What every part of a session has: the transaction's connection, and a way to write much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa

from adapter.store.rows import Row

_T = TypeVar("_T")

# How many values one IN () may hold; SQLite's limit is 32,766 variables a statement.
_CHUNK = 5_000


class Part:
    """One concern of a session."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _write(self, statement: sa.Insert | sa.Update, rows: Sequence[Row]) -> None:
        """Run a statement for each of the rows, which hold what the driver takes as it is.

        The statement is one of a module's constants; all rows have the same names, more than one.
        """
        if rows:
            sql, in_order = _for_driver(statement, tuple(rows[0]), self._connection.dialect)
            self._connection.exec_driver_sql(sql, [in_order(row) for row in rows])


@cache
def _for_driver(
    statement: sa.Insert | sa.Update, names: tuple[str, ...], dialect: sa.Dialect
) -> tuple[str, Callable[[Row], Any]]:
    """Return the statement's text, and what puts a row into the form that goes with it."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    positions = compiled.positiontup
    return str(compiled), itemgetter(*positions) if positions else dict


def chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Cut a long list into ones that fit into one statement."""
    source = iter(items)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk
