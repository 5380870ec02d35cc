"""The processes of a run: the service, the simulated vendor, the bare endpoint, and PostgreSQL.

They are started as the tests start them, with `tests` on the path; but PostgreSQL fsyncs here. When
a phone rang is what the simulator writes down, on the same machine's clock.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import postgres_server
import yaml
from forked_service import forked
from process_harness import (
    OUTAGE,
    PRIVATE_KEY,
    PUBLIC_KEY,
    VOICE_TEMPLATES,
    WEBHOOK_TOKEN,
    Vendor,
    new_number,
    running,
    served_at,
    simulated_vendor,
    until,
)

from bench.bare_app import PATH

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
STORES = (SQLITE, POSTGRESQL)
TEMPLATE, TOKEN = OUTAGE, WEBHOOK_TOKEN

_DURABLE = {"fsync": "on", "full_page_writes": "on"}
_POLL_SECONDS = 0.002
_PATIENCE_SECONDS = 120.0
_NO_LIMITS = {"min_interval": "0s", "per_hour": 100_000, "per_day": 100_000}


class _Ring(msgspec.Struct):
    """What is read of a line that the simulator writes."""

    time: datetime
    number: str


class Phones:
    """The phones of a run, and when they rang."""

    def __init__(self, calls: Path) -> None:
        self._calls, self._read = calls, 0

    def next_ring(self, number: str) -> datetime:
        """Wait until this phone rings, whatever rang before; return when it did."""
        return until(
            lambda: self._look(number), "a ring", patience=_PATIENCE_SECONDS, poll=_POLL_SECONDS
        )

    def _look(self, number: str) -> datetime | None:
        if not self._calls.exists():
            return None
        with self._calls.open("rb") as file:
            file.seek(self._read)
            lines = file.read().rpartition(b"\n")[0]
        self._read += len(lines) + bool(lines)
        rings = (msgspec.json.decode(line, type=_Ring) for line in lines.splitlines())
        return next((ring.time for ring in rings if ring.number == number), None)

    def forget(self) -> None:
        """Look at nothing that has rung until now."""
        self._read = self._calls.stat().st_size if self._calls.exists() else 0


class World(NamedTuple):
    """What all subjects share."""

    folder: Path
    vendor: Vendor
    phones: Phones
    server: postgres_server.Server


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Have a vendor, and a PostgreSQL that fsyncs, for a while."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(postgres_server._SETTINGS, _DURABLE))
        server = stack.enter_context(postgres_server.running())
        vendor = stack.enter_context(simulated_vendor(folder))
        yield World(folder, vendor, Phones(folder / "calls.jsonl"), server)


@contextmanager
def bare_endpoint(folder: Path) -> Iterator[str]:
    """Run the bare endpoint; yield where webhooks go."""
    command = (sys.executable, "-m", "bench.bare_app")
    with running(command, folder / "bare.log") as program:
        url = program.find(lambda line: line if line.startswith("http://") else None)
        yield f"{url}{PATH}"


class Service(NamedTuple):
    """A running service."""

    url: str  # where webhooks go
    database: str
    folder: Path


@contextmanager
def service(world: World, store: str, tree: Mapping[str, Any]) -> Iterator[Service]:
    """Run the service with a database of its own, new and durable."""
    folder = world.folder / f"service-{len(list(world.folder.iterdir()))}"
    folder.mkdir()
    routes = folder / "routes.yaml"
    routes.write_text(_routes(world.vendor, tree), encoding="utf-8")
    with ExitStack() as stack:
        in_file = f"sqlite:///{folder}/uvms-adapter.db"
        url = in_file if store == SQLITE else stack.enter_context(world.server.database())
        command = ("serve", "--config", str(routes), "--listen", "127.0.0.1:0")
        program = stack.enter_context(forked(command, folder / "service.log", _environ(url)))
        yield Service(f"{program.find(served_at)}/v1/alertmanager", url, folder)


def _environ(database: str) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("UVMS_")}
    return others | {
        "UVMS_PUBLIC_KEY": PUBLIC_KEY,
        "UVMS_PRIVATE_KEY": PRIVATE_KEY,
        "UVMS_WEBHOOK_TOKEN": TOKEN,
        "UVMS_DATABASE_URL": database,
        "NO_PROXY": "127.0.0.1",
    }


def _routes(vendor: Vendor, tree: Mapping[str, Any]) -> str:
    whole = {
        "voice_templates": VOICE_TEMPLATES,
        "receipts": {"poll_interval": "never"},  # nothing is measured of it
        "uvms": {"endpoint": vendor.url},
    }
    return yaml.safe_dump(whole | tree, allow_unicode=True)


def one_phone(number: str, group_by: list[str]) -> dict[str, Any]:
    """Return a routes.yaml that rings one phone, no more often than by default."""
    return {
        "receivers": [{"name": "phones", "voice_template": "outage", "call": [number]}],
        "route": {"receiver": "phones", "group_by": group_by},
    }


def phones_without_limits(numbers: list[str]) -> dict[str, Any]:
    """Return a routes.yaml that rings `phone-0` and so on for each alert, as fast as it can."""
    names = [f"phone-{place}" for place in range(len(numbers))]
    return {
        "receivers": [
            {"name": name, "voice_template": "outage", "call": [number]}
            for name, number in zip(names, numbers, strict=True)
        ],
        "route": {
            "receiver": names[0],
            "group_by": ["..."],
            "routes": [{"receiver": name, "matchers": [f'phone="{name}"']} for name in names],
        },
        "limits": {"per_person": _NO_LIMITS, "requests_per_second": 1_000},
    }


def numbers(count: int) -> list[str]:
    """Return numbers that nobody has had."""
    return [new_number() for _ in range(count)]
