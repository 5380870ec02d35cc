"""All that routes.yaml decides, as one immutable value: a reload swaps one reference."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from adapter.config.problems import Path, Position, Problem
from adapter.delivery.policy import DeliveryPolicy, ReceiptPolicy, UvmsSettings
from adapter.heartbeats import Heartbeat
from adapter.model import Person, PersonLimits, Receiver, Record
from adapter.rendering.templates import VoiceTemplate
from adapter.routing import Route
from adapter.schedules import Schedule
from adapter.time_intervals import TimeInterval


class Policy(Record):
    """A routes.yaml that was read and found right: every reference in it leads somewhere."""

    people: Mapping[str, Person]
    schedules: Mapping[str, Schedule]
    voice_templates: Mapping[str, VoiceTemplate]
    receivers: Mapping[str, Receiver]
    route: Route
    time_intervals: Mapping[str, TimeInterval]
    heartbeats: tuple[Heartbeat, ...]
    limits: PersonLimits
    concurrent_calls: int
    requests_per_second: float
    uvms: UvmsSettings
    delivery: DeliveryPolicy
    receipts: ReceiptPolicy
    retention: timedelta  # how long closed pages and their calls are kept
    stale_after: timedelta  # a page that no webhook has confirmed for so long is closed
    keep_webhooks: timedelta  # how long accepted bodies are kept for replay; 0: not at all
    file: str  # its name, for messages
    places: Mapping[Path, Position]  # of receivers, schedules, rotations and overrides in it
    warnings: tuple[Problem, ...]  # what works, but is hardly meant; by position
    found: Mapping[str, int]  # what there is how many of: {"receivers": 2, …}
    hash: int  # of the text, 48 bits: fits a metric, and differs where two replicas' files differ
