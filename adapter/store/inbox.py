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
_CHANGED_PAGES = pages.update().where(pages.c.id == _KEY)
_CHANGED_EPISODES = episodes.update().where(episodes.c.id == _KEY)
# A call that was claimed meanwhile is not a decision's to change any more.
_CHANGED_CALLS = calls.update().where(
    calls.c.id == _KEY, calls.c.state == sa.bindparam("state_before")
)
_MOVED_CALLS = calls.update().where(calls.c.id == _KEY)


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
            query = pages.select().where(pages.c.id.in_(chunk)).order_by(pages.c.id)
            rows = self._connection.execute(query.with_for_update())
            found |= {page.id: page for page in map(page_of, rows)}
        return Known(
            episodes=latest,
            pages=found,
            calls=self._calls_that_count(found),
            firing=self.firing_in(found),
        )

    def _latest_episodes(self, keys: Iterable[AlertKey]) -> dict[AlertKey, Episode]:
        latest: dict[AlertKey, Episode] = {}
        for receiver, fingerprints in _by_receiver(keys).items():
            for chunk in chunks(fingerprints):
                newest = (
                    sa.select(sa.func.max(episodes.c.id))
                    .where(episodes.c.receiver == receiver, episodes.c.fingerprint.in_(chunk))
                    .group_by(episodes.c.fingerprint)
                )
                rows = self._connection.execute(episodes.select().where(episodes.c.id.in_(newest)))
                found = map(episode_of, rows.all())
                latest |= {(episode.receiver, episode.fingerprint): episode for episode in found}
        return latest

    def _latest_pages(self, keys: Iterable[PageKey]) -> Iterator[Page]:
        """Return of each group the open page, and the one that was opened last."""
        texts = ((receiver, group_key(dict(labels))) for receiver, labels in keys)
        others = pages.alias()
        opened_last = (
            sa.select(sa.func.max(others.c.opened_at))
            .where(others.c.receiver == pages.c.receiver, others.c.group_key == pages.c.group_key)
            .scalar_subquery()
        )
        for receiver, group_keys in _by_receiver(texts).items():
            for chunk in chunks(group_keys):
                query = (
                    pages.select()
                    .where(
                        pages.c.receiver == receiver,
                        pages.c.group_key.in_(chunk),
                        sa.or_(page_is_open, pages.c.opened_at == opened_last),
                    )
                    .order_by(pages.c.id)
                )
                query = query.with_for_update()
                yield from map(page_of, self._connection.execute(query).all())

    def _calls_that_count(self, page_ids: Iterable[str]) -> dict[str, list[Call]]:
        """Return the calls that a decision can depend on, by page.

        These are the open ones, those that ended without being dialled for want of something, and
        of those that were dialled the last of its kind to each phone: a page that stays open for
        weeks has thousands.
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
        found: dict[str, list[Call]] = defaultdict(list)
        for chunk in chunks(page_ids):
            query = calls.select().where(calls.c.page_id.in_(chunk), counts)
            for row in self._connection.execute(query).all():
                call = call_of(row)
                found[row.page_id].append(call)
        return found

    def firing_in(self, page_ids: Iterable[str]) -> dict[str, int]:
        """Return how many alerts fire in each of these pages; a page without any is left out."""
        found: dict[str, int] = {}
        for chunk in chunks(page_ids):
            query = (
                sa.select(episodes.c.page_id, sa.func.count())
                .where(episodes.c.page_id.in_(chunk), is_firing)
                .group_by(episodes.c.page_id)
            )
            found |= {page_id: count for page_id, count in self._connection.execute(query)}
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


def _missed(table: Any) -> sa.ColumnElement[bool]:
    """Whether a call surely reached nobody."""
    return sa.func.coalesce(table.c.result, "").in_(MISSED)


def _by_receiver(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for receiver, key in keys:
        found[receiver].append(key)
    return found


def _only(row: Row, names: tuple[str, ...], *, key: str | int) -> Row:
    return {name: row[name] for name in names} | {"key": key}
