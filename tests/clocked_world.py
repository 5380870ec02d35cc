"""The whole service in virtual time: real parts, put together as the service does, without sockets.

Store, intake, worker, web application, signed client and the simulated vendor are the real ones.
Injected are the clock, ids and chance; requests reach the applications in this process. `Adapter`
is the one place where the parts are put together. Run it by `virtual_time.run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import service_harness
from service_harness import NAME_OF, PRIVATE_KEY, PUBLIC_KEY, TEXTS, WEBHOOK_TOKEN, environment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from virtual_time import clock_of, virtual_loop

from adapter.config.environment import Settings, settings
from adapter.config.load import load_file
from adapter.delivery.outcomes import RET_CODES
from adapter.metrics import Metrics
from adapter.model import Reason, Secret
from adapter.rendering.repairs import RepairKind
from adapter.service import Current, Parts, Ports
from adapter.simulator.app import create_app as create_simulator
from adapter.simulator.calls import PlacedCall
from adapter.simulator.faults import LOOK_UP, Kind
from adapter.simulator.receipts import Pusher
from adapter.simulator.vendor import Account, Exchange, Vendor
from adapter.store.store import Store, open_store
from adapter.uvms.client import UvmsClient, new_http_client
from adapter.uvms.wire import Keys

SHANGHAI = timezone(timedelta(hours=8))  # without daylight saving since 1991
MIDNIGHT = datetime(2026, 11, 24, tzinfo=SHANGHAI)
TODAY = MIDNIGHT.date()
BEGAN = MIDNIGHT + timedelta(hours=3)
VENDOR_URL, OWN_URL = "http://localhost", "http://adapter.example.com"


def instant(text: str) -> datetime:
    """Read `03:05:00` or `03:05:00.75`, in Shanghai; `25:00:00` is one o'clock of the next day."""
    hours, minutes, seconds = text.split(":")
    since = timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    return (MIDNIGHT + since).astimezone(UTC)


