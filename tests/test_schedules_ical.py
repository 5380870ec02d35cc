"""Who is on call by an iCalendar feed: whole feeds in, people at instants out."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.errors import InvalidCalendar, MissingExtra
from adapter.schedules import ical, ical_bounds
from adapter.schedules.ical import read_feed
from adapter.schedules.ical_bounds import cost_of_rule, read_rule
from adapter.schedules.ical_names import Attendee, Names
from adapter.schedules.records import Shift

pytest.importorskip("recurring_ical_events", reason="the extra ical is not installed")
icalendar = pytest.importorskip("icalendar", reason="the extra ical is not installed")

SHANGHAI, LONDON = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/London")
PEOPLE = ("alice", "bob", "carol")
NINE_TO_FIVE = ("DTSTART:20261102T090000", "DTEND:20261102T170000")


def event(summary: str, *lines: str, uid: str = "") -> str:
    return "\n".join(
        ["BEGIN:VEVENT", f"UID:{uid or summary}", f"SUMMARY:{summary}", *lines, "END:VEVENT"]
    )


def feed_text(*events: str, head: tuple[str, ...] = ()) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//", *head, *events, "END:VCALENDAR"]
    return "\r\n".join("\n".join(lines).split("\n")) + "\r\n"


def read(*events: str, head: tuple[str, ...] = (), zone: ZoneInfo = SHANGHAI, **people_map: str):
    return read_feed(feed_text(*events, head=head), people_map, PEOPLE, zone)


def at(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- when --------------------------------------------------------------------------------------

CUSTOM_ZONE = """BEGIN:VTIMEZONE
TZID:Our Office
BEGIN:STANDARD
DTSTART:16010101T000000
TZOFFSETFROM:+0{offset}00
TZOFFSETTO:+0{offset}00
END:STANDARD
END:VTIMEZONE"""

WEEKLY = "RRULE:FREQ=WEEKLY"
OFFICE = ("DTSTART;TZID=Our Office:20261102T090000", "DTEND;TZID=Our Office:20261102T170000")
MOVED = event(
    "bob",
    "DTSTART:20261110T090000",
    "DTEND:20261110T170000",
    "RECURRENCE-ID:20261109T090000",
    uid="x",
)
DROPPED = event(
    "alice", *NINE_TO_FIVE, "RECURRENCE-ID:20261109T090000", "STATUS:CANCELLED", uid="x"
)

TIMES = {
    "a floating time is in the schedule's zone": (
        (event("alice", *NINE_TO_FIVE),),
        {"2026-11-02T08:59:59": (), "2026-11-02T09:00": ("alice",), "2026-11-02T17:00": ()},
    ),
    "a day is one of the schedule's zone": (
        (event("alice", "DTSTART;VALUE=DATE:20261102", "DTEND;VALUE=DATE:20261104"),),
        {
            "2026-11-01T23:59": (),
            "2026-11-02T00:00": ("alice",),
            "2026-11-03T23:59": ("alice",),
            "2026-11-04T00:00": (),
        },
    ),
    "a day without an end is one day": (
        (event("alice", "DTSTART;VALUE=DATE:20261102"),),
        {"2026-11-02T23:59": ("alice",), "2026-11-03T00:00": ()},
    ),
    "an instant": (
        (event("alice", "DTSTART:20261102T010000Z", "DURATION:PT8H"),),
        {"2026-11-02T09:00": ("alice",), "2026-11-02T17:00": ()},
    ),
    "a moment without an end is nobody's": (
        (event("alice", "DTSTART:20261102T010000Z"),),
        {"2026-11-02T09:00": ()},
    ),
    "overlapping events: all are on, who began earlier first": (
        (
            event("bob", "DTSTART:20261102T120000", "DURATION:PT8H"),
            event("alice", *NINE_TO_FIVE),
            event("alice", *NINE_TO_FIVE, uid="again"),
        ),
        {
            "2026-11-02T09:00": ("alice",),
            "2026-11-02T12:00": ("alice", "bob"),
            "2026-11-02T17:00": ("bob",),
        },
    ),
    "a rule, with an exception": (
        (event("alice", *NINE_TO_FIVE, WEEKLY, "EXDATE:20261109T090000"),),
        {"2026-11-02T09:00": ("alice",), "2026-11-09T09:00": (), "2026-11-16T09:00": ("alice",)},
    ),
    "an occurrence that was moved to another day and person": (
        (event("alice", *NINE_TO_FIVE, WEEKLY, uid="x"), MOVED),
        {"2026-11-09T09:00": (), "2026-11-10T09:00": ("bob",), "2026-11-16T09:00": ("alice",)},
    ),
    "an occurrence that was cancelled": (
        (event("alice", *NINE_TO_FIVE, WEEKLY, uid="x"), DROPPED),
        {"2026-11-02T09:00": ("alice",), "2026-11-09T09:00": (), "2026-11-16T09:00": ("alice",)},
    ),
    "a cancelled event": (
        (event("alice", *NINE_TO_FIVE, "STATUS:CANCELLED"),),
        {"2026-11-02T09:00": ()},
    ),
    "a zone by Outlook's name": (
        (event("alice", "DTSTART;TZID=GMT Standard Time:20261102T090000", "DURATION:PT1H"),),
        {"2026-11-02T09:00": (), "2026-11-02T17:00": ("alice",)},
    ),
    "a zone the feed defines itself": (
        (CUSTOM_ZONE.format(offset=5), event("alice", *OFFICE, WEEKLY)),
        {"2026-11-02T11:59": (), "2026-11-02T12:00": ("alice",), "2026-11-09T12:00": ("alice",)},
    ),
    "a shift that began long ago": (
        (event("alice", "DTSTART:20260101T000000", "DTEND:20271231T000000"),),
        {"2026-11-02T09:00": ("alice",)},
    ),
}


@pytest.mark.parametrize(("events", "expected"), TIMES.values(), ids=TIMES)
def test_times(events, expected):
    feed = read(*events)
    assert {when: feed.on_call(at(when)) for when in expected} == expected
    assert feed.left_out == ()


def test_a_rule_keeps_its_wall_time_over_a_clock_change():
    lines = ("DTSTART;TZID=Europe/London:20261023T090000", "DURATION:PT1H", "RRULE:FREQ=DAILY")
    feed = read(event("alice", *lines), zone=LONDON)
    assert feed.on_call(utc("2026-10-24T08:00")) == ("alice",)
    assert feed.on_call(utc("2026-10-25T08:30")) == ()
    assert feed.on_call(utc("2026-10-25T09:00")) == ("alice",)


@pytest.mark.parametrize(
    ("head", "when"),
    [
        (("X-WR-TIMEZONE:Europe/London",), "2026-11-02T17:00"),
        (("X-WR-TIMEZONE:Nowhere/At All",), "2026-11-02T09:00"),
        (("CALSCALE:gregorian",), "2026-11-02T09:00"),
    ],
)
def test_google_names_the_zone_of_floating_times(head, when):
    feed = read(event("alice", *NINE_TO_FIVE), head=head)
    assert feed.on_call(at(when) - timedelta(seconds=1)) == ()
    assert feed.on_call(at(when)) == ("alice",)


def test_two_feeds_may_call_different_zones_the_same():
    feeds = [read(CUSTOM_ZONE.format(offset=hours), event("alice", *OFFICE)) for hours in (5, 6)]
    assert [one.on_call(at("2026-11-02T11:00")) for one in feeds] == [(), ("alice",)]


def test_a_text_may_hold_several_calendars_and_a_byte_order_mark():
    text = (
        "\ufeff"
        + feed_text(event("alice", *NINE_TO_FIVE))
        + feed_text(event("bob", "DTSTART:20261103T090000", "DURATION:PT1H"))
    )
    for given_text in (text, text.encode()):
        feed = read_feed(given_text, {}, PEOPLE, SHANGHAI)
        assert feed.on_call(at("2026-11-02T09:00")) == ("alice",)
        assert feed.on_call(at("2026-11-03T09:00")) == ("bob",)


def test_nobody_is_on_call_where_no_calendar_reaches():
    feed = read(event("alice", "DTSTART:19700101T000000", "DURATION:PT24H", "RRULE:FREQ=DAILY"))
    assert feed.on_call(utc("2050-01-01T00:00")) == ("alice",)
    assert feed.on_call(utc("1960-01-01T00:00")) == feed.on_call(utc("2100-01-01T00:00")) == ()
    far = utc("2099-12-31T00:00"), utc("2101-01-01T00:00")
    assert [one.people for one in feed.shifts(*far)] == [("alice",), ()]
    early = utc("1970-06-01T00:00"), utc("1971-02-01T00:00")
    assert [one.people for one in feed.shifts(*early)] == [(), ("alice",)]
    never = utc("1960-01-01T00:00"), utc("1961-01-01T00:00")
    assert feed.shifts(*never) == [Shift(people=(), start=never[0], end=never[1])]
    assert feed.unknown_between(*never) == ()
    assert feed.shifts(never[0], never[0]) == []


def test_asking_again_and_again_works_nothing_out_again(monkeypatch):
    feed = read(event("alice", *NINE_TO_FIVE, WEEKLY))
    worked_out: list[int] = []
    really = feed._worked_out
    monkeypatch.setattr(
        feed, "_worked_out", lambda index: worked_out.append(index) or really(index)
    )
    for hour in range(24):
        feed.on_call(utc("2026-11-02T00:00") + timedelta(hours=hour))
    assert len(worked_out) == 1


def test_windows_long_past_are_forgotten(monkeypatch):
    monkeypatch.setattr(ical, "WINDOWS_KEPT", 2)
    feed = read(event("alice", *NINE_TO_FIVE, WEEKLY))
    for year in range(2026, 2032):
        feed.on_call(at(f"{year}-11-02T09:00"))
    assert len(feed._windows) <= 2


# --- who ---------------------------------------------------------------------------------------

ALICE_BY_MAIL = 'ATTENDEE;CN="Zhang, Alice";PARTSTAT=ACCEPTED:mailto:alice@example.com'

MEANINGS = {
    "a name": ("alice", (), ("alice",), ()),
    "in capitals, with spaces": ("  ALICE ", (), ("alice",), ()),
    "several names": ("alice, bob; carol", (), ("alice", "bob", "carol"), ()),
    "with other signs": ("alice/bob & carol", (), ("alice", "bob", "carol"), ()),
    "with words": ("alice and bob+carol", (), ("alice", "bob", "carol"), ()),
    "in Chinese": ("alice、bob，carol", (), ("alice", "bob", "carol"), ()),
    "mapped": ("王小丽", (), ("alice",), ()),
    "mapped as a whole, though it could be a list": ("R&D", (), ("carol",), ()),
    "mapped as a part": ("R&D / bob, 王小丽", (), ("bob", "alice"), ("R", "D")),
    "twice the same": ("alice, 王小丽", (), ("alice",), ()),
    "one of them a stranger": ("alice, zed", (), ("alice",), ("zed",)),
    "nobody": ("On call", (), (), ("On call",)),
    "nothing at all": ("", (), (), ()),
    "an attendee by mailbox": ("On call", (ALICE_BY_MAIL,), ("alice",), ()),
    "an attendee by name": ("On call", ("ATTENDEE;CN=Bob:mailto:b@example.com",), ("bob",), ()),
    "an attendee by mail, mapped": ("On call", ("ATTENDEE:MAILTO:C@example.com",), ("carol",), ()),
    "an attendee who declined": (
        "On call",
        ("ATTENDEE;PARTSTAT=DECLINED:mailto:alice@example.com", "ATTENDEE:mailto:bob@example.com"),
        ("bob",),
        (),
    ),
    "a room": ("On call", ("ATTENDEE;CUTYPE=ROOM:mailto:r@example.com",), (), ("On call",)),
    "a summary goes before attendees": ("bob", (ALICE_BY_MAIL,), ("bob",), ()),
    "strangers attend": (
        "",
        ("ATTENDEE;CN=Zed:mailto:z@example.com", "ATTENDEE:mailto:y@example.com"),
        (),
        ("Zed", "y@example.com"),
    ),
}
MAP = {"王小丽": "alice", "r&d": "carol", "c@example.com": "carol"}


@pytest.mark.parametrize(
    ("summary", "attendees", "people", "unknown"), MEANINGS.values(), ids=MEANINGS
)
def test_whom_an_event_means(summary, attendees, people, unknown):
    escaped = summary.replace(",", "\\,").replace(";", "\\;")
    text = feed_text(event(escaped, *NINE_TO_FIVE, *attendees, uid="x"))
    feed = read_feed(text, MAP, PEOPLE, SHANGHAI)
    assert feed.on_call(at("2026-11-02T09:00")) == people
    assert feed.unknown == unknown
    day = at("2026-11-02T00:00"), at("2026-11-03T00:00")
    assert feed.unknown_between(*day) == unknown
    assert feed.unknown_between(day[1], day[1] + timedelta(days=20)) == ()


def test_a_strangers_text_is_cut():
    meant = Names({}, PEOPLE).meant("zed " * 100, [Attendee(mail="alice@example.com", kind="ROOM")])
    assert meant.people == ()
    assert len(meant.unknown[0]) == 81


def test_a_cancelled_event_has_no_strangers():
    assert read(event("zed", *NINE_TO_FIVE, "STATUS:CANCELLED")).unknown == ()


# --- what is wrong with it ---------------------------------------------------------------------

LEFT_OUT = {
    "no start": ((), "its times cannot be read"),
    "a start that is no time": (("DTSTART:soon",), "its times cannot be read"),
    "an end that is no time": (("DTSTART:20261102T090000", "DTEND:late"), "cannot be read"),
    "an end before its start": (
        ("DTSTART:20261102T090000", "DTEND:20261101T090000"),
        "it ends before it begins",
    ),
    "a negative duration": (("DTSTART:20261102T090000", "DURATION:-PT1H"), "it ends before"),
    "a duration that is a time": (
        ("DTSTART:20261102T090000", "DURATION:20261103T090000"),
        "its times cannot be read",
    ),
    "a rule without a pace": ((*NINE_TO_FIVE, "RRULE:BYDAY=MO"), "its RRULE cannot be followed"),
    "a rule that stands still": ((*NINE_TO_FIVE, "RRULE:FREQ=DAILY;INTERVAL=0"), "be followed"),
    "a rule that is none": ((*NINE_TO_FIVE, "RRULE:weekly"), "be followed"),
    "a rule for no weekday": ((*NINE_TO_FIVE, "RRULE:FREQ=WEEKLY;BYDAY=XX"), "be followed"),
    "a rule for the 99th hour": ((*NINE_TO_FIVE, "RRULE:FREQ=DAILY;BYHOUR=99"), "cannot be read"),
}


@pytest.mark.parametrize(("lines", "why"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_an_event_that_cannot_be_understood_is_left_out_and_the_others_count(lines, why):
    feed = read(event("alice", *lines), event("bob", *NINE_TO_FIVE))
    assert feed.on_call(at("2026-11-02T09:00")) == ("bob",)
    assert len(feed.left_out) == 1
    assert feed.left_out[0].startswith("event 'alice': ")
    assert why in feed.left_out[0]


def test_a_series_that_breaks_as_it_is_worked_out_is_given_up_once():
    rule = "RRULE:FREQ=YEARLY;BYDAY=99MO"
    feed = read(event("alice", *NINE_TO_FIVE, rule), event("bob", *NINE_TO_FIVE))
    for month in range(1, 13):
        feed.on_call(at(f"2027-{month:02}-01T09:00"))
    assert feed.on_call(at("2026-11-02T09:00")) == ("bob",)
    assert len(feed.left_out) == 1


EVERY = ",".join(map(str, range(60)))
REFUSED = {
    "no calendar": ("hello", "it is no iCalendar text"),
    "a web page": ("<html><body>Sign in</body></html>", "it is no iCalendar text"),
    "nothing": ("", "no BEGIN:VCALENDAR"),
    "an event alone": (event("alice", *NINE_TO_FIVE), "no BEGIN:VCALENDAR"),
    "cut off": (feed_text(event("alice", *NINE_TO_FIVE))[:-20], "no BEGIN:VCALENDAR"),
    "not UTF-8": (
        "王小丽".encode("gb18030"),
        "it is not UTF-8: invalid continuation byte at byte 0",
    ),
    "a zone without offsets": (
        feed_text("BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nEND:STANDARD\nEND:VTIMEZONE"),
        "it is no iCalendar text",
    ),
    "every second": (
        feed_text(event("alice", *NINE_TO_FIVE, "RRULE:FREQ=SECONDLY")),
        "it repeats events too often to work out, up to event 'alice'",
    ),
    "every second, said otherwise": (
        feed_text(
            event("bob", *NINE_TO_FIVE, f"RRULE:FREQ=DAILY;BYMINUTE={EVERY};BYSECOND={EVERY}")
        ),
        "too often",
    ),
    "every second of a folded line": (
        feed_text(event("bob", *NINE_TO_FIVE, "RRULE:FREQ=SEC\n ONDLY")),
        "too often",
    ),
    "thousands of rules that never come true": (
        feed_text(
            *(
                event("bob", *NINE_TO_FIVE, "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", uid=str(n))
                for n in range(3)
            )
        ),
        "too often",
    ),
    "a rule of events of years": (
        feed_text(event("alice", "DTSTART:20200101T000000", "DURATION:P600D", WEEKLY)),
        "event 'alice' is repeated, and longer than a year",
    ),
    "a zone that changes every second": (
        feed_text(
            "BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:+0100\n"
            "TZOFFSETTO:+0100\nRRULE:FREQ=SECONDLY\nEND:STANDARD\nEND:VTIMEZONE"
        ),
        "a time zone changes by a rule we do not follow: 'FREQ=SECONDLY'",
    ),
    "a zone of hundreds of rules": (
        feed_text(
            "BEGIN:VTIMEZONE", *["RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"] * 201, "END:VTIMEZONE"
        ),
        "its time zones have 201 rules; 200 at most",
    ),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_a_feed_that_is_refused(text, why):
    with pytest.raises(InvalidCalendar) as refusal:
        read_feed(text, {}, PEOPLE, SHANGHAI)
    assert why in str(refusal.value)


def test_a_feed_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(ical, "MAX_BYTES", 100)
    with pytest.raises(InvalidCalendar, match="it has 101 bytes; 100 at most"):
        read_feed("x" * 101, {}, PEOPLE, SHANGHAI)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "icalendar", None)
    with pytest.raises(
        MissingExtra, match=r"icalendar is not .*pip install 'uvms-adapter\[ical\]'"
    ):
        read(event("alice", *NINE_TO_FIVE))


# --- what it costs -----------------------------------------------------------------------------

HARMLESS = {
    "daily": "FREQ=DAILY",
    "on working days": "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
    "twelve-hour shifts": "FREQ=HOURLY;INTERVAL=12",
    "every second week": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;WKST=MO",
    "on the first of a month": "FREQ=MONTHLY;BYMONTHDAY=1",
    "on the last Friday": "FREQ=MONTHLY;BYDAY=-1FR",
    "a birthday": "FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=4",
    "seconds, but few": "FREQ=SECONDLY;COUNT=10",
    "over long ago": "FREQ=DAILY;UNTIL=20270101T000000Z",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_a_hundred_of_these_rules_are_harmless(text):
    rule = read_rule(text)
    assert rule is not None
    assert cost_of_rule(rule, utc("2026-11-02T00:00")) * 50 < ical_bounds.MOST_COST


DEAR = {
    "minutes": "FREQ=MINUTELY",
    "hours of some days": "FREQ=HOURLY;BYDAY=MO",
    "days that meet": "FREQ=DAILY;BYDAY=MO;BYMONTHDAY=13",
    "a day that may never be": "FREQ=DAILY;INTERVAL=1;BYMONTHDAY=31",
}


@pytest.mark.parametrize("text", DEAR.values(), ids=DEAR)
def test_a_few_of_these_rules_are_too_much(text):
    rule = read_rule(text)
    assert rule is not None
    assert cost_of_rule(rule, utc("2026-11-02T00:00")) * 3 > ical_bounds.MOST_COST


@pytest.mark.parametrize(
    ("text", "sparse"),
    [
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", True),
        ("FREQ=WEEKLY;BYMONTH=2", True),
        ("FREQ=MONTHLY;BYMONTHDAY=31", True),
        ("FREQ=MONTHLY;BYDAY=5FR", True),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", True),
        ("FREQ=MONTHLY;BYDAY=4FR", False),
        ("FREQ=YEARLY;BYWEEKNO=53", True),
    ],
)
def test_rules_that_may_run_dry_are_counted_to_the_end_of_time(text, sparse):
    rule = read_rule(text)
    assert rule is not None
    assert ical_bounds._never_dry(rule) is not sparse


# --- any feed ----------------------------------------------------------------------------------

BEGIN = utc("2026-01-01T00:00")
END = BEGIN + timedelta(days=200)
QUARTERS = 200 * 96


@st.composite
def turns(draw):
    """Draw shifts one after another, some with holes between them."""
    edges = sorted(draw(st.sets(st.integers(1, QUARTERS - 1), max_size=24)))
    moments = [BEGIN + edge * timedelta(minutes=15) for edge in edges]
    who = st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True)
    return [(start, end, tuple(draw(who))) for start, end in pairwise(moments)]


@settings(deadline=None, max_examples=60)
@given(
    turns(), st.sampled_from(["UTC", "Asia/Shanghai", "America/Sao_Paulo", "Australia/Lord_Howe"])
)
def test_a_generated_feed_gives_exactly_the_shifts_it_was_made_of(shifts, zone_name):
    zone = ZoneInfo(zone_name)
    calendar = icalendar.Calendar()
    for number, (start, end, people) in enumerate(shifts):
        if people:
            made = icalendar.Event()
            made.add("uid", str(number))
            made.add("summary", " & ".join(people))
            made.add("dtstart", start.astimezone(zone))
            made.add("dtend", end.astimezone(zone))
            calendar.add_component(made)
    feed = read_feed(calendar.to_ical(), {}, PEOPLE, zone)

    found = feed.shifts(BEGIN, END)
    assert found[0].start == BEGIN
    assert found[-1].end == END
    assert all(a.end == b.start and a.people != b.people for a, b in pairwise(found))
    for start, end, people in shifts:
        assert feed.on_call(start) == feed.on_call(end - timedelta(seconds=1)) == people
        inside = [one for one in found if one.start < end and start < one.end]
        assert {one.people for one in inside} == {people}
    covered = sum((one.end - one.start for one in found if one.people), timedelta())
    assert covered == sum((end - start for start, end, people in shifts if people), timedelta())
    assert feed.unknown == feed.left_out == ()


PIECES = st.sampled_from(
    [
        "BEGIN:VCALENDAR",
        "END:VCALENDAR",
        "BEGIN:VEVENT",
        "END:VEVENT",
        "BEGIN:VTIMEZONE",
        "END:VTIMEZONE",
        "DTSTART:20261102T090000",
        "DTSTART;VALUE=DATE:20261102",
        "DTEND:20261102T170000Z",
        "DURATION:P1D",
        "RRULE:FREQ=DAILY;COUNT=3",
        "RRULE:FREQ=WEEKLY;UNTIL=20261201",
        "EXDATE:20261103T090000",
        "RDATE:20261109",
        "RECURRENCE-ID:20261103T090000Z",
        "STATUS:CANCELLED",
        "SUMMARY:alice",
        "UID:1",
        "SEQUENCE:x",
        "ATTENDEE;CN=bob:b",
        "TZID:X",
        "X-WR-TIMEZONE:Mars",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(PIECES | st.text(max_size=20), max_size=12))
def test_whatever_the_text_it_is_read_or_refused(lines):
    text = "\r\n".join(["BEGIN:VCALENDAR", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR"])
    try:
        feed = read_feed(text, {}, PEOPLE, SHANGHAI)
    except InvalidCalendar:
        return
    assert set(feed.on_call(at("2026-11-02T12:00"))) <= set(PEOPLE)
    feed.shifts(BEGIN, END)


@given(st.text(max_size=60))
def test_whatever_a_rule_says_its_cost_is_a_number(text):
    rule = read_rule(f"FREQ=DAILY;{text}")
    if rule is not None:
        assert cost_of_rule(rule, datetime.combine(date(2026, 1, 1), datetime.min.time())) >= 0
