"""Moving house: SQLite to PostgreSQL and back, with pages open; nobody is rung twice, nor missed.

First to the second, in virtual time, then with the real processes and commands.
"""

from __future__ import annotations

import io
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clocked_world import World, clocked_world
from process_harness import (
    ADAPTER,
    Sender,
    Service,
    Vendor,
    firing,
    new_number,
    simulated_vendor,
    until,
    webhook,
)
from service_harness import environment, receiver, routes
from virtual_time import run

from adapter.config.environment import settings
from adapter.simulator.faults import SEND, Fault, Kind
from adapter.store.transfer import Imported, export_store, import_store

CHAIN: Any = {
    "name": "phone",
    "voice_template": "outage",
    "escalation": [
        {"call": ["alice"], "wait": "5m"},
        {"call": ["bob"], "wait": "10m"},
        {"call": ["carol"], "wait": "10m"},
    ],
}

Act = Callable[[World], Awaitable[None]]


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'adapter.db'}"


@pytest.fixture
def postgresql(postgres: Any) -> Iterator[str]:
    with postgres.database(empty=True) as found:
        yield found


# --- to the second -----------------------------------------------------------------------------


def move(world: World, here: str, there: str, **options: Any) -> Imported:
    """Export and import, while the service is down."""
    out = io.BytesIO()
    export_store(here, out, world.clock(), lambda _: lambda _: None)
    lines = out.getvalue().splitlines(keepends=True)
    return import_store(there, lines, lambda _: lambda _: None, **options)


async def moves(world: World, here: str, there: str, **options: Any) -> None:
    """Stop the service, move its store, start it there."""
    await world.kill()
    move(world, here, there, **options)
    world._settings = settings(environment(world.file.parent) | {"UVMS_DATABASE_URL": there})
    await world.start()


def tell(directory: Path, tree: Any, story: Callable[[World], Awaitable[None]]) -> list[str]:
    """Tell a story, and return which phones rang, and when."""

    async def told() -> list[str]:
        async with clocked_world(directory, tree) as world:
            await story(world)
            await world.quiet()
            return world.rang

    return run(told())


def test_an_escalation_goes_on_where_it_was_moved_to_and_back(tmp_path, sqlite, postgresql):
    back = f"sqlite:///{tmp_path / 'back.db'}"

    async def story(world: World) -> None:
        await world.post(world.alert_fires("DiskFull", {}))
        await world.at("03:02:00")
        await moves(world, sqlite, postgresql)
        await world.post(world.alert_fires("DiskFull", {}))  # as Alertmanager repeats it
        await world.at("03:10:00")
        await moves(world, postgresql, back)
        await world.post(world.alert_fires("DiskFull", {}))
        await world.at("03:30:00")

    rang = tell(tmp_path, routes(CHAIN), story)
    assert rang == ["03:00:00 alice", "03:05:00 bob (escalation)", "03:15:00 carol (escalation)"]


def test_a_step_that_was_over_while_it_moved_is_taken_at_once(tmp_path, sqlite, postgresql):
    async def story(world: World) -> None:
        await world.post(world.alert_fires("DiskFull", {}))
        await world.at("03:04:00")
        await world.kill()
        await world.at("03:06:00")
        move(world, sqlite, postgresql)
        world._settings = settings(environment(tmp_path) | {"UVMS_DATABASE_URL": postgresql})
        await world.start()
        await world.at("03:10:00")

    assert tell(tmp_path, routes(CHAIN), story) == ["03:00:00 alice", "03:06:00 bob (escalation)"]


@pytest.mark.parametrize(
    ("placed", "rang"),
    [
        pytest.param(True, ["03:00:00 alice"], id="it rang"),
        pytest.param(False, ["03:01:05 alice"], id="it did not ring"),
    ],
)
def test_a_call_under_way_is_looked_up_there_before_it_is_made_again(
    tmp_path, sqlite, postgresql, placed, rang
):
    async def story(world: World) -> None:
        world.arm(Fault(kind=Kind.STALL, action=SEND, place=placed, seconds=60, times=1))
        await world.post(world.alert_fires("DiskFull", {}))
        await world.at("03:00:01")
        await moves(world, sqlite, postgresql)
        await world.at("03:04:00")
        assert any("look-up" in line for line in world.asked), world.asked

    assert tell(tmp_path, routes(receiver("phone", "alice")), story) == rang


def test_nobody_is_rung_for_what_was_open_in_an_old_backup(tmp_path, sqlite, postgresql):
    """What still fires is rung for as soon as it is posted again."""

    async def story(world: World) -> None:
        await world.post(world.alert_fires("DiskFull", {}), world.alert_fires("CpuHot", {}))
        await world.at("03:02:00")
        await moves(world, sqlite, postgresql, closed_only=True)
        await world.at("03:20:00")
        await world.post(world.alert_fires("CpuHot", {}))
        await world.at("03:21:00")

    assert tell(tmp_path, routes(CHAIN), story) == ["03:00:00 alice", "03:20:00 alice"]


# --- as it is done -----------------------------------------------------------------------------


class Moving(Service):
    """The service with a database that may be another one."""

    database = ""

    def environ(self) -> dict[str, str]:
        return super().environ() | {"UVMS_DATABASE_URL": self.database}

    def command(self, *args: str) -> str:
        """Run a command beside it; return what it said."""
        done = subprocess.run(
            [*ADAPTER, "store", *args],
            cwd=self.folder,
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    (tmp_path / "vendor").mkdir()
    with simulated_vendor(tmp_path / "vendor") as started:
        yield started


@pytest.mark.process
def test_the_documented_way_with_a_sender_that_never_stops(tmp_path, vendor, sqlite, postgresql):
    first, second, other = (new_number() for _ in range(3))
    steps = [{"call": [first], "wait": "5s"}, {"call": [second], "wait": "10m"}]
    tree = {
        "receivers": [
            {"name": "chain", "voice_template": "outage", "escalation": steps},
            {"name": "other", "voice_template": "outage", "call": [other]},
        ],
        "route": {
            "receiver": "chain",
            "routes": [{"receiver": "other", "matchers": ['team="other"']}],
        },
        "receipts": {"poll_interval": "never"},
    }
    service = Moving(tmp_path, vendor, tree)
    service.database = sqlite
    with Sender(service, [webhook(firing("DiskFull"))], repeated={0}).sending() as sender:
        with service.serving() as program:
            until(lambda: vendor.rang(first), "the first step rings")
            program.signal(signal.SIGTERM)
            assert program.wait() == 0
        meanwhile = Sender(service, [webhook(firing("CpuHot", team="other"))])
        with meanwhile.sending():
            service.command("export", "moving.jsonl")
            service.database = postgresql
            service.command("import", "moving.jsonl")
            assert "1 open" in service.command("check")
            with service.serving():
                until(lambda: vendor.rang(second), "the chain goes on")
                until(lambda: meanwhile.all_taken, "what was posted meanwhile is taken")
                until(lambda: vendor.rang(other), "and rings")
                sender.repeat_all()
                until(lambda: service.nothing_open(), "nothing is left to be done")
    rang = [call["number"] for call in vendor.rang(first, second, other)]
    assert sorted(rang) == sorted([first, second, other])
