"""What only PostgreSQL has: many who write at once, and a server that goes away."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from postgres_server import Server, running
from store_world import (
    ALICE,
    HOUR,
    MINUTE,
    NOW,
    accepted,
    another_session,
    at_once,
    attempt,
    call,
    dump,
    episode,
    opened,
    page,
    recorded,
)

from adapter.errors import StoreError, StoreUnavailable
from adapter.model import Call
from adapter.store import postgres as engine
from adapter.store.session import Session
from adapter.store.store import Store, open_store

PATIENCE = 20.0  # of a test, on a busy machine


@pytest.fixture
def at(postgres: Server) -> Iterator[str]:
    with postgres.database() as found:
        yield found


@pytest.fixture
def store(at: str) -> Iterator[Store]:
    with opened(at) as store:
        yield store


@pytest.fixture
def two(at: str) -> Iterator[tuple[Store, Store]]:
    with opened(at) as one, opened(at) as other:
        yield one, other


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def adding(name: str) -> Callable[[Session], str]:
    def add(session: Session) -> str:
        session.add_call(call(None, id=name))
        return name

    return add


def calls_in(store: Store) -> set[str]:
    return {each.id for each in store.read_now(lambda s: s.find_calls(limit=9999))}


# --- opening ---


def test_ten_that_start_at_once_on_an_empty_database_all_serve(postgres):
    with postgres.database(empty=True) as at:
        stores = at_once(*[lambda: open_store(at, exclusive=True)] * 10)
        try:
            for number, store in enumerate(stores):
                store.write_now(adding(f"c{number}"))
            assert len(calls_in(stores[0])) == 10
        finally:
            for store in stores:
                store.close()


@pytest.mark.parametrize("name", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_may_name_it_as_other_tools_do(at, name):
    with opened(at.replace("postgresql+psycopg", name)) as store:
        assert store.write_now(adding("c")) == "c"
        assert not store.alone


def test_a_database_that_is_not_there_is_unavailable_and_named_without_its_password(postgres):
    missing = postgres.url("missing").replace("uvms@", "uvms:hunter2@") + "?sslmode=disable"
    with pytest.raises(StoreUnavailable) as caught:
        open_store(missing, exclusive=True)
    assert str(caught.value).startswith(
        f"postgresql+psycopg://uvms:***@127.0.0.1:{postgres.port}/missing cannot be used now: "
    )
    assert 'database "missing" does not exist' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_database_is_not_for_commands(postgres):
    with (
        postgres.database(empty=True) as at,
        pytest.raises(StoreError, match="has schema none, this version needs"),
    ):
        open_store(at)


def test_an_option_that_libpq_does_not_know_is_named(at):
    with pytest.raises(StoreError, match='invalid connection option "sslmod"'):
        open_store(f"{at}?sslmod=disable", exclusive=True)


def test_a_database_that_commits_without_the_disk_is_refused(at):
    with another_session(at) as other:
        other.execute(f"ALTER DATABASE {at.rpartition('/')[2]} SET synchronous_commit = off")
    with pytest.raises(StoreError, match="commits without writing to the disk"):
        open_store(at, exclusive=True)


def test_a_database_that_cannot_hold_every_alert_is_refused(postgres):
    with another_session(postgres.url("postgres")) as other:
        other.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    with pytest.raises(StoreError, match="has the encoding SQL_ASCII"):
        open_store(postgres.url("ascii"), exclusive=True)


def test_a_server_that_is_too_old_is_refused(at, monkeypatch):
    monkeypatch.setattr(engine, "OLDEST", 99)
    with pytest.raises(StoreError, match=r"is PostgreSQL \d+; 99 or later is needed"):
        open_store(at, exclusive=True)


# --- two at the same instant ---


def intake(fingerprint: str, numbers: Iterator[int], lock: bool) -> Callable[[Session], int]:
    """Take in an alert as intake does: what is known, what follows, what is written."""

    def job(session: Session) -> int:
        if lock:
            session.lock([f"page:sre:{fingerprint}"])
        known = session.known({("sre", fingerprint)}, set())
        if known.episodes:
            return 0
        mine = page(id=f"p{next(numbers)}", group_labels={"alert": fingerprint})
        alert = episode(mine, fingerprint=fingerprint)
        recorded(session, mine, alert, call(mine, id=f"c{next(numbers)}"))
        return 1

    return job


@pytest.mark.parametrize("lock", [True, False], ids=["locked", "by the indexes alone"])
def test_the_same_webhook_at_two_replicas_is_one_page_and_one_call(two, lock):
    numbers = count()
    for turn in range(200):
        job = intake(f"f{turn}", numbers, lock)
        made = at_once(*[partial(each.write_now, job) for each in two])
        assert sorted(made) == [0, 1]
    assert len(calls_in(two[0])) == 200
    assert len(two[0].read_now(lambda s: s.find_pages(only_open=True, limit=999))) == 200


def test_what_no_index_forbids_is_decided_once_under_a_lock(two):
    """A repeat: both see that the last call was long ago."""
    numbers = count()
    mine = page(id="mine")
    two[0].write_now(lambda s: recorded(s, mine))

    def repeat(session: Session, turn: int) -> int:
        session.lock(["page:mine"])
        if any(each.created_at >= NOW + turn * HOUR for each in session.find_calls(limit=999)):
            return 0
        new = call(mine, id=f"c{next(numbers)}", created_at=NOW + turn * HOUR)
        recorded(session, new)
        return 1

    for turn in range(1, 50):
        job = partial(repeat, turn=turn)
        assert sorted(at_once(*[partial(each.write_now, job) for each in two])) == [0, 1]


def test_a_call_is_claimed_by_one_of_two(two):
    mine = page(id="mine")
    waiting = [call(mine, id=f"c{number}") for number in range(100)]
    two[0].write_now(lambda s: recorded(s, mine, *waiting))

    def claim(store: Store, lead: Call) -> bool:
        made = attempt(lead)
        return store.write_now(lambda s: s.begin(lead, made, NOW + MINUTE))

    for lead in waiting:
        assert sorted(at_once(*[partial(claim, store, lead) for store in two])) == [False, True]
    attempts = two[0].read_now(lambda s: [s.attempts_of(each) for each in waiting])
    assert [len(each) for each in attempts] == [1] * 100


def test_who_tries_a_lock_is_told_at_once_that_another_has_it(two):
    one, other = two
    took, go_on = threading.Event(), threading.Event()

    def hold(session: Session) -> bool:
        got = session.try_lock("phone:alice")
        took.set()
        assert go_on.wait(PATIENCE)
        return got

    holding = one._writer.put(hold)
    assert took.wait(PATIENCE)
    assert not other.write_now(lambda s: s.try_lock("phone:alice"))
    assert other.write_now(lambda s: s.try_lock("phone:bob"))
    go_on.set()
    assert holding.result(PATIENCE)
    assert other.write_now(lambda s: s.try_lock("phone:alice"))


def test_locks_asked_for_in_any_order_are_taken_in_one(two):
    keys = [f"page:{number}" for number in range(50)]
    runs: list[str] = []

    def job(session: Session, wanted: list[str]) -> None:
        runs.append(wanted[0])
        session.lock(wanted)

    for _ in range(20):
        at_once(
            lambda: two[0].write_now(lambda s: job(s, keys)),
            lambda: two[1].write_now(lambda s: job(s, keys[::-1])),
        )
    assert len(runs) == 40  # whose transaction had been ended as a deadlock would have run again


def test_ten_thousand_locks_at_once_do_not_use_up_the_server(two):
    keys = [f"page:{number}" for number in range(10_000)]
    at_once(*[lambda each=each: each.write_now(lambda s: s.lock(keys)) for each in two])


def test_two_who_wait_for_each_other_both_come_through(two):
    """The database ends one of them, and its job is done again."""
    pages = [page(id="one"), page(id="two")]
    two[0].write_now(lambda s: recorded(s, *pages))
    meeting = threading.Barrier(2)
    runs: list[str] = []

    def both(session: Session, first: str, second: str) -> None:
        runs.append(first)
        assert session.acknowledge(first, NOW, "alice")
        if len(runs) <= 2:
            meeting.wait(PATIENCE)
        assert session.acknowledge(second, NOW, "alice")

    at_once(
        lambda: two[0].write_now(lambda s: both(s, "one", "two")),
        lambda: two[1].write_now(lambda s: both(s, "two", "one")),
    )
    assert len(runs) == 3


def test_contention_without_an_end_is_unavailable(store):
    mine = page(id="mine", group_labels={})
    store.write_now(lambda s: recorded(s, mine))
    runs: list[int] = []

    def stubborn(session: Session) -> None:
        runs.append(1)
        recorded(session, replace(mine, id="another"))

    with pytest.raises(StoreUnavailable, match="uq_pages_open"):
        store.write_now(stubborn)
    assert 1 < len(runs) < 20


# --- trouble ---


class Seen:
    """What the store told of its transactions."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def __call__(self, _seconds: float, error: Exception | None) -> None:
        self.errors.append("" if error is None else type(error).__mro__[1].__name__)


