"""Who is on call when, and who stands in for whom, as people and scripts are shown it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import count, pairwise

import pytest
from databases import url_in
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar
from msgspec.structs import replace
from night_world import HOUR, NOW, NUMBERS, POLICY

from adapter.config.load import load
from adapter.errors import NotFound, NotPossible
from adapter.model import EventKind, StoredOverride
from adapter.schedules.records import StoredCalendar
from adapter.store.store import open_store
from adapter.views import calendars, schedules

WEEK = timedelta(days=7)


@pytest.fixture
def store(database, tmp_path):
    opened = open_store(url_in(tmp_path), exclusive=True)
    yield opened
    opened.close()


def view(store, job, *args, **kwargs):
    return store.write_now(lambda session: job(session, *args, **kwargs))


def plan(overrides=(), at=NOW, days=7, only=(), policy=POLICY):
    return schedules.plan(policy, overrides, {}, at, days, only)


# --- plans -------------------------------------------------------------------------------------


def test_a_plan():
    found = plan(days=2, only=["primary"])
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "at": "2026-11-24T03:00:00.000+00:00",
        "until": "2026-11-26T03:00:00.000+00:00",
        "schedules": [
            {
                "schedule": "primary",
                "time_zone": "Asia/Shanghai",
                "on_call": ["alice"],
                "next": ["bob"],
                "shifts": [
                    {
                        "start": "2026-11-24T03:00:00.000+00:00",
                        "end": "2026-11-24T16:00:00.000+00:00",
                        "people": ["alice"],
                    },
                    {
                        "start": "2026-11-24T16:00:00.000+00:00",
                        "end": "2026-11-26T03:00:00.000+00:00",
                        "people": ["bob"],
                    },
                ],
            }
        ],
    }


def test_a_plan_of_all_schedules_shows_holes():
    primary, office = plan(days=1)["schedules"]
    assert (primary["schedule"], office["schedule"]) == ("primary", "office")
    assert [shift["people"] for shift in office["shifts"]] == [["carol"], [], ["carol"]]


def test_overrides_are_laid_over_a_plan():
    (found,) = plan([override(hours=3)], days=1, only=["primary"])["schedules"]
    assert found["on_call"] == ["carol"]
    assert [shift["people"] for shift in found["shifts"]] == [["carol"], ["alice"], ["bob"]]


def test_a_schedule_that_is_not_there():
    with pytest.raises(NotFound) as caught:
        plan(only=["primary", "secondary"])
    assert str(caught.value) == "there is no schedule 'secondary'; there is: office, primary"
    with pytest.raises(NotFound, match="there is no schedule 'x'; there is: none"):
        plan(only=["x"], policy=replace(POLICY, schedules={}))


@given(minutes=st.integers(0, 30 * 24 * 60), days=st.integers(1, 30))
def test_a_plan_leaves_no_gap(minutes, days):
    at = NOW + timedelta(minutes=minutes)
    found = plan(at=at, days=days)
    for schedule in found["schedules"]:
        shifts = schedule["shifts"]
        assert (shifts[0]["start"], shifts[-1]["end"]) == (found["at"], found["until"])
        for earlier, later in pairwise(shifts):
            assert earlier["end"] == later["start"]
            assert earlier["people"] != later["people"]
        assert schedule["on_call"] == shifts[0]["people"]


# --- overrides ---------------------------------------------------------------------------------


def override(hours: int, starts_at: datetime = NOW) -> StoredOverride:
    return StoredOverride(
        id="o-1",
        schedule="primary",
        person="carol",
        starts_at=starts_at,
        ends_at=starts_at + hours * HOUR,
        created_at=NOW,
        created_by="wang",
    )


_ids = count(1)


def add(store, **changed):
    asked = {
        "schedule": "primary",
        "person": "carol",
        "starts_at": NOW,
        "ends_at": NOW + 8 * HOUR,
        "now": NOW,
        "by": "wang",
        "new_id": lambda: f"o-{next(_ids)}",
    }
    return view(store, schedules.add_override, POLICY, **asked | changed)


def test_an_override_is_added_listed_and_removed(store):
    made = add(store, new_id=lambda: "abc1")
    assert made == {
        "id": "abc1",
        "schedule": "primary",
        "person": "carol",
        "from": "2026-11-24T03:00:00.000+00:00",
        "until": "2026-11-24T11:00:00.000+00:00",
        "created_at": "2026-11-24T03:00:00.000+00:00",
        "created_by": "wang",
        "removed_at": None,
    }
    add(store, new_id=lambda: "abd2")
    assert view(store, schedules.overrides, NOW)["overrides"][0] == made
    gone = view(store, schedules.remove_override, "abc", NOW + HOUR, "li")
    assert gone == made | {"removed_at": "2026-11-24T04:00:00.000+00:00", "removed_by": "li"}
    (left,) = view(store, schedules.overrides, NOW + HOUR)["overrides"]
    assert left["id"] == "abd2"


def test_an_override_ends_by_itself(store):
    add(store)
    assert len(view(store, schedules.overrides, NOW + 7 * HOUR)["overrides"]) == 1
    assert view(store, schedules.overrides, NOW + 8 * HOUR)["overrides"] == []


def test_both_are_told_in_the_story(store):
    add(store, new_id=lambda: "abc")
    view(store, schedules.remove_override, "abc", NOW, "li")
    told = view(store, lambda session: session.events_of())
    detail = "carol, 2026-11-24T03:00:00.000+00:00 to 2026-11-24T11:00:00.000+00:00, override abc"
    assert [(each.kind, each.subject, each.actor, each.detail) for each in told] == [
        (EventKind.OVERRIDE_ADDED, "primary", "wang", detail),
        (EventKind.OVERRIDE_REMOVED, "primary", "li", detail),
    ]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param(
            {"schedule": "x"},
            NotFound("there is no schedule 'x'; there is: office, primary"),
            id="schedule",
        ),
        pytest.param(
            {"person": "zoe"},
            NotFound("there is no person 'zoe'; there is: alice, bob, carol"),
            id="person",
        ),
        pytest.param(
            {"ends_at": NOW},
            NotPossible("it would end at 2026-11-24T03:00:00.000+00:00, before it begins"),
            id="no time at all",
        ),
        pytest.param(
            {"starts_at": NOW - 2 * HOUR, "ends_at": NOW - HOUR},
            NotPossible("it would have ended at 2026-11-24T02:00:00.000+00:00"),
            id="over",
        ),
        pytest.param(
            {"ends_at": NOW + timedelta(days=366, seconds=1)},
            NotPossible("it would last longer than 366 days"),
            id="for ever",
        ),
    ],
)
def test_overrides_that_cannot_be(store, changed, error):
    with pytest.raises(type(error)) as caught:
        add(store, **changed)
    assert str(caught.value) == str(error)
    assert view(store, schedules.overrides, NOW - WEEK)["overrides"] == []


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ("ab", "more than one override begins with 'ab': give more of its id"),
        ("x", "there is no override 'x'"),
        ("", "there is no override ''"),
        ("abc12", "there is no override 'abc12'"),
    ],
)
def test_overrides_that_are_not_there(store, wanted, error):
    add(store, new_id=lambda: "abc")
    add(store, new_id=lambda: "abc1")
    with pytest.raises(NotFound) as caught:
        view(store, schedules.remove_override, wanted, NOW, "li")
    assert str(caught.value) == error
    assert view(store, schedules.remove_override, "abc", NOW, "li")["id"] == "abc"


def test_an_override_is_removed_once(store):
    add(store, new_id=lambda: "abc")
    view(store, schedules.remove_override, "abc", NOW, "li")
    with pytest.raises(NotFound, match="there is no override 'abc'"):
        view(store, schedules.remove_override, "abc", NOW, "li")


def test_times_of_another_zone_are_kept_as_instants(store):
    made = add(store, ends_at=datetime.fromisoformat("2026-11-24T19:00:00+08:00"))
    assert made["until"] == "2026-11-24T11:00:00.000+00:00"


# --- calendars ---------------------------------------------------------------------------------


def test_a_plan_as_a_calendar_reads_back_as_it_is():
    found = plan([override(hours=3)], days=2)
    read = Calendar.from_ical(calendars.ical(found, NOW))
    events = [
        (str(e["summary"]), e.decoded("dtstart"), e.decoded("dtend")) for e in read.walk("VEVENT")
    ]
    assert events == [
        (
            f"{', '.join(shift['people'])} ({schedule['schedule']})",
            datetime.fromisoformat(shift["start"]),
            datetime.fromisoformat(shift["end"]),
        )
        for schedule in found["schedules"]
        for shift in schedule["shifts"]
        if shift["people"]
    ]
    assert len({str(e["uid"]) for e in read.walk("VEVENT")}) == len(events) == 6
    assert {e.decoded("dtstamp") for e in read.walk("VEVENT")} == {NOW}


FEED = load(
    """
