"""The words of the domain as records: frozen, without behaviour, known to every layer.

Times are aware UTC datetimes. `None` means what the field's comment says, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, dataclass_transform

import msgspec

Labels = Mapping[str, str]


class Secret:
    """A value that shows itself only to whoever asks by name, never in a repr, log or error."""

    __slots__ = ("reveal",)

    def __init__(self, value: str) -> None:
        self.reveal = value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal == self.reveal

    def __hash__(self) -> int:
        return hash(self.reveal)


class PhoneNumber:
    """An E.164 number (`+8613512345678`) that prints masked (`+86135****5678`).

    Only the signed client, the store and the simulator ask for `e164`.
    """

    __slots__ = ("e164",)

    def __init__(self, e164: str) -> None:
        self.e164 = e164

    def __str__(self) -> str:
        return mask_number(self.e164)

    def __repr__(self) -> str:
        return f"PhoneNumber({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhoneNumber) and other.e164 == self.e164

    def __hash__(self) -> int:
        return hash(self.e164)


def mask_number(number: str) -> str:
    """Hide at least four characters of a phone number, and show at most six before, four after."""
    shown = min(len(number) - 4, 10)
    if shown < 4:
        return "****"
    tail = min(4, shown // 2)
    return f"{number[: shown - tail]}****{number[-tail:]}"


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class _RecordMeta(msgspec.StructMeta):
    """Makes every record frozen and keyword-only without saying so at each class."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
        made: type = super().__new__(cls, name, bases, namespace, frozen=True, kw_only=True)
        return made


class Record(msgspec.Struct, metaclass=_RecordMeta):
    """Base of all records: immutable, compared by value; `msgspec.structs.replace` changes one."""


# --- what comes in ---------------------------------------------------------------------------


class Status(StrEnum):
    """An alert's status, as Alertmanager says it."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Source(StrEnum):
    """Which kind of sender a webhook came from."""

    ALERTMANAGER = "alertmanager"
    GRAFANA = "grafana"
    GRAFANA_LEGACY = "grafana_legacy"


class Alert(Record):
    """One alert of a notification."""

    fingerprint: str  # 16 hex digits; the sender's own, else computed from the labels
    status: Status
    labels: Labels
    annotations: Labels = {}
    starts_at: datetime | None = None  # None: the sender gave none
    ends_at: datetime | None = None  # None: still firing, or the sender gave none
    generator_url: str = ""
    values: Mapping[str, float | None] = {}  # Grafana's query values by refID


class Notification(Record):
    """The body of one webhook, whichever sender it came from."""

    source: Source
    receiver: str  # the sender's receiver, un-escaped; ours is found by routing
    alerts: tuple[Alert, ...]
    truncated_alerts: int = 0  # how many alerts of the group the sender left out
    group_key: str = ""
    external_url: str = ""
    notification_reason: str = ""


# --- who is called, and how often --------------------------------------------------------------


class Person(Record):
    """Somebody with a phone. A bare number in a receiver is a person named by its masked number."""

    name: str
    phone: PhoneNumber
    spoken_name: str = ""  # what templates may say; "" = use `name`


class Target(Record):
    """Whom a step calls: one person, or whoever a schedule names when the step begins."""

    person: Person | None = None  # None: a schedule
    schedule: str = ""  # "": a person
    next: bool = False  # not who is on call, but who is on after them

    def __str__(self) -> str:
        if self.person is not None:
            return self.person.name
        return f"{self.schedule}:next" if self.next else self.schedule


class Step(Record):
    """One step of an escalation: all its targets are called at once."""

    call: tuple[Target, ...]
    wait: timedelta = timedelta(minutes=5)  # for an answer, before the next step is taken


class Acknowledgement(StrEnum):
    """What acknowledges a page."""

    ANSWERED = "answered"  # a call that was answered long enough, or a human
    BY_HAND = "by_hand"  # a human alone: API, command line, link


class Mode(StrEnum):
    """Whether a receiver's calls are made."""

    LIVE = "live"
    SHADOW = "shadow"  # everything is decided, recorded and explained, and nobody is dialled


class Receiver(Record):
    """Who is called with which words when a route chooses this receiver."""

    name: str
    escalation: tuple[Step, ...] = ()  # empty: calls no one, and says so
    repeat: int = 0  # how often the whole escalation is gone through again
    fallback_webhook: Secret | None = None  # a URL, told when nobody was reached; None: nobody is
    acknowledgement: Acknowledgement = Acknowledgement.ANSWERED
    minimum_answer_duration: timedelta = timedelta(seconds=5)  # a shorter talk reached nobody
    mode: Mode = Mode.LIVE
    voice_template: str = ""  # name of the voice template; "" only where nobody is called
    send_resolved: bool = False
    resolved_template: str = ""  # name of the voice template of the resolved call
    from_number: str = ""  # "" = the account-wide setting
    group_type: int | None = None  # None = the account-wide setting
    dispatch_rule: int | None = None  # None = the account-wide setting


