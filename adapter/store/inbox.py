"""Taking in a webhook: what is known of its alerts and groups, and what was decided about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from adapter.model import MISSED, Call, CallState, Episode, Event, Page, Reason
from adapter.paging import AlertKey, Changes, Known, Moves, PageKey
from adapter.store.fallbacks import Fallbacks
from adapter.store.part import chunks
from adapter.store.rows import (
    Row,
    call_of,
    call_row,
    episode_of,
    episode_row,
    event_row,
    group_key,
    page_of,
    page_row,
)
from adapter.store.schema import (
    call_is_open,
    calls,
    episodes,
    events,
    is_firing,
    page_is_open,
    pages,
)

_NEW_PAGES = pages.insert()
_NEW_EPISODES = episodes.insert()
_NEW_CALLS = calls.insert()
_NEW_EVENTS = events.insert()

# What a decision may change. The rest is the outbox's, or was settled when the row was written.
_ESCALATION = ("run", "repeats_left", "step", "step_until", "look_at", "exhausted_at")
_ACKNOWLEDGEMENT = ("acknowledged_at", "acknowledged_by")
_PAGE_CHANGES = ("confirmed_at", "closed_at", "truncated", *_ACKNOWLEDGEMENT, *_ESCALATION)
_EPISODE_CHANGES = ("firing", "ends_at", "labels", "annotations", "values", "generator_url")
_CALL_CHANGES = ("state", "settled_at", "note")

_KEY: sa.BindParameter[Any] = sa.bindparam("key")
_KEYS: sa.BindParameter[Any] = sa.bindparam("keys", expanding=True)  # at most a chunk of them
_RECEIVER: sa.BindParameter[Any] = sa.bindparam("receiver")
_CHANGED_PAGES = pages.update().where(pages.c.id == _KEY)
_CHANGED_EPISODES = episodes.update().where(episodes.c.id == _KEY)
# A call that was claimed meanwhile is not a decision's to change any more.
_CHANGED_CALLS = calls.update().where(
    calls.c.id == _KEY, calls.c.state == sa.bindparam("state_before")
)
_MOVED_CALLS = calls.update().where(calls.c.id == _KEY)

_LATEST_EPISODES = episodes.select().where(
    episodes.c.id.in_(
        sa.select(sa.func.max(episodes.c.id))
        .where(episodes.c.receiver == _RECEIVER, episodes.c.fingerprint.in_(_KEYS))
        .group_by(episodes.c.fingerprint)
    )
)
_PAGES = pages.select().where(pages.c.id.in_(_KEYS)).order_by(pages.c.id).with_for_update()
_FIRING = (
    sa.select(episodes.c.page_id, sa.func.count())
    .where(episodes.c.page_id.in_(_KEYS), is_firing)
    .group_by(episodes.c.page_id)
)


def _latest_pages() -> sa.Select[Any]:
    """Each group's open page, and the one that was opened last."""
    others = pages.alias()
    opened_last = (
        sa.select(sa.func.max(others.c.opened_at))
        .where(others.c.receiver == pages.c.receiver, others.c.group_key == pages.c.group_key)
        .scalar_subquery()
    )
    theirs = sa.and_(pages.c.receiver == _RECEIVER, pages.c.group_key.in_(_KEYS))
    counts = sa.or_(page_is_open, pages.c.opened_at == opened_last)
    return pages.select().where(theirs, counts).order_by(pages.c.id).with_for_update()


def _calls_that_count() -> sa.Select[Any]:
    """The calls that a decision about their pages can depend on.

    These are the open ones, those that ended without being dialled for want of something, and of
    those that were dialled the last of its kind to each phone: a page that stays open for weeks
    has thousands.
    """
    later = calls.alias()
    was_last = sa.not_(
        sa.select(later.c.id)
        .where(
            later.c.page_id == calls.c.page_id,
            later.c.phone == calls.c.phone,
            later.c.state == calls.c.state,
            later.c.dialled_at > calls.c.dialled_at,
            _missed(later) == _missed(calls),
            (later.c.reason == Reason.RESOLVED) == (calls.c.reason == Reason.RESOLVED),
        )
        .exists()
    )
    was_tried = sa.or_(calls.c.dialled_at.is_not(None), calls.c.state != CallState.CANCELLED)
    counts = sa.or_(call_is_open, sa.and_(was_tried, was_last))
    return calls.select().where(calls.c.page_id.in_(_KEYS), counts)


def _missed(table: Any) -> sa.ColumnElement[bool]:
    """Whether a call surely reached nobody."""
    return sa.func.coalesce(table.c.result, "").in_(MISSED)


_LATEST_PAGES = _latest_pages()
_CALLS_THAT_COUNT = _calls_that_count()


