"""Whatever happens in whatever order, the promises about calls hold.

Hypothesis posts webhooks, dials, lets calls fail, be limited, be answered or missed, acknowledges,
reloads, hands schedules over and lets time pass; escalations are looked at when they are due. The
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
from paging_world import ALICE, BOB, CAROL, FALLBACK, MINUTE, SECOND, World, at, escalates, routed

from adapter.model import (
    ABOUT_FIRING,
    MISSED,
    Acknowledgement,
    Call,
    CallState,
    EventKind,
    Page,
    Person,
    PhoneNumber,
    Reason,
    Receiver,
    Result,
    Status,
    Timing,
)
from adapter.paging import LATE_NEWS, Changes, Known, Moves, Routed, decide

GROUPS = {"disk": "a", "cpu": "a", "net": "b"}
CHAINS = (
    ("alice",),
    ("alice bob",),
    ("bob carol",),
    ("alice", "bob carol", "alice"),
    ("@primary", "alice bob", "bob"),
    ("@primary",),
)
ON_DUTY = ((), (ALICE,), (CAROL,), (BOB, CAROL))
GROUP_INTERVAL = 5 * MINUTE
REPEAT_INTERVAL = 20 * MINUTE
FAILED = (CallState.REFUSED, CallState.GAVE_UP)
UNDER_WAY = (CallState.SENDING, CallState.UNKNOWN)
TOLD = (CallState.ACCEPTED, CallState.SHADOWED)
OUTCOMES = st.sampled_from(
    [
        *[CallState.ACCEPTED] * 3,
        *FAILED,
        CallState.SHADOWED,
        CallState.UNKNOWN,
        CallState.SENDING,
        CallState.WAITING,
    ]
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


class Watched(World):
    """A world in which each look at an escalation is checked."""

    def look(self, page: Page) -> Moves:
        before = dict(self.calls)
        moves = super().look(page)
        self.check_never_back(page, moves.page)
        steps = self.receivers[page.receiver].escalation
        for call in moves.new_calls:
            assert call.reason is Reason.ESCALATION
            assert call.due_at == self.now
            assert call.phone in {p.phone for t in steps[call.step].call for p in self.on_call(t)}
        for call in moves.moved_calls:
            self.check_never_back(before[call.id], call)
        assert (moves.fallback is not None) <= (moves.page.exhausted_at == self.now)
        assert not (moves.acknowledged_by and (moves.new_calls or moves.fallback))
        return moves

    @staticmethod
    def check_never_back(was: Page | Call, is_now: Page | Call) -> None:
        if was.step is not None and is_now.step is not None:
            assert (was.run, was.step) <= (is_now.run, is_now.step)


class Nights(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world, self.model = Watched(at("10:00")), Model()
        self.rings: list[Ring] = []
        self.must_hear: set[tuple[int, PhoneNumber]] = set()  # (episode, phone)
        self.nobody_to_hear: set[int] = set()  # episodes of which was said that nobody is on call
        self.once_taken: set[int] = set()  # episodes that somebody knew of when taking their page
        self.receiver, self.how = Receiver(name="sre-phone"), {}
        self.timing = Timing()

    @initialize(
        repeats=st.booleans(),
        waits=st.booleans(),
        send_resolved=st.booleans(),
        by_hand=st.booleans(),
        chain=st.sampled_from(CHAINS),
    )
    def routes(
        self,
        repeats: bool,
        waits: bool,
        send_resolved: bool,
        by_hand: bool,
        chain: tuple[str, ...],
    ) -> None:
        self.timing = Timing(
            group_wait=2 * MINUTE if waits else 0 * MINUTE,
            group_interval=GROUP_INTERVAL,
            repeat_interval=REPEAT_INTERVAL if repeats else None,
        )
        self.how = {
            "send_resolved": send_resolved,
            "fallback_webhook": FALLBACK if repeats else None,
            "acknowledgement": Acknowledgement.BY_HAND if by_hand else Acknowledgement.ANSWERED,
        }
        self.reload(chain, 0, 4)

    # --- what happens ---

    @rule(seconds=st.sampled_from([1, 60, 300, 900, 1200, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += seconds * SECOND
        self.look_around()

    @rule(
        chain=st.sampled_from(CHAINS),
        repeat=st.sampled_from([0, 0, 2]),
        minutes=st.sampled_from([1, 4, 10]),
    )
    def reload(self, chain: tuple[str, ...], repeat: int, minutes: int) -> None:
        self.receiver = escalates(*chain, wait=minutes * MINUTE, repeat=repeat, **self.how)
        self.world.receivers[self.receiver.name] = self.receiver

    @rule(people=st.sampled_from(ON_DUTY))
    def hand_over(self, people: tuple[Person, ...]) -> None:
        self.world.duty["primary"] = people

    @rule(
        named=st.lists(NAMED, min_size=1, max_size=5),
        truncated=st.sampled_from([False, False, False, True]),
    )
    def webhook(self, named: list[tuple[str, Status, bool, int | None]], truncated: bool) -> None:
        self.look_around()
        items = [self.item(*each) for each in named]
        known, before = self.world.known(items), dict(self.world.pages)
        changes = self.world.post(items, truncated=truncated)
        self.check_total(items, changes)
        self.check_deterministic(items, known, truncated)
        self.check_episodes(items, changes, before)
        self.check_people(changes)
        self.check_told_again(changes, before)

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
        self.look_around()
        call = self.world.calls[call.id]
        if call.state is not CallState.WAITING:
            return  # the page was acknowledged meanwhile
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

    @precondition(lambda self: self.waiting())
    @rule(pick=st.integers(0, 9), minutes=st.sampled_from([1, 6, 40]))
    def limit(self, pick: int, minutes: int) -> None:
        """A call that is due waits for its person's limit."""
        waiting = self.waiting()
        call = waiting[pick % len(waiting)]
        if call.due_at <= self.world.now:
            self.world.limit(call, self.world.now + minutes * MINUTE)

    @precondition(lambda self: self.placed())
    @rule(pick=st.integers(0, 9), result=st.sampled_from(Result))
    def hear_of(self, pick: int, result: Result) -> None:
        """A receipt comes in: of the calls made last sooner than of others, again or for once."""
        calls = self.placed()
        self.world.report(calls[-1 - pick % len(calls)], result)

    @precondition(lambda self: self.open_pages())
    @rule(pick=st.integers(0, 9))
    def acknowledge(self, pick: int) -> None:
        pages = self.open_pages()
        self.world.acknowledge(pages[pick % len(pages)])
        self.leave_in_peace()

    def look_around(self) -> None:
        self.world.look_around()
        self.leave_in_peace()

    def leave_in_peace(self) -> None:
        """Nobody has to hear of what somebody has taken."""
        self.once_taken |= {
            episode.id
            for episode in self.world.episodes.values()
            if episode.page_id is not None and self.taken(episode.page_id)
        }
        self.must_hear = {
            (episode, phone)
            for episode, phone in self.must_hear
            if not self.taken(self.world.episodes[episode].page_id)
        }

    def placed(self):
        return [call for call in self.world.calls.values() if call.state is CallState.ACCEPTED]

    def waiting(self):
        return [call for call in self.world.calls.values() if call.state is CallState.WAITING]

    def under_way(self):
        return [call for call in self.world.calls.values() if call.state in UNDER_WAY]

    def open_pages(self):
        return [page for page in self.world.pages.values() if page.closed_at is None]

    def settle(self, call: Call, outcome: CallState) -> None:
        self.world.settle(call, outcome)
        if outcome in TOLD:
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
            [c.id for c in changes.new_calls + changes.changed_calls + changes.moved_calls],
            [fallback.page_id for fallback in changes.fallbacks],
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
            decide(
                items,
                store,
                truncated=truncated,
                now=self.world.now,
                new_id=numbers(),
                on_call=self.world.on_call,
            )
            for store in (known, known, found_otherwise)
        )
        assert once == again
        assert in_any_order(once) == in_any_order(otherwise)

    def check_episodes(
        self, items: list[Routed], changes: Changes, before: dict[str, Page]
    ) -> None:
        """What fires anew is what the model says, and its people have to hear of it."""
        anew = set()
        for item in chosen(items):
            if self.model.hears(item, self.world.now):
                anew.add(item.alert.fingerprint)
        assert {e.fingerprint for e in changes.new_episodes if e.firing} == anew
        firing = {e.fingerprint: e for e in self.world.episodes.values() if e.firing}
        assert firing.keys() == self.model.firing
        for name in anew:
            phones = self.who_has_to_hear(firing[name].page_id, before)
            self.must_hear |= {(firing[name].id, phone) for phone in phones}
            if not phones:
                self.nobody_to_hear.add(firing[name].id)
        nobody = {
            v.alert.fingerprint for v in changes.verdicts if v.reason is Reason.NOBODY_ON_CALL
        }
        assert nobody & anew == {n for n in anew if firing[n].id in self.nobody_to_hear}
        assert not nobody - anew or not self.first_people()

    def who_has_to_hear(self, page_id: str, before: dict[str, Page]) -> set[PhoneNumber]:
        """Whom the step under way names when an alert joins, or called; else the first step."""
        was = before.get(page_id)
        if was is None or was.step is None:
            return {person.phone for person in self.first_people()}
        return self.named_by_step(was.step) or {
            call.phone
            for call in self.world.calls.values()
            if (call.page_id, call.run, call.step) == (page_id, was.run, was.step)
        }

    def named_by_step(self, index: int | None) -> set[PhoneNumber]:
        if index is None:  # beside any step: tried again alone
            return {person.phone for person in self.first_people()}
        targets = [t for step in self.receiver.escalation[index : index + 1] for t in step.call]
        return {person.phone for target in targets for person in self.world.on_call(target)}

    def first_people(self) -> list[Person]:
        for step in self.receiver.escalation:
            people = [person for target in step.call for person in self.world.on_call(target)]
            if people:
                return people
        return []

    def goes_on_by_itself(self, page: Page | None) -> bool:
        """Whether nothing begins anew for the page before its escalation has ended."""
        chain = self.receiver.escalation
        is_plain = len(chain) == 1 and not self.receiver.repeat
        is_plain = is_plain and self.receiver.fallback_webhook is None
        return page is not None and page.step is not None and not is_plain

    def check_people(self, changes: Changes) -> None:
        """Who is rung is of the first step, or is being called; called back is who was rung."""
        first = {person.phone for person in self.first_people()}
        for call in changes.new_calls:
            rung = {r.call.phone for r in self.rings if r.call.page_id == call.page_id}
            if call.reason is Reason.RESOLVED:
                assert call.phone in rung
                continue
            called = {
                other.phone
                for other in self.world.calls.values()
                if (other.page_id, other.run) == (call.page_id, call.run) and other.id != call.id
            }
            assert call.phone in first | called | self.named_by_step(call.step)

    def check_told_again(self, changes: Changes, before: dict[str, Page]) -> None:
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
            was = before.get(episode.page_id)
            if self.taken(episode.page_id) or self.goes_on_by_itself(was):
                continue
            for person in self.first_people():
                calls = self.calls_to(person.phone, episode.page_id)
                if any(call.state in FAILED for call in calls):
                    assert self.covered(episode.id, person.phone)
                if episode.page_id not in joined and self.repeat_is_due(calls):
                    assert any(call.state.open for call in calls)

    def repeat_is_due(self, calls: list[Call]) -> bool:
        told = [call.dialled_at for call in calls if call.state in TOLD]
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
            elif call.state in (*TOLD, *UNDER_WAY) and (episode in self.ring_of(call).named):
                return True
        return False

    # --- what is promised of one ring ---

    def check_not_told_lately(self, ring: Ring) -> None:
        """Nobody who was told of an episode rings again for it within repeat_interval.

        Unless a later step of the escalation asks for them.
        """
        if ring.call.reason in (Reason.RESOLVED, Reason.ESCALATION):
            return
        for before in self.rings:
            if (
                before.told
                and self.world.calls[before.call.id].result not in MISSED
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
    def a_person_is_called_once_for_a_step(self) -> None:
        """Beside what they are told of alerts that joined meanwhile."""
        made = Counter(
            (call.page_id, call.run, call.step, call.phone)
            for call in self.world.calls.values()
            if call.reason is Reason.ESCALATION
        )
        assert all(calls == 1 for calls in made.values())

    @invariant()
    def who_has_a_page_is_not_followed_by_others(self) -> None:
        for call in self.waiting():
            if call.reason in ABOUT_FIRING and self.taken(call.page_id):
                assert call.attempts > 0, "else it is cancelled with the acknowledgement"
                assert not self.world.named_by(call)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """While nobody has taken it, a page is escalated, or is known to have reached nobody."""
        self.look_around()
        for page in self.world.pages.values():
            assert (page.step is None) == (page.look_at is None) == (page.step_until is None)
            if page.closed_at is not None or page.acknowledged_at is not None:
                assert page.step is None
            elif page.step is not None:
                assert page.exhausted_at is None
                assert self.world.now < page.look_at == page.step_until
                assert any((c.run, c.step) == (page.run, page.step) for c in self.calls_of(page))
            else:
                assert page.exhausted_at is not None
                self.check_exhausted(page)

    def check_exhausted(self, page: Page) -> None:
        """It is on record that nobody was reached, and a call was made about all that fires."""
        told = [e for e in self.world.events if e.page_id == page.id and e.at == page.exhausted_at]
        assert EventKind.EXHAUSTED in {event.kind for event in told}
        named = {e for r in self.rings if r.call.page_id == page.id for e in r.named}
        for call in self.calls_of(page):
            if call.state is CallState.WAITING:
                named |= {episode.id for episode in self.world.named_by(call)}
        firing = {e.id for e in self.world.episodes.values() if e.page_id == page.id and e.firing}
        assert firing <= named | self.nobody_to_hear | self.once_taken

    def calls_of(self, page: Page) -> list[Call]:
        return [call for call in self.world.calls.values() if call.page_id == page.id]

    @invariant()
    def a_fallback_is_told_once_a_run(self) -> None:
        told = Counter((each.page_id, each.run) for each in self.world.fallbacks)
        assert all(times == 1 for times in told.values())

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
    return replace(
        changes,
        new_calls=tuple(sorted(calls, key=lambda call: call.phone.e164)),
        moved_calls=tuple(sorted(changes.moved_calls, key=lambda call: call.id)),
    )


def calls_that_count(calls: list[Call]) -> list[Call]:
    """Leave out what a store may leave out: settled calls that are not the last of their kind."""

    def kind(call: Call) -> tuple[object, ...]:
        return call.phone, call.state, call.result in MISSED, call.reason is Reason.RESOLVED

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
