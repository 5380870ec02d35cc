"""Rotations: whose turn it is, over clock changes, and in which hours of which days."""

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.durations import parse_duration
from adapter.schedules import rotations
from adapter.schedules.records import Hours, Rotation
from adapter.schedules.rotations import changes
from adapter.schedules.wall_times import instant, wall_time

MINUTE, DAY, WEEK = (timedelta(**{unit: 1}) for unit in ("minutes", "days", "weeks"))
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONDAY, FRIDAY = 1, 5

# A clock change of each zone, or a time near which others have one.
CLOCK_CHANGES = {
    "Asia/Shanghai": ("1991-04-14", "1991-09-15", "2026-10-25"),
    "Europe/London": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "America/Sao_Paulo": ("2018-11-04", "2019-02-17", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "Asia/Kathmandu": ("1986-01-01",),
    "Pacific/Apia": ("2011-12-30", "2012-04-01"),
    "America/St_Johns": ("2006-04-02", "2006-10-29"),
}


def rotation(*turns, **fields):
    for edge in {"start", "end"} & fields.keys():
        fields[edge] = datetime.fromisoformat(fields[edge])
    return Rotation(turns=tuple(tuple(turn.split("+")) for turn in turns), **fields)


def on_call(one, zone, when, is_workday=None):
    return rotations.on_call(one, zone, when, is_workday)


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def hours(text):
    """Return `06:00-08:00+22:00-02:00` in minutes of the day."""
    edges = [int(hour) * 60 + int(minute) for hour, minute in re.findall(r"(\d\d):(\d\d)", text)]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple(Hours(start=start, end=end) for start, end in pairs)


def rows(table):
    """Return the indented lines as parameters: the zone above them, four columns, their name."""
    zone, found = "", []
    for line in table.strip().splitlines():
        if line.startswith(" "):
            *columns, name = line.split(maxsplit=4)
            found.append(pytest.param(zone, *columns, id=name))
        else:
            zone = line.split(":")[0]
    return found


# --- wall times ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "wall", "expected"),
    [
        pytest.param("Asia/Shanghai", "2026-11-02T10:00", "2026-11-02T10:00+08:00", id="plain"),
        pytest.param("Europe/London", "2026-03-29T01:30", "2026-03-29T02:00+01:00", id="gap"),
        pytest.param(
            "Europe/London", "2026-03-29T01:00", "2026-03-29T02:00+01:00", id="start of a gap"
        ),
        pytest.param(
            "Europe/London", "2026-03-29T02:00", "2026-03-29T02:00+01:00", id="end of a gap"
        ),
        pytest.param(
            "Europe/London", "2026-03-29T01:59:59.5", "2026-03-29T02:00+01:00", id="half a second"
        ),
        pytest.param("Europe/London", "2026-10-25T01:30", "2026-10-25T01:30+01:00", id="fold"),
        pytest.param(
            "America/Sao_Paulo", "2018-11-04T00:00", "2018-11-04T01:00-02:00", id="no midnight"
        ),
        pytest.param(
            "Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-04T02:30+11:00", id="half an hour"
        ),
        pytest.param(
            "Asia/Kathmandu", "1986-01-01T00:10", "1986-01-01T00:15+05:45", id="a new offset"
        ),
        pytest.param("Pacific/Apia", "2011-12-30T10:00", "2011-12-31T00:00+14:00", id="no 30th"),
    ],
)
def test_a_wall_time_is_the_first_instant_at_which_clocks_show_it_or_have_jumped_over_it(
    zone, wall, expected
):
    found = instant(datetime.fromisoformat(wall), ZoneInfo(zone))
    assert (found, found.tzinfo) == (at(expected), UTC)


def test_a_wall_time_marked_as_the_second_of_two_is_still_the_first():
    marked = datetime.fromisoformat("2026-10-25T01:30").replace(fold=1)
    assert instant(marked, ZoneInfo("Europe/London")) == at("2026-10-25T01:30+01:00")


def test_an_instant_is_read_off_the_wall_without_a_mark():
    found = wall_time(at("2026-10-25T01:30+00:00"), ZoneInfo("Europe/London"))
    assert (found.isoformat(), found.fold) == ("2026-10-25T01:30:00", 0)


# --- whose turn it is --------------------------------------------------------------------------

