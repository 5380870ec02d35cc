"""The whole service in this process: real HTTP, a real store, and the simulated vendor beside it.

`story` starts both; the `World` it yields posts webhooks, reads the API and the metrics, and tells
which phones rang. Nothing of the service is replaced; waits of minutes are made short, partly in
routes.yaml and partly, where it has no words for them, as the file is loaded.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from databases import url_in
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from adapter import service
from adapter.clock import utc_now
from adapter.config.environment import settings
from adapter.config.load import load_file
from adapter.config.policy import Policy
from adapter.delivery.policy import DeliveryPolicy
from adapter.model import Secret
from adapter.simulator.app import create_app
from adapter.simulator.faults import LOOK_UP, SEND, Fault
from adapter.simulator.server import running
from adapter.simulator.vendor import Account, Exchange, Vendor

PUBLIC_KEY, PRIVATE_KEY = "public-key-of-this-story", "private-key-of-this-story"
WEBHOOK_TOKEN, API_TOKEN = "webhook-token-of-this-story", "api-token-of-this-story"

PEOPLE = {
    "alice": "+8613512345678",
    "bob": "+8613512345679",
    "carol": "+8613900000001",
}
NAME_OF = {phone: name for name, phone in PEOPLE.items()}

OUTAGE, RECOVERED = "UVVT20221122ABCD", "UVVT20221122EFGH"
TEXTS = {OUTAGE: "{1}告警，{2}，共{3}条，请及时处理。", RECOVERED: "{1}告警已恢复，谢谢。"}

PATIENCE = 20.0  # seconds after which what has not happened will not: for a busy machine
POLL = 0.005


def short(**changes: timedelta) -> DeliveryPolicy:
    """Return waits of a fraction of a second in place of seconds and minutes."""
    waits = {
        "retry_initial": milliseconds(20),
        "retry_cap": milliseconds(50),
        "throttle_initial": milliseconds(40),
        "throttle_cap": milliseconds(80),
        "account_probe_interval": milliseconds(100),
        "reconcile_first": milliseconds(40),
        "record_visible_after": milliseconds(20),
        "record_before": milliseconds(20),
        "reconcile_for": timedelta(seconds=30),
    }
    return DeliveryPolicy(**waits | changes)


def milliseconds(count: float) -> timedelta:
    return timedelta(milliseconds=count)


# --- what is sent ------------------------------------------------------------------------------


def ago(seconds: float = 0) -> str:
    """Return a time as Alertmanager writes it."""
    return (utc_now() - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


ZERO_TIME = "0001-01-01T00:00:00Z"  # the endsAt of every firing alert


def firing(alertname: str = "DiskFull", *, since: str | None = None, **labels: str) -> Any:
    """Return a firing alert; one of the same labels has the same `since` unless it is given."""
    return {
        "status": "firing",
        "labels": {"alertname": alertname} | labels,
        "annotations": {},
        "startsAt": since or _STORY_BEGAN,
        "endsAt": ZERO_TIME,
        "generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
    }


_STORY_BEGAN = ago(300)


def resolved(
    alertname: str = "DiskFull", *, since: str | None = None, at: str | None = None, **labels: str
) -> Any:
    """Return the alert as it is sent once it is over."""
    gone = firing(alertname, since=since, **labels)
    return gone | {"status": "resolved", "endsAt": at or ago()}


def webhook(*alerts: Any, truncated: int = 0, **more: Any) -> dict[str, Any]:
    """Return a body as Alertmanager posts it; its status is made of the alerts that are in it."""
    status = "firing" if any(one["status"] == "firing" for one in alerts) else "resolved"
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "receiver": "uvms",
        "status": status,
        "alerts": list(alerts),
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com",
        "truncatedAlerts": truncated,
    } | more


# --- who is called -----------------------------------------------------------------------------


def receiver(name: str = "phone", *people: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "voice_template": "outage", "call": list(people)} | more


def routes(*receivers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a routes.yaml as a tree; alice is called about everything unless it says otherwise."""
    chosen = receivers or (receiver("phone", "alice"),)
    route = {"receiver": chosen[0]["name"]} | changes.pop("route", {})
    return {
        "people": {name: {"phone": phone} for name, phone in PEOPLE.items()},
        "voice_templates": {
            "outage": {
                "id": OUTAGE,
                "text": TEXTS[OUTAGE],
                "params": [
                    "{{ alert.labels.cluster | default('生产环境') }}",
                    "{{ alert.annotations.summary | default(alert.labels.alertname) }}",
                    "{{ alerts | length }}",
                ],
            },
            "recovered": {
                "id": RECOVERED,
                "text": TEXTS[RECOVERED],
                "params": ["{{ alert.labels.alertname }}"],
            },
        },
        "receivers": list(chosen),
        "route": route,
        "limits": {"per_person": {"min_interval": "0s", "per_hour": 1000, "per_day": 1000}},
        "receipts": {"poll_interval": "never"},  # nobody answers, unless a story is about that
    } | changes


