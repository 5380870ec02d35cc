"""What an escalation writes down, row by row: the page, its calls, its story and its fallback."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from paging_nights import answers, dials, does_not_answer, fires, limited, resolves
from paging_world import ALICE, BOB, FALLBACK, MINUTE, TEAM, World, at, escalates, target

from adapter.model import (
    Call,
    CallState,
    Event,
    EventKind,
    Fallback,
    FallbackState,
    Reason,
    Result,
)
from adapter.paging import Moves, look, persons_only

CHAIN = escalates("alice", "bob", repeat=1, fallback_webhook=FALLBACK)


def only(items):
    (item,) = items
    return item


def night(*acts, to=CHAIN) -> World:
    """Return a world in which disk fires at 10:00, and then these (when, act) happened."""
    world = World(at("10:00"))
    world.post([fires("disk", to=to)])
    for when, act in acts:
        world.now = at(when)
        world.look_around()
        act(world)
    return world


def looked_at(world: World, when: str) -> Moves:
    """Return what the look at this time moves."""
    world.now = at(when)
    world.look_around()
    return world.looked[-1].moves


def test_the_next_step_is_written_down_whole():
    world = night()
    page = only(world.pages.values())
    assert looked_at(world, "10:05") == Moves(
        page=replace(page, step=1, step_until=at("10:10"), look_at=at("10:10")),
        new_calls=(
            Call(
                id="2.0",
                page_id=page.id,
                receiver="sre-phone",
                person="bob",
                phone=BOB.phone,
                reason=Reason.ESCALATION,
                state=CallState.WAITING,
                created_at=at("10:05"),
                due_at=at("10:05"),
                due_since=at("10:05"),
                run=1,
                step=1,
            ),
        ),
        events=(
            Event(
                at=at("10:05"),
                kind=EventKind.STEP,
                page_id=page.id,
                step=1,
                detail="step 2 of 2 calls bob",
            ),
        ),
    )


def test_beginning_again_counts_the_run_and_the_repeats_left():
    world = night()
    page = only(world.pages.values())
    assert (page.run, page.repeats_left, page.step) == (1, 1, 0)
    moves = looked_at(world, "10:10")
    assert (moves.page.run, moves.page.repeats_left, moves.page.step) == (2, 0, 0)
    # alice's first call was never made: it serves the second run too.
    assert not moves.new_calls
    assert only(moves.moved_calls) == replace(world.calls["1.1"], run=2, step=0)


def test_exhausted_is_written_down_whole():
    world = night(to=escalates("alice", fallback_webhook=FALLBACK))
    page = only(world.pages.values())
    moves = looked_at(world, "10:05")
    assert moves == Moves(
        page=replace(page, step=None, step_until=None, look_at=None, exhausted_at=at("10:05")),
        events=(
            Event(
                at=at("10:05"),
                kind=EventKind.EXHAUSTED,
                page_id=page.id,
                detail="its last step reached nobody",
            ),
        ),
        fallback=Fallback(
            id="2.0",
            page_id=page.id,
            receiver="sre-phone",
            run=1,
            state=FallbackState.WAITING,
            created_at=at("10:05"),
            due_at=at("10:05"),
        ),
    )


def test_nobody_on_call_is_written_down_whole():
    world = World(at("10:00"))
    changes = world.post(
        [fires("disk", to=escalates("@primary", "@primary:next", fallback_webhook=FALLBACK))]
    )
    page = only(changes.new_pages)
    assert (page.run, page.step, page.look_at, page.exhausted_at) == (1, None, None, at("10:00"))
    assert [(event.kind, event.detail) for event in changes.events] == [
        (EventKind.SKIPPED, "step 1, primary: nobody is on call"),
        (EventKind.SKIPPED, "step 2, primary:next: nobody is on call"),
        (EventKind.EXHAUSTED, "nobody is on call in any step"),
    ]
    assert {(event.at, event.page_id) for event in changes.events} == {(at("10:00"), page.id)}
    assert only(changes.fallbacks).page_id == page.id
    verdict = only(changes.verdicts)
    assert (verdict.reason, verdict.page_id, verdict.detail) == (
        Reason.NOBODY_ON_CALL,
        page.id,
        "no step of the escalation has anybody now",
    )


def test_a_step_that_names_the_same_people_says_so():
    world = night(to=escalates("alice", "alice", "bob"))
    dials("alice")(world)
    events = looked_at(world, "10:05").events
    assert [(event.kind, event.step, event.detail) for event in events] == [
        (EventKind.SKIPPED, 1, "step 2, alice: the same people as in the step before"),
        (EventKind.STEP, 2, "step 3 of 3 calls bob"),
    ]


def test_all_of_a_step_are_named_in_the_story():
    detail = only(looked_at(night(to=escalates("alice", "bob carol")), "10:05").events).detail
    assert detail == "step 2 of 2 calls bob, carol"


def test_a_look_before_anything_changed_moves_nothing():
    world = night(("10:00", dials("alice")))
    world.look_around()
    world.now = at("10:03")
    page = only(world.pages.values())
    assert world.look(page) == Moves(page=page)


def test_an_answer_ends_it_and_names_who_answered():
    world = night(("10:00", dials("alice")), ("10:00:30", answers("alice")))
    page = only(world.pages.values())
    moves = looked_at(world, "10:00:30")
    assert moves == Moves(
        page=replace(page, step=None, step_until=None, look_at=None), acknowledged_by="alice"
    )


def test_of_several_answers_the_last_call_counts():
    world = night(to=escalates("alice bob"))
    for when, person in (("10:00", "bob"), ("10:01", "alice")):
        world.now = at(when)
        dials(person)(world)
    for person in ("alice", "bob"):
        answers(person)(world)
    assert looked_at(world, "10:02").acknowledged_by == "alice"


def test_an_answered_call_about_resolved_alerts_takes_nothing():
    """A page that was open when it was called back, and is open again."""
    world = night(("10:00", dials("alice")), to=escalates("alice", "bob", send_resolved=True))
    back = replace(world.calls["1.1"], reason=Reason.RESOLVED, result=Result.ANSWERED)
    world.calls[back.id] = back
    assert looked_at(world, "10:05").acknowledged_by == ""


@pytest.mark.parametrize(
    "values", [{"closed_at": at("10:01")}, {"acknowledged_at": at("10:01")}], ids=lambda v: min(v)
)
def test_what_is_over_is_not_escalated_whatever_its_row_says(values):
    """A page may be closed or taken between being found due and being looked at."""
    world = night(("10:00", dials("alice")), ("10:00:30", does_not_answer("alice")))
    page = replace(only(world.pages.values()), **values)
    answered = [replace(call, result=Result.ANSWERED) for call in world.calls.values()]
    for calls in (list(world.calls.values()), answered):
        moves = look(
            page, CHAIN, calls, 1, on_call=persons_only, now=at("10:20"), new_id=lambda: "c"
        )
        assert moves == Moves(page=replace(page, step=None, step_until=None, look_at=None))


def test_a_new_run_forgets_how_the_last_one_ended():
    world = night(to=escalates("alice", fallback_webhook=FALLBACK))
    world.now = at("10:06")
    page = only(world.post([fires("cpu", to=CHAIN)]).changed_pages)
    assert (page.run, page.exhausted_at, page.step) == (2, None, 0)
    world.acknowledge(page, "bob")
    page = only(world.post([fires("ram", to=CHAIN)]).changed_pages)
    assert (page.run, page.acknowledged_at, page.acknowledged_by) == (3, None, "")


def test_a_call_that_waits_serves_the_new_run_and_is_not_waited_for():
    world = night(("10:00", limited("alice", "10:30")), to=escalates("alice"))
    world.now = at("10:06")
    changes = world.post([fires("cpu", to=escalates("alice", "bob"))])
    assert (only(changes.moved_calls).run, only(changes.moved_calls).step) == (2, 0)
    assert not changes.new_calls
    assert only(changes.changed_pages).step_until == at("10:11")
    assert only(changes.verdicts).detail == f"call due at {at('10:30').isoformat()}"


def test_a_page_that_closes_has_no_escalation():
    world = night()
    page = only(world.post([resolves("disk", to=CHAIN)]).changed_pages)
    assert (page.step, page.step_until, page.look_at) == (None, None, None)


def test_a_page_that_opens_again_says_so():
    world = night(to=escalates("alice"))
    world.now = at("10:06")
    world.post([resolves("disk")])
    world.now = at("10:07")
    changes = world.post([fires("disk", since="10:07", to=escalates("alice"))])
    event = only(changes.events)
    assert (event.at, event.kind, event.page_id) == (at("10:07"), EventKind.REOPENED, "1.0")
    assert event.detail == f"was closed at {at('10:06')}"


def test_without_any_call_of_the_run_it_is_not_repeated():
    """The store keeps the calls of a run; should they be gone, nobody is rung for ever."""
    page = replace(only(night().pages.values()), step=1, step_until=at("10:05"))
    moves = look(page, CHAIN, [], 1, on_call=persons_only, now=at("10:05"), new_id=lambda: "c")
    assert (moves.page.exhausted_at, moves.new_calls) == (at("10:05"), ())


@pytest.mark.parametrize(
    ("text", "people"), [("alice", [ALICE]), ("@primary", []), ("@primary:next", [])]
)
def test_without_a_roster_only_persons_are_on_call(text, people):
    assert list(persons_only(target(text))) == people


def test_whoever_is_called_is_called_once_whatever_names_them():
    world = World(at("10:00"))
    world.duty["primary"] = [ALICE, TEAM["dave"]]
    changes = world.post([fires("disk", to=escalates("alice alice @primary"))])
    assert [call.person for call in changes.new_calls] == ["alice", "dave"]


def test_a_step_waits_from_the_last_of_its_calls():
    """Who was rung lately hears of new alerts group_interval later, and has the whole wait then."""
    world = night(("10:00", dials("alice")), to=escalates("alice"))
    somebody = only(world.pages.values())
    world.acknowledge(somebody)
    world.now = at("10:02")
    changes = world.post([fires("cpu", to=escalates("alice bob", wait=3 * MINUTE))])
    assert [call.due_at for call in changes.new_calls] == [at("10:05"), at("10:02")]
    assert only(changes.changed_pages).look_at == at("10:08")
