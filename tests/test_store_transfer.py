"""Export and import: everything arrives as it was, in any engine, or nothing does."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import DATABASES
from hypothesis import given
from hypothesis import strategies as st
from postgres_server import Server
from store_world import (
    HEAD,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    accepted,
    begun,
    call,
    episode,
    held,
    in_one_go,
    new_id,
    on_postgresql,
    opened,
    page,
    recorded,
    url,
)
from worker_world import World, receiver, routes, running, until

from adapter.errors import StoreError, StoreInUse, StoreUnavailable
from adapter.model import (
    CallState,
    Event,
    EventKind,
    FallbackState,
    Reason,
    Result,
    Source,
    StoredOverride,
)
from adapter.paging import Changes
from adapter.schedules.records import StoredCalendar
from adapter.store import transfer
from adapter.store.engine import Access
from adapter.store.schema import metadata
from adapter.store.session import Rejected, Session
from adapter.store.store import find_database
from adapter.store.transfer import Header, Imported, export_store, import_store

NASTY = "引号\" ' \\ \n\t \u2028 😀 \u202e NULL {}"

Databases = Callable[[str], str]


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Make another empty database of a kind."""
    with ExitStack() as stack:

        def make(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path / new_id('database')}.db"
            server: Server = request.getfixturevalue("postgres")
            return stack.enter_context(server.database())

        yield make


def no_progress(_header: Header) -> Callable[[int], None]:
    return lambda _more: None


def exported(where: str) -> bytes:
    out = io.BytesIO()
    export_store(where, out, NOW, no_progress)
    return out.getvalue()


def imported(where: str, file: bytes, **options: Any) -> Imported:
    return import_store(where, file.splitlines(keepends=True), no_progress, **options)


def rows(where: str) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all tables, as they are."""
    engine = find_database(where).connections(Access.READ)
    with engine.begin() as connection:
        found = {
            table.name: [
                dict(row)
                for row in connection.execute(
                    table.select().order_by(*table.primary_key)
                ).mappings()
            ]
            for table in metadata.sorted_tables
            if table.name != "probe"
        }
    engine.dispose()
    return found


def furnish(session: Session) -> None:
    """Write rows of every kind, in every state that matters."""
    mine = page(group_labels={"cluster": NASTY}, truncated=True)
    gone = page(closed_at=NOW, acknowledged_at=NOW, acknowledged_by=NASTY, run=2, step=1)
    climbing = page(look_at=NOW, step=1, step_until=NOW + MINUTE, repeats_left=2)
    waiting, rung, sending, bundled, unknown = (call(mine) for _ in range(5))
    drill = call(None, drill_id="drill", limited_until=NOW)
    over = call(gone, reason=Reason.RESOLVED, settled_at=NOW, state=CallState.CANCELLED)
    recorded(session, mine, gone, climbing)
    recorded(session, episode(mine), episode(mine, labels={"a": NASTY}, values={"B": 1.5, "C": -0}))
    recorded(session, episode(gone, firing=False, ends_at=NOW), episode(None, firing=False))
    recorded(session, waiting, over, rung, unknown)
    session.add_call(drill)
    accepted(session, rung)
    held_by = begun(session, unknown)
    session.settle(held_by.id, CallState.UNKNOWN, now=NOW, due_at=NOW + SECOND, note=NASTY)
    recorded(session, sending, bundled)
    session.bundle(sending, NOW)
    begun(session, sending)
    refused = Rejected(id=0, received_at=NOW, source="x", error=NASTY, size=9, body=b"\0\xff")
    session.reject(refused, 9)
    session.keep_webhook(Source.GRAFANA, NASTY.encode(), NOW)
    session.add_override(
        StoredOverride(
            id="o",
            schedule="primary",
            person="bob",
            starts_at=NOW,
            ends_at=NOW + HOUR,
            created_at=NOW,
            created_by=NASTY,
        )
    )
    session.keep_calendar(
        StoredCalendar(
            schedule="primary",
            source="hash",
            text=NASTY,
            etag="e",
            last_modified="m",
            fetched_at=NOW + SECOND / 3,
        )
    )


def furnish_the_rest(where: str) -> None:
    """Write rows of the kinds that come about in several steps."""
    rest: dict[str, dict[str, Any]] = {
        "fallbacks": {
            "id": "f",
            "page_id": in_one_go(where, lambda s: s.find_pages(only_open=True, limit=1)[0].id),
            "receiver": "sre",
            "run": 1,
            "state": FallbackState.WAITING.value,
            "created_at": NOW,
            "due_at": NOW,
            "attempts": 3,
            "note": "",
        },
        "verdicts": {
            "receiver": "sre",
            "fingerprint": "f",
            "reason": Reason.STALE.value,
            "route": "0.1",
            "labels": {"a": NASTY},
            "detail": NASTY,
            "first_at": NOW,
            "last_at": NOW,
            "times": 2,
        },
        "events": {
            "at": NOW,
            "kind": EventKind.LIMITED.value,
            "subject": NASTY,
            "actor": "",
            "detail": "",
        },
        "heartbeats": {"name": "watchdog", "heard_at": NOW},
    }
    engine = find_database(where).connections(Access.WRITE)
    with engine.begin() as connection:
        for name, values in rest.items():
            connection.execute(metadata.tables[name].insert().values(values))
        connection.execute(
            metadata.tables["attempts"]
            .update()
            .where(metadata.tables["attempts"].c.outcome == "accepted")
            .values(
                result=Result.ANSWERED.value,
                talk_seconds=7,
                billed=1,
                receipt_code="",
                receipt_description=NASTY,
                reported_at=NOW,
            )
        )
    engine.dispose()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite database with rows of every kind, to be read only."""
    where = url(tmp_path_factory.mktemp("source"))
    with opened(where) as store:
        store.write_now(furnish)
    furnish_the_rest(where)
    return where


