"""Single values of the vendor's JSON, made fit to keep: texts, ids, numbers and times.

Everything that cannot be read counts as not said. Knows no message's form.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from adapter.model import mask_number

MOST = 1_000_000_000  # of whatever is counted: more is no number of seconds or pieces

_MAX_MESSAGE = 500  # characters
_MAX_ID = 128  # characters; the vendor's look like UUIDs
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_LONG_NUMBER = re.compile(r"\+?[0-9][0-9 -]{5,}[0-9]", re.ASCII)  # may be somebody's phone
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MILLISECONDS_FROM = 1e11  # as seconds the year 5138, as milliseconds 1973


def clean_message(text: str) -> str:
    """Make a foreign text fit for logs: one line, not long, numbers that may be phones masked."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    return _LONG_NUMBER.sub(lambda number: mask_number(number.group()), line)[:_MAX_MESSAGE]


def text(value: object) -> str:
    """Return a text as it came; "" for anything else."""
    return value if isinstance(value, str) else ""


def identifier(value: object) -> str:
    """Return an id, or a phone number, which may be written as a number; "" for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_MAX_ID:
        value = str(value)
    return _UNPRINTABLE.sub("", text(value)).strip()[:_MAX_ID]


def number(value: object) -> float | None:
    """Return a number from 0 up, which may be written as a text; None for anything else."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        return None
    return float(value)


def count(value: object) -> int:
    """Return how many of something there are, rounded down; 0 where that is not said."""
    found = number(value)
    return int(found) if found is not None and found <= MOST else 0


def instant(value: object) -> datetime | None:
    """Read an epoch time, in milliseconds or seconds; 0 stands for no time."""
    found = number(value)
    if found is None or not 0 < found < 1e14:
        return None
    return datetime.fromtimestamp(found / 1000 if found >= _MILLISECONDS_FROM else found, UTC)
