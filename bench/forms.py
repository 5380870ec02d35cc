"""How much is measured: a run of a minute or two, or just enough to see that everything works.

Many short turns rather than a few long ones: what else the machine does then falls on both sides
alike, or on few of the rounds.
"""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """How many rounds each subject has, and what each of the compared pieces does in one."""

    intake: int
    posts: tuple[tuple[int, int], ...]  # how many post at once, and how many webhooks
    commits: int
    wire: int  # webhooks, of which each makes a phone ring
    routing: int
    routes: tuple[int, ...]  # how many there are; the first is what growth is compared with
    evaluations: int  # of routes
    storms: int  # each begins with a new database
    storm: int  # alerts in its one webhook


FULL = Form(
    intake=11,
    posts=((1, 12), (8, 48), (64, 192)),
    commits=12,
    wire=41,
    routing=41,
    routes=(10, 100, 1_000, 5_000),
    evaluations=5_000,
    storms=3,
    storm=10_000,
)
SHORTEST = Form(
    intake=1,
    posts=((1, 1), (8, 8), (64, 64)),
    commits=1,
    wire=1,
    routing=1,
    routes=(10, 100),
    evaluations=100,
    storms=1,
    storm=20,
)