class Timing(Record):
    """A route's four knobs, inherited as upstream does."""

    group_wait: timedelta = timedelta(0)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta | None = timedelta(hours=4)  # None = never


class PersonLimits(Record):
    """How often one phone may ring. A call over a limit waits; it is never dropped."""

    min_interval: timedelta = timedelta(minutes=1)
    per_hour: int = 10
    per_day: int = 50
    # More calls of one receiver than this waiting for one phone are made as one call.
    bundle_above: int = 3


# --- what is decided --------------------------------------------------------------------------


class Reason(StrEnum):
    """Why a call is owed, or why an alert leads to none."""

    # A call follows.
    FIRST = "first"  # the alert opened a page
    NEW_ALERTS = "new_alerts"  # the alert joined an open page, or reopened one just closed
    REPEAT = "repeat"  # still firing and the last call is older than repeat_interval
    ESCALATION = "escalation"  # nobody was reached by the step before
    RESOLVED = "resolved"  # the alert left its page
    TEST = "test"  # somebody asked for a test call
    DRILL = "drill"  # somebody asked to ring a whole schedule
    # No call follows.
    DUPLICATE = "duplicate"  # known to fire, and said not long ago
    STALE = "stale"  # late news about an episode that is over
    HEARTBEAT = "heartbeat"  # it shows that monitoring lives; somebody is called when it does not
    MUTED = "muted"  # a time interval silences the route now
    NO_RECEIVER = "no_receiver"  # the route's receiver calls no one on purpose
    NOBODY_ON_CALL = "nobody_on_call"  # the receiver should call someone and there is no one
    ACKNOWLEDGED = "acknowledged"  # somebody has taken the page


class CallState(StrEnum):
    """Where a call stands. The first three may still ring a phone."""

    WAITING = "waiting"  # due at `due_at`
    SENDING = "sending"  # an attempt is written down, its request may be on the wire
    UNKNOWN = "unknown"  # an attempt may have rung; it is looked up at `due_at`
    ACCEPTED = "accepted"  # the vendor took it (RetCode 0)
    REFUSED = "refused"  # the vendor will never take it; a human has to act
    GAVE_UP = "gave_up"  # not placed within give_up_after
    CANCELLED = "cancelled"  # its alerts resolved, or were taken by somebody, before it was made
    SHADOWED = "shadowed"  # worded and recorded, not dialled: its receiver is in shadow mode

    @property
    def open(self) -> bool:
        """Whether a phone may still ring for it."""
        return self in OPEN_STATES


OPEN_STATES = frozenset({CallState.WAITING, CallState.SENDING, CallState.UNKNOWN})
# Reasons of calls about alerts that fire: over once these resolve, or once somebody takes them.
ABOUT_FIRING = (Reason.FIRST, Reason.NEW_ALERTS, Reason.REPEAT, Reason.ESCALATION)
SAY_IT_AGAIN = (Reason.REPEAT, Reason.ESCALATION)  # they name all that fires, heard of or not


class Result(StrEnum):
    """What was reported of a call that the vendor took. Nothing yet: it is submitted."""

    ANSWERED = "answered"
    HUNG_UP = "hung_up"  # answered for less than minimum_answer_duration: reached nobody
    UNANSWERED = "unanswered"
    UNREPORTED = "unreported"  # the carrier said nothing


MISSED = (Result.UNANSWERED, Result.HUNG_UP)  # surely reached nobody


class Episode(Record):
    """One alert firing once for one receiver, from first seen to resolved."""

    id: int  # grows: an episode that joined a page later has the larger id
    receiver: str
    fingerprint: str
    page_id: str | None  # None: heard of only as resolved; kept to know a late firing
    firing: bool
    starts_at: datetime
    ends_at: datetime | None  # None: not resolved
    labels: Labels
    annotations: Labels
    values: Mapping[str, float | None] = {}
    generator_url: str = ""


class Page(Record):
    """A receiver's open obligation to reach someone about one group of alerts."""

    id: str
    receiver: str
    group_labels: Labels
    opened_at: datetime
    confirmed_at: datetime  # when a webhook last named one of its alerts
    closed_at: datetime | None = None  # None: open
    acknowledged_at: datetime | None = None  # None: nobody has taken all that fires in it
    acknowledged_by: str = ""  # a person's name, or how a human came in: api, link, a user's name
    truncated: bool = False  # the last webhook left alerts of it out: silence proves nothing
    # Its escalation.
    run: int = 0  # how often the escalation has begun at its first step
    repeats_left: int = 0  # how often it will begin again by itself
    step: int | None = None  # index of the step under way; None: no escalation is
    step_until: datetime | None = None  # until then the step waits for an answer
    look_at: datetime | None = None  # when the escalation may go on; None: no escalation is
    exhausted_at: datetime | None = None  # it has ended and reached nobody; None: it has not


