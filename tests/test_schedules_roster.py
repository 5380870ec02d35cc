"""The roster: whom an escalation's targets mean at one instant."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from adapter.model import Person, PhoneNumber, StoredOverride, Target
from adapter.schedules import Calendar, Roster, Rotation, Schedule

NOW = datetime(2026, 11, 4, 4, tzinfo=UTC)  # Wednesday noon in Shanghai
HOUR = timedelta(hours=1)
MONDAY = datetime.fromisoformat("2026-11-02T10:00")

PEOPLE = {
    name: Person(name=name, phone=PhoneNumber(f"+861381234{number}"))
    for number, name in enumerate(["alice", "bob", "carol"], start=5678)
}
ALICE, BOB, CAROL = PEOPLE.values()


def weekly(name, *turns, **fields):
    rotation = Rotation(
        turns=tuple((turn,) for turn in turns), start=MONDAY, every=timedelta(weeks=1)
    )
    return Schedule(name=name, time_zone=ZoneInfo("Asia/Shanghai"), rotations=(rotation,), **fields)


def override(person, start=NOW - HOUR, end=NOW + HOUR, **fields):
    return StoredOverride(
        id=person,
        schedule=fields.pop("schedule", "primary"),
        person=person,
        starts_at=start,
        ends_at=end,
        created_at=NOW - HOUR,
        created_by="carol",
        **fields,
    )


def roster(*schedules, overrides=(), feeds=None, **fields):
    named = {one.name: one for one in schedules or [weekly("primary", "alice", "bob")]}
    return Roster(named, PEOPLE, overrides, feeds or {}, NOW, **fields)


def scheduled(name="primary", **fields):
    return Target(schedule=name, **fields)


class Feed:
    """A calendar in which carol is always on, that remembers how often it was asked."""

    asked = 0

    def on_call(self, at):
        self.asked += 1
        return ("carol",)

    def shifts(self, start, end):
        raise AssertionError("nobody asked for shifts")


def test_a_person_is_meant_as_they_stand_in_the_target():
    number = Person(name="+86138****0000", phone=PhoneNumber("+8613812340000"))
    assert roster().people(Target(person=number)) == (number,)


def test_a_schedule_means_who_is_on_call_and_who_is_on_next():
    asked = roster()
    assert asked.people(scheduled()) == (ALICE,)
    assert asked.people(scheduled(next=True)) == (BOB,)
    assert (asked.on_call("primary"), asked.on_call("primary", next=True)) == (("alice",), ("bob",))
    assert asked.unknown == frozenset()


def test_a_stored_override_counts_in_its_schedule_while_it_lasts():
    secondary = weekly("secondary", "alice", "bob")
    asked = roster(weekly("primary", "alice", "bob"), secondary, overrides=[override("carol")])
    assert asked.people(scheduled()) == (CAROL,)
    assert asked.people(scheduled(next=True)) == (ALICE,)
    assert asked.people(scheduled("secondary")) == (ALICE,)


def test_a_removed_override_and_one_of_another_time_do_not_count():
    others = [
        override("carol", removed_at=NOW),
        override("bob", end=NOW),
        override("bob", start=NOW + HOUR, end=NOW + 2 * HOUR),
    ]
    assert roster(overrides=others).people(scheduled()) == (ALICE,)


def test_a_calendar_is_asked_once_and_only_when_its_schedule_is():
    feed = Feed()
    asked = roster(
        weekly("primary", "alice", calendar=Calendar(file="oncall.ics")), feeds={"primary": feed}
    )
    assert feed.asked == 0
    assert [asked.people(scheduled()) for _ in range(3)] == [(CAROL,)] * 3
    assert feed.asked == 1


def test_workdays_are_asked_for_in_the_time_zone_of_the_schedule():
    asked_for = []

    def works(country, day):
        asked_for.append((country, day.isoformat()))
        return True

    rotation = Rotation(turns=(("bob",),), start=MONDAY, workdays="CN")
    one = Schedule(name="primary", time_zone=ZoneInfo("Asia/Shanghai"), rotations=(rotation,))
    assert roster(one, is_workday=works).people(scheduled()) == (BOB,)
    assert asked_for == [("CN", "2026-11-04")]


def test_people_who_left_the_configuration_are_left_out_and_named():
    asked = roster(overrides=[override("zoe")])
    assert asked.unknown == frozenset()
    assert asked.people(scheduled()) == ()
    assert asked.on_call("primary") == ("zoe",)
    assert asked.unknown == {"zoe"}


def test_a_schedule_that_left_the_configuration_means_nobody_and_is_named():
    asked = roster()
    assert asked.people(scheduled("gone")) == ()
    assert asked.people(scheduled("gone", next=True)) == ()
    assert asked.unknown == {"gone"}
