"""A store that cannot commit: webhooks get 503, nothing is half-written, and it ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_harness import (
    WEBHOOK_TOKEN,
    World,
    environment,
    firing,
    routes,
    seconds_now,
    story,
    until,
    webhook,
    world_without_service,
)

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


@contextlib.contextmanager
def held_write_lock(directory: Path) -> Iterator[None]:
    """Hold SQLite's one write lock, as a backup tool or a human in its shell would."""
    connection = sqlite3.connect(directory / "adapter.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def assert_not_taken(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["error"].endswith("nothing was accepted, send it again")


async def test_a_database_that_another_process_has_locked(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        with held_write_lock(tmp_path):
            began = seconds_now()
            posts = (world.client.post("/v1/alertmanager", json=webhook(firing())) for _ in "ab")
            answers = await asyncio.gather(*posts, world.client.get("/-/ready"))
            # Before Alertmanager's next peer posts (15 s), whatever the writer was busy with.
            assert 4 < seconds_now() - began < 15
            for answer in answers[:2]:
                assert_not_taken(answer)
            assert answers[2].status_code == 503
            assert answers[2].text.startswith("not ready: ")
            assert (await world.client.get("/-/healthy")).status_code == 200
            assert (await world.calls(), world.rang) == ([], []), "reading goes on"
        answer = await world.post(firing())
        await world.quiet()
        assert (answer.json()["reasons"], world.rang) == ({"first": 1}, ["alice"])
        assert (await world.client.get("/-/ready")).status_code == 200
        refused = await world.metric(
            "notifications_invalid_total", source="alertmanager", reason="store_unavailable"
        )
        assert refused == 2
        assert await world.metric("store_failures_total") > 0


async def test_an_outcome_that_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    """The phone rang while the store was locked: it is not rung again for that."""
    async with story(tmp_path) as world:
        world.vendor.listeners.append(lambda _: lock.enter_context(held_write_lock(tmp_path)))
        with contextlib.ExitStack() as lock:
            await world.post(firing())
            await world.until_rang(1)
            assert await world.states() == {"sending": 1}
        await world.until_states(accepted=1)
        assert (world.rang, len(world.sent)) == (["alice"], 1)


# --- a full disk -------------------------------------------------------------------------------


class Process:
    """The real program in a process of its own, whose files can be kept from growing."""

    def __init__(self, world: World) -> None:
        directory = world.file.parent
        command = [sys.executable, "-m", "adapter", "serve", f"--config={world.file}"]
        self._process = subprocess.Popen(
            [*command, "--listen=127.0.0.1:0", "--stop-within=5s"],
            cwd=PROJECT,
            env={**os.environ, **environment(directory)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )

    async def url(self) -> str:
        """Wait until it serves; from then on drain its log, which is no file that could be full."""
        found = await asyncio.to_thread(self._url)
        self._draining = asyncio.create_task(asyncio.to_thread(self._drain))
        return found

    def _url(self) -> str:
        assert self._process.stderr is not None
        lines = []
        for line in self._process.stderr:
            lines.append(line.decode())
            if found := re.search(r'"url": "(http[^"]+)"', lines[-1]):
                return found[1]
        raise AssertionError("".join(lines))

    def _drain(self) -> None:
        assert self._process.stderr is not None
        for _ in self._process.stderr:
            pass

    def limit_files(self, size: int | None) -> None:
        """Let no file of it grow beyond so many bytes: writing fails as on a full disk."""
        import resource

        pid, kind = self._process.pid, resource.RLIMIT_FSIZE
        _, hard = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (hard if size is None else size, hard))

    async def stop(self) -> None:
        self._process.terminate()
        assert await asyncio.to_thread(self._process.wait, 20) == 0
        await self._draining
        assert self._process.stderr is not None
        self._process.stderr.close()


@pytest.mark.process
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit is Linux's")
async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Full in the middle of a transaction; then with no byte left; then with room again."""
    tree = routes(route={"group_by": ["..."]}, limits={"per_person": {"min_interval": "0s"}})
    storm = webhook(*(firing(f"Alert{number}", instance=str(number)) for number in range(2_000)))
    async with world_without_service(tmp_path, tree) as world:
        service = Process(world)
        world.url = await service.url()
        try:
            async with httpx.AsyncClient(
                base_url=world.url,
                headers={"Authorization": f"Bearer {WEBHOOK_TOKEN}"},
                timeout=20,
                trust_env=False,
                verify=False,
            ) as world.client:
                await world.post(firing())
                await world.quiet()
                largest = max(file.stat().st_size for file in files(tmp_path))
                for room in (64 * 1024, -largest):
                    service.limit_files(largest + room)
                    answer = await world.client.post("/v1/alertmanager", json=storm)
                    assert_not_taken(answer)
                    assert len(await world.calls()) == 1, "nothing of it was written"
                assert (await world.client.get("/-/ready")).status_code == 503
                service.limit_files(None)
                await until(lambda: ready(world), "it is ready again")
                answer = await world.client.post("/v1/alertmanager", json=storm)
                assert answer.json()["reasons"] == {"first": 2_000}
                await until(lambda: named(world) == 2_001, "every alert is named")
                assert await world.metric("store_failures_total") > 0
        finally:
            await service.stop()
        assert integrity(tmp_path) == "ok"


def files(directory: Path) -> list[Path]:
    return list(directory.glob("adapter.db*"))


async def ready(world: World) -> bool:
    return (await world.client.get("/-/ready")).status_code == 200


def named(world: World) -> int:
    """Return of how many alerts people were told."""
    found = [re.search("共([0-9]+)条", words or "") for words in world.said]
    return sum(int(one[1]) for one in found if one)


def integrity(directory: Path) -> Any:
    with contextlib.closing(sqlite3.connect(directory / "adapter.db")) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]
