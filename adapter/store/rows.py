"""Rows and records: the one place that knows how a record lies in its table.

`…_row` gives what a database driver takes as it is, instants and JSON as text; a storm writes tens
of thousands of rows at once, and converting each value on its way would take most of the time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from adapter.model import (
    Attempt,
    Call,
    CallState,
    Episode,
    Event,
    EventKind,
    Fallback,
    FallbackState,
    Labels,
    Page,
    PhoneNumber,
    Reason,
    Receipt,
    Result,
    StoredOverride,
)
from adapter.store.records import Rejected
from adapter.store.schema import attempts, calls, episodes, instant_text, pages

Row = dict[str, Any]

# The columns' names in their order: naming a row's values one by one takes several times as long.
_PAGE, _EPISODE, _CALL, _ATTEMPT = (
    tuple(column.name for column in table.c) for table in (pages, episodes, calls, attempts)
)
_LONGEST_KEY = 1_000  # bytes
_REASONS = {reason.value: reason for reason in Reason}
_STATES = {state.value: state for state in CallState}
_RESULTS = {result.value: result for result in Result}


_RECEIPT = (
    "result",
    "talk_seconds",
    "billed",
    "receipt_code",
    "receipt_description",
    "reported_at",
)


def group_key(labels: Labels) -> str:
    """Return the canonical form of a page's group labels.

    One that is too long for a database's index is cut, and told from others by a hash.
    """
    text = json_text(dict(sorted(labels.items())))
    if len(text.encode()) <= _LONGEST_KEY:
        return text
    return f"{text[:100]}… {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def page_row(page: Page) -> Row:
    """Return the row of a page."""
    return {
        "id": page.id,
        "receiver": page.receiver,
        "group_key": group_key(page.group_labels),
        "group_labels": json_text(page.group_labels),
        "opened_at": instant_text(page.opened_at),
        "confirmed_at": instant_text(page.confirmed_at),
        "closed_at": _text(page.closed_at),
        "acknowledged_at": _text(page.acknowledged_at),
        "truncated": page.truncated,
        "acknowledged_by": page.acknowledged_by,
        "run": page.run,
        "repeats_left": page.repeats_left,
        "step": page.step,
        "step_until": _text(page.step_until),
        "look_at": _text(page.look_at),
        "exhausted_at": _text(page.exhausted_at),
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
        "labels": json_text(episode.labels),
        "annotations": json_text(episode.annotations),
        "values": json_text(episode.values),
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
        "run": call.run,
        "step": call.step,
        "result": None if call.result is None else call.result.value,
        "reported_at": _text(call.reported_at),
        "drill_id": call.drill_id,
        "traceparent": call.traceparent,
    }


def call_of(row: Sequence[Any]) -> Call:
    """Return the call of a row."""
    values = dict(zip(_CALL, row, strict=False))
    del values["attempt_id"]
    values["phone"] = PhoneNumber(values["phone"])
    values["reason"] = _REASONS[values["reason"]]
    values["state"] = _STATES[values["state"]]
    if values["result"] is not None:
        values["result"] = _RESULTS[values["result"]]
    return Call(**values)


def attempt_row(attempt: Attempt) -> Row:
    """Return the row of an attempt, without the phone it is at and without its receipt.

    A receipt may come before the answer; whoever writes the answer must not undo it.
    """
    row = msgspec.structs.asdict(attempt) | {
        "started_at": instant_text(attempt.started_at),
        "finished_at": _text(attempt.finished_at),
        "params": json_text(attempt.params),
    }
    del row["receipt"]
    return row


def receipt_row(receipt: Receipt) -> Row:
    """Return what an attempt's row says of its receipt."""
    return {
        "result": receipt.result.value,
        "talk_seconds": receipt.talk_seconds,
        "billed": receipt.billed,
        "receipt_code": receipt.code,
        "receipt_description": receipt.description,
        "reported_at": instant_text(receipt.received_at),
    }


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Return the attempt of a row."""
    values = dict(zip(_ATTEMPT, row, strict=True))
    del values["phone"]
    reported = {name: values.pop(name) for name in _RECEIPT}
    receipt = None
    if reported["result"] is not None:
        receipt = Receipt(
            result=_RESULTS[reported["result"]],
            received_at=reported["reported_at"],
            talk_seconds=reported["talk_seconds"],
            billed=reported["billed"],
            code=reported["receipt_code"],
            description=reported["receipt_description"],
        )
    return Attempt(**values | {"params": tuple(values["params"]), "receipt": receipt})


def fallback_of(row: Any) -> Fallback:
    """Return the fallback of a row."""
    return Fallback(**dict(row._mapping) | {"state": FallbackState(row.state)})


def event_row(event: Event) -> Row:
    """Return the row of an event, without its id: the database numbers them."""
    return msgspec.structs.asdict(event) | {
        "at": instant_text(event.at),
        "kind": event.kind.value,
    }


def event_of(row: Any) -> Event:
    """Return the event of a row."""
    values = dict(row._mapping) | {"kind": EventKind(row.kind)}
    del values["id"]
    return Event(**values)


def override_row(override: StoredOverride) -> Row:
    """Return the row of an override."""
    row = msgspec.structs.asdict(override)
    instants = ("starts_at", "ends_at", "created_at", "removed_at")
    return row | {name: _text(row[name]) for name in instants}


def rejected_row(body: Rejected) -> Row:
    """Return the row of a refused body, without its id: the database numbers them."""
    row = msgspec.structs.asdict(body) | {"received_at": instant_text(body.received_at)}
    del row["id"]
    return row


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant_text(instant)


def json_text(value: object) -> str:
    """Return a value as a JSON column's text."""
    return msgspec.json.encode(value).decode()