@pytest.fixture(scope="module")
def file(source: str) -> bytes:
    return exported(source)


def lines_of(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


def sealed(lines: list[dict[str, Any]]) -> bytes:
    """Write lines down as an export of its own."""
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines if "sha256" not in line)
    return text + json.dumps({"sha256": hashlib.sha256(text).hexdigest()}).encode() + b"\n"


# --- there and back ---


def test_rows_of_every_kind_are_tried(source):
    assert [name for name, found in rows(source).items() if not found] == []


@pytest.mark.parametrize("back", DATABASES)
@pytest.mark.parametrize("there", DATABASES)
def test_everything_arrives_as_it_was_in_any_engine(source, file, database, there, back):
    one, other = database(there), database(back)
    imported(one, file)
    assert rows(one) == rows(source)
    again = exported(one)
    assert again == file
    imported(other, again)
    assert rows(other) == rows(source)


def test_the_file_says_what_it_is(file):
    header, *found, end = lines_of(file)
    assert (header["format"], header["version"], header["schema"]) == (
        transfer.FORMAT,
        transfer.VERSION,
        HEAD,
    )
    assert header["exported_at"] == "2026-11-24T03:00:00Z"
    assert sum(header["rows"].values()) == len(found)
    assert {name for row in found for name in row} == {n for n, c in header["rows"].items() if c}
    whole = b"".join(file.splitlines(keepends=True)[:-1])
    assert end == {"sha256": hashlib.sha256(whole).hexdigest()}


def test_an_empty_store_can_be_moved_too(database):
    one, other = database("sqlite"), database("postgresql")
    with opened(one):
        pass
    imported(other, exported(one))
    assert not any(rows(other).values())


