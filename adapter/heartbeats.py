"""Alerts that fire to show that monitoring lives: when one of them stops coming, a phone rings.

Prometheus' Watchdog, turned round. Pure: what was heard when comes in, and which alerts of our own
follow from it goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from adapter.durations import format_duration
from adapter.matchers import Matcher
from adapter.model import Alert, Labels, Record, Status
from adapter.sources.fingerprints import fingerprint

ALERT_NAME = "HeartbeatMissing"
GRACE = timedelta(minutes=2)  # after a start: senders try again, with growing pauses


class Heartbeat(Record):
    """An alert that has to be heard of again and again."""

    name: str
    matchers: tuple[Matcher, ...]  # all have to match
    every: timedelta  # no longer than this without it
    receiver: str  # whom to call when it is missing
    summary: str = ""  # what is said then; "": something that names it


class Pulse(Record):
    """What is known of a heartbeat."""

    heard_at: datetime  # or when it was first waited for
    silent_since: datetime | None = None  # None: its receiver has not been told that it is missing


def heartbeat_of(heartbeats: Sequence[Heartbeat], labels: Labels) -> Heartbeat | None:
    """Return the heartbeat that an alert of these labels is; None: it is none."""
    for heartbeat in heartbeats:
        if all(matcher.matches(labels) for matcher in heartbeat.matchers):
            return heartbeat
    return None


def heard(heartbeats: Sequence[Heartbeat], alerts: Iterable[Alert]) -> Iterator[str]:
    """Return the names of the heartbeats among the alerts; one that has resolved is none."""
    for alert in alerts:
        found = heartbeat_of(heartbeats, alert.labels)
        if found is not None and alert.status is Status.FIRING:
            yield found.name


def news(
    heartbeats: Sequence[Heartbeat],
    pulses: Mapping[str, Pulse],
    listening_since: datetime,
    now: datetime,
) -> Iterator[tuple[Heartbeat, Alert]]:
    """Return an alert for each heartbeat that is missing, or has come back since that was told.

    A missing one gives the same alert each time: who repeats it says that it still holds. While
    nobody listened none could be heard, so there is a little time after that.
    """
    for heartbeat in heartbeats:
        pulse = pulses.get(heartbeat.name)
        if pulse is None:
            continue
        due = pulse.heard_at + heartbeat.every
        if now > max(due, listening_since + min(heartbeat.every, GRACE)):
            yield heartbeat, _missing(heartbeat, due, None)
        elif pulse.silent_since is not None:
            yield heartbeat, _missing(heartbeat, pulse.silent_since, now)


def _missing(heartbeat: Heartbeat, since: datetime, until: datetime | None) -> Alert:
    every = format_duration(heartbeat.every)
    said = heartbeat.summary or f"monitoring is silent: no {heartbeat.name} for {every}"
    labels = {"alertname": ALERT_NAME, "heartbeat": heartbeat.name, "severity": "critical"}
    return Alert(
        fingerprint=fingerprint(labels),
        status=Status.FIRING if until is None else Status.RESOLVED,
        labels=labels,
        annotations={"summary": said},
        starts_at=since,
        ends_at=until,
    )
