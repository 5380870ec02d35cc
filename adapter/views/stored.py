"""Pages, calls and refused bodies out of the store, and what a human may change about them.

Each function that takes a `Session` is meant as one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from adapter.errors import NotFound, NotPossible
from adapter.model import (
    SAY_IT_AGAIN,
    Attempt,
    Call,
    CallState,
    Episode,
    Event,
    EventKind,
    Page,
    Reason,
    Receipt,
)
from adapter.store.session import Rejected, Session
from adapter.views.values import Json, mask_phones, maybe_shown, shown

MOST_LISTED = 500  # rows of one answer, whatever is asked for
DEFAULT_LISTED = 50

SUBMITTED = "submitted"  # the vendor took the call and has reported nothing yet
_ALERTS_SHOWN = 100  # of one page
_RETRIED = (CallState.REFUSED, CallState.GAVE_UP, CallState.CANCELLED)


# --- pages -------------------------------------------------------------------------------------


def pages(session: Session, *, only_open: bool, limit: int) -> Json:
    """Return the newest pages."""
    found = session.find_pages(only_open=only_open, limit=limit)
    firing = session.firing_in(page.id for page in found)
    return {"pages": [_page(page, firing.get(page.id, 0)) for page in found]}


def page(session: Session, page_id: str) -> Json:
    """Return one page with its alerts and calls. Raises NotFound."""
    found = _find_page(session, page_id)
    firing = session.firing_in([found.id]).get(found.id, 0)
    alerts = session.episodes_of(found.id, _ALERTS_SHOWN + 1)
    calls = session.find_calls(page_id=found.id, limit=MOST_LISTED)
    return _page(found, firing) | {
        "alerts": [_alert(episode) for episode in alerts[:_ALERTS_SHOWN]],
        "more_alerts": len(alerts) > _ALERTS_SHOWN,
        "calls": [_call(call) for call in calls],
    }


def acknowledge(session: Session, page_id: str, now: datetime, by: str) -> Json:
    """Note who has taken the page; a second time changes nothing.

    Raises NotFound, NotPossible.
    """
    found = _find_page(session, page_id)
    if found.closed_at is not None:
        raise NotPossible(f"page {found.id} is closed since {shown(found.closed_at)}")
    if found.acknowledged_at is None:
        session.acknowledge(found.id, now, by)
    return page(session, found.id)


def _find_page(session: Session, page_id: str) -> Page:
    """Return the page of this id, or the only one whose id begins so."""
    exact = session.page(page_id)
    if exact is not None:
        return exact
    found = session.find_pages(only_open=False, limit=2, id_begins=page_id) if page_id else []
    if len(found) != 1:
        several = f"more than one page begins with {page_id!r}: give more of its id"
        raise NotFound(several if found else f"there is no page {page_id!r}")
    return found[0]


def _page(page: Page, firing: int) -> Json:
    return {
        "id": page.id,
        "receiver": page.receiver,
        "group_labels": dict(page.group_labels),
        "state": _page_state(page),
        "firing": firing,
        "opened_at": shown(page.opened_at),
        "confirmed_at": shown(page.confirmed_at),
        "acknowledged_at": maybe_shown(page.acknowledged_at),
        "acknowledged_by": page.acknowledged_by,
        "step": None if page.step is None else page.step + 1,
        "step_until": maybe_shown(page.step_until),
        "run": page.run,
        "repeats_left": page.repeats_left,
        "exhausted_at": maybe_shown(page.exhausted_at),
        "closed_at": maybe_shown(page.closed_at),
        "truncated": page.truncated,
    }


def _page_state(page: Page) -> str:
    if page.closed_at is not None:
        return "closed"
    if page.acknowledged_at is not None:
        return "acknowledged"
    return "open" if page.exhausted_at is None else "exhausted"


def _alert(episode: Episode) -> Json:
    return {
        "fingerprint": episode.fingerprint,
        "firing": episode.firing,
        "labels": dict(episode.labels),
        "annotations": dict(episode.annotations),
        "starts_at": shown(episode.starts_at),
        "ends_at": maybe_shown(episode.ends_at),
        "generator_url": episode.generator_url,
    }


# --- calls -------------------------------------------------------------------------------------


def calls(
    session: Session, *, text: str, page_id: str | None, states: Iterable[CallState], limit: int
) -> Json:
    """Return the newest calls; `text`: see `Session.find_calls`. Raises NotFound: no such page."""
    page_id = _find_page(session, page_id).id if page_id else None
    found = session.find_calls(text=text, page_id=page_id, states=states, limit=limit)
    return {"calls": [_call(call) for call in found]}


def call(session: Session, call_id: str) -> Json:
    """Return one call with all that explains it. Raises NotFound.

    `call_id`: its id, the beginning of it, or an id given to one of its attempts.
    """
    found = _find_call(session, call_id)
    page = session.page(found.page_id) if found.page_id else None
    firing = session.firing_in([page.id]).get(page.id, 0) if page else 0
    attempts = session.attempts_of(found)
    told = [event_line(event) for event in session.events_of(call_id=found.id)]
    history = sorted([*history_of(found, attempts), *told], key=lambda event: str(event["at"]))
    return _call(found) | {
        "page_of_call": _page(page, firing) if page else None,
        "alerts_named": [_alert(episode) for episode in _named(session, found)],
        "attempts_made": [_attempt(attempt) for attempt in attempts],
        "history": history,
    }


def retry(session: Session, call_id: str, now: datetime, by: str) -> Json:
    """Make a call that ended without reaching anyone due now. Raises NotFound, NotPossible."""
    found = _find_call(session, call_id)
    if found.state not in _RETRIED or not session.retry(found.id, now):
        states = ", ".join(_RETRIED[:-1]) + f" or {_RETRIED[-1]}"
        raise NotPossible(f"call {found.id} is {found.state}; only one that is {states} is retried")
    retried = Event(
        at=now, kind=EventKind.RETRIED, page_id=found.page_id, call_id=found.id, actor=by
    )
    session.tell(retried)
    return call(session, found.id)


def _find_call(session: Session, call_id: str) -> Call:
    """Return the call of this id, or the only one that it is an id of, or the beginning of one."""
    found = session.find_calls(text=call_id, limit=MOST_LISTED) if call_id else []
    exact = [candidate for candidate in found if candidate.id == call_id] or found
    if len(exact) != 1:
        several = f"more than one call is known by {call_id!r}: give more of its id"
        raise NotFound(several if exact else f"there is no call {call_id!r}")
    return exact[0]


def _named(session: Session, call: Call) -> list[Episode]:
    """The alerts that the call named, or would name if it were made now."""
    if call.page_id is None:
        return []
    if call.state is CallState.WAITING or call.named_through is None:
        return session.alerts_named_by(call)[:_ALERTS_SHOWN]
    heard = max(_heard_before(session, call, call.page_id), default=0)
    alerts = session.episodes_of(call.page_id, MOST_LISTED)
    return [alert for alert in alerts if heard < alert.id <= call.named_through][:_ALERTS_SHOWN]


def _heard_before(session: Session, call: Call, page_id: str) -> Iterator[int]:
    """Through which alerts the person had been told before; a repeat tells them all again."""
    if call.reason in SAY_IT_AGAIN:
        return
    for other in session.find_calls(page_id=page_id, limit=MOST_LISTED):
        earlier = other.phone == call.phone and other.created_at < call.created_at
        same_kind = (other.reason is Reason.RESOLVED) == (call.reason is Reason.RESOLVED)
        heard = other.state is CallState.ACCEPTED and other.named_through is not None
        if earlier and same_kind and heard:
            yield other.named_through or 0


def _call(call: Call) -> Json:
    return {
        "id": call.id,
        "page": call.page_id,
        "receiver": call.receiver,
        "person": call.person,
        "phone": str(call.phone),
        "reason": str(call.reason),
        "state": str(call.state),
        "result": result_of(call),
        "step": None if call.step is None else call.step + 1,
        "run": call.run,
        "created_at": shown(call.created_at),
        "due_at": shown(call.due_at),
        "limited_until": maybe_shown(call.limited_until),
        "attempts": call.attempts,
        "dialled_at": maybe_shown(call.dialled_at),
        "settled_at": maybe_shown(call.settled_at),
        "bundled_into": call.bundled_into,
        "note": call.note,
    }


def result_of(call: Call) -> str:
    """Return what became of a call: what was reported, else that it is submitted; "": neither."""
    if call.result is not None:
        return str(call.result)
    return SUBMITTED if call.state is CallState.ACCEPTED else ""


def _attempt(attempt: Attempt) -> Json:
    return {
        "user_id": attempt.id,
        "started_at": shown(attempt.started_at),
        "finished_at": maybe_shown(attempt.finished_at),
        "outcome": attempt.outcome,
        "ret_code": attempt.ret_code,
        "message": attempt.message,
        "req_uuid": attempt.req_uuid,
        "session_no": attempt.session_no,
        "template_id": attempt.template_id,
        "params": list(attempt.params),
        "receipt": None if attempt.receipt is None else _receipt(attempt.receipt),
    }


def _receipt(receipt: Receipt) -> Json:
    return {
        "result": str(receipt.result),
        "talk_seconds": receipt.talk_seconds,
        "billed": receipt.billed,
        "code": receipt.code,
        "description": receipt.description,
        "received_at": shown(receipt.received_at),
    }


def history_of(call: Call, attempts: Sequence[Attempt]) -> Iterator[Json]:
    """Tell what happened to a call, as far as its rows keep it; in no order."""
    step = "" if call.step is None else f", step {call.step + 1} of run {call.run}"
    yield _event(call.created_at, "owed", f"{call.reason}{step}")
    for number, attempt in enumerate(attempts, start=1):
        yield _event(attempt.started_at, "sending", f"attempt {number}, UserId {attempt.id}")
        if attempt.finished_at is not None:
            shadowed = attempt.outcome == CallState.SHADOWED
            detail = call.note if shadowed else _answer(attempt)
            yield _event(attempt.finished_at, attempt.outcome or "no outcome", detail)
    if call.settled_at is not None:
        if not attempts or attempts[-1].outcome != call.state:  # else it has been told just now
            yield _event(call.settled_at, str(call.state), call.note)
    elif call.state is CallState.WAITING:
        yield _event(call.due_at, "due", waits_for(call))
    elif call.state is CallState.UNKNOWN:
        yield _event(call.due_at, "look-up due", call.note)


def _event(at: datetime, event: str, detail: str) -> Json:
    return {"at": shown(at), "event": event, "detail": detail}


def event_line(event: Event) -> Json:
    """Return an event as a line of a history."""
    by = f"by {event.actor}" if event.actor else ""
    return _event(event.at, str(event.kind), ", ".join(filter(None, (event.detail, by))))


def _answer(attempt: Attempt) -> str:
    code = "no RetCode" if attempt.ret_code is None else f"RetCode {attempt.ret_code}"
    return f"{code} {attempt.message}".strip()


def waits_for(call: Call) -> str:
    """Return why a waiting call is not made now; "": its time has not come."""
    if call.limited_until is not None and call.limited_until >= call.due_at:
        return "held back: its person's limit, or its template's hours"
    return call.note


# --- bodies that were refused ------------------------------------------------------------------


def rejected(session: Session, limit: int) -> Json:
    """Return the newest refused bodies without the bodies themselves."""
    return {"rejected": [_rejected(body) for body in session.find_rejected(limit=limit)]}


def rejected_body(session: Session, rejected_id: int) -> Json:
    """Return one refused body as text, phone numbers masked. Raises NotFound."""
    found = find_rejected(session, rejected_id)
    return _rejected(found) | {"body": mask_phones(found.body.decode(errors="replace"))}


def find_rejected(session: Session, rejected_id: int) -> Rejected:
    """Return one refused body as it was kept. Raises NotFound."""
    for found in session.find_rejected(only=rejected_id, limit=1):
        return found
    raise NotFound(f"there is no refused body {rejected_id}")


def _rejected(body: Rejected) -> Json:
    return {
        "id": body.id,
        "received_at": shown(body.received_at),
        "source": body.source,
        "error": mask_phones(body.error),
        "size": body.size,
        "kept": len(body.body),
    }
