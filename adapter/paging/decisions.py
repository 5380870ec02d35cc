"""One notification's alerts: which pages open, stay or close, and what is said of each alert.

Whom a page owes which call is judged in `owing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from adapter.model import (
    ABOUT_FIRING,
    Call,
    CallState,
    Episode,
    Event,
    EventKind,
    Fallback,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Receiver,
    Status,
    Timing,
)
from adapter.paging.episodes import begun, in_words_of, is_late
from adapter.paging.escalation import persons_only
from adapter.paging.ladder import Ladder, OnCall, Owed
from adapter.paging.owing import (
    anybody_told,
    calls_by_phone,
    news_due,
    owed_again,
    people_told,
    shortest,
)
from adapter.paging.records import AlertKey, Changes, Known, Routed, Verdict, page_key


def decide(
    routed: Iterable[Routed],
    known: Known,
    *,
    truncated: bool,
    now: datetime,
    new_id: Callable[[], str],
    on_call: OnCall = persons_only,
) -> Changes:
    """Decide what one notification changes.

    First every alert finds its episode, then every page that was touched opens, closes or stays,
    and owes its calls.
    `truncated`: the sender left alerts out, so that an empty page proves nothing. `on_call`: who
    the target of a step is now.
    """
    desk = _Desk(known, truncated=truncated, now=now, new_id=new_id, on_call=on_call)
    for item in _one_each(routed):
        desk.take(item)
    return desk.close()


def _one_each(routed: Iterable[Routed]) -> Iterable[Routed]:
    """Choose for alerts that a body names twice, or that several routes send to one receiver.

    Firing outweighs resolved, and a route that rings now one that is muted; else the first counts.
    """
    chosen: dict[AlertKey, Routed] = {}
    for item in routed:
        held = chosen.setdefault(item.alert_key, item)
        if held is not item and _weight(item) > _weight(held):
            chosen[item.alert_key] = item
    return chosen.values()


def _weight(item: Routed) -> tuple[bool, bool]:
    return item.alert.status is Status.FIRING, not item.muted_by


class _Touched:
    """A page of this notification while it is being decided."""

    def __init__(self, page: Page, receiver: Receiver, *, is_new: bool, firing: int) -> None:
        self.page = page
        self.was = page
        self.receiver = receiver
        self.is_new = is_new
        self.firing = firing  # how many of its alerts fire
        self.muted = True  # every route that touched it is silenced now
        self.joined: list[Routed] = []
        self.confirmed: list[Routed] = []  # known to fire, and not muted
        self.newest = 0  # id of the youngest episode of those


class _Desk:
    """The working state of one decision."""

    def __init__(
        self,
        known: Known,
        *,
        truncated: bool,
        now: datetime,
        new_id: Callable[[], str],
        on_call: OnCall,
    ) -> None:
        self._known, self._truncated, self._now, self._new_id = known, truncated, now, new_id
        self._on_call = on_call
        self._touched: dict[str, _Touched] = {}
        self._latest = {
            page_key(page.receiver, page.group_labels): page for page in _open_last(known.pages)
        }
        self._new_episodes: list[Episode] = []
        self._changed_episodes: list[Episode] = []
        self._new_calls: list[Call] = []
        self._changed_calls: list[Call] = []
        self._moved_calls: list[Call] = []
        self._events: list[Event] = []
        self._fallbacks: list[Fallback] = []
        self._verdicts: list[Verdict] = []

    # --- alerts ---

    def take(self, item: Routed) -> None:
        """Find the episode of one alert: opened, confirmed, ended, or none."""
        prior = self._known.episodes.get(item.alert_key)
        firing = item.alert.status is Status.FIRING
        if not item.receiver.escalation and (firing or prior is None):
            self._verdict(item, Reason.NO_RECEIVER, "the receiver calls no one")
        elif firing:
            self._fires(item, prior)
        else:
            self._resolves(item, prior)

    def _fires(self, item: Routed, prior: Episode | None) -> None:
        if prior is not None and prior.firing:
            self._goes_on(item, prior)
        elif prior is not None and is_late(item.alert, prior, self._now):
            detail = f"its episode ended at {prior.ends_at}"
            self._verdict(item, Reason.STALE, detail, prior.page_id)
        elif item.muted_by:
            self._verdict(item, Reason.MUTED, _muted(item))
        else:
            touched = self._page_for(item)
            touched.joined.append(item)
            touched.firing += 1
            self._new_episodes.append(begun(item, touched.page.id, self._now))

    def _goes_on(self, item: Routed, prior: Episode) -> None:
        newest_words = in_words_of(item.alert, prior)
        if newest_words != prior:
            self._changed_episodes.append(newest_words)
        touched = self._page_of(prior, item)
        if item.muted_by:
            self._verdict(item, Reason.MUTED, _muted(item), prior.page_id)
        else:
            touched.confirmed.append(item)
            touched.newest = max(touched.newest, prior.id)

    def _resolves(self, item: Routed, prior: Episode | None) -> None:
        ended = min(item.alert.ends_at or self._now, self._now)
        if prior is None:
            # Kept, so that a late retry of "firing" is known for what it is.
            self._new_episodes.append(begun(item, None, self._now, ended=ended))
            self._verdict(item, Reason.RESOLVED, "was not known to fire")
        elif not prior.firing:
            if prior.ends_at is None or ended > prior.ends_at:
                self._changed_episodes.append(replace(prior, ends_at=ended))
            if prior.page_id is not None:
                self._page_of(prior, item)  # it may be held open by alerts that were left out
            self._verdict(item, Reason.DUPLICATE, "had resolved before", prior.page_id)
        elif ended < prior.starts_at:
            detail = f"ended at {ended}, before this episode began"
            self._verdict(item, Reason.STALE, detail, prior.page_id)
        else:
            self._changed_episodes.append(replace(prior, firing=False, ends_at=ended))
            self._page_of(prior, item).firing -= 1
            self._verdict(item, Reason.RESOLVED, "", prior.page_id)

    # --- pages ---

    def _page_of(self, episode: Episode, item: Routed) -> _Touched:
        """Return the page that an episode of it belongs to, whatever the routes say today."""
        assert episode.page_id is not None, "only an alert heard of as resolved has no page"  # noqa: S101
        return self._touch(self._known.pages[episode.page_id], item)

    def _page_for(self, item: Routed) -> _Touched:
        """Return the open page of the alert's group; else reopen or open one."""
        latest = self._latest.get(item.page_key)
        if latest is None or self._is_over(latest, item.timing):
            latest = Page(
                id=self._new_id(),
                receiver=item.receiver.name,
                group_labels=item.group_labels,
                opened_at=self._now,
                confirmed_at=self._now,
            )
            self._latest[item.page_key] = latest
            return self._touch(latest, item, is_new=True)
        touched = self._touch(latest, item)
        if touched.page.closed_at is not None:
            self._reopen(touched)
        return touched

    def _reopen(self, touched: _Touched) -> None:
        detail = f"was closed at {touched.page.closed_at}"
        touched.page = replace(
            touched.page,
            closed_at=None,
            acknowledged_at=None,
            acknowledged_by="",
            exhausted_at=None,
        )
        self._cancel(touched.page, (Reason.RESOLVED,), "the page opened again")
        self._events.append(
            Event(at=self._now, kind=EventKind.REOPENED, page_id=touched.page.id, detail=detail)
        )

    def _is_over(self, page: Page, timing: Timing) -> bool:
        return page.closed_at is not None and self._now - page.closed_at >= timing.group_interval

    def _touch(self, page: Page, item: Routed, *, is_new: bool = False) -> _Touched:
        touched = self._touched.get(page.id)
        if touched is None:
            firing = self._known.firing.get(page.id, 0)
            touched = _Touched(page, item.receiver, is_new=is_new, firing=firing)
            self._touched[page.id] = touched
        touched.muted = touched.muted and bool(item.muted_by)
        return touched

    # --- calls ---

    def close(self) -> Changes:
        """Settle every touched page and hand over what has to be written."""
        for touched in self._touched.values():
            self._settle(touched)
        pages = self._touched.values()
        return Changes(
            new_pages=tuple(touched.page for touched in pages if touched.is_new),
            changed_pages=tuple(
                touched.page
                for touched in pages
                if not touched.is_new and touched.page != touched.was
            ),
            new_episodes=tuple(self._new_episodes),
            changed_episodes=tuple(self._changed_episodes),
            new_calls=tuple(self._new_calls),
            changed_calls=tuple(self._changed_calls),
            moved_calls=tuple(self._moved_calls),
            events=tuple(self._events),
            fallbacks=tuple(self._fallbacks),
            verdicts=tuple(self._verdicts),
        )

    def _settle(self, touched: _Touched) -> None:
        calls = self._known.calls.get(touched.page.id, ())
        if touched.joined:
            self._owe_news(touched, calls)
        if touched.confirmed:
            self._owe_again(touched, calls)
        if touched.page.closed_at is None:
            touched.page = replace(touched.page, confirmed_at=self._now, truncated=self._truncated)
            if touched.firing <= 0 and not self._truncated:
                self._close(touched, calls)

    def _owe_news(self, touched: _Touched, calls: Sequence[Call]) -> None:
        """Tell of the alerts that joined: who is being called already, else from the first step.

        Each person hears of them in one call: one that waits names them too.
        """
        reason = Reason.FIRST if touched.is_new else Reason.NEW_ALERTS
        timing, by_phone = _timing(touched.joined), calls_by_phone(calls)
        ladder = self._ladder(touched, calls)
        runs = touched.page.step is not None
        owed = [
            Owed(
                person=person,
                reason=reason,
                due=news_due(by_phone.get(person.phone, ()), timing, self._now),
            )
            for person in (ladder.under_way() if runs else ladder.first())
        ]
        due_times = ladder.ring(owed) if runs else ladder.begin(owed)
        self._took(touched, ladder)
        said = reason, f"call due at {min(due_times).isoformat()}" if due_times else ""
        if not due_times:
            said = Reason.NOBODY_ON_CALL, "no step of the escalation has anybody now"
        for item in touched.joined:
            self._verdict(item, *said, touched.page.id)

    def _owe_again(self, touched: _Touched, calls: Sequence[Call]) -> None:
        """Ring again who could not be told, and who was told longer than repeat_interval ago.

        Not while an escalation goes on by itself. Where others were told already, who could not be
        is tried alone: one dead number must not ring everybody again.
        """
        timing, by_phone = _timing(touched.confirmed), calls_by_phone(calls)
        ladder, due_times = self._ladder(touched, calls), []
        people = ladder.first()
        if ladder.may_begin and not touched.joined:
            owed = self._owed_again(touched, people, by_phone, timing)
            repeats = any(each.reason is Reason.REPEAT for each in owed)
            ring = ladder.begin if repeats or not anybody_told(calls) else ladder.ring
            due_times = ring(owed) if owed else []
            if not people and self._is_to_be_told_again(touched.page, timing):
                ladder.begin(())
            self._took(touched, ladder)
        reason, detail = _said_again(touched.page, due_times, people)
        for item in touched.confirmed:
            self._verdict(item, reason, detail, touched.page.id)

    def _is_to_be_told_again(self, page: Page, timing: Timing) -> bool:
        """Whether it is time to tell again, of a page for which nobody is on call, that it waits.

        As for calls, a webhook that comes a little early counts.
        """
        since, repeat_interval = page.exhausted_at, timing.repeat_interval
        if since is None or repeat_interval is None or page.acknowledged_at is not None:
            return False
        return since + repeat_interval <= self._now + timing.group_interval

    def _owed_again(
        self,
        touched: _Touched,
        people: Iterable[Person],
        by_phone: Mapping[PhoneNumber, Sequence[Call]],
        timing: Timing,
    ) -> list[Owed]:
        found = []
        for person in people:
            owed = owed_again(touched.page, person, by_phone, timing, touched.newest)
            # A webhook that comes a little early is the last one for a whole repeat_interval of
            # the sender's: it counts, and the call waits for its time.
            if owed is not None and owed[1] <= self._now + timing.group_interval:
                reason, due = owed[0], max(owed[1], self._now)
                found.append(Owed(person=person, reason=reason, due=due))
        return found

    def _ladder(self, touched: _Touched, calls: Sequence[Call]) -> Ladder:
        return Ladder(
            touched.page,
            touched.receiver,
            calls,
            on_call=self._on_call,
            now=self._now,
            new_id=self._new_id,
        )

    def _took(self, touched: _Touched, ladder: Ladder) -> None:
        """Keep what an escalation's beginning or going on changed."""
        moves = ladder.moves()
        touched.page = moves.page
        self._new_calls += moves.new_calls
        self._moved_calls += moves.moved_calls
        self._events += moves.events
        if moves.fallback is not None:
            self._fallbacks.append(moves.fallback)

    def _close(self, touched: _Touched, calls: Sequence[Call]) -> None:
        """Close a page in which no known alert fires, and call back who heard of it."""
        touched.page = replace(
            touched.page, closed_at=self._now, step=None, step_until=None, look_at=None
        )
        self._cancel(touched.page, ABOUT_FIRING, "its alerts resolved")
        if touched.receiver.send_resolved and not touched.muted:
            for person in people_told(calls):
                self._call_back(touched.page, person)

    def _cancel(self, page: Page, reasons: tuple[Reason, ...], note: str) -> None:
        self._changed_calls += [
            replace(call, state=CallState.CANCELLED, settled_at=self._now, note=note)
            for call in self._known.calls.get(page.id, ())
            if call.state is CallState.WAITING and call.reason in reasons
        ]

    def _call_back(self, page: Page, person: Person) -> None:
        self._new_calls.append(
            Call(
                id=self._new_id(),
                page_id=page.id,
                receiver=page.receiver,
                person=person.name,
                phone=person.phone,
                reason=Reason.RESOLVED,
                state=CallState.WAITING,
                created_at=self._now,
                due_at=self._now,
                due_since=self._now,
            )
        )

    def _verdict(
        self, item: Routed, reason: Reason, detail: str, page_id: str | None = None
    ) -> None:
        self._verdicts.append(
            Verdict(
                alert=item.alert,
                receiver=item.receiver.name,
                reason=reason,
                page_id=page_id,
                detail=detail,
                route=item.route,
            )
        )


def _said_again(
    page: Page, due_times: Sequence[datetime], people: Sequence[Person]
) -> tuple[Reason, str]:
    """What is said of alerts that were known to fire."""
    if due_times:
        return Reason.REPEAT, f"call due at {min(due_times).isoformat()}"
    if page.acknowledged_at is not None:
        by = f" by {page.acknowledged_by}" if page.acknowledged_by else ""
        return Reason.ACKNOWLEDGED, f"acknowledged at {page.acknowledged_at.isoformat()}{by}"
    if page.step is not None:
        return Reason.DUPLICATE, f"step {page.step + 1} of its escalation is under way"
    if not people:
        return Reason.NOBODY_ON_CALL, "no step of the escalation has anybody now"
    return Reason.DUPLICATE, "known to fire, and not yet due again"


def _timing(items: Iterable[Routed]) -> Timing:
    return shortest(item.timing for item in items)


def _open_last(pages: Mapping[str, Page]) -> list[Page]:
    """Return pages by age, those that are open after all that are closed."""
    return sorted(pages.values(), key=lambda page: (page.closed_at is None, page.opened_at))


def _muted(item: Routed) -> str:
    return "by time interval " + ", ".join(item.muted_by)
