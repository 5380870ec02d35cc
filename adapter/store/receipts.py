"""What the vendor reported of calls: which attempt a receipt is about, and what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from adapter.delivery.outcomes import Outcome
from adapter.delivery.receipts import BEST_FIRST
from adapter.model import Attempt, Call, CallState, Event, EventKind, Receipt, Record, Result
from adapter.store.part import Part
from adapter.store.rows import attempt_of, call_of, event_row, receipt_row
from adapter.store.schema import (
    attempts,
    call_is_open,
    call_is_submitted,
    calls,
    episodes,
    events,
    is_firing,
    page_is_open,
    pages,
)

_NEW_EVENTS = events.insert()
_REPORTED_ATTEMPTS = attempts.update().where(attempts.c.id == sa.bindparam("key"))

_NOTE = "placed, as its receipt shows"


class Noted(Record):
    """What a receipt changed."""

    news: bool  # it is the first that says so
    settled: int = 0  # calls that might have been dialled again, and will not be


class Receipts(Part):
    """The side of the store that receipts are written to."""

    def submitted(self, since: datetime, most: int) -> list[tuple[Call, Attempt]]:
        """Return the calls taken by the vendor whose result is not known, dialled since then.

        At most so many, oldest first, each with the attempt that holds it; of a bundle, its lead.
        """
        query = (
            sa.select(calls, attempts)
            .join(attempts, attempts.c.id == calls.c.attempt_id)
            .where(call_is_submitted, calls.c.dialled_at >= since, attempts.c.call_id == calls.c.id)
            .order_by(calls.c.dialled_at)
            .limit(most)
        )
        return [_pair(row) for row in self._connection.execute(query)]

    def attempt_of_receipt(self, user_id: str, session_no: str) -> tuple[Call, Attempt] | None:
        """Return the attempt a receipt is about, by our id, else by the vendor's, and its call.

        None: it is not ours. Its row is locked until the transaction ends, so that two replicas
        that hear of one call at once hear of it in turn.
        """
        query = (
            sa.select(calls, attempts)
            .join(attempts, attempts.c.call_id == calls.c.id)
            .with_for_update(of=attempts)
        )
        found = None
        if user_id:
            found = self._connection.execute(query.where(attempts.c.id == user_id)).one_or_none()
        if found is None and session_no:
            by_session = query.where(attempts.c.session_no == session_no)
            newest = by_session.order_by(attempts.c.started_at.desc()).limit(1)
            found = self._connection.execute(newest).one_or_none()
        return None if found is None else _pair(found)

    def report(self, attempt: Attempt, receipt: Receipt, result: Result, now: datetime) -> Noted:
        """Write down what is known of an attempt now, and what that means for its calls.

        A receipt proves that the call was placed, so a call that is still open is accepted and not
        dialled again: one that the attempt holds, with all it bundles, and one that waits to be
        dialled again. A call that a later attempt has claimed is left to that one; it is told only
        that somebody answered.
        """
        if receipt != attempt.receipt:
            values = receipt_row(receipt) | {"key": attempt.id}
            if attempt.outcome in (None, Outcome.UNKNOWN):
                values["outcome"] = Outcome.ACCEPTED.value
            self._write(_REPORTED_ATTEMPTS, [values])
        settled = self._settle(attempt, now)
        changed = {**settled, **self._tell_calls(attempt, result, now)}
        said = attempt.receipt is None or attempt.receipt.result is not receipt.result
        if not changed and not said:
            return Noted(news=False)
        about = changed or self._page_of(attempt.call_id)
        self._look_at(about, now)
        detail = _told(receipt, result)
        self._write(
            _NEW_EVENTS,
            [
                event_row(
                    Event(
                        at=now,
                        kind=EventKind.RECEIPT,
                        page_id=page_id,
                        call_id=call_id,
                        detail=detail,
                    )
                )
                for call_id, page_id in sorted(about.items())
            ],
        )
        return Noted(news=True, settled=len(settled))

    def _settle(self, attempt: Attempt, now: datetime) -> dict[str, str | None]:
        """Let no call of the attempt be dialled again; return their ids with those of their pages.

        A call that waits has to be dialled all the same where an alert has joined it since, or
        where somebody has asked for it since.
        """
        placed = {"state": CallState.ACCEPTED, "settled_at": now, "note": _NOTE}
        held = sa.and_(calls.c.attempt_id == attempt.id, call_is_open)
        joined_since = (
            sa.select(episodes.c.id)
            .where(
                episodes.c.page_id == calls.c.page_id,
                is_firing,
                episodes.c.id > sa.func.coalesce(calls.c.named_through, 0),
            )
            .exists()
        )
        again = sa.and_(
            calls.c.id == attempt.call_id,
            call_is_open,
            calls.c.state == CallState.WAITING,
            calls.c.attempts > 0,
            # What waits for a limit has a new due_since too.
            sa.or_(calls.c.due_since <= attempt.started_at, calls.c.limited_until.is_not(None)),
            sa.not_(joined_since),
        )
        return {
            **self._update(held, placed),
            **self._update(again, placed | {"attempt_id": attempt.id, "bundled_into": None}),
        }

    def _tell_calls(self, attempt: Attempt, result: Result, now: datetime) -> dict[str, str | None]:
        """Set the calls' result where it is better than what is known; return them as above."""
        worse = BEST_FIRST[BEST_FIRST.index(result) + 1 :]
        better = sa.or_(calls.c.result.is_(None), calls.c.result.in_(worse))
        values = {"result": result, "reported_at": now}
        told = self._update(sa.and_(calls.c.attempt_id == attempt.id, better), values)
        if result is Result.ANSWERED:
            # Unless it waits to name what this attempt could not name.
            gone_on = sa.and_(calls.c.id == attempt.call_id, calls.c.state != CallState.WAITING)
            told |= self._update(sa.and_(gone_on, better), values)
        return told

    def _update(
        self, which: sa.ColumnElement[bool], values: dict[str, object]
    ) -> dict[str, str | None]:
        changed = calls.update().where(which).values(values).returning(calls.c.id, calls.c.page_id)
        return {row.id: row.page_id for row in self._connection.execute(changed)}

    def _page_of(self, call_id: str) -> dict[str, str | None]:
        query = sa.select(calls.c.id, calls.c.page_id).where(calls.c.id == call_id)
        return {row.id: row.page_id for row in self._connection.execute(query)}

    def _look_at(self, about: dict[str, str | None], now: datetime) -> None:
        """Have the escalations of these pages looked at."""
        ids = sorted({page_id for page_id in about.values() if page_id is not None})
        theirs = pages.update().where(pages.c.id.in_(ids), page_is_open)
        if ids:
            self._connection.execute(theirs.values(look_at=now))


def _pair(row: Sequence[object]) -> tuple[Call, Attempt]:
    width = len(calls.c)
    return call_of(row[:width]), attempt_of(row[width:])


def _told(receipt: Receipt, result: Result) -> str:
    """Say in a line what was reported."""
    talk = f" for {receipt.talk_seconds} s" if receipt.result is Result.ANSWERED else ""
    carrier = " ".join(filter(None, (receipt.code, receipt.description)))
    return f"{result}{talk}" + (f" ({carrier})" if carrier else "")
