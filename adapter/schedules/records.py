"""What a schedule is made of: records without behaviour.

Wall times are naive datetimes in the schedule's time zone; instants are aware UTC datetimes.
People are known by name here; phones are for `Roster` to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from adapter.model import Record


class Hours(Record):
    """A part of each day, in minutes from its local midnight."""

    start: int  # from this minute on
    end: int  # up to, not including; not after `start`: over midnight, into the next day


class Rotation(Record):
    """People who take turns."""

    turns: tuple[tuple[str, ...], ...]  # who is on together, in the order of their turns
    start: datetime  # wall time of the first handover; nobody is on before
    every: timedelta | None = None  # wall time between handovers; None: the first turn for ever
    end: datetime | None = None  # wall time; None: never
    name: str = ""  # for people to know it by
    weekdays: frozenset[int] = frozenset()  # 0 = Sunday; of the day a shift begins; empty: every
    hours: tuple[Hours, ...] = ()  # empty: the whole day
    workdays: str = ""  # country whose workdays count, such as CN; "": every day counts
    days_off: str = ""  # country whose days off count; "": every day counts


class Override(Record):
    """Who is on call for a time, whatever the rotations say."""

    people: tuple[str, ...]
    start: datetime  # an instant
    end: datetime  # an instant


class Calendar(Record):
    """An iCalendar feed that says who is on call."""

    url: str = ""  # "": a file
    file: str = ""  # "": a URL
    people: Mapping[str, str] = {}  # text of a summary or an attendee -> a person's name
    refresh: timedelta = timedelta(minutes=15)


class Schedule(Record):
    """Who is on call when: the last rotation that has somebody, unless an override says else."""

    name: str
    time_zone: ZoneInfo
    rotations: tuple[Rotation, ...] = ()
    overrides: tuple[Override, ...] = ()
    calendar: Calendar | None = None  # None: rotations alone


class Shift(Record):
    """A time in which the same people are on call."""

    people: tuple[str, ...]  # empty: nobody, a hole
    start: datetime  # an instant
    end: datetime  # an instant


class StoredCalendar(Record):
    """The last good copy of a schedule's feed."""

    schedule: str
    source: str  # a hash of where it came from; the address itself is a secret
    text: str
    etag: str  # "": none was given; of a file, what shows that it changed
    last_modified: str  # as the server wrote it; "": none was given
    fetched_at: datetime
