"""Prints the matrix as Markdown."""

from __future__ import annotations

from typing import NamedTuple

from faults.ledger import Verdict


class Row(NamedTuple):
    """One fault on one store."""

    fault: str
    store: str
    verdict: Verdict | None  # None: the fault could not be made
    avoidable: int = 0  # of the doubled ones
    note: str = ""

    @property
    def good(self) -> bool:
        return self.verdict is None or (not self.verdict.lost and not self.avoidable)


HEADINGS = (
    *("fault", "store", "webhooks", "alerts accepted", "calls owed", "calls placed"),
    *("lost", "doubled", "longest alert to ring", "remarks"),
)


def heading() -> str:
    numbers = [" ---: " if 2 <= place <= 8 else " --- " for place in range(len(HEADINGS))]
    return f"{_line(HEADINGS)}\n|{'|'.join(numbers)}|"


def line(row: Row) -> str:
    if row.verdict is None:
        return _line((row.fault, row.store, *["–"] * 7, row.note))
    found = row.verdict
    counts = (found.webhooks, found.accepted, found.owed, found.placed)
    return _line(
        (
            row.fault,
            row.store,
            *map(str, counts),
            f"**{len(found.lost)}**",
            f"**{len(found.doubled)}**",
            f"{found.longest:.1f} s",
            row.note,
        )
    )


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
