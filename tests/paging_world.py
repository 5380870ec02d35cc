"""A store made of dicts, and hands that dial: drives the decisions of `paging` through a night.

It writes what is decided and finds what a call names as the real store does, and refuses what the
real one's constraints refuse. Tests of the store itself use the real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec.structs import replace

from adapter.model import (
    Alert,
    Call,
    CallState,
    Episode,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Receiver,
    Status,
    Timing,
)
from adapter.paging import Changes, Known, Routed, decide, page_key

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

ALICE = Person(name="alice", phone=PhoneNumber("+8613512345678"))
BOB = Person(name="bob", phone=PhoneNumber("+8613512345679"))
CAROL = Person(name="carol", phone=PhoneNumber("+8613512345670"))

ON_CALL = Receiver(name="sre-phone", people=(ALICE,))
BOTH = Receiver(name="sre-phone", people=(ALICE, BOB))
TELLS_RESOLVED = Receiver(name="sre-phone", people=(ALICE, BOB), send_resolved=True)
NOBODY = Receiver(name="sre-phone")
DBA = Receiver(name="dba-phone", people=(CAROL,))

PATIENT = Timing(group_wait=MINUTE)
NEVER = Timing(repeat_interval=None)
OFTEN = Timing(repeat_interval=5 * MINUTE)


def at(text: str) -> datetime:
    """Read `10:05` or `10:05:30`; `25:00` is one o'clock of the next night."""
    hours, minutes, seconds = ([int(part) for part in text.split(":")] + [0])[:3]
    return MIDNIGHT + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def routed(
    name: str,
    status: Status,
    receiver: Receiver,
    *,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    group: str | None = None,
    timing: Timing | None = None,
    muted: bool = False,
    summary: str = "",
) -> Routed:
    """Return an alert, known by its name, under a route to the receiver."""
    return Routed(
        alert=Alert(
            fingerprint=name,
            status=status,
            labels={"alertname": name},
            annotations={"summary": summary} if summary else {},
            starts_at=starts_at,
            ends_at=ends_at,
        ),
        receiver=receiver,
        group_labels={} if group is None else {"cluster": group},
        timing=timing or Timing(),
        muted_by=("weekend",) if muted else (),
    )


class World:
    """Pages, episodes and calls as they stand; `now` is moved by the test."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.pages: dict[str, Page] = {}
        self.episodes: dict[int, Episode] = {}
        self.calls: dict[str, Call] = {}
        self._ids = count(1)

    # --- taking in a webhook ---

    def post(self, items: Sequence[Routed], *, truncated: bool = False) -> Changes:
        """Decide and write down."""
        changes = self.decide(items, self.known(items), truncated=truncated)
        self._record(changes)
        return changes

    def decide(self, items: Sequence[Routed], known: Known, *, truncated: bool) -> Changes:
        first = next(self._ids)
        ids = count()
        return decide(
            items,
            known,
            truncated=truncated,
            now=self.now,
            new_id=lambda: f"{first}.{next(ids)}",
        )

    def known(self, items: Iterable[Routed]) -> Known:
        """Return what a store would load for these alerts."""
        items = list(items)
        alerts, groups = {i.alert_key for i in items}, {i.page_key for i in items}
        latest = {(e.receiver, e.fingerprint): e for _, e in sorted(self.episodes.items())}
        episodes = {key: latest[key] for key in alerts if key in latest}
        newest: dict[object, datetime] = {}
        for page in self.pages.values():
            key = page_key(page.receiver, page.group_labels)
            newest[key] = max(newest.get(key, page.opened_at), page.opened_at)
        pages = {
            page.id: page
            for page in self.pages.values()
            if page.id in {e.page_id for e in episodes.values()}
            or (
                (key := page_key(page.receiver, page.group_labels)) in groups
                and (page.closed_at is None or page.opened_at == newest[key])
            )
        }
        calls: dict[str, list[Call]] = {}
        for call in sorted(self.calls.values(), key=lambda call: call.created_at):
            if call.page_id in pages:
                calls.setdefault(call.page_id, []).append(call)
        firing = Counter(e.page_id for e in self.episodes.values() if e.firing)
        return Known(episodes=episodes, pages=pages, calls=calls, firing=firing)

    def _record(self, changes: Changes) -> None:
        for page in changes.new_pages:
            assert page.id not in self.pages
            self.pages[page.id] = page
        for page in changes.changed_pages:
            self.pages[page.id] = page
        open_groups = [
            page_key(page.receiver, page.group_labels)
            for page in self.pages.values()
            if page.closed_at is None
        ]
        assert len(open_groups) == len(set(open_groups)), "two open pages of one group"
        for episode in changes.changed_episodes:
            assert episode.id in self.episodes
            self.episodes[episode.id] = episode
        for episode in changes.new_episodes:
            number = len(self.episodes) + 1
            self.episodes[number] = replace(episode, id=number)
        firing = [(e.receiver, e.fingerprint) for e in self.episodes.values() if e.firing]
        assert len(firing) == len(set(firing)), "two firing episodes of one alert"
        for call in changes.new_calls:
            assert call.id not in self.calls
            self.calls[call.id] = call
        for call in changes.changed_calls:
            assert self.calls[call.id].state is CallState.WAITING
            self.calls[call.id] = call

    # --- making calls ---

    def named_by(self, call: Call) -> list[Episode]:
        """Return the alerts that a call would name if it were made now."""
        page = self.pages[call.page_id or ""]
        about_resolved = call.reason is Reason.RESOLVED
        heard = self._through(call, about_resolved=False)
        called_back = self._through(call, about_resolved=True)
        repeat = (
            call.reason is Reason.REPEAT
            and page.acknowledged_at is None
            and not self._overtaken(call)
        )
        mine = [episode for episode in self.episodes.values() if episode.page_id == page.id]
        if about_resolved:
            return [e for e in mine if not e.firing and called_back < e.id <= heard]
        return [e for e in mine if (e.firing or page.truncated) and (repeat or e.id > heard)]

    def _through(self, call: Call, *, about_resolved: bool) -> int:
        return max(
            (
                other.named_through or 0
                for other in self.calls.values()
                if other.page_id == call.page_id
                and other.phone == call.phone
                and other.state is CallState.ACCEPTED
                and (other.reason is Reason.RESOLVED) is about_resolved
            ),
            default=0,
        )

    def _overtaken(self, call: Call) -> bool:
        """Whether a call made since this one was decided has told its person of the page."""
        return any(
            other.page_id == call.page_id
            and other.phone == call.phone
            and other.state is CallState.ACCEPTED
            and other.reason is not Reason.RESOLVED
            and other.dialled_at is not None
            and other.dialled_at >= call.created_at
            for other in self.calls.values()
        )

    def claim(self, call: Call) -> list[Episode]:
        """Start a call that is due, or cancel it where it has nothing to say."""
        assert call.state is CallState.WAITING
        assert call.due_at <= self.now
        named = self.named_by(call)
        if named:
            youngest = max(e.id for e in self.episodes.values() if e.page_id == call.page_id)
            self._change(
                call,
                state=CallState.SENDING,
                dialled_at=self.now,
                named_through=youngest,
                attempts=call.attempts + 1,
            )
        else:
            self._change(call, state=CallState.CANCELLED, settled_at=self.now)
        return named

    def settle(self, call: Call, state: CallState) -> None:
        """Move a call on: an attempt's outcome, or the end of patience."""
        if state is CallState.WAITING:
            self._change(call, state=state, due_at=self.now + MINUTE, named_through=None)
        elif state is CallState.UNKNOWN:
            self._change(call, state=state)
        else:
            self._change(call, state=state, settled_at=self.now)

    def acknowledge(self, page: Page) -> None:
        self.pages[page.id] = replace(page, acknowledged_at=self.now)

    def _change(self, call: Call, **values: object) -> None:
        self.calls[call.id] = replace(call, **values)


