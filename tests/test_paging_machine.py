"""Whatever happens in whatever order, the promises about calls hold.

Hypothesis posts webhooks, dials, lets calls fail, acknowledges, reloads and lets time pass. The
model knows alerts that fire and who has to hear of them; what phones rang is taken from a log of
the dialling alone, not from what calls say about themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace
from paging_world import ALICE, BOB, CAROL, MINUTE, SECOND, World, at, routed

from adapter.model import Call, CallState, Person, PhoneNumber, Reason, Receiver, Status, Timing
from adapter.paging import LATE_NEWS, Changes, Known, Routed, decide

GROUPS = {"disk": "a", "cpu": "a", "net": "b"}
TEAMS = ((ALICE,), (ALICE, BOB), (BOB, CAROL))
GROUP_INTERVAL = 5 * MINUTE
REPEAT_INTERVAL = 20 * MINUTE
FAILED = (CallState.REFUSED, CallState.GAVE_UP)
UNDER_WAY = (CallState.SENDING, CallState.UNKNOWN)
OUTCOMES = st.sampled_from(
    [*[CallState.ACCEPTED] * 3, *FAILED, CallState.UNKNOWN, CallState.SENDING, CallState.WAITING]
)
# An alert as a webhook may name it: fires or resolves, under which of two routes, and when.
NAMED = st.tuples(
    st.sampled_from(sorted(GROUPS)),
    st.sampled_from(Status),
    st.sampled_from([False, False, False, True]),  # muted
    st.sampled_from([None, 0, 1, 10, 61, 90, -2]),  # it started, or ended, so many minutes ago
)


class Ring:
    """A phone that rang, or may have, and the episodes it was told of."""

    def __init__(self, call: Call, now: datetime, named: frozenset[int]) -> None:
        self.call, self.at, self.named = call, now, named
        self.told = False  # known to have been accepted


class Model:
    """Which alerts fire, as a sender's words and their times tell it."""

    def __init__(self) -> None:
        self.firing: set[str] = set()
        self.ended: dict[str, datetime] = {}
        self.began: dict[str, datetime] = {}

    def hears(self, item: Routed, now: datetime) -> bool:
        """Take in one alert; return whether people have to be told of a new episode."""
        alert, name = item.alert, item.alert.fingerprint
        if alert.status is Status.RESOLVED:
            ended = min(alert.ends_at or now, now)
            if name in self.firing and ended < self.began[name]:
                return False
            if name not in self.firing:
                ended = max(ended, self.ended.get(name, ended))
            self.firing.discard(name)
            self.ended[name] = ended
            return False
        if name in self.firing or item.muted_by:
            return False
        ended = self.ended.get(name)
        if ended and alert.starts_at and alert.starts_at <= ended and now - ended < LATE_NEWS:
            return False
        self.firing.add(name)
        self.began[name] = min(alert.starts_at or now, now)
        return True


