"""Brings a database's schema up to date, or says why it is not.

Replicas are replaced one by one, so for a while code of one release runs on the schema of the next.
Each migration may say, as `compatible_from`, the oldest schema whose code can still work with what
it makes; that is written beside the schema's number, where older code reads it. A migration that
says nothing is only for its own code. So a schema grows in one release what the next one uses, and
loses in a later one what nobody uses any more.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from adapter.errors import StoreError
from adapter.model import Record

SCRIPTS = Path(__file__).parent / "migrations"

_VERSION = sa.table("alembic_version", sa.column("compatible_from", sa.Text))

_MIGRATING = 7_000  # the number of the lock; `part` has the others
_OTHERS_MIGRATE_SECONDS = 120
_TABLE_IN_USE_SECONDS = 10  # others queue up behind whoever waits to alter a table


class Schema(Record):
    """Which schema a database has, and which this version makes."""

    found: str | None  # None: none of ours
    ours: str
    known: bool  # found is this version's, or one before it
    usable: bool  # this version can work with it as it is


def schema_in(connection: sa.Connection, scripts: Path = SCRIPTS) -> Schema:
    """Look which schema is there."""
    script = ScriptDirectory.from_config(_config(scripts))
    found, ours = _revision(connection), script.get_revision("head").revision
    return Schema(
        found=found,
        ours=ours,
        known=found in _revisions(script),
        usable=_is_current(connection, script, found),
    )


def is_known(revision: str, scripts: Path = SCRIPTS) -> bool:
    """Tell whether a schema's number is this version's, or one before it."""
    return revision in _revisions(ScriptDirectory.from_config(_config(scripts)))


def migrate(engine: sa.Engine, shown: str, scripts: Path = SCRIPTS) -> None:
    """Bring the schema up to date, in one transaction: whole or not at all.

    Of those who start together one migrates, and the others wait for it. Raises StoreError for a
    schema that is not ours or of a version too late; lets errors of the database through.
    """
    config = _config(scripts)
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:  # who finds nothing to do waits for nobody
        if _is_usable(connection, script, shown):
            return
    with engine.begin() as connection:
        _wait_for_others(connection)
        if _is_usable(connection, script, shown):
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _mark(connection, script)


def _is_usable(connection: sa.Connection, script: ScriptDirectory, shown: str) -> bool:
    """Tell whether the schema is one to work with; False: it can be brought up to date."""
    found = _revision(connection)
    if _is_current(connection, script, found):
        return True
    if found is not None and found not in _revisions(script):
        raise StoreError(
            f"{shown} has schema {found}, of a later version than this one: "
            "start that version, or restore the backup from before it"
        )
    if found is None and (tables := _tables(connection)):
        raise StoreError(
            f"{shown} holds tables of something else ({', '.join(tables[:3])}): "
            "name a database of its own"
        )
    return False


def check_schema(engine: sa.Engine, shown: str, scripts: Path = SCRIPTS) -> None:
    """Raise StoreError unless this version can work with the schema."""
    with engine.connect() as connection:
        schema = schema_in(connection, scripts)
    if not schema.usable:
        raise StoreError(
            f"{shown} has schema {schema.found or 'none'}, this version needs {schema.ours}: "
            "uvms-adapter store migrate, or start the service of this version"
        )


def _is_current(connection: sa.Connection, script: ScriptDirectory, found: str | None) -> bool:
    """Tell whether the schema is this version's, or a later one made for this version too."""
    if found is None or found == script.get_current_head():
        return found is not None
    known = _revisions(script)
    return found not in known and _compatible_from(connection) in known


def _wait_for_others(connection: sa.Connection) -> None:
    """Keep others from migrating until this transaction ends; SQLite did so when it began."""
    if connection.dialect.name == "postgresql":
        # Not so long that a start seems to hang, but longer than a migration takes.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_OTHERS_MIGRATE_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_TABLE_IN_USE_SECONDS}s'")


def _mark(connection: sa.Connection, script: ScriptDirectory) -> None:
    """Write down beside the schema's number which code can work with it."""
    if "compatible_from" not in _columns(connection):
        connection.exec_driver_sql("ALTER TABLE alembic_version ADD COLUMN compatible_from TEXT")
    head = script.get_revision("head")
    oldest = getattr(head.module, "compatible_from", head.revision)
    connection.execute(_VERSION.update().values(compatible_from=oldest))


def _compatible_from(connection: sa.Connection) -> str | None:
    if "compatible_from" not in _columns(connection):
        return None
    return connection.scalar(sa.select(_VERSION.c.compatible_from))


def _columns(connection: sa.Connection) -> set[str]:
    return {column["name"] for column in sa.inspect(connection).get_columns(_VERSION.name)}


def _tables(connection: sa.Connection) -> list[str]:
    return [name for name in sa.inspect(connection).get_table_names() if name != _VERSION.name]


def _revisions(script: ScriptDirectory) -> set[str]:
    return {each.revision for each in script.walk_revisions()}


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config
