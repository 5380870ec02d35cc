"""The final schedule: rotations, a calendar and overrides laid over each other."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.model import StoredOverride
from adapter.schedules import (
    Calendar,
    Doubled,
    Hours,
    Override,
    Rotation,
    Schedule,
    Shift,
    doubled,
    holes,
    next_on_call,
    on_call,
    shifts,
    standing,
)

LONDON = ZoneInfo("Europe/London")
SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE, HOUR, DAY, WEEK = (timedelta(minutes=n) for n in (1, 60, 24 * 60, 7 * 24 * 60))
NOVEMBER = datetime(2026, 11, 1, tzinfo=SHANGHAI).astimezone(UTC)


def at(text):
    """Return `02 10:00` of November 2026 in Shanghai; 2 November is a Monday."""
    return datetime.fromisoformat(f"2026-11-{text}:00+08:00").astimezone(UTC)


def rotation(*turns, start="02T10:00", every=WEEK, **fields):
    start = datetime.fromisoformat(f"2026-11-{start}:00")
    turns = tuple(tuple(turn.split("+")) if turn else () for turn in turns)
    return Rotation(turns=turns, start=start, every=every, **fields)


def override(people, start, end):
    return Override(people=tuple(people.split("+")), start=at(start), end=at(end))


def stored(person, start, end, *, added="01 00:00", schedule="primary", **fields):
    return StoredOverride(
        id=fields.pop("id", person),
        schedule=schedule,
        person=person,
        starts_at=at(start),
        ends_at=at(end),
        created_at=at(added),
        created_by="carol",
        **fields,
    )


def schedule(*rotations, overrides=(), calendar=None):
    return Schedule(
        name="primary",
        time_zone=SHANGHAI,
        rotations=rotations,
        overrides=tuple(overrides),
        calendar=calendar,
    )


class Events:
    """A calendar whose events are these shifts."""

    def __init__(self, *events):
        self.events = events

    def on_call(self, at):
        on = [name for one in self.events if one.start <= at < one.end for name in one.people]
        return tuple(dict.fromkeys(on))

    def shifts(self, start, end):
        return [one for one in self.events if one.start < end and start < one.end]


def event(people, start, end):
    return Shift(people=tuple(people.split("+")), start=at(start), end=at(end))


def told(found):
    """Return shifts as text: `02 10:00 alice+bob`, `-` for a hole, and the end of the last."""
    lines = [f"{clock(one.start)} {'+'.join(one.people) or '-'}" for one in found]
    return [*lines, clock(found[-1].end)]


def clock(at):
    return f"{at.astimezone(SHANGHAI):%d %H:%M}"


def monday_to_friday(country, day):
    return day.weekday() < 5


WEEKLY = rotation("alice", "bob")
NIGHTS = rotation("nina", hours=(Hours(start=22 * 60, end=8 * 60),))
FEED = Calendar(file="oncall.ics")


# --- who is on call ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "extra", "who"),
    [
        pytest.param(schedule(), {}, "", id="nothing at all"),
        pytest.param(schedule(WEEKLY), {}, "alice", id="a rotation"),
        pytest.param(
            schedule(WEEKLY, rotation("carol")), {}, "carol", id="the later rotation wins"
        ),
        pytest.param(
            schedule(WEEKLY, NIGHTS), {}, "alice", id="a rotation outside its hours lets through"
        ),
        pytest.param(
            schedule(WEEKLY, rotation("", "carol")), {}, "alice", id="an empty turn lets through"
        ),
        pytest.param(
            schedule(WEEKLY, overrides=[override("bob+carol", "04 00:00", "05 00:00")]),
            {},
            "bob+carol",
            id="an override wins over rotations",
        ),
        pytest.param(
            schedule(WEEKLY, overrides=[override("bob", "04 12:00", "05 00:00")]),
            {},
            "bob",
            id="an override begins",
        ),
        pytest.param(
            schedule(WEEKLY, overrides=[override("bob", "04 00:00", "04 12:00")]),
            {},
            "alice",
            id="an override is over",
        ),
        pytest.param(
            schedule(
                WEEKLY,
                overrides=[
                    override("bob", "04 00:00", "05 00:00"),
                    override("carol", "04 06:00", "04 18:00"),
                ],
            ),
            {},
            "carol",
            id="the override further down the file wins",
        ),
        pytest.param(
            schedule(
                WEEKLY, overrides=[Override(people=(), start=at("04 00:00"), end=at("05 00:00"))]
            ),
            {},
            "alice",
            id="an override without people lets through",
        ),
        pytest.param(
            schedule(WEEKLY, overrides=[override("bob", "04 00:00", "05 00:00")]),
            {"overrides": [stored("dave", "04 00:00", "05 00:00")]},
            "dave",
            id="a stored override wins over the file's",
        ),
        pytest.param(
            schedule(WEEKLY),
            {
                "overrides": [
                    stored("dave", "04 00:00", "05 00:00", added="03 12:00"),
                    stored("erin", "04 00:00", "05 00:00", added="03 11:00"),
                ]
            },
            "dave",
            id="the stored override added later wins",
        ),
        pytest.param(
            schedule(WEEKLY),
            {"overrides": [stored("dave", "04 00:00", "05 00:00", removed_at=at("03 00:00"))]},
            "alice",
            id="a removed override does not count",
        ),
        pytest.param(
            schedule(WEEKLY),
            {"overrides": [stored("dave", "04 00:00", "05 00:00", schedule="secondary")]},
            "alice",
            id="nor another schedule's",
        ),
        pytest.param(
            schedule(WEEKLY, calendar=FEED),
            {"feed": Events(event("fay", "04 00:00", "05 00:00"))},
            "fay",
            id="a calendar takes the place of rotations",
        ),
        pytest.param(
            schedule(WEEKLY, calendar=FEED),
            {
                "feed": Events(
                    event("fay", "04 00:00", "05 00:00"), event("gus", "04 06:00", "04 18:00")
                )
            },
            "fay+gus",
            id="events of a calendar at the same time are both on",
        ),
        pytest.param(
            schedule(WEEKLY, calendar=FEED),
            {"feed": Events(event("fay", "05 00:00", "06 00:00"))},
            "alice",
            id="rotations fill what it leaves empty",
        ),
        pytest.param(
            schedule(WEEKLY, calendar=FEED), {}, "alice", id="a calendar that was never read"
        ),
        pytest.param(
            schedule(WEEKLY),
            {"feed": Events(event("fay", "04 00:00", "05 00:00"))},
            "alice",
            id="a calendar the schedule does not have any more",
        ),
        pytest.param(
            schedule(calendar=FEED, overrides=[override("bob", "04 00:00", "05 00:00")]),
            {"feed": Events(event("fay", "04 00:00", "05 00:00"))},
            "bob",
            id="an override wins over a calendar",
        ),
        pytest.param(
            schedule(WEEKLY, rotation("carol", workdays="CN")),
            {"is_workday": lambda country, day: False},
            "alice",
            id="workdays are asked for",
        ),
    ],
)
def test_who_is_on_call_on_a_wednesday_noon(one, extra, who):
    noon = at("04 12:00")
    assert "+".join(on_call(one, noon, **extra)) == who
    assert "+".join(shifts(one, noon, noon + HOUR, **extra)[0].people) == who


def test_overrides_stand_in_the_order_in_which_they_were_added():
    one = schedule(overrides=[override("alice", "04 00:00", "05 00:00")])
    added = [
        stored("dave", "04 00:00", "05 00:00", added="03 12:00", id="b"),
        stored("erin", "04 00:00", "05 00:00", added="03 12:00", id="a"),
        stored("bob", "04 00:00", "05 00:00", added="02 12:00", id="c"),
    ]
    people = [one.people for one in standing(one, added)]
    assert people == [("alice",), ("bob",), ("erin",), ("dave",)]


# --- shifts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "extra", "expected"),
    [
        pytest.param(schedule(), {}, ["02 00:00 -", "06 00:00"], id="nothing: one hole"),
        pytest.param(
            schedule(rotation("alice", "bob", every=2 * DAY)),
            {},
            ["02 00:00 -", "02 10:00 alice", "04 10:00 bob", "06 00:00"],
            id="turns after a hole",
        ),
        pytest.param(
            schedule(rotation("alice", every=DAY)),
            {},
            ["02 00:00 -", "02 10:00 alice", "06 00:00"],
            id="a handover to oneself is none",
        ),
        pytest.param(
            schedule(rotation("alice", end=datetime.fromisoformat("2026-11-04T00:00"))),
            {},
            ["02 00:00 -", "02 10:00 alice", "04 00:00 -", "06 00:00"],
            id="a rotation that ends",
        ),
        pytest.param(
            schedule(WEEKLY, rotation("carol", weekdays=frozenset({3, 4}))),
            {},
            ["02 00:00 -", "02 10:00 alice", "04 00:00 carol", "06 00:00"],
            id="two weekdays in a row are one shift",
        ),
        pytest.param(
            schedule(rotation("alice+bob", "bob+alice", every=DAY)),
            {},
            ["02 00:00 -", "02 10:00 alice+bob", "06 00:00"],
            id="the same people in another order",
        ),
        pytest.param(
            schedule(WEEKLY, overrides=[override("bob", "03 09:00", "04 09:00")]),
            {"overrides": [stored("dave", "03 20:00", "03 22:00")]},
            [
                "02 00:00 -",
                "02 10:00 alice",
                "03 09:00 bob",
                "03 20:00 dave",
                "03 22:00 bob",
                "04 09:00 alice",
                "06 00:00",
            ],
            id="overrides within each other",
        ),
        pytest.param(
            schedule(WEEKLY, calendar=FEED),
            {
                "feed": Events(
                    event("fay", "01 00:00", "03 00:00"),
                    event("gus", "02 12:00", "04 00:00"),
                    event("fay", "05 00:00", "07 00:00"),
                )
            },
            [
                "02 00:00 fay",
                "02 12:00 fay+gus",
                "03 00:00 gus",
                "04 00:00 alice",
                "05 00:00 fay",
                "06 00:00",
            ],
            id="a calendar over a rotation",
        ),
    ],
)
def test_shifts_from_monday_to_friday(one, extra, expected):
    assert told(shifts(one, at("02 00:00"), at("06 00:00"), **extra)) == expected


def test_a_shift_over_a_clock_change_has_an_hour_more():
    start = datetime.fromisoformat("2026-10-24T08:00")
    halves = Rotation(turns=(("alice",), ("bob",)), start=start, every=12 * HOUR)
    london = Schedule(name="primary", time_zone=LONDON, rotations=(halves,))
    begin = datetime(2026, 10, 24, 7, tzinfo=UTC)
    found = shifts(london, begin, begin + 2 * DAY + HOUR)
    assert [one.end - one.start for one in found] == [12 * HOUR, 13 * HOUR, 12 * HOUR, 12 * HOUR]


def test_holes_are_the_shifts_of_nobody():
    one = schedule(NIGHTS, overrides=[override("bob", "03 12:00", "03 13:00")])
    found = holes(one, at("03 00:00"), at("04 00:00"))
    assert told(found) == ["03 08:00 -", "03 13:00 -", "03 22:00"]


# --- who is on next ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "extra", "who"),
    [
        pytest.param(schedule(), {}, "", id="never anybody"),
        pytest.param(schedule(WEEKLY), {}, "bob", id="after the handover"),
        pytest.param(schedule(rotation("alice")), {}, "", id="alice for ever"),
        pytest.param(
            schedule(rotation("alice", "alice", "bob")), {}, "bob", id="two turns in a row"
        ),
        pytest.param(
            schedule(rotation("alice", "bob", weekdays=frozenset({3}))),
            {},
            "bob",
            id="over a hole: alice has this wednesday, bob the next",
        ),
        pytest.param(
            schedule(rotation("alice", weekdays=frozenset({3}))),
            {},
            "",
            id="alice again after a hole is no other",
        ),
        pytest.param(
            schedule(rotation("carol", start="09T10:00")), {}, "carol", id="nobody now, carol later"
        ),
        pytest.param(
            schedule(WEEKLY),
            {"overrides": [stored("dave", "05 00:00", "06 00:00")]},
            "dave",
            id="a coming override",
        ),
        pytest.param(
            schedule(WEEKLY),
            {"overrides": [stored("dave", "04 00:00", "06 00:00")]},
            "alice",
            id="back after an override",
        ),
        pytest.param(
            schedule(WEEKLY, calendar=FEED),
            {"feed": Events(event("fay", "05 00:00", "06 00:00"))},
            "fay",
            id="a coming event",
        ),
        pytest.param(
            schedule(rotation("alice", "bob", every=9 * WEEK)), {}, "", id="not within sixty days"
        ),
    ],
)
def test_who_is_on_after_a_wednesday_noon(one, extra, who):
    assert "+".join(next_on_call(one, at("04 12:00"), **extra)) == who


# --- contradictions ----------------------------------------------------------------------------


def test_overrides_that_name_different_people_for_the_same_time_are_reported():
    one = schedule(WEEKLY, overrides=[override("bob", "03 00:00", "05 00:00")])
    dave = stored("dave", "04 00:00", "06 00:00")
    assert doubled(one, at("02 00:00"), at("09 00:00"), [dave]) == [
        Doubled(start=at("04 00:00"), end=at("05 00:00"), people=("dave",), passed_over=("bob",))
    ]


def test_contradictions_come_in_the_order_of_time_within_the_window():
    overrides = [
        override("alice", "02 00:00", "09 00:00"),
        override("bob", "03 18:00", "06 00:00"),
        override("carol", "03 00:00", "04 00:00"),
    ]
    found = doubled(schedule(overrides=overrides), at("03 12:00"), at("05 12:00"))
    assert [(one.people, one.passed_over, clock(one.start), clock(one.end)) for one in found] == [
        (("carol",), ("alice",), "03 12:00", "04 00:00"),
        (("bob",), ("alice",), "03 18:00", "05 12:00"),
        (("carol",), ("bob",), "03 18:00", "04 00:00"),
    ]


@pytest.mark.parametrize(
    ("one", "overrides"),
    [
        pytest.param(schedule(WEEKLY, rotation("bob", "alice")), [], id="two rotations"),
        pytest.param(
            schedule(rotation("alice", "bob", every=DAY), rotation("bob", start="03T10:00")),
            [],
            id="the same person twice over a handover",
        ),
        pytest.param(
            schedule(WEEKLY), [stored("dave", "03 00:00", "04 00:00")], id="an override alone"
        ),
        pytest.param(
            schedule(overrides=[override("dave", "03 00:00", "05 00:00")]),
            [stored("dave", "04 00:00", "06 00:00")],
            id="the same person",
        ),
        pytest.param(
            schedule(overrides=[override("dave", "03 00:00", "04 00:00")]),
            [stored("erin", "04 00:00", "06 00:00")],
            id="one after the other",
        ),
        pytest.param(
            schedule(overrides=[override("dave", "03 00:00", "05 00:00")]),
            [stored("erin", "04 00:00", "06 00:00", removed_at=at("03 00:00"))],
            id="one is removed",
        ),
    ],
)
def test_nothing_else_is_a_contradiction(one, overrides):
    assert doubled(one, at("02 00:00"), at("09 00:00"), overrides) == []


# --- whatever the schedule ---------------------------------------------------------------------

NAMES = st.sampled_from(["alice", "bob", "carol", "dave"])
MINUTES = st.integers(-30 * 24 * 60, 30 * 24 * 60).map(lambda n: n * MINUTE)
LENGTHS = st.integers(1, 10 * 24 * 60).map(lambda n: n * MINUTE)
QUARTERS = st.integers(0, 24 * 4).map(lambda n: n * 15)
ZONES = ["Europe/London", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Shanghai"]
# Clocks of London, Sao Paulo (each once) and Lord Howe (each once) change within two weeks.
CENTRES = ["2026-10-25", "2018-11-04", "2019-02-17", "2026-04-05", "2026-10-04", "2026-03-29"]


@st.composite
def rotations(draw, centre):
    end = draw(st.none() | MINUTES)
    return Rotation(
        turns=tuple(draw(st.lists(st.lists(NAMES, max_size=2).map(tuple), min_size=1, max_size=4))),
        start=centre + draw(MINUTES),
        every=draw(st.none() | st.integers(3, 14 * 24).map(lambda n: n * HOUR)),
        end=None if end is None else centre + end,
        weekdays=draw(st.frozensets(st.integers(0, 6), max_size=6)),
        hours=tuple(
            Hours(start=start % (24 * 60), end=end)
            for start, end in draw(st.lists(st.tuples(QUARTERS, QUARTERS), max_size=2))
        ),
        workdays=draw(st.sampled_from(["", "CN"])),
        days_off=draw(st.sampled_from(["", "CN"])),
    )


@st.composite
def final_schedules(draw):
    """Return a schedule with all that has a say, and a window near a clock change."""
    centre = datetime.fromisoformat(draw(st.sampled_from(CENTRES)))
    around = centre.replace(tzinfo=UTC)
    spans = st.lists(st.tuples(NAMES, MINUTES, LENGTHS), max_size=3)
    one = Schedule(
        name="primary",
        time_zone=ZoneInfo(draw(st.sampled_from(ZONES))),
        rotations=tuple(draw(st.lists(rotations(centre), max_size=3))),
        overrides=tuple(
            Override(people=(name,), start=around + start, end=around + start + length)
            for name, start, length in draw(spans)
        ),
        calendar=draw(st.sampled_from([None, FEED])),
    )
    feed = Events(
        *(
            Shift(people=(name,), start=around + start, end=around + start + length)
            for name, start, length in draw(spans)
        )
    )
    start = around + draw(MINUTES)
    return one, {"feed": feed, "is_workday": monday_to_friday}, start, start + draw(LENGTHS)


@given(final_schedules(), st.lists(st.integers(0, 999), min_size=1, max_size=10))
def test_shifts_tile_the_window_and_agree_with_who_is_on_call(drawn, parts):
    one, extra, start, end = drawn
    found = shifts(one, start, end, **extra)
    assert (found[0].start, found[-1].end) == (start, end)
    for earlier, later in pairwise(found):
        assert earlier.end == later.start
        assert set(earlier.people) != set(later.people)
    for part in parts:
        when = start + part * (end - start) // 1000
        (shift,) = (shift for shift in found if shift.start <= when < shift.end)
        assert set(shift.people) == set(on_call(one, when, **extra))


@given(final_schedules())
def test_who_is_on_next_is_on_in_a_later_shift(drawn):
    one, extra, start, _ = drawn
    now = set(on_call(one, start, **extra))
    later = [set(shift.people) for shift in shifts(one, start, start + 60 * DAY, **extra)]
    others = [people for people in later if people and people != now]
    assert set(next_on_call(one, start, **extra)) == (others[0] if others else set())