# --- the world ---------------------------------------------------------------------------------


class World:
    """A running service, and all that is around it."""

    def __init__(self, file: Path, vendor: Vendor, vendor_url: str) -> None:
        self.file, self.vendor, self.vendor_url = file, vendor, vendor_url
        self.url = ""
        self.client: httpx.AsyncClient

    # --- doing ---

    async def post(
        self, *alerts: Any, path: str = "/v1/alertmanager", body: Any = None, **more: Any
    ) -> httpx.Response:
        """Post a webhook that has to be accepted."""
        answer = await self.client.post(path, json=body or webhook(*alerts, **more))
        assert answer.status_code == 200, answer.text
        return answer

    def write_routes(self, tree: Mapping[str, Any], file: Path | None = None) -> None:
        """Write routes.yaml, its endpoint being the simulated vendor unless it names another."""
        uvms = {"endpoint": self.vendor_url} | tree.get("uvms", {})
        text = yaml.safe_dump({**tree, "uvms": uvms}, allow_unicode=True)
        (file or self.file).write_text(text, encoding="utf-8")

    async def reload(self) -> httpx.Response:
        return await self.client.post("/-/reload", headers=as_operator())

    def arm(self, *faults: Fault) -> None:
        self.vendor.faults.add(*faults)

    # --- looking ---

    @property
    def rang(self) -> list[str]:
        """Whose phone rang, in this order."""
        return [NAME_OF.get(call.number, call.number) for call in self.vendor.calls]

    @property
    def said(self) -> list[str | None]:
        """The words of each call."""
        return [call.words for call in self.vendor.calls]

    @property
    def sent(self) -> list[Exchange]:
        """The requests to place a call."""
        return [one for one in self.vendor.requests if one.action == SEND]

    @property
    def looked_up(self) -> list[Exchange]:
        """The requests for records."""
        return [one for one in self.vendor.requests if one.action == LOOK_UP]

    async def api(self, path: str) -> Any:
        answer = await self.client.get(f"/api/v1{path}", headers=as_operator())
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def calls(self, **query: Any) -> list[dict[str, Any]]:
        """Every call as the API shows it, oldest first."""
        wanted = "&".join(f"{name}={value}" for name, value in query.items())
        found = await self.api(f"/calls?limit=500&{wanted}")
        return list(reversed(found["calls"]))

    async def states(self) -> Counter[str]:
        return Counter(call["state"] for call in await self.calls())

    async def metrics(self) -> dict[str, float]:
        """Every sample, by its name with labels as the exposition writes them."""
        answer = await self.client.get("/metrics")
        return {
            _sample_name(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    async def metric(self, name: str, **labels: str) -> float:
        return (await self.metrics())[_sample_name(f"uvms_adapter_{name}", labels)]

    # --- waiting ---

    async def until_rang(self, count: int) -> None:
        """Wait until so many phones rang."""
        await until(lambda: len(self.vendor.calls) >= count, f"{count} calls", lambda: self.rang)

    async def quiet(self) -> None:
        """Wait until no phone will ring unless something new happens or a later time comes."""

        async def nothing_due() -> bool:
            now = utc_now()
            return all(
                call["state"] == "waiting" and datetime.fromisoformat(call["due_at"]) > now
                for call in await self.calls(state="waiting,sending,unknown")
            )

        await until(nothing_due, "nothing is due", lambda: self.rang)

    async def until_states(self, **counts: int) -> None:
        """Wait until there are just these calls, in just these states."""
        seen: list[Counter[str]] = []

        async def reached() -> bool:
            seen.append(await self.states())
            return seen[-1] == Counter(counts)

        await until(reached, str(counts), lambda: seen[-1])


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    what: str,
    found: Callable[[], object] = lambda: "",
) -> None:
    """Wait for a condition; fail with what was found instead when patience is over."""
    deadline = seconds_now() + PATIENCE
    while True:
        value = condition()
        if value if isinstance(value, bool) else await value:
            return
        assert seconds_now() < deadline, f"waited for: {what}; found: {found()}"
        await asyncio.sleep(POLL)


def seconds_now() -> float:
    """Return monotonic seconds."""
    return asyncio.get_running_loop().time()


def as_operator() -> dict[str, str]:
    return {"Authorization": f"Bearer {API_TOKEN}"}


def _sample_name(name: str, labels: Mapping[str, str]) -> str:
    inner = ",".join(f"{label}={labels[label]}" for label in sorted(labels))
    return f"{name}{{{inner}}}"


# --- starting and stopping ---------------------------------------------------------------------


@asynccontextmanager
async def simulated_vendor(**account: Any) -> AsyncIterator[tuple[Vendor, str]]:
    """A vendor with templates to check against, and the URL it is reached under."""
    vendor = Vendor(
        Account(keys={PUBLIC_KEY: Secret(PRIVATE_KEY)}, **{"templates": TEXTS} | account),
        clock=utc_now,
        new_id=lambda: str(uuid.uuid4()),
    )
    async with running(create_app(vendor)) as url:
        yield vendor, url


@asynccontextmanager
async def story(
    directory: Path,
    tree: Mapping[str, Any] | None = None,
    *,
    delivery: DeliveryPolicy | None = None,
    environ: Mapping[str, str] | None = None,
    account: Mapping[str, Any] | None = None,
) -> AsyncIterator[World]:
    """Run vendor and service while the context lasts."""
    async with (
        world_without_service(directory, tree, account=account) as world,
        service_of(world, delivery=delivery, environ=environ),
    ):
        yield world


@asynccontextmanager
async def world_without_service(
    directory: Path,
    tree: Mapping[str, Any] | None = None,
    *,
    account: Mapping[str, Any] | None = None,
) -> AsyncIterator[World]:
    """Run the vendor alone, beside a routes.yaml: for stories in which the service starts anew."""
    async with simulated_vendor(**account or {}) as (vendor, vendor_url):
        world = World(directory / "routes.yaml", vendor, vendor_url)
        world.write_routes(tree or routes())
        yield world


@asynccontextmanager
async def service_of(
    world: World,
    *,
    delivery: DeliveryPolicy | None = None,
    environ: Mapping[str, str] | None = None,
    stop_within: float = PATIENCE,
) -> AsyncIterator[World]:
    """Run the service of this world; when it has ended, it can be run again on the same store."""
    found = settings(environment(world.file.parent) | dict(environ or {}))
    stop = asyncio.Event()
    started: asyncio.Queue[str] = asyncio.Queue()
    serving = asyncio.create_task(
        service.serve(
            service.Options(config=world.file, port=0, stop_within_seconds=stop_within),
            found,
            started.put_nowait,
            stop=stop,
            load=loader(delivery or short()),
        )
    )
    try:
        world.url = await _first(started, serving)
        async with httpx.AsyncClient(
            base_url=world.url,
            timeout=PATIENCE,
            trust_env=False,
            verify=False,  # plain HTTP: no certificates are to be loaded
            headers={"Authorization": f"Bearer {WEBHOOK_TOKEN}"},
        ) as client:
            world.client = client
            yield world
    finally:
        stop.set()
        await serving


def environment(directory: Path) -> dict[str, str]:
    return {
        "UVMS_PUBLIC_KEY": PUBLIC_KEY,
        "UVMS_PRIVATE_KEY": PRIVATE_KEY,
        "UVMS_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
        "UVMS_API_TOKEN": API_TOKEN,
        "UVMS_DATABASE_URL": url_in(directory),
    }


def loader(delivery: DeliveryPolicy) -> Callable[[Path], Policy]:
    """Load routes.yaml as ever; of delivery, what the file says goes before what is given."""

    def load(path: Path) -> Policy:
        policy = load_file(path)
        plain = DeliveryPolicy()
        written = {
            name: value
            for name in plain.__struct_fields__
            if (value := getattr(policy.delivery, name)) != getattr(plain, name)
        }
        return replace(policy, delivery=replace(delivery, **written))

    return load


async def _first(started: asyncio.Queue[str], serving: asyncio.Task[None]) -> str:
    """Return the URL, or raise what kept the service from starting."""
    waiting = asyncio.create_task(started.get())
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    if waiting.done():
        return waiting.result()
    waiting.cancel()
    serving.result()
    raise AssertionError("the service ended before it began")
