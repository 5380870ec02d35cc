"""`store`: what it says, what it exits with, and what it leaves on the disk."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_world import NUMBERS, fill
from store_world import BOB, HEAD, NOW, SECOND, another_session, begun, call, opened

from adapter.cli.main import run
from adapter.store import store as stores
from adapter.store.checking import check
from adapter.store.store import open_store


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A directory of the test's own, named by nothing in the environment; 100 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    for name in [name for name in os.environ if name.startswith("UVMS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def filled(store_url):
    """A database with a night in it."""
    with opened(store_url) as store:
        fill(store)
    return store_url


@pytest.fixture
def a(tmp_path):
    """A SQLite database with a night in it."""
    where = f"sqlite:///{tmp_path}/a.db"
    with opened(where) as store:
        fill(store)
    return where


def text(capsys, *args: str) -> str:
    assert run(("store", *args)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def errors(capsys, *args: str) -> list[str]:
    assert run(("store", *args)) == 1
    told = capsys.readouterr().err.splitlines()
    assert all(line.startswith("uvms-adapter: error: ") for line in told)
    return [line.removeprefix("uvms-adapter: error: ") for line in told]


def facts(out: str) -> dict[str, str]:
    rows = (line.partition("  ") for line in out.splitlines())
    return {name: value.strip() for name, _, value in rows}


def sql(where: str, *statements: str) -> None:
    """Do something to a database behind the store's back."""
    engine = stores.find_database(where).connections(stores.Access.MIGRATE)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


# --- check ---


def test_a_database_that_is_well(capsys, filled):
    found = facts(text(capsys, "check", "--database", filled))
    assert found["database"] == stores.shown_url(filled)
    assert found["engine"].split()[0] in ("SQLite", "PostgreSQL")
    assert found["schema"] == HEAD
    assert found["in use by"] in ("no service", "0 services, as far as they listen")
    assert found["pages"] == "3: 2 open, 2 of them taken by nobody, 0 of those exhausted"
    assert found["calls"].startswith("5: 1 waiting, 0 sending, 0 to be looked up")
    assert found["attempts"] == "2: 0 under way"
    assert found["webhooks"] == "0 kept, 1 refused"
    assert found["size"].endswith("B")
    assert found["integrity"] == "ok"


def test_what_is_due_and_what_is_under_way(store_url):
    with opened(store_url) as store:
        store.write_now(lambda session: session.add_call(call(None)))
        other = call(None, phone=BOB)
        store.write_now(lambda session: (session.add_call(other), begun(session, other)))
        before, after = (check(store_url, at).counts for at in (NOW - SECOND, NOW + SECOND))
    assert (before.queue.oldest_due_at, after.queue.oldest_due_at) == (None, NOW)
    assert (after.queue.sending, after.attempts_under_way) == (1, 1)


def test_as_json(capsys, filled):
    found = json.loads(text(capsys, "check", "--json", "--database", filled))
    assert found["schema"] == {"found": HEAD, "ours": HEAD}
    assert found["troubles"] == []
    assert (found["rows"]["pages"], found["open"]["pages"]) == (3, 2)
    assert found["size_bytes"] > 10_000


def test_who_uses_it(capsys, a, postgres):
    with opened(a):
        assert facts(text(capsys, "check", "--database", a))["in use by"] == "a service"
    with postgres.database() as shared, opened(shared) as one, opened(shared) as other:
        for store in (one, other):
            heard = threading.Event()
            store.listen(heard.set)
            assert heard.wait(20)
        users = facts(text(capsys, "check", "--database", shared))["in use by"]
        assert users == "2 services, as far as they listen"


@pytest.mark.parametrize(
    ("done", "trouble"),
    [
        ("DROP INDEX uq_pages_open", "index uq_pages_open is missing"),
        ("ALTER TABLE pages DROP COLUMN acknowledged_by", None),
        (
            "UPDATE alembic_version SET version_num = '9999', compatible_from = '9999'",
            "it has schema 9999, of a later version than this one: use that version",
        ),
        (
            "UPDATE alembic_version SET version_num = '0001'",
            f"it has schema 0001, this version needs {HEAD}: uvms-adapter store migrate",
        ),
    ],
)
def test_a_schema_that_is_not_as_it_should_be(capsys, filled, done, trouble):
    sql(filled, done)
    told = errors(capsys, "check", "--database", filled)
    if trouble is not None:
        assert told == [f"{stores.shown_url(filled)}: {trouble}"]
    else:
        assert "acknowledged_by" in told[0]


