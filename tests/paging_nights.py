"""What happens in a night, in words: the acts of a table's rows, and all that follows from them.

A row is (when, act, what follows). What an escalation does at the same instant is part of what
follows; what it does later, by itself, is a row of its own with the act `BY_ITSELF`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from paging_world import ON_CALL, SECOND, TEAM, Looked, World, at, routed

from adapter.model import (
    Call,
    CallState,
    Event,
    EventKind,
    Fallback,
    Page,
    Receiver,
    Result,
    Status,
)
from adapter.paging import Routed

Act = Callable[[World], str]  # returns everything that follows from it
Night = Sequence[tuple[str, Act | None, str]]
BY_ITSELF = None


def tell(night: Night, *, escalations: bool = True) -> list[tuple[str, str]]:
    """Live through a night; return what happened when. `escalations`: also what they did."""
    world, said = World(at(night[0][0])), []
    for when, act, _ in night:
        world.now = at(when)
        world.look_around()
        by_itself = _looked(world)
        texts = [act(world)] if act is not None else []
        world.look_around()
        at_once = [text for _, text in _looked(world)]
        if escalations:
            said += by_itself
            texts += at_once
        if act is not None:
            said.append((when, "; ".join(filter(None, texts))))
        elif not by_itself:
            said.append((when, "nothing"))
    return said


def follows(night: Night) -> list[tuple[str, str]]:
    """Return what a night's rows say of it."""
    return [(when, expected) for when, _, expected in night]


def clock(instant: datetime) -> str:
    """Write a time as `at` reads it."""
    hours = instant.hour + 24 * (instant.date() - at("00:00").date()).days
    return f"{hours:02}:{instant:%M:%S}".removesuffix(":00")


def _looked(world: World) -> list[tuple[str, str]]:
    """Return what the looks since the last time were good for, and forget them."""
    looked, world.looked = world.looked, []
    return [(clock(each.at), text) for each in looked if (text := _said(each))]


def _said(look: Looked) -> str:
    moves = look.moves
    said = [f"run {moves.page.run}"] if moves.page.run != look.before.run else []
    said += _went_on(moves.page, moves.events, moves.new_calls, moves.moved_calls)
    said += _told([moves.fallback] if moves.fallback else [])
    said += [f"taken by {moves.acknowledged_by}"] if moves.acknowledged_by else []
    said += [f"{call.person} {call.reason} cancelled" for call in look.cancelled]
    return "; ".join(said)


def _went_on(
    page: Page, events: Iterable[Event], new: Iterable[Call], moved: Iterable[Call]
) -> list[str]:
    said = [_event(event) for event in events if event.kind is not EventKind.REOPENED]
    said += [f"{call.person} {call.reason}" for call in new]
    return said + [f"{call.person} {call.reason} moves" for call in moved]


def _event(event: Event) -> str:
    if event.kind is EventKind.SKIPPED:
        step, why = event.detail.partition(",")[0], event.detail.rpartition(": ")[2]
        return f"skips {step}: {why}"
    if event.kind is EventKind.EXHAUSTED:
        return "exhausted"
    step, _, names = event.detail.partition(" calls ")
    return "; ".join([step, *names.split("; ")[1:]])  # whom it calls is told by the calls


def _told(fallbacks: Iterable[Fallback]) -> list[str]:
    return ["fallback" for _ in fallbacks]


# --- webhooks ------------------------------------------------------------------------------------


def fires(name, *, since="10:00", to=ON_CALL, **how) -> Routed:
    """An alert in a webhook, firing since then; since None: the sender does not say."""
    starts_at = None if since is None else at(since)
    return routed(name, Status.FIRING, to, starts_at=starts_at, **how)


def resolves(name, *, ended=None, to=ON_CALL, **how) -> Routed:
    """An alert in a webhook, resolved; ended None: the sender does not say when."""
    ends_at = None if ended is None else at(ended)
    return routed(name, Status.RESOLVED, to, ends_at=ends_at, **how)


