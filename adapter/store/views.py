"""What a human or a gauge wants to see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from adapter.model import Attempt, Call, CallState, Episode, Page
from adapter.store.part import Part
from adapter.store.records import Queue, Rejected
from adapter.store.rows import attempt_of, call_of, episode_of, page_of
from adapter.store.schema import (
    attempts,
    call_is_open,
    calls,
    episodes,
    page_is_open,
    pages,
    rejected,
)

_RET_CODE_DIGITS = 9  # a longer number is none, and more than the column holds


class Views(Part):
    """The side of the store that is only looked at."""

    def find_pages(self, *, only_open: bool, limit: int, id_begins: str = "") -> list[Page]:
        """Return pages, the newest first; `id_begins`: those whose id begins so."""
        query = pages.select().order_by(pages.c.opened_at.desc(), pages.c.id).limit(limit)
        if only_open:
            query = query.where(page_is_open)
        if id_begins:
            query = query.where(pages.c.id.startswith(id_begins, autoescape=True))
        return [page_of(row) for row in self._connection.execute(query)]

    def episodes_of(self, page_id: str, limit: int) -> list[Episode]:
        """Return the alerts of a page in the order in which they joined."""
        query = episodes.select().where(episodes.c.page_id == page_id)
        rows = self._connection.execute(query.order_by(episodes.c.id).limit(limit))
        return [episode_of(row) for row in rows]

    def find_calls(
        self,
        *,
        text: str = "",
        page_id: str | None = None,
        states: Iterable[CallState] = (),
        limit: int,
    ) -> list[Call]:
        """Return calls, the newest first.

        `text`: the beginning of an id, a person, UserId, SessionNo, ReqUuid, RetCode, or part of a
        vendor's Message.
        """
        query = calls.select().order_by(calls.c.created_at.desc(), calls.c.id).limit(limit)
        if page_id is not None:
            query = query.where(calls.c.page_id == page_id)
        if wanted := list(states):
            query = query.where(calls.c.state.in_(wanted))
        if text:
            query = query.where(
                sa.or_(
                    calls.c.id.startswith(text, autoescape=True),
                    calls.c.page_id.startswith(text, autoescape=True),
                    calls.c.person == text,
                    calls.c.id.in_(sa.select(attempts.c.call_id).where(_attempt_says(text))),
                )
            )
        return [call_of(row) for row in self._connection.execute(query)]

    def attempts_of(self, call: Call) -> list[Attempt]:
        """Return the attempts at a call, oldest first; a bundled call's are its lead's."""
        query = attempts.select().where(attempts.c.call_id == (call.bundled_into or call.id))
        rows = self._connection.execute(query.order_by(attempts.c.started_at, attempts.c.id))
        return [attempt_of(row) for row in rows]

    def queue(self, now: datetime) -> Queue:
        """Count the open calls and pages."""
        states = sa.select(calls.c.state, sa.func.count()).where(call_is_open)
        counts = {
            state: count
            for state, count in self._connection.execute(states.group_by(calls.c.state))
        }
        first_due = sa.func.min(calls.c.due_at, type_=calls.c.due_at.type)
        waiting_since = sa.select(first_due).where(
            call_is_open, calls.c.state == CallState.WAITING, calls.c.due_at <= now
        )
        nobody_has = sa.and_(page_is_open, pages.c.acknowledged_at.is_(None))
        opened_first = sa.func.min(pages.c.opened_at, type_=pages.c.opened_at.type)
        return Queue(
            waiting=counts.get(CallState.WAITING, 0),
            sending=counts.get(CallState.SENDING, 0),
            unknown=counts.get(CallState.UNKNOWN, 0),
            oldest_due_at=self._connection.scalar(waiting_since),
            open_pages=self._count(page_is_open),
            unacknowledged_pages=self._count(nobody_has),
            exhausted_pages=self._count(sa.and_(nobody_has, pages.c.exhausted_at.is_not(None))),
            oldest_unacknowledged_at=self._connection.scalar(
                sa.select(opened_first).where(nobody_has)
            ),
        )

    def _count(self, which: sa.ColumnElement[bool]) -> int:
        return (
            self._connection.scalar(sa.select(sa.func.count()).select_from(pages).where(which)) or 0
        )

    def find_rejected(self, *, only: int | None = None, limit: int = 100) -> list[Rejected]:
        """Return refused bodies, the newest first; `only`: the one with this id."""
        query = rejected.select().order_by(rejected.c.id.desc()).limit(limit)
        if only is not None:
            query = query.where(rejected.c.id == only)
        return [Rejected(**row._mapping) for row in self._connection.execute(query)]


def _attempt_says(text: str) -> sa.ColumnElement[bool]:
    says = sa.or_(
        attempts.c.id == text,
        attempts.c.req_uuid == text,
        attempts.c.session_no == text,
        attempts.c.message.icontains(text, autoescape=True),
    )
    if text.isdecimal() and len(text) <= _RET_CODE_DIGITS:
        return sa.or_(says, attempts.c.ret_code == int(text))
    return says
