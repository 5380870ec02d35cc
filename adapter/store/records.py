"""What the store tells that is no page, alert, call or attempt."""

from __future__ import annotations

from datetime import datetime

from adapter.model import Call, Labels, Page, PhoneNumber, Record, Source


class DuePhone(Record):
    """A phone for which at least one call is due."""

    phone: PhoneNumber
    due_at: datetime  # of the call that waits longest
    calls: int  # how many are due


class Due(Record):
    """When work of each kind is due next, or has been; None: there is none."""

    calls: datetime | None = None
    orphans: datetime | None = None  # the end of a lease
    look_ups: datetime | None = None
    escalations: datetime | None = None

    @property
    def first(self) -> datetime | None:
        """When anything is due; None: nothing waits."""
        times = (self.calls, self.orphans, self.look_ups, self.escalations)
        return min((time for time in times if time is not None), default=None)


class Queue(Record):
    """How much work waits, for the metrics."""

    waiting: int = 0
    sending: int = 0
    unknown: int = 0
    oldest_due_at: datetime | None = None  # None: nothing is due
    open_pages: int = 0
    unacknowledged_pages: int = 0
    exhausted_pages: int = 0
    oldest_unacknowledged_at: datetime | None = None  # None: every open page is taken


class Standing(Record):
    """Where a page's escalation stands."""

    page: Page
    calls: tuple[Call, ...]  # of the present run, those open, and those answered
    newest: int  # id of the youngest alert that fires; 0: none does


class KeptVerdict(Record):
    """What became of an alert at a receiver, for one reason."""

    receiver: str
    fingerprint: str
    reason: str
    page_id: str | None
    route: str  # the route's id
    labels: Labels
    detail: str  # of the last time
    first_at: datetime
    last_at: datetime
    times: int


class KeptWebhook(Record):
    """A body that was accepted."""

    id: int
    received_at: datetime
    source: Source
    body: bytes


class Rejected(Record):
    """A body that was authenticated but not understood."""

    id: int
    received_at: datetime
    source: str
    error: str
    size: int  # of the whole body
    body: bytes  # its beginning