class Call(Record):
    """Ringing one person once for a page. It may take several attempts."""

    id: str
    page_id: str | None  # None: a test call
    receiver: str
    person: str  # the person's name when the call was decided
    phone: PhoneNumber
    reason: Reason
    state: CallState
    created_at: datetime
    due_at: datetime  # waiting: not before; unknown: the next look-up
    due_since: datetime  # when it could first have been made; giving up counts from here
    attempts: int = 0
    dialled_at: datetime | None = None  # when its last attempt left; None: none has
    named_through: int | None = None  # id of the youngest episode it names; None: not dialled yet
    limited_until: datetime | None = None  # None: no limit holds it back
    settled_at: datetime | None = None  # None: still open
    note: str = ""  # the last thing that happened to it, for a human
    bundled_into: str | None = None  # the call that said this one's words too
    run: int = 0  # of its page's escalation
    step: int | None = None  # index of the escalation's step it is made for; None: of none
    result: Result | None = None  # None: nothing reported
    reported_at: datetime | None = None  # when we heard of the result
    drill_id: str | None = None  # None: no drill's
    traceparent: str = ""  # of the decision it comes from; "": nothing was traced


class Receipt(Record):
    """What the vendor reported of one attempt, pushed or found in its records."""

    result: Result  # never HUNG_UP: what counts as an answer is the receiver's to say
    received_at: datetime  # when we heard of it
    talk_seconds: int = 0  # how long somebody listened
    billed: int = 0  # pieces or minutes, as the account is billed
    code: str = ""  # the carrier's
    description: str = ""


class Attempt(Record):
    """One request to the vendor. Its id is the UserId the vendor echoes."""

    id: str  # 32 characters of [0-9a-z]
    call_id: str
    started_at: datetime
    finished_at: datetime | None = None  # None: under way, or the process died
    outcome: str | None = None  # None: not known yet; else a delivery.Outcome
    ret_code: int | None = None  # None: no readable answer
    message: str = ""
    req_uuid: str = ""
    session_no: str = ""
    template_id: str = ""
    params: tuple[str, ...] = ()
    receipt: Receipt | None = None  # None: nothing reported


# --- what is told besides ----------------------------------------------------------------------


class FallbackState(StrEnum):
    """Where the telling of an exhausted page stands."""

    WAITING = "waiting"  # due at `due_at`
    SENT = "sent"
    GAVE_UP = "gave_up"
    SHADOWED = "shadowed"  # its receiver is in shadow mode: recorded, not sent


class Fallback(Record):
    """Telling a receiver's fallback_webhook, once, that a page's escalation reached nobody."""

    id: str
    page_id: str
    receiver: str
    run: int  # of the page's escalation
    state: FallbackState
    created_at: datetime
    due_at: datetime  # not before
    attempts: int = 0
    settled_at: datetime | None = None  # None: still to be told
    note: str = ""  # the last thing that happened to it, for a human


class EventKind(StrEnum):
    """What happened that no other record keeps."""

    REOPENED = "reopened"
    CLOSED = "closed"  # no webhook has confirmed the page for long
    STEP = "step"  # a step of the escalation began
    SKIPPED = "skipped"  # a step had nobody to call
    EXHAUSTED = "exhausted"
    ACKNOWLEDGED = "acknowledged"
    LIMITED = "limited"  # a call waits for its person's limit, or for its template's hours
    LOOKED_UP = "looked_up"
    RECEIPT = "receipt"
    FALLBACK = "fallback"  # the fallback webhook was tried
    RETRIED = "retried"  # somebody asked for a call again
    OVERRIDE_ADDED = "override_added"
    OVERRIDE_REMOVED = "override_removed"


class Event(Record):
    """One line of the story of a page, a call or a schedule."""

    at: datetime
    kind: EventKind
    page_id: str | None = None  # None: not about a page
    call_id: str | None = None  # None: not about a call
    step: int | None = None  # index of an escalation's step; None: not about one
    subject: str = ""  # a schedule, where the event is about one
    actor: str = ""  # who did it; "": the adapter itself
    detail: str = ""


class StoredOverride(Record):
    """Who is on call in a schedule for a time, whatever its rotations say: set without a reload."""

    id: str
    schedule: str
    person: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    created_by: str
    removed_at: datetime | None = None  # None: it stands
    removed_by: str = ""
