"""Runs the service: starts it, reloads it, stops it in order.

Stop order: take no more webhooks -> let calls under way finish and be settled -> close the HTTP
client -> close the store. What does not finish in time is found, and looked up, at the next start.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import httpx
import uvicorn
from msgspec.structs import replace
from starlette.applications import Starlette

from adapter import __version__
from adapter.authentication import methods
from adapter.clock import LITTLE, SteadyClock, utc_now
from adapter.config.environment import Settings, inbound_credentials
from adapter.config.load import load_file
from adapter.config.policy import Policy
from adapter.delivery.outcomes import RET_CODES
from adapter.delivery.policy import UvmsSettings
from adapter.errors import SettingsError, StoreUnavailable
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.model import Record, Secret
from adapter.rendering.repairs import RepairKind
from adapter.service.current import Current
from adapter.service.parts import Parts, Ports
from adapter.simulator.app import create_app as create_simulator
from adapter.simulator.server import listen, running
from adapter.simulator.vendor import Account as SimulatedAccount
from adapter.simulator.vendor import Vendor as SimulatedVendor
from adapter.store.store import Store, open_store, shown_url
from adapter.tracing import open_tracer
from adapter.uvms.client import UvmsClient, new_http_client
from adapter.uvms.wire import Keys

_log = logger(__name__)

_CLOCK_SECONDS = 10.0  # between two looks at the clock that we go by
_WATCH_SECONDS = 1.0  # between two looks at routes.yaml and the files of secrets
_DRAIN_SECONDS = 5  # for HTTP requests under way when we stop, as Alertmanager grants


class Options(Record):
    """How the service was asked to run."""

    config: Path
    host: str = "127.0.0.1"
    port: int = 8080  # 0: a free one
    insecure_no_auth: bool = False  # let anybody post webhooks and use the API
    simulate: bool = False  # call the simulator, started beside us, instead of UVMS
    stop_within_seconds: float = 25.0  # below Kubernetes' 30 s before it kills
    tls_cert: str | None = None  # None: plain HTTP
    tls_key: str | None = None
    tls_client_ca: str | None = None  # None: clients need no certificate


def new_id() -> str:
    """Return 32 characters of `[0-9a-f]`, as UVMS takes them for a UserId."""
    return secrets.token_hex(16)


async def serve(
    options: Options,
    settings: Settings,
    started: Callable[[str], None] | None = None,
    *,
    stop: asyncio.Event | None = None,
    load: Callable[[Path], Policy] = load_file,
) -> None:
    """Run the service until SIGTERM, SIGINT, or `stop` is set.

    `started` is told the base URL once webhooks are taken. Raises ConfigError, SettingsError
    or StoreError where it cannot start.
    """
    _check(options, settings)
    metrics = Metrics(ret_codes=RET_CODES, repairs=RepairKind)
    current = Current(options.config, metrics, utc_now, load)
    async with AsyncExitStack() as stack:
        tracer = open_tracer()
        stack.push_async_callback(asyncio.to_thread, tracer.close)
        listening = stack.enter_context(_listen(options))
        store = _open_store(settings, metrics)
        stack.callback(store.close)
        clock = SteadyClock(await _time(store))
        ports = Ports(
            store=store,
            vendor=await stack.enter_async_context(_vendor(options, settings, current)),
            http=await stack.enter_async_context(httpx.AsyncClient()),
            clock=clock,
            new_id=new_id,
            chance=random.random,
            tracer=tracer,
        )

        async def reload() -> None:
            await asyncio.to_thread(current.reload)
            parts.calendars.changed()

        parts = Parts(
            ports,
            settings,
            lambda: current.policy,
            metrics,
            reload,
            no_auth=options.insecure_no_auth,
        )
        loop = asyncio.get_running_loop()
        store.listen(lambda: _wake(loop, parts))
        await parts.start()
        stopping = stop or asyncio.Event()
        stack.enter_context(_signals(stopping, current))
        keeping = asyncio.create_task(_keep_time(clock, store), name="clock")
        stack.callback(keeping.cancel)
        await _run(options, settings, parts, current, listening, started, stopping)
    _log.info("stopped")


def _open_store(settings: Settings, metrics: Metrics) -> Store:
    direct = settings.database_listen_url
    return open_store(
        settings.database_url.reveal,
        exclusive=True,
        observe=_observer(metrics),
        writers=settings.database_writers,
        listen_url=direct.reveal if direct else None,
    )


async def _time(store: Store) -> datetime:
    """Return the time by the clock that we go by: our machine's.

    Where many share a database and its clock tells something else, our machine's is wrong.
    """
    shared = None if store.alone else await store.read(lambda session: session.shared_time())
    now = utc_now()
    return now if shared is None or abs(shared - now) <= LITTLE else shared


async def _keep_time(clock: SteadyClock, store: Store) -> None:
    while True:
        await asyncio.sleep(_CLOCK_SECONDS)
        try:
            now = await _time(store)
        except StoreUnavailable:
            continue  # whoever observes the store says so
        except Exception:  # our own time goes on
            _log.exception("looking at the clock failed in an unforeseen way")
            continue
        if clock.hear(now):
            _log.warning("the clock has jumped, and stayed so: it is followed now", now=str(now))


def _wake(loop: asyncio.AbstractEventLoop, parts: Parts) -> None:
    """Let the parts look for work; called in a thread, and perhaps after the loop has ended."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(parts.wake)


