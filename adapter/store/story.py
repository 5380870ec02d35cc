"""What is kept for explaining and replaying: verdicts about alerts, webhooks, who stood in when."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec.structs import asdict
from sqlalchemy.dialects import postgresql, sqlite

from adapter.model import Event, Source, StoredOverride
from adapter.paging import Verdict
from adapter.schedules.records import StoredCalendar
from adapter.store.part import Part
from adapter.store.records import KeptVerdict, KeptWebhook
from adapter.store.rows import event_of, json_text, override_row
from adapter.store.schema import calendars, events, instant_text, overrides, verdicts, webhooks

_COMPRESSION = 1  # the fastest: taking a storm in must not wait for it
_NEW_WEBHOOKS = webhooks.insert()
_NEW_OVERRIDES = overrides.insert()


def _upsert(dialect: Any) -> Any:
    """Insert a verdict; one that was known for this reason happens once more."""
    new = dialect.insert(verdicts)
    return new.on_conflict_do_update(
        index_elements=["receiver", "fingerprint", "reason"],
        set_={
            "page_id": new.excluded.page_id,
            "route": new.excluded.route,
            "detail": new.excluded.detail,
            "labels": new.excluded.labels,
            "last_at": new.excluded.last_at,
            "times": verdicts.c.times + sa.literal_column("1"),
        },
    )


_VERDICTS = {"sqlite": _upsert(sqlite), "postgresql": _upsert(postgresql)}


class Story(Part):
    """The side of the store that answers why."""

    def keep_verdicts(self, found: Iterable[Verdict], now: datetime) -> None:
        """Remember what became of each alert at each receiver, once for each reason."""
        latest = {(v.receiver, v.alert.fingerprint, v.reason): v for v in found}
        rows = [
            {
                "receiver": verdict.receiver,
                "fingerprint": verdict.alert.fingerprint,
                "reason": verdict.reason.value,
                "page_id": verdict.page_id,
                "route": verdict.route,
                "labels": json_text(verdict.alert.labels),
                "detail": verdict.detail,
                "first_at": instant_text(now),
                "last_at": instant_text(now),
                "times": 1,
            }
            # Always in the same order: two replicas must not wait for each other's rows.
            for _, verdict in sorted(latest.items())
        ]
        self._write(_VERDICTS[self._connection.dialect.name], rows)

    def find_verdicts(
        self, *, fingerprint: str = "", page_id: str | None = None, limit: int
    ) -> list[KeptVerdict]:
        """Return verdicts, the newest first; `fingerprint`: those whose alert's begins so."""
        query = verdicts.select().order_by(verdicts.c.last_at.desc()).limit(limit)
        if fingerprint:
            query = query.where(verdicts.c.fingerprint.startswith(fingerprint, autoescape=True))
        if page_id is not None:
            query = query.where(verdicts.c.page_id == page_id)
        return [KeptVerdict(**row._mapping) for row in self._connection.execute(query)]

    def events_of(self, *, page_id: str | None = None, call_id: str | None = None) -> list[Event]:
        """Return the story lines of a page, or of a call, oldest first."""
        query = events.select().order_by(events.c.id)
        if page_id is not None:
            query = query.where(events.c.page_id == page_id)
        if call_id is not None:
            query = query.where(events.c.call_id == call_id)
        return [event_of(row) for row in self._connection.execute(query)]

    def keep_webhook(self, source: Source, body: bytes, now: datetime) -> None:
        """Keep an accepted body for replaying it."""
        row = {
            "received_at": instant_text(now),
            "source": source.value,
            "size": len(body),
            "body": zlib.compress(body, _COMPRESSION),
        }
        self._write(_NEW_WEBHOOKS, [row])

    def find_webhooks(self, since: datetime, until: datetime, limit: int) -> list[KeptWebhook]:
        """Return accepted bodies of a time, oldest first."""
        query = (
            webhooks.select()
            .where(webhooks.c.received_at >= since, webhooks.c.received_at < until)
            .order_by(webhooks.c.id)
            .limit(limit)
        )
        return [
            KeptWebhook(
                id=row.id,
                received_at=row.received_at,
                source=Source(row.source),
                body=zlib.decompress(row.body),
            )
            for row in self._connection.execute(query)
        ]

    # --- who stands in ---

    def add_override(self, override: StoredOverride) -> None:
        """Put somebody on call for a time."""
        self._write(_NEW_OVERRIDES, [override_row(override)])

    def remove_override(self, override_id: str, now: datetime, by: str) -> bool:
        """End an override; False: there is no such, or it is over."""
        standing = overrides.update().where(
            overrides.c.id == override_id,
            overrides.c.removed_at.is_(None),
            overrides.c.ends_at > now,
        )
        values = {"removed_at": now, "removed_by": by}
        return self._connection.execute(standing.values(values)).rowcount > 0

    def overrides(self, ends_after: datetime, *, removed_too: bool = False) -> list[StoredOverride]:
        """Return the overrides that are not over by then, in the order they were added."""
        query = (
            overrides.select()
            .where(overrides.c.ends_at > ends_after)
            .order_by(overrides.c.created_at, overrides.c.id)
        )
        if not removed_too:
            query = query.where(overrides.c.removed_at.is_(None))
        return [StoredOverride(**row._mapping) for row in self._connection.execute(query)]

    # --- calendars ---

    def calendars(self) -> dict[str, StoredCalendar]:
        """Return the last good copy of each schedule's feed."""
        rows = self._connection.execute(calendars.select())
        return {row.schedule: StoredCalendar(**row._mapping) for row in rows}

    def keep_calendar(self, copy: StoredCalendar) -> None:
        """Keep the last good copy of a schedule's feed."""
        values = asdict(copy)
        same = calendars.update().where(calendars.c.schedule == copy.schedule)
        if self._connection.execute(same.values(values)).rowcount == 0:
            self._connection.execute(calendars.insert().values(values))
