"""Which alerts a call has to name: statements whose parameters are a call (`lead`) and its phone.

Made once, for making one takes longer than many of them take to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from adapter.model import MISSED, SAY_IT_AGAIN, CallState, Reason
from adapter.store.schema import calls, episodes, is_firing, pages

LEAD: sa.BindParameter[Any] = sa.bindparam("lead")
PHONE: sa.BindParameter[Any] = sa.bindparam("called")

_TOLD = (CallState.ACCEPTED, CallState.SHADOWED)
_TOLD_OR_UNKNOWN = (*_TOLD, CallState.UNKNOWN)


def said_by(lead_id: Any) -> sa.ColumnElement[bool]:
    """Match a call, and those whose words it says too."""
    return sa.or_(calls.c.id == lead_id, calls.c.bundled_into == lead_id)


_SAID = sa.select(calls.c.page_id).where(said_by(LEAD))


def _heard(about: sa.ColumnElement[bool], states: Sequence[CallState]) -> sa.Subquery:
    """Up to which episode of each of the lead's pages its phone has been told."""
    return (
        sa.select(calls.c.page_id, sa.func.max(calls.c.named_through).label("through"))
        .where(
            calls.c.page_id.in_(_SAID),
            calls.c.phone == PHONE,
            calls.c.state.in_(states),
            sa.func.coalesce(calls.c.result, "").not_in(MISSED),
            about,
        )
        .group_by(calls.c.page_id)
        .subquery()
    )


def _named(heard: sa.Subquery) -> sa.Select[Any]:
    return (
        sa.select(episodes)
        .join(pages, pages.c.id == episodes.c.page_id)
        .outerjoin(heard, heard.c.page_id == episodes.c.page_id)
        .where(episodes.c.page_id.in_(_SAID))
        .order_by(episodes.c.id)
    )


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


def _firing() -> sa.Select[Any]:
    """What a call about firing alerts has to name."""
    heard = _heard(calls.c.reason != Reason.RESOLVED, _TOLD)
    repeated = _SAID.where(calls.c.reason.in_(SAY_IT_AGAIN), sa.not_(_overtaken()))
    return _named(heard).where(
        pages.c.acknowledged_at.is_(None),
        sa.or_(is_firing, pages.c.truncated.is_(True)),
        sa.or_(
            episodes.c.id > sa.func.coalesce(heard.c.through, 0),
            episodes.c.page_id.in_(repeated),
        ),
    )


def _resolved() -> sa.Select[Any]:
    """What a call about resolved alerts has to name; who may have heard of one is called too."""
    heard = _heard(calls.c.reason != Reason.RESOLVED, _TOLD_OR_UNKNOWN)
    called_back = _heard(calls.c.reason == Reason.RESOLVED, _TOLD)
    return (
        _named(heard)
        .outerjoin(called_back, called_back.c.page_id == episodes.c.page_id)
        .where(
            sa.not_(is_firing),
            episodes.c.id <= sa.func.coalesce(heard.c.through, 0),
            episodes.c.id > sa.func.coalesce(called_back.c.through, 0),
        )
    )


FIRING, RESOLVED = _firing(), _resolved()

# The calls of unknown outcome by which the lead's person may have heard of its pages.
MAYBE_TOLD = sa.select(calls.c.page_id, calls.c.named_through, calls.c.due_at).where(
    calls.c.page_id.in_(_SAID),
    calls.c.phone == PHONE,
    calls.c.state == CallState.UNKNOWN,
    calls.c.named_through.is_not(None),
    calls.c.reason != Reason.RESOLVED,
)