TURNS = """
Asia/Shanghai: clocks never change
  2026-11-02T10:00  1w   2026-11-02T09:59:59+08:00  nobody  before the first handover
  2026-11-02T10:00  1w   2026-11-02T10:00+08:00     alice   the first handover
  2026-11-02T10:00  1w   2026-11-09T09:59:59+08:00  alice   end of a first week
  2026-11-02T10:00  1w   2026-11-09T10:00+08:00     bob     second week
  2026-11-02T10:00  1w   2026-11-16T10:00+08:00     carol   third week
  2026-11-02T10:00  1w   2026-11-23T10:00+08:00     alice   round again
  2026-11-02T10:00  1w   2027-01-04T10:00+08:00     alice   over the year's end
  2026-11-02T10:00  2w   2026-11-16T09:59+08:00     alice   two weeks each
  2026-11-02T09:00  12h  2026-11-02T21:00+08:00     bob     half days
  2026-11-02T09:00  36h  2026-11-03T21:00+08:00     bob     a day and a half
  2024-02-28T10:00  1d   2024-02-29T10:00+08:00     bob     a leap day is a turn
  2024-02-28T10:00  1d   2024-03-01T10:00+08:00     carol   after a leap day
  2100-02-28T10:00  1d   2100-03-01T10:00+08:00     bob     no leap day in 2100
  2000-01-03T10:00  1w   2026-11-02T10:00+08:00     carol   since 1400 = 3 * 466 + 2 weeks
Europe/London: 01:00 -> 02:00 on 2026-03-29, 02:00 -> 01:00 on 2026-10-25
  2026-03-23T10:00  1w  2026-03-30T09:59+01:00     alice  10:00 stays 10:00: not yet
  2026-03-23T10:00  1w  2026-03-30T10:00+01:00     bob    10:00 stays 10:00: now
  2026-10-19T10:00  1w  2026-10-26T09:59+00:00     alice  10:00 stays 10:00 in winter
  2026-03-28T01:30  1d  2026-03-29T00:59:59+00:00  alice  before a gap
  2026-03-28T01:30  1d  2026-03-29T02:00+01:00     bob    a handover in a gap is at its end
  2026-03-28T01:30  1d  2026-03-30T01:29+01:00     bob    the day after a gap
  2026-10-24T01:30  1d  2026-10-25T01:29+01:00     alice  before a handover in a fold
  2026-10-24T01:30  1d  2026-10-25T01:30+01:00     bob    a handover in a fold is the first of two
  2026-10-24T01:30  1d  2026-10-25T01:15+00:00     bob    a repeated quarter is not handed back
  2026-10-24T01:30  1d  2026-10-25T01:30+00:00     bob    a repeated handover is none
America/Sao_Paulo: 00:00 -> 01:00 on 2018-11-04, 00:00 -> 23:00 on 2019-02-16; never again
  2018-11-03T00:00  1d  2018-11-03T23:59-03:00  alice  before a midnight that is none
  2018-11-03T00:00  1d  2018-11-04T01:00-02:00  bob    a midnight that is none
  2019-02-15T23:30  1d  2019-02-16T23:15-03:00  bob    the last hour of a day once more
  2019-02-16T00:00  1d  2019-02-16T23:59-03:00  alice  midnight after the repeated hour
  2018-11-05T10:00  1w  2026-11-02T10:00-03:00  alice  no summer time any more
  2018-11-05T10:00  1w  2026-11-02T09:59-03:00  carol  no summer time any more: not yet
Australia/Lord_Howe: 02:00 -> 02:30 on 2026-10-04, 02:00 -> 01:30 on 2026-04-05
  2026-10-03T02:15  1d  2026-10-04T01:59+10:30  alice  before a gap of half an hour
  2026-10-03T02:15  1d  2026-10-04T02:30+11:00  bob    a gap of half an hour
  2026-04-04T01:45  1d  2026-04-05T01:45+11:00  bob    a fold of half an hour
  2026-04-04T01:45  1d  2026-04-05T01:30+10:30  bob    half an hour once more
America/New_York: 02:00 -> 03:00 on 2026-03-08, 02:00 -> 01:00 on 2026-11-01
  2026-11-01T00:30  30m  2026-11-01T01:10-05:00  carol   the last of several handovers in a fold
  2026-11-01T00:30  30m  2026-11-01T01:59-05:00  carol   and until the fold ends
  2026-11-01T00:30  30m  2026-11-01T02:00-05:00  alice   then it goes on
  2026-03-08T01:30  20m  2026-03-08T03:00-04:00  bob     turns within a gap are skipped
  2026-11-01T01:45  1d   2026-11-01T01:30-05:00  alice   the start is in a fold
  2026-03-08T02:30  1d   2026-03-08T01:59-05:00  nobody  the start is in a gap
Asia/Kathmandu: 00:00 -> 00:15 on 1986-01-01, for good
  1985-12-31T00:00  1d  1986-01-01T00:15+05:45  bob  Kathmandu takes a new offset
Pacific/Apia: no 2011-12-30
  2011-12-28T10:00  1d  2011-12-31T00:00+14:00  carol  a skipped day's turn begins with the next
  2011-12-28T10:00  1d  2011-12-31T10:00+14:00  alice  and is short
"""


