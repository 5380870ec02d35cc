"""Storms: thousands of alerts ring a phone a handful of times, at once, and hold up nobody else."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from databases import ON_POSTGRESQL, ON_SQLITE
from service_harness import (
    PEOPLE,
    World,
    firing,
    milliseconds,
    receiver,
    routes,
    seconds_now,
    story,
    until,
    webhook,
)

from adapter.clock import utc_now
from adapter.simulator.faults import Fault, Kind

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

STORM = 10_000  # alerts
# The first call is meant to leave within a second; a busy test machine gets more.
FIRST_CALL_WITHIN = 15.0


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


def storm(count: int, **labels: str) -> list[Any]:
    return [
        firing(f"Alert{number % 50}", instance=f"host-{number}:9100", cluster="sh", **labels)
        for number in range(count)
    ]


def limits(**per_person: Any) -> dict[str, Any]:
    return {"per_person": {"min_interval": "0s", "per_hour": 1000, "per_day": 1000} | per_person}


@pytest.mark.parametrize("group_by", [[], ["..."]], ids=["one page", "a page of each alert"])
@ON_SQLITE
async def test_a_storm_of_ten_thousand_alerts_in_one_webhook(
    tmp_path: Path, group_by: list[str]
) -> None:
    """With `...` there are 30,000 calls owed; each phone says all of its own in one."""
    await all_at_once(tmp_path, group_by, STORM)


@ON_POSTGRESQL  # where no statement may take longer than 5 s, on a busy machine too
async def test_a_storm_of_a_thousand_pages_in_one_webhook(tmp_path: Path) -> None:
    await all_at_once(tmp_path, ["..."], 1_000)


async def all_at_once(tmp_path: Path, group_by: list[str], count: int) -> None:
    tree = routes(
        receiver("phone", "alice", "bob", "carol"),
        route={"group_by": group_by},
        limits=limits(min_interval="50ms"),
    )
    async with story(tmp_path, tree) as world:
        alerts = storm(count)
        began = seconds_now()
        answer = await world.client.post("/v1/alertmanager", json=webhook(*alerts))
        answered = seconds_now()
        assert answer.status_code == 200
        assert (answer.json()["alerts"], answer.json()["reasons"]) == (count, {"first": count})
        await world.until_rang(1)
        rang = seconds_now()
        shape = f"group_by {group_by}"
        print(
            f"\n{count} alerts, {shape}: answered after {answered - began:.2f} s, first call "
            f"{rang - began:.2f} s after the post, {rang - answered:.2f} s after the answer"
        )
        assert rang - answered < FIRST_CALL_WITHIN
        await until(lambda: set(world.rang) == set(PEOPLE), "everybody is rung")
        await until(lambda: none_open(world), "nothing is open")
        assert max(Counter(world.rang).values()) <= 3
        assert any(words and f"共{count}条" in words for words in world.said)

        again = await world.client.post("/v1/alertmanager", json=webhook(*alerts))
        assert again.json()["reasons"] == {"duplicate": count}
        await until(lambda: none_open(world), "nothing is open")
        assert max(Counter(world.rang).values()) <= 3


async def none_open(world: World) -> bool:
    seen = await world.metrics()
    states = ("waiting", "sending", "unknown")
    return not sum(seen[f"uvms_adapter_calls_open{{state={state}}}"] for state in states)


async def test_a_storm_over_many_webhooks_is_a_handful_of_calls(tmp_path: Path) -> None:
    """Group after group, as Alertmanager posts them: what waits meanwhile joins one call."""
    tree = routes(route={"group_by": ["instance"]}, limits=limits(min_interval="1s"))
    async with story(tmp_path, tree) as world:
        for alert in storm(60):
            await world.post(alert)
        await until(lambda: none_open(world), "nothing is open")
        named = sum(int((words or "").split("共")[1].split("条")[0]) for words in world.said)
        assert named == 60, "every alert is named, once"
        assert len(world.rang) < 20


async def test_somebody_who_was_not_called_yet_goes_before_the_storm_of_another(
    tmp_path: Path,
) -> None:
    """One call at a time, fifty calls for alice in the queue: carol's is the next one."""
    tree = routes(
        receiver("phone", "alice"),
        receiver("dba", "carol"),
        route={
            "group_by": ["instance"],
            "routes": [{"receiver": "dba", "matchers": ['team="db"']}],
        },
        limits=limits(bundle_above=1000) | {"concurrent_calls": 1, "requests_per_second": 20},
    )
    async with story(tmp_path, tree) as world:
        await world.post(*storm(50))
        await world.until_rang(2)
        await world.post(firing(team="db"))
        before = len(world.rang)
        await until(lambda: "carol" in world.rang, "carol is rung", lambda: world.rang)
        assert world.rang.index("carol") <= before + 1
        assert Counter(world.rang)["alice"] < 50


