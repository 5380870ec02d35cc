"""How the vendor is spoken to, and how patient delivery is. Knows nothing of configuration."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from adapter.delivery.outcomes import NO_OVERRIDES, Outcome
from adapter.model import Record


class UvmsSettings(Record):
    """The account-wide half of a request, and how long to wait. From routes.yaml, reloadable."""

    endpoint: str = "https://api.ucloud.cn"
    project_id: str = ""  # "" = the account's default project; sub-accounts must name one
    region: str = ""  # "" = not sent: today's API has no such parameter
    zone: str = ""  # "" = not sent
    from_number: str = ""  # "" = a random number of the vendor's
    group_type: int | None = None  # None = the vendor derives it from the number
    dispatch_rule: int | None = None  # None = the vendor's default
    connect_timeout: timedelta = timedelta(seconds=5)  # for each of: free slot, TCP, TLS, writing
    read_timeout: timedelta = timedelta(seconds=30)  # from leaving to the answer's last byte


class DeliveryPolicy(Record):
    """All waiting times of delivery, and the operator's corrections to the outcome table."""

    give_up_after: timedelta = timedelta(minutes=30)  # from when a call could first be made
    retry_initial: timedelta = timedelta(seconds=2)
    retry_cap: timedelta = timedelta(minutes=2)
    throttle_initial: timedelta = timedelta(seconds=1)
    throttle_cap: timedelta = timedelta(minutes=1)
    account_probe_interval: timedelta = timedelta(minutes=1)
    reconcile_first: timedelta = timedelta(seconds=5)  # from not knowing to the first look-up
    reconcile_for: timedelta = timedelta(seconds=90)  # after this, dial again without knowing
    # A placed call may take so long to appear in the records: absent before this proves nothing.
    record_visible_after: timedelta = timedelta(seconds=30)
    # A record is an attempt's if its time is at most so much before and after the attempt's start,
    # and no other attempt at this phone is nearer. Before is the vendor's clock against ours.
    record_before: timedelta = timedelta(seconds=30)
    record_after: timedelta = timedelta(minutes=2)
    overrides: Mapping[int, Outcome] = NO_OVERRIDES  # RetCode -> outcome, before our own table


class ReceiptPolicy(Record):
    """How the vendor is asked what became of the calls that it took."""

    poll_interval: timedelta | None = timedelta(seconds=15)  # None: receipts are pushed
    poll_for: timedelta = timedelta(hours=1)  # after a call was accepted; then nobody asks


def backoff(initial: timedelta, cap: timedelta, failures: int, jitter: float) -> timedelta:
    """Return between nothing and `initial` doubled per failure, at most `cap` (full jitter).

    `0 <= jitter < 1`; the first failure has not doubled yet.
    """
    doublings = min(max(failures - 1, 0), 64)  # far beyond any cap, far below what overflows
    ceiling = min(cap.total_seconds(), initial.total_seconds() * 2.0**doublings)
    return timedelta(seconds=ceiling * jitter)
