"""The faults: each breaks something while webhooks come in, and mends it before it returns."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import yaml
from process_harness import API_TOKEN, http_client

from adapter.simulator.faults import LOOK_UP, Kind
from faults.sender import Load
from faults.world import LEASE_SECONDS, POSTGRESQL, SQLITE, STORES, World, answers

_HOUR = 3600.0


class Form(NamedTuple):
    """How much of it."""

    seconds: float  # that a fault lasts which has no length of its own
    kills: int
    outage: float  # seconds for which the database is away
    storm: float  # seconds of the fast senders


FULL = Form(seconds=20, kills=100, outage=60, storm=60)
SHORT = Form(seconds=4, kills=5, outage=5, storm=8)

Act = Callable[[World, random.Random, Form], None]


class Fault(NamedTuple):
    """One row of the matrix, on each of its stores."""

    name: str
    act: Act
    stores: tuple[str, ...] = STORES
    load: Load = Load()
    changes: Mapping[str, Any] = {}  # to routes.yaml
    one_dead: bool = False  # the first person of the first receiver can never be reached
    clocked: bool = False  # the service's clocks can be set
    own_server: bool = False
    standby: bool = False
    small_disk: bool = False
    unknowable: str = ""  # why nobody can tell whether some calls rang


# --- of processes --------------------------------------------------------------------------------


def _nothing(_world: World, _chance: random.Random, form: Form) -> None:
    time.sleep(form.seconds)


def _kill(world: World, chance: random.Random, form: Form) -> None:
    """SIGKILL at any instant, while about half of the calls are under way."""
    world.arm(*_slow(form.kills * 20))
    for _ in range(form.kills):
        replica = chance.choice(world.replicas)
        replica.kill()
        replica.start()
        if chance.random() < 0.8:
            replica.await_ready()
        time.sleep(chance.uniform(0, 0.8))
    _all_ready(world)


def _pause_past_the_lease(world: World, chance: random.Random, form: Form) -> None:
    """Stop a process for longer than its calls are its own, and let it go on."""
    world.arm(*_slow(1_000))
    times = 1 if form.seconds < FULL.seconds else 3
    for _ in range(times):
        replica = chance.choice(world.replicas)
        time.sleep(chance.uniform(1, 2))
        replica.signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 3)
        replica.signal(signal.SIGCONT)
    _all_ready(world)


def _restart_one_by_one(world: World, _chance: random.Random, form: Form) -> None:
    world.arm(*_slow(200))
    end = time.monotonic() + form.seconds
    while True:
        for replica in world.replicas:
            replica.stop()
            replica.start()
            replica.await_ready()
        if time.monotonic() >= end:
            return


def _reload(world: World, chance: random.Random, form: Form) -> None:
    """Change the file, well and badly, and say so in each of the three ways."""
    good = yaml.safe_dump(world.routes, allow_unicode=True)
    end = time.monotonic() + form.seconds
    while time.monotonic() < end:
        broken = chance.random() < 0.3
        world.write_routes("receivers: [" if broken else f"{good}# {chance.random()}\n")
        for replica in world.replicas:
            way = chance.randrange(3)
            if way == 0:
                replica.signal(signal.SIGHUP)
            elif way == 1:
                with http_client(replica.url, API_TOKEN) as client:
                    client.post("/-/reload")
        time.sleep(chance.uniform(0, 0.4))
    world.write_routes(good)


def _wrong_clock(seconds: float) -> Act:
    """Set the first replica's clock, and right it again."""

    def act(world: World, _chance: random.Random, form: Form) -> None:
        world.arm(*_slow(400))
        for _ in range(1 if form.seconds < FULL.seconds else 3):
            time.sleep(1)
            world.replicas[0].set_clock(seconds)
            time.sleep(form.seconds / 4)
            world.replicas[0].set_clock(0)
        time.sleep(1)

    return act


# --- of the vendor -------------------------------------------------------------------------------


