"""What is done to pages by hand or by age, and what is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from adapter.model import CallState, EventKind, Reason
from adapter.store.part import Part
from adapter.store.records import Rejected
from adapter.store.rows import rejected_row
from adapter.store.schema import (
    call_is_open,
    calls,
    episodes,
    events,
    is_firing,
    overrides,
    page_is_open,
    pages,
    probe,
    rejected,
    verdicts,
    webhooks,
)

_NEW_REJECTED = rejected.insert()


class Housekeeping(Part):
    """The side of the store that keeps it small and true."""

    def close_stale(self, confirmed_before: datetime, now: datetime) -> int:
        """Close the open pages that no webhook has confirmed for long; return how many."""
        if not self.try_lock("housekeeping"):
            return 0  # another replica does it
        is_stale = sa.and_(page_is_open, pages.c.confirmed_at < confirmed_before)
        stale = sa.select(pages.c.id).where(is_stale)
        waiting = calls.update().where(
            calls.c.page_id.in_(stale), calls.c.state == CallState.WAITING
        )
        note = "no webhook has confirmed the page for long"
        self._connection.execute(
            waiting.values(state=CallState.CANCELLED, settled_at=now, note=note)
        )
        self._tell_closed(is_stale, now, note)
        last_heard = (
            sa.select(pages.c.confirmed_at)
            .where(pages.c.id == episodes.c.page_id)
            .scalar_subquery()
        )
        firing = episodes.update().where(is_firing, episodes.c.page_id.in_(stale))
        self._connection.execute(firing.values(firing=False, ends_at=last_heard))
        values = {"closed_at": now, "truncated": False}
        values |= {"step": None, "step_until": None, "look_at": None}
        closed = pages.update().where(is_stale).values(values)
        return self._connection.execute(closed).rowcount

    def _tell_closed(self, which: sa.ColumnElement[bool], now: datetime, why: str) -> None:
        story = sa.select(
            sa.literal(now, events.c.at.type),
            sa.literal(EventKind.CLOSED.value),
            pages.c.id,
            sa.literal(""),
            sa.literal(""),
            sa.literal(why),
        ).where(which)
        names = ["at", "kind", "page_id", "subject", "actor", "detail"]
        self._connection.execute(events.insert().from_select(names, story))

    def prune(self, before: datetime, most: int, *, webhooks_before: datetime) -> int:
        """Forget what ended before then, at most so many of each kind; return how many.

        Closed pages go with all that belongs to them, unless a phone may still ring for them. Of
        pages that stay open for long, alerts that resolved go, and calls that a later one of their
        kind has made useless.
        """
        if not self.try_lock("housekeeping"):
            return 0  # another replica does it
        busy = sa.select(calls.c.id).where(call_is_open, calls.c.page_id == pages.c.id)
        named = sa.select(episodes.c.id).where(episodes.c.page_id == pages.c.id)
        old_pages = sa.select(pages.c.id).where(
            pages.c.closed_at < before, sa.not_(busy.exists()), sa.not_(named.exists())
        )
        old_episodes = sa.select(episodes.c.id).where(episodes.c.ends_at < before)
        old_calls = sa.select(calls.c.id).where(
            calls.c.settled_at < before, sa.or_(calls.c.page_id.is_(None), _made_useless())
        )
        old_bodies = sa.select(rejected.c.id).where(rejected.c.received_at < before)
        # What belongs to a page goes with it, or before it where that has stayed open for so long.
        old_events = sa.select(events.c.id).where(events.c.at < before)
        old_verdicts = sa.select(verdicts.c.receiver, verdicts.c.fingerprint, verdicts.c.reason)
        old_verdicts = old_verdicts.where(verdicts.c.last_at < before)
        old_overrides = sa.select(overrides.c.id).where(overrides.c.ends_at < before)
        old_webhooks = sa.select(webhooks.c.id).where(webhooks.c.received_at < webhooks_before)
        deletions = (
            # First the alerts, then their pages: a page with ten thousand is not one small step.
            episodes.delete().where(episodes.c.id.in_(old_episodes.limit(most))),
            pages.delete().where(pages.c.id.in_(old_pages.limit(most))),
            calls.delete().where(calls.c.id.in_(old_calls.limit(most))),
            rejected.delete().where(rejected.c.id.in_(old_bodies.limit(most))),
            events.delete().where(events.c.id.in_(old_events.limit(most))),
            verdicts.delete().where(
                sa.tuple_(verdicts.c.receiver, verdicts.c.fingerprint, verdicts.c.reason).in_(
                    old_verdicts.limit(most)
                )
            ),
            overrides.delete().where(overrides.c.id.in_(old_overrides.limit(most))),
            webhooks.delete().where(webhooks.c.id.in_(old_webhooks.limit(most))),
        )
        return sum(self._connection.execute(deletion).rowcount for deletion in deletions)

    def probe(self, now: datetime) -> None:
        """Write something, to see whether anything can be written."""
        values = {"id": 1, "at": now}
        if self._connection.execute(probe.update().values(values)).rowcount == 0:
            self._connection.execute(probe.insert().values(values))

    def shared_time(self) -> datetime | None:
        """Return the time by the clock that all replicas share; None: there is none."""
        if not self._is_shared:
            return None
        found: datetime = self._connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return found.astimezone(UTC)

    def reject(self, body: Rejected, keep: int) -> None:
        """Keep a refused body, and of all of them only the newest."""
        self._write(_NEW_REJECTED, [rejected_row(body)])
        kept = sa.select(rejected.c.id).order_by(rejected.c.id.desc()).limit(keep)
        self._connection.execute(rejected.delete().where(rejected.c.id.not_in(kept)))


def _made_useless() -> sa.ColumnElement[bool]:
    """Match the calls after which the same phone was told more about the same page."""
    later = calls.alias()
    return (
        sa.select(later.c.id)
        .where(
            later.c.page_id == calls.c.page_id,
            later.c.phone == calls.c.phone,
            later.c.state.in_((CallState.ACCEPTED, CallState.SHADOWED)),
            (later.c.reason == Reason.RESOLVED) == (calls.c.reason == Reason.RESOLVED),
            later.c.settled_at > calls.c.settled_at,
            later.c.named_through >= sa.func.coalesce(calls.c.named_through, 0),
        )
        .exists()
    )