class Inbox(Fallbacks):
    """The side of the store that webhooks write to."""

    def lock_decisions(self, alert_keys: Iterable[AlertKey], page_keys: Iterable[PageKey]) -> None:
        """Have other replicas wait that decide about these alerts or groups, until we are done."""
        alerts = (f"alert:{receiver}:{fingerprint}" for receiver, fingerprint in alert_keys)
        groups = (f"page:{receiver}:{group_key(dict(labels))}" for receiver, labels in page_keys)
        self.lock([*alerts, *groups])

    def known(self, alert_keys: Iterable[AlertKey], page_keys: Iterable[PageKey]) -> Known:
        """Load what is known of these alerts and groups, in a number of queries that is bounded.

        Their pages are locked until the transaction ends: no call is claimed meanwhile that an
        alert would join.
        """
        latest = self._latest_episodes(alert_keys)
        found = {page.id: page for page in self._latest_pages(page_keys)}
        missing = {episode.page_id for episode in latest.values() if episode.page_id} - set(found)
        for chunk in chunks(missing):
            rows = self._connection.execute(_PAGES, {"keys": chunk})
            found |= {page.id: page for page in map(page_of, rows)}
        return Known(
            episodes=latest,
            pages=found,
            calls=self._calls_that_count(found),
            firing=self.firing_in(found),
        )

    def _latest_episodes(self, keys: Iterable[AlertKey]) -> dict[AlertKey, Episode]:
        rows = self._of_receivers(_LATEST_EPISODES, keys)
        return {(found.receiver, found.fingerprint): found for found in map(episode_of, rows)}

    def _latest_pages(self, keys: Iterable[PageKey]) -> Iterator[Page]:
        """Return of each group the open page, and the one that was opened last."""
        texts = ((receiver, group_key(dict(labels))) for receiver, labels in keys)
        return map(page_of, self._of_receivers(_LATEST_PAGES, texts))

    def _of_receivers(
        self, query: sa.Select[Any], keys: Iterable[tuple[str, str]]
    ) -> Iterator[Sequence[Any]]:
        """Ask for the keys of each receiver."""
        for receiver, theirs in _by_receiver(keys).items():
            for chunk in chunks(theirs):
                values = {"receiver": receiver, "keys": chunk}
                yield from self._connection.execute(query, values).all()

    def _calls_that_count(self, page_ids: Iterable[str]) -> dict[str, list[Call]]:
        """Return the calls that a decision can depend on, by page."""
        found: dict[str, list[Call]] = defaultdict(list)
        for chunk in chunks(page_ids):
            for row in self._connection.execute(_CALLS_THAT_COUNT, {"keys": chunk}).all():
                call = call_of(row)
                found[row.page_id].append(call)
        return found

    def firing_in(self, page_ids: Iterable[str]) -> dict[str, int]:
        """Return how many alerts fire in each of these pages; a page without any is left out."""
        found: dict[str, int] = {}
        for chunk in chunks(page_ids):
            rows = self._connection.execute(_FIRING, {"keys": chunk})
            found |= {page_id: count for page_id, count in rows}
        return found

    def record(self, changes: Changes) -> None:
        """Write down everything that was decided about a notification."""
        # What ends makes room for what begins: one open page a group, one firing episode an alert.
        self._write(
            _CHANGED_PAGES,
            [_only(page_row(page), _PAGE_CHANGES, key=page.id) for page in changes.changed_pages],
        )
        self._write(_NEW_PAGES, [page_row(page) for page in changes.new_pages])
        self._write(
            _CHANGED_EPISODES,
            [
                _only(episode_row(episode), _EPISODE_CHANGES, key=episode.id)
                for episode in changes.changed_episodes
            ],
        )
        self._write(_NEW_EPISODES, [episode_row(episode) for episode in changes.new_episodes])
        self._write(
            _CHANGED_CALLS,
            [
                _only(call_row(call), _CALL_CHANGES, key=call.id)
                | {"state_before": CallState.WAITING.value}
                for call in changes.changed_calls
            ],
        )
        self._record_escalation(changes.new_calls, changes.moved_calls, changes.events)
        for fallback in changes.fallbacks:
            self.add_fallback(fallback)

    def record_moves(self, moves: Moves) -> None:
        """Write down how a page's escalation goes on; its acknowledgement is not part of it."""
        page = moves.page
        self._write(_CHANGED_PAGES, [_only(page_row(page), _ESCALATION, key=page.id)])
        self._record_escalation(moves.new_calls, moves.moved_calls, moves.events)
        if moves.fallback is not None:
            self.add_fallback(moves.fallback)

    def _record_escalation(
        self, new: Sequence[Call], moved: Sequence[Call], told: Sequence[Event]
    ) -> None:
        self._write(_NEW_CALLS, [call_row(call) for call in new])
        self._write(
            _MOVED_CALLS, [{"run": call.run, "step": call.step, "key": call.id} for call in moved]
        )
        self._write(_NEW_EVENTS, [event_row(event) for event in told])

    def add_call(self, call: Call) -> None:
        """Write down a call that no webhook asked for: a test call."""
        self._write(_NEW_CALLS, [call_row(call)])


def _by_receiver(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for receiver, key in keys:
        found[receiver].append(key)
    return found


def _only(row: Row, names: tuple[str, ...], *, key: str | int) -> Row:
    return {name: row[name] for name in names} | {"key": key}
