"""Export and import: all that matters of a store as one file of JSON lines, for any engine.

The first line is the header, the last one the checksum of all before it; between them each line is
a row, `{"pages": {"id": …}}`, parents before their children. Ids are kept as they are, and so are
states and leases: what was under way is looked up by whoever goes on with it.

Times are UTC, bytes Base64. A column that the file does not have, because an older version wrote
it, gets its default; what this version does not know, it refuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, BinaryIO

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Meta, Struct, UnsetType

from adapter import __version__
from adapter.errors import StoreError
from adapter.model import Record
from adapter.store.checking import rows_in
from adapter.store.engine import Access, Database, take_your_time
from adapter.store.migrating import is_known, migrate, schema_in
from adapter.store.schema import Instant, call_is_open, calls, metadata, page_is_open, pages, probe
from adapter.store.store import connecting, find_database

FORMAT, VERSION = "uvms-adapter store", 1

_TABLES = [table for table in metadata.sorted_tables if table is not probe]
_NUMBERED = [table for table in _TABLES if table.autoincrement_column is not None]
_AT_ONCE = 1_000  # rows a statement
_CHECKSUM = "sha256"

Progress = Callable[[int], None]  # is told how many rows more are done


class Header(Record):
    """The first line of the file."""

    format: str
    version: int  # of the format
    schema: str
    exported_at: datetime
    exported_by: str
    rows: dict[str, int]
    last_ids: dict[
        str, int
    ]  # the highest that was ever given, of the tables that number their rows

    @property
    def total(self) -> int:
        """Return how many rows the file holds."""
        return sum(self.rows.values())


class Imported(Record):
    """What an import has written."""

    header: Header
    left_out: int = 0  # open pages, and open calls of none


# --- export --------------------------------------------------------------------------------------


def export_store(
    url: str, out: BinaryIO, now: datetime, begin: Callable[[Header], Progress]
) -> Header:
    """Write everything down as it stands at one instant, beside a running service."""
    database = find_database(url)
    with connecting(database, Access.READ, "read") as engine, engine.begin() as connection:
        take_your_time(connection)
        header = _header(connection, database, now)
        progressed, checksum = begin(header), hashlib.sha256()
        for line in _lines(connection, header, progressed):
            checksum.update(line)
            out.write(line)
        out.write(_line({_CHECKSUM: checksum.hexdigest()}))
    return header


def _header(connection: sa.Connection, database: Database, now: datetime) -> Header:
    schema = schema_in(connection)
    if schema.found != schema.ours:
        raise StoreError(
            f"{database.shown} has schema {schema.found or 'none'}, this version exports "
            f"{schema.ours}: use the version that it belongs to"
        )
    return Header(
        format=FORMAT,
        version=VERSION,
        schema=schema.ours,
        exported_at=now,
        exported_by=__version__,
        rows=rows_in(connection, _TABLES),
        last_ids={table.name: _last_id(connection, table) for table in _NUMBERED},
    )


def _lines(connection: sa.Connection, header: Header, progressed: Progress) -> Iterator[bytes]:
    yield _line(header)
    for table in _TABLES:
        query = table.select().order_by(*table.primary_key)
        found = connection.execution_options(yield_per=_AT_ONCE).execute(query)
        for rows in found.mappings().partitions():
            yield b"".join(_line({table.name: dict(row)}) for row in rows)
            progressed(len(rows))


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _last_id(connection: sa.Connection, table: sa.Table) -> int:
    """Return the highest number that a row of it has ever had."""
    if connection.dialect.name == "postgresql":
        last = sa.column("last_value", sa.BigInteger)
        given = (
            sa.select(last).select_from(sa.table(_sequence(table))).where(sa.column("is_called"))
        )
        return connection.scalar(given) or 0
    asked = "SELECT seq FROM sqlite_sequence WHERE name = :name"
    return connection.scalar(sa.text(asked), {"name": table.name}) or 0


def _sequence(table: sa.Table) -> str:
    return f"{table.name}_{table.primary_key.columns[0].name}_seq"


# --- import --------------------------------------------------------------------------------------


def import_store(
    url: str,
    source: Iterable[bytes],
    begin: Callable[[Header], Progress],
    *,
    closed_only: bool = False,
) -> Imported:
    """Write an export into an empty database, in one transaction: whole or not at all.

    `closed_only`: leave out what is open, pages and calls, so that nobody is rung for it.
    Raises StoreInUse where a service owns the database, StoreError for a file that is not as it
    was written and for a database that is not empty, StoreUnavailable.
    """
    database, reader = find_database(url), _Reader(source)
    header = reader.header()
    owned = database.own()
    try:
        with connecting(database, Access.MIGRATE, "brought up to date") as engine:
            migrate(engine, database.shown)
        with connecting(database, Access.WRITE, "written") as engine, engine.begin() as connection:
            take_your_time(connection)
            _have_it_empty(connection, database)
            _write(connection, reader, begin(header))
            left_out = _leave_out(connection) if closed_only else 0
    finally:
        if owned is not None:
            owned.close()
    return Imported(header=header, left_out=left_out)


def _have_it_empty(connection: sa.Connection, database: Database) -> None:
    """Raise StoreError unless nothing is there; keep others from writing until we are done."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in _TABLES)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
    rows = rows_in(connection, _TABLES)
    if any(rows.values()):
        found = ", ".join(f"{count} {name}" for name, count in rows.items() if count)
        raise StoreError(
            f"{database.shown} is not empty, it holds {rows[pages.name]} pages "
            f"(rows: {found}): import into a database of its own"
        )


