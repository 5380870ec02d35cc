"""Words of stories about reaching somebody: escalations, schedules, receipts, fallback webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from clocked_world import OWN_URL, World
from service_harness import PEOPLE, as_operator
from story_acts import Act, Alert, Story, firing, posts, rings, told
from virtual_time import run

from adapter.simulator.calls import RECEIPT_RESULT, Result, receipt

CHAT = "https://chat.example.com/hook"
LINKS = {
    "UVMS_EXTERNAL_URL": OWN_URL,
    "UVMS_LINK_SECRET": "link-secret-of-this-story-of-32-characters",
}

_RECEIPTS_SECRET = "receipts-secret-of-this-story-of-32-chars"
_RECEIPTS_PATH = f"/v1/receipts/{_RECEIPTS_SECRET}"
_RECEIPTS = {"UVMS_RECEIPTS_SECRET": _RECEIPTS_SECRET}


# --- stories ------------------------------------------------------------------------------------


def pushed(
    routes: Mapping[str, Any], acts: Sequence[tuple[str, Act]], rang: Sequence[str], **more: Any
) -> Story:
    """A story whose receipts the vendor pushes: two seconds after a call, answered for 23."""
    environ = _RECEIPTS | more.pop("environ", {})
    to = f"{OWN_URL}{_RECEIPTS_PATH}"
    return Story(routes, acts, rang, receipts_to=to, environ=environ, **more)


def polled(
    routes: Mapping[str, Any], acts: Sequence[tuple[str, Act]], rang: Sequence[str], **more: Any
) -> Story:
    """A story whose results are asked for, every 15 seconds from 03:00:15 on."""
    return Story({**routes, "receipts": {"poll_interval": "15s"}}, acts, rang, **more)


def pushed_and_polled(
    routes: Mapping[str, Any], acts: Sequence[tuple[str, Act]], rang: Sequence[str], **more: Any
) -> Story:
    """A story with both."""
    return pushed({**routes, "receipts": {"poll_interval": "15s"}}, acts, rang, **more)


def live_through(story: Story, directory: Path) -> None:
    """Live through a story and hold it against what it says."""
    came = run(told(story, directory))
    assert came.rang == list(story.rang), "\n".join(("the vendor was asked:", *came.asked))
    if story.asked is not None:
        assert came.asked == list(story.asked)


# --- escalations --------------------------------------------------------------------------------


def chain(*steps: str | tuple[str, str], wait: str = "1m", **more: Any) -> Mapping[str, Any]:
    """A receiver that calls "alice", then "bob carol" at once, …, and then tells a chat.

    A step is given with a wait of its own as ("alice", "2m").
    """
    return rings(**{"escalation": escalation(*steps, wait=wait), "fallback_webhook": CHAT} | more)


def escalation(*steps: str | tuple[str, str], wait: str = "1m") -> list[dict[str, Any]]:
    """The steps alone."""
    pairs = [(step, wait) if isinstance(step, str) else step for step in steps]
    return [{"call": names.split(), "wait": each} for names, each in pairs]


def disk_fires(at: str = "03:00:00", **labels: str) -> tuple[str, Act]:
    """A webhook with one alert."""
    return at, posts(firing("DiskFull", **labels))


def storm(pages: int, each: int = 4) -> list[Alert]:
    """Alerts of so many clusters."""
    return [
        firing(f"Alert{number}", cluster=f"cluster-{page:02d}")
        for page in range(pages)
        for number in range(each)
    ]


# --- schedules ----------------------------------------------------------------------------------


def schedules(*rotations: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """One schedule, `primary`, of Shanghai."""
    zone = {"time_zone": "Asia/Shanghai"}
    return {"primary": zone | {"rotations": list(rotations)} | more}


def turns(*people: str, start: str = "2026-01-01T00:00", **more: Any) -> dict[str, Any]:
    """A rotation of one-day turns; of a single person it needs none."""
    every = {"every": "1d"} if len(people) > 1 else {}
    return {"people": list(people), "start": start} | every | more


def hours(start: str, end: str) -> list[dict[str, str]]:
    """A part of each day."""
    return [{"start_time": start, "end_time": end}]


def overrides(schedule: str, person: str, until: str) -> Act:
    """Somebody is put on call from now on, by the API."""

    async def act(world: World) -> None:
        body = {"schedule": schedule, "person": person, "until": world.instant(until).isoformat()}
        answer = await world.client.post("/api/v1/overrides", json=body, headers=as_operator())
        assert answer.status_code == 200, answer.text

    return act


async def removes_the_override(world: World) -> None:
    """The only override is taken back, by the API."""
    (found,) = (await world.api("/overrides"))["overrides"]
    answer = await world.client.delete(f"/api/v1/overrides/{found['id']}", headers=as_operator())
    assert answer.status_code == 200, answer.text


# --- receipts -----------------------------------------------------------------------------------


def reports(
    person: str, result: Result, *, without: str = "", in_array: bool = False, **changes: Any
) -> Act:
    """A receipt of the person's last call is pushed by hand.

    `without`: a field that is left out; `in_array`: among things that are no receipts.
    """

    async def act(world: World) -> None:
        last = [call for call in world.vendor.calls if call.number == PEOPLE[person]][-1]
        said: dict[str, Any] = {"ReceiptResult": RECEIPT_RESULT[result]}
        if result is not Result.ANSWERED:
            said |= {"Duration": 0, "AnswerTime": 0}
        body: dict[str, Any] = receipt(last) | said | changes
        body.pop(without, None)
        await _push(world, [None, {}, body] if in_array else body)

    return act


def answered(person: str, **how: Any) -> Act:
    """A receipt says that the person's last call was answered."""
    return reports(person, Result.ANSWERED, **how)