def posts(*items, truncated=False) -> Act:
    """A webhook: alert: reason; what the page does; person: call, its reason and when."""

    def act(world: World) -> str:
        world.look_around()
        pages, calls = dict(world.pages), dict(world.calls)
        changes = world.post(items, truncated=truncated)
        said = [f"{v.alert.fingerprint}: {v.reason}" for v in changes.verdicts]
        said += ["opens" for _ in changes.new_pages]
        for page in changes.changed_pages:
            was_open, is_open = pages[page.id].closed_at is None, page.closed_at is None
            if was_open is not is_open:
                said.append("reopens" if is_open else "closes")
        said += [_event(each) for each in changes.events if each.kind is not EventKind.REOPENED]
        for call in changes.new_calls:
            said.append(f"{call.person} {call.reason} {clock(call.due_at)}")
        for call in changes.moved_calls:
            if call.run != calls[call.id].run:
                said.append(f"{call.person} {call.reason} moves")
        said += [f"{call.person} {call.reason} cancelled" for call in changes.changed_calls]
        return "; ".join([*said, *_told(changes.fallbacks)])

    return act


# --- calls ---------------------------------------------------------------------------------------


def dials(person, outcome="accepted") -> Act:
    """The person's call that is due is made, with this outcome."""

    def act(world: World) -> str:
        due = [call for call in _waiting(world, person) if call.due_at <= world.now]
        if not due:
            return f"nothing due for {person}"
        call = min(due, key=lambda call: call.due_at)
        named = world.claim(call)
        if not named:
            return f"nothing to tell {person}"
        if outcome != "sending":
            world.settle(world.calls[call.id], CallState(outcome))
        return f"{person} hears " + ", ".join(episode.fingerprint for episode in named)

    return act


def turns_out(person, outcome) -> Act:
    """The person's call that is under way, or of unknown outcome, comes to this."""

    def act(world: World) -> str:
        under_way = (CallState.SENDING, CallState.UNKNOWN)
        (call,) = (call for call in _calls(world, person) if call.state in under_way)
        world.settle(call, CallState(outcome))
        return ""

    return act


def gives_up(person) -> Act:
    """The patience of the person's waiting call ends."""

    def act(world: World) -> str:
        (call,) = _waiting(world, person)
        world.settle(call, CallState.GAVE_UP)
        return ""

    return act


def limited(person, until) -> Act:
    """The person's calls that are due wait for their limit."""

    def act(world: World) -> str:
        for call in _waiting(world, person):
            if call.due_at <= world.now:
                world.limit(call, at(until))
        return ""

    return act


def answers(person, seconds=20) -> Act:
    """A receipt says that the person took the call, and listened for so long."""

    def act(world: World) -> str:
        call = _last_placed(world, person)
        enough = world.receivers[call.receiver].minimum_answer_duration
        result = Result.ANSWERED if seconds * SECOND >= enough else Result.HUNG_UP
        world.report(call, result)
        return ""

    return act


def hangs_up(person) -> Act:
    """A receipt says that the person took the call and hung up after a second."""
    return answers(person, 1)


def does_not_answer(person) -> Act:
    return _reported(person, Result.UNANSWERED)


def unreported(person) -> Act:
    """The carrier says nothing of the call."""
    return _reported(person, Result.UNREPORTED)


def _reported(person, result) -> Act:
    def act(world: World) -> str:
        world.report(_last_placed(world, person), result)
        return ""

    return act


def _last_placed(world: World, person: str) -> Call:
    """Return the last call that a receipt may be of."""
    placed = [call for call in _calls(world, person) if call.state is CallState.ACCEPTED]
    return max(placed, key=lambda call: call.dialled_at)


def _waiting(world: World, person: str) -> list[Call]:
    return [call for call in _calls(world, person) if call.state is CallState.WAITING]


def _calls(world: World, person: str) -> list[Call]:
    return [call for call in world.calls.values() if call.person == person]


# --- people and configuration --------------------------------------------------------------------


def somebody_acknowledges(world: World) -> str:
    (page,) = (page for page in world.pages.values() if page.closed_at is None)
    cancelled = world.acknowledge(page)
    return "; ".join(f"{call.person} {call.reason} cancelled" for call in cancelled)


def on_duty(**schedules: str) -> Act:
    """From now on these are on call: names of people by schedule; `primary_next`: after them."""

    def act(world: World) -> str:
        for schedule, names in schedules.items():
            people = [TEAM[name] for name in names.split()]
            world.duty[schedule.replace("_next", ":next")] = people
        return ""

    return act


def reloads(receiver: Receiver) -> Act:
    def act(world: World) -> str:
        world.receivers[receiver.name] = receiver
        return ""

    return act
