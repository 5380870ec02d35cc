"""The outbox of fallback webhooks: told once a run, by one at a time, and never forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from store_world import (
    BOB,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    call,
    episode,
    in_one_go,
    new_id,
    opened,
    page,
    recorded,
)

from adapter.model import CallState, Fallback, FallbackState, Reason
from adapter.store.session import Session
from adapter.store.store import Store

WAITING, SENT, GAVE_UP = FallbackState.WAITING, FallbackState.SENT, FallbackState.GAVE_UP


@pytest.fixture(scope="module")
def shared(shared_store_url: str) -> Iterator[Store]:
    with opened(shared_store_url) as store:
        yield store


@pytest.fixture
def session(shared: Store) -> Iterator[Session]:
    """A transaction that is never committed: what is seen here is seen inside of it."""
    with shared._writing.connect() as connection:
        yield Session(connection)


def owed(session: Session, due_at=NOW, run=1, of=None) -> Fallback:
    """Write an exhausted page down, and that its fallback is to be told."""
    if of is None:
        of = page()
        recorded(session, of)
    found = Fallback(
        id=new_id("fallback"),
        page_id=of.id,
        receiver=of.receiver,
        run=run,
        state=WAITING,
        created_at=NOW,
        due_at=due_at,
    )
    assert session.add_fallback(found)
    return found


def story(session: Session, page_id: str) -> list[tuple[str, str]]:
    return [(event.kind, event.detail) for event in session.events_of(page_id=page_id)]


def test_what_is_written_is_what_is_read(session):
    added = owed(session)
    assert session.fallbacks_of(added.page_id) == [added]
    assert session.fallbacks_of("no such page") == []


def test_a_run_is_told_of_once_whoever_finds_it_exhausted(session):
    added = owed(session)
    assert not session.add_fallback(replace(added, id="another"))
    assert session.fallbacks_of(added.page_id) == [added]


def test_each_run_is_told_of(session):
    of = page()
    recorded(session, of)
    second, first = owed(session, run=2, of=of), owed(session, run=1, of=of)
    assert session.fallbacks_of(of.id) == [first, second]


def test_those_due_come_in_the_order_in_which_they_were_due(session):
    late, early = owed(session, NOW), owed(session, NOW - SECOND)
    owed(session, NOW + SECOND)
    assert session.due_fallbacks(NOW, 10) == [early, late]
    assert session.due_fallbacks(NOW, 1) == [early]


def test_the_next_one_due_is_known(session):
    assert session.next_fallback_due() is None
    owed(session, NOW + HOUR)
    soon = owed(session, NOW + MINUTE)
    assert session.next_fallback_due() == NOW + MINUTE
    session.settle_fallback(soon.id, SENT, None, "HTTP 200", NOW)
    assert session.next_fallback_due() == NOW + HOUR


def test_one_of_two_gets_the_lease(session):
    found = owed(session)
    assert session.lease_fallback(found.id, NOW, NOW + MINUTE)
    assert not session.lease_fallback(found.id, NOW, NOW + MINUTE)
    assert session.due_fallbacks(NOW, 10) == []
    [leased] = session.fallbacks_of(found.page_id)
    assert (leased.attempts, leased.due_at, leased.state) == (1, NOW + MINUTE, WAITING)


def test_a_lease_that_ran_out_is_anybodys(session):
    found = owed(session)
    assert session.lease_fallback(found.id, NOW, NOW + MINUTE)
    assert session.lease_fallback(found.id, NOW + MINUTE, NOW + 2 * MINUTE)
    [leased] = session.fallbacks_of(found.page_id)
    assert leased.attempts == 2


@pytest.mark.parametrize("fallback_id", ["no such", ""])
def test_what_is_not_there_is_not_leased(session, fallback_id):
    assert not session.lease_fallback(fallback_id, NOW, NOW + MINUTE)
    assert not session.settle_fallback(fallback_id, SENT, None, "", NOW)


def test_what_is_not_due_is_not_leased(session):
    assert not session.lease_fallback(owed(session, NOW + SECOND).id, NOW, NOW + MINUTE)


@pytest.mark.parametrize("state", [SENT, GAVE_UP, FallbackState.SHADOWED])
def test_what_is_settled_stays_so(session, state):
    found = owed(session)
    session.lease_fallback(found.id, NOW, NOW + MINUTE)
    assert session.settle_fallback(found.id, state, None, "so it went", NOW + SECOND)
    assert not session.settle_fallback(found.id, WAITING, NOW, "late news", NOW + HOUR)
    assert not session.lease_fallback(found.id, NOW + HOUR, NOW + 2 * HOUR)
    [settled] = session.fallbacks_of(found.page_id)
    assert (settled.state, settled.note) == (state, "so it went")
    assert settled.settled_at == NOW + SECOND
    assert story(session, found.page_id) == [("fallback", f"{state}: so it went")]


def test_every_try_is_in_the_pages_story(session):
    found = owed(session)
    session.settle_fallback(found.id, WAITING, NOW + MINUTE, "HTTP 500", NOW)
    session.settle_fallback(found.id, SENT, None, "HTTP 200", NOW + MINUTE)
    assert story(session, found.page_id) == [
        ("fallback", "waiting: HTTP 500"),
        ("fallback", "sent: HTTP 200"),
    ]


def test_one_that_waits_is_due_at_a_time(session):
    found = owed(session)
    assert session.settle_fallback(found.id, WAITING, NOW + MINUTE, "HTTP 500", NOW)
    [waiting] = session.fallbacks_of(found.page_id)
    assert (waiting.due_at, waiting.settled_at) == (NOW + MINUTE, None)
    with pytest.raises(ValueError, match="needs a time"):
        session.settle_fallback(found.id, WAITING, None, "HTTP 500", NOW)


def test_it_outlives_the_process(store_url):
    found = in_one_go(store_url, owed)
    assert in_one_go(store_url, lambda session: session.due_fallbacks(NOW, 10)) == [found]


def test_it_goes_with_its_page(store_url):
    found = in_one_go(store_url, owed)
    with opened(store_url) as store, store._writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM pages")
    assert in_one_go(store_url, lambda session: session.fallbacks_of(found.page_id)) == []


# --- what is told -------------------------------------------------------------------------------


def test_what_fires_and_what_was_tried_is_told_in_order(session):
    of = page()
    recorded(
        session,
        of,
        episode(of, fingerprint="one"),
        episode(of, fingerprint="over", firing=False, ends_at=NOW),
        episode(of, fingerprint="two"),
    )
    first = call(of)
    second = call(of, BOB, person="bob", created_at=NOW + MINUTE, reason=Reason.REPEAT)
    over = call(of, reason=Reason.RESOLVED)
    recorded(session, second, over, first, call(None))
    told = session.exhausted(of)
    assert [alert.fingerprint for alert in told.alerts] == ["one", "two"]
    assert [tried.id for tried in told.calls] == [first.id, second.id]
    assert (told.alerts_in_all, told.calls_in_all) == (2, 2)
    assert told.page == of


def test_where_alerts_were_hidden_all_are_told_firing_ones_first(session):
    of = page(truncated=True)
    over = episode(of, fingerprint="over", firing=False, ends_at=NOW)
    recorded(session, of, over, episode(of, fingerprint="one"))
    assert [alert.fingerprint for alert in session.exhausted(of).alerts] == ["one", "over"]


def test_of_a_large_page_the_first_alerts_and_the_last_calls_are_told(session):
    of = page()
    calls = [
        call(of, created_at=NOW + number * SECOND, state=CallState.REFUSED, settled_at=NOW)
        for number in range(60)
    ]
    alerts = [episode(of, fingerprint=f"f{number}") for number in range(120)]
    recorded(session, of, *alerts, *calls)
    told = session.exhausted(of)
    assert [alert.fingerprint for alert in told.alerts] == [f"f{number}" for number in range(100)]
    assert [tried.id for tried in told.calls] == [tried.id for tried in calls[10:]]
    assert (told.alerts_in_all, told.calls_in_all) == (120, 60)


def test_a_page_without_anything_is_told_too(session):
    of = page()
    recorded(session, of)
    told = session.exhausted(of)
    assert (told.alerts, told.alerts_in_all, told.calls, told.calls_in_all) == ([], 0, [], 0)
