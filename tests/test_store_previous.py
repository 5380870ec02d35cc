"""From one release to the next: its database goes on, and its code runs on the new schema."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from conftest import DATABASES
from store_world import ALICE, BOB, CAROL, HEAD, MINUTE, NOW, SECOND, opened
from worker_world import World, receiver, routes, running

from adapter.errors import StoreError
from adapter.model import CallState
from adapter.store.engine import Access
from adapter.store.migrating import SCRIPTS, migrate
from adapter.store.schema import instant_text
from adapter.store.store import find_database, open_store, upgrade
from adapter.store.transfer import export_store

PREVIOUS = "0001"

AT, BEFORE = instant_text(NOW), instant_text(NOW - 5 * MINUTE)
LATER = instant_text(NOW + MINUTE)

# What the previous release wrote, statement by statement: none names a column of a later schema.
INSERTS = {
    "pages": (
        "INSERT INTO pages (id, receiver, group_key, group_labels, opened_at, confirmed_at,"
        " closed_at, acknowledged_at, truncated) VALUES (:id, :receiver, :group_key,"
        " :group_labels, :opened_at, :confirmed_at, :closed_at, :acknowledged_at, :truncated)"
    ),
    "episodes": (
        "INSERT INTO episodes (receiver, fingerprint, page_id, firing, starts_at, ends_at, labels,"
        ' annotations, "values", generator_url) VALUES (:receiver, :fingerprint, :page_id, :firing,'
        " :starts_at, :ends_at, :labels, :annotations, :numbers, :generator_url)"
    ),
    "calls": (
        "INSERT INTO calls (id, page_id, receiver, person, phone, reason, state, created_at,"
        " due_at, due_since, attempts, dialled_at, named_through, limited_until, settled_at, note,"
        " bundled_into) VALUES (:id, :page_id, :receiver, :person, :phone, :reason, :state,"
        " :created_at, :due_at, :due_since, :attempts, :dialled_at, :named_through,"
        " :limited_until, :settled_at, :note, :bundled_into)"
    ),
    "attempts": (
        "INSERT INTO attempts (id, call_id, phone, started_at, finished_at, outcome, ret_code,"
        " message, req_uuid, session_no, template_id, params) VALUES (:id, :call_id, :phone,"
        " :started_at, :finished_at, :outcome, :ret_code, :message, :req_uuid, :session_no,"
        " :template_id, :params)"
    ),
    "rejected": (
        "INSERT INTO rejected (received_at, source, error, size, body)"
        " VALUES (:received_at, :source, :error, :size, :body)"
    ),
    "probe": "INSERT INTO probe (id, at) VALUES (:id, :at)",
}
CLAIM = (
    "UPDATE calls SET state='sending', due_at=:due_at, attempts=(calls.attempts + 1),"
    " dialled_at=:at, named_through=(SELECT max(episodes.id) FROM episodes"
    " WHERE episodes.page_id = calls.page_id), limited_until=NULL, bundled_into=NULL,"
    " attempt_id=:attempt WHERE calls.state = 'waiting' AND calls.id = :id"
)
SETTLE = (
    "UPDATE calls SET state=:state, settled_at=:settled_at, note=:note"
    " WHERE calls.attempt_id = :attempt AND calls.settled_at IS NULL"
)
ANSWERED = (
    "UPDATE attempts SET finished_at=:at, outcome='accepted', ret_code=0, message='ok',"
    " req_uuid='r', session_no='s' WHERE attempts.id = :attempt"
)


def page(id: str, **values: Any) -> dict[str, Any]:
    found = {"id": id, "receiver": "phone", "group_key": json.dumps({"cluster": id})}
    found |= {"group_labels": json.dumps({"cluster": id}), "opened_at": BEFORE}
    found |= {"confirmed_at": AT, "closed_at": None, "acknowledged_at": None, "truncated": False}
    return found | values


def episode(page_id: str | None, **values: Any) -> dict[str, Any]:
    found = {"receiver": "phone", "fingerprint": f"f-{page_id}", "page_id": page_id}
    found |= {"firing": True, "starts_at": BEFORE, "ends_at": None, "annotations": "{}"}
    found |= {"labels": json.dumps({"alertname": "磁盘满"}), "numbers": '{"B": 1.5}'}
    return found | {"generator_url": ""} | values


def call(id: str, page_id: str | None, phone: str, **values: Any) -> dict[str, Any]:
    found = {"id": id, "page_id": page_id, "receiver": "phone", "person": "alice", "phone": phone}
    found |= {"reason": "first", "state": "waiting", "created_at": BEFORE, "due_at": BEFORE}
    found |= {"due_since": BEFORE, "attempts": 0, "dialled_at": None, "named_through": None}
    found |= {"limited_until": None, "settled_at": None, "note": "", "bundled_into": None}
    return found | values


def attempt(id: str, call_id: str, phone: str, **values: Any) -> dict[str, Any]:
    found = {"id": id, "call_id": call_id, "phone": phone, "started_at": BEFORE, "message": ""}
    found |= {"finished_at": None, "outcome": None, "ret_code": None, "req_uuid": ""}
    return found | {"session_no": "", "template_id": "UVVT1", "params": '["磁盘满", "1"]'} | values


ROWS = {
    "pages": [
        page("waits"),
        page("rings"),
        page("unknown", truncated=True),
        page("told", acknowledged_at=AT),
        page("closed", closed_at=AT),
    ],
    "episodes": [
        *(episode(name) for name in ("waits", "rings", "unknown", "told")),
        episode("closed", firing=False, ends_at=AT),
        episode(None, firing=False, ends_at=AT),
    ],
    "calls": [
        call("waiting", "waits", ALICE.e164),
        call("ringing", "rings", BOB.e164, person="bob"),
        call("asked", "unknown", CAROL.e164, person="carol"),
        call("done", "told", ALICE.e164),
        call("over", "closed", BOB.e164, state="cancelled", settled_at=AT),
        call("test", None, BOB.e164, reason="test", state="refused", settled_at=AT),
    ],
    "attempts": [
        attempt("a1", "ringing", BOB.e164),
        attempt("a2", "asked", CAROL.e164),
        attempt("a3", "done", ALICE.e164),
    ],
    "rejected": [
        {"received_at": AT, "source": "grafana", "error": "e", "size": 2, "body": b"\0\xff"}
    ],
    "probe": [{"id": 1, "at": AT}],
}


def live(connection: sa.Connection) -> None:
    """Do what a night of the previous release did to its database."""
    for name, statement in INSERTS.items():
        connection.execute(sa.text(statement), ROWS[name])
    for id_, held_by in (("ringing", "a1"), ("asked", "a2"), ("done", "a3")):
        claimed = {"due_at": AT, "at": BEFORE, "attempt": held_by, "id": id_}
        assert connection.execute(sa.text(CLAIM), claimed).rowcount == 1
    asked = {"state": "unknown", "settled_at": None, "note": "no answer", "attempt": "a2"}
    done = {"state": "accepted", "settled_at": AT, "note": "taken", "attempt": "a3"}
    connection.execute(sa.text(SETTLE), [asked, done])
    connection.execute(sa.text(ANSWERED), {"at": BEFORE, "attempt": "a3"})


@contextmanager
def writing(where: str) -> Iterator[sa.Connection]:
    engine = find_database(where).connections(Access.WRITE)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'adapter.db'}"
        return
    with request.getfixturevalue("postgres").database(empty=True) as found:
        yield found


@pytest.fixture
def previous(empty: str, tmp_path: Path) -> str:
    """A database as the previous release left it."""
    scripts = tmp_path / "previous" / "migrations"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    for script in (scripts / "versions").glob("*.py"):
        if not script.name.startswith(PREVIOUS):
            script.unlink()
    engine = find_database(empty).connections(Access.MIGRATE)
    migrate(engine, "it", scripts)
    engine.dispose()
    with writing(empty) as connection:
        connection.execute(sa.text("ALTER TABLE alembic_version DROP COLUMN compatible_from"))
        live(connection)
    return empty


on_both = pytest.mark.parametrize("empty", DATABASES, indirect=True)


@on_both
def test_a_database_of_the_previous_release_is_brought_up_to_date(previous):
    assert upgrade(previous) == (PREVIOUS, HEAD)
    assert upgrade(previous) == (HEAD, HEAD)
    with opened(previous) as store:
        pages = store.read_now(lambda s: s.find_pages(only_open=False, limit=99))
        calls = store.read_now(lambda s: s.find_calls(limit=99))
        told = {call.id: store.read_now(lambda s, of=call: s.attempts_of(of)) for call in calls}
        [refused] = store.read_now(lambda s: s.find_rejected())
    assert {page.id for page in pages} == {"waits", "rings", "unknown", "told", "closed"}
    assert {
        (page.run, page.repeats_left, page.look_at, page.acknowledged_by) for page in pages
    } == {(0, 0, None, "")}
    assert {call.id: call.state for call in calls} == {
        "waiting": CallState.WAITING,
        "ringing": CallState.SENDING,
        "asked": CallState.UNKNOWN,
        "done": CallState.ACCEPTED,
        "over": CallState.CANCELLED,
        "test": CallState.REFUSED,
    }
    assert [each.session_no for each in told["done"]] == ["s"]
    assert (refused.body, refused.received_at) == (b"\0\xff", NOW)


@on_both
def test_until_then_commands_say_what_to_do(previous):
    for command in (open_store, lambda at: export_store(at, None, NOW, None)):
        with pytest.raises(StoreError, match=f"has schema {PREVIOUS}, this version"):
            command(previous)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@on_both
async def test_open_calls_of_the_previous_release_are_made(previous):
    """What waited rings, what was under way is looked up, what is over stays so."""
    with opened(previous) as store:
        world = World(store, routes(receiver("phone", "alice")))
        world.vendor.has_record_of("bob", NOW - 5 * MINUTE)
        async with running(world):
            await world.rest()
            for _ in range(20):
                await world.passes(10 * SECOND)
        assert sorted(world.vendor.rang) == ["alice", "carol"]
        assert {query.phone for query in world.vendor.asked} == {BOB, CAROL}
        states = {call.id: call.state.value for call in world.calls()}
    assert {states[id_] for id_ in ("waiting", "ringing", "asked", "done")} == {"accepted"}
    assert (states["over"], states["test"]) == ("cancelled", "refused")


# --- its code on the new schema ---

Ask = Callable[[sa.Connection], Any]


def asks(sql: str, **values: Any) -> Ask:
    return lambda connection: [tuple(row) for row in connection.execute(sa.text(sql), values)]


def does(sql: str, **values: Any) -> Ask:
    return lambda connection: connection.execute(sa.text(sql), values).rowcount


STATEMENTS = {
    "the newest episode of an alert": (
        asks(
            'SELECT id, receiver, fingerprint, page_id, firing, "values" FROM episodes WHERE id IN'
            " (SELECT max(id) FROM episodes WHERE receiver = 'phone' AND fingerprint IN"
            " ('f-waits') GROUP BY fingerprint)"
        ),
        [(1, "phone", "f-waits", "waits", True, {"B": 1.5})],
    ),
    "how many alerts of a page fire": (
        asks(
            "SELECT page_id, count(*) FROM episodes WHERE page_id IN ('waits', 'closed')"
            " AND firing IS TRUE GROUP BY page_id"
        ),
        [("waits", 1)],
    ),
    "which phones are due": (
        asks(
            "SELECT phone, count(*) FROM calls WHERE settled_at IS NULL AND state = 'waiting'"
            " AND due_at <= :at AND phone NOT IN (SELECT phone FROM calls"
            " WHERE settled_at IS NULL AND state = 'sending') GROUP BY phone",
            at=AT,
        ),
        [(ALICE.e164, 1)],
    ),
    "what nobody will finish": (
        asks(
            "SELECT calls.id, attempts.id FROM calls JOIN attempts"
            " ON attempts.id = calls.attempt_id WHERE settled_at IS NULL AND calls.state ="
            " 'sending' AND attempts.call_id = calls.id AND due_at <= :at ORDER BY due_at",
            at=LATER,
        ),
        [("ringing", "a1")],
    ),
    "confirming a page": (
        does(
            "UPDATE pages SET confirmed_at=:at, closed_at=NULL, acknowledged_at=NULL,"
            " truncated=:truncated WHERE id = 'waits'",
            at=LATER,
            truncated=False,
        ),
        1,
    ),
    "acknowledging a page": (
        does(
            "UPDATE pages SET acknowledged_at=:at WHERE id = 'rings' AND closed_at IS NULL", at=AT
        ),
        1,
    ),
    "cancelling what waits of stale pages": (
        does(
            "UPDATE calls SET state='cancelled', settled_at=:at, note='' WHERE page_id IN"
            " (SELECT id FROM pages WHERE closed_at IS NULL AND confirmed_at < :before)"
            " AND state = 'waiting'",
            at=LATER,
            before=LATER,
        ),
        1,
    ),
    "ending the alerts of stale pages": (
        does(
            "UPDATE episodes SET firing=:firing, ends_at=(SELECT confirmed_at FROM pages WHERE"
            " pages.id = episodes.page_id) WHERE firing IS TRUE AND page_id IN"
            " (SELECT id FROM pages WHERE closed_at IS NULL AND confirmed_at < :before)",
            firing=False,
            before=LATER,
        ),
        4,
    ),
    "closing stale pages": (
        does(
            "UPDATE pages SET closed_at=:at, truncated=:truncated WHERE closed_at IS NULL"
            " AND confirmed_at < :before",
            at=LATER,
            truncated=False,
            before=LATER,
        ),
        4,
    ),
    "forgetting alerts": (
        does("DELETE FROM episodes WHERE ends_at < :before", before=LATER),
        2,
    ),
    "forgetting a page with all that belongs to it": (
        does("DELETE FROM pages WHERE id = 'closed'"),
        1,
    ),
    "forgetting calls of no page": (
        does("DELETE FROM calls WHERE page_id IS NULL AND settled_at < :before", before=LATER),
        1,
    ),
    "seeing whether anything can be written": (does("UPDATE probe SET at=:at", at=LATER), 1),
}


@pytest.fixture
def lived(store_url: str) -> str:
    """A database of today's schema in which the previous release has lived."""
    with opened(store_url):
        pass
    with writing(store_url) as connection:
        live(connection)
    return store_url


def test_the_previous_release_lives_on_the_new_schema(lived):
    with opened(lived) as store:
        found = store.read_now(lambda s: s.find_calls(limit=99))
        assert {(call.run, call.step, call.result, call.drill_id) for call in found} == {
            (0, None, None, None)
        }
        assert len(store.read_now(lambda s: s.find_pages(only_open=True, limit=99))) == 4
    for what, (statement, expected) in STATEMENTS.items():
        with writing(lived) as connection:
            found = statement(connection)
            connection.rollback()
        if isinstance(found, list):
            found = [tuple(map(plain, row)) for row in found]
        assert found == expected, what


def plain(value: Any) -> Any:
    """Return a value of SQLite's as PostgreSQL gives it."""
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def test_the_schema_says_that_the_previous_release_may_start_on_it():
    assert ScriptDirectory(str(SCRIPTS)).get_revision(HEAD).module.compatible_from == PREVIOUS


@pytest.mark.anyio
async def test_what_the_previous_release_accepts_meanwhile_is_rung_by_this_one(lived):
    with opened(lived) as store:
        world = World(store, routes(receiver("phone", "alice")))
        async with running(world):
            await world.rest()
            assert "alice" in world.vendor.rang
