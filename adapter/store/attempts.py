"""Claiming a call, and settling it: conditional at every step, fenced by the attempt's id.

A call is held by the attempt that claimed it. Whoever comes back late, after the call went on
without it, settles nothing. A call and those bundled into it move together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from adapter.model import Attempt, Call, CallState, PhoneNumber
from adapter.store.named import LEAD, said_by
from adapter.store.part import Part
from adapter.store.rows import attempt_of, attempt_row, call_of
from adapter.store.schema import attempts, call_is_open, calls, episodes, page_escalates, pages

_NEW_ATTEMPTS = attempts.insert()
_FINISHED_ATTEMPTS = attempts.update().where(attempts.c.id == sa.bindparam("key"))

_INSTANT = calls.c.due_at.type
_YOUNGEST = (
    sa.select(sa.func.max(episodes.c.id))
    .where(episodes.c.page_id == calls.c.page_id)
    .scalar_subquery()
)
_CLAIM = (
    calls.update()
    .where(calls.c.state == CallState.WAITING)
    .values(
        state=CallState.SENDING,
        attempt_id=sa.bindparam("attempt"),
        attempts=calls.c.attempts + 1,
        dialled_at=sa.bindparam("begun", type_=_INSTANT),
        named_through=_YOUNGEST,
        limited_until=None,
        due_at=sa.bindparam("lease_until", type_=_INSTANT),
    )
)
_CLAIM_LEAD = _CLAIM.where(calls.c.id == LEAD).values(bundled_into=None)
_CLAIM_BUNDLED = _CLAIM.where(calls.c.bundled_into == LEAD)

# The calls in a state and the attempts that hold them; of a bundle, its lead.
_HELD = (
    sa.select(calls, attempts)
    .join(attempts, attempts.c.id == calls.c.attempt_id)
    .where(call_is_open, calls.c.state == sa.bindparam("held"), attempts.c.call_id == calls.c.id)
    .order_by(calls.c.due_at, calls.c.id)
    .with_for_update(of=calls, skip_locked=True)
)
_HELD_AND_DUE = _HELD.where(calls.c.due_at <= sa.bindparam("now", type_=_INSTANT))

# What a call that nobody holds looks like.
_LET_GO = {"attempt_id": None, "bundled_into": None}

_RETRIABLE = (CallState.REFUSED, CallState.GAVE_UP, CallState.CANCELLED)


class Attempts(Part):
    """The side of the store that calls are made from."""

    def begin(self, lead: Call, attempt: Attempt, lease_until: datetime) -> bool:
        """Claim a call with what it bundles, and write its attempt down before anything leaves.

        Return False where somebody else has claimed it.
        """
        values = {
            "lead": lead.id,
            "attempt": attempt.id,
            "begun": attempt.started_at,
            "lease_until": lease_until,
        }
        if self._connection.execute(_CLAIM_LEAD, values).rowcount == 0:
            return False
        self._connection.execute(_CLAIM_BUNDLED, values)
        self._write(_NEW_ATTEMPTS, [attempt_row(attempt) | {"phone": lead.phone.e164}])
        return True

    def end(self, lead: Call, state: CallState, now: datetime, note: str) -> bool:
        """End a waiting call, and what it bundles, for which no request will leave.

        Return False where it does not wait any more: somebody claimed or ended it meanwhile.
        """
        waiting = calls.update().where(said_by(lead.id), calls.c.state == CallState.WAITING)
        self._look_at_pages_of(said_by(lead.id), now)
        ended = self._connection.execute(waiting.values(state=state, settled_at=now, note=note))
        return ended.rowcount > 0

    def finish_attempt(self, attempt: Attempt) -> None:
        """Keep what the vendor answered."""
        self._write(_FINISHED_ATTEMPTS, [attempt_row(attempt) | {"key": attempt.id}])

    def settle(
        self,
        attempt_id: str,
        state: CallState,
        *,
        now: datetime,
        due_at: datetime | None,
        note: str,
    ) -> bool:
        """Move the call that an attempt holds, and what it bundles, to its next state.

        `due_at` is required of every open state. Return False where the attempt holds no call any
        more: its lease ran out and somebody else went on.
        """
        values: dict[str, Any] = {"state": state, "note": note}
        if state.open:
            if due_at is None:
                raise ValueError(f"a {state} call needs a time when it is due")
            values["due_at"] = due_at
        else:
            values["settled_at"] = now
        if state is CallState.WAITING:
            values |= _LET_GO
        is_held = sa.and_(calls.c.attempt_id == attempt_id, call_is_open)
        if not state.open:
            self._look_at_pages_of(is_held, now)
        return self._connection.execute(calls.update().where(is_held).values(values)).rowcount > 0

    def _look_at_pages_of(self, which: sa.ColumnElement[bool], now: datetime) -> None:
        """Have the escalations that these calls are made for looked at again."""
        theirs = sa.select(calls.c.page_id).where(which)
        under_way = pages.update().where(pages.c.id.in_(theirs), page_escalates)
        self._connection.execute(under_way.values(look_at=now))

    def orphans(self, now: datetime, *, all_of_them: bool = False) -> list[tuple[Call, Attempt]]:
        """Return the calls whose attempt nobody will finish: their lease has run out.

        `all_of_them`: this process has just started and owns the store alone.
        """
        return self._held(CallState.SENDING, None if all_of_them else now)

    def due_look_ups(
        self, now: datetime, *, all_of_them: bool = False
    ) -> list[tuple[Call, Attempt]]:
        """Return the calls of unknown outcome whose next look-up is due, with their attempts.

        `all_of_them`: as above; nobody makes those any more that are leased.
        """
        return self._held(CallState.UNKNOWN, None if all_of_them else now)

    def _held(self, state: CallState, due_by: datetime | None) -> list[tuple[Call, Attempt]]:
        """Return the calls in a state and the attempts that hold them; of a bundle, its lead.

        They are locked until the transaction ends; another replica that asks passes over them.
        """
        query, values = (_HELD, {}) if due_by is None else (_HELD_AND_DUE, {"now": due_by})
        width = len(calls.c)
        return [
            (call_of(row[:width]), attempt_of(row[width:]))
            for row in self._connection.execute(query, {"held": state, **values})
        ]

    def lease(self, attempt_id: str, until: datetime) -> bool:
        """Keep a call of unknown outcome for one look-up; False where somebody else has it.

        Ask in the transaction that found the look-up due.
        """
        due = calls.update().where(
            calls.c.attempt_id == attempt_id,
            calls.c.state == CallState.UNKNOWN,
            calls.c.due_at < until,
        )
        return self._connection.execute(due.values(due_at=until)).rowcount > 0

    def sessions_used(self, phone: PhoneNumber, since: datetime) -> set[str]:
        """Return the SessionNos that other attempts at this phone have been given."""
        query = sa.select(attempts.c.session_no).where(
            attempts.c.phone == phone.e164,
            attempts.c.started_at >= since,
            attempts.c.session_no != "",
        )
        return set(self._connection.scalars(query))

    def retry(self, call_id: str, now: datetime) -> bool:
        """Make a call due now that had ended without reaching anyone; False: there is no such.

        What was bundled into it comes back with it, each for itself.
        """
        again = {
            "state": CallState.WAITING,
            "due_at": now,
            "due_since": now,
            "settled_at": None,
            "result": None,
            "reported_at": None,
            "note": "asked for again",
        }
        ended = calls.update().where(said_by(call_id), calls.c.state.in_(_RETRIABLE))
        return self._connection.execute(ended.values(again | _LET_GO)).rowcount > 0
