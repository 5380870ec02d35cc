"""Who is on call when: schedules as pure functions.

`records`: what a schedule is made of. `wall_times`: local times -> instants, over clock changes.
`rotations`: who a single rotation puts on call. `ical`, with `ical_bounds` and `ical_names`: who a
calendar feed does. `workdays`: a country's, for rotations that ask. `layers`: rotations, calendar
and overrides laid over each other -> who is on call, shifts, holes. `roster`: an escalation's
targets -> people.

Nothing here does I/O or reads a clock: `now` comes in.
"""

from adapter.schedules.layers import (
    Doubled,
    Feed,
    doubled,
    holes,
    next_on_call,
    on_call,
    shifts,
    standing,
)
from adapter.schedules.records import Calendar, Hours, Override, Rotation, Schedule, Shift
from adapter.schedules.roster import Roster
from adapter.schedules.rotations import IsWorkday
from adapter.schedules.wall_times import instant, wall_time

__all__ = [
    "Calendar",
    "Doubled",
    "Feed",
    "Hours",
    "IsWorkday",
    "Override",
    "Roster",
    "Rotation",
    "Schedule",
    "Shift",
    "doubled",
    "holes",
    "instant",
    "next_on_call",
    "on_call",
    "shifts",
    "standing",
    "wall_time",
]
