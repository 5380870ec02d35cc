"""What a receipt changes in the store: the attempt, its calls, their pages, the story."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from databases import ON_SQLITE
from msgspec.structs import replace
from sqlalchemy.dialects import postgresql
from store_world import (
    ALICE,
    BOB,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    accepted,
    another_process,
    begun,
    call,
    episode,
    opened,
    page,
    recorded,
    the_call,
)

from adapter.model import Attempt, Call, CallState, EventKind, Page, Receipt, Result
from adapter.store.receipts import Noted
from adapter.store.session import Session
from adapter.store.store import Store

LATER = NOW + 30 * SECOND
ANSWERED = Receipt(
    result=Result.ANSWERED,
    received_at=LATER,
    talk_seconds=23,
    billed=1,
    code="200",
    description="用户接收成功",
)
UNANSWERED = Receipt(result=Result.UNANSWERED, received_at=LATER)
UNREPORTED = Receipt(result=Result.UNREPORTED, received_at=LATER)


@pytest.fixture
def store(database: None, tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        yield store


@pytest.fixture
def session(store: Store) -> Iterator[Session]:
    """One long transaction: the tests are about what is said in it, not about committing."""
    with store._writing.begin() as connection:
        yield Session(connection)


def reported(
    session: Session,
    attempt: Attempt,
    receipt: Receipt = ANSWERED,
    result: Result | None = None,
    at: Any = LATER,
) -> Noted:
    """Report on an attempt as it stands now."""
    _, now = session.attempt_of_receipt(attempt.id, "")
    return session.report(now, receipt, result or receipt.result, at)


def ended(session: Session, attempt: Attempt, outcome: str, state: CallState, **more: Any) -> None:
    """Let an attempt end otherwise than accepted."""
    session.finish_attempt(replace(attempt, finished_at=NOW + SECOND, outcome=outcome))
    values = {"now": NOW + SECOND, "due_at": NOW + MINUTE, "note": ""} | more
    assert session.settle(attempt.id, state, **values)


def open_page(session: Session) -> tuple[Page, Call]:
    """Write down a page with an alert and a call."""
    opened_page = page()
    lead = call(opened_page)
    recorded(session, opened_page, episode(opened_page), lead)
    return opened_page, lead


def receipts_told(session: Session, of: Page) -> list[tuple[str | None, str]]:
    return [
        (event.call_id, event.detail)
        for event in session.events_of(page_id=of.id)
        if event.kind is EventKind.RECEIPT
    ]


# --- whose is it ---


def test_a_receipt_is_found_by_our_id_first(session):
    _, one = open_page(session)
    _, other = open_page(session)
    mine, theirs = accepted(session, one), begun(session, replace(other, phone=BOB))
    session.finish_attempt(replace(theirs, session_no="s-2"))
    found = session.attempt_of_receipt(mine.id, "s-2")
    assert (found[0].id, found[1].id) == (one.id, mine.id)
    assert session.attempt_of_receipt("somebody-elses", "s-2")[1].id == theirs.id
    assert session.attempt_of_receipt("", "s-2")[1].id == theirs.id


@pytest.mark.parametrize(("user_id", "session_no"), [("x", ""), ("", "x"), ("x", "x"), ("", "")])
def test_a_receipt_of_nobody_we_called_is_found_nowhere(session, user_id, session_no):
    _, lead = open_page(session)
    accepted(session, lead)
    assert session.attempt_of_receipt(user_id, session_no) is None


# --- what it changes ---


def test_an_answer_is_written_on_attempt_call_page_and_story(session):
    its_page, lead = open_page(session)
    attempt = accepted(session, lead)
    assert reported(session, attempt) == Noted(news=True, settled=0)
    [kept] = session.attempts_of(lead)
    assert kept.receipt == ANSWERED
    now = the_call(session, lead)
    assert (now.state, now.result, now.reported_at) == (CallState.ACCEPTED, Result.ANSWERED, LATER)
    assert session.page(its_page.id).look_at == LATER
    told = [(lead.id, "answered for 23 s (200 用户接收成功)")]
    assert receipts_told(session, its_page) == told


def test_a_copy_changes_nothing(session):
    its_page, lead = open_page(session)
    attempt = accepted(session, lead)
    reported(session, attempt)
    assert reported(session, attempt, at=NOW + HOUR) == Noted(news=False)
    assert the_call(session, lead).reported_at == LATER
    assert session.page(its_page.id).look_at == LATER
    assert len(receipts_told(session, its_page)) == 1


def test_what_only_says_more_is_kept_and_is_no_news(session):
    its_page, lead = open_page(session)
    attempt = accepted(session, lead)
    reported(session, attempt, replace(ANSWERED, billed=0, code=""))
    assert reported(session, attempt) == Noted(news=False)
    assert session.attempts_of(lead)[0].receipt == ANSWERED
    assert len(receipts_told(session, its_page)) == 1


# First and then; what the call's result is in the end, and whether the second was news.
RESULTS = {
    "better": (Result.UNANSWERED, Result.ANSWERED, Result.ANSWERED, True),
    "longer": (Result.HUNG_UP, Result.ANSWERED, Result.ANSWERED, True),
    "reported after all": (Result.UNREPORTED, Result.UNANSWERED, Result.UNANSWERED, True),
    "worse": (Result.ANSWERED, Result.HUNG_UP, Result.ANSWERED, False),
}


@pytest.mark.parametrize(("first", "then", "result", "news"), RESULTS.values(), ids=RESULTS)
def test_a_result_only_gets_better(session, first, then, result, news):
    _, lead = open_page(session)
    attempt = accepted(session, lead)
    reported(session, attempt, ANSWERED, first)
    assert reported(session, attempt, ANSWERED, then).news is news
    assert the_call(session, lead).result is result


def test_all_that_a_bundle_said_was_heard(session):
    pages = [page(), page(), page()]
    lead, *others = [call(each) for each in pages]
    recorded(session, *pages, *[episode(each) for each in pages], lead, *others)
    session.bundle(lead, NOW)
    attempt = accepted(session, lead)
    assert reported(session, attempt).news
    for its_page, made in zip(pages, (lead, *others), strict=True):
        assert the_call(session, made).result is Result.ANSWERED
        assert session.page(its_page.id).look_at == LATER
        assert [call_id for call_id, _ in receipts_told(session, its_page)] == [made.id]


def test_a_closed_page_is_not_looked_at(session):
    closed = page(closed_at=NOW)
    lead = call(closed)
    recorded(session, closed, lead)
    assert reported(session, accepted(session, lead)).news
    assert the_call(session, lead).result is Result.ANSWERED
    assert session.page(closed.id).look_at is None


def test_a_test_call_has_no_page(session):
    lead = call(None)
    recorded(session, lead)
    assert reported(session, accepted(session, lead)).news
    assert the_call(session, lead).result is Result.ANSWERED
    [event] = session.events_of(call_id=lead.id)
    assert event.page_id is None


# --- calls that might be dialled again ---


@pytest.mark.parametrize("receipt", [ANSWERED, UNANSWERED, UNREPORTED], ids=lambda r: r.result)
def test_a_receipt_that_overtakes_the_answer_settles_the_call(session, receipt):
    _, lead = open_page(session)
    attempt = begun(session, lead)
    assert reported(session, attempt, receipt) == Noted(news=True, settled=1)
    now = the_call(session, lead)
    assert (now.state, now.settled_at, now.result) == (CallState.ACCEPTED, LATER, receipt.result)
    assert now.note == "placed, as its receipt shows"
    # The answer comes all the same, and undoes nothing.
    session.finish_attempt(replace(attempt, outcome="unknown", message="timeout"))
    assert not session.settle(attempt.id, CallState.UNKNOWN, now=LATER, due_at=LATER, note="")
    assert session.attempts_of(lead)[0].receipt == receipt
    assert the_call(session, lead) == now


def test_a_receipt_settles_a_call_of_unknown_outcome(session):
    _, lead = open_page(session)
    attempt = begun(session, lead)
    ended(session, attempt, "unknown", CallState.UNKNOWN)
    assert reported(session, attempt, UNANSWERED).settled == 1
    assert the_call(session, lead).state is CallState.ACCEPTED
    assert session.attempts_of(lead)[0].outcome == "accepted"
    assert session.due_look_ups(NOW + HOUR) == []


def waiting_to_be_dialled_again(session: Session) -> tuple[Page, Call, Attempt]:
    its_page, lead = open_page(session)
    attempt = begun(session, lead)
    ended(session, attempt, "unknown", CallState.WAITING)
    return its_page, lead, attempt


@pytest.mark.parametrize("receipt", [ANSWERED, UNANSWERED, UNREPORTED], ids=lambda r: r.result)
def test_a_call_is_not_dialled_again_that_was_placed(session, receipt):
    _, lead, attempt = waiting_to_be_dialled_again(session)
    assert reported(session, attempt, receipt) == Noted(news=True, settled=1)
    now = the_call(session, lead)
    assert (now.state, now.result) == (CallState.ACCEPTED, receipt.result)
    assert session.due_calls(ALICE, NOW + HOUR, 9) == []
    assert session.alerts_named_by(replace(lead, id="another")) == []  # its person has heard


def test_nor_one_that_waits_for_a_limit(session):
    _, lead, attempt = waiting_to_be_dialled_again(session)
    session.limit(ALICE, NOW + MINUTE, NOW + HOUR)
    assert reported(session, attempt).settled == 1
    assert the_call(session, lead).state is CallState.ACCEPTED


def test_a_call_is_dialled_again_for_what_has_joined_it(session):
    its_page, lead, attempt = waiting_to_be_dialled_again(session)
    recorded(session, episode(its_page))
    assert reported(session, attempt) == Noted(news=True, settled=0)
    now = the_call(session, lead)
    assert (now.state, now.result) == (CallState.WAITING, None)
    assert session.attempts_of(lead)[0].receipt == ANSWERED
    assert len(receipts_told(session, its_page)) == 1


def test_a_call_is_dialled_again_that_somebody_asked_for(session):
    _, lead = open_page(session)
    attempt = begun(session, lead)
    ended(session, attempt, "unknown", CallState.GAVE_UP, due_at=None)
    assert session.retry(lead.id, LATER)
    assert reported(session, attempt).settled == 0
    assert the_call(session, lead).state is CallState.WAITING


def test_a_call_that_was_never_dialled_is_left_alone(session):
    its_page, lead = open_page(session)
    another = call(its_page, BOB)
    recorded(session, another)
    reported(session, accepted(session, lead))
    assert the_call(session, another).state is CallState.WAITING
    assert the_call(session, another).result is None


@pytest.mark.parametrize(
    ("receipt", "result"),
    [(ANSWERED, Result.ANSWERED), (UNANSWERED, None), (UNREPORTED, None)],
    ids=["answered", "unanswered", "unreported"],
)
def test_a_call_that_a_later_attempt_makes_is_left_to_it(session, receipt, result):
    """It hears of an answer. That the first ringing was in vain says nothing of the second."""
    its_page, lead, first = waiting_to_be_dialled_again(session)
    second = begun(session, lead, NOW + MINUTE)
    assert reported(session, first, receipt) == Noted(news=True, settled=0)
    now = the_call(session, lead)
    assert (now.state, now.result) == (CallState.SENDING, result)
    assert len(receipts_told(session, its_page)) == 1
    assert session.settle(second.id, CallState.ACCEPTED, now=LATER, due_at=None, note="")
    reported(session, second, UNANSWERED)
    assert the_call(session, lead).result is (result or Result.UNANSWERED)


def test_a_call_that_gave_up_keeps_its_end_and_has_a_result(session):
    _, lead = open_page(session)
    attempt = begun(session, lead)
    ended(session, attempt, "unknown", CallState.GAVE_UP, due_at=None)
    assert reported(session, attempt) == Noted(news=True, settled=0)
    now = the_call(session, lead)
    assert (now.state, now.result) == (CallState.GAVE_UP, Result.ANSWERED)


# --- what is asked about ---


def test_calls_are_submitted_until_something_is_reported(session):
    its_page, lead = open_page(session)
    others = [call(its_page, BOB), call(None, ALICE), call(its_page, BOB)]
    recorded(session, *others)
    attempt = accepted(session, lead, NOW + MINUTE)
    early = accepted(session, others[0], NOW)
    begun(session, others[1])
    found = session.submitted(NOW, 9)
    assert [(made.id, of.id) for made, of in found] == [
        (others[0].id, early.id),
        (lead.id, attempt.id),
    ]
    assert [made.id for made, _ in session.submitted(NOW + SECOND, 9)] == [lead.id]
    assert [made.id for made, _ in session.submitted(NOW, 1)] == [others[0].id]
    reported(session, early, UNREPORTED)
    assert [made.id for made, _ in session.submitted(NOW, 9)] == [lead.id]


def test_of_a_bundle_its_lead_is_asked_about(session):
    pages = [page(), page()]
    lead, other = [call(each) for each in pages]
    recorded(session, *pages, lead, other)
    session.bundle(lead, NOW)
    accepted(session, lead)
    assert [made.id for made, _ in session.submitted(NOW, 9)] == [lead.id]


# --- how the database goes about it ---


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Collect what is sent to the database meanwhile, and say all of it to PostgreSQL too."""
    found: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, many) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE")):
            found.append((statement, parameters[0] if many else parameters))

    def translate(_connection, statement, _many, _parameters, _options) -> None:
        if not isinstance(statement, str):
            assert str(statement.compile(dialect=postgresql.dialect()))

    engine = store._writing
    sa.event.listen(engine, "before_cursor_execute", note)
    sa.event.listen(engine, "before_execute", translate)
    yield found
    sa.event.remove(engine, "before_cursor_execute", note)
    sa.event.remove(engine, "before_execute", translate)


@ON_SQLITE  # a plan of PostgreSQL's is made of what it has counted: see test_store_plans
def test_hearing_of_a_call_scans_no_table(store, tmp_path):
    def furnish(session: Session) -> Attempt:
        _, lead = open_page(session)
        return accepted(session, lead)

    attempt = store.write_now(furnish)
    with statements(store) as found:
        store.write_now(lambda s: s.submitted(NOW, 9))
        store.write_now(lambda s: s.attempt_of_receipt("x", "x"))
        store.write_now(lambda s: reported(s, attempt))
    assert len(found) > 8
    with another_process(tmp_path) as other:
        for statement, parameters in found:
            plan = [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert not [step for step in plan if re.match("SCAN (?!CONSTANT)", step)], statement
            if "ORDER BY calls.dialled_at" in statement:
                assert "SEARCH calls USING INDEX ix_calls_submitted (dialled_at>?)" in plan
                assert not [step for step in plan if "TEMP B-TREE" in step]
