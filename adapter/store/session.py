"""All SQL: what the domain asks of the database, inside one transaction.

A `Session` lives as long as the transaction that `Store` opened for it. Methods are named in the
domain's words and return domain records; deciding is not done here.
"""

from __future__ import annotations

from adapter.store.attempts import Attempts
from adapter.store.drills import Drills
from adapter.store.escalations import Escalations
from adapter.store.heartbeats import Heartbeats
from adapter.store.housekeeping import Housekeeping
from adapter.store.inbox import Inbox
from adapter.store.outbox import Outbox
from adapter.store.receipts import Receipts
from adapter.store.records import DuePhone, KeptVerdict, KeptWebhook, Queue, Rejected, Standing
from adapter.store.story import Story
from adapter.store.views import Views

__all__ = [
    "DuePhone",
    "KeptVerdict",
    "KeptWebhook",
    "Queue",
    "Rejected",
    "Session",
    "Standing",
]


class Session(
    Inbox, Outbox, Attempts, Receipts, Escalations, Drills, Heartbeats, Story, Views, Housekeeping
):
    """One transaction's view of the store."""
