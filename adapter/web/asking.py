"""What a request to the API asks for: its query and its body, read strictly.

Whatever is wrong is a Refusal that says what was expected. Knows no endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from adapter.model import CallState
from adapter.views.stored import DEFAULT_LISTED, MOST_LISTED
from adapter.web.guard import Refusal

_LONGEST_SHOWN = 80  # characters of a wrong value that are shown

_YEARS = (1970, 9000)  # the first and the last, of times that are asked about
_TIME = "a time with its zone: 2026-11-24T03:00:00+08:00"

_T = TypeVar("_T")


def decoded(body: bytes, kind: type[_T], expected: str) -> _T:
    """Return a body as a record of this kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"expected {expected}: {error}") from None


def check_time(name: str, at: datetime) -> None:
    """Refuse a time without its zone, and one with which nobody can reckon."""
    if not _is_usable(at):
        raise Refusal(400, f"{name}: expected {_TIME}")


def _is_usable(at: datetime) -> bool:
    return at.tzinfo is not None and _YEARS[0] <= at.year <= _YEARS[1]


def labels_of(given: Sequence[str]) -> dict[str, str]:
    """Return labels given as `name=value`."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise Refusal(400, f"label={quoted(text)}: expected name=value")
        found[name] = value
    return found


class Query:
    """Reads a request's query parameters; whatever is wrong with one is a Refusal."""

    def __init__(self, given: Mapping[str, str], known: Sequence[str]) -> None:
        self._given = given
        for name in given:
            if name not in known:
                there = ", ".join(known) or "none"
                raise Refusal(400, f"there is no parameter {quoted(name)}; there is: {there}")

    def text(self, name: str) -> str:
        """Return the parameter; "" where it is not given."""
        return self._given.get(name, "").strip()

    def flag(self, name: str) -> bool:
        """Return whether the parameter says true."""
        words = {"": False, "false": False, "0": False, "true": True, "1": True}
        if self.text(name) not in words:
            raise _wrong(name, "true or false", self.text(name))
        return words[self.text(name)]

    def limit(self) -> int:
        """Return how many rows are wanted."""
        return self.number("limit", default=DEFAULT_LISTED, most=MOST_LISTED)

    def number(self, name: str, *, default: int, most: int) -> int:
        """Return a whole number from 1 on."""
        text = self.text(name)
        if not text:
            return default
        fits = text.isascii() and text.isdecimal() and len(text) < 9
        if not fits or not 1 <= int(text) <= most:
            raise _wrong(name, f"a whole number from 1 to {most}", text)
        return int(text)

    def instant(self, name: str) -> datetime | None:
        """Return a time with its zone; None: not given."""
        text = self.text(name)
        if not text:
            return None
        wrong = _wrong(name, _TIME, text)
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise wrong from None
        if not _is_usable(found):
            raise wrong
        return found

    def states(self) -> list[CallState]:
        """Return the states wanted, given as `state=waiting,unknown`; none: all."""
        names = [name.strip() for name in self.text("state").split(",") if name.strip()]
        known = [str(state) for state in CallState]
        for name in names:
            if name not in known:
                raise _wrong("state", f"one of {', '.join(known)}", name)
        return [CallState(name) for name in names]


def _wrong(name: str, expected: str, found: str) -> Refusal:
    return Refusal(400, f"{name}: expected {expected}, found {quoted(found)}")


def quoted(text: str) -> str:
    """Return what was given as an error shows it."""
    return repr(text[:_LONGEST_SHOWN])
