"""The sections of routes.yaml about who is on call when."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from adapter.config.schema_routes import TimesSection
from adapter.config.section import Moment, Name, Section, TimeZone, WallTime, WebUrl, advise

# The shortest turn that GoAlert and PagerDuty know as well.
SHORTEST_TURN = timedelta(hours=1)

_PEOPLE = "write people: a turn is a name, or a list of names that are on together"
_EVERY = "write every: a duration such as 12h, 1d or 1w"
_START = "write start: the wall time of the first handover"


class RotationSection(Section):
    """People who take turns."""

    ELSEWHERE: ClassVar[dict[str, str]] = (
        advise("members participants person persons turns users", _PEOPLE)
        | advise(
            "handoff interval length rotation_turn_length_seconds shift_length turn_length type",
            _EVERY,
        )
        | advise("from handover rotation_virtual_start start_time", _START)
        | advise("until end_time", "write end")
        | advise("location time_zone timezone tz", "write time_zone beside rotations")
        | advise("restrictions time_restriction times", "write weekdays and hours")
        | advise("calendar country holidays", "write workdays: CN or days_off: CN")
    )

    people: Annotated[
        Annotated[
            list[Name | Annotated[list[Name], Meta(min_length=1)]],
            Meta(min_length=1),
        ],
        Meta(description="Turns: a name, or a list of names that are on together."),
    ]
    start: Annotated[
        WallTime, Meta(description='Wall time of the first handover: "2026-11-02T10:00".')
    ]
    every: Annotated[
        Annotated[timedelta, Meta(extra={"least": SHORTEST_TURN})] | None,
        Meta(description="How long a turn is: 12h, 1d, 1w. Not needed for a single turn."),
    ] = None
    end: Annotated[WallTime | None, Meta(description="Wall time of its end. Default: none.")] = None
    name: Annotated[Name | None, Meta(description="For people to know it by.")] = None
    weekdays: Annotated[
        Annotated[list[Name], Meta(min_length=1)] | None,
        Meta(description="Days on which its shifts begin: saturday, or monday:friday."),
    ] = None
    hours: Annotated[
        Annotated[list[TimesSection], Meta(min_length=1)] | None,
        Meta(description="Parts of the day; one that ends earlier than it starts is a night's."),
    ] = None
    workdays: Annotated[
        Name | None, Meta(description="On workdays of this country only, such as CN.")
    ] = None
    days_off: Annotated[
        Name | None, Meta(description="On days off of this country only, such as CN.")
    ] = None


class OverrideSection(Section):
    """Somebody who is on call for a time, whatever the rotations say."""

    ELSEWHERE: ClassVar[dict[str, str]] = (
        advise("start starts_at", "write from")
        | advise("end ends_at to", "write until")
        | advise("people user users name", "write person: one name")
        | advise("duration for", "write until: the time at which it ends")
    )

    person: Annotated[Name, Meta(description="Name of the person.")]
    from_: Annotated[
        Moment,
        Meta(description='Wall time of the schedule, or with an offset: "2026-11-24T18:00+08:00".'),
    ] = msgspec.field(name="from")
    until: Annotated[Moment, Meta(description="Its end, likewise.")]


class CalendarSection(Section):
    """An iCalendar feed that says who is on call."""

    ELSEWHERE: ClassVar[dict[str, str]] = advise("ical ics path", "write url or file")

    url: Annotated[WebUrl | None, Meta(description="Where the feed is.")] = None
    file: Annotated[
        Name | None,
        Meta(description="A file in place of a URL, beside routes.yaml unless its path is full."),
    ] = None
    people: Annotated[
        dict[Name, Name] | None,
        Meta(description="Whom a summary or an attendee of an event means: names of people."),
    ] = None
    refresh: Annotated[
        Annotated[timedelta, Meta(extra={"least": timedelta(minutes=1)})] | None,
        Meta(description="How often it is read again. Default: 15m."),
    ] = None


class ScheduleSection(Section):
    """Who is on call when: the last rotation that has somebody, unless an override says else."""

    ELSEWHERE: ClassVar[dict[str, str]] = (
        advise("layers rotation schedule_layers shifts", "write rotations: a list of them")
        | advise("location timezone tz", "write time_zone")
        | advise(
            "every on_call oncall participants people start users",
            "it belongs to a rotation: write rotations: [{people: …, start: …, every: …}]",
        )
        | advise("file ical ics url", "write calendar: {url: …}")
        | {"override": "write overrides: a list of them"}
    )

    time_zone: Annotated[TimeZone, Meta(description="IANA name, such as Asia/Shanghai.")]
    rotations: Annotated[
        list[RotationSection] | None,
        Meta(description="Layers: where several have somebody, the last one counts."),
    ] = None
    overrides: Annotated[
        list[OverrideSection] | None, Meta(description="Exceptions from the rotations.")
    ] = None
    calendar: CalendarSection | None = None
