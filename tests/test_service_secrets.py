"""No secret, signature or full phone number leaves the service but in the request to the vendor.

One long story with every kind of trouble, its log written at the most talkative level: then all
that anybody could have seen is searched. Bodies that were refused are kept as their senders made
them, and are theirs: only numbers are masked where they are shown.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import click.testing
import httpx
import pytest
import structlog
from msgspec.structs import replace
from service_harness import (
    API_TOKEN,
    PEOPLE,
    PRIVATE_KEY,
    WEBHOOK_TOKEN,
    World,
    as_operator,
    environment,
    firing,
    milliseconds,
    receiver,
    resolved,
    routes,
    service_of,
    short,
    until,
    world_without_service,
)

from adapter import logs
from adapter.cli.main import cli
from adapter.model import mask_number
from adapter.simulator.faults import LOOK_UP, Fault, Kind
from adapter.simulator.vendor import Answer, Received

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

STRANGER = "+8613900000002"  # no person: a bare number in a receiver
NUMBERS = [*PEOPLE.values(), STRANGER]
SECRETS = {
    "UVMS_SECURITY_TOKEN": "security-token-of-this-story",
    "UVMS_WEBHOOK_TOKEN_PREVIOUS": "former-webhook-token",
    "UVMS_WEBHOOK_USERNAME": "alertmanager",
    "UVMS_WEBHOOK_PASSWORD": "webhook-password-of-this-story",
    "UVMS_WEBHOOK_HMAC_SECRET": "hmac-secret-of-this-story",
    "UVMS_API_TOKEN_PREVIOUS": "former-api-token",
}
HIDDEN = [PRIVATE_KEY, WEBHOOK_TOKEN, API_TOKEN, "a-guessed-token", *SECRETS.values()]
HIDDEN.remove("alertmanager")


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as JSON and at the most talkative level; afterwards all is as before."""
    root, stream = logging.getLogger(), io.StringIO()
    level = root.level
    logs.configure(as_json=True, level="debug")
    [handler] = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        structlog.reset_defaults()


class Eavesdropper:
    """Notes every answer to us, and every signature; and lets the vendor tell what it was told."""

    def __init__(self, world: World) -> None:
        self.seen: list[str] = []
        self.signatures: list[str] = []
        self._receive = world.vendor.receive
        world.vendor.receive = self.receive  # type: ignore[method-assign]

    async def answered(self, response: httpx.Response) -> None:
        await response.aread()
        self.seen.append(f"{response.headers}\n{response.text}")

    def receive(self, received: Received) -> Answer:
        answer = self._receive(received)
        signature = received.params.get("Signature", "")
        self.signatures.append(signature)
        told = f"{answer.body['Message']}: {dict(received.params)} {received.params.get('Phone')}"
        return replace(answer, body={**answer.body, "Message": told})


async def test_nothing_tells_a_secret_or_a_full_number(tmp_path: Path, log: io.StringIO) -> None:
    tree = routes(
        receiver("phone", "alice", "bob", "carol", STRANGER, send_resolved=True)
        | {"resolved_template": "recovered"},
        route={"group_by": ["alertname"], "group_interval": "10ms"},
        uvms={"timeouts": {"read": "300ms"}},
    )
    delivery = short(give_up_after=milliseconds(300), reconcile_for=milliseconds(60))
    async with world_without_service(tmp_path, tree) as world:
        ears = Eavesdropper(world)
        async with service_of(world, delivery=delivery, environ=SECRETS):
            world.client.event_hooks["response"].append(ears.answered)
            await calls_in_all_kinds_of_trouble(world)
            await refused_at_the_door(world)
            await bad_files(world)
    # The vendor's own log is not ours; in it stands what a fault was told to say.
    ours = [line for line in log.getvalue().splitlines() if '"simulator: ' not in line]
    commands = told_by_commands(world, environment(tmp_path))
    everything = "\n".join([*ours, *commands, *ears.seen])
    assert_all_of_it_happened(everything, ears)
    for secret in [*HIDDEN, *filter(None, ears.signatures)]:
        assert secret not in everything, around(everything, secret)
    for number in NUMBERS:
        assert mask_number(number) in everything
        for form in (number, number[1:], number[3:]):
            assert form not in everything, around(everything, form)


