"""Whom to call next, and with which words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec.structs import replace

from adapter.delivery.outcomes import Outcome
from adapter.model import (
    ABOUT_FIRING,
    MISSED,
    Call,
    CallState,
    Episode,
    EventKind,
    Page,
    PhoneNumber,
    Reason,
)
from adapter.store.part import Part
from adapter.store.records import DuePhone
from adapter.store.rows import call_of, episode_of, page_of
from adapter.store.schema import (
    attempts,
    call_is_open,
    calls,
    episodes,
    events,
    is_firing,
    page_escalates,
    pages,
)

_TOLD = (CallState.ACCEPTED, CallState.SHADOWED)
_TOLD_OR_UNKNOWN = (*_TOLD, CallState.UNKNOWN)
_SAY_IT_AGAIN = (Reason.REPEAT, Reason.ESCALATION)

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


class Outbox(Part):
    """The side of the store that says what is to be done."""

    def due_phones(self, now: datetime) -> list[DuePhone]:
        """Return the phones with calls due, the one not reached for longest first.

        A phone that is being rung now is left out: nobody answers two calls at once.
        """
        last_rung = (
            sa.select(sa.func.max(attempts.c.started_at))
            .where(
                attempts.c.phone == calls.c.phone,
                attempts.c.started_at > now - _FAIRNESS_WINDOW,
                _MAY_HAVE_RUNG,
            )
            .scalar_subquery()
        )
        first_due = sa.func.min(calls.c.due_at, type_=calls.c.due_at.type)
        query = (
            sa.select(calls.c.phone, first_due.label("first_due"), sa.func.count().label("calls"))
            .where(_is_due(now), calls.c.phone.not_in(_ringing()))
            .group_by(calls.c.phone)
            .order_by(last_rung.asc().nulls_first(), sa.literal_column("first_due"), calls.c.phone)
        )
        return [
            DuePhone(phone=PhoneNumber(row.phone), due_at=row.first_due, calls=row.calls)
            for row in self._connection.execute(query)
        ]

    def within_pace(self, most: int, since: datetime, wanted: int) -> int:
        """Return how many of the wanted requests the account's pace allows all replicas together.

        `most` may have left since then. Whoever asks next waits until this transaction ends.
        """
        if not self._is_shared:
            return wanted  # the only process keeps its pace by itself
        self.lock(["pace"])
        left = sa.select(sa.func.count()).where(
            attempts.c.started_at > since, attempts.c.outcome.is_distinct_from(CallState.SHADOWED)
        )
        return min(wanted, max(0, most - (self._connection.scalar(left) or 0)))

    def lock_phone(self, phone: PhoneNumber, now: datetime) -> bool:
        """Have a phone, and the pages of its due calls, until the transaction ends.

        False: another replica has it. No alert joins a page meanwhile.
        """
        if not self.try_lock(f"phone:{phone.e164}"):
            return False
        theirs = sa.select(calls.c.page_id).where(_is_due(now), calls.c.phone == phone.e164)
        query = sa.select(pages.c.id).where(pages.c.id.in_(theirs)).order_by(pages.c.id)
        if self._is_shared:
            self._connection.execute(query.with_for_update()).all()
        return True

    def dialled_since(self, phone: PhoneNumber, since: datetime) -> list[datetime]:
        """Return when the phone rang, or may have rung, since then; oldest first."""
        query = (
            sa.select(attempts.c.started_at)
            .where(attempts.c.phone == phone.e164, attempts.c.started_at > since, _MAY_HAVE_RUNG)
            .order_by(attempts.c.started_at)
        )
        return list(self._connection.scalars(query))

    def requests_since(
        self, phone: PhoneNumber, since: datetime, now: datetime
    ) -> list[tuple[datetime, datetime]]:
        """Return from when to when each request lasted by which the phone rang, or may have."""
        query = sa.select(attempts.c.started_at, attempts.c.finished_at).where(
            attempts.c.phone == phone.e164, attempts.c.started_at > since, _MAY_HAVE_RUNG
        )
        return [
            (row.started_at, row.finished_at or max(now, row.started_at))
            for row in self._connection.execute(query.order_by(attempts.c.started_at))
        ]

    def limit(self, phone: PhoneNumber, now: datetime, until: datetime) -> int:
        """Let every call that is due for the phone wait; return how many do."""
        return self._postpone(
            sa.and_(_is_due(now), calls.c.phone == phone.e164), now, until, "its person's limit"
        )

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
        query = (
            calls.select()
            .where(
                _is_due(now), calls.c.phone == phone.e164, sa.literal(phone.e164).not_in(_ringing())
            )
            .order_by(_URGENCY, calls.c.due_since, calls.c.created_at, calls.c.id)
            .limit(most)
        )
        return [call_of(row) for row in self._connection.execute(query)]

    def alike(self, lead: Call, now: datetime) -> int:
        """Return how many other calls are due whose words this one could say too."""
        return (
            self._connection.scalar(
                sa.select(sa.func.count()).select_from(calls).where(*_alike(lead, now))
            )
            or 0
        )

    def bundle(self, lead: Call, now: datetime) -> Call:
        """Let one call say the words of all calls like it that are due; return it as it is now.

        Calls about firing alerts are alike, and so are calls about resolved ones. The bundle has
        the patience of its youngest call: giving up on the oldest must not end the others.
        """
        others = calls.update().where(*_alike(lead, now))
        self._connection.execute(others.values(bundled_into=lead.id))
        bundled = sa.select(sa.func.max(calls.c.due_since, type_=calls.c.due_since.type))
        youngest = self._connection.scalar(bundled.where(calls.c.bundled_into == lead.id))
        if youngest is None or youngest <= lead.due_since:
            return lead
        one = calls.update().where(calls.c.id == lead.id)
        self._connection.execute(one.values(due_since=youngest))
        return replace(lead, due_since=youngest)

    def page(self, page_id: str) -> Page | None:
        """Return a page, or None where there is none of this id."""
        row = self._connection.execute(pages.select().where(pages.c.id == page_id)).one_or_none()
        return None if row is None else page_of(row)

    def alerts_named_by(self, lead: Call) -> list[Episode]:
        """Return the alerts that a call, with what it bundles, has to name now, oldest first.

        A call about firing alerts names those its person has not heard of yet; a repeat, or one of
        a later step, all that fire, unless its person has heard of the page since it was decided.
        What somebody has taken is not named. A call about resolved ones names those the person had
        heard of. Where alerts were hidden from us (a truncated page), resolved ones
        count as firing: we cannot know.
        """
        said = sa.select(calls.c.page_id).where(said_by(lead.id))
        # Who may have heard of an alert is called back about it too.
        may_know = _TOLD_OR_UNKNOWN if lead.reason is Reason.RESOLVED else _TOLD
        heard = _heard(lead.phone, said, calls.c.reason != Reason.RESOLVED, may_know)
        query = (
            sa.select(episodes)
            .join(pages, pages.c.id == episodes.c.page_id)
            .outerjoin(heard, heard.c.page_id == episodes.c.page_id)
            .where(episodes.c.page_id.in_(said))
            .order_by(episodes.c.id)
        )
        heard_through = sa.func.coalesce(heard.c.through, 0)
        if lead.reason is Reason.RESOLVED:
            called_back = _heard(lead.phone, said, calls.c.reason == Reason.RESOLVED, _TOLD)
            query = query.outerjoin(called_back, called_back.c.page_id == episodes.c.page_id).where(
                sa.not_(is_firing),
                episodes.c.id <= heard_through,
                episodes.c.id > sa.func.coalesce(called_back.c.through, 0),
            )
        else:
            repeated = said.where(calls.c.reason.in_(_SAY_IT_AGAIN), sa.not_(_overtaken()))
            to_repeat = episodes.c.page_id.in_(repeated)
            query = query.where(
                pages.c.acknowledged_at.is_(None),
                sa.or_(is_firing, pages.c.truncated.is_(True)),
                sa.or_(episodes.c.id > heard_through, to_repeat),
            )
        return [episode_of(row) for row in self._connection.execute(query)]

    def next_due(self) -> datetime | None:
        """Return when the next open call or escalation needs attention; None: there is none."""
        first_call = sa.func.min(calls.c.due_at, type_=calls.c.due_at.type)
        first_look = sa.func.min(pages.c.look_at, type_=pages.c.look_at.type)
        times = (
            self._connection.scalar(sa.select(first_call).where(call_is_open)),
            self._connection.scalar(sa.select(first_look).where(page_escalates)),
        )
        return min((time for time in times if time is not None), default=None)


def said_by(lead_id: str) -> sa.ColumnElement[bool]:
    """Match a call, and those whose words it says too."""
    return sa.or_(calls.c.id == lead_id, calls.c.bundled_into == lead_id)


def _overtaken() -> sa.ColumnElement[bool]:
    """Match calls whose person a later decided call has told of the page meanwhile."""
    later = calls.alias("later")
    return sa.exists().where(
        later.c.page_id == calls.c.page_id,
        later.c.phone == calls.c.phone,
        later.c.state.in_(_TOLD),
        later.c.reason != Reason.RESOLVED,
        later.c.dialled_at > calls.c.created_at,
    )


def _alike(lead: Call, now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Match the other due calls of a phone and receiver that are of the same kind."""
    kinds = (ABOUT_FIRING, (Reason.RESOLVED,))
    kind = next((kind for kind in kinds if lead.reason in kind), ())  # a test is like no other
    return (
        _is_due(now),
        calls.c.phone == lead.phone.e164,
        calls.c.receiver == lead.receiver,
        calls.c.reason.in_(kind),
        calls.c.id != lead.id,
    )


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(call_is_open, calls.c.state == CallState.WAITING, calls.c.due_at <= now)


def _ringing() -> sa.Select[tuple[str]]:
    others = calls.alias()
    return sa.select(others.c.phone).where(
        others.c.settled_at.is_(None), others.c.state == CallState.SENDING
    )


def _heard(
    phone: PhoneNumber,
    said: sa.Select[tuple[str]],
    about: sa.ColumnElement[bool],
    states: Sequence[CallState],
) -> sa.Subquery:
    """Up to which episode of each of these pages a phone has been told."""
    return (
        sa.select(calls.c.page_id, sa.func.max(calls.c.named_through).label("through"))
        .where(
            calls.c.page_id.in_(said),
            calls.c.phone == phone.e164,
            calls.c.state.in_(states),
            sa.func.coalesce(calls.c.result, "").not_in(MISSED),
            about,
        )
        .group_by(calls.c.page_id)
        .subquery()
    )