def _slow(calls: int) -> list[dict[str, Any]]:
    """Answer each second call late, if at all: some are always under way."""
    late = {"kind": Kind.STALL, "seconds": 0.3, "times": 1}
    return _every(2, calls // 2, {**late, "place": True}, {**late, "place": False})


def _every(kth: int, times: int, *faults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Have each k-th request meet one of these faults, by turns.

    The oldest fault that is left wins; an answer that drips for no second is an answer as ever.
    """
    well = {"kind": Kind.SLOW_BODY, "seconds": 0, "times": kth - 1}
    return [
        row for turn in range(times) for row in (well, {**faults[turn % len(faults)], "times": 1})
    ]


def _vendor(kth: int, *faults: Mapping[str, Any]) -> Act:
    def act(world: World, _chance: random.Random, form: Form) -> None:
        world.arm(*_every(kth, 300, *faults))
        time.sleep(form.seconds)
        world.mend_vendor()

    return act


def _always(*faults: Mapping[str, Any]) -> Act:
    """Have every request meet these while it lasts."""

    def act(world: World, _chance: random.Random, form: Form) -> None:
        world.arm(*faults)
        time.sleep(form.seconds)
        world.mend_vendor()

    return act


def _one_dead(world: World, _chance: random.Random, form: Form) -> None:
    """Each request about one phone takes as long as a request may, and rings nobody."""
    dead = world.numbers[0]
    world.arm({"kind": Kind.STALL, "place": False, "seconds": 30, "number": dead})
    time.sleep(form.seconds)


def _no_records(world: World, _chance: random.Random, form: Form) -> None:
    """The vendor places calls without answering, and its records cannot be read."""
    cut = {"kind": Kind.CUT, "place": True}
    world.arm(*_every(4, 300, cut), {"kind": Kind.HTTP_STATUS, "action": LOOK_UP})
    time.sleep(form.seconds + 3)
    world.mend_vendor()


# --- of the database -----------------------------------------------------------------------------


def _restart_database(world: World, chance: random.Random, form: Form) -> None:
    world.arm(*_slow(400))
    for how in (signal.SIGINT, signal.SIGQUIT):  # in order, and as in a crash
        time.sleep(chance.uniform(1, 2))
        world.server.stop(how)
        time.sleep(min(1.0, form.seconds / 4))
        world.server.start()
    time.sleep(1)


def _stop_database(world: World, _chance: random.Random, form: Form) -> None:
    world.arm(*_slow(400))
    time.sleep(1.5)
    world.server.stop()
    time.sleep(form.outage)
    world.server.start()


def _freeze_database(world: World, _chance: random.Random, form: Form) -> None:
    world.arm(*_slow(400))
    time.sleep(1.5)
    with world.server.frozen():
        time.sleep(min(form.outage, 20))


def _fail_over(world: World, _chance: random.Random, form: Form) -> None:
    world.arm(*_slow(400))
    time.sleep(2)
    world.server.stop(signal.SIGQUIT)
    time.sleep(min(form.outage, 10))
    world.standby.take_over()
    time.sleep(2)


def _lock_file(world: World, _chance: random.Random, form: Form) -> None:
    """Somebody else writes to the file, and does not end."""
    world.arm(*_slow(400))
    time.sleep(1.5)
    file = world.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(form.outage)
        connection.execute("ROLLBACK")


def _fill_disk(world: World, _chance: random.Random, form: Form) -> None:
    world.arm(*_slow(400))
    time.sleep(1.5)
    world.disk.fill()
    time.sleep(min(form.outage, 15))
    world.disk.clear()
    if world.store == POSTGRESQL and not answers(world.server):
        world.notes.append("the server had ended, and was started again")
        world.server.stop(signal.SIGQUIT)
        world.server.start()


# --- storms --------------------------------------------------------------------------------------


def _storm(world: World, chance: random.Random, form: Form) -> None:
    """Kill a replica every five seconds."""
    end = time.monotonic() + form.storm
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 2.5 if form.storm < FULL.storm else 5))
        replica = chance.choice(world.replicas)
        replica.kill()
        replica.start()
    _all_ready(world)


def _all_ready(world: World) -> None:
    for replica in world.replicas:
        replica.await_ready()


STORM = "200 webhooks/s, a replica killed every 5 s"
_SAME_INSTANT = Load(peer_seconds=0, repeat_seconds=0.5)
_STORM = Load(alerts_per_second=8, repeat_seconds=0.1, growing=40, threads=64)
_CANNOT_TELL = "the vendor had no answer for the call, and no records"
_PLACED_OR_NOT = ({"place": True}, {"place": False})

FAULTS: tuple[Fault, ...] = (
    Fault("none", _nothing),
    Fault("SIGKILL at any instant", _kill),
    Fault("SIGSTOP past the lease, then SIGCONT", _pause_past_the_lease),
    Fault("rolling restart", _restart_one_by_one),
    Fault("configuration reloaded under load", _reload),
    Fault("same webhook from two Alertmanagers at one instant", _nothing, load=_SAME_INSTANT),
    Fault("clock 1 h ahead, then right", _wrong_clock(_HOUR), clocked=True),
    Fault("clock 1 h behind, then right", _wrong_clock(-_HOUR), clocked=True),
    Fault(
        "vendor: every 5th answer is HTTP 503",
        _vendor(5, *({"kind": Kind.HTTP_STATUS, **place} for place in _PLACED_OR_NOT)),
    ),
    Fault(
        "vendor: every 5th stalls after placing",
        _vendor(5, {"kind": Kind.STALL, "place": True, "seconds": 30}),
    ),
    Fault(
        "vendor: every 3rd line is cut",
        _vendor(3, *({"kind": Kind.CUT, **place} for place in _PLACED_OR_NOT)),
    ),
    Fault("vendor: every 3rd is throttled (153)", _vendor(3, {"kind": Kind.THROTTLE})),
    Fault(
        "vendor: every 3rd body drips",
        _vendor(3, *({"kind": Kind.SLOW_BODY, "seconds": seconds} for seconds in (0.5, 30))),
    ),
    Fault("vendor: one phone never answers a request", _one_dead, one_dead=True),
    Fault(
        "vendor: nobody can be reached, then mended",
        _always({"kind": Kind.REFUSE, "ret_code": 150}),
    ),
    Fault(
        "vendor: placed without an answer, no records",
        _no_records,
        changes={"delivery": {"reconcile_for": "2s"}},
        unknowable=_CANNOT_TELL,
    ),
    Fault("database restarted twice, once as in a crash", _restart_database, (POSTGRESQL,)),
    Fault("database stopped", _stop_database, (POSTGRESQL,)),
    Fault("database hangs", _freeze_database, (POSTGRESQL,)),
    Fault(
        "database failed over to its standby",
        _fail_over,
        (POSTGRESQL,),
        own_server=True,
        standby=True,
    ),
    Fault("database locked by somebody else", _lock_file, (SQLITE,)),
    Fault("disk full", _fill_disk, own_server=True, small_disk=True),
    Fault(STORM, _storm, (POSTGRESQL,), load=_STORM),
)
