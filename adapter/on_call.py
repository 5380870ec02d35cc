"""Who is on call, asked inside a transaction: schedules of routes.yaml, overrides of the store.

Decides nothing: `adapter.schedules` does. Must not know what anybody is called about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from adapter.config.policy import Policy
from adapter.model import Person, Receiver, StoredOverride
from adapter.schedules.ical import Feed
from adapter.schedules.records import Schedule
from adapter.schedules.roster import Roster
from adapter.schedules.workdays import is_workday
from adapter.store.session import Session

Feeds = Callable[[], Mapping[str, Feed]]


def no_feeds() -> Mapping[str, Feed]:
    """Return no iCalendar feeds."""
    return {}


def roster(session: Session, policy: Policy, feeds: Feeds, now: datetime) -> Roster:
    """Return who is on call in each schedule now."""
    overrides = standing_overrides(session, policy, now)
    return Roster(policy.schedules, policy.people, overrides, feeds(), now, is_workday)


def standing_overrides(session: Session, policy: Policy, now: datetime) -> list[StoredOverride]:
    """Return the stored overrides that are not over, by people whom routes.yaml still knows.

    Else somebody who has left would keep a schedule empty.
    """
    found = session.overrides(now) if policy.schedules else []
    return [override for override in found if override.person in policy.people]


def roster_at(
    policy: Policy, overrides: Sequence[StoredOverride] = (), feeds: Feeds = no_feeds
) -> Callable[[datetime], Roster]:
    """Return who is on call in each schedule at any instant, as far as is known now."""
    return lambda at: Roster(policy.schedules, policy.people, overrides, feeds(), at, is_workday)


def everybody(policy: Policy, receiver: Receiver) -> tuple[Person, ...]:
    """Return whom a receiver may ever call, as far as routes.yaml says: a calendar may say more."""
    found: dict[str, Person] = {}
    for step in receiver.escalation:
        for target in step.call:
            if target.person is not None:
                found.setdefault(target.person.name, target.person)
            elif target.schedule in policy.schedules:
                for name in _named_in(policy.schedules[target.schedule]):
                    if name in policy.people:
                        found.setdefault(name, policy.people[name])
    return tuple(found.values())


def _named_in(schedule: Schedule) -> Iterator[str]:
    for rotation in schedule.rotations:
        for turn in rotation.turns:
            yield from turn
    for override in schedule.overrides:
        yield from override.people
    if schedule.calendar is not None:
        yield from schedule.calendar.people.values()
