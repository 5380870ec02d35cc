"""Webhooks in late, odd and doubled orders, and just which phones ring for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from service_harness import (
    OUTAGE,
    RECOVERED,
    World,
    ago,
    as_operator,
    firing,
    receiver,
    resolved,
    routes,
    service_of,
    story,
    until,
    world_without_service,
)

from adapter.clock import utc_now
from adapter.simulator.faults import Fault, Kind

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

TIME_TO_POST = "2500ms"  # one webhook after another, on a busy machine too

BODIES = Path(__file__).parent / "data" / "payloads"


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


def body(name: str) -> Any:
    return json.loads((BODIES / f"{name}.json").read_text(encoding="utf-8"))


async def passed(instant: Callable[[], float], seconds: float) -> None:
    """Wait until so many seconds have passed on a clock."""
    await until(lambda: instant() >= seconds, f"{seconds} s passed")


def stopwatch() -> Callable[[], float]:
    began = utc_now()
    return lambda: (utc_now() - began).total_seconds()


async def history(world: World) -> list[tuple[str, str, str]]:
    """Person, reason and state of every call, oldest first."""
    return [(call["person"], call["reason"], call["state"]) for call in await world.calls()]


def with_route(*receivers: dict[str, Any], **route: Any) -> dict[str, Any]:
    return routes(*receivers or (receiver("phone", "alice"),), route=route)


# --- the plain story ---------------------------------------------------------------------------


async def test_fire_repeat_resolve_is_one_call(tmp_path: Path) -> None:
    async with story(tmp_path, routes(receiver("phone", "alice", "bob"))) as world:
        first = (await world.post(firing())).json()
        await world.quiet()
        again = (await world.post(firing())).json()
        await world.post(resolved())
        await world.quiet()
        assert sorted(world.rang) == ["alice", "bob"]
        assert (first["reasons"], again["reasons"]) == ({"first": 1}, {"duplicate": 1})
        assert [page["state"] for page in (await world.api("/pages"))["pages"]] == ["closed"]
        assert world.said == ["生产环境告警，DiskFull，共1条，请及时处理。"] * 2
        assert {one.template for one in world.sent} == {OUTAGE}


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    async with world_without_service(tmp_path) as world:
        async with service_of(world):
            await world.post(firing())
            await world.quiet()
        async with service_of(world):
            answer = (await world.post(firing())).json()
            await world.quiet()
            assert (world.rang, answer["reasons"]) == (["alice"], {"duplicate": 1})


# --- late news ---------------------------------------------------------------------------------


async def test_firing_that_arrives_after_its_resolved_rings_nobody_again(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        since = ago(60)
        await world.post(firing(since=since))
        await world.quiet()
        await world.post(resolved(since=since))
        late = (await world.post(firing(since=since))).json()
        await world.quiet()
        assert (world.rang, late["reasons"]) == (["alice"], {"stale": 1})


async def test_firing_that_arrives_after_a_resolved_nobody_expected(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        since = ago(60)
        unknown = (await world.post(resolved(since=since))).json()
        late = (await world.post(firing(since=since))).json()
        await world.quiet()
        assert (world.rang, late["reasons"]) == ([], {"stale": 1})
        assert unknown["not_called"][0]["detail"] == "was not known to fire"


async def test_late_resolved_of_an_older_episode_closes_nothing(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        await world.post(firing(since=ago(5)))
        late = (await world.post(resolved(since=ago(300), at=ago(60)))).json()
        await world.quiet()
        assert (world.rang, late["reasons"]) == (["alice"], {"stale": 1})
        assert (await world.api("/pages"))["pages"][0]["state"] == "open"


async def test_resolved_that_is_never_sent_does_not_ring_for_ever(tmp_path: Path) -> None:
    """A repeat is driven by a webhook that says "still firing", never by time alone."""
    tree = with_route(group_interval="10ms", repeat_interval=TIME_TO_POST)
    async with story(tmp_path, tree) as world:
        await world.post(firing())
        await world.quiet()
        clock = stopwatch()
        early = (await world.post(firing())).json()
        await passed(clock, 2.6)  # longer than repeat_interval, and silence all the while
        await world.quiet()
        assert (world.rang, early["reasons"]) == (["alice"], {"duplicate": 1})
        still = (await world.post(firing())).json()
        await world.quiet()
        assert (world.rang, still["reasons"]) == (["alice"] * 2, {"repeat": 1})
        assert await history(world) == [
            ("alice", "first", "accepted"),
            ("alice", "repeat", "accepted"),
        ]


async def test_a_repeat_after_somebody_took_the_page_rings_nobody(tmp_path: Path) -> None:
    tree = with_route(group_interval="10ms", repeat_interval="20ms")
    async with story(tmp_path, tree) as world:
        page = (await world.post(firing())).json()["pages"][0]["id"]
        await world.quiet()
        await world.client.post(
            f"/api/v1/pages/{page}/acknowledge",
            headers=as_operator(),
        )
        await passed(stopwatch(), 0.03)
        answer = (await world.post(firing())).json()
        await world.quiet()
        assert (world.rang, answer["reasons"]) == (["alice"], {"acknowledged": 1})


# --- truncated bodies --------------------------------------------------------------------------


async def test_resolved_with_truncated_alerts_closes_nothing(tmp_path: Path) -> None:
    """max_alerts cut the alerts off that still fire; the status is made of those that were left."""
    tree = routes(
        receiver("phone", "alice", send_resolved=True, resolved_template="recovered"),
        route={"group_interval": "10ms"},
    )
    async with story(tmp_path, tree) as world:
        await world.post(firing("Seen"), truncated=1)
        await world.quiet()
        cut = await world.post(resolved("Seen"), truncated=1)
        await world.quiet()
        assert world.rang == ["alice"], "no call says that it is over"
        assert cut.json()["reasons"] == {"resolved": 1}
        assert (await world.api("/pages"))["pages"][0]["state"] == "open"

        await world.post(resolved("Seen"), resolved("Hidden"))
        await world.quiet()
        assert [one.template for one in world.sent] == [OUTAGE, RECOVERED]
        assert (await world.api("/pages"))["pages"][0]["state"] == "closed"


async def test_an_alert_without_a_status_of_its_own_in_a_truncated_resolved_body(
    tmp_path: Path,
) -> None:
    async with story(tmp_path) as world:
        alert = {name: value for name, value in firing().items() if name not in ("status",)}
        await world.post(body={"status": "resolved", "truncatedAlerts": 3, "alerts": [alert]})
        await world.quiet()
        assert world.rang == ["alice"]


# --- peers and replicas ------------------------------------------------------------------------


@pytest.mark.parametrize("peers", [2, 20])
async def test_the_same_body_from_many_peers_at_the_same_instant(
    tmp_path: Path, peers: int
) -> None:
    async with story(tmp_path, routes(receiver("phone", "alice", "bob"))) as world:
        alerts = [firing(instance=f"db-{number}") for number in range(3)]
        answers = await asyncio.gather(*(world.post(*alerts) for _ in range(peers)))
        await world.quiet()
        assert sorted(world.rang) == ["alice", "bob"]
        assert sum(answer.json()["calls_total"] for answer in answers) == 2
        assert await world.metric("alerts_received_total", reason="first") == 3
        assert await world.metric("alerts_received_total", reason="duplicate") == 3 * (peers - 1)


async def test_peers_that_fire_and_resolve_at_the_same_instant(tmp_path: Path) -> None:
    """Whichever comes first: at most one call, and the alert is known as over at the end."""
    tree = routes(receiver("phone", "alice", send_resolved=False))
    async with story(tmp_path, tree) as world:
        since, over = ago(60), resolved(since=ago(60))
        await asyncio.gather(
            *(world.post(alert) for alert in (firing(since=since), over, over, over))
        )
        await world.quiet()
        assert world.rang in ([], ["alice"])
        late = (await world.post(firing(since=since))).json()
        assert late["reasons"] == {"stale": 1}


async def test_starts_at_that_moves_by_seconds_between_two_replicas(tmp_path: Path) -> None:
    """Each Prometheus of a pair says its own time; the alert is one, and its end is one."""
    async with story(tmp_path) as world:
        one, other = ago(65), ago(60)
        for since in (one, other, one, other):
            await world.post(firing(since=since))
        await world.quiet()
        assert world.rang == ["alice"]
        await world.post(resolved(since=other, at=ago(2)))
        for since in (one, other):
            late = (await world.post(firing(since=since))).json()
            assert late["reasons"] == {"stale": 1}
        await world.quiet()
        assert world.rang == ["alice"]


# --- flapping ----------------------------------------------------------------------------------


async def flap(world: World, times: int) -> None:
    for _ in range(times):
        await world.post(resolved(since=ago(1)))
        await world.post(firing(since=ago()))


async def test_a_flapping_alert_rings_once_per_group_interval(tmp_path: Path) -> None:
    async with story(tmp_path, with_route(group_interval="1m")) as world:
        await world.post(firing(since=ago()))
        await world.quiet()
        await flap(world, times=4)
        await world.quiet()
        assert world.rang == ["alice"]
        first, *followed = await world.calls()
        assert [call["state"] for call in followed] == ["cancelled"] * 3 + ["waiting"]
        assert {call["reason"] for call in followed} == {"new_alerts"}
        dialled, due = (
            datetime.fromisoformat(time) for time in (first["dialled_at"], followed[-1]["due_at"])
        )
        assert (due - dialled).total_seconds() == pytest.approx(60, abs=0.01)


async def test_a_flapping_alert_that_ends_well_rings_no_second_time(tmp_path: Path) -> None:
    async with story(tmp_path, with_route(group_interval="1m")) as world:
        await world.post(firing(since=ago()))
        await world.quiet()
        await flap(world, times=3)
        await world.post(resolved(since=ago(1)))
        await world.quiet()
        assert (world.rang, await world.states()) == (["alice"], {"accepted": 1, "cancelled": 3})


# --- new alerts --------------------------------------------------------------------------------


async def test_an_alert_that_joins_while_the_call_waits_is_in_it(tmp_path: Path) -> None:
    async with story(tmp_path, with_route(group_wait=TIME_TO_POST)) as world:
        first = await world.post(firing("DiskFull", cluster="sh"))
        joined = await world.post(firing("CpuHigh", cluster="sh"))
        await world.until_rang(1)
        await world.quiet()
        assert world.said == ["sh告警，DiskFull，共2条，请及时处理。"]
        assert (first.json()["calls_total"], joined.json()["calls_total"]) == (1, 0)
        assert joined.json()["reasons"] == {"new_alerts": 1}


async def test_an_alert_that_joins_after_the_call_gets_a_follow_up(tmp_path: Path) -> None:
    async with story(tmp_path, with_route(group_interval=TIME_TO_POST)) as world:
        await world.post(firing("DiskFull"))
        await world.quiet()
        await world.post(firing("DiskFull"), firing("CpuHigh"))
        await world.post(firing("MemoryLow"))
        assert world.rang == ["alice"]
        await world.until_rang(2)
        await world.quiet()
        assert world.said[1] == "生产环境告警，CpuHigh，共2条，请及时处理。"
        assert [reason for _, reason, _ in await history(world)] == ["first", "new_alerts"]


async def test_all_alerts_over_before_the_call_was_made(tmp_path: Path) -> None:
    tree = routes(
        receiver("phone", "alice", send_resolved=True, resolved_template="recovered"),
        route={"group_wait": "1h"},
    )
    async with story(tmp_path, tree) as world:
        await world.post(firing(since=ago(5)))
        await world.post(resolved(since=ago(5)))
        await world.quiet()
        assert (world.rang, await world.states()) == ([], {"cancelled": 1})


async def test_one_of_two_alerts_over_before_the_call_was_made(tmp_path: Path) -> None:
    async with story(tmp_path, with_route(group_wait=TIME_TO_POST)) as world:
        await world.post(firing("Over", since=ago(5)), firing("Stays"))
        await world.post(resolved("Over", since=ago(5)))
        await world.until_rang(1)
        await world.quiet()
        assert world.said == ["生产环境告警，Stays，共1条，请及时处理。"]


# --- resolved calls ----------------------------------------------------------------------------


async def test_send_resolved_calls_back_with_the_recovered_template(tmp_path: Path) -> None:
    tree = routes(
        receiver("phone", "alice", "bob", send_resolved=True, resolved_template="recovered")
    )
    async with story(tmp_path, tree) as world:
        await world.post(firing())
        await world.quiet()
        await world.post(resolved())
        await world.post(resolved())  # the peer's
        await world.quiet()
        assert sorted(world.rang) == ["alice", "alice", "bob", "bob"]
        assert world.said[2:] == ["DiskFull告警已恢复，谢谢。"] * 2
        assert [reason for _, reason, _ in await history(world)] == ["first"] * 2 + ["resolved"] * 2


async def test_without_send_resolved_nobody_is_called_back(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        await world.post(firing())
        await world.quiet()
        await world.post(resolved())
        await world.quiet()
        assert world.rang == ["alice"]


# --- routes ------------------------------------------------------------------------------------

ALWAYS = [{"name": "always", "time_intervals": [{}]}]


async def test_a_muted_alert_rings_nobody_until_it_is_muted_no_more(tmp_path: Path) -> None:
    child = {"matchers": ['team="db"'], "mute_time_intervals": ["always"]}
    muted = routes(time_intervals=ALWAYS, route={"routes": [child]})
    async with story(tmp_path, muted) as world:
        answer = (await world.post(firing(team="db"))).json()
        await world.quiet()
        assert (world.rang, answer["reasons"]) == ([], {"muted": 1})
        assert answer["not_called"][0]["detail"] == "by time interval always"
        world.write_routes(routes())
        assert (await world.reload()).status_code == 200
        await world.post(firing(team="db"))
        await world.quiet()
        assert world.rang == ["alice"]


async def test_a_receiver_without_people_calls_no_one_and_says_so(tmp_path: Path) -> None:
    tree = routes({"name": "nobody"}, receiver("phone", "alice"))
    async with story(tmp_path, tree) as world:
        answer = (await world.post(firing())).json()
        await world.quiet()
        assert (world.rang, answer["reasons"]) == ([], {"no_receiver": 1})


async def test_two_receivers_of_one_alert_through_continue(tmp_path: Path) -> None:
    tree = routes(
        receiver("everybody", "carol"),
        receiver("phone", "alice"),
        receiver("boss", "bob"),
        route={
            "routes": [
                {"receiver": "phone", "matchers": ['severity="critical"'], "continue": True},
                {"receiver": "boss", "matchers": ['severity=~"critical|page"']},
            ]
        },
    )
    async with story(tmp_path, tree) as world:
        answer = (await world.post(firing(severity="critical"))).json()
        await world.post(firing(severity="critical"))
        await world.quiet()
        assert sorted(world.rang) == ["alice", "bob"]
        assert [page["receiver"] for page in answer["pages"]] == ["phone", "boss"]


async def test_each_alert_is_routed_by_its_own_labels(tmp_path: Path) -> None:
    tree = routes(
        receiver("phone", "alice"),
        receiver("dba", "carol"),
        route={"routes": [{"receiver": "dba", "matchers": ['team="db"']}]},
    )
    async with story(tmp_path, tree) as world:
        await world.post(firing(team="db"), firing(team="web"), commonLabels={"team": "db"})
        await world.quiet()
        assert sorted(world.rang) == ["alice", "carol"]


async def test_group_by_makes_a_page_and_a_call_of_each_group(tmp_path: Path) -> None:
    async with story(tmp_path, with_route(group_by=["cluster"])) as world:
        await world.post(
            firing(cluster="sh", instance="a"),
            firing(cluster="sh", instance="b"),
            firing(cluster="bj"),
        )
        await world.quiet()
        assert sorted(words or "" for words in world.said) == [
            "bj告警，DiskFull，共1条，请及时处理。",
            "sh告警，DiskFull，共2条，请及时处理。",
        ]


# --- Grafana -----------------------------------------------------------------------------------


async def test_grafanas_test_button_rings(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        await world.post(path="/v1/grafana", body=body("grafana_test_button"))
        await world.quiet()
        assert world.said == ["生产环境告警，Notification test，共1条，请及时处理。"]


async def test_grafanas_no_data_rings(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        await world.post(path="/v1/grafana", body=body("grafana_no_data"))
        await world.quiet()
        assert world.said == ["生产环境告警，DatasourceNoData，共1条，请及时处理。"]


async def test_a_legacy_grafana_fires_and_recovers_and_fires_again(tmp_path: Path) -> None:
    tree = routes(
        receiver("phone", "alice", send_resolved=True, resolved_template="recovered"),
        route={"group_interval": "10ms"},
    )
    async with story(tmp_path, tree) as world:
        for name in ("grafana_legacy_alerting", "grafana_legacy_alerting", "grafana_legacy_ok"):
            await world.post(path="/v1/grafana", body=body(name))
            await world.quiet()
        assert [one.template for one in world.sent] == [OUTAGE, RECOVERED]
        await passed(stopwatch(), 0.02)
        await world.post(path="/v1/grafana", body=body("grafana_legacy_alerting"))
        await world.quiet()
        assert [one.template for one in world.sent] == [OUTAGE, RECOVERED, OUTAGE]
        assert world.said[0] == "shanghai-1告警，CPU above 百分之90，共1条，请及时处理。"


async def test_an_alertmanager_and_a_grafana_that_send_the_same_alert(tmp_path: Path) -> None:
    """Both make the same fingerprint of the same labels, so it is the same alert."""
    async with story(tmp_path) as world:
        await world.post(firing(cluster="sh"))
        await world.post(firing(cluster="sh"), path="/v1/grafana")
        await world.quiet()
        assert world.rang == ["alice"]


# --- stopping ----------------------------------------------------------------------------------


async def test_a_call_that_waits_is_made_by_the_next_process(tmp_path: Path) -> None:
    async with world_without_service(tmp_path, with_route(group_wait="1s")) as world:
        async with service_of(world):
            await world.post(firing())
            assert world.rang == []
        async with service_of(world):
            await world.until_rang(1)
            await world.quiet()
            assert await history(world) == [("alice", "first", "accepted")]


async def test_stopping_lets_a_call_under_way_finish(tmp_path: Path) -> None:
    async with world_without_service(tmp_path) as world:
        async with service_of(world):
            world.arm(Fault(kind=Kind.STALL, seconds=0.4, place=True))
            await world.post(firing())
            await until(lambda: len(world.sent) == 1, "the request is out")
        async with service_of(world):
            assert await history(world) == [("alice", "first", "accepted")]
            assert (world.rang, world.looked_up) == (["alice"], [])
