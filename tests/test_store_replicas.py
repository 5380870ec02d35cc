"""What keeps replicas apart where one is slow: who looks up, who settles, and since when."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest
from msgspec.structs import replace
from store_world import ALICE, begun, opened, page, recorded, the_call
from store_world import call as some_call
from worker_world import HOUR, MINUTE, NO_ANSWER, NOW, SECOND, limits, routes, until, working

from adapter.delivery.outcomes import Outcome
from adapter.model import Call, CallState
from adapter.store.session import Session
from adapter.worker.claiming import claim

PATIENCE = 20.0


def unknown(session: Session, lead: Call) -> str:
    made = begun(session, lead)
    session.settle(made.id, CallState.UNKNOWN, now=NOW, due_at=NOW, note="")
    return made.id


@pytest.mark.parametrize("kind", ["a look-up", "an orphan"])
def test_what_one_replica_takes_over_another_passes_over(postgres, kind):
    """Both have found it due before either has written that down."""
    taken, asked = threading.Event(), threading.Event()

    def find(session: Session) -> list[str]:
        found = session.due_look_ups(NOW) if kind == "a look-up" else session.orphans(NOW + HOUR)
        return [made.id for _, made in found]

    def take(session: Session) -> list[str]:
        found = find(session)
        taken.set()
        assert asked.wait(PATIENCE)
        return found

    with postgres.database() as at, opened(at) as one, opened(at) as other:
        mine = page()
        lead = some_call(mine)
        one.write_now(lambda session: recorded(session, mine, lead))
        made = one.write_now(
            lambda s: unknown(s, lead) if kind == "a look-up" else begun(s, lead).id
        )
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.extend(one.write_now(take)))
        thread.start()
        assert taken.wait(PATIENCE)
        assert other.write_now(find) == []
        asked.set()
        thread.join(PATIENCE)
        assert found == [made]


def test_how_long_requests_lasted(store_url):
    with opened(store_url) as store:

        def told(session: Session) -> list[tuple[timedelta, timedelta]]:
            mine = page()
            recorded(session, mine, one := some_call(mine), other := some_call(mine, id="z"))
            done = begun(session, one, at=NOW - MINUTE)
            session.finish_attempt(
                replace(done, finished_at=NOW - MINUTE + SECOND, outcome=Outcome.ACCEPTED)
            )
            begun(session, other, at=NOW)
            spans = session.requests_since(ALICE, NOW - HOUR, NOW + SECOND)
            return [(began - NOW, ended - NOW) for began, ended in spans]

        assert store.write_now(told) == [(-MINUTE, -MINUTE + SECOND), (SECOND * 0, SECOND)]


def test_an_attempt_begins_when_its_phone_is_ours(store_url):
    """Not when we began to wait for others, who may have rung it meanwhile."""
    times = chain([NOW], repeat(NOW + 5 * SECOND))
    policy = routes(limits=limits())
    with opened(store_url) as store:
        store.write_now(lambda s: recorded(s, some_call(None, receiver="phone")))
        [ready] = store.write_now(
            lambda s: claim(s, policy, 9, lambda: next(times), lambda: "a" * 32)
        ).ready
        assert ready.attempt.started_at == NOW + 5 * SECOND
        held = store.read_now(lambda s: the_call(s, ready.call))
        assert held.due_at > NOW + 5 * SECOND + MINUTE / 10


@pytest.mark.anyio
async def test_a_look_up_that_was_overtaken_writes_nothing(tmp_path: Path, anyio_backend) -> None:
    """Another replica has found the call in the records; here it was absent a moment ago."""
    async with working(tmp_path) as world:
        world.vendor.answer = NO_ANSWER
        world.vendor.record_gate.clear()
        await world.post(world.firing("A"))
        await until(lambda: world.states() == {"unknown": 1})
        await world.passes(MINUTE)
        await until(lambda: world.vendor.looking == 1)
        [looked_up] = world.calls(CallState.UNKNOWN)
        [made] = world.read(lambda session: session.attempts_of(looked_up))

        def found(session: Session) -> None:
            session.finish_attempt(replace(made, outcome=Outcome.ACCEPTED))
            session.settle(made.id, CallState.ACCEPTED, now=NOW, due_at=None, note="found")

        await world.store.write(found)
        world.vendor.record_gate.set()
        await until(lambda: world.vendor.looking == 0)
        await world.rest()
        [after] = world.read(lambda session: session.attempts_of(looked_up))
        assert (after.outcome, world.states()) == (Outcome.ACCEPTED, {"accepted": 1})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
