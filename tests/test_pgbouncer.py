"""Behind a real pgbouncer that pools transactions, where no session is anybody's own.

A pool has one or two connections for all that the clients open, so that whatever one of them left
behind in a session would be found by another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from pgbouncer_server import Pooler, pooling
from postgres_server import Server
from process_harness import (
    API_TOKEN,
    Service,
    Vendor,
    firing,
    http_client,
    new_number,
    simulated_vendor,
    until,
    webhook,
)
from store_world import NOW, another_session, at_once, call, held, opened, recorded
from worker_world import limits, routes

from adapter.errors import StoreUnavailable
from adapter.model import PhoneNumber
from adapter.store.session import Session
from adapter.store.store import Store, open_store
from adapter.worker.claiming import claim

PATIENCE = 20.0

# What a transaction of ours says for itself must hold for nobody else.
LEFT_BEHIND = """
SELECT (SELECT count(*) FROM pg_prepared_statements) AS prepared,
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks,
       (SELECT count(*) FROM pg_listening_channels()) AS channels,
       current_setting('statement_timeout') AS statement_timeout,
       current_setting('lock_timeout') AS lock_timeout,
       current_setting('idle_in_transaction_session_timeout') AS idle_timeout,
       current_setting('transaction_isolation') AS isolation,
       current_setting('transaction_read_only') AS read_only
"""
NOTHING = (0, 0, 0, "0", "0", "0", "read committed", "off")


@pytest.fixture(scope="module")
def narrow(postgres: Server) -> Iterator[Pooler]:
    """One connection for everybody."""
    with pooling(postgres, connections=1) as found:
        yield found


@pytest.fixture(scope="module")
def pooler(postgres: Server) -> Iterator[Pooler]:
    with pooling(postgres, connections=3) as found:
        yield found


@pytest.fixture
def at(postgres: Server) -> Iterator[str]:
    """A database, as it is named past the pooler."""
    with postgres.database() as found:
        yield found


def call_ids(store: Store) -> list[str]:
    return sorted(each.id for each in store.read_now(lambda s: s.find_calls(limit=999)))


def add(session: Session, number: int) -> None:
    session.lock([f"page:{number}"])
    assert session.try_lock(f"phone:{number}")
    session.add_call(call(None, id=f"c{number:02}"))
    session.wake()


# --- the store ---------------------------------------------------------------------------------


def test_replicas_that_start_together_bring_the_schema_up_to_date(postgres, pooler):
    with postgres.database(empty=True) as direct:
        stores = at_once(*[partial(open_store, pooler.url(direct), exclusive=True)] * 4)
        try:
            at_once(*[partial(s.write_now, partial(add, number=n)) for n, s in enumerate(stores)])
            assert call_ids(stores[0]) == ["c00", "c01", "c02", "c03"]
        finally:
            for store in stores:
                store.close()


def test_nothing_of_a_transaction_is_left_in_the_session(postgres, narrow):
    """Twenty of each kind: the driver would prepare what it has run five times."""
    with (
        postgres.database(empty=True) as direct,
        opened(narrow.url(direct), listen_url=direct) as store,
        narrow.connect(direct) as another,
    ):
        heard = threading.Event()
        store.listen(heard.set)
        assert heard.wait(PATIENCE)
        for number in range(20):
            store.write_now(partial(add, number=number))
            assert len(call_ids(store)) == number + 1

        assert another.execute(LEFT_BEHIND).fetchone() == NOTHING
        backend = another.execute("SELECT pg_backend_pid()").fetchone()
        ours = store.read_now(
            lambda s: s._connection.exec_driver_sql("SELECT pg_backend_pid()").fetchone()
        )
        assert tuple(ours) == backend, "it was another session, so nothing was shown"


def test_locks_hold_between_clients_of_one_pool_and_end_with_their_transaction(at, pooler):
    took, go_on = threading.Event(), threading.Event()

    def hold(session: Session) -> bool:
        got = session.try_lock("phone:alice")
        took.set()
        assert go_on.wait(PATIENCE)
        return got

    with opened(pooler.url(at)) as one, opened(pooler.url(at)) as other:
        holding = one._writer.put(hold)
        assert took.wait(PATIENCE)
        assert not other.write_now(lambda s: s.try_lock("phone:alice"))
        go_on.set()
        assert holding.result(PATIENCE)
        assert other.write_now(lambda s: s.try_lock("phone:alice"))


def test_each_call_is_claimed_by_one_of_two(at, pooler):
    """As the worker claims: locked phones and rows are passed over, not waited for."""
    policy, ids = routes(limits=limits()), count(1)
    phones = [PhoneNumber(f"+86135123456{number}") for number in range(10, 40)]

    def some(session: Session) -> list[str]:
        found = claim(session, policy, 5, lambda: NOW, lambda: f"{next(ids):032}")
        return [ready.call.id for ready in found.ready]

    with opened(pooler.url(at)) as one, opened(pooler.url(at)) as other:
        owed = [call(None, phone, receiver="phone") for phone in phones]
        one.write_now(lambda s: recorded(s, *owed))
        claimed: list[str] = []
        while len(claimed) < len(owed):
            before = len(claimed)
            for found in at_once(*[partial(each.write_now, some) for each in (one, other)]):
                claimed += found
            assert len(claimed) > before, "nobody found what is left"
        assert sorted(claimed) == sorted(each.id for each in owed)


def test_a_lock_that_is_not_to_be_had_is_waited_for_no_longer_than_it_says(at, pooler):
    """The limit comes with the transaction; the session through which it goes has none."""
    with opened(pooler.url(at), lock_wait_seconds=0.3) as store:
        with held(at), pytest.raises(StoreUnavailable, match=r"(lock|statement) timeout"):
            store.write_now(partial(add, number=1))
        store.write_now(partial(add, number=2))
        assert call_ids(store) == ["c02"]


def test_a_pool_that_others_have_used_up_is_unavailable_in_time(at, narrow):
    """The server's limits do not begin before there is a session: our own have to end it."""
    with opened(narrow.url(at), lock_wait_seconds=0.3) as store:
        with narrow.connect(at) as another, another.transaction():
            another.execute("SELECT 1")
            began = time.monotonic()
            for act in (store.write_now, store.read_now):
                with pytest.raises(StoreUnavailable):
                    act(lambda s: s.find_calls(limit=1))
            assert time.monotonic() - began < PATIENCE
        store.write_now(partial(add, number=1))
        assert call_ids(store) == ["c01"]


