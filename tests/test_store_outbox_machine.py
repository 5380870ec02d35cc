"""The outbox under any order of events, against a model that fits on a page.

Whatever happens, in whatever order: a call is in one hand at a time, it is never lost (open, or
settled with a reason), and its attempts are counted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import DATABASES
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_world import ALICE, BOB, MINUTE, NOW, attempt, call, opened, page, recorded

from adapter.model import CallState, Reason

PHONES = (ALICE, BOB)
LEASE = 2 * MINUTE
ENDS = (CallState.ACCEPTED, CallState.REFUSED, CallState.GAVE_UP)
RETRIABLE = (CallState.REFUSED, CallState.GAVE_UP, CallState.CANCELLED)


@dataclass
class Model:
    """What a call has to be."""

    phone: object
    state: CallState
    due: timedelta
    attempts: int = 0
    holder: str | None = None  # the attempt that holds it
    lead: str | None = None  # the call that says its words too


class Outbox(RuleBasedStateMachine):
    def __init__(self, place: AbstractContextManager[Path | str]) -> None:
        super().__init__()
        self.place = place
        self.where = place.__enter__()
        self.open()
        self.time = timedelta(0)
        self.calls: dict[str, Model] = {}
        self.hands: dict[str, str] = {}  # every attempt ever made, and its call
        self.page = page()
        self.store.write_now(lambda s: recorded(s, self.page))

    def open(self) -> None:
        self._opened = opened(self.where)
        self.store = self._opened.__enter__()

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)
        self.place.__exit__(None, None, None)

    @property
    def now(self):
        return NOW + self.time

    def due(self, phone) -> list[str]:
        return [
            name
            for name, each in self.calls.items()
            if each.phone == phone and each.state is CallState.WAITING and each.due <= self.time
        ]

    def ringing(self, phone) -> bool:
        return any(
            each.phone == phone and each.state is CallState.SENDING for each in self.calls.values()
        )

    def held_by(self, holder: str) -> list[Model]:
        return [each for each in self.calls.values() if each.holder == holder and each.state.open]

    def move(self, holder: str, state: CallState, due: timedelta) -> bool:
        """Settle in the model; return whether the attempt held anything."""
        held = self.held_by(holder)
        for each in held:
            each.state = state
            if state.open:
                each.due = due
            if state is CallState.WAITING:
                each.holder = each.lead = None
        return bool(held)

    # --- events ---

    @rule(minutes=st.integers(0, 4))
    def time_passes(self, minutes):
        self.time += minutes * MINUTE

    @rule(phone=st.sampled_from(PHONES), wait=st.integers(0, 2))
    def a_call_is_owed(self, phone, wait):
        due = self.time + wait * MINUTE
        new = call(self.page, phone, due_at=NOW + due, due_since=NOW + due)
        self.store.write_now(lambda s: recorded(s, new))
        self.calls[new.id] = Model(phone, CallState.WAITING, due)

    @rule(phone=st.sampled_from(PHONES), bundle=st.booleans())
    def a_call_is_claimed(self, phone, bundle):
        def claim(session):
            found = session.due_calls(phone, self.now, 100)
            if not found:
                return None
            if bundle:
                session.bundle(found[0], self.now)
            made = attempt(found[0], started_at=self.now)
            assert session.begin(found[0], made, self.now + LEASE)
            return made

        expected = [] if self.ringing(phone) else self.due(phone)
        listed = [each.phone for each in self.store.read_now(lambda s: s.due_phones(self.now))]
        assert (phone in listed) == bool(expected)
        made = self.store.write_now(claim)
        assert (made is not None) == bool(expected)
        if made is None:
            return
        assert made.call_id in expected
        self.hands[made.id] = made.call_id
        for name in expected if bundle else [made.call_id]:
            each = self.calls[name]
            each.state, each.holder, each.due = CallState.SENDING, made.id, self.time + LEASE
            each.attempts += 1
            each.lead = None if name == made.call_id else made.call_id

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def somebody_who_saw_it_waiting_claims_it_late(self, data):
        name = data.draw(st.sampled_from(sorted(self.calls)))
        if self.calls[name].state is CallState.WAITING:
            return
        late = call(self.page, self.calls[name].phone, id=name)
        made = attempt(late, started_at=self.now)
        assert not self.store.write_now(lambda s: s.begin(late, made, self.now + LEASE))

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        state=st.sampled_from([*ENDS, CallState.WAITING, CallState.UNKNOWN]),
        wait=st.integers(0, 3),
    )
    def an_attempt_comes_back_in_time_or_late(self, data, state, wait):
        holder = data.draw(st.sampled_from(sorted(self.hands)))
        due = self.time + wait * MINUTE
        moved = self.store.write_now(
            lambda s: s.settle(holder, state, now=self.now, due_at=NOW + due, note="said")
        )
        assert moved == self.move(holder, state, due)

    @rule(everything=st.booleans())
    def orphans_are_adopted(self, everything):
        if everything:  # only a process that has just started may
            self.teardown_process()

        def adopt(session):
            found = session.orphans(self.now, all_of_them=everything)
            for _, by in found:
                session.settle(by.id, CallState.UNKNOWN, now=self.now, due_at=self.now, note="?")
            return {by.id: lead.id for lead, by in found}

        expected = {
            each.holder: self.hands[each.holder]
            for each in self.calls.values()
            if each.state is CallState.SENDING and (everything or each.due <= self.time)
        }
        assert self.store.write_now(adopt) == expected
        for holder in expected:
            self.move(holder, CallState.UNKNOWN, self.time)

    def teardown_process(self) -> None:
        self._opened.__exit__(None, None, None)
        self.open()

    @rule(state=st.sampled_from([CallState.ACCEPTED, CallState.WAITING, CallState.UNKNOWN]))
    def unknown_calls_are_looked_up(self, state):
        def look_up(session):
            found = [by for _, by in session.due_look_ups(self.now)]
            assert all(session.lease(by.id, self.now + LEASE) for by in found)
            assert session.due_look_ups(self.now) == []
            for by in found:
                due = self.now + MINUTE
                assert session.settle(by.id, state, now=self.now, due_at=due, note="looked up")
            return {by.id for by in found}

        expected = {
            each.holder
            for each in self.calls.values()
            if each.state is CallState.UNKNOWN and each.due <= self.time
        }
        assert self.store.write_now(look_up) == expected
        for holder in expected:
            self.move(holder, state, self.time + MINUTE)

    @rule(phone=st.sampled_from(PHONES), wait=st.integers(1, 3))
    def a_limit_holds_a_phone_back(self, phone, wait):
        until, due = self.time + wait * MINUTE, self.due(phone)
        assert self.store.write_now(lambda s: s.limit(phone, self.now, NOW + until)) == len(due)
        for name in due:
            self.calls[name].due = until

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def a_call_has_nothing_to_say(self, data):
        name = data.draw(st.sampled_from(sorted(self.calls)))
        lead = call(self.page, self.calls[name].phone, id=name)
        self.store.write_now(lambda s: s.end(lead, CallState.CANCELLED, self.now, "resolved"))
        if self.calls[name].state is CallState.WAITING:
            self.calls[name].state = CallState.CANCELLED

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def a_human_asks_for_a_call_again(self, data):
        name = data.draw(st.sampled_from(sorted(self.calls)))
        again = [
            each
            for other, each in self.calls.items()
            if name in (other, each.lead) and each.state in RETRIABLE
        ]
        assert self.store.write_now(lambda s: s.retry(name, self.now)) == bool(again)
        for each in again:
            each.state, each.due = CallState.WAITING, self.time
            each.holder = each.lead = None

    @rule()
    def housekeeping_comes_by(self):
        self.store.write_now(lambda s: s.prune(self.now, 100, webhooks_before=self.now))
        left = {each.id for each in self.store.read_now(lambda s: s.find_calls(limit=999))}
        for name in self.calls.keys() - left:
            assert not self.calls.pop(name).state.open

    # --- what always holds ---

    @invariant()
    def every_call_is_where_the_model_has_it(self):
        found = {each.id: each for each in self.store.read_now(lambda s: s.find_calls(limit=999))}
        assert found.keys() == self.calls.keys()
        for name, expected in self.calls.items():
            each = found[name]
            assert (each.state, each.attempts) == (expected.state, expected.attempts)
            assert (each.settled_at is None) == expected.state.open
            assert not each.state.open or each.due_at == NOW + expected.due
            assert each.bundled_into == expected.lead
            assert each.state.open or each.note
            assert each.reason is Reason.FIRST

    @invariant()
    def a_phone_is_rung_by_one_attempt_at_a_time(self):
        for phone in PHONES:
            hands = {
                each.holder
                for each in self.calls.values()
                if each.phone == phone and each.state is CallState.SENDING
            }
            assert len(hands) <= 1

    @invariant()
    def the_first_due_is_the_earliest_open_call(self):
        due = [NOW + each.due for each in self.calls.values() if each.state.open]
        assert self.store.read_now(lambda s: s.due().first) == min(due, default=None)


@contextmanager
def a_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("database", DATABASES)
def test_outbox(database, request):
    server = request.getfixturevalue("postgres") if database == "postgresql" else None
    run_state_machine_as_test(
        lambda: Outbox(server.database() if server else a_directory()),
        settings=settings(max_examples=20, stateful_step_count=30, deadline=None),
    )
