"""SIGKILL at each step of a running escalation: it goes on where it was.

Each row of the tables names where the service dies; the same store is then served again. The
vendor's own log says who was rung, and in which order. Rows of an area die and live at once: what
takes their time is waiting.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from chain_world import (
    BOB,
    BOB_AT_LAST,
    BY_HAND,
    NOBODY,
    POLL,
    REFUSED,
    SILENCE,
    STALE,
    Chain,
    Ending,
    Neighbours,
    Standing,
    held_against,
    neighbours,
    standing,
)
from postgres_server import Server
from process_harness import (
    COUNTED,
    Program,
    Sender,
    Vendor,
    firing,
    simulated_vendor,
    until,
    webhook,
)

from adapter.simulator.faults import SEND, Kind
from adapter.store.store import Store, open_store

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

RANDOM_KILLS = int(os.environ.get("RANDOM_KILLS", "15"))
RANDOM_SEED = int(os.environ.get("RANDOM_SEED", "1"))

AT_ONCE = 12  # rows
PATIENCE = 150.0  # seconds: leases of half a minute have to run out, on a machine that is busy


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory, beside: Neighbours) -> Iterator[Vendor]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as started:
        started.push_receipts_to(f"{beside.url}/receipts")
        yield started


@pytest.fixture(scope="module")
def beside() -> Iterator[Neighbours]:
    with neighbours() as there:
        yield there


# --- where it dies -----------------------------------------------------------------------------


class Commit(NamedTuple):
    """It dies before or after the commit of the n-th transaction with such a statement."""

    when: str
    statement: str
    nth: int = 1

    def happen(self, chain: Chain) -> None:
        with chain.living(self) as program, ExitStack() as stack:
            if chain.ending is BY_HAND:
                store = stack.enter_context(closing(open_store(chain.database_url)))

                def dead() -> bool:
                    gone_on(chain, store, program)
                    return program.exit_code is not None

                until(dead, "its death", program.tail, poll=POLL)
            assert program.wait() == -signal.SIGKILL, program.tail()


class Request(NamedTuple):
    """It dies while the vendor has its requests about these people, and has not answered."""

    place: bool  # whether the vendor has placed the calls
    people: Sequence[str]

    def happen(self, chain: Chain) -> None:
        stall = {"kind": Kind.STALL, "action": SEND, "place": self.place, "seconds": 60}
        used = [
            chain.vendor.arm(**stall, number=chain.phones[name], times=1) for name in self.people
        ]
        with chain.living() as program:
            until(lambda: all(times() for times in used), "the requests", program.tail, poll=POLL)
            killed(program)


class Told(NamedTuple):
    """It dies while the fallback webhook has its request, and has not answered."""

    def happen(self, chain: Chain) -> None:
        with chain.beside.silence(chain.name), chain.living() as program:
            until(lambda: chain.fallbacks, "the webhook to be told", program.tail, poll=POLL)
            killed(program)


class AllRung(NamedTuple):
    """It dies when everybody has been rung who will be, and waits for their answers."""

    def happen(self, chain: Chain) -> None:
        wanted = sum(map(len, chain.ending.rings))
        with chain.living() as program, closing(open_store(chain.database_url)) as store:

            def all_rung() -> bool:
                found = standing(store)
                return found is not None and found.quiet and len(chain.rung()) == wanted

            until(all_rung, "everybody to be rung", program.tail, poll=POLL)
            killed(program)


def killed(program: Program) -> None:
    program.signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL, program.tail()


class Row(NamedTuple):
    """What the service is about when it dies."""

    name: str
    deaths: Sequence[Commit | Request | Told | AllRung] = ()
    ending: Ending = NOBODY
    most_told: int = 1  # how often the fallback webhook may hear of it
    pushed: bool = True  # whether receipts are pushed
    changes: Mapping[str, Any] = {}  # to routes.yaml

    def looked_up(self) -> Row:
        """Let no receipt be there before what is unknown has been looked up: it would settle it."""
        return self._replace(pushed=False, changes={"receipts": {"poll_interval": "1500ms"}})


STEP, CLAIM = "INSERT INTO calls", "INSERT INTO attempts"
SETTLE = "UPDATE attempts SET id="
REPORT = r"UPDATE attempts SET (outcome=\S+ )?result="
EXHAUST, LEASE = "INSERT INTO fallbacks", "UPDATE fallbacks SET due_at="
TELL = "UPDATE fallbacks SET state="
TAKE = "UPDATE pages SET acknowledged_at="
CLOSE = "UPDATE pages SET closed_at="
FIRST, SECOND, THIRD, AGAIN, SECOND_AGAIN, LAST = range(1, 7)  # steps, in the order of their calls

ONLY_PUSHED = {"receipts": {"poll_interval": "never"}}
# Should Dave's call be open when all begins again, it would do for his next one too.
PATIENT = NOBODY._replace(last_wait="12s")


def both(name: str, statement: str, count: int = 1, **more: Any) -> tuple[Row, Row]:
    """Return the rows of a transaction: it is not written, or it is and nobody knows."""
    return (
        Row(f"{name}, before its commit", (Commit("before", statement, count),), **more),
        Row(f"{name}, committed", (Commit("after", statement, count),), **more),
    )


UNKNOWN = (
    Row("claiming the first call, committed", (Commit("after", CLAIM),)),
    Row("claiming two calls at once, committed", (Commit("after", CLAIM, SECOND),)),
    Row("claiming step 3's call, committed", (Commit("after", CLAIM, THIRD),), PATIENT),
    Row("claiming a call of the repeat, committed", (Commit("after", CLAIM, AGAIN),)),
    Row("request left, not placed", (Request(False, ["alice"]),)),
    Row("request left, placed", (Request(True, ["alice"]),)),
    Row("two requests left, placed", (Request(True, ["bob", "carol"]),)),
    Row("settling the first call, before its commit", (Commit("before", SETTLE),)),
    Row("settling one of two, before its commit", (Commit("before", SETTLE, 2),)),
    Row("settling a refused call, before its commit", (Commit("before", SETTLE),), REFUSED),
    Row(
        "settling what was looked up, before its commit",
        (Request(True, ["alice"]), Commit("before", SETTLE, 2)),
    ),
)
CALLS = (
    *(row.looked_up() for row in UNKNOWN),
    Row("nothing"),
    *both("opening the page", STEP, FIRST),
    Row("claiming the first call, before its commit", (Commit("before", CLAIM),)),
    Row("request left, placed, and its receipt comes", (Request(True, ["alice"]),)),
    Row("settling the first call, committed", (Commit("after", SETTLE),)),
)
STEPPING = (
    *both("writing a pushed receipt", REPORT, changes=ONLY_PUSHED),
    Row(
        "writing one of two receipts, committed", (Commit("after", REPORT, 2),), changes=ONLY_PUSHED
    ),
    *both("writing polled receipts", REPORT, pushed=False),
    *both("taking step 2", STEP, SECOND),
    Row("taking step 2 as time is up, before its commit", (Commit("before", STEP, 2),), SILENCE),
    Row("taking step 2 after a refusal, before it", (Commit("before", STEP, 2),), REFUSED),
    *both("taking step 3", STEP, THIRD),
    *both("beginning again", STEP, AGAIN),
    Row("taking step 2 again, before its commit", (Commit("before", STEP, SECOND_AGAIN),)),
    Row("taking step 3 again, committed", (Commit("after", STEP, LAST),)),
    Row("beginning again as time is up, before it", (Commit("before", STEP, AGAIN),), SILENCE),
)
GOES_STALE = {"stale_after": "1s"}  # which is looked at once a minute, and at the start
THE_END = (
    # The first ones wait for a lease.
    Row("leasing the fallback, committed", (Commit("after", LEASE),)),
    Row("fallback posted, no answer yet", (Told(),), most_told=2),
    Row("settling the fallback, before its commit", (Commit("before", TELL),), most_told=2),
    Row("leasing the fallback, before its commit", (Commit("before", LEASE),)),
    Row("settling the fallback, committed", (Commit("after", TELL),)),
    *both("finding it exhausted", EXHAUST),
    Row("finding it exhausted as time is up, before it", (Commit("before", EXHAUST),), SILENCE),
    Row("writing an answer's receipt, before its commit", (Commit("before", REPORT, 2),), BOB),
    *both("taking the page for an answer", TAKE, ending=BOB),
    *both("taking the page by hand", TAKE, ending=BY_HAND),
    Row(
        "closing a stale page, before its commit",
        (AllRung(), Commit("before", CLOSE)),
        STALE,
        changes=GOES_STALE,
    ),
    Row(
        "closing a stale page, committed",
        (AllRung(), Commit("after", CLOSE)),
        STALE,
        changes=GOES_STALE,
    ),
)
SHARED = (
    # What a dead replica had in hand is taken over once its lease has run out.
    Row("leasing the fallback, committed", (Commit("after", LEASE),)),
    Row("settling the fallback, before its commit", (Commit("before", TELL),), most_told=2),
    Row("claiming the first call, committed", (Commit("after", CLAIM),)),
    Row("claiming two calls at once, committed", (Commit("after", CLAIM, SECOND),)),
    Row("settling the first call, before its commit", (Commit("before", SETTLE),), BOB_AT_LAST),
    *both("opening the page", STEP, FIRST),
    Row("writing a pushed receipt, before its commit", (Commit("before", REPORT),)),
    *both("taking step 2", STEP, SECOND),
    Row("beginning again, before its commit", (Commit("before", STEP, AGAIN),)),
    *both("finding it exhausted", EXHAUST),
    Row("taking the page for an answer, before its commit", (Commit("before", TAKE),), BOB),
    Row("taking the page by hand, committed", (Commit("after", TAKE),), BY_HAND),
    Row(
        "closing a stale page, before its commit",
        (AllRung(), Commit("before", CLOSE)),
        STALE,
        changes=GOES_STALE,
    ),
)
AREAS = {
    ("sqlite", "calls"): CALLS,
    ("sqlite", "steps"): (*THE_END, *STEPPING),
    ("postgresql", "all of it"): SHARED,
}


# --- the tests ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("store", "area"), AREAS)
def test_killed_in_an_escalation(
    store: str,
    area: str,
    vendor: Vendor,
    beside: Neighbours,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """No step is lost and none rung twice, whatever the service was about when it died."""
    rows, first = AREAS[store, area], 100 * (1 + list(AREAS).index((store, area)))
    with ExitStack() as stack:
        urls = ["" for _ in rows]
        if store == "postgresql":
            server: Server = request.getfixturevalue("postgres")
            urls = [stack.enter_context(server.database()) for _ in rows]
        lived = each_at_once(list(zip(rows, urls, strict=True)), vendor, beside, tmp_path)
    for number, one in enumerate(lived, first + 1):
        record_property(COUNTED, one.row(number, store))
    assert not [one.wrong for one in lived if one.wrong]


# Whatever an escalation writes, but for telling the fallback webhook, whose leases are long.
ANYTHING = (
    r"INSERT INTO (calls|attempts|fallbacks)|UPDATE attempts|UPDATE pages SET (run|look_at|confirm)"
)


def test_killed_at_random_statements(
    vendor: Vendor,
    beside: Neighbours,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """One escalation, and somebody who kills at whatever statement."""
    chance, landed = random.Random(RANDOM_SEED), 0  # it may end before all kills have landed
    row = Row("at random", ending=PATIENT).looked_up()
    chain = Chain(tmp_path / "random", vendor, beside, row.ending, "", row.pushed, **row.changes)
    with sent(chain) as sender:
        for _ in range(RANDOM_KILLS):
            when = chance.choice(("before", "after", "amid"))
            landed += dies_at_random(chain, (when, ANYTHING, chance.randint(1, 5)))
        by_then = chain.rung()
        found = live(chain, sender)
    row = row._replace(name=f"{landed} times at random, seed {RANDOM_SEED}")
    one = lived_through(row, chain, by_then, found)
    record_property(COUNTED, one.row(601, "sqlite"))
    assert not one.wrong
    assert landed > RANDOM_KILLS // 2


def dies_at_random(chain: Chain, kill: tuple[str, str, int]) -> bool:
    """Let it live until it dies; False: the escalation had ended before."""
    with chain.living(kill) as program, closing(open_store(chain.database_url)) as store:

        def over() -> bool:
            found = standing(store)
            return program.exit_code is not None or (found is not None and found.ended)

        until(over, "its death", program.tail, poll=POLL)
        if program.exit_code is None:
            return False
        # The one step whose time is short is left alone once it has been killed in there.
        if not in_step(store, 1, 2):
            return True
    with chain.living() as program, closing(open_store(chain.database_url)) as store:
        until(lambda: not in_step(store, 1, 2), "the next step", program.tail, poll=POLL)
        return True


def in_step(store: Store, run: int, step: int) -> bool:
    found = standing(store)
    return found is not None and (found.page.run, found.page.step) == (run, step)


# --- living on ---------------------------------------------------------------------------------


class Lived(NamedTuple):
    """What came of a row."""

    name: str
    by_then: Sequence[str]  # who had been rung when it died last
    rung: Sequence[str]
    lost: int
    doubled: int
    told: int
    end: str
    wrong: str  # "": nothing

    def row(self, number: int, store: str) -> dict[str, object]:
        return {
            "step": number,
            "store": store,
            "killed while": self.name,
            "rung by then": _initials(self.by_then),
            "in the end": _initials(self.rung),
            "lost": self.lost,
            "doubled": self.doubled,
            "fallbacks": self.told,
            "end": self.end,
        }


def _initials(names: Sequence[str]) -> str:
    return "".join(name[0] for name in names)


def each_at_once(
    rows: Sequence[tuple[Row, str]], vendor: Vendor, beside: Neighbours, folder: Path
) -> list[Lived]:
    """Live through all rows, each with the URL of its database, "": SQLite of its own."""

    def through(number: int) -> Lived:
        row, url = rows[number]
        try:
            place = folder / f"{folder.name}-{number}"
            chain = Chain(place, vendor, beside, row.ending, url, row.pushed, **row.changes)
            with sent(chain) as sender:
                for death in row.deaths:
                    death.happen(chain)
                by_then = chain.rung()
                found = live(chain, sender)
            return lived_through(row, chain, by_then, found)
        except Exception as error:  # the other rows are to be told of too
            return Lived(row.name, (), (), 0, 0, 0, "?", f"{row.name}: {error!r}")

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(through, range(len(rows))))


def sent(chain: Chain) -> Any:
    return Sender(chain, [webhook(firing("DiskFull"))]).sending()


def live(chain: Chain, sender: Sender) -> Standing:
    """Let the service live until nothing more will come of the page."""
    with chain.living() as program, closing(open_store(chain.database_url)) as store:

        def ended() -> Standing | None:
            found = gone_on(chain, store, program)
            return found if found is not None and found.ended and sender.all_taken else None

        def seen() -> str:
            return f"{standing(store)}\n{program.tail()}"

        found = until(ended, "the end of it", seen, patience=PATIENCE, poll=POLL)
        assert found is not None
        assert program.exit_code is None, program.tail()
        return found


def gone_on(chain: Chain, store: Store, program: Program) -> Standing | None:
    """Do what a human does, if one is to; return how the page stands, None: nobody can."""
    if program.exit_code is not None:
        return None
    found = standing(store)
    if chain.ending is not BY_HAND or found is None or found.page.acknowledged_at is not None:
        return found
    if found.quiet and found.page.step == 1 and found.steps == list(BY_HAND.rings):
        with suppress(httpx.TransportError):  # it died of it
            chain.acknowledge(found.page.id)
    return found


def lived_through(row: Row, chain: Chain, by_then: Sequence[str], found: Standing) -> Lived:
    """Hold what came of it against what it is without a death."""
    rung, ending = chain.rung(), row.ending
    lost, doubled = held_against(rung, ending.rings)
    least = 1 if ending.exhausted else 0
    said = {
        "rung": (lost, doubled) == (0, 0),
        "steps in the store": found.steps == _steps(ending),
        "end": found.end == ending.end,
        "fallbacks": least <= chain.fallbacks <= least * row.most_told,
    }
    wrong = ", ".join(what for what, right in said.items() if not right)
    return Lived(
        row.name,
        by_then,
        rung,
        lost,
        doubled,
        chain.fallbacks,
        found.end,
        wrong and f"{row.name}: {wrong}: {rung}, {found}",
    )


def _steps(ending: Ending) -> list[tuple[str, ...]]:
    """Return whom each step has to call, as the store says it: refused calls too."""
    steps = [tuple(step) for step in ending.rings]
    return [("alice",), *steps[:2], ("alice",), *steps[2:]] if ending is REFUSED else steps
