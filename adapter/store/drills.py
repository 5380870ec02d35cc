"""Drills: test calls to everybody of a schedule, which have a drill's id in common."""

from __future__ import annotations

import sqlalchemy as sa

from adapter.model import Call
from adapter.store.part import Part
from adapter.store.rows import call_of
from adapter.store.schema import calls


class Drills(Part):
    """The side of the store that drills are looked at from."""

    def calls_of_drill(self, drill_id: str) -> list[Call]:
        """Return the calls of a drill in the order of its plan; none: there is no such."""
        query = calls.select().where(calls.c.drill_id == drill_id)
        rows = self._connection.execute(
            query.order_by(calls.c.due_since, calls.c.person, calls.c.id)
        )
        return [call_of(row) for row in rows]

    def find_drills(self, *, id_begins: str = "", limit: int) -> list[str]:
        """Return the ids of drills, the newest first; `id_begins`: those that begin so."""
        begun = sa.func.max(calls.c.created_at, type_=calls.c.created_at.type)
        query = sa.select(calls.c.drill_id).where(calls.c.drill_id.is_not(None))
        if id_begins:
            query = query.where(calls.c.drill_id.startswith(id_begins, autoescape=True))
        newest = query.group_by(calls.c.drill_id).order_by(begun.desc(), calls.c.drill_id)
        return [drill_id for drill_id in self._connection.scalars(newest.limit(limit)) if drill_id]
