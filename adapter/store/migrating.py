"""Brings a database's schema up to date, or says why it is not."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from adapter.errors import StoreError

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(engine: sa.Engine, shown: str, scripts: Path = SCRIPTS) -> None:
    """Bring the schema up to date, in one transaction: whole or not at all.

    Raises StoreError for a schema that is not ours or of a later version; lets errors of the
    database through.
    """
    config = _config(scripts)
    with engine.begin() as connection:
        found = _revision(connection)
        script = ScriptDirectory.from_config(config)
        if found == script.get_current_head():
            return
        if found is not None and found not in {each.revision for each in script.walk_revisions()}:
            raise StoreError(
                f"{shown} has schema {found}, of a later version than this one: "
                "start that version, or restore the backup from before it"
            )
        if found is None and (tables := sa.inspect(connection).get_table_names()):
            raise StoreError(
                f"{shown} holds tables of something else ({', '.join(tables[:3])}): "
                "name a database of its own"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_schema(engine: sa.Engine, shown: str) -> None:
    """Raise StoreError unless the schema is this version's."""
    with engine.connect() as connection:
        found = _revision(connection)
    head = ScriptDirectory.from_config(_config(SCRIPTS)).get_current_head()
    if found != head:
        raise StoreError(
            f"{shown} has schema {found or 'none'}, this version needs {head}: "
            "start the service of this version once, it migrates"
        )


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config