class Nights(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world, self.model = World(at("10:00")), Model()
        self.rings: list[Ring] = []
        self.must_hear: set[tuple[int, PhoneNumber]] = set()  # (episode, phone)
        self.receiver = Receiver(name="sre-phone", people=TEAMS[1])
        self.timing = Timing()

    @initialize(repeats=st.booleans(), waits=st.booleans(), send_resolved=st.booleans())
    def routes(self, repeats: bool, waits: bool, send_resolved: bool) -> None:
        self.timing = Timing(
            group_wait=2 * MINUTE if waits else 0 * MINUTE,
            group_interval=GROUP_INTERVAL,
            repeat_interval=REPEAT_INTERVAL if repeats else None,
        )
        self.receiver = replace(self.receiver, send_resolved=send_resolved)

    # --- what happens ---

    @rule(seconds=st.sampled_from([1, 60, 300, 900, 1200, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += seconds * SECOND

    @rule(people=st.sampled_from(TEAMS))
    def reload(self, people: tuple[Person, ...]) -> None:
        self.receiver = replace(self.receiver, people=people)

    @rule(
        named=st.lists(NAMED, min_size=1, max_size=5),
        truncated=st.sampled_from([False, False, False, True]),
    )
    def webhook(self, named: list[tuple[str, Status, bool, int | None]], truncated: bool) -> None:
        items = [self.item(*each) for each in named]
        known = self.world.known(items)
        changes = self.world.post(items, truncated=truncated)
        self.check_total(items, changes)
        self.check_deterministic(items, known, truncated)
        self.check_episodes(items, changes)
        self.check_people(changes)
        self.check_told_again(changes)

    @precondition(lambda self: self.model.firing)
    @rule(minutes=st.sampled_from([0, 4, 16, 21]))
    def webhook_repeats(self, minutes: int) -> None:
        """The sender says again after a while what it said before: all that fires."""
        self.world.now += minutes * MINUTE
        named = [(name, Status.FIRING, False, None) for name in sorted(self.model.firing)]
        self.webhook(named, False)

    def item(self, name: str, status: Status, muted: bool, minutes: int | None) -> Routed:
        when = None if minutes is None else self.world.now - minutes * MINUTE
        return routed(
            name,
            status,
            self.receiver,
            starts_at=when if status is Status.FIRING else None,
            ends_at=when if status is Status.RESOLVED else None,
            group=GROUPS[name],
            timing=self.timing,
            muted=muted,
        )

    @precondition(lambda self: self.waiting())
    @rule(pick=st.integers(0, 3), outcome=OUTCOMES)
    def dial(self, pick: int, outcome: CallState) -> None:
        """Make one of the calls that wait, when its time has come."""
        waiting = self.waiting()
        call = waiting[pick % len(waiting)]
        self.world.now = max(self.world.now, call.due_at)
        named = self.world.claim(call)
        if named:
            ring = Ring(call, self.world.now, frozenset(e.id for e in named))
            self.check_not_told_lately(ring)
            self.rings.append(ring)
            if outcome is not CallState.SENDING:
                self.settle(self.world.calls[call.id], outcome)

    @precondition(lambda self: self.waiting())
    @rule()
    def everybody_is_told(self) -> None:
        """All calls that wait are made, and taken."""
        while self.waiting():
            self.dial(0, CallState.ACCEPTED)

    @precondition(lambda self: self.under_way())
    @rule(pick=st.integers(0, 9), outcome=OUTCOMES.filter(lambda o: o not in UNDER_WAY))
    def turn_out(self, pick: int, outcome: CallState) -> None:
        calls = self.under_way()
        self.settle(calls[pick % len(calls)], outcome)

    @precondition(lambda self: self.open_pages())
    @rule(pick=st.integers(0, 9))
    def acknowledge(self, pick: int) -> None:
        pages = self.open_pages()
        self.world.acknowledge(pages[pick % len(pages)])

    def waiting(self):
        return [call for call in self.world.calls.values() if call.state is CallState.WAITING]

    def under_way(self):
        return [call for call in self.world.calls.values() if call.state in UNDER_WAY]

    def open_pages(self):
        return [page for page in self.world.pages.values() if page.closed_at is None]

    def settle(self, call: Call, outcome: CallState) -> None:
        self.world.settle(call, outcome)
        if outcome is CallState.ACCEPTED:
            self.ring_of(call).told = True

    def ring_of(self, call: Call) -> Ring:
        return [ring for ring in self.rings if ring.call.id == call.id][-1]

    # --- what is promised of one webhook ---

    def check_total(self, items: list[Routed], changes: Changes) -> None:
        """Each alert gets one verdict, and no row is written twice."""
        verdicts = Counter((v.receiver, v.alert.fingerprint) for v in changes.verdicts)
        assert verdicts == Counter({item.alert_key for item in items})
        for rows in (
            [page.id for page in changes.new_pages + changes.changed_pages],
            [call.id for call in changes.new_calls + changes.changed_calls],
            [episode.id for episode in changes.changed_episodes],
            [episode.fingerprint for episode in changes.new_episodes],
        ):
            assert len(rows) == len(set(rows))

    def check_deterministic(self, items: list[Routed], known: Known, truncated: bool) -> None:
        """The same comes of the same, in whatever order a store finds it, and of what it keeps."""
        found_otherwise = Known(
            episodes=dict(reversed(known.episodes.items())),
            pages=dict(reversed(known.pages.items())),
            calls={page_id: calls_that_count(calls) for page_id, calls in known.calls.items()},
            firing=known.firing,
        )
        once, again, otherwise = (
            decide(items, store, truncated=truncated, now=self.world.now, new_id=numbers())
            for store in (known, known, found_otherwise)
        )
        assert once == again
        assert in_any_order(once) == in_any_order(otherwise)

    def check_episodes(self, items: list[Routed], changes: Changes) -> None:
        """What fires anew is what the model says, and its people have to hear of it."""
        anew = set()
        for item in chosen(items):
            if self.model.hears(item, self.world.now):
                anew.add(item.alert.fingerprint)
        assert {e.fingerprint for e in changes.new_episodes if e.firing} == anew
        firing = {e.fingerprint: e for e in self.world.episodes.values() if e.firing}
        assert firing.keys() == self.model.firing
        for person in self.receiver.people:
            self.must_hear |= {(firing[name].id, person.phone) for name in anew}

    def check_people(self, changes: Changes) -> None:
        """Only people of the receiver are rung, and called back who was rung before."""
        phones = {person.phone for person in self.receiver.people}
        for call in changes.new_calls:
            rung = {r.call.phone for r in self.rings if r.call.page_id == call.page_id}
            assert call.phone in (rung if call.reason is Reason.RESOLVED else phones)

    def check_told_again(self, changes: Changes) -> None:
        """After a webhook says that it fires, who failed is tried again, and a repeat is made."""
        firing = {e.fingerprint: e for e in self.world.episodes.values() if e.firing}
        joined = {
            v.page_id for v in changes.verdicts if v.reason in (Reason.FIRST, Reason.NEW_ALERTS)
        }
        for verdict in changes.verdicts:
            name = verdict.alert.fingerprint
            if verdict.alert.status is Status.RESOLVED or name not in firing:
                continue
            if verdict.reason in (Reason.MUTED, Reason.STALE):
                continue
            episode = firing[name]
            for person in self.receiver.people:
                calls = self.calls_to(person.phone, episode.page_id)
                if any(call.state in FAILED for call in calls):
                    assert self.covered(episode.id, person.phone) or self.taken(episode.page_id)
                if episode.page_id not in joined and self.repeat_is_due(calls):
                    assert any(call.state.open for call in calls) or self.taken(episode.page_id)

    def repeat_is_due(self, calls: list[Call]) -> bool:
        told = [call.dialled_at for call in calls if call.state is CallState.ACCEPTED]
        if not told or self.timing.repeat_interval is None:
            return False
        failed = [call.settled_at for call in calls if call.state in FAILED]
        quiet = all(self.world.now - at_ >= GROUP_INTERVAL for at_ in failed)
        return quiet and self.world.now - max(told) >= REPEAT_INTERVAL

    def calls_to(self, phone: PhoneNumber, page_id: str) -> list[Call]:
        return [
            call
            for call in self.world.calls.values()
            if call.phone == phone
            and call.page_id == page_id
            and call.reason is not Reason.RESOLVED
        ]

    def taken(self, page_id: str) -> bool:
        return self.world.pages[page_id].acknowledged_at is not None

    def covered(self, episode: int, phone: PhoneNumber) -> bool:
        """Whether a phone was told of an episode, may be being told, or will be."""
        page_id = self.world.episodes[episode].page_id
        for call in self.calls_to(phone, page_id):
            if call.state is CallState.WAITING:
                if episode in {e.id for e in self.world.named_by(call)}:
                    return True
            elif call.state in (CallState.ACCEPTED, *UNDER_WAY) and (
                episode in self.ring_of(call).named
            ):
                return True
        return False

    # --- what is promised of one ring ---

    def check_not_told_lately(self, ring: Ring) -> None:
        """Nobody who was told of an episode rings again for it within repeat_interval."""
        if ring.call.reason is Reason.RESOLVED:
            return
        for before in self.rings:
            if (
                before.told
                and before.call.reason is not Reason.RESOLVED
                and before.call.phone == ring.call.phone
                and before.named & ring.named
            ):
                assert self.timing.repeat_interval is not None
                assert ring.at - before.at >= self.timing.repeat_interval

    # --- what is promised always ---

    @invariant()
    def every_firing_alert_is_told_to_everyone(self) -> None:
        for episode, phone in self.must_hear:
            if self.world.episodes[episode].firing:
                failed = any(
                    call.state in FAILED
                    for call in self.calls_to(phone, self.world.episodes[episode].page_id)
                )
                assert failed or self.covered(episode, phone)

    @invariant()
    def one_call_waits_for_a_phone_about_a_page(self) -> None:
        """Beside those which came back from an attempt."""
        waiting = Counter(
            (call.page_id, call.phone)
            for call in self.world.calls.values()
            if call.state is CallState.WAITING and call.attempts == 0
        )
        assert all(calls == 1 for calls in waiting.values())

    @invariant()
    def a_page_is_open_while_something_fires_or_may_fire(self) -> None:
        firing = {e.page_id for e in self.world.episodes.values() if e.firing}
        for page in self.world.pages.values():
            if page.closed_at is None:
                assert page.id in firing or page.truncated
            else:
                assert page.id not in firing

    @invariant()
    def a_closed_page_rings_nobody(self) -> None:
        for call in self.world.calls.values():
            closed = self.world.pages[call.page_id].closed_at is not None
            if call.state is CallState.WAITING and call.reason is not Reason.RESOLVED and closed:
                assert call.attempts > 0, "else it is cancelled with the page"
                assert not self.world.named_by(call)


def chosen(items: list[Routed]) -> list[Routed]:
    """Of alerts that are named twice: firing first, then what is not muted, then the first."""
    best: dict[str, Routed] = {}
    for item in reversed(items):
        rank = (item.alert.status is Status.FIRING, not item.muted_by)
        held = best.get(item.alert.fingerprint)
        if held is None or rank >= (held.alert.status is Status.FIRING, not held.muted_by):
            best[item.alert.fingerprint] = item
    return list(best.values())


def numbers() -> Callable[[], str]:
    ids = count()
    return lambda: str(next(ids))


def in_any_order(changes: Changes) -> Changes:
    """Leave out in which order calls were made up, and their ids."""
    calls = [replace(call, id="") for call in changes.new_calls]
    return replace(changes, new_calls=tuple(sorted(calls, key=lambda call: call.phone.e164)))


def calls_that_count(calls: list[Call]) -> list[Call]:
    """Leave out what a store may leave out: settled calls that are not the last of their kind."""

    def kind(call: Call) -> tuple[object, ...]:
        return call.phone, call.state, call.reason is Reason.RESOLVED

    def is_last(call: Call) -> bool:
        alike = [other for other in calls if kind(other) == kind(call)]
        return any(
            getattr(call, time) is not None
            and getattr(call, time) == max(filter(None, (getattr(o, time) for o in alike)))
            for time in ("created_at", "dialled_at", "settled_at")
        )

    return [call for call in calls if call.state.open or is_last(call)]


TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
