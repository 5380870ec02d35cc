"""The demo's cast: the real service as a process of its own, and the simulated vendor beside us."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import resources
from pathlib import Path

import httpx

from adapter.clock import utc_now
from adapter.config.load import load
from adapter.config.policy import Policy
from adapter.errors import AdapterError
from adapter.model import Secret
from adapter.simulator.app import create_app
from adapter.simulator.server import listen, running
from adapter.simulator.vendor import Account, Vendor

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_LINES_KEPT = 20  # of the service's log, shown where it fails


class DemoFailed(AdapterError):
    """Something else happened than had to."""


class Cast:
    """Everybody who takes part."""

    def __init__(self, policy: Policy, vendor: Vendor, client: httpx.AsyncClient) -> None:
        self.policy, self.vendor, self.client = policy, vendor, client


@asynccontextmanager
async def on_stage(folder: Path) -> AsyncIterator[Cast]:
    """Start simulator and service on free ports and a store in the folder; stop them afterwards."""
    vendor_key, private_key, token = "demo", secrets.token_hex(20), secrets.token_urlsafe(16)
    vendor = Vendor(
        Account(keys={vendor_key: Secret(private_key)}),
        clock=utc_now,
        new_id=lambda: str(uuid.uuid4()),
    )
    async with running(create_app(vendor), listen()) as endpoint:
        routes = folder / "routes.yaml"
        routes.write_text(_routes(endpoint), encoding="utf-8")
        policy = load(routes.read_bytes(), str(routes))
        vendor.templates.update({each.id: each.text for each in policy.voice_templates.values()})
        environ = {
            "UVMS_PUBLIC_KEY": vendor_key,
            "UVMS_PRIVATE_KEY": private_key,
            "UVMS_WEBHOOK_TOKEN": token,
            "UVMS_API_TOKEN": token,
            "UVMS_DATABASE_URL": f"sqlite:///{folder}/uvms-adapter.db",
            "UVMS_LOG_FORMAT": "json",
            "NO_PROXY": "127.0.0.1",
        }
        async with _service(routes, environ) as url, _client(url, token) as client:
            yield Cast(policy, vendor, client)


def _routes(endpoint: str) -> str:
    text = resources.files("adapter.cli").joinpath("demo_routes.yaml").read_text(encoding="utf-8")
    return text.replace("@ENDPOINT@", endpoint)


def _client(url: str, token: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False)


@asynccontextmanager
async def _service(routes: Path, environ: dict[str, str]) -> AsyncIterator[str]:
    """Run `uvms-adapter serve`, yield its URL once it takes webhooks, stop it by SIGTERM."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("UVMS_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "adapter", "serve"),
        *("--config", str(routes), "--listen", "127.0.0.1:0"),
        env=ours | environ,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    log: deque[str] = deque(maxlen=_LINES_KEPT)
    serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    following = asyncio.create_task(_follow(process, log, serving), name="log of the service")
    try:
        async with asyncio.timeout(_START_SECONDS):
            url = await serving
        yield url
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_STOP_SECONDS):
            code = await process.wait()
        if code:
            raise DemoFailed(f"the service ended with {code}:\n" + "\n".join(log))
    except TimeoutError:
        raise DemoFailed("the service took too long:\n" + "\n".join(log)) from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await following


async def _follow(
    process: asyncio.subprocess.Process, log: deque[str], serving: asyncio.Future[str]
) -> None:
    """Keep the last lines of the log, and tell the URL that it names."""
    assert process.stderr is not None, "it is a pipe"  # noqa: S101
    async for line in process.stderr:
        log.append(line.decode(errors="replace").rstrip())
        with suppress(ValueError):
            entry = json.loads(line)
            if entry.get("event") == "serving" and not serving.done():
                serving.set_result(entry["url"])
    if not serving.done():
        serving.set_exception(DemoFailed("the service did not start:\n" + "\n".join(log)))