@pytest.mark.parametrize(("zone", "start", "every", "when", "who"), rows(TURNS))
def test_whose_turn_it_is(zone, start, every, when, who):
    one = rotation("alice", "bob", "carol", start=start, every=parse_duration(every))
    assert on_call(one, ZoneInfo(zone), at(when)) == (() if who == "nobody" else (who,))


def test_without_handovers_it_is_the_first_turn_for_ever():
    one = rotation("alice", "bob", start="2026-11-02T10:00")
    assert on_call(one, ZoneInfo("Asia/Shanghai"), at("2046-11-02T10:00+08:00")) == ("alice",)


def test_at_its_end_a_rotation_is_over():
    one = rotation("alice", "bob", start="2026-11-02T10:00", every=WEEK, end="2026-11-09T12:00")
    zone = ZoneInfo("Asia/Shanghai")
    assert on_call(one, zone, at("2026-11-09T11:59:59+08:00")) == ("bob",)
    assert on_call(one, zone, at("2026-11-09T12:00+08:00")) == ()


def test_a_turn_can_be_several_people():
    pairs = rotation("alice+bob", "carol", start="2026-11-02T00:00", every=DAY)
    found = on_call(pairs, ZoneInfo("Asia/Shanghai"), at("2026-11-02T10:00+08:00"))
    assert found == ("alice", "bob")


# --- restrictions ------------------------------------------------------------------------------

NIGHTS = "22:00-08:00"
RESTRICTED = """
Asia/Shanghai: clocks never change; 2026-11-06 is a Friday
  friday  22:00-08:00              2026-11-06T21:59+08:00     nobody  friday night: not yet
  friday  22:00-08:00              2026-11-06T22:00+08:00     alice   friday night
  friday  22:00-08:00              2026-11-07T07:59+08:00     alice   on saturday morning
  friday  22:00-08:00              2026-11-07T08:00+08:00     nobody  friday night is over
  friday  22:00-08:00              2026-11-06T07:59+08:00     nobody  friday morning is thursday's
  sunday  all                      2026-11-08T00:00+08:00     alice   sundays are number 0
  sunday  all                      2026-11-09T00:00+08:00     nobody  a whole day ends at midnight
  any     18:00-24:00              2026-11-06T23:59:59+08:00  alice   up to 24:00
  any     18:00-24:00              2026-11-07T00:00+08:00     nobody  not after 24:00
  friday  09:00-09:00              2026-11-07T08:59+08:00     alice   the same time: a day from then
  any     06:00-08:00+18:00-22:00  2026-11-06T18:00+08:00     alice   several hours: the second ones
  any     06:00-08:00+18:00-22:00  2026-11-06T12:00+08:00     nobody  several hours: between them
Europe/London: 01:00 -> 02:00 on 2026-03-29, 02:00 -> 01:00 on 2026-10-25
  any  22:00-08:00  2026-10-25T07:59+00:00  alice   a night with a repeated hour ends by the clock
  any  01:00-02:00  2026-10-25T01:30+00:00  alice   hours that are repeated last twice as long
  any  00:00-01:15  2026-10-25T01:10+00:00  nobody  an end in a fold is the first of two
  any  01:00-02:00  2026-03-29T02:00+01:00  nobody  hours within a gap are none
  any  01:30-03:00  2026-03-29T02:00+01:00  alice   hours that begin in a gap begin after it
America/Sao_Paulo: 00:00 -> 01:00 on 2018-11-04, a Sunday
  sunday  all  2018-11-04T01:00-02:00  alice  a sunday that begins at 01:00
America/St_Johns: 00:01 -> 23:01 on 2006-10-29, a Sunday
  sunday    all  2006-10-28T23:30-03:30  alice   a sunday that began before saturday 23:30
  saturday  all  2006-10-28T23:30-03:30  nobody  and no saturday any more
"""


