"""Migrations: they make the schema that the code names, whole or not at all, and lose no row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateIndex, CreateTable
from store_world import another_process, begun, call, episode, opened, page, recorded, url

from adapter.store.migrating import SCRIPTS, migrate
from adapter.store.schema import metadata
from adapter.store.sqlite import Access, create_engine


@pytest.fixture
def engine(tmp_path: Path):
    engine = create_engine(make_url(url(tmp_path)), Access.MIGRATE, 5.0)
    yield engine
    engine.dispose()


def schema_of(directory: Path) -> list[str]:
    with another_process(directory) as other:
        rows = other.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        return [str(row) for row in rows]


def test_the_migrations_make_what_the_code_names(tmp_path, engine):
    with opened(tmp_path):
        pass
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_indexes_on_a_condition_have_that_condition(tmp_path):
    """Alembic compares their columns only."""
    with opened(tmp_path):
        pass
    with another_process(tmp_path) as other:
        rows = other.execute("SELECT name, sql FROM sqlite_master WHERE sql LIKE '% WHERE %'")
        found = {name: sql.split(" WHERE ")[1] for name, sql in rows}
    named = {
        str(index.name): str(
            index.dialect_options["sqlite"]["where"].compile(
                dialect=sa.dialects.sqlite.dialect(),
                compile_kwargs={"literal_binds": True, "include_table": False},
            )
        )
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    assert {name: sql.split(".")[-1] for name, sql in named.items()} == found


def test_migrating_again_changes_nothing(tmp_path, engine):
    with opened(tmp_path) as store:
        store.write_now(lambda session: session.add_call(call(None, id="kept")))
    before = schema_of(tmp_path)
    migrate(engine, "it")
    with opened(tmp_path) as store:
        [found] = store.read_now(lambda session: session.find_calls(limit=9))
    assert (schema_of(tmp_path), found.id) == (before, "kept")


@pytest.fixture
def later(tmp_path: Path) -> Callable[[str], Path]:
    """The migrations of a later version, with one more step."""

    def make(step: str) -> Path:
        scripts = tmp_path / "later" / "migrations"
        shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
        (scripts / "versions" / "0002_later.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            "revision = '0002'\ndown_revision = '0001'\n"
            f"def upgrade():\n    {step}\n"
        )
        return scripts

    return make


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path, engine, later):
    with opened(tmp_path):
        pass
    before = schema_of(tmp_path)
    step = "op.add_column('pages', sa.Column('x', sa.Text)); op.execute('SELECT * FROM missing')"
    with pytest.raises(sa.exc.OperationalError, match="no such table: missing"):
        migrate(engine, "it", later(step))
    assert schema_of(tmp_path) == before
    with opened(tmp_path):
        pass


def test_a_table_that_is_made_anew_takes_no_children_with_it(tmp_path, engine, later):
    """SQLite alters a table by making another; dropping the old one must not cascade."""
    mine = page()
    lead = call(mine)

    def furnish(session):
        recorded(session, mine, episode(mine), lead)
        begun(session, lead)

    with opened(tmp_path) as store:
        store.write_now(furnish)
    step = "\n    ".join(
        (
            "with op.batch_alter_table('pages', recreate='always') as table:",
            "    table.add_column(sa.Column('x', sa.Text))",
        )
    )
    migrate(engine, "it", later(step))
    with another_process(tmp_path) as other:
        counts = [
            other.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("pages", "episodes", "calls", "attempts")
        ]
        assert other.execute("PRAGMA foreign_key_check").fetchall() == []
    assert counts == [1, 1, 1, 1]


def test_the_schema_can_be_made_on_postgresql_too():
    dialect = postgresql.dialect()
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert "INDEX" in str(CreateIndex(index).compile(dialect=dialect))
