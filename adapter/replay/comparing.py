"""Two replays of the same notifications, call by call: what one routes.yaml makes otherwise.

Calls are paired in passes, the surest first: the same person, time and alerts; then the same step
at the same time with another person; then the same person and alerts at another time; then the
same person about some of the same alerts. What is left is made in one of the two alone.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from enum import StrEnum

from adapter.model import Record
from adapter.replay.night import AlertFate, Night, Ring


class DifferenceKind(StrEnum):
    """What is different about a call."""

    ONLY_A = "only in A"
    ONLY_B = "only in B"
    MOVED = "moved"  # another time, perhaps with other alerts
    OTHER_PERSON = "other person"
    REWORDED = "other words"


class Difference(Record):
    """One call that is not the same in both."""

    kind: DifferenceKind
    a: Ring | None  # None: B alone makes it
    b: Ring | None  # None: A alone makes it

    @property
    def at(self) -> datetime:
        """Return when it first shows."""
        return min(ring.at for ring in (self.a, self.b) if ring is not None)


class Comparison(Record):
    """How two nights differ."""

    differences: tuple[Difference, ...]  # in the order of their times
    same: int  # calls that do not differ
    silenced: tuple[AlertFate, ...]  # alerts that ring somebody in A and nobody in B; as B has them
    heard: tuple[AlertFate, ...]  # the other way round

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.differences or self.silenced or self.heard)


def compare(a: Night, b: Night) -> Comparison:
    """Return how `b` differs from `a`."""
    pairing = _Pairing(a.rings, b.rings)
    pairs = [
        *pairing.by(lambda r: (r.person, r.phone, r.at, _about(r))),
        *pairing.by(lambda r: (r.at, r.step, r.reason, _about(r))),
        *pairing.by(lambda r: (r.person, r.phone, _about(r))),
        *pairing.by_shared_alerts(),
    ]
    found = [difference for pair in pairs if (difference := _difference(*pair)) is not None]
    left = [Difference(kind=DifferenceKind.ONLY_A, a=ring, b=None) for ring in pairing.a]
    left += [Difference(kind=DifferenceKind.ONLY_B, a=None, b=ring) for ring in pairing.b]
    return Comparison(
        differences=tuple(sorted([*found, *left], key=lambda difference: difference.at)),
        same=len(pairs) - len(found),
        silenced=tuple(fate for fate in b.silent if a.alerts[fate.fingerprint].rang),
        heard=tuple(b.alerts[fate.fingerprint] for fate in a.silent if _rings(b, fate)),
    )


def _rings(night: Night, fate: AlertFate) -> bool:
    return night.alerts[fate.fingerprint].rang


def _about(ring: Ring) -> Hashable:
    return ring.receiver, frozenset(ring.alerts), ring.shadow


def _difference(a: Ring, b: Ring) -> Difference | None:
    if (a.person, a.phone) != (b.person, b.phone):
        return Difference(kind=DifferenceKind.OTHER_PERSON, a=a, b=b)
    if a.at != b.at or set(a.alerts) != set(b.alerts):
        return Difference(kind=DifferenceKind.MOVED, a=a, b=b)
    if a.words != b.words:
        return Difference(kind=DifferenceKind.REWORDED, a=a, b=b)
    return None


class _Pairing:
    """The calls that no pass has paired yet."""

    def __init__(self, a: Sequence[Ring], b: Sequence[Ring]) -> None:
        self.a, self.b = list(a), list(b)

    def by(self, key: Callable[[Ring], Hashable]) -> list[tuple[Ring, Ring]]:
        """Pair calls of the same key, the first with the first."""
        waiting: dict[Hashable, deque[Ring]] = defaultdict(deque)
        for ring in self.b:
            waiting[key(ring)].append(ring)
        left_a = []
        pairs = []
        for ring in self.a:
            if found := waiting[key(ring)]:
                pairs.append((ring, found.popleft()))
            else:
                left_a.append(ring)
        self.a = left_a
        taken = {id(ring) for _, ring in pairs}
        self.b = [ring for ring in self.b if id(ring) not in taken]
        return pairs

    def by_shared_alerts(self) -> list[tuple[Ring, Ring]]:
        """Pair calls to the same person about some of the same alerts, the first with the first."""
        theirs: dict[Hashable, list[Ring]] = defaultdict(list)
        for ring in self.b:
            theirs[_person_and_kind(ring)].append(ring)
        pairs = []
        for ring in self.a:
            mine = theirs[_person_and_kind(ring)]
            named = set(ring.alerts)
            other = next((each for each in mine if not named.isdisjoint(each.alerts)), None)
            if other is not None:
                mine.remove(other)
                pairs.append((ring, other))
        paired = {id(ring) for pair in pairs for ring in pair}
        self.a = [ring for ring in self.a if id(ring) not in paired]
        self.b = [ring for ring in self.b if id(ring) not in paired]
        return pairs


def _person_and_kind(ring: Ring) -> Hashable:
    return ring.person, ring.phone, ring.receiver, ring.reason, ring.shadow
