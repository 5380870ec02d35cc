"""Whom to call next, and with which words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from adapter.delivery.outcomes import Outcome
from adapter.model import (
    ABOUT_FIRING,
    Call,
    CallState,
    Episode,
    EventKind,
    Page,
    PhoneNumber,
    Reason,
)
from adapter.paging import MaybeTold
from adapter.store.named import FIRING, LEAD, MAYBE_TOLD, PHONE, RESOLVED, said_by
from adapter.store.part import Part
from adapter.store.records import Due, DuePhone
from adapter.store.rows import call_of, episode_of, page_of
from adapter.store.schema import (
    attempts,
    call_is_open,
    calls,
    events,
    page_escalates,
    pages,
)

_URGENCY = sa.case(
    (calls.c.reason == Reason.DRILL, 3),
    (calls.c.reason == Reason.RESOLVED, 2),
    (calls.c.reason == Reason.REPEAT, 1),
    else_=0,
)

# What counts as ringing: what rang, may have rung, or may be ringing now.
_MAY_HAVE_RUNG = sa.or_(
    attempts.c.outcome.is_(None), attempts.c.outcome.in_((Outcome.ACCEPTED, Outcome.UNKNOWN))
)

# Who was not called for so long is as good as never called.
_FAIRNESS_WINDOW = timedelta(days=1)

_INSTANT = calls.c.due_at.type
_NOW = sa.bindparam("now", type_=_INSTANT)
_SINCE = sa.bindparam("since", type_=_INSTANT)


def _is_due(now: Any) -> sa.ColumnElement[bool]:
    return sa.and_(call_is_open, calls.c.state == CallState.WAITING, calls.c.due_at <= now)


def _is_due_to(phone: Any, now: Any) -> sa.ColumnElement[bool]:
    return sa.and_(_is_due(now), calls.c.phone == phone)


_IS_DUE = _is_due(_NOW)
_IS_DUE_TO_PHONE = _is_due_to(PHONE, _NOW)
# The other due calls of a phone and receiver that are of the same kind.
_ALIKE = sa.and_(
    _IS_DUE_TO_PHONE,
    calls.c.receiver == sa.bindparam("through"),
    calls.c.reason.in_(sa.bindparam("kind", expanding=True)),
    calls.c.id != LEAD,
)


def _ringing() -> sa.Select[tuple[str]]:
    others = calls.alias()
    return sa.select(others.c.phone).where(
        others.c.settled_at.is_(None), others.c.state == CallState.SENDING
    )


def _due_phones() -> sa.Select[Any]:
    last_rung = (
        sa.select(sa.func.max(attempts.c.started_at))
        .where(attempts.c.phone == calls.c.phone, attempts.c.started_at > _SINCE, _MAY_HAVE_RUNG)
        .scalar_subquery()
    )
    first_due = sa.func.min(calls.c.due_at, type_=_INSTANT)
    return (
        sa.select(calls.c.phone, first_due.label("first_due"), sa.func.count().label("calls"))
        .where(_IS_DUE, calls.c.phone.not_in(_ringing()))
        .group_by(calls.c.phone)
        .order_by(last_rung.asc().nulls_first(), sa.literal_column("first_due"), calls.c.phone)
    )


_DUE_PHONES = _due_phones()
_DUE_PAGES_OF_PHONE = (
    sa.select(pages.c.id)
    .where(pages.c.id.in_(sa.select(calls.c.page_id).where(_IS_DUE_TO_PHONE)))
    .order_by(pages.c.id)
    .with_for_update()
)
_DUE_CALLS = (
    calls.select()
    .where(_IS_DUE_TO_PHONE, PHONE.not_in(_ringing()))
    .order_by(_URGENCY, calls.c.due_since, calls.c.created_at, calls.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_SENT = sa.select(sa.func.count()).where(
    attempts.c.started_at > _SINCE, attempts.c.outcome.is_distinct_from(CallState.SHADOWED)
)
_RINGS = (
    sa.select(attempts.c.started_at, attempts.c.finished_at)
    .where(attempts.c.phone == PHONE, attempts.c.started_at > _SINCE, _MAY_HAVE_RUNG)
    .order_by(attempts.c.started_at)
)
_PAGE = pages.select().where(pages.c.id == sa.bindparam("page"))
_COUNT_ALIKE = sa.select(sa.func.count()).select_from(calls).where(_ALIKE)
_BUNDLE_ALIKE = calls.update().where(_ALIKE).values(bundled_into=LEAD)
_FIRST_CALLS = (
    sa.select(calls.c.state, sa.func.min(calls.c.due_at, type_=_INSTANT))
    .where(call_is_open)
    .group_by(calls.c.state)
)
_FIRST_LOOK = sa.select(sa.func.min(pages.c.look_at, type_=_INSTANT)).where(page_escalates)


class Outbox(Part):
    """The side of the store that says what is to be done."""

    def due_phones(self, now: datetime) -> list[DuePhone]:
        """Return the phones with calls due, the one not reached for longest first.

        A phone that is being rung now is left out: nobody answers two calls at once.
        """
        rows = self._connection.execute(_DUE_PHONES, {"now": now, "since": now - _FAIRNESS_WINDOW})
        return [
            DuePhone(phone=PhoneNumber(row.phone), due_at=row.first_due, calls=row.calls)
            for row in rows
        ]

    def within_pace(self, most: int, since: datetime, wanted: int) -> int:
        """Return how many of the wanted requests the account's pace allows all replicas together.

        `most` may have left since then. Whoever asks next waits until this transaction ends.
        """
        if not self._is_shared:
            return wanted  # the only process keeps its pace by itself
        self.lock(["pace"])
        left = self._connection.scalar(_SENT, {"since": since}) or 0
        return min(wanted, max(0, most - left))

    def lock_phone(self, phone: PhoneNumber, now: datetime) -> bool:
        """Have a phone, and the pages of its due calls, until the transaction ends.

        False: another replica has it. No alert joins a page meanwhile.
        """
        if not self.try_lock(f"phone:{phone.e164}"):
            return False
        if self._is_shared:
            values = {"called": phone.e164, "now": now}
            self._connection.execute(_DUE_PAGES_OF_PHONE, values).all()
        return True

    def dialled_since(self, phone: PhoneNumber, since: datetime) -> list[datetime]:
        """Return when the phone rang, or may have rung, since then; oldest first."""
        return [row.started_at for row in self._rings(phone, since)]

    def requests_since(
        self, phone: PhoneNumber, since: datetime, now: datetime
    ) -> list[tuple[datetime, datetime]]:
        """Return from when to when each request lasted by which the phone rang, or may have."""
        return [
            (row.started_at, row.finished_at or max(now, row.started_at))
            for row in self._rings(phone, since)
        ]

    def _rings(self, phone: PhoneNumber, since: datetime) -> sa.CursorResult[Any]:
        return self._connection.execute(_RINGS, {"called": phone.e164, "since": since})

    def limit(self, phone: PhoneNumber, now: datetime, until: datetime) -> int:
        """Let every call that is due for the phone wait; return how many do."""
        theirs = _is_due_to(phone.e164, now)
        return self._postpone(theirs, now, until, "its person's limit")

    def postpone(self, lead: Call, now: datetime, until: datetime, why: str) -> int:
        """Let a call, and what it bundles, wait; return how many do."""
        mine = sa.and_(said_by(lead.id), calls.c.state == CallState.WAITING)
        return self._postpone(mine, now, until, why)

    def _postpone(
        self, which: sa.ColumnElement[bool], now: datetime, until: datetime, why: str
    ) -> int:
        """Waiting for a limit is not failing: giving up counts from the new time.

        An escalation whose step is over by then need not wait for it.
        """
        theirs = sa.select(calls.c.page_id).where(which)
        waits_less_long = pages.update().where(pages.c.id.in_(theirs), pages.c.step_until <= until)
        self._connection.execute(waits_less_long.values(look_at=now))
        story = sa.select(
            sa.literal(now, events.c.at.type),
            sa.literal(EventKind.LIMITED.value),
            calls.c.page_id,
            calls.c.id,
            sa.literal(""),
            sa.literal(""),
            sa.literal(f"{why}, until {until.isoformat()}"),
        ).where(which, calls.c.limited_until.is_(None))  # once: a storm is limited again and again
        names = ["at", "kind", "page_id", "call_id", "subject", "actor", "detail"]
        self._connection.execute(events.insert().from_select(names, story))
        values = {"due_at": until, "due_since": until, "limited_until": until}
        return self._connection.execute(calls.update().where(which).values(values)).rowcount

    def due_calls(self, phone: PhoneNumber, now: datetime, most: int) -> list[Call]:
        """Return the phone's due calls, at most so many; none while the phone is being rung.

        News goes before repeats, and repeats before what is over; else the one due for longest.
        """
        values = {"called": phone.e164, "now": now, "most": most}
        return [call_of(row) for row in self._connection.execute(_DUE_CALLS, values)]

    def alike(self, lead: Call, now: datetime) -> int:
        """Return how many other calls are due whose words this one could say too."""
        return self._connection.scalar(_COUNT_ALIKE, _alike_to(lead, now)) or 0

    def bundle(self, lead: Call, now: datetime) -> Call:
        """Let one call say the words of all calls like it that are due; return it as it is now.

        Calls about firing alerts are alike, and so are calls about resolved ones. The bundle has
        the patience of its youngest call: giving up on the oldest must not end the others.
        """
        self._connection.execute(_BUNDLE_ALIKE, _alike_to(lead, now))
        bundled = sa.select(sa.func.max(calls.c.due_since, type_=calls.c.due_since.type))
        youngest = self._connection.scalar(bundled.where(calls.c.bundled_into == lead.id))
        if youngest is None or youngest <= lead.due_since:
            return lead
        one = calls.update().where(calls.c.id == lead.id)
        self._connection.execute(one.values(due_since=youngest))
        return replace(lead, due_since=youngest)

    def page(self, page_id: str) -> Page | None:
        """Return a page, or None where there is none of this id."""
        row = self._connection.execute(_PAGE, {"page": page_id}).one_or_none()
        return None if row is None else page_of(row)

    def alerts_named_by(self, lead: Call) -> list[Episode]:
        """Return the alerts that a call, with what it bundles, has to name now, oldest first.

        A call about firing alerts names those its person has not heard of yet; a repeat, or one of
        a later step, all that fire, unless its person has heard of the page since it was decided.
        What somebody has taken is not named. A call about resolved ones names those the person had
        heard of. Where alerts were hidden from us (a truncated page), resolved ones
        count as firing: we cannot know.
        """
        query = RESOLVED if lead.reason is Reason.RESOLVED else FIRING
        values = {"lead": lead.id, "called": lead.phone.e164}
        return [episode_of(row) for row in self._connection.execute(query, values)]

    def maybe_told(self, lead: Call) -> list[MaybeTold]:
        """Return the calls of unknown outcome about the same pages to the same phone."""
        values = {"lead": lead.id, "called": lead.phone.e164}
        return [
            MaybeTold(page_id=row.page_id, through=row.named_through, look_up_at=row.due_at)
            for row in self._connection.execute(MAYBE_TOLD, values)
        ]

    def due(self) -> Due:
        """Return when open calls and escalations need attention."""
        first = {state: at for state, at in self._connection.execute(_FIRST_CALLS)}
        return Due(
            calls=first.get(CallState.WAITING),
            orphans=first.get(CallState.SENDING),
            look_ups=first.get(CallState.UNKNOWN),
            escalations=self._connection.scalar(_FIRST_LOOK),
        )


def _alike_to(lead: Call, now: datetime) -> dict[str, Any]:
    kinds = (ABOUT_FIRING, (Reason.RESOLVED,))
    kind = next((kind for kind in kinds if lead.reason in kind), ())  # a test is like no other
    return {
        "called": lead.phone.e164,
        "now": now,
        "through": lead.receiver,
        "kind": [reason.value for reason in kind],
        "lead": lead.id,
    }
