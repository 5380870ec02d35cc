"""Which call about a page a person is owed, judged by the calls made so far.

Knows neither alerts nor notifications: an alert is here the id of its episode, which a call that
was dialled has named if it is not larger than the call's `named_through`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

from adapter.model import (
    MISSED,
    Call,
    CallState,
    Episode,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Timing,
)
from adapter.paging.records import MaybeTold

_LOOK_UP_UNDER_WAY = timedelta(seconds=1)  # to wait where a look-up is due already
_FAILED = (CallState.REFUSED, CallState.GAVE_UP)
_TOLD = (CallState.ACCEPTED, CallState.SHADOWED)
_MAY_HAVE_RUNG = (*_TOLD, CallState.SENDING, CallState.UNKNOWN)


def calls_by_phone(calls: Iterable[Call]) -> Mapping[PhoneNumber, Sequence[Call]]:
    """Return each phone's calls about alerts that fire; those about resolved ones count nowhere."""
    found: dict[PhoneNumber, list[Call]] = {}
    for call in calls:
        if call.reason is not Reason.RESOLVED:
            found.setdefault(call.phone, []).append(call)
    return found


def news_due(theirs: Sequence[Call], timing: Timing, now: datetime) -> datetime:
    """Return when a person hears of new alerts, given their calls about the page so far."""
    dialled = [call.dialled_at for call in theirs if call.dialled_at is not None]
    if not dialled:
        return now + timing.group_wait
    return max(now, max(dialled) + timing.group_interval)


def owed_again(
    page: Page,
    person: Person,
    by_phone: Mapping[PhoneNumber, Sequence[Call]],
    timing: Timing,
    newest: int,
) -> tuple[Reason, datetime] | None:
    """Return from when a person may be rung again about alerts that still fire; None: not now.

    Who could not be told of the `newest` of them is tried again after group_interval, and who was
    told, after repeat_interval. Who was never tried, having joined the receiver since, counts with
    the page as a whole. Nobody is rung again for what somebody has acknowledged.
    """
    theirs = by_phone.get(person.phone, ())
    if page.acknowledged_at is not None:
        return None
    if any(call.state is CallState.WAITING for call in theirs):
        return None
    failed = [
        call.settled_at for call in theirs if call.state in _FAILED and call.settled_at is not None
    ]
    told = _told_at(theirs)
    if failed and newest > _named_through(theirs):
        return (Reason.NEW_ALERTS if told else Reason.FIRST), max(failed) + timing.group_interval
    if any(call.state.open for call in theirs):
        return None
    told = told or _told_at(call for calls in by_phone.values() for call in calls)
    if not told:
        return Reason.FIRST, page.opened_at
    if timing.repeat_interval is None:
        return None
    tries = [at + timing.group_interval for at in failed]
    return Reason.REPEAT, max([max(told) + timing.repeat_interval, *tries])


def wait_for_look_up(
    alerts: Iterable[Episode], maybe: Sequence[MaybeTold], now: datetime
) -> datetime | None:
    """Return until when a call waits, as its person may just have heard all that it would say.

    None: it has news, or nothing is unknown. What the look-up finds makes the call, or ends it.
    """
    through: dict[str | None, int] = {}
    for each in maybe:
        through[each.page_id] = max(through.get(each.page_id, 0), each.through)
    if not maybe or any(alert.id > through.get(alert.page_id, 0) for alert in alerts):
        return None
    return max(min(each.look_up_at for each in maybe), now + _LOOK_UP_UNDER_WAY)


def anybody_told(calls: Iterable[Call]) -> bool:
    """Return whether the vendor took any call about alerts that fire."""
    return any(call.state in _TOLD and call.reason is not Reason.RESOLVED for call in calls)


def people_told(calls: Iterable[Call]) -> list[Person]:
    """Return who may have heard of the page, and was not called back since."""
    rang = [
        (call.dialled_at, call)
        for call in calls
        if call.state in _MAY_HAVE_RUNG and call.dialled_at is not None
        if call.result not in MISSED
    ]
    rang.sort(key=itemgetter(0))
    latest = {call.phone: call for _, call in rang}
    return [
        Person(name=call.person, phone=call.phone)
        for call in latest.values()
        if call.reason is not Reason.RESOLVED
    ]


def shortest(timings: Iterable[Timing]) -> Timing:
    """Return each knob's shortest value: routes that share a page may disagree."""
    different = set(timings)
    if len(different) == 1:
        return different.pop()
    repeats = [t.repeat_interval for t in different if t.repeat_interval is not None]
    return Timing(
        group_wait=min(t.group_wait for t in different),
        group_interval=min(t.group_interval for t in different),
        repeat_interval=min(repeats, default=None),
    )


def _told_at(calls: Iterable[Call]) -> list[datetime]:
    return [
        call.dialled_at for call in calls if call.state in _TOLD and call.dialled_at is not None
    ]


def _named_through(calls: Iterable[Call]) -> int:
    """Return the id of the newest alert that a person heard of, or may have; 0: of none."""
    rang = (call for call in calls if call.state in _MAY_HAVE_RUNG)
    return max((call.named_through or 0 for call in rang), default=0)
