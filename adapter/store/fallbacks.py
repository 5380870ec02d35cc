"""The outbox of fallback webhooks: who is still to be told that a page reached nobody.

One row for each run of a page's escalation, whoever finds it exhausted. A try is leased: whoever
gets the lease tells it, and a process that dies with it is followed by another once it has run out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec.structs import asdict
from sqlalchemy.dialects import postgresql, sqlite

from adapter.model import ABOUT_FIRING, Event, EventKind, Fallback, FallbackState, Page
from adapter.store.part import Part
from adapter.store.rows import call_of, episode_of, event_row, fallback_of
from adapter.store.schema import calls, episodes, events, fallback_is_open, fallbacks, is_firing
from adapter.telling.body import MOST_ALERTS, MOST_CALLS, Exhausted


def _once(dialect: Any) -> Any:
    """Insert a fallback, unless its page's run has one."""
    new = dialect.insert(fallbacks).returning(fallbacks.c.id)  # of an INSERT, drivers count no rows
    return new.on_conflict_do_nothing(index_elements=["page_id", "run"])


_NEW = {"sqlite": _once(sqlite), "postgresql": _once(postgresql)}
_NEW_EVENTS = events.insert()


class Fallbacks(Part):
    """The side of the store that fallback webhooks are told from."""

    def add_fallback(self, fallback: Fallback) -> bool:
        """Let a fallback be told; False: the page's run has one already."""
        once = _NEW[self._connection.dialect.name].values(asdict(fallback))
        return self._connection.execute(once).first() is not None

    def due_fallbacks(self, now: datetime, most: int) -> list[Fallback]:
        """Return what is to be told now, at most so much of it, the one due for longest first."""
        query = fallbacks.select().where(fallback_is_open, fallbacks.c.due_at <= now)
        query = query.order_by(fallbacks.c.due_at, fallbacks.c.id).limit(most)
        return [fallback_of(row) for row in self._connection.execute(query)]

    def lease_fallback(self, fallback_id: str, now: datetime, until: datetime) -> bool:
        """Begin a try at one that is due; False where somebody else has it, or has told it."""
        due = fallbacks.update().where(
            fallbacks.c.id == fallback_id, fallback_is_open, fallbacks.c.due_at <= now
        )
        leased = due.values(due_at=until, attempts=fallbacks.c.attempts + 1)
        return self._connection.execute(leased).rowcount > 0

    def settle_fallback(
        self,
        fallback_id: str,
        state: FallbackState,
        due_at: datetime | None,
        note: str,
        now: datetime,
    ) -> bool:
        """Write down what came of it, in the page's story too; False: it was settled before.

        `due_at` is required while it waits.
        """
        values: dict[str, Any] = {"state": state, "note": note}
        if state is FallbackState.WAITING:
            if due_at is None:
                raise ValueError("a waiting fallback needs a time when it is due")
            values["due_at"] = due_at
        else:
            values["settled_at"] = now
        ours = fallbacks.update().where(fallbacks.c.id == fallback_id, fallback_is_open)
        settled = ours.values(values).returning(fallbacks.c.page_id)
        page_id = self._connection.scalar(settled)
        if page_id is None:
            return False
        told = f"{state}: {note}"
        event = Event(at=now, kind=EventKind.FALLBACK, page_id=page_id, detail=told)
        self._write(_NEW_EVENTS, [event_row(event)])
        return True

    def next_fallback_due(self) -> datetime | None:
        """Return when the next one is to be told; None: there is none."""
        first_due = sa.func.min(fallbacks.c.due_at, type_=fallbacks.c.due_at.type)
        due: datetime | None = self._connection.scalar(sa.select(first_due).where(fallback_is_open))
        return due

    def fallbacks_of(self, page_id: str) -> list[Fallback]:
        """Return a page's, in the order of its escalation's runs."""
        query = fallbacks.select().where(fallbacks.c.page_id == page_id).order_by(fallbacks.c.run)
        return [fallback_of(row) for row in self._connection.execute(query)]

    def exhausted(self, page: Page) -> Exhausted:
        """Return what is to be told of a page: its firing alerts, and the calls about them.

        Where alerts were hidden from us (a truncated page), resolved ones count as firing: we
        cannot know.
        """
        shown = episodes.c.page_id == page.id
        if not page.truncated:
            shown = sa.and_(shown, is_firing)
        about = sa.and_(calls.c.page_id == page.id, calls.c.reason.in_(ABOUT_FIRING))
        alerts = episodes.select().where(shown).order_by(episodes.c.firing.desc(), episodes.c.id)
        last = calls.select().where(about).order_by(calls.c.created_at.desc(), calls.c.id.desc())
        newest_first = self._connection.execute(last.limit(MOST_CALLS)).all()
        return Exhausted(
            page=page,
            alerts=[episode_of(row) for row in self._connection.execute(alerts.limit(MOST_ALERTS))],
            alerts_in_all=self._connection.scalar(_count(episodes, shown)) or 0,
            calls=[call_of(row) for row in reversed(newest_first)],
            calls_in_all=self._connection.scalar(_count(calls, about)) or 0,
        )


def _count(table: sa.Table, which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(table).where(which)
