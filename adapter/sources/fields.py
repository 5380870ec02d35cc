"""Reading JSON that somebody else wrote: what every kind of sender has in common.

Knows no sender's format. The rule all of it follows: a body is refused only for want of what tells
its alerts apart (a list of alerts, their labels). Anything else that cannot be read counts as not
given, because a page with a gap in its words is better than no page.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta

import msgspec

from adapter.errors import InvalidNotification, NotJson

Json = object  # str, bool, int, None, dict[str, Json] or list[Json]; fractions arrive as str

# Fractions and exponents stay as they were written, so a label `1.10` does not become `1.1` and
# 1e999 does no harm. Of a duplicate key the last one counts, as in Go.
_DECODER = msgspec.json.Decoder(float_hook=str)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_ESCAPES = re.compile(
    rb"(?:\\[^u])+"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})",
    re.DOTALL,
)

# RFC 3339 with any number of fraction digits, and what Go's time.String() prints where a custom
# payload says {{ .StartsAt }}: `2026-05-27 15:36:00.112 +0000 UTC m=+8560.28`.
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r" ?(?:[Zz]|([+-])([01][0-9]|2[0-4]):?([0-5][0-9]))"
    r"(?: [A-Za-z0-9+-]+(?: m=[+-][0-9.]+)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SHOWN_NAME_LENGTH = 40  # a label's name is the sender's: it may be of any length


def decode(body: bytes) -> dict[str, Json]:
    """Return the JSON object in `body`.

    A byte order mark is skipped, and half a surrogate pair becomes U+FFFD as in Go, so every text
    can be encoded again. Raises NotJson or InvalidNotification.
    """
    try:
        value = _decode(body.removeprefix(_BYTE_ORDER_MARK))
    except msgspec.ValidationError as exc:  # an integer of thousands of digits
        raise InvalidNotification("$", "numbers of a sane size", "a larger one") from exc
    except msgspec.DecodeError as exc:
        raise NotJson(str(exc) if body else "it is empty") from exc
    except UnicodeDecodeError as exc:
        raise NotJson("it is not UTF-8") from exc
    except RecursionError as exc:
        raise NotJson("it is nested too deeply") from exc
    if not isinstance(value, dict):
        raise InvalidNotification("$", "an object", describe(value))
    return value


def _decode(body: bytes) -> Json:
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError:
        mended = _ESCAPES.sub(_mend_escape, body)
        if mended == body:
            raise
        return _DECODER.decode(mended)


def _mend_escape(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found["lone"] else found[0]


def describe(value: Json) -> str:
    """Say what kind of thing stands there, never what it says: it may be a phone number."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return "a scalar"


def text(value: Json) -> str:
    """Return a scalar as text; "" for null, lists and objects."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            return ""


def labels(value: Json, path: str) -> dict[str, str]:
    """Return labels: null is none, an empty value is no label (as in Alertmanager).

    Numbers and booleans are taken as text. Raises InvalidNotification for anything deeper: a label
    that cannot be read would leave the alert with another identity, and perhaps another route.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidNotification(path, "an object of names and values", describe(value))
    for name, item in value.items():
        if isinstance(item, dict | list):
            raise InvalidNotification(f"{path}[{_shown(name)}]", "a string", describe(item))
    return {name: kept for name, item in value.items() if (kept := text(item))}


def texts(value: Json) -> dict[str, str]:
    """Return an object's scalars as texts, empty ones too; what is no scalar is left out."""
    if not isinstance(value, dict):
        return {}
    return {name: text(item) for name, item in value.items() if not isinstance(item, dict | list)}


def number(value: Json) -> float | None:
    """Return a finite number; None for anything else."""
    try:
        found = float(value) if isinstance(value, str | int) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def numbers(value: Json) -> dict[str, float | None]:
    """Return an object's values as numbers; null is no number."""
    if not isinstance(value, dict):
        return {}
    return {name: number(item) for name, item in value.items()}


def count(value: Json) -> int:
    """Return a whole number of things; 0 for whatever is none."""
    digits = text(value)
    return int(digits) if re.fullmatch("[0-9]{1,20}", digits) else 0


def instant(value: Json) -> datetime | None:
    """Return a time in UTC, cut to microseconds; None for what cannot be read.

    Go's zero time (year 1) and the Unix epoch mean that no time was set: None too.
    """
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    *fields, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    year, month, day, hour, minute, second = map(int, fields)
    micros = int((fraction or "")[:6].ljust(6, "0"))
    try:
        local = datetime(year, month, day, hour, minute, second, micros, UTC)
        utc = local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):  # month 13, second 60, year 0; year 1 east of Greenwich
        return None
    return utc if utc > _EPOCH else None


def _shown(name: str) -> str:
    cut = name if len(name) <= _SHOWN_NAME_LENGTH else name[: _SHOWN_NAME_LENGTH - 1] + "…"
    return json.dumps(cut, ensure_ascii=False)
