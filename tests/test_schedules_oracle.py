"""Rotations against recurring calendar events, worked out by a library that knows nothing of us.

A rotation is written as one recurring event for each turn (RFC 5545: DTSTART with a time zone and
an RRULE that repeats it by the wall clock); whose event began last is on call. Starts that are
shown twice are the first of the two there as here, so handovers in a fold are compared too. Starts
in a gap are not: RFC 5545, 3.3.5, takes the offset before the gap and lands after its end, we hand
over at its end. Rotations that meet one are drawn anew; test_schedules_rotations has them by hand.
"""

from bisect import bisect_right
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import count, islice
from math import gcd, lcm
from random import Random
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from dateutil.tz import datetime_exists

from adapter.schedules.records import Hours, Rotation
from adapter.schedules.rotations import on_call

ZONES = (
    "Asia/Shanghai",  # no clock changes
    "Asia/Kathmandu",  # none either, and a quarter of an hour in its offset
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",  # changed at midnight, until 2019
    "Asia/Tehran",  # changed at midnight, until 2022
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Auckland",
)
ROTATIONS, INSTANTS = 25, 50  # of each zone, and of each rotation
EVERY_HOURS = (6, 8, 12, 24, 36, 48, 7 * 24, 14 * 24)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
BYDAY = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")


# --- drawing -----------------------------------------------------------------------------------


def clock_changes(zone):
    """Return the hours in which clocks changed from 2010 to 2035."""
    begin = datetime(2010, 1, 1, tzinfo=UTC)
    days = [begin + n * DAY for n in range(25 * 365)]
    return [
        next(hour for hour in (day + n * HOUR for n in range(24)) if jumps(hour, HOUR, zone))
        for day in days
        if jumps(day, DAY, zone)
    ]


def jumps(at, span, zone):
    return at.astimezone(zone).utcoffset() != (at + span).astimezone(zone).utcoffset()


def draw_centre(chance, changes):
    """Return a time to look at: mostly a clock change, where the zone has any."""
    if changes and chance.random() < 0.9:
        return chance.choice(changes)
    return datetime(2010, 1, 1, tzinfo=UTC) + chance.randrange(25 * 365) * DAY


def draw_start(chance, centre, every):
    """Return a wall time some turns before the centre; at times twenty years before."""
    days = chance.randrange(20 * 365 if chance.random() < 0.1 else 365)
    day = (centre - 2 * every - 12 * DAY - days * DAY).date()
    return datetime.combine(day, time()) + draw_quarter(chance)


def draw_quarter(chance):
    return chance.randrange(24 * 4) * timedelta(minutes=15)


def draw_instants(chance, centre, edges):
    """Return instants close to the centre, on the edges of shifts, and anywhere about."""
    near = [edge for edge in edges if abs(edge - centre) < 10 * DAY] or [centre]
    instants = []
    for _ in range(INSTANTS):
        kind = chance.random()
        if kind < 0.4:
            instants.append(centre + chance.randrange(-6 * 3600, 6 * 3600) * SECOND)
        elif kind < 0.6:
            instants.append(chance.choice(near) + chance.choice((-1, 0, 1)) * SECOND)
        else:
            instants.append(centre + chance.randrange(-10 * 86400, 10 * 86400) * SECOND)
    return instants


# --- the oracle --------------------------------------------------------------------------------


def event(name, start, end, zone, rule):
    found = icalendar.Event()
    found.add("uid", f"{name} {start}")
    found.add("summary", name)
    found.add("dtstart", start.replace(tzinfo=zone))
    found.add("dtend", end.replace(tzinfo=zone))
    found.add("rrule", rule)
    return found


def occurrences(events, begin, end):
    """Return (start, end, summary) of what the library finds; None: some start or end in a gap."""
    calendar = icalendar.Calendar()
    for one in events:
        calendar.add_component(one)
    found = recurring_ical_events.of(calendar).between(begin, end)
    if not all(datetime_exists(one.start) and datetime_exists(one.end) for one in found):
        return None
    return sorted(
        (one.start.astimezone(UTC), one.end.astimezone(UTC), str(one["summary"])) for one in found
    )