@pytest.mark.parametrize(("zone", "weekday", "parts", "when", "who"), rows(RESTRICTED))
def test_a_restriction_takes_times_away(zone, weekday, parts, when, who):
    one = rotation(
        "alice",
        start="2000-01-03T10:00",
        every=WEEK,
        weekdays=frozenset() if weekday == "any" else frozenset({WEEKDAYS.index(weekday)}),
        hours=hours(parts),
    )
    assert on_call(one, ZoneInfo(zone), at(when)) == (() if who == "nobody" else (who,))


# In 2026 China has its National Day from Thursday, 1 October, and works on Saturday, 10 October.
HOLIDAYS = {("CN", date(2026, 10, day)) for day in range(1, 8)}
MADE_UP = {("CN", date(2026, 10, 10))}


def works(country, day):
    if (country, day) in HOLIDAYS:
        return False
    return (country, day) in MADE_UP or day.weekday() < 5


@pytest.mark.parametrize(
    ("when", "workdays", "days_off"),
    [
        pytest.param("2026-09-30T12:00+08:00", "day", "", id="a workday"),
        pytest.param("2026-10-01T12:00+08:00", "", "day", id="a public holiday"),
        pytest.param("2026-10-10T12:00+08:00", "day", "", id="a saturday made a workday"),
        pytest.param("2026-10-11T12:00+08:00", "", "day", id="a sunday"),
        pytest.param("2026-09-30T23:00+08:00", "night", "", id="the night before a holiday"),
        pytest.param("2026-10-01T07:00+08:00", "night", "", id="it ends on the holiday's morning"),
        pytest.param("2026-10-08T07:00+08:00", "", "night", id="the last holiday's night"),
        pytest.param("2026-10-08T22:00+08:00", "night", "", id="the first night after holidays"),
    ],
)
def test_workdays_are_asked_for_the_day_on_which_a_shift_begins(when, workdays, days_off):
    parts = {"day": hours("08:00-22:00"), "night": hours(NIGHTS)}

    def on(**country):
        return {
            part
            for part, parts_hours in parts.items()
            if on_call(
                rotation("alice", start="2026-01-01T00:00", hours=parts_hours, **country),
                ZoneInfo("Asia/Shanghai"),
                at(when),
                works,
            )
        }

    assert on(workdays="CN") == ({workdays} - {""})
    assert on(days_off="CN") == ({days_off} - {""})


def test_restricted_hours_do_not_shift_whose_turn_it_is():
    nights = rotation("alice", "bob", start="2026-11-02T10:00", every=WEEK, hours=hours(NIGHTS))
    zone = ZoneInfo("Asia/Shanghai")
    assert on_call(nights, zone, at("2026-11-09T07:59+08:00")) == ("alice",)
    assert on_call(nights, zone, at("2026-11-09T10:00+08:00")) == ()
    assert on_call(nights, zone, at("2026-11-09T22:00+08:00")) == ("bob",)


def test_a_handover_in_the_middle_of_a_night_does_not_make_it_another_days():
    friday_nights = rotation(
        "alice",
        "bob",
        start="2026-11-06T00:00",
        every=DAY,
        weekdays=frozenset({FRIDAY}),
        hours=hours(NIGHTS),
    )
    zone = ZoneInfo("Asia/Shanghai")
    assert on_call(friday_nights, zone, at("2026-11-06T23:59+08:00")) == ("alice",)
    assert on_call(friday_nights, zone, at("2026-11-07T00:00+08:00")) == ("bob",)


# --- when it may change ------------------------------------------------------------------------


