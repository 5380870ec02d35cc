"""Another routes.yaml for a running service: taken as a whole, or not at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from service_harness import (
    World,
    firing,
    receiver,
    routes,
    service_of,
    story,
    until,
    world_without_service,
)

from adapter.config.problems import ConfigError

pytestmark = pytest.mark.anyio

TIME_TO_RELOAD = "3s"  # before a call is made, on a busy machine too

GAUGE = "config_last_reload_successful"


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


def calling(person: str, **changes: Any) -> dict[str, Any]:
    return routes(receiver("phone", person), route={"group_by": ["..."]}, **changes)


async def now_called(world: World, alertname: str) -> str:
    """Fire a new alert and return who was called about it."""
    before = len(world.rang)
    await world.post(firing(alertname))
    await world.until_rang(before + 1)
    await world.quiet()
    return world.rang[-1]


async def follows(world: World, config_hash: float) -> bool:
    """Whether another file than that of this hash is in force."""
    return await world.metric("config_hash") != config_hash


# --- ways to say so ----------------------------------------------------------------------------


async def test_post_reload(tmp_path: Path) -> None:
    async with story(tmp_path, calling("alice")) as world:
        assert await now_called(world, "One") == "alice"
        world.write_routes(calling("bob"))
        answer = await world.reload()
        assert (answer.status_code, answer.text) == (200, "")
        assert await now_called(world, "Two") == "bob"


async def test_sighup(tmp_path: Path) -> None:
    async with story(tmp_path, calling("alice")) as world:
        before = await world.metric("config_hash")
        world.write_routes(calling("bob"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: follows(world, before), "the new file is in force")
        assert await now_called(world, "One") == "bob"


async def test_the_file_written_anew(tmp_path: Path) -> None:
    async with story(tmp_path, calling("alice")) as world:
        before = await world.metric("config_hash")
        world.write_routes(calling("bob"))
        await until(lambda: follows(world, before), "the new file is in force")
        assert await now_called(world, "One") == "bob"


async def test_a_kubernetes_config_map_swapped_by_its_symlink(tmp_path: Path) -> None:
    """routes.yaml -> ..data/routes.yaml, ..data -> ..2026_11_23: only the last link is swapped."""
    mount = tmp_path / "config"
    async with world_without_service(tmp_path) as world:
        for name, person in (("..2026_11_23", "alice"), ("..2026_11_24", "bob")):
            (mount / name).mkdir(parents=True)
            world.write_routes(calling(person), mount / name / "routes.yaml")
        (mount / "..data").symlink_to("..2026_11_23")
        world.file = mount / "routes.yaml"
        world.file.symlink_to("..data/routes.yaml")
        async with service_of(world):
            before = await world.metric("config_hash")
            assert await now_called(world, "One") == "alice"
            (mount / "..data_tmp").symlink_to("..2026_11_24")
            (mount / "..data_tmp").rename(mount / "..data")
            await until(lambda: follows(world, before), "the new file is in force")
            assert await now_called(world, "Two") == "bob"


# --- a bad file --------------------------------------------------------------------------------


async def test_a_bad_file_keeps_the_old_policy_until_it_is_mended(tmp_path: Path) -> None:
    async with story(tmp_path, calling("alice")) as world:
        assert await world.metric(GAUGE) == 1
        good = world.file.read_text()
        succeeded = await world.metric("config_last_reload_success_timestamp_seconds")
        world.file.write_text(good.replace("receiver: phone", "receiver: fone"))
        answer = await world.reload()
        assert answer.status_code == 500
        assert answer.text.startswith("failed to reload config: ")
        assert f"{world.file}:" in answer.text
        assert 'route.receiver: found "fone", expected the name of a receiver' in answer.text
        assert await world.metric(GAUGE) == 0
        assert await world.metric("config_last_reload_success_timestamp_seconds") == succeeded
        assert await now_called(world, "One") == "alice"
        assert (await world.client.get("/-/ready")).status_code == 200

        world.file.write_text(good.replace("- alice", "- carol"))
        assert (await world.reload()).status_code == 200
        assert await world.metric(GAUGE) == 1
        assert await now_called(world, "Two") == "carol"


async def test_a_bad_file_noticed_by_itself_shows_in_the_gauge(tmp_path: Path) -> None:
    async with story(tmp_path, calling("alice")) as world:
        world.file.write_text("route: [")

        async def failed() -> bool:
            return await world.metric(GAUGE) == 0

        await until(failed, "the gauge is 0")
        assert await now_called(world, "One") == "alice"


async def test_a_file_that_is_gone_keeps_the_old_policy(tmp_path: Path) -> None:
    async with story(tmp_path, calling("alice")) as world:
        world.file.unlink()
        answer = await world.reload()
        assert answer.status_code == 500
        assert "No such file or directory" in answer.text
        assert await now_called(world, "One") == "alice"


async def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    async with story(tmp_path, calling("alice")) as world:
        broken = calling("nobody-we-know", limits={"per_person": {"per_hour": 0}})
        world.write_routes(broken)
        answer = await world.reload()
        assert answer.status_code == 500
        assert "nobody-we-know" in answer.text
        assert "limits.per_person.per_hour" in answer.text


async def test_a_bad_file_at_the_start_is_no_start(tmp_path: Path) -> None:
    async with world_without_service(tmp_path) as world:
        world.file.write_text("route: [")
        with pytest.raises(ConfigError):
            async with service_of(world):
                pytest.fail("it should not have started")


# --- calls that wait meanwhile -----------------------------------------------------------------


@pytest.mark.usefixtures("database")
async def test_a_call_that_waits_while_its_receiver_vanishes_ends_loudly(tmp_path: Path) -> None:
    waits = routes(receiver("phone", "alice"), route={"group_wait": TIME_TO_RELOAD})
    async with story(tmp_path, waits) as world:
        await world.post(firing())
        world.write_routes(routes(receiver("other", "bob")))
        assert (await world.reload()).status_code == 200
        await world.until_states(refused=1)
        [call] = await world.calls()
        assert call["note"] == "receiver 'phone' has no voice template in routes.yaml any more"
        assert await world.metric("calls_total", outcome="refused") == 1
        assert world.rang == []
        # The alert still fires, and belongs to the other receiver now: its people are called.
        await world.post(firing())
        await world.until_states(refused=1, accepted=1)
        assert world.rang == ["bob"]


@pytest.mark.usefixtures("database")
async def test_a_call_that_waits_says_the_words_of_the_new_file(tmp_path: Path) -> None:
    waits = routes(receiver("phone", "alice"), route={"group_wait": TIME_TO_RELOAD})
    async with story(tmp_path, waits) as world:
        await world.post(firing(cluster="sh"))
        waits["voice_templates"]["outage"]["params"][1] = "磁盘"
        world.write_routes(waits)
        assert (await world.reload()).status_code == 200
        await world.until_rang(1)
        await world.quiet()
        assert world.said == ["sh告警，磁盘，共1条，请及时处理。"]


@pytest.mark.usefixtures("database")
async def test_a_phone_that_is_mended_is_the_one_to_ring(tmp_path: Path) -> None:
    """People are called at the number they had when the call was decided; the next one has it."""
    async with story(tmp_path, calling("alice")) as world:
        assert await now_called(world, "One") == "alice"
        moved = calling("alice")
        moved["people"] = {"alice": {"phone": "+8613900000001"}}
        world.write_routes(moved)
        assert (await world.reload()).status_code == 200
        await now_called(world, "Two")
        assert [one.number for one in world.sent] == ["+8613512345678", "+8613900000001"]
