"""Who is on call when, and who stands in for whom, as plain JSON values.

Each function that takes a `Session` is meant as one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from adapter.config.policy import Policy
from adapter.errors import NotFound, NotPossible
from adapter.model import Event, EventKind, StoredOverride
from adapter.schedules import Feed, Schedule, Shift, next_on_call, on_call, shifts
from adapter.schedules.workdays import is_workday
from adapter.store.session import Session
from adapter.views.values import Json, maybe_shown, shown

MOST_DAYS = 366  # of a plan
LONGEST_OVERRIDE = timedelta(days=366)


def plan(
    policy: Policy,
    overrides: Sequence[StoredOverride],
    feeds: Mapping[str, Feed],
    at: datetime,
    days: int,
    only: Sequence[str] = (),
) -> Json:
    """Return who is on call at an instant, and the shifts of so many days from then on.

    Raises NotFound: there is no such schedule.
    """
    wanted = [_schedule(policy, name) for name in only] or list(policy.schedules.values())
    until = at + timedelta(days=days)
    return {
        "at": shown(at),
        "until": shown(until),
        "schedules": [_planned(each, overrides, feeds, at, until) for each in wanted],
    }


def _planned(
    schedule: Schedule,
    overrides: Sequence[StoredOverride],
    feeds: Mapping[str, Feed],
    at: datetime,
    until: datetime,
) -> Json:
    feed = feeds.get(schedule.name)
    found = shifts(schedule, at, until, overrides, feed, is_workday)
    return {
        "schedule": schedule.name,
        "time_zone": schedule.time_zone.key,
        "on_call": list(on_call(schedule, at, overrides, feed, is_workday)),
        "next": list(next_on_call(schedule, at, overrides, feed, is_workday)),
        "shifts": [_shift(shift) for shift in found],
    }


def _shift(shift: Shift) -> Json:
    return {"start": shown(shift.start), "end": shown(shift.end), "people": list(shift.people)}


# --- overrides ---------------------------------------------------------------------------------


def overrides(session: Session, now: datetime) -> Json:
    """Return the overrides that are not over, those of the store: the file's are in the file."""
    found = session.overrides(now)
    return {"overrides": [_override(each) for each in found]}


def add_override(
    session: Session,
    policy: Policy,
    *,
    schedule: str,
    person: str,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    by: str,
    new_id: Callable[[], str],
) -> Json:
    """Put somebody on call for a time. Raises NotFound, NotPossible."""
    _schedule(policy, schedule)
    if person not in policy.people:
        raise NotFound(f"there is no person {person!r}; there is: {_there(policy.people)}")
    if ends_at <= starts_at:
        raise NotPossible(f"it would end at {shown(ends_at)}, before it begins")
    if ends_at <= now:
        raise NotPossible(f"it would have ended at {shown(ends_at)}")
    if ends_at - starts_at > LONGEST_OVERRIDE:
        raise NotPossible(f"it would last longer than {LONGEST_OVERRIDE.days} days")
    made = StoredOverride(
        id=new_id(),
        schedule=schedule,
        person=person,
        starts_at=starts_at.astimezone(UTC),
        ends_at=ends_at.astimezone(UTC),
        created_at=now,
        created_by=by,
    )
    session.add_override(made)
    _tell(session, EventKind.OVERRIDE_ADDED, made, now, by)
    return _override(made)


def remove_override(session: Session, override_id: str, now: datetime, by: str) -> Json:
    """End an override now; `override_id`: the beginning of its id is enough. Raises NotFound."""
    standing = session.overrides(now) if override_id else []
    found = [each for each in standing if each.id.startswith(override_id)]
    exact = [each for each in found if each.id == override_id] or found
    if len(exact) != 1:
        several = f"more than one override begins with {override_id!r}: give more of its id"
        raise NotFound(several if exact else f"there is no override {override_id!r}")
    session.remove_override(exact[0].id, now, by)
    _tell(session, EventKind.OVERRIDE_REMOVED, exact[0], now, by)
    return _override(exact[0]) | {"removed_at": shown(now), "removed_by": by}


def _tell(
    session: Session, kind: EventKind, override: StoredOverride, now: datetime, by: str
) -> None:
    times = f"{shown(override.starts_at)} to {shown(override.ends_at)}"
    session.tell(
        Event(
            at=now,
            kind=kind,
            subject=override.schedule,
            actor=by,
            detail=f"{override.person}, {times}, override {override.id}",
        )
    )


def _schedule(policy: Policy, name: str) -> Schedule:
    if name not in policy.schedules:
        raise NotFound(f"there is no schedule {name!r}; there is: {_there(policy.schedules)}")
    return policy.schedules[name]


def _there(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none"


def _override(override: StoredOverride) -> Json:
    return {
        "id": override.id,
        "schedule": override.schedule,
        "person": override.person,
        "from": shown(override.starts_at),
        "until": shown(override.ends_at),
        "created_at": shown(override.created_at),
        "created_by": override.created_by,
        "removed_at": maybe_shown(override.removed_at),
    }
