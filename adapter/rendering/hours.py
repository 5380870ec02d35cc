"""Which voice template may be spoken now: the vendor approves some for a part of the day only.

Outside of its hours a template hands over to the one under `outside_hours`, and that one to the
next. Knows nothing of calls; is told the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta

from adapter.rendering.templates import ApprovedHours, VoiceTemplate

# Today's start may be over, and tomorrow's be skipped by a change of the clocks.
_DAYS_AHEAD = 3


def usable_template(
    templates: Mapping[str, VoiceTemplate], name: str, now: datetime
) -> VoiceTemplate | None:
    """Return the first template of the chain that may be spoken now; None: there is none."""
    return next((one for one in chain(templates, name) if is_open(one.hours, now)), None)


def next_usable(templates: Mapping[str, VoiceTemplate], name: str, now: datetime) -> datetime:
    """Return when a template of the chain may be spoken next; `now` if one may be.

    Also `now` if there is no such template: waiting for it helps nobody.
    """
    return min((_next_open(one.hours, now) for one in chain(templates, name)), default=now)


def chain(templates: Mapping[str, VoiceTemplate], name: str) -> Iterator[VoiceTemplate]:
    """Give the template and those it hands over to, each once."""
    seen: set[str] = set()
    while name in templates and name not in seen:
        seen.add(name)
        yield templates[name]
        name = templates[name].outside_hours


def is_open(hours: ApprovedHours | None, now: datetime) -> bool:
    """Tell whether the hours hold at an instant; None: always."""
    if hours is None:
        return True
    local = now.astimezone(hours.time_zone)
    minute = local.hour * 60 + local.minute
    if hours.start < hours.end:
        return hours.start <= minute < hours.end
    return minute >= hours.start or minute < hours.end


def _next_open(hours: ApprovedHours | None, now: datetime) -> datetime:
    if hours is None or is_open(hours, now):
        return now
    # Of what is shown twice both count; what is skipped opens at the same distance from the skip.
    starts = (start for start in _starts(hours, now) if start > now and is_open(hours, start))
    return min(starts)


def _starts(hours: ApprovedHours, now: datetime) -> Iterator[datetime]:
    today = now.astimezone(hours.time_zone).date()
    at = time(*divmod(hours.start, 60), tzinfo=hours.time_zone)
    for days in range(_DAYS_AHEAD):
        for fold in (0, 1):
            start = datetime.combine(today + timedelta(days=days), at.replace(fold=fold))
            yield start.astimezone(UTC)
