"""A store in trouble: every public method against a locked, full, read-only or closed database.

Whatever the trouble: StoreUnavailable, nothing half-written, and well again without a restart.
"""

from __future__ import annotations

import json
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
    attempt,
    begun,
    call,
    dump,
    episode,
    held,
    in_one_go,
    on_postgresql,
    opened,
    page,
    recorded,
    url,
)

from adapter.errors import StoreUnavailable
from adapter.model import (
    Alert,
    CallState,
    Event,
    EventKind,
    Fallback,
    FallbackState,
    Reason,
    Receipt,
    Result,
    Source,
    Status,
    StoredOverride,
)
from adapter.paging import Changes, Moves, Verdict, page_key
from adapter.schedules.records import StoredCalendar
from adapter.store.session import Rejected, Session
from adapter.store.store import Store, open_store

PAGE = page(id="the-page", group_labels={})
LEAD = call(PAGE, id="the-call")
RUNG = call(PAGE, id="rung", phone=ALICE)
HELD = attempt(RUNG, id="held")
OWED = Fallback(
    id="owed",
    page_id=PAGE.id,
    receiver="sre",
    run=1,
    state=FallbackState.WAITING,
    created_at=NOW,
    due_at=NOW,
)
STANDS_IN = StoredOverride(
    id="stands-in",
    schedule="sre",
    person="alice",
    starts_at=NOW,
    ends_at=NOW + HOUR,
    created_at=NOW,
    created_by="bob",
)
FEED = StoredCalendar(schedule="sre", source="", text="", etag="", last_modified="", fetched_at=NOW)
VERDICT = Verdict(
    alert=Alert(fingerprint="f", status=Status.FIRING, labels={"alertname": "HighLatency"}),
    receiver="sre",
    reason=Reason.DUPLICATE,
)
RECEIPT = Receipt(result=Result.ANSWERED, received_at=NOW)
BODY = Rejected(id=0, received_at=NOW, source="grafana", error="no JSON", size=2, body=b"{]")

READS: dict[str, Callable[[Session], Any]] = {
    "due_phones": lambda s: s.due_phones(NOW),
    "dialled_since": lambda s: s.dialled_since(ALICE, NOW - DAY),
    "requests_since": lambda s: s.requests_since(ALICE, NOW - DAY, NOW),
    "due_calls": lambda s: s.due_calls(ALICE, NOW, 1),
    "alike": lambda s: s.alike(LEAD, NOW),
    "page": lambda s: s.page(PAGE.id),
    "alerts_named_by": lambda s: s.alerts_named_by(LEAD),
    "due": lambda s: s.due(),
    "maybe_told": lambda s: s.maybe_told(LEAD),
    "sessions_used": lambda s: s.sessions_used(ALICE, NOW),
    "find_pages": lambda s: s.find_pages(only_open=True, limit=1),
    "episodes_of": lambda s: s.episodes_of(PAGE.id, 1),
    "firing_in": lambda s: s.firing_in([PAGE.id]),
    "find_calls": lambda s: s.find_calls(text="x", limit=1),
    "attempts_of": lambda s: s.attempts_of(LEAD),
    "queue": lambda s: s.queue(NOW),
    "shared_time": lambda s: s.shared_time(),
    "find_rejected": lambda s: s.find_rejected(),
    "due_fallbacks": lambda s: s.due_fallbacks(NOW, 1),
    "next_fallback_due": lambda s: s.next_fallback_due(),
    "fallbacks_of": lambda s: s.fallbacks_of(PAGE.id),
    "exhausted": lambda s: s.exhausted(PAGE),
    "find_verdicts": lambda s: s.find_verdicts(limit=1),
    "events_of": lambda s: s.events_of(page_id=PAGE.id),
    "find_webhooks": lambda s: s.find_webhooks(NOW, NOW + DAY, 1),
    "overrides": lambda s: s.overrides(NOW),
    "calendars": lambda s: s.calendars(),
    "pulses": lambda s: s.pulses(),
    "calls_of_drill": lambda s: s.calls_of_drill("d"),
    "find_drills": lambda s: s.find_drills(limit=1),
    "submitted": lambda s: s.submitted(NOW, 9),
    # These change nothing that stays.
    "lock": lambda s: s.lock(["page:one", "page:two"]),
    "try_lock": lambda s: s.try_lock("phone:one"),
}
WRITES: dict[str, Callable[[Session], Any]] = {
    "record": lambda s: s.record(Changes(new_pages=(page(),))),
    "hear": lambda s: s.hear(["prometheus"], NOW + HOUR),
    "wait_for": lambda s: s.wait_for(["another"], NOW),
    "note_silence": lambda s: s.note_silence("prometheus", NOW),
    "record_moves": lambda s: s.record_moves(Moves(page=replace(PAGE, step=1))),
    "report": lambda s: s.report(HELD, RECEIPT, Result.ANSWERED, NOW),
    "add_call": lambda s: s.add_call(call(None)),
    "limit": lambda s: s.limit(ALICE, NOW, NOW + HOUR),
    "bundle": lambda s: s.bundle(RUNG, NOW),
    "begin": lambda s: s.begin(LEAD, attempt(LEAD), NOW + HOUR),
    "end": lambda s: s.end(LEAD, CallState.CANCELLED, NOW, "resolved"),
    "finish_attempt": lambda s: s.finish_attempt(replace(HELD, finished_at=NOW)),
    "settle": lambda s: s.settle(HELD.id, CallState.ACCEPTED, now=NOW, due_at=None, note=""),
    "lease": lambda s: s.lease("looked-up", NOW + HOUR),
    "retry": lambda s: s.retry("ended", NOW),
    "acknowledge": lambda s: s.acknowledge(PAGE.id, NOW, "alice"),
    "close_stale": lambda s: s.close_stale(NOW + HOUR, NOW),
    "prune": lambda s: s.prune(NOW + HOUR, 100, webhooks_before=NOW),
    "probe": lambda s: s.probe(NOW),
    "reject": lambda s: s.reject(BODY, 1),
    "postpone": lambda s: s.postpone(LEAD, NOW, NOW + HOUR, "it waits"),
    "tell": lambda s: s.tell(Event(at=NOW, kind=EventKind.ACKNOWLEDGED)),
    "add_fallback": lambda s: s.add_fallback(replace(OWED, id="another", run=2)),
    "lease_fallback": lambda s: s.lease_fallback(OWED.id, NOW, NOW + HOUR),
    "settle_fallback": lambda s: s.settle_fallback(OWED.id, FallbackState.SENT, None, "", NOW),
    "keep_verdicts": lambda s: s.keep_verdicts([VERDICT], NOW),
    "keep_webhook": lambda s: s.keep_webhook(Source.GRAFANA, b"{}", NOW),
    "keep_calendar": lambda s: s.keep_calendar(FEED),
    "add_override": lambda s: s.add_override(replace(STANDS_IN, id="another")),
    "remove_override": lambda s: s.remove_override(STANDS_IN.id, NOW, "alice"),
}
# What is neither: one tells others, one locks what it looks at.
TELLS = {
    "wake": lambda s: s.wake(),
    "known": lambda s: s.known({("sre", "f")}, {page_key("sre", {})}),
    "due_escalations": lambda s: s.due_escalations(NOW, 1),
    "attempt_of_receipt": lambda s: s.attempt_of_receipt("held", ""),
    "lock_decisions": lambda s: s.lock_decisions({("sre", "f")}, {page_key("sre", {})}),
    "orphans": lambda s: s.orphans(NOW),
    "due_look_ups": lambda s: s.due_look_ups(NOW),
    "within_pace": lambda s: s.within_pace(10, NOW, 1),
    "lock_phone": lambda s: s.lock_phone(ALICE, NOW),
}