def test_who_listens_past_the_pooler_is_woken_by_who_writes_through_it(at, pooler):
    with opened(pooler.url(at), listen_url=at) as idle, opened(pooler.url(at)) as busy:
        woken = threading.Semaphore(0)
        idle.listen(woken.release)
        assert woken.acquire(timeout=PATIENCE), "once when it has begun"
        busy.write_now(partial(add, number=1))
        assert woken.acquire(timeout=PATIENCE)


def test_who_listens_through_the_pooler_breaks_nothing(at, pooler):
    """`LISTEN` then belongs to a session that others use next, and hears for nobody."""
    with opened(pooler.url(at)) as one, opened(pooler.url(at)) as other:
        for store in (one, other):
            began = threading.Event()
            store.listen(began.set)
            assert began.wait(PATIENCE)
        for number in range(20):
            (one, other)[number % 2].write_now(partial(add, number=number))
        assert len(call_ids(one)) == len(call_ids(other)) == 20


# --- replicas ----------------------------------------------------------------------------------


class Replica(Service):
    """A service that reaches its database through the pooler."""

    database: dict[str, str]

    def environ(self) -> dict[str, str]:
        return super().environ() | self.database


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as started:
        yield started


@pytest.mark.process
@pytest.mark.parametrize("listening", [True, False], ids=["listening past it", "not listening"])
def test_the_same_webhook_at_two_replicas_is_one_page_and_one_call(
    postgres: Server, pooler: Pooler, vendor: Vendor, tmp_path: Path, listening: bool
) -> None:
    numbers = [new_number() for _ in range(5)]
    tree = {
        "receivers": [
            {"name": number, "voice_template": "outage", "call": [number]} for number in numbers
        ],
        "route": {
            "receiver": numbers[0],
            "routes": [{"receiver": n, "matchers": [f'alertname="{n}"']} for n in numbers],
        },
    }
    with postgres.database(empty=True) as direct:
        replicas = [Replica(tmp_path, vendor, tree) for _ in range(2)]
        for number, replica in enumerate(replicas):
            replica.folder = tmp_path / str(number)
            replica.folder.mkdir()
            replica.database = {"UVMS_DATABASE_URL": pooler.url(direct)}
            if listening:
                replica.database["UVMS_DATABASE_LISTEN_URL"] = direct
        one, other = replicas
        with one.starting() as first, other.starting() as second:
            one.await_serving(first)
            other.await_serving(second)
            for number in numbers:
                body = webhook(firing(number))
                answers = at_once(*[partial(each.post, body) for each in replicas])
                assert [answer.status_code for answer in answers] == [200, 200]
                reasons = sorted(str(*answer.json()["reasons"]) for answer in answers)
                assert reasons == ["duplicate", "first"]
            until(lambda: len(vendor.rang(*numbers)) == len(numbers), "all ring", first.tail)
            until(one.nothing_open, "nothing is under way", first.tail)

            with http_client(one.url, API_TOKEN) as client:
                assert len(client.get("/api/v1/pages").json()["pages"]) == len(numbers)
            assert {each["state"] for each in one.calls()} == {"accepted"}
            if listening:
                assert (listeners(direct), listeners(pooler.url(direct))) == (2, 2)
        assert sorted(c["number"] for c in vendor.rang(*numbers)) == sorted(numbers)


def listeners(at: str) -> int:
    with another_session(at) as other:
        other.prepare_threshold = None
        asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
        found = other.execute(asked + " AND datname = current_database()").fetchone()
    assert found is not None
    return int(found[0])