def test_rows_that_belong_to_none(capsys, a):
    sql(a, "DELETE FROM pages")
    assert errors(capsys, "check", "--database", a) == [
        f"{a}: calls has rows that belong to no row of pages",
        f"{a}: episodes has rows that belong to no row of pages",
    ]


def test_a_damaged_file(capsys, a, tmp_path):
    file = tmp_path / "a.db"
    with file.open("r+b") as damaged:
        damaged.seek(4096 * 3)
        damaged.write(b"\xa5" * 4096 * 2)
    told = errors(capsys, "check", "--database", a)
    assert any("damaged" in line or "malformed" in line for line in told)


def test_an_index_of_postgresql_that_was_not_finished(capsys, postgres):
    with postgres.database() as at:
        with another_session(at) as other:
            other.execute(
                "UPDATE pg_index SET indisvalid = false"
                " WHERE indexrelid = 'uq_pages_open'::regclass"
            )
        told = errors(capsys, "check", "--database", at)
        assert told == [f"{at}: index uq_pages_open is not valid"]


def test_a_database_that_is_not_there(capsys, tmp_path, postgres):
    told = errors(capsys, "check", "--database", f"sqlite:///{tmp_path}/missing.db")
    assert told[0].startswith(f"there is no database {tmp_path}/missing.db")
    assert list(tmp_path.iterdir()) == []
    missing = postgres.url("missing").replace("uvms@", "uvms:hunter2@")
    [told] = errors(capsys, "check", "--database", missing)
    assert "cannot be used now" in told
    assert "hunter2" not in told


def test_no_password_is_shown(capsys, postgres):
    with postgres.database() as at:
        secret = at.replace("uvms@", "uvms:hunter2@")
        args = (("check",), ("check", "--json"), ("migrate",), ("export", "x"), ("import", "x"))
        for command in args:
            run(("store", *command, "--database", secret))
            told = capsys.readouterr()
            assert told.out + told.err
            assert "hunter2" not in told.out + told.err


# --- migrate ---


def test_migrating_says_from_where_to_where(capsys, tmp_path, postgres):
    with postgres.database(empty=True) as shared:
        for where in (f"sqlite:///{tmp_path}/new/b.db", shared):
            told = text(capsys, "migrate", "--database", where)
            assert told == f"{where} migrated from schema none to {HEAD}\n"
            assert text(capsys, "migrate", "--database", where) == (
                f"{where} has schema {HEAD} already\n"
            )
            open_store(where).close()
    assert stat.S_IMODE((tmp_path / "new/b.db").stat().st_mode) == 0o600


def test_migrating_beside_the_service(capsys, a):
    with opened(a):
        assert text(capsys, "migrate", "--database", a) == f"{a} has schema {HEAD} already\n"
        sql(a, "UPDATE alembic_version SET version_num = '0001'")
        [told] = errors(capsys, "migrate", "--database", a)
        assert told.startswith(f"another process uses {a.removeprefix('sqlite:///')}")


def test_a_database_of_something_else(capsys, store_url, postgres, tmp_path):
    with postgres.database(empty=True) as shared:
        for where in (f"sqlite:///{tmp_path}/b.db", shared):
            sql(where, "CREATE TABLE theirs (x INT)")
            [told] = errors(capsys, "migrate", "--database", where)
            assert "holds tables of something else (theirs)" in told


# --- export and import ---


