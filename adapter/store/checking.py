"""Looks whether a database is well, and what waits in it, beside a running service."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from adapter.model import Record
from adapter.store.engine import Access, take_your_time
from adapter.store.migrating import Schema, schema_in
from adapter.store.records import Queue
from adapter.store.schema import attempts, call_is_open, calls, metadata, rejected, webhooks
from adapter.store.session import Session
from adapter.store.store import connecting, find_database


class Counts(Record):
    """How much is stored, and how much of it waits."""

    queue: Queue
    attempts_under_way: int
    webhooks: int  # kept for replaying
    rejected: int
    rows: dict[str, int]


class Checked(Record):
    """What a look at a database found."""

    shown: str
    engine: str
    schema: Schema
    size: int  # bytes
    held_by: int  # services
    alone: bool  # one service at a time may use it
    counts: Counts | None  # None: the schema is not one to count in
    troubles: tuple[str, ...]  # what is wrong, a sentence each


def check(url: str, now: datetime) -> Checked:
    """Look at all of a database, in one instant. Raises StoreError where it cannot be read."""
    database = find_database(url)
    with connecting(database, Access.READ, "read") as engine, engine.begin() as connection:
        take_your_time(connection)
        schema = schema_in(connection)
        return Checked(
            shown=database.shown,
            engine=database.version(connection),
            schema=schema,
            size=database.size(connection),
            held_by=database.held_by(connection),
            alone=database.alone,
            counts=_counts(connection, now) if schema.usable else None,
            troubles=(*_of_schema(connection, schema), *database.troubles(connection)),
        )


def is_held(url: str) -> bool:
    """Tell whether a service uses it now."""
    database = find_database(url)
    with connecting(database, Access.READ, "read") as engine, engine.begin() as connection:
        return database.held_by(connection) > 0


def rows_in(connection: sa.Connection, tables: list[sa.Table]) -> dict[str, int]:
    """Count the rows of tables."""
    count = sa.select(sa.func.count())
    return {table.name: connection.scalar(count.select_from(table)) or 0 for table in tables}


def _counts(connection: sa.Connection, now: datetime) -> Counts:
    rows = rows_in(connection, metadata.sorted_tables)
    under_way = (
        sa.select(sa.func.count())
        .select_from(attempts)
        .join(calls, calls.c.attempt_id == attempts.c.id)
        .where(call_is_open, attempts.c.finished_at.is_(None), attempts.c.call_id == calls.c.id)
    )
    return Counts(
        queue=Session(connection).queue(now),
        attempts_under_way=connection.scalar(under_way) or 0,
        webhooks=rows[webhooks.name],
        rejected=rows[rejected.name],
        rows=rows,
    )


def _of_schema(connection: sa.Connection, schema: Schema) -> list[str]:
    """Return what keeps this version from working with it, and what somebody took away."""
    if not schema.usable:
        return [_why_not(schema)]
    there = sa.inspect(connection)
    tables = set(there.get_table_names())
    missing = [f"table {name}" for name in metadata.tables if name not in tables]
    for table in metadata.sorted_tables:
        if table.name in tables:
            columns = {column["name"] for column in there.get_columns(table.name)}
            indexes = {index["name"] for index in there.get_indexes(table.name)}
            missing += [f"column {table.name}.{c.name}" for c in table.c if c.name not in columns]
            missing += [f"index {i.name}" for i in table.indexes if i.name not in indexes]
    return [f"{what} is missing" for what in sorted(missing)]


def _why_not(schema: Schema) -> str:
    if schema.found is None:
        return "it has no schema yet: uvms-adapter store migrate"
    if schema.known:
        return (
            f"it has schema {schema.found}, this version needs {schema.ours}: "
            "uvms-adapter store migrate"
        )
    return f"it has schema {schema.found}, of a later version than this one: use that version"
