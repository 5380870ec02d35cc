"""Takes the compared pieces in turns, and tells how many times as long the one takes as the other.

Seconds depend on the machine and on who else uses it; what a neighbour slows down in one round, it
slows down for both. Knows nothing of what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from typing import NamedTuple

Piece = Callable[[], float]  # does some work; returns how many seconds a unit of it took

HEADINGS = ("subject", "ours : other", "ours", "other", "ratio", "spread", "rounds")
_TEXTS = 2  # columns at the left edge; numbers are at the right one
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


class Row(NamedTuple):
    """One comparison."""

    subject: str
    what: str
    ours: float  # median of seconds
    other: float
    ratio: float  # median of the rounds' ratios; 2 is twice as long as the other
    low: float  # half of the rounds' ratios are from here …
    high: float  # … to here
    rounds: int


def in_turns(pieces: Mapping[str, Piece], rounds: int) -> dict[str, list[float]]:
    """Run A B A B …, after one round that does not count; return each one's seconds by round."""
    for piece in pieces.values():
        piece()
    taken: dict[str, list[float]] = {name: [] for name in pieces}
    for _ in range(rounds):
        for name, piece in pieces.items():
            taken[name].append(piece())
    return taken


def each(work: Callable[[], object], times: int) -> float:
    """Do it so many times; return how many seconds one took."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def compared(subject: str, what: str, ours: Sequence[float], other: Sequence[float]) -> Row:
    """Compare two pieces that were taken in turns, round by round."""
    ratios = [mine / its for mine, its in zip(ours, other, strict=True)]
    low, _, high = quantiles(ratios, method="inclusive") if len(ratios) > 1 else 3 * ratios
    return Row(
        subject=subject,
        what=what,
        ours=median(ours),
        other=median(other),
        ratio=median(ratios),
        low=low,
        high=high,
        rounds=len(ratios),
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as plain text, the subject named once."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown, subject = [], ""
    for first, *others in lines:
        cells = ("" if first == subject else first, *others)
        padded = (
            cell.ljust(width) if place < _TEXTS else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        shown.append("  ".join(padded).rstrip())
        subject = first
    return "\n".join(shown)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.subject,
        row.what,
        _seconds(row.ours),
        _seconds(row.other),
        _number(row.ratio),
        f"{_number(row.low)} – {_number(row.high)}",
        str(row.rounds),
    )


def _seconds(seconds: float) -> str:
    size, unit = next((each for each in _UNITS if abs(seconds) >= each[0]), _UNITS[-1])
    return f"{_number(seconds / size)} {unit}"


def _number(value: float) -> str:
    """Write three digits, or all before the point."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"