def test_exporting_and_importing(capsys, filled, tmp_path):
    assert run(("store", "export", "--database", filled, "x.jsonl")) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        f"exported 3 pages, 5 calls, {rows_in('x.jsonl')} rows in all of "
        f"{stores.shown_url(filled)}, schema {HEAD}",
        "KEEP IT SAFE: it holds full phone numbers, and what the alerts said",
    ]
    assert sorted(path.name for path in tmp_path.iterdir() if "x.json" in path.name) == ["x.jsonl"]
    assert stat.S_IMODE(Path("x.jsonl").stat().st_mode) == 0o600
    assert all(number in Path("x.jsonl").read_text() for number in NUMBERS)

    to = f"sqlite:///{tmp_path}/to.db"
    done = text(capsys, "import", "--database", to, "x.jsonl").splitlines()
    assert done[0] == f"imported 3 pages, 5 calls, {rows_in('x.jsonl')} rows in all into {to}"
    assert done[1].startswith("exported 20")
    assert facts(text(capsys, "check", "--database", to))["pages"].startswith("3: 2 open")


def rows_in(file: str) -> int:
    return len(Path(file).read_bytes().splitlines()) - 2


def test_leaving_out_what_is_open(capsys, a, tmp_path):
    run(("store", "export", "--database", a, "x"))
    to = f"sqlite:///{tmp_path}/to.db"
    told = text(capsys, "import", "--closed-only", "--database", to, "x")
    assert f"into {to}, but for 2 that were open\n" in told
    assert facts(text(capsys, "check", "--database", to))["pages"].startswith("1: 0 open")


def test_a_file_is_replaced_only_where_asked(capsys, a):
    Path("x").write_text("mine")
    Path("x").chmod(0o644)
    assert errors(capsys, "export", "--database", a, "x") == [
        "x is there already: name another file, or say --force"
    ]
    assert Path("x").read_text() == "mine"
    assert run(("store", "export", "--force", "--database", a, "x")) == 0
    assert stat.S_IMODE(Path("x").stat().st_mode) == 0o600
    assert rows_in("x") > 0


def test_an_export_that_fails_leaves_nothing(capsys, tmp_path, postgres):
    with postgres.database(empty=True) as at:
        assert "has schema none" in errors(capsys, "export", "--database", at, "x")[0]
    assert list(tmp_path.iterdir()) == []


def test_it_says_that_a_service_goes_on(capsys, a):
    with opened(a):
        assert run(("store", "export", "--database", a, "x")) == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        "a service uses this database: what it does from now on is not in the file"
    )


class Pipe(io.BytesIO):
    """Standard input or output."""

    def __init__(self, holds: bytes = b"", *, is_terminal: bool = False) -> None:
        super().__init__(holds)
        self._is_terminal = is_terminal

    @property
    def buffer(self) -> Pipe:
        return self

    def isatty(self) -> bool:
        return self._is_terminal


@contextmanager
def stream(name: str, pipe: Pipe):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, name, pipe)
        yield


def test_through_pipes(capsys, a, tmp_path):
    out = Pipe()
    with stream("stdout", out):
        assert run(("store", "export", "--database", a, "-")) == 0
    to = f"sqlite:///{tmp_path}/to.db"
    with stream("stdin", Pipe(out.getvalue())):
        assert "imported 3 pages" in text(capsys, "import", "--database", to, "-")


def test_phone_numbers_are_not_for_a_terminal(capsys, a):
    with stream("stdout", Pipe(is_terminal=True)):
        assert run(("store", "export", "--database", a, "-")) == 1
    assert "an export holds phone numbers: name a FILE" in capsys.readouterr().err


def test_a_file_that_cannot_be_imported(capsys, a, tmp_path):
    run(("store", "export", "--database", a, "x"))
    capsys.readouterr()
    assert errors(capsys, "import", "--database", a, "x")[0].startswith(f"{a} is not empty, it ")
    assert errors(capsys, "import", "--database", a, "missing") == [
        "missing: No such file or directory"
    ]
    Path("cut").write_bytes(Path("x").read_bytes()[:-9])
    to = f"sqlite:///{tmp_path}/to.db"
    [told] = errors(capsys, "import", "--database", to, "cut")
    assert told.endswith("it was cut off")
    assert not any(number in told for number in NUMBERS)


def test_the_url_may_come_from_a_file(capsys, a, monkeypatch):
    Path("url").write_text(f"{a}\n")
    monkeypatch.setenv("UVMS_DATABASE_URL_FILE", "url")
    assert facts(text(capsys, "check"))["database"] == a