def _check(options: Options, settings: Settings) -> None:
    if not options.insecure_no_auth and not methods(inbound_credentials(settings)):
        raise SettingsError(
            "nobody could post a webhook: set UVMS_WEBHOOK_TOKEN (or a username and password, or "
            "an HMAC secret), or say --insecure-no-auth to let anybody ring phones"
        )
    if not options.simulate and not settings.vendor.public_key:
        raise SettingsError(
            "no phone could ring: set UVMS_PUBLIC_KEY and UVMS_PRIVATE_KEY, or say --simulate to "
            "try things out without an account"
        )

    if options.tls_cert is not None:
        try:
            ssl.create_default_context().load_cert_chain(options.tls_cert, options.tls_key)
        except OSError as error:  # an SSLError too
            raise SettingsError(
                f"cannot serve TLS with certificate {options.tls_cert} and key "
                f"{options.tls_key or options.tls_cert}: {error}"
            ) from error


@asynccontextmanager
async def _vendor(
    options: Options, settings: Settings, current: Current
) -> AsyncIterator[UvmsClient]:
    """Yield the client: of UVMS, or of a simulator that lives as long as we do."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            new_http_client(
                max_connections=2 * current.policy.concurrent_calls,
                trust_env=not options.simulate,  # a proxy does not reach our own loopback
            )
        )
        if not options.simulate:
            yield UvmsClient(http, lambda: current.policy.uvms, lambda: _keys(settings))
            return
        keys = Keys(public_key="simulated", private_key=Secret(secrets.token_hex(20)))
        account = SimulatedAccount(keys={keys.public_key: keys.private_key})
        simulated = SimulatedVendor(account, clock=utc_now, new_id=lambda: str(uuid.uuid4()))
        url = await stack.enter_async_context(running(create_simulator(simulated), listen()))
        _log.warning(
            "simulating UVMS: no phone will ring", url=url, calls=f"{url}/_simulator/calls"
        )

        def simulated_uvms() -> UvmsSettings:
            policy = current.policy
            texts = {voice.id: voice.text for voice in policy.voice_templates.values()}
            if all(texts.values()):  # then the simulator says the words and checks their number
                simulated.templates.update(texts)
            return replace(policy.uvms, endpoint=url)

        yield UvmsClient(http, simulated_uvms, lambda: keys)


def _keys(settings: Settings) -> Keys:
    public, private = settings.vendor.public_key.get(), settings.vendor.private_key.get()
    return Keys(
        public_key=public.reveal if public else "",
        private_key=private or Secret(""),
        security_token=settings.vendor.security_token.get(),
    )


def _observer(metrics: Metrics) -> Callable[[float, Exception | None], None]:
    """Return what the store tells of each transaction; a change of state makes a log line."""
    news = Changes()
    news.is_news("store", "")

    def observe(seconds: float, error: Exception | None) -> None:
        metrics.store_commit_duration.observe(seconds)
        if error is not None:
            metrics.store_failures.inc()
        if news.is_news("store", str(error or "")):
            if error is None:
                _log.info("store can be written again")
            else:
                _log.error(
                    "store cannot be written: webhooks get 503, calls wait", error=str(error)
                )

    return observe


# --- running ------------------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: who stops when is decided here."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _listen(options: Options) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    address = (options.host, options.port)
    try:
        listening = socket.create_server(address, family=family, backlog=2048)
    except OSError as error:
        code = error.errno or 0  # negative where a name does not resolve
        why = os.strerror(code) if code > 0 else error.strerror
        raise SettingsError(f"cannot listen on {_shown(*address)}: {why}") from error
    try:
        yield listening
    finally:
        listening.close()


async def _run(
    options: Options,
    settings: Settings,
    parts: Parts,
    current: Current,
    listening: socket.socket,
    started: Callable[[str], None] | None,
    stopping: asyncio.Event,
) -> None:
    server, loop = _Server(_uvicorn_config(options, parts.app)), asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(parts.run(), name="parts")
        watching = tasks.create_task(_watch(parts, current, settings), name="watch")
        serving = tasks.create_task(server.serve(sockets=[listening]), name="http")
        url = _url(options, listening)
        _log.info(
            "serving", url=url, version=__version__, store=shown_url(settings.database_url.reveal)
        )
        if started is not None:
            started(url)
        asked = tasks.create_task(stopping.wait(), name="stop")
        await asyncio.wait({asked, serving}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        ends = loop.time() + options.stop_within_seconds
        server.should_exit = True
        await serving
        watching.cancel()
        parts.stop()
        _done, late = await asyncio.wait({working}, timeout=max(0.0, ends - loop.time()))
        if late:
            _log.warning("calls under way were cut off; they are looked up at the next start")
            working.cancel()


def _uvicorn_config(options: Options, app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=min(_DRAIN_SECONDS, int(options.stop_within_seconds)),
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        ssl_ca_certs=options.tls_client_ca,
        ssl_cert_reqs=2 if options.tls_client_ca else 0,  # ssl.CERT_REQUIRED, ssl.CERT_NONE
    )


@contextmanager
def _signals(stopping: asyncio.Event, current: Current) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    handlers = {
        signal.SIGTERM: stopping.set,
        signal.SIGINT: stopping.set,
        signal.SIGHUP: current.look_again,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


async def _watch(parts: Parts, current: Current, settings: Settings) -> None:
    """Follow changes of routes.yaml, and say when a file of a secret is in trouble."""
    news = Changes()
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        try:
            if await asyncio.to_thread(current.reload_if_changed):
                parts.calendars.changed()
        except Exception:  # a file that we fail to load must not end the calls under way
            _log.exception("loading configuration file failed in an unforeseen way")
        troubles = settings.troubles
        if news.is_news("secrets", troubles) and troubles:
            _log.error("secret files", troubles=list(troubles))


def _url(options: Options, listening: socket.socket) -> str:
    scheme = "https" if options.tls_cert else "http"
    return f"{scheme}://{_shown(*listening.getsockname()[:2])}"


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