async def calls_in_all_kinds_of_trouble(world: World) -> None:
    alice, bob, carol = PEOPLE.values()
    world.arm(Fault(kind=Kind.REFUSE, ret_code=171, times=1))
    await world.post(firing("CpuHigh"))
    await world.quiet()
    world.arm(Fault(kind=Kind.THROTTLE, times=1))
    await world.post(firing("MemoryLow"))
    await world.quiet()
    world.arm(
        Fault(kind=Kind.REFUSE, ret_code=230, number=alice, message=f"bad number {alice}"),
        Fault(kind=Kind.CUT, number=bob, times=1),
        Fault(kind=Kind.GARBAGE, number=bob, times=1, body=f"no JSON about {bob}"),
        Fault(kind=Kind.STALL, number=carol, seconds=5, place=True, times=1),
        Fault(kind=Kind.HTTP_STATUS, action=LOOK_UP, body=f"{carol} {bob}", times=1),
        Fault(kind=Kind.REFUSE, ret_code=150, number=STRANGER, message=f"busy: {STRANGER}"),
    )
    await world.post(firing("DiskFull"))
    await world.quiet()
    await world.post(resolved("DiskFull"))
    await world.quiet()
    world.vendor.faults.clear()
    for path in ("/pages", "/calls", "/rejected"):
        await world.api(path)
    for call in await world.calls():
        await world.api(f"/calls/{call['id']}")
        await world.api(f"/pages/{call['page']}")


async def refused_at_the_door(world: World) -> None:
    for path in ("/v1/alertmanager", "/v1/grafana", "/-/reload", "/api/v1/calls"):
        await world.client.post(path, headers={"Authorization": "Bearer a-guessed-token"})
    for body in (f"call {NUMBERS[0]}", json.dumps({"alerts": [{"labels": [NUMBERS[0]]}]})):
        await world.client.post("/v1/alertmanager", content=body)
    for one in (await world.api("/rejected"))["rejected"]:
        await world.api(f"/rejected/{one['id']}")
    await world.client.post(
        "/api/v1/routes/test", json={"labels": {"alertname": "x"}}, headers=as_operator()
    )
    await world.client.get("/metrics")


async def bad_files(world: World) -> None:
    good = world.file.read_text()
    for wrong in (NUMBERS[0] + "9999", NUMBERS[0][1:], f"alice {NUMBERS[0]}"):
        world.file.write_text(good.replace(f"'{NUMBERS[0]}'", f"'{wrong}'"))
        assert (await world.reload()).status_code == 500
        os.kill(os.getpid(), signal.SIGHUP)
    world.file.write_text(good)
    assert (await world.reload()).status_code == 200
    await until(lambda: True, "the signals are through")


def told_by_commands(world: World, environ: dict[str, str]) -> list[str]:
    """Run what an operator would; return what it said."""
    config = f"--config={world.file}"
    commands: list[list[str]] = [
        ["check-config", str(world.file)],
        ["routes", "show", config],
        ["routes", "test", config, "alertname=DiskFull"],
        ["routes", "test", config, "--json", "alertname=DiskFull"],
        ["template", "render", config],
        ["pages", "list"],
        ["calls", "list"],
        ["rejected", "list"],
        ["rejected", "show", "1"],
    ]
    said = [run(command, environ) for command in commands]
    listed = run(["calls", "list", "--json"], environ)
    ids = [call["id"] for call in json.loads(listed)["calls"]]
    explained = [run(["calls", "explain", call], environ) for call in ids]
    return [*said, listed, *explained]


def run(command: list[str], environ: dict[str, str]) -> str:
    result = click.testing.CliRunner().invoke(cli, command, env=environ | SECRETS)
    assert result.exit_code == 0, (command, result.output)
    return result.output


def assert_all_of_it_happened(everything: str, ears: Eavesdropper) -> None:
    """What is searched is worth searching."""
    for trouble in (
        "the vendor refuses the whole account",
        "the vendor throttles the account",
        "a person was not reached",
        "loading configuration file failed",
        "webhook refused",
        "call looked up",
        "RetCode 230",
        "the connection broke after the request began to leave",
        "no complete answer in time",
    ):
        assert trouble in everything, trouble
    assert len(ears.signatures) > 8
    assert PRIVATE_KEY not in ears.signatures


def around(text: str, found: str) -> str:
    """Return what stands around the first place of a text, to see where it came from."""
    at = text.index(found)
    return text[max(0, at - 300) : at + 100]
