"""Which pages' escalations may go on now, and taking a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from adapter.model import ABOUT_FIRING, Call, CallState, Event, EventKind, Result
from adapter.store.part import Part
from adapter.store.records import Standing
from adapter.store.rows import call_of, event_row, page_of
from adapter.store.schema import calls, episodes, events, is_firing, page_is_open, pages

_NEW_EVENTS = events.insert()

_PAGES: sa.BindParameter[Any] = sa.bindparam("pages", expanding=True)
_DUE = (
    pages.select()
    .where(pages.c.look_at <= sa.bindparam("now", type_=pages.c.look_at.type))
    .order_by(pages.c.look_at, pages.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_CALLS_OF_RUNS = (
    calls.select()
    .join(pages, pages.c.id == calls.c.page_id)
    .where(
        calls.c.page_id.in_(_PAGES),
        sa.or_(
            calls.c.run == pages.c.run,
            calls.c.settled_at.is_(None),
            calls.c.result == Result.ANSWERED.value,
        ),
    )
    .order_by(calls.c.created_at, calls.c.id)
)
_NEWEST_FIRING = (
    sa.select(episodes.c.page_id, sa.func.max(episodes.c.id))
    .where(episodes.c.page_id.in_(_PAGES), is_firing)
    .group_by(episodes.c.page_id)
)


class Escalations(Part):
    """The side of the store that escalations are looked at from."""

    def due_escalations(self, now: datetime, most: int) -> list[Standing]:
        """Return the escalations that may go on, at most so many, the one due longest first.

        Their pages are locked until the transaction ends; who else looks passes over them.
        """
        rows = self._connection.execute(_DUE, {"now": now, "most": most})
        found = [page_of(row) for row in rows]
        if not found:
            return []
        ids = [page.id for page in found]
        theirs, newest = self._calls_of_runs(ids), self._newest_firing(ids)
        return [
            Standing(page=page, calls=tuple(theirs.get(page.id, ())), newest=newest.get(page.id, 0))
            for page in found
        ]

    def _calls_of_runs(self, page_ids: Sequence[str]) -> dict[str, list[Call]]:
        """Return the calls of each page's present run, those open, and those answered."""
        found: dict[str, list[Call]] = defaultdict(list)
        for row in self._connection.execute(_CALLS_OF_RUNS, {"pages": page_ids}):
            found[row.page_id].append(call_of(row))
        return found

    def _newest_firing(self, page_ids: Sequence[str]) -> dict[str, int]:
        rows = self._connection.execute(_NEWEST_FIRING, {"pages": page_ids})
        return {page_id: newest for page_id, newest in rows}

    def acknowledge(self, page_id: str, now: datetime, by: str) -> bool:
        """Note that somebody has taken the open page; False: there is no such.

        Its escalation ends, and its waiting calls about alerts that fire are not made.
        """
        values = {
            "acknowledged_at": now,
            "acknowledged_by": by,
            "step": None,
            "step_until": None,
            "look_at": None,
        }
        page = pages.update().where(pages.c.id == page_id, page_is_open)
        if self._connection.execute(page.values(values)).rowcount == 0:
            return False
        waiting = calls.update().where(
            calls.c.page_id == page_id,
            calls.c.state == CallState.WAITING,
            calls.c.reason.in_(ABOUT_FIRING),
        )
        note = f"{by} has taken the page"
        self._connection.execute(
            waiting.values(state=CallState.CANCELLED, settled_at=now, note=note)
        )
        self.tell(Event(at=now, kind=EventKind.ACKNOWLEDGED, page_id=page_id, actor=by))
        return True

    def tell(self, *told: Event) -> None:
        """Add to the story."""
        self._write(_NEW_EVENTS, [event_row(event) for event in told])