each_read = pytest.mark.parametrize("name", READS)
each_write = pytest.mark.parametrize("name", WRITES)


def furnish(session: Session) -> None:
    """Give every method something to do."""
    ended, unknown, lone = call(PAGE, id="ended"), call(PAGE, id="unknown"), page(closed_at=NOW)
    recorded(session, PAGE, episode(PAGE), LEAD, ended, unknown, lone, RUNG)
    session.hear(["prometheus"], NOW)
    session.add_fallback(OWED)
    session.add_override(STANDS_IN)
    session.end(ended, CallState.REFUSED, NOW, "")
    session.begin(RUNG, HELD, NOW + HOUR)
    looked_up = attempt(unknown, id="looked-up")
    session.begin(unknown, looked_up, NOW + HOUR)
    session.settle(looked_up.id, CallState.UNKNOWN, now=NOW, due_at=NOW, note="")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    in_one_go(store_url, furnish)
    # On a busy machine PostgreSQL needs some time even where nobody is in the way.
    with opened(store_url, lock_wait_seconds=0.3 if on_postgresql(store_url) else 0.0) as store:
        yield store


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[Store]:
    in_one_go(tmp_path, furnish)
    with opened(tmp_path, lock_wait_seconds=0.0) as store:
        yield store


def test_every_public_method_is_in_the_tables():
    public = {name for name in dir(Session) if not name.startswith("_")}
    assert public == READS.keys() | WRITES.keys() | TELLS.keys()


@each_write
def test_a_write_waits_for_a_lock_only_so_long(store, store_url, name):
    before = dump(store_url)
    said = "database is locked|due to (lock|statement) timeout"
    with held(store_url), pytest.raises(StoreUnavailable, match=said):
        store.write_now(WRITES[name])
    assert dump(store_url) == before
    store.write_now(WRITES[name])
    assert dump(store_url) != before


@each_read
def test_a_read_does_not_care_about_the_lock(store, store_url, name):
    with held(store_url):
        store.read_now(READS[name])


@each_write
def test_a_write_that_the_file_does_not_take_writes_nothing(file_store, tmp_path, name):
    store, before = file_store, dump(tmp_path)
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
    said = "attempt to write a readonly database|in a read-only transaction"
    with pytest.raises(StoreUnavailable, match=said):
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


def test_where_the_disk_is_full_all_who_share_the_transaction_are_told(file_store, tmp_path):
    store, before = file_store, dump(tmp_path)

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


def test_a_killed_process_loses_nothing_it_answered_for(store_url):
    script = """
import os, signal, sys
from store_world import call, opened

with opened(sys.argv[1]) as store:
    store.write_now(lambda s: s.add_call(call(None, id="answered")))
    def die(session):
        session.add_call(call(None, id="under way"))
        os.kill(os.getpid(), signal.SIGKILL)
    store.write_now(die)
"""
    subprocess.run(
        [sys.executable, "-c", script, store_url],
        cwd=Path(__file__).parent,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"},
        timeout=60,
        check=False,
    )
    with opened(store_url) as store:
        assert [each.id for each in store.read_now(lambda s: s.find_calls(limit=9))] == ["answered"]


def test_what_a_dead_process_was_sending_is_found_by_the_next_one(store_url):
    with opened(store_url) as store:
        mine = page()
        lead = call(mine)

        def claim(session: Session) -> str:
            recorded(session, mine, lead)
            return begun(session, lead, lease=DAY).id

        claimed = store.write_now(claim)
    with opened(store_url) as store:
        assert store.write_now(lambda s: s.orphans(NOW)) == []
        [(found, by)] = store.write_now(lambda s: s.orphans(NOW, all_of_them=True))
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
