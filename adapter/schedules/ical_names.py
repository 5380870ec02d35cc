"""Whom the events of an iCalendar feed mean.

A summary is asked first: as a whole, then as a list of names. Only if it names nobody are the
attendees, by name, mail address and mailbox. Upper and lower case, width and spaces make no
difference. Who declined, and rooms, are nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping

from adapter.model import Record

_BETWEEN_NAMES = re.compile(r"\s*[,;/&+、]\s*|\s+and\s+")
_NO_PERSONS = frozenset({"ROOM", "RESOURCE"})
_LONGEST_SHOWN = 80


class Attendee(Record):
    """One ATTENDEE of an event."""

    mail: str = ""
    name: str = ""  # its CN
    kind: str = ""  # its CUTYPE
    answer: str = ""  # its PARTSTAT

    @property
    def counts(self) -> bool:
        """Whether a person is meant who did not say no."""
        return self.answer.upper() != "DECLINED" and self.kind.upper() not in _NO_PERSONS


class Meant(Record):
    """Whom an event means."""

    people: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()  # texts that should name a person, and name nobody


class Names:
    """Finds people by what a feed calls them."""

    def __init__(self, people_map: Mapping[str, str], people: Collection[str]) -> None:
        self._people = {_key(name): name for name in people}
        self._people |= {_key(text): name for text, name in people_map.items()}

    def meant(self, summary: str, attendees: Iterable[Attendee]) -> Meant:
        """Return the people an event means, in its order, each once."""
        parts = [summary] if _key(summary) in self._people else _parts(summary)
        by_summary = self._found(((part,) for part in parts), parts)
        if by_summary.people:
            return by_summary
        counting = [one for one in attendees if one.counts]
        shown = [one.name or one.mail for one in counting]
        by_attendees = self._found(map(_called, counting), shown)
        if by_attendees.people:
            return by_attendees
        unknown = (_shown(summary), *by_attendees.unknown)
        return Meant(unknown=tuple(text for text in unknown if text))

    def _found(self, called: Iterable[tuple[str, ...]], shown: Iterable[str]) -> Meant:
        people, unknown = [], []
        for texts, as_shown in zip(called, shown, strict=True):
            names = [self._people[key] for key in map(_key, texts) if key in self._people]
            if names:
                people.append(names[0])
            else:
                unknown.append(_shown(as_shown))
        return Meant(people=tuple(dict.fromkeys(people)), unknown=tuple(unknown))


def _called(attendee: Attendee) -> tuple[str, ...]:
    return attendee.name, attendee.mail, attendee.mail.partition("@")[0]


def _parts(summary: str) -> list[str]:
    normal = unicodedata.normalize("NFKC", summary)
    return [part.strip() for part in _BETWEEN_NAMES.split(normal) if part.strip()]


def _key(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _shown(text: str) -> str:
    """Return a stranger's text, short enough for a log."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
