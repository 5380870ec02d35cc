"""Whatever can be said in a record comes back from the database as it went in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from store_world import NOW, attempt, call, episode, opened, page, recorded

from adapter.model import CallState, PhoneNumber, Reason
from adapter.paging import Changes, page_key
from adapter.store.schema import instant_text
from adapter.store.session import Session
from adapter.store.store import Store

# No lone surrogates: `sources` mends them. NUL and everything else can be in a label; a column of
# texts has no NUL on PostgreSQL, see below.
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TEXT = ANYTHING.map(lambda text: text.replace("\0", ""))
LABELS = st.dictionaries(ANYTHING, ANYTHING, max_size=4)
INSTANTS = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    datetime(9000, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=11))]),
)
MAYBE = st.none() | INSTANTS
IDS = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())

PAGES = st.builds(
    replace,
    st.just(page()),
    receiver=TEXT,
    group_labels=LABELS,
    opened_at=INSTANTS,
    confirmed_at=INSTANTS,
    closed_at=MAYBE,
    acknowledged_at=MAYBE,
    truncated=st.booleans(),
)
EPISODES = st.builds(
    replace,
    st.just(episode(None)),
    receiver=TEXT,
    fingerprint=TEXT,
    firing=st.booleans(),
    starts_at=INSTANTS,
    ends_at=MAYBE,
    labels=LABELS,
    annotations=LABELS,
    values=st.dictionaries(TEXT, st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    generator_url=TEXT,
)
CALLS = st.builds(
    replace,
    st.just(call(None)),
    receiver=TEXT,
    person=TEXT,
    phone=st.builds(PhoneNumber, TEXT),
    reason=st.sampled_from(Reason),
    state=st.sampled_from(CallState),
    created_at=INSTANTS,
    due_at=INSTANTS,
    due_since=INSTANTS,
    attempts=st.integers(0, 2**31 - 1),
    dialled_at=MAYBE,
    named_through=st.none() | st.integers(1, 2**62),
    limited_until=MAYBE,
    settled_at=MAYBE,
    note=TEXT,
    bundled_into=st.none() | TEXT,
)
ATTEMPTS = st.builds(
    replace,
    st.just(attempt(call(None))),
    started_at=INSTANTS,
    finished_at=MAYBE,
    outcome=st.none() | TEXT,
    ret_code=st.none() | st.integers(-(2**31), 2**31 - 1),
    message=TEXT,
    req_uuid=TEXT,
    session_no=TEXT,
    template_id=TEXT,
    params=st.lists(TEXT, max_size=3).map(tuple),
)


MANY = 30  # more than are written one by one


class Undone(Exception):
    """Ends a job so that nothing of it stays."""


@pytest.fixture(scope="module")
def store(shared_store_url: str):
    with opened(shared_store_url) as store:
        yield store


def undone(store: Store, job) -> None:
    def and_undo(session: Session) -> None:
        job(session)
        raise Undone

    with pytest.raises(Undone):
        store.write_now(and_undo)


@given(written=PAGES)
def test_a_page_comes_back(store, written):
    def job(session):
        recorded(session, written)
        assert session.page(written.id) == written
        key = page_key(written.receiver, written.group_labels)
        assert session.known(set(), {key}).pages == {written.id: written}

    undone(store, job)


@given(written=EPISODES, changed=EPISODES)
def test_an_episode_comes_back_and_keeps_its_changes(store, written, changed):
    def job(session):
        mine = page(id="p")
        recorded(session, mine, replace(written, page_id="p"))
        [found] = session.episodes_of("p", 9)
        assert found == replace(written, page_id="p", id=found.id)
        key = (written.receiver, written.fingerprint)
        assert session.known({key}, set()).episodes == {key: found}
        changes = {
            name: getattr(changed, name)
            for name in ("firing", "ends_at", "labels", "annotations", "values", "generator_url")
        }
        session.record(Changes(changed_episodes=(replace(found, **changes),)))
        assert session.episodes_of("p", 9) == [replace(found, **changes)]

    undone(store, job)


@given(written=CALLS)
def test_a_call_comes_back(store, written):
    def job(session):
        session.add_call(written)
        [found] = session.find_calls(limit=9)
        assert found == written
        assert type(found.reason) is Reason
        assert type(found.state) is CallState

    undone(store, job)


@given(written=ATTEMPTS)
def test_an_attempt_comes_back(store, written):
    def job(session):
        lead = call(None, id=written.call_id)
        session.add_call(lead)
        session.begin(lead, replace(written, message="", params=()), NOW)
        session.finish_attempt(written)
        assert session.attempts_of(lead) == [written]

    undone(store, job)


@given(written=EPISODES, called=CALLS)
@settings(max_examples=25)
def test_many_come_back_as_one_does(store, written, called):
    """What a storm says is written in another way than what one alert says."""

    def job(session):
        mine = page(id="p")
        fired = replace(written, page_id="p", firing=False)
        recorded(
            session,
            mine,
            *(replace(fired, fingerprint=f"f{number}") for number in range(MANY)),
            *(replace(called, page_id="p", id=f"c{number}") for number in range(MANY)),
        )
        found = session.episodes_of("p", MANY)
        assert {each.fingerprint: each for each in found} == {
            f"f{number}": replace(fired, fingerprint=f"f{number}", id=found[0].id + number)
            for number in range(MANY)
        }
        made = session.find_calls(page_id="p", limit=MANY)
        assert {each.id: each for each in made} == {
            f"c{number}": replace(called, page_id="p", id=f"c{number}") for number in range(MANY)
        }

    undone(store, job)


@given(one=INSTANTS, other=INSTANTS)
def test_instants_sort_as_their_texts_do(one, other):
    assert (one < other) == (instant_text(one) < instant_text(other))
    assert datetime.fromisoformat(instant_text(one)) == one


def test_instants_come_back_in_utc(store):
    def job(session):
        session.add_call(call(None, due_at=NOW.astimezone(timezone(timedelta(hours=8)))))
        [found] = session.find_calls(limit=9)
        assert (found.due_at, found.due_at.tzinfo) == (NOW, UTC)
        due = session.due().first
        assert due.tzinfo is UTC

    undone(store, job)


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(lambda session, naive: session.add_call(call(None, due_at=naive)), id="a row"),
        pytest.param(lambda session, naive: session.due_phones(naive), id="a question"),
        pytest.param(
            lambda session, naive: session.acknowledge("page", naive, "alice"), id="a change"
        ),
    ],
)
def test_a_time_without_a_zone_is_refused(store, job):
    naive = NOW.replace(tzinfo=None)
    with pytest.raises((ValueError, sa.exc.StatementError), match="a time without a zone"):
        store.write_now(lambda session: job(session, naive))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a\0b", id="a NUL character"),
        pytest.param("x" * 1_000_000, id="a million characters"),
        pytest.param("{{ 7 * 7 }}'); DROP TABLE calls; --", id="code"),
        pytest.param("\u202e\u2028\ufffe\U0010ffff", id="odd characters"),
    ],
)
def test_a_hostile_value_comes_back_as_it_was(store, value):
    def job(session):
        mine = page(group_labels={value: value})
        alert = episode(mine, labels={value: value})
        recorded(session, mine, alert)
        key = (alert.receiver, alert.fingerprint)
        known = session.known({key}, {page_key(mine.receiver, {value: value})})
        assert known.pages == {mine.id: mine}
        [found] = known.episodes.values()
        assert found == replace(alert, id=found.id)
        assert known.firing == {mine.id: 1}

    undone(store, job)


def test_a_nul_where_none_can_be_is_replaced_and_found_again(store):
    def job(session):
        mine = page()
        recorded(session, mine, episode(mine, fingerprint="a\0b", generator_url="a\0b"))
        [found] = session.known({("sre", "a\0b")}, set()).episodes.values()
        return found.fingerprint, found.generator_url

    kept = "a\0b" if store.alone else "a\ufffdb"
    assert store.write_now(job) == (kept, kept)


def test_half_a_surrogate_pair_is_refused_and_nothing_of_it_stays(store):
    mine = page(group_labels={"cluster": "\ud800"})
    with pytest.raises(UnicodeEncodeError):
        store.write_now(lambda session: recorded(session, page(id="before"), mine))
    assert store.read_now(lambda session: session.page("before")) is None
