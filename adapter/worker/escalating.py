"""Escalating: which pages' next steps are taken now, each with its calls in one transaction.

Who is called next, and when an escalation has ended, is decided in `paging`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec.structs import replace

from adapter.config.policy import Policy
from adapter.model import Call, EventKind, Page, Receiver, Record
from adapter.on_call import Feeds, roster
from adapter.paging import Moves, look
from adapter.store.session import Session

_AT_ONCE = 200  # escalations a transaction: calls that are due must not wait for a storm of them


class Escalated(Record):
    """What one look at the escalations that were due gave."""

    moves: tuple[Moves, ...] = ()
    more: bool = False  # others are due too

    def count(self, kind: EventKind) -> int:
        """Return how often something happened."""
        return sum(event.kind is kind for move in self.moves for event in move.events)

    @property
    def acknowledged(self) -> int:
        """Return how many pages somebody took by answering."""
        return sum(bool(move.acknowledged_by) for move in self.moves)

    @property
    def exhausted(self) -> tuple[Page, ...]:
        """Return the pages whose escalation reached nobody."""
        return tuple(
            move.page
            for move in self.moves
            if any(event.kind is EventKind.EXHAUSTED for event in move.events)
        )


def escalate(
    session: Session, policy: Policy, feeds: Feeds, now: datetime, new_id: Callable[[], str]
) -> Escalated:
    """Let the escalations that are due go on."""
    due = session.due_escalations(now, _AT_ONCE)
    if not due:
        return Escalated()
    on_call = roster(session, policy, feeds, now).people
    moves = []
    for standing in due:
        receiver = _receiver(policy, standing.page.receiver)
        move = look(
            standing.page,
            receiver,
            standing.calls,
            standing.newest,
            on_call=on_call,
            now=now,
            new_id=new_id,
        )
        move = _traced(move, standing.calls)
        session.record_moves(move)
        if move.acknowledged_by:
            session.acknowledge(move.page.id, now, move.acknowledged_by)
        moves.append(move)
    return Escalated(moves=tuple(moves), more=len(due) == _AT_ONCE)


def _traced(moves: Moves, calls: Sequence[Call]) -> Moves:
    """Let the new calls belong to the trace of the page's latest call before them."""
    traceparent = next((one.traceparent for one in reversed(calls) if one.traceparent), "")
    if not traceparent:
        return moves
    new_calls = tuple(replace(call, traceparent=traceparent) for call in moves.new_calls)
    return replace(moves, new_calls=new_calls)


def _receiver(policy: Policy, name: str) -> Receiver:
    """Return the receiver; one that routes.yaml does not have any more calls nobody else."""
    return policy.receivers.get(name) or Receiver(name=name)