def test_a_server_that_stops_is_unavailable_soon_and_needs_no_restart_of_ours():
    with running() as server, server.database() as at:
        seen = Seen()
        with opened(at, observe=seen) as store:
            store.write_now(adding("before"))
            calls_in(store)
            server.stop()
            started = time.monotonic()
            for act in (store.write_now, store.read_now):
                with pytest.raises(StoreUnavailable, match="cannot be used now"):
                    act(lambda s: s.find_calls(limit=1))
            assert time.monotonic() - started < 10
            server.start()
            assert store.write_now(adding("after")) == "after"
            assert calls_in(store) == {"before", "after"}
        assert seen.errors == ["", "StoreUnavailable", ""]


def test_a_server_that_was_started_again_is_not_even_noticed():
    with running() as server, server.database() as at, opened(at) as store:
        at_once(*[lambda n=n: store.write_now(adding(f"c{n}")) for n in range(8)])
        calls_in(store)
        server.stop(signal.SIGQUIT)
        server.start()
        assert len(calls_in(store)) == 8
        for number in range(20):
            store.write_now(adding(f"after{number}"))


def test_a_server_that_hangs_is_unavailable_in_time():
    with (
        running() as server,
        server.database() as at,
        opened(at, lock_wait_seconds=0.5) as store,
    ):
        store.write_now(adding("before"))
        calls_in(store)
        with server.frozen():
            started = time.monotonic()
            for act in (store.write_now, store.read_now):
                with pytest.raises(StoreUnavailable):
                    act(lambda s: s.find_calls(limit=1))
            assert time.monotonic() - started < 10
        until(lambda: store_is_well(store))
        assert calls_in(store) == {"before"}