async def test_a_big_storm_does_not_delay_another_persons_first_call(tmp_path: Path) -> None:
    tree = routes(
        receiver("phone", "alice", "bob"),
        receiver("dba", "carol"),
        route={
            "group_by": ["..."],
            "routes": [{"receiver": "dba", "matchers": ['team="db"']}],
        },
        limits=limits(min_interval="10s") | {"concurrent_calls": 2},
    )
    async with story(tmp_path, tree) as world:
        world.arm(Fault(kind=Kind.STALL, seconds=0.2, place=True))
        await world.post(*storm(2_000))
        began = seconds_now()
        await world.post(firing(team="db"))
        await until(lambda: "carol" in world.rang, "carol is rung", lambda: world.rang)
        print(f"\nanother person's first call: {seconds_now() - began:.2f} s after the post")
        assert seconds_now() - began < FIRST_CALL_WITHIN


async def test_limits_delay_and_never_drop(tmp_path: Path) -> None:
    tree = routes(
        route={"group_by": ["instance"]}, limits=limits(min_interval="250ms", bundle_above=10)
    )
    async with story(tmp_path, tree) as world:
        await world.post(*storm(3))
        await world.until_states(accepted=3)
        dialled = sorted(call["dialled_at"] for call in await world.calls())
        pauses = [
            after - before for before, after in pairwise(map(datetime.fromisoformat, dialled))
        ]
        assert len(world.rang) == 3
        assert min(pauses) >= milliseconds(249), "times are shown in whole milliseconds"
        assert await world.metric("calls_limited_total") > 0


async def test_a_call_that_waits_for_a_limit_takes_new_alerts_along(tmp_path: Path) -> None:
    tree = routes(
        route={"group_by": ["cluster"], "group_interval": "10ms"},
        limits=limits(min_interval="3s"),  # both are posted sooner, on a busy machine too
    )
    async with story(tmp_path, tree) as world:
        await world.post(firing(cluster="bj"))
        await world.until_rang(1)
        first = await world.post(firing("DiskFull", cluster="sh"))
        more = await world.post(firing("CpuHigh", cluster="sh"))
        await world.until_states(accepted=2)
        assert (first.json()["calls_total"], more.json()["calls_total"]) == (1, 0)
        assert world.said[1] == "sh告警，DiskFull，共2条，请及时处理。"


async def test_a_call_over_the_hourly_limit_waits_and_says_until_when(tmp_path: Path) -> None:
    tree = routes(route={"group_by": ["instance"]}, limits=limits(per_hour=2, bundle_above=10))
    async with story(tmp_path, tree) as world:
        await world.post(*storm(4))
        await world.until_states(accepted=2, waiting=2)
        await until(lambda: _limited(world), "they wait for their limit")
        assert len(world.rang) == 2
        for call in await world.calls(state="waiting"):
            left = datetime.fromisoformat(call["limited_until"]) - utc_now()
            assert 3500 < left.total_seconds() <= 3600


async def _limited(world: World) -> bool:
    return all(call["limited_until"] for call in await world.calls(state="waiting"))
