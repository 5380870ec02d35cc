"""What a replayed night was made of: records without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from adapter.model import Labels, PhoneNumber, Reason, Record


class Ring(Record):
    """One call as it would have been made. The vendor takes every call at once."""

    at: datetime
    person: str
    phone: PhoneNumber
    receiver: str
    reason: Reason
    step: int | None  # of the escalation, from 1; None: of none
    group: Labels
    alerts: tuple[str, ...]  # fingerprints of those it names, oldest first
    words: str
    limited: bool = False  # it had to wait for its person's limit, or for its template's hours
    shadow: bool = False  # its receiver is in shadow mode: nobody is dialled


class Exhausted(Record):
    """An escalation that reached nobody."""

    at: datetime
    receiver: str
    group: Labels
    told: bool  # a fallback webhook is


class AlertFate(Record):
    """What became of one alert in a night."""

    fingerprint: str
    labels: Labels
    first_at: datetime  # when a notification first named it as firing
    rang: bool  # a call that was dialled named it
    reasons: Mapping[Reason, int]  # of its verdicts, and how often


class Night(Record):
    """What one routes.yaml makes of recorded notifications."""

    notifications: int
    pages: int  # opened
    acknowledged: int  # by somebody who answered
    rings: tuple[Ring, ...]  # in the order in which they are made
    exhausted: tuple[Exhausted, ...]
    alerts: Mapping[str, AlertFate]  # that fired, by fingerprint
    verdicts: Mapping[Reason, int]

    @property
    def silent(self) -> tuple[AlertFate, ...]:
        """Return the alerts about which no phone rings, the first one first."""
        found = (fate for fate in self.alerts.values() if not fate.rang)
        return tuple(sorted(found, key=lambda fate: (fate.first_at, fate.fingerprint)))
