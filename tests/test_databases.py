"""The tests' own databases: of the kind that is asked for, one a directory, and as good as new."""

from __future__ import annotations

from typing import Any

import pytest
from databases import ON_POSTGRESQL, ON_SQLITE, url_in
from store_world import NOW, another_session, call, opened, page, recorded

from adapter.model import Source
from adapter.store.store import open_store


def test_they_are_of_the_kind_that_the_test_is_named_after(database, request, tmp_path):
    kind = request.node.callspec.params["database"]
    assert url_in(tmp_path).startswith(kind)
    with opened(tmp_path) as store:
        assert store.alone is (kind == "sqlite")


@ON_SQLITE
def test_one_kind_alone(database, tmp_path):
    assert url_in(tmp_path) == f"sqlite:///{tmp_path}/adapter.db"


@ON_POSTGRESQL
def test_the_other_kind_alone(database, tmp_path):
    assert url_in(tmp_path).startswith("postgresql+psycopg://")


def test_without_the_fixture_it_is_sqlite(tmp_path):
    assert url_in(tmp_path).startswith("sqlite:")


def test_each_directory_has_its_own(database, tmp_path):
    (tmp_path / "other").mkdir()
    one, other = url_in(tmp_path), url_in(tmp_path / "other")
    assert one == url_in(tmp_path) != other
    with opened(one) as store:
        store.write_now(lambda session: session.add_call(call(None)))
    with opened(other) as store:
        assert store.read_now(lambda session: session.find_calls(limit=9)) == []


def test_postgresql_lends_a_database_again_without_its_rows(postgres):
    with postgres.database() as first:
        left_open = open_store(first)
        left_open.write_now(lambda session: recorded(session, of := page(), call(of)))
        left_open.write_now(lambda session: session.keep_webhook(Source.GRAFANA, b"{}", NOW))
        left_open.read_now(lambda session: None)
    with postgres.database() as again:
        assert again == first
        with another_session(again) as other:
            tables: Any = "SELECT relname FROM pg_stat_user_tables WHERE relname <> %s"
            for (name,) in other.execute(tables, ["alembic_version"]).fetchall():
                assert other.execute(f'SELECT count(*) FROM "{name}"').fetchone() == (0,), name
    left_open.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE calls ADD CONSTRAINT no CHECK (id <> 'x')",
        "CREATE INDEX ix ON calls (note)",
        "DROP INDEX ix_calls_open",
        "UPDATE alembic_version SET version_num = '9999'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $$",
    ],
)
def test_postgresql_lends_no_database_again_that_was_altered(postgres, change):
    statement: Any = change
    with postgres.database() as altered, another_session(altered) as other:
        other.execute(statement)
    with postgres.database() as next_one:
        assert next_one != altered
