"""How many webhooks a second one replica takes, and how many three do."""

from __future__ import annotations

import random
import time
from pathlib import Path

from postgres_server import Server
from process_harness import Vendor

from faults.ledger import Ledger, Rings
from faults.sender import Load, Sender
from faults.world import POSTGRESQL, World, database

_AS_FAST_AS_IT_GOES = Load(alerts_per_second=10, repeat_seconds=0.0, growing=12, threads=24)
_WARM_UP_SECONDS = 1.0


def compare(vendor: Vendor, server: Server, folder: Path, seconds: float) -> str:
    """Return a sentence on three replicas against one."""
    one, three = (_measure(vendor, server, folder, count, seconds) for count in (1, 3))
    return (
        f"Throughput on PostgreSQL: one replica {one:.0f} webhooks/s, three replicas {three:.0f}"
        f" webhooks/s, ratio {three / one:.2f}."
    )


def _measure(vendor: Vendor, server: Server, folder: Path, replicas: int, seconds: float) -> float:
    place = folder / f"throughput-{replicas}"
    place.mkdir()
    with database(POSTGRESQL, place, server, own=False, standby=False, small=False) as known:
        world = World(POSTGRESQL, vendor, place, replicas=replicas, **known)
        rings, ledger = Rings(folder / "calls.jsonl", world.numbers), Ledger()
        sender = Sender(
            ledger, world.teams, world.addresses, rings.heard, random.Random(1),
            _AS_FAST_AS_IT_GOES,
        )  # fmt: skip
        with world.living(), sender.sending():
            time.sleep(_WARM_UP_SECONDS)
            before, started = ledger.webhooks, time.monotonic()
            time.sleep(seconds)
            return (ledger.webhooks - before) / (time.monotonic() - started)
