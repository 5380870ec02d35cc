"""Opening a store: one owner, a schema that fits, durable settings, and no secret in any error."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from store_world import HEAD, NOW, another_process, call, database, opened, page, recorded, url

from adapter.errors import StoreError, StoreInUse, StoreUnavailable
from adapter.store.engine import Access
from adapter.store.sqlite import create_engine
from adapter.store.store import open_store, shown_url


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# --- one owner ---


def test_a_second_owner_is_turned_away(tmp_path):
    with opened(tmp_path), pytest.raises(StoreInUse) as caught:
        open_store(url(tmp_path), exclusive=True)
    assert str(caught.value) == (
        f"another process uses {database(tmp_path)}; one embedded database serves one process: "
        "stop the other, or give this one a database of its own"
    )


def test_a_second_owner_in_another_process_is_turned_away(tmp_path):
    script = "import sys; from adapter.store.store import open_store\n"
    script += "open_store(sys.argv[1], exclusive=True)"
    with opened(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", script, url(tmp_path)],
            capture_output=True,
            cwd=Path(__file__).parents[1],
            timeout=60,
            check=False,
        )
    assert b"StoreInUse: another process uses" in done.stderr


def test_a_database_has_one_owner_by_whatever_path_it_is_named(tmp_path):
    (tmp_path / "link.db").symlink_to(database(tmp_path))
    with opened(tmp_path), pytest.raises(StoreInUse):
        open_store(f"sqlite:///{tmp_path}/link.db", exclusive=True)


def test_who_was_turned_away_may_come_back(tmp_path):
    with opened(tmp_path), pytest.raises(StoreInUse):
        open_store(url(tmp_path), exclusive=True)
    with opened(tmp_path):
        pass


def test_a_failed_opening_lets_go_of_the_database(tmp_path):
    database(tmp_path).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable):
        open_store(url(tmp_path), exclusive=True)
    database(tmp_path).unlink()
    with opened(tmp_path):
        pass


def test_the_command_line_reads_and_writes_beside_the_service(store_url):
    with opened(store_url) as service:
        service.write_now(lambda session: recorded(session, page(id="p")))
        beside = open_store(store_url)
        assert beside.write_now(lambda session: session.acknowledge("p", NOW, "alice"))
        beside.close()
        found = service.read_now(lambda session: session.page("p"))
    assert found is not None
    assert found.acknowledged_at == NOW


def test_a_reader_sees_one_instant(store_url):
    with opened(store_url) as store:

        def count_twice(session):
            before = len(session.find_calls(limit=9))
            store.write_now(lambda other: other.add_call(call(None)))
            return before, len(session.find_calls(limit=9))

        assert store.read_now(count_twice) == (0, 0)
        assert store.read_now(lambda session: len(session.find_calls(limit=9))) == 1


@pytest.mark.anyio
async def test_an_event_loop_reads_and_writes(store_url):
    with opened(store_url) as store:
        await store.write(lambda session: session.add_call(call(None, id="c")))
        [found] = await store.read(lambda session: session.find_calls(limit=9))
        assert found.id == "c"


# --- the file ---


def test_the_database_is_made_with_its_directory_for_its_owner_alone(tmp_path):
    deep = tmp_path / "data" / "of the adapter 100%"
    with opened(deep) as store:
        store.write_now(lambda session: session.add_call(call(None)))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in deep.iterdir()}
    assert modes == {
        "uvms-adapter.db": 0o600,
        "uvms-adapter.db-shm": 0o600,
        "uvms-adapter.db-wal": 0o600,
        "uvms-adapter.db.lock": 0o600,
    }


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody: to root, nothing is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        yield directory
        directory.chmod(0o700)


def test_a_directory_that_is_read_only_is_named(read_only):
    read_only.chmod(0o555)
    with unprivileged(), pytest.raises(StoreUnavailable) as caught:
        open_store(url(read_only), exclusive=True)
    assert str(caught.value) == f"cannot write {database(read_only)}: Permission denied"


def test_a_database_that_is_read_only_is_not_served(read_only):
    with opened(read_only):
        pass
    for path in read_only.iterdir():
        path.chmod(0o444)
    read_only.chmod(0o555)
    with unprivileged(), pytest.raises(StoreUnavailable, match="Permission denied"):
        open_store(url(read_only), exclusive=True)


@pytest.mark.parametrize("access", list(Access))
def test_every_connection_is_durable(tmp_path, access):
    with opened(tmp_path) as store:
        engine = create_engine(store._reading.url, access, 5.0)
        for _ in range(2):
            with engine.connect() as connection:
                shown = {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "query_only")
                }
            assert shown == {
                "journal_mode": "wal",
                "synchronous": 2,
                "foreign_keys": int(access is Access.WRITE),
                "query_only": int(access is Access.READ),
            }
            engine.dispose()


def test_a_connection_after_trouble_is_durable_too(tmp_path):
    def settings(session):
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        connection = session._connection
        return [connection.exec_driver_sql(f"PRAGMA {each}").scalar() for each in pragmas]

    with opened(tmp_path, lock_wait_seconds=0.0) as store:
        with another_process(tmp_path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                store.write_now(settings)
        assert store.write_now(settings) == ["wal", 2, 1]


# --- the schema ---


def test_without_a_database_there_is_nothing_to_look_at(tmp_path):
    with pytest.raises(StoreError) as caught:
        open_store(url(tmp_path))
    assert str(caught.value) == (
        f"there is no database {database(tmp_path)}; name the service's own with "
        "--database or UVMS_DATABASE_URL"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_not_looked_at(tmp_path):
    sqlite3.connect(database(tmp_path)).close()
    with pytest.raises(StoreError) as caught:
        open_store(url(tmp_path))
    assert str(caught.value) == (
        f"{url(tmp_path)} has schema none, this version needs {HEAD}: "
        "uvms-adapter store migrate, or start the service of this version"
    )


def set_schema(directory: Path, revision: str, compatible_from: str) -> None:
    with another_process(directory) as other:
        other.execute(
            "UPDATE alembic_version SET version_num = ?, compatible_from = ?",
            (revision, compatible_from),
        )


def test_a_later_version_s_database_is_not_touched(tmp_path):
    with opened(tmp_path):
        pass
    set_schema(tmp_path, "9999", "9998")
    with pytest.raises(StoreError) as caught:
        open_store(url(tmp_path), exclusive=True)
    assert str(caught.value) == (
        f"{url(tmp_path)} has schema 9999, of a later version than this one: "
        "start that version, or restore the backup from before it"
    )
    with pytest.raises(StoreError, match=f"has schema 9999, this version needs {HEAD}"):
        open_store(url(tmp_path))


def test_somebody_else_s_database_is_not_touched(tmp_path):
    with another_process(tmp_path) as other:
        other.execute("CREATE TABLE pages (id TEXT)")
    with pytest.raises(StoreError) as caught:
        open_store(url(tmp_path), exclusive=True)
    assert str(caught.value) == (
        f"{url(tmp_path)} holds tables of something else (pages): name a database of its own"
    )


def test_a_database_that_is_locked_while_it_is_opened_is_unavailable(tmp_path):
    with another_process(tmp_path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            open_store(url(tmp_path), exclusive=True, lock_wait_seconds=0.0)
    with opened(tmp_path):
        pass


# --- the URL ---


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            "mysql://u:hunter2@db/x?password=hunter2",
            "UVMS_DATABASE_URL names 'mysql', in which nothing is stored: "
            "write for example sqlite:////data/uvms-adapter.db, "
            "or postgresql+psycopg://uvms@db.example.com/uvms",
            id="another engine",
        ),
        pytest.param(
            "postgresql+asyncpg://u:hunter2@db/x?password=hunter2",
            "UVMS_DATABASE_URL asks for 'postgresql+asyncpg': write postgresql+psycopg://… instead",
            id="another driver",
        ),
        pytest.param(
            "sqlite://",
            "UVMS_DATABASE_URL names no file, so nothing would be kept: "
            "write for example sqlite:////data/uvms-adapter.db",
            id="no file",
        ),
        pytest.param(
            "sqlite:///:memory:",
            "UVMS_DATABASE_URL names no file, so nothing would be kept: "
            "write for example sqlite:////data/uvms-adapter.db",
            id="memory",
        ),
        pytest.param(
            "hunter2",
            "UVMS_DATABASE_URL is no database URL: "
            "write for example sqlite:////data/uvms-adapter.db, "
            "or postgresql+psycopg://uvms@db.example.com/uvms",
            id="no URL",
        ),
        pytest.param(
            "postgresql://u@db:hunter2/x",
            "UVMS_DATABASE_URL is no database URL: "
            "write for example sqlite:////data/uvms-adapter.db, "
            "or postgresql+psycopg://uvms@db.example.com/uvms",
            id="a password for a port",
        ),
    ],
)
def test_a_url_that_cannot_be_used_is_explained_and_not_quoted(given, said):
    with pytest.raises(StoreError) as caught:
        open_store(given, exclusive=True)
    assert str(caught.value) == said
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("sqlite:////data/uvms-adapter.db", "sqlite:////data/uvms-adapter.db"),
        ("postgresql+psycopg://u:hunter2@db:5432/x", "postgresql+psycopg://u:***@db:5432/x"),
        ("postgresql://db/x?user=u&password=hunter2", "postgresql://db/x"),
    ],
)
def test_a_url_is_shown_without_its_password(given, shown):
    assert shown_url(given) == shown