def unanswered(person: str, **how: Any) -> Act:
    """A receipt says that it was not."""
    return reports(person, Result.UNANSWERED, **how)


async def reports_of_others(world: World) -> None:
    """A receipt is pushed of a call that is not ours."""
    await _push(world, {"UserId": "0" * 32, "SessionNo": "nobody-s", "ReceiptResult": 1})


async def _push(world: World, body: Any) -> None:
    async with httpx.AsyncClient(transport=world.wire, base_url=OWN_URL) as vendor:
        answer = await vendor.post(_RECEIPTS_PATH, json=body)
    assert answer.status_code == 200, answer.text


# --- the vendor's network -----------------------------------------------------------------------


async def vendor_goes_down(world: World) -> None:
    """Nobody listens at the vendor's address."""
    world.vendor_is_up = False


async def vendor_comes_back(world: World) -> None:
    """Somebody does again."""
    world.vendor_is_up = True


# --- fallback webhooks --------------------------------------------------------------------------


def chat_answers(*statuses: int) -> Act:
    """What the chat answers next, each once; then 200 as ever."""

    async def act(world: World) -> None:
        world.fallbacks.answers += statuses

    return act


async def opens_the_link(world: World) -> None:
    """A chat fetches the link of the last message to preview it: that takes nothing."""
    await _follow(world, "GET")


async def takes_it_by_link(world: World) -> None:
    """Somebody presses the button behind the link of the last message."""
    await _follow(world, "POST")


async def _follow(world: World, method: str) -> None:
    _, body = world.fallbacks.heard[-1]
    async with httpx.AsyncClient(transport=world.wire) as browser:
        answer = await browser.request(method, body["uvmsAdapter"]["acknowledgeUrl"])
    assert answer.status_code == 200, answer.text


def chat_reads(*tried: str) -> Act:
    """The last message says that this was tried: "alice: not answered"."""

    async def act(world: World) -> None:
        _, body = world.fallbacks.heard[-1]
        found = [f"{one['person']}: {one['cameOfIt']}" for one in body["uvmsAdapter"]["tried"]]
        assert found == list(tried), f"the chat reads {found}"

    return act


# --- looks in between ---------------------------------------------------------------------------


def finds_taken_by(*names: str) -> Act:
    """The API shows who has the pages that are taken."""

    async def act(world: World) -> None:
        found = (await world.api("/pages?limit=500"))["pages"]
        takers = sorted(page["acknowledged_by"] for page in found if page["acknowledged_by"])
        assert takers == list(names), f"taken by {takers}"

    return act


def finds(*lines: str) -> Act:
    """The API shows just these calls, oldest first: "03:01:00 bob shadowed (escalation)".

    The time is that of the last attempt; `never` for one that has none.
    """

    async def act(world: World) -> None:
        found = [_line(world, call) for call in await world.calls()]
        assert sorted(found) == sorted(lines), f"calls: {found}"

    return act


def _line(world: World, call: Mapping[str, Any]) -> str:
    at = call["dialled_at"]
    when = "never" if at is None else world.shown(datetime.fromisoformat(at))
    said = call["result"] if call["state"] == "accepted" else call["state"]
    line = f"{when} {call['person']} {said}"
    return line if call["reason"] == "first" else f"{line} ({call['reason'].replace('_', ' ')})"


def alerts_named(*counts: int) -> Act:
    """So many alerts each call has named so far, in order."""

    async def act(world: World) -> None:
        found = [int(call.params[2]) for call in world.vendor.calls]
        assert found == list(counts), f"alerts named: {found}"

    return act


def spoken(*templates: str) -> Act:
    """The ids of the voice templates that were spoken so far, in order."""

    async def act(world: World) -> None:
        found = [call.template for call in world.vendor.calls]
        assert found == list(templates), f"spoken: {found}"

    return act
