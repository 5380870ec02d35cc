"""Group commit: who is answered, when, and what happens to those who share a transaction."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from store_world import ALICE, NOW, another_process, call, database, opened, page, recorded

from adapter.errors import StoreUnavailable
from adapter.store.session import Session
from adapter.store.store import Store


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Seen:
    """What the store told of its transactions."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def __call__(self, seconds: float, error: Exception | None) -> None:
        self.seconds.append(seconds)
        self.errors.append("" if error is None else f"{type(error).__name__}: {error}")


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def store(tmp_path: Path, seen: Seen) -> Iterator[Store]:
    with opened(tmp_path, observe=seen) as store:
        yield store


@contextmanager
def busy(store: Store) -> Iterator[None]:
    """Keep the writer busy, so that everything put meanwhile waits together."""
    began, go_on = threading.Event(), threading.Event()

    def wait(_session: Session) -> None:
        began.set()
        assert go_on.wait(10)

    waiting = store._writer.put(wait)
    assert began.wait(10)
    try:
        yield
    finally:
        go_on.set()
        waiting.result(10)


def adding(name: str) -> Callable[[Session], str]:
    def add(session: Session) -> str:
        session.add_call(call(None, id=name))
        return name

    return add


def calls_on_disk(directory: Path) -> set[str]:
    with another_process(directory) as other:
        return {name for (name,) in other.execute("SELECT id FROM calls")}


# --- sharing a transaction ---


@pytest.mark.anyio
async def test_writes_that_wait_together_are_committed_together(store, seen, tmp_path):
    with busy(store):
        waiting = [asyncio.ensure_future(store.write(adding(f"c{n}"))) for n in range(200)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [f"c{n}" for n in range(200)]
    assert seen.errors == ["", ""]  # the one that kept the writer busy, and all the others
    assert len(calls_on_disk(tmp_path)) == 200


@pytest.mark.anyio
async def test_one_commit_takes_only_so_many_along(store, seen):
    with busy(store):
        waiting = [asyncio.ensure_future(store.write(adding(f"c{n}"))) for n in range(600)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert len(seen.errors) == 1 + 3


@pytest.mark.anyio
async def test_nobody_is_answered_before_the_commit(tmp_path):
    answered, on_disk = [], []

    def observe(_seconds: float, _error: Exception | None) -> None:
        on_disk.append(calls_on_disk(tmp_path))
        answered.append([each.done() for each in waiting])

    waiting: list[asyncio.Future[str]] = []
    with opened(tmp_path, observe=observe) as store:
        with busy(store):
            waiting += [asyncio.ensure_future(store.write(adding(f"c{n}"))) for n in range(3)]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
    assert on_disk[-1] == {"c0", "c1", "c2"}
    assert answered[-1] == [False] * 3


def test_where_the_commit_itself_fails_nobody_is_told_that_it_is_done(store, seen, tmp_path):
    def owe_a_page(session: Session) -> None:
        session._connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        recorded(session, call(page(id="never written"), id="orphan"))

    with busy(store):
        guilty = store._writer.put(owe_a_page)
        bystander = store._writer.put(adding("bystander"))
    for each in (guilty, bystander):
        with pytest.raises(StoreUnavailable, match="FOREIGN KEY constraint failed"):
            each.result(10)
    assert seen.errors[-1].startswith("StoreUnavailable: sqlite:///")
    assert calls_on_disk(tmp_path) == set()
    assert store.write_now(adding("next")) == "next"


def test_a_job_that_ends_the_transaction_unseen_takes_all_down_too(store, tmp_path):
    with busy(store):
        answers = [
            store._writer.put(adding("before")),
            store._writer.put(lambda session: session._connection.exec_driver_sql("ROLLBACK")),
            store._writer.put(adding("after")),
        ]
    assert {type(each.exception(10)) for each in answers} == {StoreUnavailable}
    assert calls_on_disk(tmp_path) == set()
    assert store.write_now(adding("next")) == "next"


def test_whose_own_fault_it_was_is_told_that_even_where_the_commit_fails(store):
    with busy(store):
        bug = store._writer.put(raising(ValueError("a bug"), "broken"))
        shared = store._writer.put(lambda session: session._connection.exec_driver_sql("ROLLBACK"))
    assert isinstance(bug.exception(10), ValueError)
    assert isinstance(shared.exception(10), StoreUnavailable)


def test_two_who_fail_together_get_an_error_each(store):
    """One exception that is raised in two places would mix up their tracebacks."""
    with busy(store):
        answers = [
            store._writer.put(
                lambda session: session._connection.exec_driver_sql("PRAGMA query_only = ON")
            ),
            store._writer.put(adding("one")),
            store._writer.put(adding("two")),
        ]
    errors = [each.exception(10) for each in answers]
    assert {type(each) for each in errors} == {StoreUnavailable}
    assert len({id(each) for each in errors}) == 3
    assert all(isinstance(each.__cause__, sa.exc.DBAPIError) for each in errors if each)


# --- undoing one's own ---


def raising(error: BaseException, name: str) -> Callable[[Session], None]:
    def job(session: Session) -> None:
        session.add_call(call(None, id=name))
        raise error

    return job


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("a bug"), id="a bug"),
        pytest.param(StoreUnavailable("said the job"), id="an error of ours"),
        pytest.param(SystemExit(3), id="an exit"),
        pytest.param(asyncio.CancelledError(), id="a cancellation"),
    ],
)
def test_a_job_that_raises_undoes_only_itself(store, seen, tmp_path, error):
    with busy(store):
        before = store._writer.put(adding("before"))
        broken = store._writer.put(raising(error, "broken"))
        after = store._writer.put(adding("after"))
    assert broken.exception(10) is error
    assert (before.result(10), after.result(10)) == ("before", "after")
    assert calls_on_disk(tmp_path) == {"before", "after"}
    assert seen.errors == ["", ""]


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        pytest.param(
            lambda session: [session.add_call(call(None, id="twice")) for _ in range(2)],
            sa.exc.IntegrityError,
            id="a constraint",
        ),
        pytest.param(
            lambda session: session._connection.exec_driver_sql("SELECT * FROM nothing"),
            sa.exc.OperationalError,
            id="a wrong statement",
        ),
        pytest.param(
            lambda session: session.add_call(call(None, created_at=NOW.replace(tzinfo=None))),
            ValueError,
            id="a time without a zone",
        ),
        pytest.param(
            lambda session: session.add_call(call(None, note="half a pair \ud800")),
            UnicodeEncodeError,
            id="a text that is none",
        ),
    ],
)
def test_a_job_s_own_fault_hurts_nobody_else(store, tmp_path, break_it, error):
    with busy(store):
        before = store._writer.put(adding("before"))
        broken = store._writer.put(break_it)
        after = store._writer.put(adding("after"))
    with pytest.raises(error):
        broken.result(10)
    assert (before.result(10), after.result(10)) == ("before", "after")
    assert calls_on_disk(tmp_path) == {"before", "after"}


