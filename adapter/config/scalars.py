"""The scalars of a file as what is wanted there: texts, numbers, durations, phones, times, URLs.

Must not know any particular key, nor anything of mappings and lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import msgspec.inspect as mi

from adapter.config.clocks import UNREAD, parse_moment, parse_time_zone, parse_wall_time
from adapter.config.nodes import Scalar, describe
from adapter.config.phones import parse_phone
from adapter.config.problems import listed, quote, suggest
from adapter.config.section import DurationOrNever, PollInterval, RepeatInterval
from adapter.config.urls import parse_web_url, shown
from adapter.durations import format_duration, parse_duration
from adapter.errors import InvalidDuration, InvalidPhoneNumber
from adapter.model import PhoneNumber, Record, Secret
from adapter.routing import Repeat

DURATION: Final = "a duration such as 30s, 5m or 1h30m"
ENDPOINT: Final = "a URL such as https://api.ucloud.cn, without user, query and fragment"
PHONE: Final = "a phone number in E.164 form (+, country code, number)"
WEB_URL: Final = "a URL such as https://chat.example.com/hook"
_NEVER: Final = f"{DURATION}, or never"


class Unfit(Exception):
    """The scalar is not what is wanted."""

    def __init__(self, expected: str, hint: str = "", found: str = "") -> None:
        """Say what was expected, and what was `found` where it may not be shown as it is."""
        super().__init__(expected)
        self.expected, self.hint, self.found = expected, hint, found


class _Kind(Record):
    """A type whose texts somebody else parses."""

    words: str
    parse: Callable[[str], object]  # raises ValueError, or an error of ours, with a hint
    blank: object  # what stands for one that could not be read
    show: Callable[[str], str] = quote


def _or_never(kind: type[DurationOrNever]) -> Callable[[str], DurationOrNever]:
    def parse(text: str) -> DurationOrNever:
        if text == Repeat.NEVER.value:
            return kind(Repeat.NEVER)
        duration = parse_duration(text)
        if not duration:
            raise Unfit("a duration above 0", kind.INSTEAD_OF_0)
        return kind(duration)

    return parse


_WALL_TIME = _Kind(words='a time such as "2026-11-02T10:00"', parse=parse_wall_time, blank=UNREAD)
_MOMENT = _Kind(
    words='a time such as "2026-11-02T10:00" or "2026-11-02T10:00+08:00"',
    parse=parse_moment,
    blank=UNREAD,
)
_DURATION = _Kind(words=DURATION, parse=parse_duration, blank=None)
_CUSTOM: dict[type, _Kind] = {
    PhoneNumber: _Kind(words=PHONE, parse=parse_phone, blank=PhoneNumber("")),
    RepeatInterval: _Kind(words=_NEVER, parse=_or_never(RepeatInterval), blank=None),
    PollInterval: _Kind(words=_NEVER, parse=_or_never(PollInterval), blank=None),
    ZoneInfo: _Kind(
        words="a time zone such as Asia/Shanghai", parse=parse_time_zone, blank=ZoneInfo("UTC")
    ),
    Secret: _Kind(words=WEB_URL, parse=parse_web_url, blank=Secret(""), show=shown),
}


def read_scalar(wanted: mi.Type, node: Scalar) -> object:
    """Return the scalar as what is wanted.

    Raises:
        Unfit: it is something else.
    """
    if kind := _kind(wanted):
        return _parsed(kind, node)
    value = _plain(wanted, node)
    if value is None:
        raise Unfit(words(wanted), _hint(wanted, node))
    return value


def check_bounds(value: object, bounds: dict[str, Any]) -> None:
    """Refuse a duration outside of `above`, `least` and `most`."""
    duration = value.value if isinstance(value, DurationOrNever) else value
    if not isinstance(duration, timedelta):  # nothing could be read, or never
        return
    if "above" in bounds and duration <= bounds["above"]:
        raise Unfit("a duration above 0")
    if "least" in bounds and duration < bounds["least"]:
        raise Unfit(f"a duration of at least {format_duration(bounds['least'])}")
    if "most" in bounds and duration > bounds["most"]:
        raise Unfit(f"a duration of at most {format_duration(bounds['most'])}")


def blank_scalar(wanted: mi.Type) -> object:
    """Return what stands for a scalar that could not be read."""
    kind = _kind(wanted)
    if kind is not None:
        return kind.blank
    return "" if isinstance(wanted, mi.StrType) else None


def words(wanted: mi.Type) -> str:
    """Say which scalar is wanted."""
    if kind := _kind(wanted):
        return kind.words
    match wanted:
        case mi.StrType():
            if wanted.pattern is not None:
                return ENDPOINT
            return "a text that is not empty" if wanted.min_length else "a text"
        case mi.BoolType():
            return "true or false"
        case mi.IntType():
            return f"a whole number{_range_words(wanted)}"
        case mi.FloatType():
            return f"a number{_range_words(wanted)}"
        case mi.LiteralType():
            return listed([str(value) for value in wanted.values])
    return listed([str(one.value) for one in cast(mi.EnumType, wanted).cls])


def _kind(wanted: mi.Type) -> _Kind | None:
    match wanted:
        case mi.DateTimeType():
            return _WALL_TIME if wanted.tz is False else _MOMENT
        case mi.TimeDeltaType():
            return _DURATION
        case mi.CustomType():
            return _CUSTOM[wanted.cls]
    return None


def _parsed(kind: _Kind, node: Scalar) -> object:
    try:
        return kind.parse(node.text)
    except (InvalidDuration, InvalidPhoneNumber, ValueError) as error:
        found = kind.show(node.text) if node.text else describe(node)
        raise Unfit(kind.words, str(error), found) from None


def _plain(wanted: mi.Type, node: Scalar) -> object:
    """Return the value, or None where there is no such value."""
    match wanted:
        case mi.StrType():
            return node.text if _is_text(wanted, node.text) else None
        case mi.BoolType():
            return node.boolean
        case mi.IntType():
            return node.integer if _within(wanted, node.integer) else None
        case mi.FloatType():
            return node.number if _within(wanted, node.number) else None
        case mi.LiteralType():
            return node.integer if node.integer in wanted.values else None
    enum = cast(mi.EnumType, wanted).cls  # no section has any other type
    return next((one for one in enum if one.value == node.text), None)


def _is_text(wanted: mi.StrType, text: str) -> bool:
    if wanted.pattern is not None and not re.search(wanted.pattern, text):
        return False
    return len(text) >= (wanted.min_length or 0)


def _within(wanted: mi.IntType | mi.FloatType, value: float | None) -> bool:
    if value is None or (wanted.gt is not None and value <= wanted.gt):
        return False
    return (wanted.ge is None or value >= wanted.ge) and (wanted.le is None or value <= wanted.le)


def _range_words(wanted: mi.IntType | mi.FloatType) -> str:
    low = f" of at least {wanted.ge}" if wanted.ge is not None else ""
    low = f" above {wanted.gt:g}" if wanted.gt is not None else low
    if wanted.le is None:
        return low
    return f"{low} and at most {wanted.le:g}" if low else f" of at most {wanted.le:g}"


def _hint(wanted: mi.Type, node: Scalar) -> str:
    if not isinstance(wanted, (mi.StrType, mi.EnumType)) and node.quoted:
        bare = Scalar(text=node.text, quoted=False, at=node.at)
        if bare.boolean is not None or bare.number is not None:
            return "remove the quotes"
    if isinstance(wanted, mi.BoolType) and node.text.lower() in ("yes", "on", "no", "off"):
        return f"write {'true' if node.text.lower() in ('yes', 'on') else 'false'}"
    if isinstance(wanted, mi.EnumType):
        return suggest(node.text, [str(one.value) for one in wanted.cls])
    return ""
