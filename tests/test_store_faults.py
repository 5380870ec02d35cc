"""A store in trouble: every public method against a locked, full, read-only or closed database.

Whatever the trouble: StoreUnavailable, nothing half-written, and well again without a restart.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from store_world import (
    ALICE,
    DAY,
    HOUR,
    NOW,
    another_process,
    attempt,
    begun,
    call,
    database,
    episode,
    held,
    in_one_go,
    opened,
    page,
    recorded,
    url,
)

from adapter.errors import StoreUnavailable
from adapter.model import CallState
from adapter.paging import Changes, page_key
from adapter.store.session import Rejected, Session
from adapter.store.store import Store, open_store

PAGE = page(id="the-page", group_labels={})
LEAD = call(PAGE, id="the-call")
RUNG = call(PAGE, id="rung", phone=ALICE)
HELD = attempt(RUNG, id="held")
BODY = Rejected(id=0, received_at=NOW, source="grafana", error="no JSON", size=2, body=b"{]")

READS: dict[str, Callable[[Session], Any]] = {
    "known": lambda s: s.known({("sre", "f")}, {page_key("sre", {})}),
    "due_phones": lambda s: s.due_phones(NOW),
    "dialled_since": lambda s: s.dialled_since(ALICE, NOW - DAY),
    "due_calls": lambda s: s.due_calls(ALICE, NOW, 1),
    "alike": lambda s: s.alike(LEAD, NOW),
    "page": lambda s: s.page(PAGE.id),
    "alerts_named_by": lambda s: s.alerts_named_by(LEAD),
    "next_due": lambda s: s.next_due(),
    "orphans": lambda s: s.orphans(NOW),
    "due_look_ups": lambda s: s.due_look_ups(NOW),
    "sessions_used": lambda s: s.sessions_used(ALICE, NOW),
    "find_pages": lambda s: s.find_pages(only_open=True, limit=1),
    "episodes_of": lambda s: s.episodes_of(PAGE.id, 1),
    "firing_in": lambda s: s.firing_in([PAGE.id]),
    "find_calls": lambda s: s.find_calls(text="x", limit=1),
    "attempts_of": lambda s: s.attempts_of(LEAD),
    "queue": lambda s: s.queue(NOW),
    "find_rejected": lambda s: s.find_rejected(),
}
WRITES: dict[str, Callable[[Session], Any]] = {
    "record": lambda s: s.record(Changes(new_pages=(page(),))),
    "add_call": lambda s: s.add_call(call(None)),
    "limit": lambda s: s.limit(ALICE, NOW, NOW + HOUR),
    "bundle": lambda s: s.bundle(RUNG, NOW),
    "begin": lambda s: s.begin(LEAD, attempt(LEAD), NOW + HOUR),
    "end": lambda s: s.end(LEAD, CallState.CANCELLED, NOW, "resolved"),
    "finish_attempt": lambda s: s.finish_attempt(replace(HELD, finished_at=NOW)),
    "settle": lambda s: s.settle(HELD.id, CallState.ACCEPTED, now=NOW, due_at=None, note=""),
    "lease": lambda s: s.lease("looked-up", NOW + HOUR),
    "retry": lambda s: s.retry("ended", NOW),
    "acknowledge": lambda s: s.acknowledge(PAGE.id, NOW),
    "close_stale": lambda s: s.close_stale(NOW + HOUR, NOW),
    "prune": lambda s: s.prune(NOW + HOUR, 100),
    "probe": lambda s: s.probe(NOW),
    "reject": lambda s: s.reject(BODY, 1),
}

each_read = pytest.mark.parametrize("name", READS)
each_write = pytest.mark.parametrize("name", WRITES)


def furnish(session: Session) -> None:
    """Give every method something to do."""
    ended, unknown, lone = call(PAGE, id="ended"), call(PAGE, id="unknown"), page(closed_at=NOW)
    recorded(session, PAGE, episode(PAGE), LEAD, ended, unknown, lone, RUNG)
    session.end(ended, CallState.REFUSED, NOW, "")
    session.begin(RUNG, HELD, NOW + HOUR)
    looked_up = attempt(unknown, id="looked-up")
    session.begin(unknown, looked_up, NOW + HOUR)
    session.settle(looked_up.id, CallState.UNKNOWN, now=NOW, due_at=NOW, note="")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("furnished")
    in_one_go(directory, furnish)
    return database(directory)


@pytest.fixture
def store(tmp_path: Path, furnished: Path) -> Iterator[Store]:
    shutil.copy(furnished, database(tmp_path))
    with opened(tmp_path, lock_wait_seconds=0.0) as store:
        yield store


def dump(directory: Path) -> list[str]:
    with another_process(directory) as other:
        return list(other.iterdump())


def test_every_public_method_is_in_the_tables():
    public = {name for name in dir(Session) if not name.startswith("_")}
    assert public == READS.keys() | WRITES.keys()


@each_write
def test_a_write_waits_for_a_lock_only_so_long(store, tmp_path, name):
    before = dump(tmp_path)
    with held(tmp_path), pytest.raises(StoreUnavailable, match="database is locked"):
        store.write_now(WRITES[name])
    assert dump(tmp_path) == before
    store.write_now(WRITES[name])
    assert dump(tmp_path) != before


@each_read
def test_a_read_does_not_care_about_the_lock(store, tmp_path, name):
    with held(tmp_path):
        store.read_now(READS[name])


@each_write
def test_a_write_that_the_file_does_not_take_writes_nothing(store, tmp_path, name):
    before = dump(tmp_path)
    turned_read_only = store._writer.put(
        lambda s: s._connection.exec_driver_sql("PRAGMA query_only = ON")
    )
    turned_read_only.result(10)
    with pytest.raises(StoreUnavailable, match="attempt to write a readonly database"):
        store.write_now(WRITES[name])
    assert dump(tmp_path) == before
    store.write_now(WRITES[name])
    assert dump(tmp_path) != before


@each_write
def test_reading_never_writes(store, name):
    with pytest.raises(StoreUnavailable, match="attempt to write a readonly database"):
        store.read_now(WRITES[name])


@pytest.mark.parametrize("name", READS | WRITES)
def test_a_closed_store_says_so(store, name):
    job = (READS | WRITES)[name]
    store.close()
    for act in (store.read_now, store.write_now):
        with pytest.raises(StoreUnavailable, match="the store is closed"):
            act(job)


def fill(session: Session) -> None:
    """Write more than fits, after something that does."""
    session.add_call(call(None, id="before-the-end"))
    session.add_call(call(None, note="x" * 10_000_000))


def test_where_the_disk_is_full_all_who_share_the_transaction_are_told(store, tmp_path):
    before = dump(tmp_path)

    def shrink_then_fill(session: Session) -> None:
        pages = session._connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        session._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        fill(session)

    bystanders = [store._writer.put(lambda s: s.add_call(call(None))) for _ in range(3)]
    full = store._writer.put(shrink_then_fill)
    bystanders += [store._writer.put(lambda s: s.add_call(call(None))) for _ in range(3)]
    with pytest.raises(StoreUnavailable, match="database or disk is full"):
        full.result(10)
    told = [each.exception(10) for each in bystanders]
    assert {type(each) for each in told} <= {StoreUnavailable, type(None)}
    written = sum(each is None for each in told)
    assert len(dump(tmp_path)) == len(before) + written
    store.write_now(lambda s: s.add_call(call(None)))


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from adapter.errors import StoreUnavailable
from store_world import call, opened, database
from test_store_faults import fill

directory, said = Path(sys.argv[1]), []

def attempt(job):
    try:
        store.write_now(job)
    except StoreUnavailable as error:
        said.append(str(error))
    else:
        said.append("written")

with opened(directory) as store:
    store.write_now(lambda s: s.add_call(call(None, id="first")))
    room = database(directory).with_name("uvms-adapter.db-wal").stat().st_size + 8192
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    for _ in range(3):
        attempt(fill)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    attempt(lambda s: s.add_call(call(None, id="last")))
    said.append(sorted(each.id for each in store.read_now(lambda s: s.find_calls(limit=9))))
print(json.dumps(said))
"""


