"""What a decision is made of, and what it says: records without behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from adapter.model import (
    Alert,
    Call,
    Episode,
    Event,
    Fallback,
    Labels,
    Page,
    Reason,
    Receiver,
    Record,
    Timing,
)

AlertKey = tuple[str, str]  # (receiver, fingerprint): what an alert is known by
PageKey = tuple[str, tuple[tuple[str, str], ...]]  # (receiver, sorted group labels)


class Routed(Record):
    """One alert under one route that chose a receiver for it."""

    alert: Alert
    receiver: Receiver
    group_labels: Labels
    timing: Timing
    muted_by: tuple[str, ...] = ()  # names of the time intervals that silence the route now
    route: str = ""  # the route's id, for the story

    @property
    def alert_key(self) -> AlertKey:
        return self.receiver.name, self.alert.fingerprint

    @property
    def page_key(self) -> PageKey:
        return page_key(self.receiver.name, self.group_labels)


class Known(Record):
    """What the store knows of the alerts and groups that a notification names."""

    episodes: Mapping[AlertKey, Episode] = {}  # the latest of each alert
    pages: Mapping[str, Page] = {}  # by id: those of the episodes, and the latest of each group
    calls: Mapping[str, Sequence[Call]] = {}  # by page id
    firing: Mapping[str, int] = {}  # by page id: how many of its alerts fire


class MaybeTold(Record):
    """A call of unknown outcome: up to which alert of its page its person may have heard of it."""

    page_id: str
    through: int
    look_up_at: datetime


class Verdict(Record):
    """What became of one alert for one receiver, and why."""

    alert: Alert
    receiver: str
    reason: Reason
    page_id: str | None = None  # None: no page has it
    detail: str = ""
    route: str = ""  # id of the route that chose the receiver


class Changes(Record):
    """What the store has to write, all of it or nothing."""

    new_pages: tuple[Page, ...] = ()
    changed_pages: tuple[Page, ...] = ()
    new_episodes: tuple[Episode, ...] = ()  # without an id yet
    changed_episodes: tuple[Episode, ...] = ()
    new_calls: tuple[Call, ...] = ()
    changed_calls: tuple[Call, ...] = ()
    moved_calls: tuple[Call, ...] = ()  # open calls that serve another step of their escalation now
    events: tuple[Event, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


def page_key(receiver: str, group_labels: Labels) -> PageKey:
    """Return what makes two pages the same one."""
    return receiver, tuple(sorted(group_labels.items()))
