"""Records for the store's tests, and a store in a directory or at a URL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from databases import url_in
from msgspec.structs import replace

from adapter.model import (
    Attempt,
    Call,
    CallState,
    Episode,
    Page,
    PhoneNumber,
    Reason,
)
from adapter.paging import Changes
from adapter.store.migrating import SCRIPTS
from adapter.store.schema import metadata
from adapter.store.session import Session
from adapter.store.store import Store, open_store

HEAD = ScriptDirectory(str(SCRIPTS)).get_current_head()  # the number of today's schema

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
ALICE = PhoneNumber("+8613512345678")
BOB = PhoneNumber("+8613512345679")
CAROL = PhoneNumber("+8613512345670")

_numbers = count(1)


_PATIENCE_SECONDS = 30.0


def database(directory: Path) -> Path:
    return directory / "uvms-adapter.db"


def url(where: Path | str) -> str:
    """Return a URL: of the database in a directory, or as it is."""
    return where if isinstance(where, str) else url_in(where, database(where).name, schema=False)


def on_postgresql(where: Path | str) -> bool:
    return url(where).startswith("postgresql")


@contextmanager
def opened(where: Path | str, **options: Any) -> Iterator[Store]:
    """Open the store as the service does, and close it."""
    store = open_store(url(where), exclusive=True, **options)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def another_process(directory: Path) -> Iterator[sqlite3.Connection]:
    """Connect to the database behind the store's back."""
    with closing(sqlite3.connect(database(directory), isolation_level=None, timeout=0)) as other:
        yield other


@contextmanager
def another_session(where: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect to PostgreSQL behind the store's back."""
    with psycopg.connect(where.replace("+psycopg", ""), autocommit=True) as other:
        yield other


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same instant; return what came of each."""
    barrier = threading.Barrier(len(jobs))

    def do(job: Callable[[], Any]) -> Any:
        barrier.wait(_PATIENCE_SECONDS)
        return job()

    with ThreadPoolExecutor(len(jobs)) as threads:
        return [
            each.result(_PATIENCE_SECONDS) for each in [threads.submit(do, job) for job in jobs]
        ]


@contextmanager
def held(where: Path | str) -> Iterator[None]:
    """Let another process hold what every write needs."""
    if on_postgresql(where):
        tables = ", ".join(f'"{name}"' for name in metadata.tables)
        with another_session(url(where)) as other, other.transaction():
            other.execute(f"LOCK TABLE {tables} IN SHARE MODE")
            yield
        return
    with another_process(_directory(where)) as other:
        other.execute("PRAGMA busy_timeout = 10000")  # until the service is done with its own
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def dump(where: Path | str) -> list[str]:
    """Return all that is stored, as somebody else sees it."""
    if on_postgresql(where):
        with another_session(url(where)) as other:
            return [
                f"{name}: {row}"
                for name in metadata.tables
                for row in other.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall()
            ]
    with another_process(_directory(where)) as other:
        return list(other.iterdump())


def count_from_one(connection: sa.Connection) -> None:
    """Number rows as in a new database, until the transaction is undone."""
    if connection.dialect.name == "postgresql":
        for table in ("episodes", "rejected"):
            connection.exec_driver_sql(f"ALTER SEQUENCE {table}_id_seq RESTART")


def _directory(where: Path | str) -> Path:
    return where if isinstance(where, Path) else Path(where.removeprefix("sqlite:///")).parent


# --- records ------------------------------------------------------------------------------------


def new_id(kind: str) -> str:
    return f"{kind}{next(_numbers)}"


def page(**values: Any) -> Page:
    found = Page(
        id=new_id("page"),
        receiver="sre",
        group_labels={"cluster": new_id("c")},
        opened_at=NOW,
        confirmed_at=NOW,
    )
    return replace(found, **values)


def episode(of: Page | None, **values: Any) -> Episode:
    found = Episode(
        id=0,
        receiver="sre",
        fingerprint=new_id("f"),
        page_id=None if of is None else of.id,
        firing=True,
        starts_at=NOW,
        ends_at=None,
        labels={"alertname": "HighLatency"},
        annotations={"summary": "延迟过高"},
    )
    return replace(found, **values)


def call(of: Page | None, phone: PhoneNumber = ALICE, **values: Any) -> Call:
    found = Call(
        id=new_id("call"),
        page_id=None if of is None else of.id,
        receiver="sre",
        person="alice",
        phone=phone,
        reason=Reason.TEST if of is None else Reason.FIRST,
        state=CallState.WAITING,
        created_at=NOW,
        due_at=NOW,
        due_since=NOW,
    )
    return replace(found, **values)


def attempt(at: Call, **values: Any) -> Attempt:
    found = Attempt(id=new_id("attempt"), call_id=at.id, started_at=NOW)
    return replace(found, **values)


# --- acts ---------------------------------------------------------------------------------------


def recorded(session: Session, *records: Page | Episode | Call) -> None:
    """Write new records down as a decision would."""
    session.record(
        Changes(
            new_pages=tuple(each for each in records if isinstance(each, Page)),
            new_episodes=tuple(each for each in records if isinstance(each, Episode)),
            new_calls=tuple(each for each in records if isinstance(each, Call)),
        )
    )


def begun(session: Session, lead: Call, at: datetime = NOW, lease: timedelta = MINUTE) -> Attempt:
    """Claim a call."""
    made = attempt(lead, started_at=at)
    assert session.begin(lead, made, at + lease)
    return made


def accepted(session: Session, lead: Call, at: datetime = NOW) -> Attempt:
    """Claim a call, and have it taken by the vendor."""
    made = begun(session, lead, at)
    session.finish_attempt(replace(made, finished_at=at, outcome="accepted", ret_code=0))
    assert session.settle(made.id, CallState.ACCEPTED, now=at, due_at=None, note="taken")
    return made


def the_call(session: Session, wanted: Call) -> Call:
    """Return a call as it stands now."""
    [found] = session.find_calls(text=wanted.id, limit=1)
    return found


def in_one_go(where: Path | str, job: Callable[[Session], Any]) -> Any:
    """Run one job in a store of its own."""
    with opened(where) as store:
        return store.write_now(job)