def changed(one, start, end):
    zone = ZoneInfo("Asia/Shanghai")
    return [
        f"{found.astimezone(zone):%d %H:%M}" for found in changes(one, zone, at(start), at(end))
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"start": "2026-11-01T10:00", "every": 2 * DAY}, ["03 10:00"], id="handover"),
        pytest.param({"start": "2026-11-03T10:00"}, ["03 10:00"], id="the start alone"),
        pytest.param(
            {"start": "2026-11-01T10:00", "every": WEEK, "end": "2026-11-03T09:00"},
            ["03 09:00"],
            id="the end",
        ),
        pytest.param(
            {"start": "2026-11-01T10:00", "every": DAY, "end": "2026-11-02T00:00"},
            [],
            id="over already",
        ),
        pytest.param(
            {"start": "2026-11-01T10:00", "every": DAY, "end": "2026-11-02T12:00"},
            [],
            id="just over",
        ),
        pytest.param({"start": "2026-11-09T10:00", "every": DAY}, [], id="not begun"),
        pytest.param(
            {"start": "2026-11-01T10:00", "hours": hours(NIGHTS)},
            ["02 22:00", "03 08:00", "03 22:00", "04 08:00"],
            id="hours of a night",
        ),
        pytest.param(
            {"start": "2026-11-01T10:00", "weekdays": frozenset({MONDAY})},
            ["03 00:00", "04 00:00"],
            id="days",
        ),
    ],
)
def test_the_instants_at_which_it_may_change(fields, expected):
    one = rotation("alice", "bob", **fields)
    assert changed(one, "2026-11-02T12:00+08:00", "2026-11-04T12:00+08:00") == expected


def test_the_window_itself_is_no_change():
    daily = rotation("alice", "bob", start="2026-11-01T10:00", every=DAY)
    assert changed(daily, "2026-11-02T10:00+08:00", "2026-11-04T10:00+08:00") == ["03 10:00"]


# --- whatever the rotation ---------------------------------------------------------------------


@st.composite
def near_clock_changes(draw):
    """Return a zone and a wall time of it within two days of a clock change."""
    zone = draw(st.sampled_from(sorted(CLOCK_CHANGES)))
    day = date.fromisoformat(draw(st.sampled_from(CLOCK_CHANGES[zone])))
    minutes = draw(st.integers(-2 * 24 * 60, 3 * 24 * 60))
    return ZoneInfo(zone), datetime.combine(day, time()) + minutes * MINUTE


@st.composite
def plain_rotations(draw):
    """Return a rotation, its zone and an instant near a clock change that it covers."""
    zone, wall = draw(near_clock_changes())
    every = draw(st.integers(1, 15 * 24 * 6)) * 10 * MINUTE
    before = draw(st.integers(0, 200)) * every + draw(st.integers(0, 24 * 60)) * MINUTE
    turns = tuple((f"person {n}",) for n in range(draw(st.integers(1, 7))))
    when = instant(wall, zone) + draw(st.integers(0, 3 * 60)) * MINUTE
    return Rotation(turns=turns, start=wall - before, every=every), zone, when


@given(plain_rotations())
def test_exactly_one_turn_is_under_way_at_each_instant(drawn):
    one, zone, when = drawn
    handovers = [instant(one.start + n * one.every, zone) for n in range(700)]
    (number,) = (n for n, (begin, end) in enumerate(pairwise(handovers)) if begin <= when < end)
    assert on_call(one, zone, when) == one.turns[number % len(one.turns)]


@given(near_clock_changes(), st.integers(0, 26 * 60))
def test_a_later_wall_time_is_never_an_earlier_instant(drawn, minutes):
    zone, wall = drawn
    assert instant(wall, zone) <= instant(wall + minutes * MINUTE, zone)


@given(near_clock_changes())
def test_clocks_show_the_wall_time_of_an_instant_or_have_jumped_over_it(drawn):
    zone, wall = drawn
    found = instant(wall, zone)
    shown = wall_time(found, zone)
    if shown != wall:  # a gap: a second earlier they showed a time before it
        assert wall_time(found - timedelta(seconds=1), zone) < wall < shown


@given(near_clock_changes(), st.integers(2, 5), st.sampled_from([DAY, 2 * DAY, WEEK]))
def test_each_person_gets_equal_turns_over_a_whole_cycle(drawn, people, every):
    zone, wall = drawn
    start = datetime.combine(wall.date(), time(10)) - people * every
    one = Rotation(turns=tuple((str(n),) for n in range(people)), start=start, every=every)
    begin, end = instant(start, zone), instant(start + 3 * people * every, zone)
    edges = [begin, *(found for found in changes(one, zone, begin, end)), end]
    turns: dict[str, list[timedelta]] = {}
    for came, went in pairwise(edges):
        (person,) = on_call(one, zone, came)
        turns.setdefault(person, []).append(nominal(went, zone) - nominal(came, zone))
    assert turns == {str(n): [every] * 3 for n in range(people)}


def nominal(when, zone):
    """Return a handover's wall time, also where Apia skipped its day."""
    shown = wall_time(when, zone)
    return shown if shown.time() == time(10) else datetime.fromisoformat("2011-12-30T10:00")
