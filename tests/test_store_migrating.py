"""Migrations: they make the schema that the code names, whole or not at all, and lose no row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url
from store_world import (
    another_process,
    another_session,
    begun,
    call,
    episode,
    opened,
    page,
    recorded,
    url,
)

from adapter.errors import StoreError
from adapter.store.engine import Access
from adapter.store.migrating import SCRIPTS, migrate
from adapter.store.schema import metadata
from adapter.store.sqlite import create_engine
from adapter.store.store import Store, open_store


@pytest.fixture
def engine(tmp_path: Path):
    engine = create_engine(make_url(url(tmp_path)), Access.MIGRATE, 5.0)
    yield engine
    engine.dispose()


def schema_of(directory: Path) -> list[str]:
    with another_process(directory) as other:
        rows = other.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        return [str(row) for row in rows]


def test_the_migrations_make_what_the_code_names(store_url):
    with opened(store_url) as store, store._reading.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_on_postgresql_indexes_on_a_condition_have_that_condition(postgres):
    """Made from the code's own tables, they have to be the same."""
    asked = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    with postgres.database(empty=True) as at, another_session(at) as other:
        with opened(at):
            migrated = dict(other.execute(asked).fetchall())
        del migrated["alembic_version_pkc"]
        with postgres.database(empty=True) as fresh, another_session(fresh) as another:
            made = sa.create_engine(fresh)
            metadata.create_all(made)
            made.dispose()
            assert migrated == dict(another.execute(asked).fetchall())


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
def later(tmp_path: Path) -> Callable[..., Path]:
    """The migrations of a later version, with one more step."""
    head = ScriptDirectory(str(SCRIPTS)).get_current_head()

    def make(step: str, compatible_from: str = "") -> Path:
        scripts = tmp_path / "later" / "migrations"
        shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
        compatible = f"compatible_from = {compatible_from!r}\n" if compatible_from else ""
        (scripts / "versions" / "9999_later.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision = '9999'\ndown_revision = {head!r}\n{compatible}"
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


# --- a rolling upgrade ---

ADDS = "op.add_column('pages', sa.Column('x', sa.Text))"


@pytest.fixture
def head() -> str:
    found = ScriptDirectory(str(SCRIPTS)).get_current_head()
    assert found is not None
    return found


def migrate_at(store: Store, scripts: Path = SCRIPTS) -> None:
    found = store._database.connections(Access.MIGRATE)
    try:
        migrate(found, "it", scripts)
    finally:
        found.dispose()


def test_on_a_later_schema_made_for_it_too_this_version_goes_on_and_starts(store_url, later, head):
    with opened(store_url) as store:
        migrate_at(store, later(ADDS, head))  # as another replica does
        store.write_now(lambda session: session.add_call(call(None, id="running")))
    with opened(store_url) as store:
        store.write_now(lambda session: session.add_call(call(None, id="started")))
    beside = open_store(store_url)
    found = beside.read_now(lambda session: session.find_calls(limit=9))
    beside.close()
    assert {each.id for each in found} == {"running", "started"}


@pytest.mark.parametrize(
    "compatible_from", [pytest.param("", id="it says nothing"), pytest.param("9999", id="itself")]
)
def test_a_later_schema_that_is_not_made_for_this_version_is_refused(
    store_url, later, compatible_from
):
    with opened(store_url) as store:
        migrate_at(store, later(ADDS, compatible_from))
    with pytest.raises(StoreError, match="has schema 9999, of a later version than this one"):
        open_store(store_url, exclusive=True)
    with pytest.raises(StoreError, match="has schema 9999, this version needs"):
        open_store(store_url)


def test_a_later_version_starts_again_on_its_own_schema(store_url, later, head):
    scripts = later(ADDS, head)
    with opened(store_url) as store:
        for _ in range(2):
            migrate_at(store, scripts)


def test_the_versions_before_the_mark_was_made_are_marked_by_the_next_migration(
    tmp_path, later, head
):
    with opened(tmp_path) as store:
        with another_process(tmp_path) as other:
            other.execute("ALTER TABLE alembic_version DROP COLUMN compatible_from")
        migrate_at(store, later(ADDS, head))
    with opened(tmp_path):
        pass


# --- altering tables ---


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
