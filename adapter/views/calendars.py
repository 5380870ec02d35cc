"""Plans as iCalendar files, and the feeds that the service has stored."""

from __future__ import annotations

from datetime import datetime

from adapter.config.policy import Policy
from adapter.errors import InvalidCalendar, MissingExtra
from adapter.schedules.ical import Feed, read_feed
from adapter.store.session import Session
from adapter.views.values import Json

_PRODUCT = "-//uvms-adapter//on call//EN"


def feeds_of(session: Session, policy: Policy) -> dict[str, Feed]:
    """Return the last good copies of the calendars of these schedules."""
    found: dict[str, Feed] = {}
    for name, copy in session.calendars().items():
        schedule = policy.schedules.get(name)
        if schedule is None or schedule.calendar is None:
            continue
        names = schedule.calendar.people
        try:
            found[name] = read_feed(copy.text, names, policy.people, schedule.time_zone)
        except InvalidCalendar:
            continue  # the service says so
    return found


def ical(plan: Json, made_at: datetime) -> str:
    """Return a plan as an iCalendar file (RFC 5545), an event a shift. Raises MissingExtra."""
    try:
        from icalendar import Calendar, Event
    except ImportError:
        raise MissingExtra("icalendar", "ical") from None
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    for schedule in plan["schedules"]:
        for shift in schedule["shifts"]:
            if not shift["people"]:
                continue
            event = Event()
            start = datetime.fromisoformat(shift["start"])
            event.add("uid", f"{schedule['schedule']}-{start:%Y%m%dT%H%M%SZ}@uvms-adapter")
            event.add("dtstamp", made_at)
            event.add("dtstart", start)
            event.add("dtend", datetime.fromisoformat(shift["end"]))
            event.add("summary", f"{', '.join(shift['people'])} ({schedule['schedule']})")
            calendar.add_component(event)
    return str(calendar.to_ical().decode())
