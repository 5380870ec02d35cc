"""What the senders were promised, what the vendor saw ring, and what the difference is.

An alert's episode has a name of its own, which the words of a call spell out. Owed is a call about
an episode to each person of its receiver, from the first 2xx that a webhook with it got. The
vendor's file of calls, written before it answers, is the truth about what rang.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from adapter.clock import utc_now

NAMES_APART = "，"  # between two names in the words of a call

Owed = tuple[str, str]  # an episode's name, and a person's number


class Ring(NamedTuple):
    """One phone that rang."""

    number: str
    names: tuple[str, ...]
    at: float
    attempt: str  # the id that the service gave it


class Verdict(NamedTuple):
    """What came of one row of the matrix."""

    webhooks: int
    accepted: int
    owed: int
    placed: int
    lost: tuple[Owed, ...]
    doubled: tuple[tuple[Ring, Ring], ...]  # rings that told nothing new, with one that had
    again: int  # alerts that were named once more, in calls that had news for their person
    longest: float  # seconds from the first time an alert was posted to the last of its rings


class Rings:
    """Reads the vendor's file of calls as it grows."""

    def __init__(self, file: Path, numbers: Collection[str]) -> None:
        self._file, self._numbers, self._read = file, frozenset(numbers), 0
        self._found: list[Ring] = []
        self._heard: set[Owed] = set()
        self._lock = threading.Lock()

    def all(self) -> list[Ring]:
        """Return every ring so far, in order."""
        with self._lock:
            self._read_on()
            return list(self._found)

    def heard(self) -> set[Owed]:
        """Return who has heard of what so far."""
        with self._lock:
            self._read_on()
            return set(self._heard)

    def _read_on(self) -> None:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            new = file.read().rpartition(b"\n")[0]
        if not new:
            return
        self._read += len(new) + 1
        for line in new.splitlines():
            call = json.loads(line)
            if call["number"] in self._numbers:
                at = datetime.fromisoformat(call["time"]).timestamp()
                names = tuple(call["params"][0].split(NAMES_APART))
                self._found.append(Ring(call["number"], names, at, call["user_id"]))
                self._heard |= {(name, call["number"]) for name in names}


class Ledger:
    """What the senders posted, and what was taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posted: dict[str, float] = {}
        self._owed: dict[str, Sequence[str]] = {}
        self.webhooks = 0
        self.failures = 0  # posts that were not taken, and posted again
        self.refused: list[str] = []  # answers that no sender tries again: there must be none

    def posting(self, names: Iterable[str]) -> None:
        with self._lock:
            for name in names:
                self._posted.setdefault(name, utc_now().timestamp())

    def taken(self, names: Iterable[str], numbers: Sequence[str]) -> None:
        """Note a 2xx for a webhook in which these fired, whose receiver calls these numbers."""
        with self._lock:
            self.webhooks += 1
            for name in names:
                self._owed.setdefault(name, numbers)

    def failed(self, refused: str | None = None) -> None:
        with self._lock:
            self.failures += 1
            if refused is not None:
                self.refused.append(refused)

    def owed(self, nobody: Collection[str] = ()) -> set[Owed]:
        """Return the calls owed, but for those to phones that nobody can reach."""
        with self._lock:
            return {
                (name, number)
                for name, numbers in self._owed.items()
                for number in numbers
                if number not in nobody
            }

    def judge(self, rings: Sequence[Ring], nobody: Collection[str] = ()) -> Verdict:
        """Hold what rang against what was promised."""
        told: dict[Owed, Ring] = {}
        doubled, again = [], 0
        for ring in rings:
            known = [told[name, ring.number] for name in ring.names if (name, ring.number) in told]
            if len(known) == len(ring.names):
                doubled.append((ring, known[-1]))
            else:
                again += len(known)
            told |= {(name, ring.number): ring for name in ring.names}
        owed = self.owed(nobody)
        return Verdict(
            webhooks=self.webhooks,
            accepted=len(self._owed),
            owed=len(owed),
            placed=len(rings),
            lost=tuple(sorted(owed - set(told))),
            doubled=tuple(doubled),
            again=again,
            longest=self._longest(rings, owed),
        )

    def _longest(self, rings: Sequence[Ring], owed: Collection[Owed]) -> float:
        """Return how long somebody waited for the first ring about an alert, at most."""
        first: dict[Owed, float] = {}
        for ring in rings:
            for name in ring.names:
                first.setdefault((name, ring.number), ring.at)
        waits = (at - self._posted[key[0]] for key, at in first.items() if key in owed)
        return max(waits, default=0.0)