@pytest.mark.parametrize("kind", DATABASES)
def test_who_joins_later_has_a_larger_number_even_than_what_was_forgotten(database, kind):
    """What calls have named is told by the largest number; one that comes again was named."""
    one, other = database("sqlite"), database(kind)
    mine = page()
    with opened(one) as store:
        store.write_now(lambda s: recorded(s, mine, *(episode(None, firing=False) for _ in "abc")))
    engine = find_database(one).connections(Access.WRITE)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM episodes WHERE id > 1"))
    engine.dispose()
    imported(other, exported(one))
    with opened(other) as store:
        store.write_now(lambda s: recorded(s, episode(mine)))
    assert [row["id"] for row in rows(other)["episodes"]] == [1, 4]
    for name in ("rejected", "webhooks", "events"):
        assert lines_of(exported(other))[0]["last_ids"][name] == 0


def test_what_happens_meanwhile_is_not_in_the_file(store_url):
    with opened(store_url) as store:
        store.write_now(furnish)
        before = rows(store_url)

        def write_more(_header: Header) -> Callable[[int], None]:
            store.write_now(furnish_more)
            return lambda _more: None

        def furnish_more(session: Session) -> None:
            session.add_call(call(None))
            recorded(session, page())

        out = io.BytesIO()
        export_store(store_url, out, NOW, write_more)
        assert rows(store_url) != before
    header, *found, _end = lines_of(out.getvalue())
    assert header["rows"] == {name: len(each) for name, each in before.items()}
    assert len(found) == sum(header["rows"].values())


def test_progress_is_told_as_it_goes(source, file, database, monkeypatch):
    monkeypatch.setattr(transfer, "_AT_ONCE", 2)
    told: list[int] = []
    export_store(source, io.BytesIO(), NOW, lambda header: told.append)
    there = sum(len(each) for each in rows(source).values())
    assert (sum(told), max(told)) == (there, 2)
    told.clear()
    to = database("sqlite")
    import_store(to, io.BytesIO(file), lambda header: told.append)
    assert (sum(told), max(told)) == (there, 2)
    assert rows(to) == rows(source)


@pytest.mark.parametrize("kind", DATABASES)
def test_what_was_open_can_be_left_out(source, file, database, kind):
    to = database(kind)
    done = imported(to, file, closed_only=True)
    found = rows(to)
    assert done.left_out == 3  # two pages, and a drill's call
    assert all(row["closed_at"] for row in found["pages"])
    assert all(row["settled_at"] for row in found["calls"])
    with opened(to) as store:
        assert store.read_now(lambda s: s.due().first) is None
        [closed] = store.read_now(lambda s: s.find_pages(only_open=False, limit=9))
    assert closed.acknowledged_by == NASTY


# --- a file of another version ---


def test_columns_that_an_older_version_did_not_have_get_their_defaults(file, database, store_url):
    header, *found = lines_of(file)
    newer = {
        "pages": ("run", "repeats_left", "step", "acknowledged_by"),
        "calls": ("run", "result"),
    }
    for line in found:
        for name, columns in newer.items():
            for column in columns:
                line.get(name, {}).pop(column, None)
    older = [line for line in found if not line.keys() & {"heartbeats", "fallbacks"}]
    for name in ("heartbeats", "fallbacks"):
        del header["rows"][name]
    header["schema"] = "0001"
    del header["last_ids"]["events"]
    imported(store_url, sealed([header, *older]))
    there = rows(store_url)
    assert {tuple(row[name] for name in newer["pages"]) for row in there["pages"]} == {
        (0, 0, None, "")
    }
    event = Event(at=NOW, kind=EventKind.LIMITED)
    in_one_go(store_url, lambda s: s.record(Changes(events=(event,))))
    assert len(rows(store_url)["events"]) == len(there["events"]) + 1


def changed(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[bytes], bytes]:
    """Change the lines of a file, and seal it again."""

    def apply(file: bytes) -> bytes:
        lines = lines_of(file)
        change(lines)
        return sealed(lines)

    return apply