def store_is_well(store: Store) -> bool:
    try:
        store.write_now(lambda s: s.probe(NOW))
        calls_in(store)
    except StoreUnavailable:
        return False
    return True


def backend(session: Session) -> int:
    found = session._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    assert isinstance(found, int)
    return found


def test_a_connection_that_dies_in_the_middle_of_a_job_is_replaced(store, at):
    runs: list[int] = []

    def job(session: Session) -> None:
        session.add_call(call(None, id="once"))
        runs.append(backend(session))
        if len(runs) == 1:
            with another_session(at) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (runs[0],))
        session.add_call(call(None, id="twice"))

    store.write_now(job)
    assert len(set(runs)) == 2
    assert calls_in(store) == {"once", "twice"}


def test_connections_that_go_on_dying_are_unavailable_and_nothing_is_half_written(store, at):
    def job(session: Session) -> None:
        session.add_call(call(None, id="once"))
        with another_session(at) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (backend(session),))
        session.add_call(call(None, id="twice"))

    before = dump(at)
    with pytest.raises(StoreUnavailable, match=r"terminating connection|closed the connection"):
        store.write_now(job)
    assert dump(at) == before
    assert store.write_now(adding("next")) == "next"


def test_a_commit_that_nobody_saw_return_is_not_told_as_written(store, at):
    with another_session(at) as other:
        other.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$"
        )
        other.execute(
            "CREATE CONSTRAINT TRIGGER dawdling AFTER INSERT ON calls"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()"
        )
        waiting = store._writer.put(adding("who knows"))
        committing = "SELECT pid FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
        until(lambda: other.execute(committing).fetchone() is not None)
        other.execute(f"SELECT pg_terminate_backend(pid) FROM ({committing}) AS found")
        with pytest.raises(StoreUnavailable, match="lost during a commit, which may be written or"):
            waiting.result(PATIENCE)
        other.execute("DROP FUNCTION dawdle CASCADE")
    assert store.write_now(adding("next")) == "next"


def test_a_statement_that_takes_too_long_is_ended(at):
    def dawdle(session: Session) -> None:
        session.add_call(call(None, id="never"))
        session._connection.exec_driver_sql("SELECT pg_sleep(60)")

    with opened(at, lock_wait_seconds=0.3) as store:
        for act in (store.write_now, store.read_now):
            with pytest.raises(StoreUnavailable, match=r"statement timeout|in a read-only"):
                act(dawdle)
        assert calls_in(store) == set()


def test_a_job_that_takes_too_long_in_small_steps_is_ended(at):
    def dawdle(session: Session) -> None:
        for _ in range(1000):
            session._connection.exec_driver_sql("SELECT pg_sleep(0.1)")

    with opened(at, lock_wait_seconds=0.4) as store:
        with pytest.raises(StoreUnavailable, match="cannot be used now: it is too slow"):
            store.write_now(dawdle)
        assert store.write_now(adding("next")) == "next"


