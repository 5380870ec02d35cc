"""A replay as plain JSON values: what every output of it is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from adapter.model import Labels, Record
from adapter.replay.comparing import Comparison, Difference, DifferenceKind
from adapter.replay.night import AlertFate, Exhausted, Night, Ring
from adapter.replay.recordings import Recordings

Json = dict[str, Any]

ALERTS_SHOWN = 20  # of one call


class Replayed(Record):
    """One routes.yaml, and what it makes of the recordings."""

    config: str
    night: Night


def report(
    recordings: Recordings,
    answered_by: Sequence[str],
    replayed: Sequence[Replayed],
    comparison: Comparison | None,
) -> Json:
    """Return all that is known; `comparison`: None where there is one routes.yaml alone."""
    found = recordings.found
    return {
        "from": found[0].at.isoformat() if found else None,
        "until": found[-1].at.isoformat() if found else None,
        "notifications": len(found),
        "dated_by": dict(Counter(str(recording.dated_by) for recording in found)),
        "skipped": [{"where": each.where, "why": each.why} for each in recordings.skipped],
        "answered_by": list(answered_by),
        "configs": [_config(each) for each in replayed],
        "comparison": None if comparison is None else _comparison(comparison, replayed),
    }


def _config(replayed: Replayed) -> Json:
    night = replayed.night
    calls = [_ring(ring, night) for ring in night.rings]
    return {
        "config": replayed.config,
        "alerts": len(night.alerts),
        "pages": night.pages,
        "acknowledged": night.acknowledged,
        "exhausted": [_exhausted(each) for each in night.exhausted],
        "calls": calls,
        "people": _people(night),
        "verdicts": {str(reason): count for reason, count in _sorted(night.verdicts)},
        "silent_alerts": [_fate(fate) for fate in night.silent],
    }


def _sorted(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))


def _people(night: Night) -> list[Json]:
    """Return who is called, who is called most first. Calls in shadow mode are nobody's."""
    found: dict[tuple[str, str], list[Ring]] = {}
    for ring in night.rings:
        if not ring.shadow:
            found.setdefault((ring.person, str(ring.phone)), []).append(ring)
    people = [
        {
            "person": person,
            "phone": phone,
            "calls": len(rings),
            "limited": sum(ring.limited for ring in rings),
            "first": rings[0].at.isoformat(),
            "last": rings[-1].at.isoformat(),
        }
        for (person, phone), rings in found.items()
    ]
    return sorted(people, key=lambda each: (-each["calls"], each["person"], each["phone"]))


def _ring(ring: Ring, night: Night) -> Json:
    shown = [_labels(night, fingerprint) for fingerprint in ring.alerts[:ALERTS_SHOWN]]
    return {
        "at": ring.at.isoformat(),
        "person": ring.person,
        "phone": str(ring.phone),
        "receiver": ring.receiver,
        "reason": str(ring.reason),
        "step": ring.step,
        "group_labels": dict(ring.group),
        "alerts": [dict(labels) for labels in shown],
        "alerts_in_all": len(ring.alerts),
        "words": ring.words,
        "limited": ring.limited,
        "shadow": ring.shadow,
    }


def _labels(night: Night, fingerprint: str) -> Labels:
    """Return an alert's labels; of one that resolved without having fired, that it is unknown."""
    fate = night.alerts.get(fingerprint)
    return {"fingerprint": fingerprint} if fate is None else fate.labels


def _exhausted(exhausted: Exhausted) -> Json:
    return {
        "at": exhausted.at.isoformat(),
        "receiver": exhausted.receiver,
        "group_labels": dict(exhausted.group),
        "fallback_told": exhausted.told,
    }


def _fate(fate: AlertFate) -> Json:
    return {
        "fingerprint": fate.fingerprint,
        "labels": dict(fate.labels),
        "first_at": fate.first_at.isoformat(),
        "reasons": {str(reason): count for reason, count in _sorted(fate.reasons)},
    }


def _comparison(comparison: Comparison, replayed: Sequence[Replayed]) -> Json:
    a, b = (each.night for each in replayed)
    kinds = Counter(difference.kind for difference in comparison.differences)
    return {
        "differs": comparison.differs,
        "same": comparison.same,
        "counts": {str(kind): kinds[kind] for kind in DifferenceKind},
        "silenced": [_fate(fate) for fate in comparison.silenced],
        "heard": [_fate(fate) for fate in comparison.heard],
        "differences": [_difference(each, a, b) for each in comparison.differences],
    }


def _difference(difference: Difference, a: Night, b: Night) -> Json:
    return {
        "kind": str(difference.kind),
        "a": None if difference.a is None else _ring(difference.a, a),
        "b": None if difference.b is None else _ring(difference.b, b),
    }