def _write(connection: sa.Connection, reader: _Reader, progressed: Progress) -> None:
    highest = reader.last_ids
    for table, rows in reader.batches():
        try:
            connection.execute(table.insert(), rows)
        except sa.exc.IntegrityError as error:
            raise reader.wrong(f"the rows of {table.name} before it contradict others") from error
        if table in _NUMBERED:
            highest[table.name] = max(highest[table.name], max(row["id"] for row in rows))
        progressed(len(rows))
    for table in _NUMBERED:
        _go_on_after(connection, table, highest[table.name])


def _go_on_after(connection: sa.Connection, table: sa.Table, last_id: int) -> None:
    """Number the next row above all: who joined later has the larger number."""
    if connection.dialect.name == "postgresql":
        if last_id:
            values = {"sequence": _sequence(table), "last": last_id}
            connection.execute(sa.text("SELECT setval(:sequence, :last)"), values)
        return
    values = {"name": table.name, "last": last_id}
    connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
    insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"
    connection.execute(sa.text(insert), values)


def _leave_out(connection: sa.Connection) -> int:
    """Forget the pages that are open, with all that belongs to them, and the calls of none."""
    gone = connection.execute(pages.delete().where(page_is_open)).rowcount
    return gone + connection.execute(calls.delete().where(call_is_open)).rowcount


# --- reading the file ----------------------------------------------------------------------------


def _row_type(table: sa.Table) -> type[Struct]:
    """Return what a row of the table looks like in the file; who may be absent has a default."""
    fields: list[tuple[str, Any, Any]] = []
    for column in table.c:
        name, type_ = str(column.name), _type(column.type)
        if column.nullable:
            type_ = type_ | None
        if column.nullable or column.server_default is not None:
            fields.append((name, type_ | UnsetType, UNSET))
        else:
            fields.append((name, type_, msgspec.NODEFAULT))
    return msgspec.defstruct(table.name, fields, kw_only=True, forbid_unknown_fields=True)


def _type(of: sa.types.TypeEngine[Any]) -> Any:
    if isinstance(of, Instant):
        return Annotated[datetime, Meta(tz=True)]
    return Any if isinstance(of, sa.JSON) else of.python_type


_LINE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_HEADER = msgspec.json.Decoder(Header)
_ROWS = {table.name: (table, msgspec.json.Decoder(_row_type(table))) for table in _TABLES}


class _Reader:
    """Reads a file from beginning to end, once, and holds it to what it says of itself."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._source, self._number = iter(source), 0
        self._checksum = hashlib.sha256()
        self._header: Header
        self._found = dict.fromkeys(_ROWS, 0)

    def header(self) -> Header:
        """Read the first line; raise StoreError for a file that is none of ours, or a later one."""
        line = self._next()
        try:
            self._header = _HEADER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self.wrong("not the header of an export") from None
        if self._header.format != FORMAT:
            raise self.wrong("not the header of an export")
        if self._header.version > VERSION or not is_known(self._header.schema):
            raise self.wrong(
                f"exported by {self._header.exported_by}, which is later than this version "
                f"({__version__}), with schema {self._header.schema}: import it with that version"
            )
        return self._header

    @property
    def last_ids(self) -> dict[str, int]:
        """Return the highest number that each table has given; 0: it is not in the file."""
        return {table.name: self._header.last_ids.get(table.name, 0) for table in _NUMBERED}

    def batches(self) -> Iterator[tuple[sa.Table, list[dict[str, Any]]]]:
        """Read rows, those of one table and with the same columns together, up to the end."""
        batch: list[dict[str, Any]] = []
        kind: tuple[sa.Table, tuple[str, ...]] | None = None
        for table, row in self._rows():
            now = (table, tuple(row))
            if batch and kind is not None and (now != kind or len(batch) == _AT_ONCE):
                yield kind[0], batch
                batch = []
            kind = now
            batch.append(row)
        if batch and kind is not None:
            yield kind[0], batch

    def wrong(self, why: str) -> StoreError:
        """Say what is wrong with the line that was read last."""
        return StoreError(f"the file cannot be imported, line {self._number}: {why}")

    def _rows(self) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
        while True:
            before, line = self._checksum.hexdigest(), self._next()
            try:
                [(name, value)] = _LINE.decode(line).items()
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
                raise self.wrong("not a row") from None
            if name == _CHECKSUM:
                return self._end(value, before)
            yield self._row(name, value)

    def _row(self, name: str, value: msgspec.Raw) -> tuple[sa.Table, dict[str, Any]]:
        if name not in _ROWS:
            raise self.wrong(f"there is no table {name[:50]!r}")
        table, decoder = _ROWS[name]
        try:
            row = msgspec.structs.asdict(decoder.decode(value))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.wrong(f"{name}: {error}") from None
        self._found[name] += 1
        return table, {column: value for column, value in row.items() if value is not UNSET}

    def _end(self, checksum: msgspec.Raw, found: str) -> None:
        if bytes(checksum) != msgspec.json.encode(found):
            raise self.wrong("it was changed since it was written, its checksum is another")
        if {name: count for name, count in self._found.items() if count} != {
            name: count for name, count in self._header.rows.items() if count
        }:
            raise self.wrong("it holds other rows than its header counts")
        if any(islice(self._source, 1)):
            raise self.wrong("it goes on after its end")

    def _next(self) -> bytes:
        line = next(self._source, b"")
        self._number += 1
        if not line.endswith(b"\n"):
            raise self.wrong("it ends here, without its checksum: it was cut off")
        self._checksum.update(line)
        return line