def test_who_waits_for_a_thread_for_too_long_is_told(at):
    go_on = threading.Event()
    with opened(at, lock_wait_seconds=0.2, writers=1) as store:
        holding = store._writer.put(lambda _session: go_on.wait(PATIENCE))
        behind: Future[str] = store._writer.put(adding("behind"))
        time.sleep(0.01)
        threading.Timer(0.6, go_on.set).start()
        with pytest.raises(StoreUnavailable, match="it is too slow"):
            behind.result(PATIENCE)
        assert isinstance(holding.exception(PATIENCE), StoreUnavailable)
        assert calls_in(store) == set()


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param("SELECT 1/0", id="it failed and went on"),
        pytest.param("ROLLBACK", id="it ended the transaction"),
    ],
)
def test_a_transaction_that_is_no_more_is_not_told_as_written(store, break_it):
    def job(session: Session) -> None:
        session.add_call(call(None, id="never"))
        with suppress(sa.exc.DBAPIError):
            session._connection.exec_driver_sql(break_it)

    with pytest.raises(StoreUnavailable, match="the transaction ended before its commit"):
        store.write_now(job)
    assert calls_in(store) == set()


def test_a_job_s_own_fault_is_told_as_it_is_and_is_no_trouble_of_the_store(at):
    seen = Seen()
    with opened(at, observe=seen) as store:
        bug = ValueError("a bug")

        def broken(session: Session) -> None:
            session.add_call(call(None, id="never"))
            raise bug

        with pytest.raises(ValueError, match="a bug"):
            store.write_now(broken)
        with pytest.raises(sa.exc.IntegrityError):
            store.write_now(lambda s: [s.add_call(call(None, id="twice")) for _ in range(2)])
        with pytest.raises(sa.exc.ProgrammingError):
            store.write_now(lambda s: s._connection.exec_driver_sql("SELECT * FROM nothing"))
        assert seen.errors == ["", "", ""]
        assert calls_in(store) == set()


def test_an_error_shows_no_phone_number(store):
    """PostgreSQL quotes the whole row."""

    def nameless(session: Session) -> None:
        session.add_call(call(None))
        session._connection.exec_driver_sql("UPDATE calls SET person = NULL")

    with pytest.raises(sa.exc.IntegrityError, match='null value in column "person"') as caught:
        store.write_now(nameless)
    assert ALICE.e164 not in f"{caught.value} {caught.value!r} {caught.value.orig}"


def test_a_closed_store_says_so(store):
    store.close()
    for act in (store.read_now, store.write_now):
        with pytest.raises(StoreUnavailable, match="the store is closed"):
            act(lambda s: s.find_calls(limit=1))


# --- behind a pooler ---


def test_nothing_of_a_transaction_stays_with_its_connection(store):
    """So that a pooler may give the connection to somebody else."""
    settings = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    def inside(session: Session) -> list[str]:
        for _ in range(20):  # the driver would prepare it at the fifth time
            session.find_calls(limit=1)
        session.lock(["page:x"])
        session.try_lock("phone:x")
        shown = [session._connection.exec_driver_sql(f"SHOW {name}").scalar() for name in settings]
        return [str(each) for each in shown]

    assert store.write_now(inside) == ["5s", "5s", "5s"]
    with store._writing.connect() as connection:
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        after = [driver.execute(f"SHOW {name}").fetchone() for name in (*settings, "TimeZone")]
        assert after == [("0",), ("0",), ("0",), ("Asia/Shanghai",)]
        for left in ("pg_prepared_statements", "pg_locks WHERE locktype = 'advisory'"):
            assert driver.execute(f"SELECT count(*) FROM {left}").fetchone() == (0,)


# --- waking ---


@contextmanager
def listening(store: Store) -> Iterator[threading.Semaphore]:
    woken = threading.Semaphore(0)
    store.listen(woken.release)
    assert woken.acquire(timeout=PATIENCE)  # once when it has begun
    yield woken


def test_a_replica_is_woken_by_another_once_that_has_committed(two):
    one, other = two
    with listening(one) as woken:
        with pytest.raises(ValueError, match="undone"):
            other.write_now(lambda s: (s.wake(), undone()))
        other.write_now(lambda s: s.wake())
        assert woken.acquire(timeout=PATIENCE)
        assert not woken.acquire(timeout=0.01)


def undone() -> None:
    raise ValueError("undone")


def test_who_was_cut_off_listens_again_and_looks_what_happened_meanwhile(store, at):
    with listening(store) as woken:
        with another_session(at) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
            )
        assert woken.acquire(timeout=PATIENCE)
        store.write_now(lambda s: s.wake())
        assert woken.acquire(timeout=PATIENCE)


# --- as the service uses it ---


def test_what_was_accepted_is_there_for_the_next_process(at):
    mine = page()
    lead = call(mine)
    with opened(at) as store:
        store.write_now(lambda s: recorded(s, mine, lead))
        store.write_now(lambda s: accepted(s, lead))
    with opened(at) as store:
        [found] = store.read_now(lambda s: s.find_calls(limit=9))
        assert (found.id, found.note) == (lead.id, "taken")