people: {alice: {phone: "+8613512345678"}}
schedules:
  feed:
    time_zone: Asia/Shanghai
    calendar: {url: "https://calendar.example.com/a.ics", people: {Wang: alice}}
  plain:
    time_zone: Asia/Shanghai
    rotations: [{people: [alice], start: "2026-11-02T00:00"}]
receivers: [{name: nobody}]
route: {receiver: nobody}
"""
)
TEXT = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//y//EN
BEGIN:VEVENT
UID:1
DTSTAMP:20261101T000000Z
DTSTART:20261124T000000Z
DTEND:20261125T000000Z
SUMMARY:Wang
END:VEVENT
END:VCALENDAR
"""


def keep(store, schedule: str, text: str) -> None:
    copy = StoredCalendar(
        schedule=schedule, source="h", text=text, etag="", last_modified="", fetched_at=NOW
    )
    view(store, lambda session: session.keep_calendar(copy))


def test_feeds_that_the_service_has_stored(store):
    keep(store, "feed", TEXT)
    keep(store, "plain", TEXT)
    keep(store, "gone", TEXT)
    found = view(store, calendars.feeds_of, FEED)
    assert list(found) == ["feed"]
    (planned,) = schedules.plan(FEED, [], found, NOW, 1, ["feed"])["schedules"]
    assert planned["on_call"] == ["alice"]


def test_a_stored_feed_that_is_none_is_passed_over(store):
    keep(store, "feed", "BEGIN:VCALENDAR")
    assert view(store, calendars.feeds_of, FEED) == {}


def test_no_plan_tells_a_number():
    text = json.dumps(plan()) + calendars.ical(plan(), NOW)
    assert not [number for number in NUMBERS if number[3:] in text]
