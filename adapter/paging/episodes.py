"""One alert from firing to resolved: when it begins anew, and in whose words it is told."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from adapter.model import Alert, Episode
from adapter.paging.records import Routed

_NEW_EPISODE_ID = 0  # the store numbers episodes; one that it has not seen yet has none

# How long news with an old startsAt counts as a late retry. Alertmanager retries inside one flush
# (group_interval long); an alert that is still posted after this fires indeed, though somebody
# took it for resolved: Prometheus keeps the startsAt when its Alertmanager lost it for a while.
LATE_NEWS = timedelta(hours=1)


def is_late(alert: Alert, prior: Episode, now: datetime) -> bool:
    """Whether "firing" is late news about the episode that ended, and no new one."""
    if alert.starts_at is None or prior.ends_at is None:
        return False
    return alert.starts_at <= prior.ends_at and now - prior.ends_at < LATE_NEWS


def begun(
    item: Routed, page_id: str | None, now: datetime, *, ended: datetime | None = None
) -> Episode:
    """Return the episode that an alert begins; `ended`: it was heard of only as resolved."""
    alert = item.alert
    return Episode(
        id=_NEW_EPISODE_ID,
        receiver=item.receiver.name,
        fingerprint=alert.fingerprint,
        page_id=page_id,
        firing=ended is None,
        # A sender's clock may be ahead; its "resolved" must not seem older than this.
        starts_at=min(alert.starts_at or now, now),
        ends_at=ended,
        labels=alert.labels,
        annotations=alert.annotations,
        values=alert.values,
        generator_url=alert.generator_url,
    )


def in_words_of(alert: Alert, prior: Episode) -> Episode:
    """Return the episode with the newest words of its alert: a call is rendered when it is made."""
    return replace(
        prior,
        labels=alert.labels,
        annotations=alert.annotations,
        values=alert.values,
        generator_url=alert.generator_url,
    )