def test_a_disk_that_stays_full_for_a_while_needs_no_restart(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    *refused, last, calls = json.loads(done.stdout)
    assert len(refused) == 3
    assert all("disk I/O error" in each or "disk is full" in each for each in refused)
    assert (last, calls) == ("written", ["first", "last"])


def test_a_killed_process_loses_nothing_it_answered_for(tmp_path):
    script = """
import os, signal, sys
from pathlib import Path
from store_world import call, opened

with opened(Path(sys.argv[1])) as store:
    store.write_now(lambda s: s.add_call(call(None, id="answered")))
    def die(session):
        session.add_call(call(None, id="under way"))
        os.kill(os.getpid(), signal.SIGKILL)
    store.write_now(die)
"""
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"},
        timeout=60,
        check=False,
    )
    with opened(tmp_path) as store:
        assert [each.id for each in store.read_now(lambda s: s.find_calls(limit=9))] == ["answered"]


def test_what_a_dead_process_was_sending_is_found_by_the_next_one(tmp_path):
    with opened(tmp_path) as store:
        mine = page()
        lead = call(mine)

        def claim(session: Session) -> str:
            recorded(session, mine, lead)
            return begun(session, lead, lease=DAY).id

        claimed = store.write_now(claim)
    with opened(tmp_path) as store:
        assert store.read_now(lambda s: s.orphans(NOW)) == []
        [(found, by)] = store.read_now(lambda s: s.orphans(NOW, all_of_them=True))
        assert (found.id, by.id) == (lead.id, claimed)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"this is no database, but long enough to look at" * 100, id="another file"),
        pytest.param(b"SQLite format 3\0" + b"\xff" * 5000, id="a broken header"),
    ],
)
def test_a_file_that_is_no_database_is_left_alone(tmp_path, damage):
    path = tmp_path / "uvms-adapter.db"
    path.write_bytes(damage)
    with pytest.raises(StoreUnavailable, match=r"uvms-adapter\.db cannot be used now: file is not"):
        open_store(url(tmp_path), exclusive=True)
    assert path.read_bytes() == damage