def turn_events(rotation, zone):
    """Yield a daily rule for each turn; as many turns as it takes to repeat by whole days."""
    every = rotation.every // HOUR
    number_of_turns = lcm(len(rotation.turns), 24 // gcd(every, 24))
    rule = {"freq": "daily", "interval": number_of_turns * every // 24}
    for number in range(number_of_turns):
        (name,) = rotation.turns[number % len(rotation.turns)]
        start = rotation.start + number * rotation.every
        yield event(name, start, start + rotation.every, zone, rule)


def taking_turns(chance, zone, changes):
    """Return a rotation and (instant, whose turn it is by the oracle); None: it meets a gap."""
    every = chance.choice(EVERY_HOURS) * HOUR
    centre = draw_centre(chance, changes)
    turns = tuple((f"person {n}",) for n in range(chance.randint(1, 6)))
    rotation = Rotation(turns=turns, start=draw_start(chance, centre, every), every=every)
    span = 11 * DAY + every
    shifts = occurrences(turn_events(rotation, zone), centre - span, centre + span)
    if shifts is None:
        return None
    starts = [start for start, _, _ in shifts]
    instants = draw_instants(chance, centre, starts)
    return rotation, [(at, (shifts[bisect_right(starts, at) - 1][2],)) for at in instants]


def restricted(chance, zone, changes):
    """Return a rotation for hours of some weekdays and (instant, who by the oracle), or None."""
    centre = draw_centre(chance, changes)
    begin, end = draw_quarter(chance), draw_quarter(chance)
    weekdays = chance.sample(range(7), chance.randint(1, 6))
    start = draw_start(chance, centre, DAY)
    while (start.isoweekday() % 7) not in weekdays:  # DTSTART is an occurrence, whatever the rule
        start -= DAY
    midnight = datetime.combine(start.date(), time())
    rotation = Rotation(
        turns=(("alice",),),
        start=midnight,
        weekdays=frozenset(weekdays),
        hours=(Hours(start=begin // MINUTE, end=end // MINUTE),),
    )
    last = midnight + end + (DAY if end <= begin else timedelta())
    rule = {"freq": "weekly", "byday": [BYDAY[number] for number in sorted(weekdays)]}
    one = event("alice", midnight + begin, last, zone, rule)
    shifts = occurrences([one], centre - 13 * DAY, centre + 13 * DAY)
    if shifts is None:
        return None
    instants = draw_instants(chance, centre, [edge for shift in shifts for edge in shift[:2]])
    on = {at: any(start <= at < end for start, end, _ in shifts) for at in instants}
    return rotation, [(at, ("alice",) if on[at] else ()) for at in instants]


# --- comparing ---------------------------------------------------------------------------------


@cache
def drawn(draw, zone_name):
    """Return what `draw` returns for a zone, the same in each run."""
    zone, chance = ZoneInfo(zone_name), Random(zone_name)
    changes = clock_changes(zone)
    each = (draw(chance, zone, changes) for _ in count())
    return list(islice((one for one in each if one is not None), ROTATIONS))


def asked(rotation, zone_name, expected):
    def never_asked(country, day):
        raise AssertionError("no rotation here depends on workdays")

    zone = ZoneInfo(zone_name)
    return [(at, on_call(rotation, zone, at, never_asked)) for at, _ in expected]


@pytest.mark.parametrize("zone_name", ZONES)
def test_whose_turn_it_is_agrees_with_recurring_events(zone_name):
    for rotation, expected in drawn(taking_turns, zone_name):
        assert asked(rotation, zone_name, expected) == expected, rotation


@pytest.mark.parametrize("zone_name", ZONES)
def test_restricted_hours_agree_with_recurring_events(zone_name):
    for rotation, expected in drawn(restricted, zone_name):
        assert asked(rotation, zone_name, expected) == expected, rotation


def test_ten_thousand_instants_are_compared_many_of_them_in_a_repeated_hour():
    instants = [
        (at, ZoneInfo(name))
        for name in ZONES
        for _, expected in drawn(taking_turns, name)
        for at, _ in expected
    ]
    assert len(instants) == 10_000
    assert sum(at.astimezone(zone).fold for at, zone in instants) >= 100