def at_the(name: str, **values: Any) -> Callable[[bytes], bytes]:
    """Change the first row of a table; None: take the column away."""

    def change(lines: list[dict[str, Any]]) -> None:
        row = next(line[name] for line in lines if name in line)
        row.update(values)

    return changed(change)


def without(name: str, column: str) -> Callable[[bytes], bytes]:
    return changed(lambda lines: next(line[name] for line in lines if name in line).pop(column))


BROKEN = {
    "empty": (lambda file: b"", "line 1: it ends here, without its checksum: it was cut off"),
    "something else": (lambda file: b"{}\n", "line 1: not the header of an export"),
    "no JSON": (lambda file: b"\xff\n", "line 1: not the header of an export"),
    "another program's": (
        changed(lambda lines: lines[0].update(format="x")),
        "line 1: not the header of an export",
    ),
    "a later format": (
        changed(lambda lines: lines[0].update(version=2, exported_by="9.9")),
        "line 1: exported by 9.9, which is later than this version",
    ),
    "a later schema": (
        changed(lambda lines: lines[0].update(schema="9999")),
        "with schema 9999: import it with that version",
    ),
    "cut off in a line": (lambda file: file[:-9], "it was cut off"),
    "cut off between lines": (
        lambda file: b"".join(file.splitlines(keepends=True)[:-1]),
        "it was cut off",
    ),
    "a letter changed": (
        lambda file: file.replace(b"HighLatency", b"HighlatencY", 1),
        "it was changed since it was written, its checksum is another",
    ),
    "a line too few": (changed(lambda lines: lines.pop(-2)), "it holds other rows than"),
    "a line twice": (
        lambda file: file + file.splitlines(keepends=True)[-1],
        "it goes on after its end",
    ),
    "a line that is no row": (changed(lambda lines: lines.insert(1, {})), "line 2: not a row"),
    "a list": (
        lambda file: file.replace(b"\n", b"\n[]\n", 1),
        "line 2: not a row",
    ),
    "a table of another version": (
        changed(lambda lines: lines.insert(1, {"later": {}})),
        "line 2: there is no table 'later'",
    ),
    "a column of another version": (at_the("pages", later=1), "unknown field `later`"),
    "a column missing that must be there": (
        without("pages", "receiver"),
        "pages: Object missing required field `receiver`",
    ),
    "a number for a text": (at_the("calls", phone=135), "calls: Expected `str`, got `int`"),
    "a time without a zone": (
        at_the("pages", opened_at="2026-11-24T03:00:00"),
        "pages: Expected `datetime` with a timezone component",
    ),
    "a row twice": (
        changed(lambda lines: lines.insert(2, lines[1])),
        "the rows of calendars before it contradict others",
    ),
    "a call of no page": (
        at_the("calls", page_id="nowhere"),
        "the rows of calls before it contradict others",
    ),
}


