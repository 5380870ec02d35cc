"""`make faults`: runs the matrix, prints it as Markdown, and fails where a call was lost.

python -m faults [--store sqlite|postgresql|both] [--only NAME] [--short] [--seconds N] [--seed N]
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from postgres_server import running
from process_harness import simulated_vendor

from faults.faults import FAULTS, FULL, SHORT
from faults.running import run_row
from faults.table import Row, heading, line
from faults.throughput import compare
from faults.world import POSTGRESQL, STORES


def main() -> int:
    """Run what was asked for; 1: a call was lost, or made twice without need."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and leave nothing running
    form = SHORT if asked.short else FULL
    if asked.seconds:
        form = form._replace(seconds=asked.seconds)
    stores = STORES if asked.store == "both" else (asked.store,)
    folder = Path(tempfile.mkdtemp(prefix="uvms-faults-"))
    print(f"seed {asked.seed}; logs in {folder}\n\n{heading()}", flush=True)
    good = True
    with ExitStack() as stack:
        vendor = stack.enter_context(simulated_vendor(folder))
        server = stack.enter_context(running()) if POSTGRESQL in stores else None
        for fault in FAULTS:
            for store in stores:
                if store in fault.stores and asked.only.lower() in fault.name.lower():
                    place = folder / f"{FAULTS.index(fault)}-{store}"
                    row = run_row(fault, store, vendor, server, place, form, asked.seed)
                    print(line(row), flush=True)
                    _explain(row)
                    good = good and row.good
        if server is not None and asked.only.lower() in "throughput":
            print(f"\n{compare(vendor, server, folder, min(form.seconds, 10))}")
    print(f"\n{'lost = 0, and no call was made twice without need' if good else 'NOT GOOD'}")
    return 0 if good else 1


def _explain(row: Row) -> None:
    """Tell a developer which calls, beside the table."""
    if row.verdict is None or row.good:
        return
    for name, found in (("lost", row.verdict.lost), ("doubled", row.verdict.doubled)):
        for each in found[:20]:
            print(f"{name}: {each}", file=sys.stderr)


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--store", choices=(*STORES, "both"), default="both")
    parser.add_argument("--only", default="", metavar="NAME", help="rows whose name has this in it")
    parser.add_argument(
        "--short", action="store_true", help="a few minutes instead of half an hour"
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="that a fault lasts")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="N")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
