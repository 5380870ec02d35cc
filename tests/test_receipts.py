"""Receipts into a real store: whose they are, what they are worth, what is counted and said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from store_world import (
    NOW,
    SECOND,
    accepted,
    another_process,
    another_session,
    begun,
    call,
    episode,
    held,
    on_postgresql,
    opened,
    page,
    recorded,
    the_call,
    url,
)
from structlog.testing import capture_logs
from worker_world import receiver, routes

from adapter.errors import InvalidNotification, NotJson, StoreUnavailable
from adapter.metrics import Metrics
from adapter.model import Attempt, Call, CallState, Result
from adapter.receipts import Hearing, Receipts
from adapter.store.session import Session
from adapter.store.store import Store

LATER = NOW + 30 * SECOND
POLICY = routes(
    receiver("sre", "alice"), receiver("patient", "alice", minimum_answer_duration="1m")
)


class World:
    """A store, and what takes receipts into it; no worker dials."""

    def __init__(self, store: Store) -> None:
        self.store, self.metrics, self.woken = store, Metrics(), 0
        self.receipts = Receipts(store, lambda: POLICY, self.metrics, lambda: LATER, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def accepted(self, **values: Any) -> tuple[Call, Attempt]:
        """Have a call about a page taken by the vendor."""

        def job(session: Session) -> tuple[Call, Attempt]:
            its_page = page()
            lead = call(its_page, **values)
            recorded(session, its_page, episode(its_page), lead)
            attempt = accepted(session, lead)
            session.finish_attempt(
                replace(attempt, outcome="accepted", session_no=f"session of {attempt.id}")
            )
            return lead, attempt

        return self.store.write_now(job)

    def take(self, *bodies: Any) -> list[Hearing]:
        raw = json.dumps(bodies[0] if len(bodies) == 1 else bodies).encode()
        return [one.hearing for one in asyncio.run(self.receipts.take(raw)).heard]

    def call(self, wanted: Call) -> Call:
        return self.store.read_now(lambda session: the_call(session, wanted))

    def metric(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"uvms_adapter_{name}", labels)
        assert value is not None, f"there is no series {name} {labels}"
        return value

    def counted(self, result: str) -> float:
        return self.metric("receipts_total", source="push", result=result)


@pytest.fixture
def world(database, tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as store:
        yield World(store)


def receipt(attempt: Attempt | None = None, **changes: Any) -> dict[str, Any]:
    """Return a receipt as the vendor pushes it."""
    body = {
        "SessionNo": f"session of {attempt.id}" if attempt else "of somebody else",
        "Phone": "13512345678",
        "CostCount": 1,
        "ReceiptResult": 1,
        "ReceiptCode": "200",
        "ReceiptDesc": "用户接收成功",
        "Duration": 23,
        "UserId": attempt.id if attempt else "somebody-elses",
    }
    return body | changes


def test_an_answer_is_taken_counted_and_told(world):
    lead, attempt = world.accepted()
    with capture_logs() as lines:
        assert world.take(receipt(attempt)) == [Hearing.NEWS]
    assert world.call(lead).result is Result.ANSWERED
    assert world.counted("answered") == 1
    assert world.metric("billed_total") == 1
    assert world.woken == 1
    [line] = lines
    assert (line["event"], line["status"], line["call"]) == ("call reported", "answered", lead.id)
    assert line["phone"] == "1351****678"
    assert "13512345678" not in str(lines)


def test_the_same_receipt_four_times_counts_once(world):
    lead, attempt = world.accepted()
    heard = [world.take(receipt(attempt)) for _ in range(4)]
    assert heard == [[Hearing.NEWS], *[[Hearing.KNOWN]] * 3]
    assert (world.counted("answered"), world.metric("billed_total"), world.woken) == (1, 1, 1)
    assert world.call(lead).reported_at == LATER


def test_copies_in_one_body_count_once(world):
    _, attempt = world.accepted()
    assert world.take(*[receipt(attempt)] * 3) == [Hearing.NEWS, Hearing.KNOWN, Hearing.KNOWN]
    assert world.counted("answered") == 1


# Whose a receipt is: what is changed in it, and what becomes of it.
WHOSE = {
    "ours by UserId": ({"SessionNo": "x"}, Hearing.NEWS),
    "ours by SessionNo": ({"UserId": ""}, Hearing.NEWS),
    "ours by SessionNo, with a UserId we do not know": ({"UserId": "x"}, Hearing.NEWS),
    "with the country code": ({"Phone": "+8613512345678"}, Hearing.NEWS),
    "a masked phone": ({"Phone": "135****5678"}, Hearing.NEWS),
    "no phone": ({"Phone": None}, Hearing.NEWS),
    "nobody's": ({"UserId": "x", "SessionNo": "y"}, Hearing.UNMATCHED),
    "ours, but of another phone": ({"Phone": "13512345679"}, Hearing.MISTRUSTED),
    "ours, but of no phone at all": ({"Phone": "unknown"}, Hearing.MISTRUSTED),
}


@pytest.mark.parametrize(("changes", "hearing"), WHOSE.values(), ids=WHOSE)
def test_whose_a_receipt_is(world, changes, hearing):
    lead, attempt = world.accepted()
    with capture_logs() as lines:
        assert world.take(receipt(attempt, **changes)) == [hearing]
    ours = hearing is Hearing.NEWS
    assert world.call(lead).result is (Result.ANSWERED if ours else None)
    assert (world.counted("answered"), world.woken) == (ours, ours)
    assert world.metric("receipts_unmatched_total") == (not ours)
    levels = {Hearing.NEWS: "info", Hearing.UNMATCHED: "debug", Hearing.MISTRUSTED: "warning"}
    assert [line["log_level"] for line in lines] == [levels[hearing]]
    assert "1351234567" not in str(lines)


# The receiver, how long somebody talked, and what that is.
WORTH = {
    "long enough": ("sre", 5, Result.ANSWERED),
    "hung up": ("sre", 4, Result.HUNG_UP),
    "long enough elsewhere": ("patient", 59, Result.HUNG_UP),
    "long enough here": ("patient", 60, Result.ANSWERED),
    "a receiver that is gone: the default": ("gone", 5, Result.ANSWERED),
    "a receiver that is gone, hung up": ("gone", 4, Result.HUNG_UP),
}


@pytest.mark.parametrize(("name", "seconds", "result"), WORTH.values(), ids=WORTH)
def test_how_long_an_answer_has_to_be_is_the_receivers_to_say(world, name, seconds, result):
    lead, attempt = world.accepted(receiver=name)
    world.take(receipt(attempt, Duration=seconds))
    assert world.call(lead).result is result
    assert world.counted(result.value) == 1


def test_what_is_better_news_counts_again(world):
    lead, attempt = world.accepted()
    assert world.take(receipt(attempt, ReceiptResult=3)) == [Hearing.NEWS]
    assert world.take(receipt(attempt, ReceiptResult=2)) == [Hearing.NEWS]
    assert world.take(receipt(attempt, ReceiptResult=3)) == [Hearing.KNOWN]
    assert world.call(lead).result is Result.UNANSWERED
    assert (world.counted("unreported"), world.counted("unanswered")) == (1, 1)


def test_what_is_billed_is_counted_once_and_in_full(world):
    _, attempt = world.accepted()
    world.take(receipt(attempt, CostCount=0))
    world.take(receipt(attempt, CostCount=3), receipt(attempt, CostCount=1))
    assert world.metric("billed_total") == 3


def test_a_receipt_that_overtakes_the_answer_ends_the_call(world):
    def job(session: Session) -> tuple[Call, Attempt]:
        lead = call(None)
        recorded(session, lead)
        return lead, begun(session, lead)

    lead, attempt = world.store.write_now(job)
    world.take(receipt(attempt, ReceiptResult=2))
    now = world.call(lead)
    assert (now.state, now.result) == (CallState.ACCEPTED, Result.UNANSWERED)
    assert world.metric("calls_total", outcome="accepted") == 1


# --- bodies that are none ---


@pytest.mark.parametrize(
    ("body", "kind"), [(b"<html>", NotJson), (b'{"alerts": []}', InvalidNotification)]
)
def test_a_body_that_is_no_receipt_is_counted_logged_and_kept(world, body, kind):
    with capture_logs() as lines, pytest.raises(kind) as refused:
        asyncio.run(world.receipts.take(body))
    assert world.metric("receipts_invalid_total") == 1
    assert [(line["event"], line["error"]) for line in lines] == [
        ("no receipt", str(refused.value))
    ]
    [kept] = world.store.read_now(lambda session: session.find_rejected())
    assert (kept.source, kept.error, kept.body) == ("receipts", str(refused.value), body)
    assert (kept.received_at, kept.size, world.woken) == (LATER, len(body), 0)


def test_items_that_are_no_receipts_are_reported_one_by_one_and_kept_once(world):
    lead, attempt = world.accepted()
    with capture_logs() as lines:
        assert world.take(7, receipt(attempt), {}) == [Hearing.NEWS]
    assert world.call(lead).result is Result.ANSWERED
    assert world.metric("receipts_invalid_total") == 2
    assert [line["event"] for line in lines] == ["no receipt", "no receipt", "call reported"]
    [kept] = world.store.read_now(lambda session: session.find_rejected())
    assert kept.error.startswith("$[0]: expected a receipt (an object), found a scalar; $[2].")


def test_a_huge_body_is_kept_in_part(world):
    body = b"x" * 100_000
    with pytest.raises(NotJson):
        asyncio.run(world.receipts.take(body))
    [kept] = world.store.read_now(lambda session: session.find_rejected())
    assert (kept.size, len(kept.body)) == (100_000, 64 * 1024)


# --- a store that cannot commit ---


def test_what_cannot_be_committed_is_neither_counted_nor_half_written(database, tmp_path):
    with opened(tmp_path, lock_wait_seconds=1.0) as store:
        world = World(store)
        lead, attempt = world.accepted()
        with held(tmp_path), pytest.raises(StoreUnavailable):
            world.take(receipt(attempt))
        assert (world.counted("answered"), world.woken) == (0, 0)
        assert world.call(lead).result is None
        assert world.take(receipt(attempt)) == [Hearing.NEWS]  # pushed again


def refuse(where: Path, attempt: Attempt) -> None:
    """Let the database refuse what is to be written of an attempt."""
    if on_postgresql(where):
        check: Any = f"ADD CONSTRAINT refused CHECK (id <> '{attempt.id}' OR result IS NULL)"
        with another_session(url(where)) as other:
            other.execute("ALTER TABLE attempts " + check)
        return
    with another_process(where) as other:
        other.execute(
            f"CREATE TRIGGER r BEFORE UPDATE OF result ON attempts WHEN new.id = '{attempt.id}'"
            " BEGIN SELECT raise(ABORT, 'refused'); END"
        )


def test_all_of_a_body_is_one_transaction(world, tmp_path):
    calls = [world.accepted() for _ in range(3)]
    refuse(tmp_path, calls[-1][1])
    with pytest.raises(Exception, match="refused"):
        world.take(*[receipt(attempt) for _, attempt in calls])
    assert [world.call(lead).result for lead, _ in calls] == [None] * 3
    assert world.counted("answered") == 0