def test_a_job_that_ends_the_transaction_takes_all_down_and_nothing_is_half_written(
    store, tmp_path
):
    """As SQLite does on its own where the disk is full; then savepoints are gone too."""

    def roll_back(session: Session) -> None:
        session._connection.exec_driver_sql("ROLLBACK")
        raise ValueError("and a bug")

    with busy(store):
        answers = [store._writer.put(job) for job in (adding("before"), roll_back, adding("after"))]
    for each in answers:
        with pytest.raises(StoreUnavailable, match="no such savepoint"):
            each.result(10)
    assert calls_on_disk(tmp_path) == set()
    assert store.write_now(adding("next")) == "next"


def test_an_error_shows_no_phone_number(store):
    twice = call(None, ALICE)
    store.write_now(lambda session: session.add_call(twice))
    with pytest.raises(sa.exc.IntegrityError) as caught:
        store.write_now(lambda session: session.add_call(twice))
    assert ALICE.e164 not in str(caught.value)
    with pytest.raises(sa.exc.OperationalError) as caught:
        store.read_now(
            lambda session: session._connection.execute(
                sa.text("SELECT * FROM nothing WHERE phone = :phone"), {"phone": ALICE.e164}
            )
        )
    assert ALICE.e164 not in str(caught.value)


# --- observing ---


def test_every_transaction_is_observed_with_its_time(store, seen):
    store.write_now(adding("one"))
    store.write_now(adding("two"))
    assert seen.errors == ["", ""]
    assert all(0 < seconds < 10 for seconds in seen.seconds)


def test_an_observer_that_fails_stops_nothing(tmp_path):
    def observe(_seconds: float, _error: Exception | None) -> None:
        raise ValueError("a bug of the metrics")

    with opened(tmp_path, observe=observe) as store:
        assert store.write_now(adding("one")) == "one"
        assert store.write_now(adding("two")) == "two"


# --- going away ---


@pytest.mark.anyio
async def test_who_goes_away_while_waiting_does_not_take_the_job_along(store, tmp_path):
    with busy(store):
        gone = asyncio.ensure_future(store.write(adding("gone")))
        stays = asyncio.ensure_future(store.write(adding("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert await stays == "stays"
    assert calls_on_disk(tmp_path) == {"gone", "stays"}
    assert await store.write(adding("next")) == "next"


@pytest.mark.anyio
async def test_closing_finishes_what_was_put(tmp_path):
    with opened(tmp_path) as store:
        with busy(store):
            waiting = [asyncio.ensure_future(store.write(adding(f"c{n}"))) for n in range(5)]
            await asyncio.sleep(0)
        store.close()
        assert await asyncio.gather(*waiting) == [f"c{n}" for n in range(5)]
    assert len(calls_on_disk(tmp_path)) == 5


def test_what_is_put_while_the_store_closes_is_done_or_refused_but_never_forgotten(tmp_path):
    with opened(tmp_path) as store:
        answers: list[object] = []

        def put_until_refused() -> None:
            for number in range(100_000):
                try:
                    answers.append(store.write_now(adding(f"{threading.get_ident()}.{number}")))
                except StoreUnavailable:
                    return

        threads = [threading.Thread(target=put_until_refused) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(answers) < 20:
            threading.Event().wait(0.001)
        store.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert calls_on_disk(tmp_path) == set(answers)


def test_closing_twice_is_closing_once(tmp_path):
    with opened(tmp_path) as store:
        store.close()
        store.close()
    assert not database(tmp_path).with_name("uvms-adapter.db-wal").exists()


def test_a_loop_that_ends_while_a_write_is_under_way_warns_of_nothing(store, tmp_path, caplog):
    with busy(store):

        async def leave() -> None:
            asyncio.ensure_future(store.write(adding("left behind")))  # noqa: RUF006
            await asyncio.sleep(0)

        asyncio.run(leave())
    store.write_now(adding("next"))
    gc.collect()
    assert calls_on_disk(tmp_path) == {"left behind", "next"}
    assert caplog.records == []


def test_a_loop_that_is_closed_before_the_answer_warns_of_nothing(store, tmp_path, caplog):
    with busy(store):
        loop = asyncio.new_event_loop()
        answer = asyncio.wrap_future(store._writer.put(adding("unheard")), loop=loop)
        loop.close()
    store.write_now(adding("next"))
    assert not answer.done()
    assert calls_on_disk(tmp_path) == {"unheard", "next"}
    assert caplog.records == []
