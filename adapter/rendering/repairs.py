"""Makes parameters that the vendor takes out of whatever the templates gave, and tells each repair.

Never raises, whatever the text; a repaired text is repaired into itself. It must not know
templates or alerts. `objection` is the same rules as a check, for tests and for whoever asks.

Source: https://github.com/UCloudDoc-Team/uvms (criteria/SDK/template.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

from adapter.model import Record
from adapter.rendering import speech
from adapter.rendering.speech import Language

MAX_WORDS = 1000  # characters of a call, text and variables together: the vendor's limit
MAX_RAW = 4000  # characters of one parameter that are looked at: a label may hold a megabyte
_MAX_SHOWN = 200  # characters of a text that a `Repair` quotes


class RepairKind(StrEnum):
    """What was wrong with a parameter."""

    LINES = "lines"  # line breaks, tabs, runs of spaces
    TOO_LONG = "too_long"  # longer than one parameter may be
    CHARACTERS = "characters"  # invisible, emoji, full-width, of another script
    LINK = "link"  # a URL, a host or another dotted name
    ADDRESS = "address"  # an IP address
    SYMBOLS = "symbols"  # % & @ and other signs that are not punctuation
    EMPTY = "empty"  # nothing in it can be said
    WORDS_TOO_LONG = "words_too_long"  # cut so that the whole call keeps to the vendor's limit


class Repair(Record):
    """One change of one parameter. The texts are shortened, and may hold what alerts hold."""

    param: int  # from 0, as in TemplateParams.0
    kind: RepairKind
    before: str
    after: str


def repair(
    index: int, raw: str, *, language: Language, max_length: int, instead: str
) -> tuple[str, tuple[Repair, ...]]:
    """Return parameter `index` as the vendor takes it, and the repairs in the order they were made.

    `instead` is said when nothing of the parameter can be; it must be speakable itself.
    """
    text = raw
    repairs = []
    for kind, after in _stages(raw, language, max_length, instead):
        if after != text:
            repairs.append(_repair(index, kind, text, after))
            text = after
    return text, tuple(repairs)


def _stages(
    text: str, language: Language, max_length: int, instead: str
) -> Iterator[tuple[RepairKind, str]]:
    """Yield the text after each step. The order counts: what hides a link goes before links do."""
    text = speech.fold_lines(text, language)
    yield RepairKind.LINES, text
    text = _clip(text)
    yield RepairKind.TOO_LONG, text
    text = speech.name_urls(text, language)  # while a password is still in one piece
    yield RepairKind.LINK, text
    text = speech.plain_characters(text)
    yield RepairKind.CHARACTERS, text
    text = speech.speak_links(text, language)
    yield RepairKind.LINK, text
    text = speech.speak_addresses(text, language)
    yield RepairKind.ADDRESS, text
    text = speech.speak_symbols(text, language)
    yield RepairKind.SYMBOLS, text
    text = text if speech.SPOKEN.search(text) else instead
    yield RepairKind.EMPTY, text
    yield RepairKind.TOO_LONG, cut(text, max_length)


def fit(
    params: Sequence[str], budget: int, times: Sequence[int]
) -> tuple[tuple[str, ...], tuple[Repair, ...]]:
    """Return the parameters cut so that all of them take `budget` characters, the longest first.

    `times`: how often each is said. None is cut to less than one character.
    """

    def taken(most: int) -> int:
        return sum(n * min(len(param), most) for n, param in zip(times, params, strict=True))

    most = max(map(len, params), default=0)
    while most > 1 and taken(most) > budget:
        most -= 1
    fitted = tuple(cut(param, most) for param in params)
    repairs = (
        _repair(index, RepairKind.WORDS_TOO_LONG, before, after)
        for index, (before, after) in enumerate(zip(params, fitted, strict=True))
        if before != after
    )
    return fitted, tuple(repairs)


_LAST_WORD = re.compile(r"[0-9A-Za-z.,:-]+\Z", re.ASCII)


def cut(text: str, length: int) -> str:
    """Return at most `length` characters of a speakable text, ending with a whole word or number.

    A number cut in half would be another number. Only a word longer than half of what may stay is
    cut through; hanzi are cut anywhere. No character is composed of two any more, so none is torn.
    """
    if len(text) <= length:
        return text
    kept = text[:length]
    if _LAST_WORD.match(text[length]) and (word := _LAST_WORD.search(kept)):
        whole = kept[: word.start()]
        kept = whole if len(whole) * 2 >= length and speech.SPOKEN.search(whole) else kept
    kept = re.sub(r"[^\w.)）”’》]+\Z", "", kept)
    if speech.SPOKEN.search(kept):
        return kept
    first = speech.SPOKEN.search(text)
    return text[first.start() :][:length].strip() if first else kept


def objection(param: str) -> str | None:
    """Return why the vendor would not take this parameter, or None if it would."""
    if not speech.SPOKEN.search(param):
        return "nothing in it can be said"
    if len(param) > MAX_WORDS:
        return f"{len(param)} characters, more than {MAX_WORDS}"
    if found := speech.UNSPEAKABLE.search(param):
        return f"U+{ord(found[0]):04X} is neither hanzi, letter, digit nor punctuation"
    if param != speech.squeeze(param):
        return "spaces around it, or more than one in a row"
    if found := speech.LINK.search(param):
        return f"a link, for {found[0]!r}"
    if found := speech.ADDRESS.search(param):
        return f"an IP address, for {found[0]!r}"
    return None


def _clip(text: str) -> str:
    """Return the part of a folded text that is looked at; no link is torn if a space is near."""
    if len(text) <= MAX_RAW:
        return text
    whole, space, _ = text[: MAX_RAW + 1].rpartition(" ")
    return whole if space else text[:MAX_RAW]


def _repair(index: int, kind: RepairKind, before: str, after: str) -> Repair:
    return Repair(param=index, kind=kind, before=_shorten(before), after=_shorten(after))


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