def shown(when: datetime) -> str:
    """Write what `instant` reads."""
    seconds, micros = divmod((when - MIDNIGHT) // timedelta(microseconds=1), 1_000_000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{micros:06d}".rstrip("0") if micros else text


def sent_as(when: datetime) -> str:
    """Write a time as Alertmanager does."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- the wires ----------------------------------------------------------------------------------


class Wire(httpx.AsyncBaseTransport):
    """Reaches an application of this process; fails as a network does where a real one would."""

    def __init__(self, app: Callable[[], Starlette | None]) -> None:
        self._app = app  # None: nobody listens

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await virtual_loop().let_others_go_first()
        app = self._app()
        if app is None:
            raise httpx.ConnectError("nobody listens", request=request)
        if trace := request.extensions.get("trace"):  # the client's patience counts from here
            await trace("http11.send_request_headers.started", {"request": request})
        try:
            return await httpx.ASGITransport(app).handle_async_request(request)
        except ConnectionResetError as error:  # what the simulator raises where it has no socket
            raise httpx.ReadError("connection reset", request=request) from error


class StillStore:
    """The real store; the loop's time stands still while its writer works.

    It is read in the loop's own thread: a worker looks for something due each second, and thousands
    of these a story would wait for threads for longer than for the database. A question that names
    nothing, as "when is the next due?", is put again only when something has been written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: dict[object, Any] = {}  # by the question's code, since the last write

    async def write(self, job: Any) -> Any:
        """Write as ever; who is cancelled meanwhile cancels the waiting, not the job."""
        return await asyncio.shield(virtual_loop().watch(self._written(job)))

    async def _written(self, job: Any) -> Any:
        try:
            return await self._store.write(job)
        finally:
            self._answers.clear()

    async def read(self, job: Any) -> Any:
        """Read as ever, and let whatever else is ready go on."""
        await asyncio.sleep(0)
        if job.__closure__ is not None:
            return self._store.read_now(job)
        if job.__code__ not in self._answers:
            self._answers[job.__code__] = self._store.read_now(job)
        return self._answers[job.__code__]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Receipts(Pusher):
    """Pushes receipts as the vendor does, to our own application; `url` None: nowhere."""

    def __init__(self, world: World) -> None:
        super().__init__(url=None, clock=world.clock, sleep=asyncio.sleep)
        self._client = httpx.AsyncClient(transport=world.wire, timeout=5)
        self._under_way: set[asyncio.Task[None]] = set()

    def call_placed(self, call: PlacedCall) -> None:
        """Push the call's receipt when it is due."""
        if call.fate.receipt:
            task = asyncio.create_task(
                self._report(self._client, call), name=f"receipt {call.session_no}"
            )
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Push nothing more."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()


class Chat:
    """A room that fallback webhooks post to; `answers`: the statuses to come, then 200."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.heard: list[tuple[datetime, dict[str, Any]]] = []
        self.answers: list[int] = []
        self._clock = clock
        self.app = Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.heard.append((self._clock(), await request.json()))
        return Response(status_code=self.answers.pop(0) if self.answers else 200)


# --- the service --------------------------------------------------------------------------------


class Adapter:
    """Our side from one start to one end, as `adapter.service` builds it."""

    def __init__(self, world: World, found: Settings) -> None:
        self.metrics = metrics = Metrics(ret_codes=RET_CODES, repairs=RepairKind)
        self.current = current = Current(world.file, metrics, world.clock, load_file)
        store: Any = StillStore(open_store(found.database_url.reveal, exclusive=True))
        self.store = store
        self._http = new_http_client(trust_env=False, transport=Wire(world.vendor_app))
        uvms = UvmsClient(
            self._http,
            lambda: current.policy.uvms,
            lambda: Keys(public_key=PUBLIC_KEY, private_key=Secret(PRIVATE_KEY)),
        )
        self._others = httpx.AsyncClient(transport=world.outside, trust_env=False)

        async def reload() -> None:
            await asyncio.to_thread(current.reload)
            self.parts.calendars.changed()

        ports = Ports(
            store=store,
            vendor=uvms,
            http=self._others,
            clock=world.clock,
            new_id=world.new_id,
            chance=lambda: 0.5,
        )
        self.parts = Parts(ports, found, lambda: current.policy, metrics, reload)
        self.app = self.parts.app

    async def work(self) -> None:
        """Make calls until cut off."""
        await self.parts.start()
        await self.parts.run()

    async def let_go(self) -> None:
        """Close what a dead process would have lost hold of."""
        self.store.close()
        await virtual_loop().quiet()  # whom the store answered last
        await self._http.aclose()
        await self._others.aclose()


class World(service_harness.World):
    """The service and the vendor at an instant that the test chooses."""

    def __init__(
        self,
        directory: Path,
        tree: Mapping[str, Any],
        tasks: asyncio.TaskGroup,
        *,
        account: Mapping[str, Any],
        environ: Mapping[str, str],
        on: date,
    ) -> None:
        self._loop, self._tasks = virtual_loop(), tasks
        self._days_off = on - TODAY
        self.clock = clock_of(self._loop, (BEGAN + self._days_off).astimezone(UTC))
        self._ids = count(1)
        vendor = Vendor(
            Account(keys={PUBLIC_KEY: Secret(PRIVATE_KEY)}, **{"templates": TEXTS, **account}),
            clock=self.clock,
            new_id=self.new_id,
        )
        super().__init__(directory / "routes.yaml", vendor, VENDOR_URL)
        self.simulator_app = create_simulator(vendor)  # its lifespan would push through sockets
        self.vendor_is_up = True  # False: nobody listens there
        self.wire = Wire(lambda: self.adapter.app if self.adapter else None)
        self.fallbacks = Chat(self.clock)
        self.outside = Wire(lambda: self.fallbacks.app)
        self.receipts = Receipts(self)
        vendor.listeners += [self._rings, self.receipts.call_placed]
        self.client = httpx.AsyncClient(
            transport=self.wire,
            base_url=OWN_URL,
            headers={"Authorization": f"Bearer {WEBHOOK_TOKEN}"},
        )
        self._settings = settings(environment(directory) | dict(environ))
        self._rang: list[str] = []
        self._firing_since: dict[object, datetime] = {}
        self.adapter: Adapter | None = None  # None: the service is down
        self._working: asyncio.Task[None] | None = None
        self.write_routes(tree)

    def vendor_app(self) -> Starlette | None:
        """Return who listens at the vendor's address; None: nobody does."""
        return self.simulator_app if self.vendor_is_up else None

    def new_id(self) -> str:
        """Return 32 hexadecimal digits, the next ones."""
        return f"{next(self._ids):032x}"

    # --- time ---

    async def at(self, text: str) -> None:
        """Let everything happen until this time of day, and all that is due then."""
        await self._loop.sleep_until((instant(text) - BEGAN).total_seconds())

    def instant(self, text: str) -> datetime:
        """Return this time of the story's own day."""
        return instant(text) + self._days_off

    def shown(self, when: datetime) -> str:
        """Write what `at` reads."""
        return shown(when - self._days_off)

    async def quiet(self) -> None:
        """Let everything happen that can without time passing."""
        await self._loop.quiet()

    # --- starting and ending ---

    async def start(self) -> None:
        """Start the service on the directory's store."""
        assert self.adapter is None, "the service runs already"
        self.adapter = Adapter(self, self._settings)
        self._working = self._tasks.create_task(self.adapter.work(), name="worker")

    async def kill(self) -> None:
        """End the service as SIGKILL would: nothing under way is finished or written down."""
        assert self.adapter is not None, "the service does not run"
        assert self._working is not None
        adapter, self.adapter = self.adapter, None
        self._working.cancel()
        await asyncio.wait({self._working})
        await adapter.let_go()

    async def close(self) -> None:
        """End everything."""
        if self.adapter is not None:
            await self.kill()
        await self.receipts.close()
        await self.client.aclose()

    # --- alerts ---

    def alert_fires(self, name: str, labels: Mapping[str, str]) -> Any:
        """Return the alert as it is sent now; it began when it was first sent."""
        since = self._firing_since.setdefault((name, *sorted(labels.items())), self.clock())
        return service_harness.firing(name, since=sent_as(since), **labels)

    def alert_resolves(self, name: str, labels: Mapping[str, str]) -> Any:
        """Return the alert as it is sent now that it is over."""
        now = self.clock()
        since = self._firing_since.pop((name, *sorted(labels.items())), now)
        return service_harness.resolved(name, since=sent_as(since), at=sent_as(now), **labels)

    # --- looks ---

    @property
    def rang(self) -> list[str]:
        """Which phones rang, and when; with the reason of the call unless it was a page's first."""
        return list(self._rang)

    @property
    def asked(self) -> list[str]:
        """What the vendor was asked, when, and what it said."""
        return [f"{self.shown(one.time)} {_told(one)}" for one in self.vendor.requests]

    def _rings(self, call: PlacedCall) -> None:
        assert self.adapter is not None, "a dead service called"
        found = self.adapter.store.read_now(
            lambda session: session.find_calls(text=call.user_id, limit=500)
        )
        others = {each.reason for each in found} - {Reason.FIRST}
        reasons = ", ".join(sorted(reason.replace("_", " ") for reason in others))
        line = f"{self.shown(call.time)} {_name(call.number)}"
        self._rang.append(f"{line} ({reasons})" if reasons else line)


def _name(number: str) -> str:
    """Return whose number it is; look-ups write it without the country code."""
    return NAME_OF.get(number) or NAME_OF.get(f"+86{number}") or number or "anybody"


def _told(one: Exchange) -> str:
    what = "look-up" if one.action == LOOK_UP else "call"
    name = _name(one.number)
    silent = one.fault is Kind.STALL or one.ret_code is None
    said = "no answer" if silent else str(one.ret_code)
    return f"{what} {name}: {said}"


@asynccontextmanager
async def clocked_world(
    directory: Path,
    tree: Mapping[str, Any] | None = None,
    *,
    account: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    on: date = TODAY,
) -> AsyncIterator[World]:
    """Start vendor and service at `BEGAN`, of another day if `on` says so.

    What fails in the service fails the test.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            world = World(
                directory,
                tree or service_harness.routes(),
                tasks,
                account=account or {},
                environ=environ or {},
                on=on,
            )
            try:
                await world.start()
                await world.quiet()
                yield world
            finally:
                await world.close()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:  # as it is: pytest shows it better
            raise group.exceptions[0] from None
        raise