@pytest.mark.parametrize(("breaks", "told"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_not_as_it_was_written_changes_nothing(file, database, breaks, told):
    assert_refused(database("sqlite"), breaks(file), told)


@pytest.mark.parametrize("how", ["a letter changed", "a row twice", "a call of no page"])
def test_nor_does_it_in_postgresql(file, database, how):
    to, (breaks, told) = database("postgresql"), BROKEN[how]
    assert_refused(to, breaks(file), told)
    imported(to, file)  # and the whole one can be imported still


def assert_refused(to: str, file: bytes, told: str) -> None:
    with pytest.raises(StoreError) as caught:
        imported(to, file)
    assert told in str(caught.value)
    assert str(caught.value).startswith("the file cannot be imported, line ")
    assert "\n" not in str(caught.value)
    is_there = on_postgresql(to) or Path(to.removeprefix("sqlite:///")).exists()
    assert not is_there or not any(rows(to).values())


@given(st.data())
def test_no_byte_can_be_changed_unnoticed(file, data):
    at = data.draw(st.integers(0, len(file) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != file[at]))
    changed_file = file[:at] + bytes([other]) + file[at + 1 :]
    with pytest.raises(StoreError):
        read(changed_file.splitlines(keepends=True))


@given(st.lists(st.binary() | st.sampled_from([b"{}\n", b"[]\n", b'{"sha256":1}\n']), max_size=5))
def test_whatever_comes_is_refused_in_words(file, garbage):
    for before in ([], file.splitlines(keepends=True)[:3]):
        with pytest.raises(StoreError):
            read([*before, *garbage])


def read(lines: list[bytes]) -> None:
    reader = transfer._Reader(lines)
    reader.header()
    for _ in reader.batches():
        pass


# --- a database that is not for it ---


def test_a_database_that_holds_something_is_left_alone(file, store_url):
    with opened(store_url) as store:
        store.write_now(lambda s: recorded(s, page(id="there")))
    with pytest.raises(StoreError) as caught:
        imported(store_url, file)
    assert "is not empty, it holds 1 pages (rows: 1 pages): import into" in str(caught.value)
    assert [row["id"] for row in rows(store_url)["pages"]] == ["there"]


def test_a_database_that_a_service_owns_is_left_alone(file, database):
    to = database("sqlite")
    with opened(to), pytest.raises(StoreInUse):
        imported(to, file)


def test_replicas_that_serve_wait_for_it_and_go_on(file, postgres, source):
    with postgres.database() as to, opened(to) as store:
        imported(to, file)
        store.write_now(lambda s: s.add_call(call(None, id="after")))
        assert len(rows(to)["calls"]) == len(rows(source)["calls"]) + 1


def test_a_database_that_somebody_holds_on_to_is_unavailable(file, store_url):
    with opened(store_url):
        pass
    with held(store_url), pytest.raises(StoreUnavailable), impatient():
        imported(store_url, file)


@contextmanager
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        found = find_database
        patch.setattr(transfer, "find_database", lambda at: found(at, wait_seconds=0.05))
        yield


def test_a_database_without_a_schema_cannot_be_exported(postgres):
    with postgres.database(empty=True) as at, pytest.raises(StoreError) as caught:
        exported(at)
    assert f"has schema none, this version exports {HEAD}: use the version that" in str(
        caught.value
    )


def test_a_database_that_is_not_there_is_not_made_by_an_export(tmp_path):
    with pytest.raises(StoreError, match="there is no database"):
        exported(url(tmp_path))
    assert list(tmp_path.iterdir()) == []


# --- what was under way ---


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("rang", [True, False], ids=["it rang", "it did not ring"])
async def test_a_call_that_was_being_made_is_looked_up_where_it_was_moved_to(
    tmp_path, postgres, rang
):
    """Its lease goes with it; nobody dials it again without having asked the vendor."""
    policy = routes(receiver("phone", "alice"))
    with opened(tmp_path) as store:
        before = World(store, policy)
        before.vendor.gate.clear()
        async with running(before):
            await before.post(before.firing("DiskFull"))
            await until(lambda: len(before.vendor.sent) == 1, "the request leaves")
            file = exported(url(tmp_path))
    with postgres.database() as to:
        imported(to, file)
        with opened(to) as store:
            after = World(store, policy)
            after.now = before.now
            [moved] = after.calls()
            assert moved.state is CallState.SENDING
            if rang:
                after.vendor.has_record_of("alice", before.now)
            async with running(after):
                await after.rest()
                assert (after.vendor.asked, after.vendor.sent) == ([], []), "its lease holds"
                for _ in range(20):
                    await after.passes(10 * SECOND)
            assert after.vendor.asked
            assert after.vendor.rang == ([] if rang else ["alice"])
            assert after.states() == {"accepted": 1}
            if rang:
                [kept] = store.read_now(lambda s: s.attempts_of(moved))
                assert kept.id == before.vendor.sent[0].user_id
