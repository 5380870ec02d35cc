"""Durations as Prometheus writes them: `30s`, `1h30m`, `7d`.

Grammar and error texts are those of ParseDuration in
https://github.com/prometheus/common/blob/main/model/time.go, with a hint added to each error.
A year always has 365 days, a week 7 days, a day 24 hours. Knows nothing of what a duration is for.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta

from adapter.errors import InvalidDuration

# Milliseconds in each unit, in the order in which they must be written.
UNITS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_RANK = {unit: rank for rank, unit in enumerate(UNITS)}
_PART = re.compile(r"([0-9]+)([^0-9]+)")
# Upstream counts nanoseconds in a signed 64-bit integer: a little over 292 years.
_LONGEST = (2**63 - 1) // 1_000_000
_LARGEST_AMOUNT = 2**64 - 1

_HINT = "write whole numbers with the units y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"


def parse_duration(text: str) -> timedelta:
    """Return the duration `text` stands for; raise InvalidDuration if it is none."""
    if text == "0":
        return timedelta(0)
    if not text:
        raise InvalidDuration(f"empty duration string: {_HINT}")
    total, position, last_rank = 0, 0, -1
    while position < len(text):
        part = _PART.match(text, position)
        amount = _amount(part[1]) if part else None
        if part is None or amount is None:
            raise _not_valid(text)
        unit, position = part[2], part.end()
        if unit not in UNITS:
            raise InvalidDuration(
                f"unknown unit {_shown(unit)} in duration {_shown(text)}: {_HINT}"
            )
        if _RANK[unit] <= last_rank:
            raise _not_valid(text)
        last_rank = _RANK[unit]
        total += amount * UNITS[unit]
        if total > _LONGEST:
            raise InvalidDuration(f"duration out of range: {_shown(text)} is more than 292 years")
    return timedelta(milliseconds=total)


def format_duration(duration: timedelta) -> str:
    """Return the duration as Prometheus prints it, whole milliseconds: `5m`, `1h30m`, `0s`.

    Years and weeks appear only when nothing smaller is left over, as `90d` is easier to read
    than `12w6d`.
    """
    rest = abs(duration) // timedelta(milliseconds=1)
    sign = "-" if rest and duration < timedelta(0) else ""
    text = ""
    for unit, size in UNITS.items():
        if unit in ("y", "w") and rest % size:
            continue
        amount, rest = divmod(rest, size)
        if amount:
            text += f"{amount}{unit}"
    return sign + text or "0s"


def _amount(digits: str) -> int | None:
    """Return the number, or None where it does not fit upstream's 64 bits."""
    # 21 digits do not fit already, and int() of a long text is slow or refused.
    amount = int(digits.lstrip("0")[:21] or "0")
    return amount if amount <= _LARGEST_AMOUNT else None


def _not_valid(text: str) -> InvalidDuration:
    return InvalidDuration(f"not a valid duration string: {_shown(text)}: {_HINT}")


def _shown(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
