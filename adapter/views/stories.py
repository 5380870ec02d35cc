"""The whole story of a page or an alert, in order, with reasons and times, as plain JSON values.

Each function that takes a `Session` is meant as one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from adapter.errors import NotFound
from adapter.model import Call, CallState, Fallback, FallbackState, Page, Reason
from adapter.store.session import KeptVerdict, Session
from adapter.views import stored
from adapter.views.values import Json, shown

_MOST_CALLS = 500  # of one page
_MOST_VERDICTS = 500  # of one page or alert
_MOST_ALERTS = 20  # of those that given labels or the beginning of a fingerprint fit
_MOST_EPISODES = 1000  # of one page
_MOST_SEARCHED = 50_000  # verdicts, when an alert is known by labels alone
# Of one instant: a receipt leads to the next step, and these follow from the others.
_RANKS = {
    "receipt": -1,
    "limited": 1,
    "acknowledged": 2,
    "cancelled": 3,
    "exhausted": 4,
    "fallback owed": 5,
    "fallback due": 6,
    "fallback": 7,
    "closed": 8,
}
_CALLS_FOLLOW = (Reason.FIRST, Reason.NEW_ALERTS, Reason.REPEAT)


def explain_page(session: Session, page_id: str) -> Json:
    """Return the story of a page: all that was posted, decided, said and answered. Raises NotFound.

    `page_id`: the beginning of its id is enough.
    """
    found = stored.page(session, page_id)
    page = session.page(found["id"])
    assert page is not None, "it was found just now"  # noqa: S101
    verdicts = session.find_verdicts(page_id=page.id, limit=_MOST_VERDICTS)
    lines = [*_of_verdicts(verdicts, several=True), *_of_page(session, page)]
    return found | {"story": _in_order(lines)}


def explain_alert(session: Session, labels: Mapping[str, str], fingerprint: str = "") -> Json:
    """Return, for each receiver an alert was sent to, why somebody was called about it, or nobody.

    The alert is known by its `fingerprint`, or by labels that it has. Raises NotFound.
    """
    found = _verdicts_of(session, labels, fingerprint)
    if not found:
        wanted = fingerprint or ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
        raise NotFound(
            f"no alert {wanted!r} has come in within the retention: ask Alertmanager whether it "
            "sent one, and `uvms-adapter rejected list` for bodies that were refused"
        )
    alerts: dict[str, list[KeptVerdict]] = {}
    for verdict in found:
        alerts.setdefault(verdict.fingerprint, []).append(verdict)
    shown_alerts = list(alerts.values())[:_MOST_ALERTS]
    return {
        "alerts": [_alert(session, verdicts) for verdicts in shown_alerts],
        "more_alerts": len(alerts) > _MOST_ALERTS,
    }


def _verdicts_of(
    session: Session, labels: Mapping[str, str], fingerprint: str
) -> list[KeptVerdict]:
    if fingerprint:
        return session.find_verdicts(fingerprint=fingerprint, limit=_MOST_VERDICTS)
    wanted = labels.items()
    all_of_them = session.find_verdicts(limit=_MOST_SEARCHED)
    return [verdict for verdict in all_of_them if wanted <= verdict.labels.items()][:_MOST_VERDICTS]


def _alert(session: Session, verdicts: list[KeptVerdict]) -> Json:
    pages: dict[str, Page] = {}
    for verdict in verdicts:
        page = session.page(verdict.page_id) if verdict.page_id else None
        if page is not None:
            pages[page.id] = page
    lines = [*_of_verdicts(verdicts, several=False)]
    for page in pages.values():
        lines += _of_page(session, page)
    latest = max(verdicts, key=lambda verdict: verdict.last_at)
    receivers = sorted({verdict.receiver for verdict in verdicts})
    return {
        "fingerprint": latest.fingerprint,
        "labels": dict(latest.labels),
        "receivers": [_receiver(session, name, verdicts, pages) for name in receivers],
        "story": _in_order(lines),
    }


# --- why ---------------------------------------------------------------------------------------


def _receiver(
    session: Session, name: str, verdicts: list[KeptVerdict], pages: Mapping[str, Page]
) -> Json:
    """Return what an alert led to at one receiver: the last reason, and who was called about it."""
    mine = [verdict for verdict in verdicts if verdict.receiver == name]
    latest = max(mine, key=lambda verdict: verdict.last_at)
    ids = sorted(pages.keys() & {verdict.page_id for verdict in mine})
    calls = [call for each in ids for call in _calls_about(session, each, latest.fingerprint)]
    of_latest = [call for call in calls if call.page_id == latest.page_id]
    return {
        "receiver": name,
        "route": latest.route,
        "pages": ids,
        "called": sorted({call.person for call in calls if call.state is CallState.ACCEPTED}),
        "last_reason": latest.reason,
        "last_detail": latest.detail,
        "last_at": shown(latest.last_at),
        "why": _why(latest, of_latest, pages.get(latest.page_id or "")),
    }


def _calls_about(session: Session, page_id: str, fingerprint: str) -> list[Call]:
    """Return the calls of a page that named the alert, or would; oldest first.

    One that was dialled before the alert joined is not about it.
    """
    episodes = session.episodes_of(page_id, _MOST_EPISODES)
    joined = [episode.id for episode in episodes if episode.fingerprint == fingerprint]
    calls = sorted(session.find_calls(page_id=page_id, limit=_MOST_CALLS), key=_call_order)
    since = max(joined, default=0)
    return [c for c in calls if c.named_through is None or c.named_through >= since]


def _call_order(call: Call) -> tuple[datetime, int, int, str]:
    """Return what calls are told by: calls of one instant by their steps."""
    return call.created_at, call.run, -1 if call.step is None else call.step, call.person


def _why(latest: KeptVerdict, calls: list[Call], page: Page | None) -> str:
    """Say whether somebody was called, and why not."""
    because = f"{latest.reason}: {latest.detail}" if latest.detail else latest.reason
    said = []
    if latest.reason == Reason.RESOLVED:
        said.append("it has resolved")
    elif latest.reason not in _CALLS_FOLLOW:
        said.append(f"the last post called nobody, {because}")
    rang = {call.phone: call for call in calls if call.state is CallState.ACCEPTED}
    said += [f"{c.person} was called ({c.reason}): {stored.result_of(c)}" for c in rang.values()]
    last = calls[-1] if calls else None
    if last is not None and last.state is not CallState.ACCEPTED:
        said.append(("" if rang else "nobody was called: ") + _stands(last))
    if page is not None and page.exhausted_at and not page.acknowledged_at:
        said.append("the escalation has ended and reached nobody")
    return "; ".join(said) or f"nobody was called, {because}"


def _stands(call: Call) -> str:
    """Say where a call stands that the vendor has not taken."""
    whose = f"{call.person}'s call ({call.reason})"
    if call.state is CallState.WAITING:
        waits = stored.waits_for(call)
        return f"{whose} is due at {shown(call.due_at)}" + (f": {waits}" if waits else "")
    return f"{whose} is {call.state}" + (f": {call.note}" if call.note else "")


# --- lines -------------------------------------------------------------------------------------


def _of_page(session: Session, page: Page) -> Iterator[Json]:
    yield _line(page.opened_at, "opened", f"page {page.id} of {page.receiver}")
    calls = session.find_calls(page_id=page.id, limit=_MOST_CALLS)
    people = {call.id: call.person for call in calls}
    for event in session.events_of(page_id=page.id):
        about = {"call": event.call_id, "person": people.get(event.call_id or "")}
        yield stored.event_line(event) | about
    for call in sorted(calls, key=_call_order):
        yield from _of_call(session, call)
    for fallback in session.fallbacks_of(page.id):
        yield from _of_fallback(fallback)
    if page.closed_at is not None:
        yield _line(page.closed_at, "closed", f"page {page.id}")


def _of_call(session: Session, call: Call) -> Iterator[Json]:
    for line in stored.history_of(call, session.attempts_of(call)):
        yield line | {"person": call.person, "call": call.id}


def _of_fallback(fallback: Fallback) -> Iterator[Json]:
    yield _line(fallback.created_at, "fallback owed", f"run {fallback.run}")
    if fallback.state is FallbackState.WAITING:
        yield _line(fallback.due_at, "fallback due", fallback.note)


def _of_verdicts(verdicts: list[KeptVerdict], *, several: bool) -> Iterator[Json]:
    """Tell each reason once, and again with its count where it was given more often."""
    for verdict in verdicts:
        name = verdict.labels.get("alertname", verdict.fingerprint)
        who = f"{name} ({verdict.fingerprint})" if several else name
        detail = f"{who} to {verdict.receiver}, route {verdict.route}"
        more = f": {verdict.detail}" if verdict.detail else ""
        if verdict.times == 1:
            yield _line(verdict.last_at, verdict.reason, f"{detail}{more}")
            continue
        yield _line(verdict.first_at, verdict.reason, detail)
        times = f"{detail}, {verdict.times} times in all"
        yield _line(verdict.last_at, verdict.reason, f"{times}{more}")


def _line(at: datetime, event: str, detail: str) -> Json:
    return {"at": shown(at), "event": event, "detail": detail, "person": None, "call": None}


def _in_order(lines: list[Json]) -> list[Json]:
    """Sort by time; of what happened at one instant, what led to the other comes first."""
    return sorted(lines, key=lambda line: (str(line["at"]), _RANKS.get(line["event"], 0)))
