"""SIGKILL at each step between a webhook and a settled call: nothing accepted is lost.

Each row of the table names where the service dies, once or several times in a row. A sender like
Alertmanager posts until it gets its 2xx, and goes on repeating. Afterwards the vendor's own log
says which phones rang.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from databases import ON_POSTGRESQL, ON_SQLITE
from process_harness import (
    COUNTED,
    Sender,
    Service,
    Vendor,
    firing,
    new_number,
    simulated_vendor,
    until,
    webhook,
)

from adapter.simulator.faults import LOOK_UP, SEND, Kind

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("database")]

KILL_AT = Path(__file__).with_name("kill_at.py")
RANDOM_KILLS = int(os.environ.get("RANDOM_KILLS", "15"))
RANDOM_SEED = int(os.environ.get("RANDOM_SEED", "1"))

# A placed call is in the simulator's records at once; the second is for a machine that is busy.
DELIVERY = {
    "reconcile_first": "100ms",
    "record_visible_after": "1s",
    "retry_initial": "50ms",
    "retry_cap": "200ms",
}


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as started:
        yield started


def routes(receivers: Mapping[str, Sequence[str]], **changes: Any) -> dict[str, Any]:
    """Return a routes.yaml that calls the numbers of the receiver named by the label `team`."""
    return {
        "receivers": [
            {"name": name, "voice_template": "outage", "call": list(numbers)}
            for name, numbers in receivers.items()
        ],
        "route": {
            "receiver": next(iter(receivers)),
            "routes": [{"receiver": name, "matchers": [f'team="{name}"']} for name in receivers],
        },
        "delivery": DELIVERY,
    } | changes


# --- where it dies -----------------------------------------------------------------------------


class Commit(NamedTuple):
    """It dies before or after the commit of the n-th transaction with such a statement."""

    when: str
    statement: str
    count: int = 1

    def happen(self, service: Service, _numbers: Sequence[str]) -> None:
        program = (sys.executable, KILL_AT, self.when, self.statement, str(self.count))
        with service.starting(program=program) as started:
            service.await_serving_or_death(started)
            assert started.wait() == -signal.SIGKILL, started.tail()


class Request(NamedTuple):
    """It dies while the vendor has its requests about every number, and has not answered."""

    action: str
    place: bool | None = None  # whether the vendor has placed the calls

    def happen(self, service: Service, numbers: Sequence[str]) -> None:
        stall = {"kind": Kind.STALL, "action": self.action, "place": self.place, "seconds": 60}
        used = [service.vendor.arm(**stall, number=number, times=1) for number in numbers]
        with service.serving() as started:
            until(lambda: all(times() for times in used), "the requests to leave", started.tail)
            started.signal(signal.SIGKILL)
            assert started.wait() == -signal.SIGKILL, started.tail()


class Step(NamedTuple):
    """What the service is about when it dies."""

    name: str
    deaths: tuple[Commit | Request, ...]
    changes: Mapping[str, Any] = {}  # to routes.yaml


ACCEPTING, CLAIMING, SETTLING = "INSERT INTO calls", "INSERT INTO attempts", "UPDATE attempts"
WRITTEN_DOWN = Commit("after", CLAIMING)
AFTER_TAKING_OVER = 2  # the first settling is to write down at the start that nobody knows
ONE_BY_ONE = {"limits": {"concurrent_calls": 1}}

STEPS = (
    Step("making the schema, before its commit", (Commit("before", "CREATE TABLE calls"),)),
    Step("taking a webhook, before its commit", (Commit("before", ACCEPTING),)),
    Step("taking a webhook, committed, before the 2xx", (Commit("after", ACCEPTING),)),
    Step("claiming, before the attempt is written", (Commit("before", CLAIMING),)),
    Step("attempt written, before the request leaves", (WRITTEN_DOWN,)),
    Step("request left, call not placed", (Request(SEND, place=False),)),
    Step("request left, call placed, no answer yet", (Request(SEND, place=True),)),
    Step("answered, before it is settled", (Commit("before", SETTLING),)),
    Step("one of two settled", (Commit("after", SETTLING),)),
    Step("taking over, before its commit", (WRITTEN_DOWN, Commit("before", SETTLING))),
    Step("taking over, committed", (WRITTEN_DOWN, Commit("after", SETTLING))),
    Step("looking up", (WRITTEN_DOWN, Request(LOOK_UP))),
    Step(
        "looked up and absent, before it is settled",
        (WRITTEN_DOWN, Commit("before", SETTLING, AFTER_TAKING_OVER)),
    ),
    Step(
        "looked up and found, before it is settled",
        (Request(SEND, place=True), Commit("before", SETTLING, AFTER_TAKING_OVER)),
    ),
    Step("dialling again", (Request(SEND, place=False), Request(SEND, place=True))),
    Step("between the claims of two people", (Commit("before", CLAIMING, 2),), ONE_BY_ONE),
    Step("second person claimed", (Commit("after", CLAIMING, 2),), ONE_BY_ONE),
)


@ON_SQLITE
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_killed_at_a_step(
    step: Step, vendor: Vendor, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every accepted alert is heard of by everybody, and by nobody twice."""
    told = story(step, vendor, tmp_path)
    record_property(COUNTED, told.row(STEPS.index(step) + 1, step.name))
    assert (told.accepted, told.lost, told.doubled) == (2, 0, 0)


# What differs there: who makes the schema, when an answer counts as given, and that what was under
# way is left alone until its lease has run out, which takes longer than all the rest.
ON_BOTH = {
    "making the schema, before its commit",
    "taking a webhook, committed, before the 2xx",
    "request left, call placed, no answer yet",
    "answered, before it is settled",
}
SHORT_LEASE = {"uvms": {"timeouts": {"connect": "1s", "read": "1s"}}}


