"""The tests' own databases: of the kind that is asked for, one a directory, and as good as new.

And which tests have none but SQLite's: `WITHOUT_POSTGRESQL` names their modules, and why.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from databases import ON_POSTGRESQL, ON_SQLITE, url_in
from store_world import NOW, another_session, call, opened, page, recorded

from adapter.model import Source
from adapter.store.store import open_store

# All that there is to say of them is said without PostgreSQL.
WITHOUT_POSTGRESQL: Mapping[str, str] = {
    "test_dockerfile": "reads the image's settings, and opens nothing",
    "test_docs": "the documents show what SQLite's file gives",
    "test_docs_blocks": "the documents show what SQLite's file gives",
    "test_docs_commands": "the documents show what SQLite's file gives",
    "test_environment": "reads settings, and opens nothing",
    "test_helm_dashboard": "asks which metrics there are, whatever store they tell of",
    "test_helm_values": "reads settings, and opens nothing",
    "test_image_pod": "the chart's Pods, with what their values say",
    "test_replay": "a replayed night lives in a store of its own in memory",
    "test_service_store": "SQLite's write lock, its file on a full disk; see test_store_postgres",
    "test_store_plans": "SQLite's plans: those of PostgreSQL hang on what it has counted",
    "test_store_writer": "SQLite's one writing thread; see test_store_postgres for the many",
}


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


# --- which tests run on both --------------------------------------------------------------------

TESTS = Path(__file__).parent
A_URL = "sqlite:///"
FIXTURES = {"database", "store_url", "shared_store_url", "postgres"}
ON_BOTH = """
from service_harness import story
pytestmark = pytest.mark.usefixtures("database")
async def test_a(tmp_path):
    async with story(tmp_path): ...
"""
ON_ONE = {
    "a store": "from adapter.store.store import open_store\ndef test_a(tmp_path): open_store('')",
    "a harness": "from service_harness import story\nasync def test_a(tmp_path): story(tmp_path)",
    "what uses a harness": "from story_acts import told\ndef test_a(tmp_path): told(1, tmp_path)",
    "a module": "import store_world\ndef test_a(tmp_path): store_world.opened(tmp_path)",
    "a process": "def test_a(tmp_path): run('serve', f'--database=sqlite:///{tmp_path}/a.db')",
}


def test_whatever_uses_a_store_runs_on_postgresql_too(openers):
    alone = {name for name, tree in trees("test_*.py").items() if is_alone(name, tree, openers)}
    assert sorted(alone - set(WITHOUT_POSTGRESQL)) == [], (
        'say pytestmark = pytest.mark.usefixtures("database"), or why not in WITHOUT_POSTGRESQL'
    )
    assert sorted(set(WITHOUT_POSTGRESQL) - alone) == [], "they need no excuse"


@pytest.mark.parametrize("module", ON_ONE.values(), ids=ON_ONE)
def test_a_module_that_forgets_postgresql_is_found(module, openers):
    assert is_alone("test_new", ast.parse(module), openers)


def test_a_module_that_does_not_is_not(openers):
    assert not is_alone("test_new", ast.parse(ON_BOTH), openers)


@pytest.fixture(scope="module")
def openers() -> set[str]:
    """Whatever opens a store: of the store itself, and of what the tests have in common."""
    shared = {
        f"{module}.{node.name}": set(said(module, tree, node))
        for module, tree in trees("*.py").items()
        if not module.startswith(("test_", "conftest"))
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    found = {"adapter.store.store.open_store", "databases.url_in", A_URL}
    while more := {name for name, words in shared.items() if words & found} - found:
        found |= more  # and whoever uses one of these
    return found


def is_alone(module: str, tree: ast.Module, openers: set[str]) -> bool:
    """Tell whether a module opens stores, and none of its tests asks for PostgreSQL's."""
    return not openers.isdisjoint(said(module, tree, tree)) and FIXTURES.isdisjoint(asked_for(tree))


def trees(pattern: str) -> dict[str, ast.Module]:
    return {file.stem: ast.parse(file.read_text(encoding="utf-8")) for file in TESTS.glob(pattern)}


def said(module: str, tree: ast.Module, within: ast.AST) -> Iterator[str]:
    """Yield the names that a part of a module uses, each with where it is from."""
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(within):
        match node:
            case ast.Name(id=name):
                yield known.get(name, f"{module}.{name}")
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                yield f"{name}.{attribute}"
            case ast.Constant(value=str(text)) if A_URL in text:
                yield A_URL


def asked_for(within: ast.AST) -> Iterator[str]:
    """Yield what functions take, and the texts that fixtures and marks are given."""
    for node in ast.walk(within):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Call):
            yield from (each.value for each in node.args if isinstance(each, ast.Constant))
