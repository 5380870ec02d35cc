"""Rows and records: the one place that knows how a record lies in its table.

`…_row` gives what a database driver takes as it is, instants and JSON as text; a storm writes tens
of thousands of rows at once, and converting each value on its way would take most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from adapter.model import Attempt, Call, CallState, Episode, Labels, Page, PhoneNumber, Reason
from adapter.store.records import Rejected
from adapter.store.schema import attempts, calls, episodes, instant_text, pages

Row = dict[str, Any]

# The columns' names in their order: naming a row's values one by one takes several times as long.
_PAGE, _EPISODE, _CALL, _ATTEMPT = (
    tuple(column.name for column in table.c) for table in (pages, episodes, calls, attempts)
)
_REASONS = {reason.value: reason for reason in Reason}
_STATES = {state.value: state for state in CallState}


def group_key(labels: Labels) -> str:
    """Return the canonical form of a page's group labels."""
    return _json(dict(sorted(labels.items())))


def page_row(page: Page) -> Row:
    """Return the row of a page."""
    return {
        "id": page.id,
        "receiver": page.receiver,
        "group_key": group_key(page.group_labels),
        "group_labels": _json(page.group_labels),
        "opened_at": instant_text(page.opened_at),
        "confirmed_at": instant_text(page.confirmed_at),
        "closed_at": _text(page.closed_at),
        "acknowledged_at": _text(page.acknowledged_at),
        "truncated": page.truncated,
    }


def page_of(row: Sequence[Any]) -> Page:
    """Return the page of a row."""
    values = dict(zip(_PAGE, row, strict=True))
    del values["group_key"]
    return Page(**values)


def episode_row(episode: Episode) -> Row:
    """Return the row of an episode, without its id: the database numbers them."""
    return {
        "receiver": episode.receiver,
        "fingerprint": episode.fingerprint,
        "page_id": episode.page_id,
        "firing": episode.firing,
        "starts_at": instant_text(episode.starts_at),
        "ends_at": _text(episode.ends_at),
        "labels": _json(episode.labels),
        "annotations": _json(episode.annotations),
        "values": _json(episode.values),
        "generator_url": episode.generator_url,
    }


def episode_of(row: Sequence[Any]) -> Episode:
    """Return the episode of a row."""
    return Episode(**dict(zip(_EPISODE, row, strict=True)))


def call_row(call: Call) -> Row:
    """Return the row of a call that no attempt holds."""
    return {
        "id": call.id,
        "page_id": call.page_id,
        "receiver": call.receiver,
        "person": call.person,
        "phone": call.phone.e164,
        "reason": call.reason.value,
        "state": call.state.value,
        "created_at": instant_text(call.created_at),
        "due_at": instant_text(call.due_at),
        "due_since": instant_text(call.due_since),
        "attempts": call.attempts,
        "dialled_at": _text(call.dialled_at),
        "named_through": call.named_through,
        "limited_until": _text(call.limited_until),
        "settled_at": _text(call.settled_at),
        "note": call.note,
        "bundled_into": call.bundled_into,
    }


def call_of(row: Sequence[Any]) -> Call:
    """Return the call of a row."""
    values = dict(zip(_CALL, row, strict=False))
    del values["attempt_id"]
    values["phone"] = PhoneNumber(values["phone"])
    values["reason"] = _REASONS[values["reason"]]
    values["state"] = _STATES[values["state"]]
    return Call(**values)


def attempt_row(attempt: Attempt) -> Row:
    """Return the row of an attempt, without the phone it is at."""
    return msgspec.structs.asdict(attempt) | {
        "started_at": instant_text(attempt.started_at),
        "finished_at": _text(attempt.finished_at),
        "params": _json(attempt.params),
    }


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Return the attempt of a row."""
    values = dict(zip(_ATTEMPT, row, strict=True))
    del values["phone"]
    return Attempt(**values | {"params": tuple(values["params"])})


def rejected_row(body: Rejected) -> Row:
    """Return the row of a refused body, without its id: the database numbers them."""
    row = msgspec.structs.asdict(body) | {"received_at": instant_text(body.received_at)}
    del row["id"]
    return row


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant_text(instant)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
