"""The words that stories are told in: what is posted, how the vendor behaves, what people do.

A story is a table of acts, each at its time of day, and of the phones that rang because of them;
where nobody was reached, a fallback webhook is heard. All that is due at an instant happens before
the acts of that instant. Words about escalations, schedules and receipts are in `story_chains`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import service_harness
from clocked_world import TODAY, World, clocked_world
from service_harness import PEOPLE, as_operator

from adapter.simulator.faults import LOOK_UP, Fault, Kind

Act = Callable[[World], Awaitable[None]]
Alert = Callable[[World], Any]


@dataclass(frozen=True)
class Story:
    """What happens from 03:00:00 on, and which phones ring and webhooks are told, exactly."""

    routes: Mapping[str, Any]
    acts: Sequence[tuple[str, Act]]
    rang: Sequence[str]
    asked: Sequence[str] | None = None  # of the vendor; None: not looked at
    receipts_to: str | None = None  # where the vendor pushes to; None: it pushes nothing
    account: Mapping[str, Any] = field(default_factory=dict)  # what the vendor knows of us
    environ: Mapping[str, str] = field(default_factory=dict)  # besides keys, tokens and database
    on: date = TODAY


@dataclass(frozen=True)
class Told:
    """What a story came to."""

    rang: list[str]
    asked: list[str]


async def told(story: Story, directory: Path) -> Told:
    """Live through the story."""
    async with clocked_world(
        directory, story.routes, account=story.account, environ=story.environ, on=story.on
    ) as world:
        world.receipts.url = story.receipts_to
        for time, act in story.acts:
            await world.at(time)
            await act(world)
            await world.quiet()
        heard = [
            f"{world.shown(at)} fallback {body['receiver']}" for at, body in world.fallbacks.heard
        ]
        return Told(sorted(world.rang + heard, key=_time), world.asked)


def _time(line: str) -> str:
    return line.split()[0]


def until(time: str) -> tuple[str, Act]:
    """Nothing more is done until then."""

    async def act(_world: World) -> None:
        pass

    return time, act


# --- senders ------------------------------------------------------------------------------------


def firing(name: str = "DiskFull", **labels: str) -> Alert:
    """An alert in a webhook; it began when it was first posted."""
    return lambda world: world.alert_fires(name, labels)


def resolved(name: str = "DiskFull", **labels: str) -> Alert:
    """An alert in a webhook that ended just now."""
    return lambda world: world.alert_resolves(name, labels)


def posts(*alerts: Alert, **body: Any) -> Act:
    """A webhook is taken in."""

    async def act(world: World) -> None:
        await world.post(*(alert(world) for alert in alerts), **body)

    return act


def resolves(name: str = "DiskFull", **labels: str) -> Act:
    """A webhook says that one alert is over."""
    return posts(resolved(name, **labels))


# --- the vendor and the people it calls ---------------------------------------------------------


def _arms(kind: Kind, person: str | None, **how: Any) -> Act:
    number = PEOPLE[person] if person else None

    async def act(world: World) -> None:
        world.arm(Fault(kind=kind, number=number, **how))

    return act


def answers(
    person: str | None = None,
    *,
    seconds: int = 23,
    after: float | None = None,
    copies: int = 1,
    times: int | None = None,
) -> Act:
    """From now on the person (None: everybody) listens for so many seconds.

    `after`: seconds from the call to its receipt (None: 2); `copies`: how often it is pushed.
    """
    return _arms(Kind.ANSWERED, person, duration=seconds, seconds=after, copies=copies, times=times)


def does_not_answer(
    person: str | None = None,
    *,
    after: float | None = None,
    copies: int = 1,
    times: int | None = None,
) -> Act:
    """From now on the person's phone rings out; `after` and `copies` as in `answers`."""
    return _arms(Kind.UNANSWERED, person, seconds=after, copies=copies, times=times)


def is_not_reported(
    person: str | None = None, *, after: float | None = None, times: int | None = None
) -> Act:
    """From now on the carrier says nothing of the person's calls: the receipt says "unknown"."""
    return _arms(Kind.UNREPORTED, person, seconds=after, times=times)


def gets_no_receipt(person: str | None = None, *, times: int | None = None) -> Act:
    """From now on the person's calls are told of in the records alone."""
    return _arms(Kind.NO_RECEIPT, person, times=times)


