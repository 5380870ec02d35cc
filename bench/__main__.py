"""`make bench`: measures, and prints one table.

python -m bench [--only SUBJECT] [--shortest], with `tests` on the path.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from adapter.clock import utc_now
from bench import intake, routing, storms, wire
from bench.forms import FULL, SHORTEST, Form
from bench.measuring import Row, table
from bench.processes import World, world

SUBJECTS: dict[str, Callable[[World, Form], Iterator[Row]]] = {
    intake.SUBJECT: intake.rows,
    wire.SUBJECT: wire.rows,
    routing.SUBJECT: lambda _world, form: routing.rows(form),
    storms.SUBJECT: storms.rows,
}


@click.command()
@click.option("--only", type=click.Choice(list(SUBJECTS)), help="Measure nothing else.")
@click.option("--shortest", is_flag=True, help="See that everything works; the ratios say nothing.")
def main(only: str | None, shortest: bool) -> None:
    """Measure how many times as long we take as what we stand on."""
    form = SHORTEST if shortest else FULL
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="uvms-bench-") as folder, world(Path(folder)) as around:
        for subject, measure in SUBJECTS.items():
            if only in (None, subject):
                click.echo(f"measuring {subject} …", err=True)
                rows += measure(around, form)
    click.echo(f"{_machine()}\n\n{table(rows)}")


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cores = len(os.sched_getaffinity(0))
    return f"{utc_now():%Y-%m-%d}, {cores} cores, {platform.system()}, {python}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and leave nothing running
    main()
