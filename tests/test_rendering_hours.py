"""Which voice template may be spoken now, and when the next one may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.rendering.hours import chain, is_open, next_usable, usable_template
from adapter.rendering.templates import ApprovedHours, VoiceTemplate

SHANGHAI, LONDON = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/London")


def hours(text: str, zone: ZoneInfo = SHANGHAI) -> ApprovedHours:
    ends = [int(part[:2]) * 60 + int(part[3:]) for part in text.split("-")]
    return ApprovedHours(start=ends[0], end=ends[1], time_zone=zone)


def template(name: str, when: str = "", outside: str = "") -> VoiceTemplate:
    return VoiceTemplate(
        name=name, id="UVVT1", hours=hours(when) if when else None, outside_hours=outside
    )


def shanghai(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}+08:00").astimezone(UTC)


TEMPLATES = {
    one.name: one
    for one in (
        template("always"),
        template("day", "08:00-20:00"),
        template("day and night", "08:00-20:00", "always"),
        template("day and evening", "08:00-20:00", "evening"),
        template("evening", "18:00-02:30"),
        template("to midnight", "22:00-24:00"),
        template("round", "08:00-20:00", "and round"),
        template("and round", "09:00-10:00", "round"),
        template("to nowhere", "08:00-20:00", "gone"),
    )
}

# Name, now -> the template that may be spoken, and when one may.
CASES = {
    "always": ("always", "24T03:00", "always", "24T03:00"),
    "from the first minute on": ("day", "24T08:00", "day", "24T08:00"),
    "up to the last minute": ("day", "24T19:59:59", "day", "24T19:59:59"),
    "no more in the evening": ("day", "24T20:00", None, "25T08:00"),
    "not yet in the morning": ("day", "24T07:59:59", None, "24T08:00"),
    "another one at night": ("day and night", "24T03:00", "always", "24T03:00"),
    "not the other one by day": ("day and night", "24T12:00", "day and night", "24T12:00"),
    "both may: the first": ("day and evening", "24T19:00", "day and evening", "24T19:00"),
    "over midnight, before": ("day and evening", "24T23:00", "evening", "24T23:00"),
    "over midnight, after": ("day and evening", "24T02:29", "evening", "24T02:29"),
    "neither may: the sooner": ("day and evening", "24T02:30", None, "24T08:00"),
    "up to midnight": ("to midnight", "24T23:59", "to midnight", "24T23:59"),
    "not from midnight on": ("to midnight", "25T00:00", None, "25T22:00"),
    "a circle ends": ("round", "24T03:00", None, "24T08:00"),
    "a template that is gone": ("to nowhere", "24T03:00", None, "24T08:00"),
    "no template": ("gone", "24T03:00", None, "24T03:00"),
}


@pytest.mark.parametrize(("name", "now", "spoken", "when"), CASES.values(), ids=CASES)
def test_the_first_template_of_the_chain_that_may_is_spoken(
    name: str, now: str, spoken: str | None, when: str
) -> None:
    found = usable_template(TEMPLATES, name, shanghai(now))

    assert (found.name if found else None) == spoken
    assert next_usable(TEMPLATES, name, shanghai(now)) == shanghai(when)


def test_a_chain_has_each_template_once() -> None:
    assert [one.name for one in chain(TEMPLATES, "round")] == ["round", "and round"]


# London: clocks jump from 1:00 to 2:00 on 29 March 2026, and back from 2:00 on 25 October.
CHANGES = {
    "an hour that is skipped": ("01:15-01:45", "2026-03-29T00:30+00:00", "2026-03-30T00:15+00:00"),
    "a start that is skipped": ("01:30-09:00", "2026-03-29T00:30+00:00", "2026-03-29T01:30+00:00"),
    "an hour that comes again": ("01:00-02:00", "2026-10-25T00:00+00:00", "2026-10-25T00:00+00:00"),
    "a start that comes again": ("01:30-02:00", "2026-10-25T01:10+00:00", "2026-10-25T01:30+00:00"),
}


@pytest.mark.parametrize(("when", "now", "opens"), CHANGES.values(), ids=CHANGES)
def test_hours_are_wall_time_where_clocks_change(when: str, now: str, opens: str) -> None:
    templates = {
        "t": VoiceTemplate(name="t", id="UVVT1", hours=hours(when, LONDON)),
    }

    assert next_usable(templates, "t", datetime.fromisoformat(now)) == datetime.fromisoformat(opens)


@given(
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.sampled_from([SHANGHAI, LONDON, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")]),
    st.datetimes(
        datetime.fromisoformat("2011-01-01"),
        datetime.fromisoformat("2030-01-01"),
        timezones=st.just(UTC),
    ),
)
def test_what_opens_next_is_open_then_and_within_two_days(
    start: int, end: int, zone: ZoneInfo, now: datetime
) -> None:
    window = ApprovedHours(start=start, end=end, time_zone=zone)

    opens = next_usable({"t": VoiceTemplate(name="t", id="x", hours=window)}, "t", now)

    assert is_open(window, opens)
    assert (opens == now) == is_open(window, now)
    assert now <= opens <= now + timedelta(days=2, hours=2)
