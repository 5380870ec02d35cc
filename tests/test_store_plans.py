"""How SQLite goes about it: hot questions look things up, and scan no table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from store_world import ALICE, DAY, HOUR, NOW, another_process, attempt, opened
from test_store_faults import HELD, LEAD, PAGE, RECEIPT, furnish

from adapter.model import CallState, Result
from adapter.paging import page_key
from adapter.store import attempts, housekeeping, inbox, rows
from adapter.store.part import _for_driver
from adapter.store.session import Session
from adapter.store.store import Store

HOT: dict[str, Callable[[Session], Any]] = {
    "known": lambda s: s.known({("sre", "f")}, {page_key("sre", {})}),
    "due_phones": lambda s: s.due_phones(NOW),
    "dialled_since": lambda s: s.dialled_since(ALICE, NOW - DAY),
    "requests_since": lambda s: s.requests_since(ALICE, NOW - DAY, NOW),
    "limit": lambda s: s.limit(ALICE, NOW, NOW + HOUR),
    "due_calls": lambda s: s.due_calls(ALICE, NOW, 4),
    "alike": lambda s: s.alike(LEAD, NOW),
    "bundle": lambda s: s.bundle(LEAD, NOW),
    "alerts_named_by": lambda s: s.alerts_named_by(LEAD),
    "begin": lambda s: s.begin(LEAD, attempt(LEAD), NOW),
    "end": lambda s: s.end(LEAD, CallState.CANCELLED, NOW, ""),
    "settle": lambda s: s.settle("a", CallState.ACCEPTED, now=NOW, due_at=None, note=""),
    "orphans": lambda s: s.orphans(NOW),
    "due_look_ups": lambda s: s.due_look_ups(NOW),
    "lease": lambda s: s.lease("a", NOW),
    "sessions_used": lambda s: s.sessions_used(ALICE, NOW),
    "due": lambda s: s.due(),
    "maybe_told": lambda s: s.maybe_told(LEAD),
    "queue": lambda s: s.queue(NOW),
    "retry": lambda s: s.retry("c", NOW),
    "prune": lambda s: s.prune(NOW, 100, webhooks_before=NOW),
    "close_stale": lambda s: s.close_stale(NOW, NOW),
    "find_calls of a page": lambda s: s.find_calls(page_id="p", limit=9),
    "newest calls": lambda s: s.find_calls(limit=9),
    "newest pages": lambda s: s.find_pages(only_open=False, limit=9),
    "open pages": lambda s: s.find_pages(only_open=True, limit=9),
    "episodes_of": lambda s: s.episodes_of("p", 9),
    "attempts_of": lambda s: s.attempts_of(LEAD),
    "due_escalations": lambda s: s.due_escalations(NOW, 9),
    "acknowledge": lambda s: s.acknowledge("p", NOW, "alice"),
    "postpone": lambda s: s.postpone(LEAD, NOW, NOW + HOUR, ""),
    "submitted": lambda s: s.submitted(NOW, 9),
    "attempt_of_receipt": lambda s: s.attempt_of_receipt("held", "session"),
    "report": lambda s: s.report(HELD, RECEIPT, Result.ANSWERED, NOW),
    "due_fallbacks": lambda s: s.due_fallbacks(NOW, 9),
    "next_fallback_due": lambda s: s.next_fallback_due(),
    "fallbacks_of": lambda s: s.fallbacks_of("p"),
    "overrides": lambda s: s.overrides(NOW),
    "events_of a page": lambda s: s.events_of(page_id="p"),
    "events_of a call": lambda s: s.events_of(call_id="c"),
    "verdicts of a page": lambda s: s.find_verdicts(page_id="p", limit=9),
    "find_webhooks": lambda s: s.find_webhooks(NOW, NOW + DAY, 9),
}

TABLES = "calls|episodes|pages|attempts|verdicts|events|webhooks|fallbacks"
# Read in their order, and only as far as the limit goes.
AS_FAR_AS_THE_LIMIT = ("ix_calls_created_at", "ix_pages_opened_at")
# These are about all the open work, or all that is being sent.
ABOUT_OPEN_WORK = (
    "due_phones",
    "due_calls",
    "orphans",
    "due_look_ups",
    "due",
    "queue",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        store.write_now(furnish)
        yield store


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Collect what is sent to the database meanwhile."""
    found: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        if not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE")):
            found.append((statement, parameters))

    engines = (store._reading, store._writer._engine)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    yield found
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("name", HOT)
def test_a_hot_question_scans_no_table(store, tmp_path, name):
    with statements(store) as found:
        store.write_now(HOT[name])
    assert found
    with another_process(tmp_path) as other:
        for statement, parameters in found:
            if isinstance(parameters, list):  # many rows at once
                parameters = parameters[0]
            plan = [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            scans = [
                step
                for step in plan
                if re.match(rf"SCAN ({TABLES})(_\d+)?\b", step)
                and not step.endswith(AS_FAR_AS_THE_LIMIT)
                and not (name in ABOUT_OPEN_WORK and step.endswith("INDEX ix_calls_open"))
            ]
            assert scans == [], statement
            walks = [step for step in plan if re.search(r"ix_calls_open( \(state=\?\))?$", step)]
            assert name in ABOUT_OPEN_WORK or walks == [], statement


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        (inbox._NEW_PAGES, rows.page_row(PAGE)),
        (inbox._NEW_CALLS, rows.call_row(LEAD)),
        (inbox._CHANGED_PAGES, {"key": "p", "truncated": True}),
        (inbox._CHANGED_EPISODES, {"key": 1, "firing": False}),
        (inbox._CHANGED_CALLS, {"key": "c", "state_before": "waiting", "note": ""}),
        (attempts._NEW_ATTEMPTS, rows.attempt_row(attempt(LEAD))),
        (attempts._FINISHED_ATTEMPTS, {"key": "a", "outcome": "accepted"}),
        (housekeeping._NEW_REJECTED, {"source": "grafana", "size": 2}),
    ],
)
def test_a_row_is_put_into_the_form_that_each_driver_takes(statement, row):
    for dialect, form in ((sa.dialects.sqlite.dialect(), tuple), (postgresql.dialect(), dict)):
        sql, in_form = _for_driver(statement, tuple(row), dialect)
        assert isinstance(in_form(row), form)
        assert len(in_form(row)) == len(row)
        assert sql.count("?" if form is tuple else "%(") == len(row)
