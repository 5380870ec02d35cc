"""What the store tells that is no page, alert, call or attempt."""

from __future__ import annotations

from datetime import datetime

from adapter.model import PhoneNumber, Record


class DuePhone(Record):
    """A phone for which at least one call is due."""

    phone: PhoneNumber
    due_at: datetime  # of the call that waits longest
    calls: int  # how many are due


class Queue(Record):
    """How much work waits, for the metrics."""

    waiting: int = 0
    sending: int = 0
    unknown: int = 0
    oldest_due_at: datetime | None = None  # None: nothing is due
    open_pages: int = 0


class Rejected(Record):
    """A body that was authenticated but not understood."""

    id: int
    received_at: datetime
    source: str
    error: str
    size: int  # of the whole body
    body: bytes  # its beginning