# --- what happens in a night --------------------------------------------------------------------

Step = Callable[[World], str]  # returns everything that follows from it


def fires(name, *, since="10:00", to=ON_CALL, **how) -> Routed:
    """An alert in a webhook, firing since then; since None: the sender does not say."""
    starts_at = None if since is None else at(since)
    return routed(name, Status.FIRING, to, starts_at=starts_at, **how)


def resolves(name, *, ended=None, to=ON_CALL, **how) -> Routed:
    """An alert in a webhook, resolved; ended None: the sender does not say when."""
    ends_at = None if ended is None else at(ended)
    return routed(name, Status.RESOLVED, to, ends_at=ends_at, **how)


def posts(*items, truncated=False) -> Step:
    """A webhook: alert: reason; what the page does; person: call, its reason and when."""

    def step(world: World) -> str:
        before = dict(world.pages)
        changes = world.post(items, truncated=truncated)
        said = [f"{v.alert.fingerprint}: {v.reason}" for v in changes.verdicts]
        said += ["opens" for _ in changes.new_pages]
        for page in changes.changed_pages:
            was_open, is_open = before[page.id].closed_at is None, page.closed_at is None
            if was_open is not is_open:
                said.append("reopens" if is_open else "closes")
        for call in changes.new_calls:
            said.append(f"{call.person} {call.reason} {call.due_at:%H:%M:%S}".removesuffix(":00"))
        said += [f"{call.person} {call.reason} cancelled" for call in changes.changed_calls]
        return "; ".join(said)

    return step


def dials(person, outcome="accepted") -> Step:
    """The person's call that is due is made, with this outcome."""

    def step(world: World) -> str:
        due = [
            call
            for call in world.calls.values()
            if call.person == person
            and call.state is CallState.WAITING
            and call.due_at <= world.now
        ]
        if not due:
            return f"nothing due for {person}"
        call = min(due, key=lambda call: call.due_at)
        named = world.claim(call)
        if not named:
            return f"nothing to tell {person}"
        if outcome != "sending":
            world.settle(world.calls[call.id], CallState(outcome))
        return f"{person} hears " + ", ".join(episode.fingerprint for episode in named)

    return step


def turns_out(person, outcome) -> Step:
    """The person's call that is under way, or of unknown outcome, comes to this."""

    def step(world: World) -> str:
        (call,) = (
            call
            for call in world.calls.values()
            if call.person == person and call.state in (CallState.SENDING, CallState.UNKNOWN)
        )
        world.settle(call, CallState(outcome))
        return ""

    return step


def somebody_acknowledges(world: World) -> str:
    (page,) = (page for page in world.pages.values() if page.closed_at is None)
    world.acknowledge(page)
    return ""
