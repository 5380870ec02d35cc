"""Runs one row of the matrix: the world, the senders, the fault, and then the account of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from postgres_server import Server
from process_harness import PATIENCE, Vendor

from faults.faults import Fault, Form
from faults.ledger import Ledger, Rings, Verdict
from faults.sender import Sender
from faults.table import Row
from faults.world import LEASE_SECONDS, REPLICAS, Impossible, World, database, mend

_SETTLING_SECONDS = PATIENCE + 2 * LEASE_SECONDS  # a lease may run out twice, and then some


def run_row(
    fault: Fault, store: str, vendor: Vendor, server: Server | None, folder: Path,
    form: Form, seed: int,
) -> Row:  # fmt: skip
    """Run one fault on one store."""
    folder.mkdir(parents=True)
    chance = random.Random(f"{seed} {fault.name} {store}")
    try:
        with database(
            store, folder, server,
            own=fault.own_server, standby=fault.standby, small=fault.small_disk,
        ) as known:  # fmt: skip
            world = World(
                store, vendor, folder, replicas=REPLICAS[store], clocked=fault.clocked,
                **known, **fault.changes,
            )  # fmt: skip
            with world.living():
                return _story(fault, world, form, chance)
    except Impossible as why:
        return Row(fault=fault.name, store=store, verdict=None, note=str(why))
    finally:
        mend(vendor)


def _story(fault: Fault, world: World, form: Form, chance: random.Random) -> Row:
    ledger = Ledger()
    rings = Rings(world.folder.parent / "calls.jsonl", world.numbers)
    nobody = frozenset(world.numbers[:1]) if fault.one_dead else frozenset()
    sender = Sender(
        ledger, world.teams, world.addresses, rings.heard, random.Random(chance.random()),
        fault.load, nobody,
    )  # fmt: skip
    started = time.monotonic()
    with sender.sending():
        fault.act(world, chance, form)
        sender.no_more_alerts()
        lasted = time.monotonic() - started
        rate = ledger.webhooks / lasted
        _settle(lambda: sender.all_taken())
        _settle(lambda: not ledger.owed(nobody) - rings.heard())
        if not fault.one_dead:
            _settle(world.nothing_open)
        before = rings.all()
        verdict = ledger.judge(before, nobody)
        sender.repeat_all()  # what was told once stays told
        _settle(lambda: sender.all_taken())
        if not fault.one_dead:
            _settle(world.nothing_open)
    after = ledger.judge(rings.all(), nobody)
    verdict = after._replace(lost=verdict.lost, longest=verdict.longest)
    return _row(fault, world, ledger, verdict, f"{rate:.0f} webhooks/s", sender)


def _settle(condition: Callable[[], bool]) -> None:
    """Wait for it, and no longer than is decent: what has not happened by then is told as it is."""
    deadline = time.monotonic() + _SETTLING_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _row(
    fault: Fault, world: World, ledger: Ledger, verdict: Verdict, rate: str, sender: Sender
) -> Row:
    attempts = [before.attempt for _, before in verdict.doubled]
    unanswered = world.unanswered(attempts) if fault.unknowable and attempts else set()
    unavoidable = sum(attempt in unanswered for attempt in attempts)
    notes = [rate, f"{ledger.failures} posts failed", *world.notes]
    if not sender.all_taken():
        notes.append("NOT ALL WERE TAKEN")
    if ledger.refused:
        notes.append(f"REFUSED: {ledger.refused[0][:200]}")
    if unavoidable:
        notes.append(f"{unavoidable} unavoidable: {fault.unknowable}")
    if verdict.again:
        notes.append(f"{verdict.again} named again beside news")
    if fault.one_dead:
        notes.append("owed: to all but that one")
    return Row(
        fault=fault.name,
        store=world.store,
        verdict=verdict,
        avoidable=len(verdict.doubled) - unavoidable + len(ledger.refused),
        note="; ".join(notes),
    )