@ON_POSTGRESQL
@pytest.mark.parametrize(
    "step", [step for step in STEPS if step.name in ON_BOTH], ids=lambda step: step.name
)
def test_killed_at_a_step_where_others_may_share_the_database(
    step: Step, vendor: Vendor, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told = story(step._replace(changes=step.changes | SHORT_LEASE), vendor, tmp_path)
    number = len(STEPS) + 3 + STEPS.index(step)
    record_property(COUNTED, told.row(number, f"{step.name} (PostgreSQL)"))
    assert (told.accepted, told.lost, told.doubled) == (2, 0, 0)


@ON_SQLITE
def test_killed_and_the_records_cannot_be_read(
    vendor: Vendor, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What may have rung and cannot be looked up is dialled again, and counted."""
    step = Step(
        "request left, call placed, then no records",
        (Request(SEND, place=True),),
        {
            "delivery": DELIVERY | {"reconcile_for": "2s"},
            "limits": {"per_person": {"min_interval": "0s"}},
        },
    )
    told = story(step, vendor, tmp_path, {"kind": Kind.HTTP_STATUS, "action": LOOK_UP})
    record_property(COUNTED, told.row(len(STEPS) + 1, step.name, "unknowable: cannot_tell"))
    assert (told.accepted, told.lost, told.doubled) == (2, 0, 2)
    assert told.redials_cannot_tell == 2


@ON_SQLITE
@pytest.mark.timeout(120 + 8 * RANDOM_KILLS)
def test_killed_at_random(
    vendor: Vendor, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A night of alerts with a slow vendor, and somebody who kills at any instant."""
    chance = random.Random(RANDOM_SEED)
    teams = {f"team-{number}": [new_number(), new_number()] for number in range(3 * RANDOM_KILLS)}
    numbers = [number for pair in teams.values() for number in pair]
    slow = {"kind": Kind.STALL, "times": 1}
    for number in numbers:  # half of the calls are placed, half are not and end in a cut
        place = chance.random() < 0.5
        vendor.arm(**slow, number=number, place=place, seconds=chance.uniform(0, 0.4))
    service = Service(tmp_path, vendor, routes(teams, limits={"requests_per_second": 100}))
    bodies = [webhook(firing(f"Down-{team}", team=team)) for team in teams]
    often = frozenset(range(0, len(bodies), 2))
    interrupted = 0
    with Sender(service, bodies, pace=0.05, repeated=often).sending() as sender:
        for _ in range(RANDOM_KILLS):
            with service.starting() as program:
                if chance.random() < 0.8:
                    service.await_serving(program)
                time.sleep(chance.uniform(0, 0.8))
                program.signal(signal.SIGKILL)
                assert program.wait() == -signal.SIGKILL, program.tail()
                interrupted += len(program.events("call of unknown outcome, to be looked up"))
        owed = Counter((number, f"Down-{team}") for team in teams for number in teams[team])
        told = live(service, sender, owed)
    name = f"anything: {RANDOM_KILLS} times at random, {interrupted} calls interrupted"
    record_property(COUNTED, told.row(len(STEPS) + 2, name))
    assert (told.accepted, told.lost, told.doubled) == (len(teams), 0, 0)


# --- telling -----------------------------------------------------------------------------------


Heard = Counter[tuple[str, str]]  # how often a number heard of an alertname


class Told(NamedTuple):
    """Who had to hear of what, and who has."""

    accepted: int  # alerts that got their 2xx
    owed: Heard
    heard: Heard  # before anything was posted again
    placed: list[str]  # the number of each call, those after the repeats too
    redials_cannot_tell: int  # as the service has counted them

    @property
    def lost(self) -> int:
        return (self.owed - self.heard).total()

    @property
    def doubled(self) -> int:
        return len(self.placed) - len(set(self.placed))

    def row(self, step: int, name: str, why: str = "") -> dict[str, object]:
        return {
            "step": step,
            "killed while": name,
            "accepted": self.accepted,
            "owed": len({number for number, _ in self.owed}),
            "placed": len(self.placed),
            "lost": self.lost,
            "doubled": self.doubled,
            "why": why,
        }


def story(step: Step, vendor: Vendor, folder: Path, fault: Mapping[str, Any] | None = None) -> Told:
    """Two alerts of one group, two people; the service dies as the step says, then lives."""
    numbers = [new_number(), new_number()]
    for number in numbers if fault else ():
        vendor.arm(**fault, number=number)
    service = Service(folder, vendor, routes({"phone": numbers}, **step.changes))
    names = ["DiskFull", "NodeDown"]
    body = webhook(*(firing(name) for name in names))
    with Sender(service, [body]).sending() as sender:
        for death in step.deaths:
            death.happen(service, numbers)
        return live(
            service, sender, Counter((number, name) for number in numbers for name in names)
        )


def live(service: Service, sender: Sender, owed: Heard) -> Told:
    """Let the service live until all is done, and done again; return what came of it."""
    numbers = {number for number, _ in owed}
    with service.serving() as program:
        until(lambda: sender.all_taken, "every webhook to be taken", program.tail)
        until(service.nothing_open, "every call to be settled", program.tail)
        heard = Counter(
            (call["number"], name)
            for call in service.vendor.rang(*numbers)
            for name in call["params"][0].split("，")
        )
        sender.repeat_all()
        until(service.nothing_open, "every call to be settled", program.tail)
        return Told(
            accepted=sender.alerts_taken,
            owed=owed,
            heard=heard,
            placed=[call["number"] for call in service.vendor.rang(*numbers)],
            redials_cannot_tell=int(service.metric("redials_total", reason="cannot_tell")),
        )