def refuses(
    person: str | None = None, ret_code: int = 150, *, times: int | None = 1, message: str = ""
) -> Act:
    """The vendor answers the next calls so, and does not place them."""
    return _arms(Kind.REFUSE, person, ret_code=ret_code, times=times, message=message)


def throttles(*, times: int | None = 1) -> Act:
    """The vendor says 153 to the next calls, whoever they are for."""
    return _arms(Kind.THROTTLE, None, times=times)


def stays_silent(
    person: str | None = None, *, rings: bool, times: int | None = 1, seconds: float = 120
) -> Act:
    """The vendor does not answer the next calls in time; the phone rings all the same, or not."""
    return _arms(Kind.STALL, person, place=rings, times=times, seconds=seconds)


def cuts(person: str | None = None, *, rings: bool, times: int | None = 1) -> Act:
    """The vendor resets the connection of the next calls; the phone rings all the same, or not."""
    return _arms(Kind.CUT, person, place=rings, times=times)


def shows_no_records(*, times: int | None = None) -> Act:
    """The vendor's records are empty from now on, whoever was called."""
    return _arms(Kind.LIE, None, action=LOOK_UP, times=times)


def refuses_look_ups(ret_code: int = 150, *, times: int | None = None) -> Act:
    """The vendor's records cannot be read from now on."""
    return _arms(Kind.REFUSE, None, action=LOOK_UP, ret_code=ret_code, times=times)


async def mends(world: World) -> None:
    """The vendor and all phones are well again."""
    world.vendor.faults.clear()


# --- operators ----------------------------------------------------------------------------------


async def acknowledges(world: World) -> None:
    """Somebody takes every open page, by the API."""
    found = await world.api("/pages?open=true")
    assert found["pages"], "no page is open"
    for page in found["pages"]:
        answer = await world.client.post(
            f"/api/v1/pages/{page['id']}/acknowledge", headers=as_operator()
        )
        assert answer.status_code == 200, answer.text


async def kills(world: World) -> None:
    """The process dies in the middle of whatever it does."""
    await world.kill()


async def restarts(world: World) -> None:
    """It begins again on the same database; if it still runs, it dies first."""
    if world.adapter is not None:
        await world.kill()
    await world.start()


def reloads(tree: Mapping[str, Any]) -> Act:
    """A new routes.yaml is put in force."""

    async def act(world: World) -> None:
        world.write_routes(tree)
        answer = await world.reload()
        assert answer.status_code == 200, answer.text

    return act


# --- looks in between ---------------------------------------------------------------------------


def finds_calls(**counts: int) -> Act:
    """The API shows just these calls: finds_calls(accepted=1, waiting=2)."""

    async def act(world: World) -> None:
        _same("calls", await world.states(), counts)

    return act


def finds_pages(**counts: int) -> Act:
    """The API shows just these pages: finds_pages(open=1, closed=2)."""

    async def act(world: World) -> None:
        found = await world.api("/pages?limit=500")
        _same("pages", Counter(page["state"] for page in found["pages"]), counts)

    return act


def _same(what: str, found: Counter[str], counts: Mapping[str, int]) -> None:
    assert found == Counter(counts), f"{what}: {dict(found)}, and not {dict(counts)}"


def together(*acts: Act) -> Act:
    """Several acts of one instant, in this order."""

    async def act(world: World) -> None:
        for each in acts:
            await each(world)

    return act


# --- routes -------------------------------------------------------------------------------------


# What may be given to `rings` and is the file's, not the receiver's.
_SECTIONS = frozenset(
    {
        "route",
        "limits",
        "delivery",
        "receipts",
        "uvms",
        "schedules",
        "heartbeats",
        "time_intervals",
        "voice_templates",
        "stale_after",
        "mode",
    }
)


def rings(*people: str, **more: Any) -> Mapping[str, Any]:
    """A routes.yaml with one receiver; `route`, `limits` and the like are the file's sections."""
    sections = {name: value for name, value in more.items() if name in _SECTIONS}
    own = {name: value for name, value in more.items() if name not in _SECTIONS}
    receiver = service_harness.receiver("phone", *people, **own)
    if "escalation" in own:
        del receiver["call"]  # it is the short form of one step
    return service_harness.routes(receiver, **sections)


def limits(**per_person: Any) -> Mapping[str, Any]:
    """Limits that hold nobody back, but for those given."""
    return {"per_person": {"min_interval": "0s", "per_hour": 1000, "per_day": 1000} | per_person}
