"""The parts of the service, put together. Starts nothing before `run`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

import httpx
from starlette.applications import Starlette

from adapter.authentication import Credentials
from adapter.calendars import Calendars
from adapter.clock import Clock
from adapter.config.environment import (
    Settings,
    api_credentials,
    inbound_credentials,
    link_secrets,
    receipt_secrets,
)
from adapter.config.policy import Policy
from adapter.intake import Intake
from adapter.metrics import Metrics
from adapter.model import Record
from adapter.receipts import Receipts
from adapter.schedules.records import Schedule, StoredCalendar
from adapter.service.coverage import watch_coverage
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.tracing import NO_TRACES, Tracer
from adapter.web.api import Api
from adapter.web.app import create_app
from adapter.web.hooks import Hooks
from adapter.web.links import Links
from adapter.web.operations import Operations
from adapter.web.receipts import ReceiptHook
from adapter.worker.fallbacks import Teller
from adapter.worker.heartbeats import watch_heartbeats
from adapter.worker.polling import Poller
from adapter.worker.polling import Vendor as Records
from adapter.worker.worker import Vendor, Worker

_FIRST_FETCH_SECONDS = 10.0  # a webhook must not wait for a dead calendar server


class Ports(Record):
    """What the parts stand on, and what a test may put in its place."""

    store: Store
    vendor: UvmsVendor
    http: httpx.AsyncClient  # for everything but the vendor
    clock: Clock
    new_id: Callable[[], str]
    chance: Callable[[], float]  # from 0 to 1
    tracer: Tracer = NO_TRACES


class UvmsVendor(Vendor, Records, Protocol):
    """All that is asked of the signed client."""


class Parts:
    """One process's service."""

    def __init__(
        self,
        ports: Ports,
        settings: Settings,
        policy: Callable[[], Policy],
        metrics: Metrics,
        reload: Callable[[], Awaitable[None]],
        *,
        no_auth: bool = False,
    ) -> None:
        self._ports, self._policy, self._metrics = ports, policy, metrics
        store, clock, new_id = ports.store, ports.clock, ports.new_id
        self.calendars = Calendars(ports.http, self._load_calendars, self._keep_calendar, metrics)
        self.worker = Worker(
            store,
            ports.vendor,
            policy,
            metrics,
            clock,
            new_id,
            ports.chance,
            self.calendars.feeds,
            lambda: self.teller.wake(),
            ports.tracer,
        )
        self.teller = Teller(
            store,
            ports.http,
            lambda: policy().receivers,
            metrics,
            clock,
            ports.chance,
            lambda: settings.links.external_url,
            settings.links.secret.get,
        )
        receipts = Receipts(store, policy, metrics, clock, self.wake, ports.tracer)
        self.poller = Poller(
            store,
            ports.vendor,
            policy,
            metrics,
            clock,
            lambda: self.worker.able,
            self.wake,
            tracer=ports.tracer,
        )
        intake = Intake(
            store, policy, metrics, clock, new_id, self.wake, self.calendars.feeds, ports.tracer
        )
        own = _credentials(settings, api_credentials, no_auth=no_auth)
        self.app: Starlette = create_app(
            Hooks(
                intake,
                metrics,
                clock,
                _credentials(settings, inbound_credentials, no_auth=no_auth),
                settings.max_body_bytes,
                ports.tracer,
            ),
            Operations(store, metrics, clock, reload, own),
            Api(store, policy, clock, own, self.wake, new_id, self.calendars.feeds),
            ReceiptHook(receipts, clock, lambda: receipt_secrets(settings)),
            Links(store, metrics, clock, lambda: link_secrets(settings), self.wake),
            metrics,
        )

    def wake(self) -> None:
        """Look for due calls, steps and messages now."""
        self.worker.wake()
        self.teller.wake()

    def stop(self) -> None:
        """Begin nothing more; `run` ends when what is under way has been settled."""
        self.worker.stop()
        self.teller.stop()

    async def start(self) -> None:
        """Know who is on call before the first webhook: calendars are waited for, a while."""
        wanted, now = _wanted(self._policy()), self._ports.clock()
        await self.calendars.start(*wanted, now)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_FETCH_SECONDS):
                await self.calendars.refresh(*wanted, now)

    async def run(self) -> None:
        """Make calls, tell of what reached nobody, and look for receipts, until stopped."""
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self.poller.run(), name="receipts"),
                tasks.create_task(
                    self.calendars.keep_fresh(lambda: _wanted(self._policy()), self._ports.clock),
                    name="calendars",
                ),
                tasks.create_task(
                    watch_heartbeats(
                        self._ports.store,
                        self._policy,
                        self.calendars.feeds,
                        self._metrics,
                        self._ports.clock,
                        self._ports.new_id,
                        self.wake,
                    ),
                    name="heartbeats",
                ),
                tasks.create_task(
                    watch_coverage(
                        self._ports.store,
                        self._policy,
                        self.calendars.feeds,
                        self._metrics,
                        self._ports.clock,
                    ),
                    name="coverage",
                ),
            ]
            async with asyncio.TaskGroup() as makers:
                makers.create_task(self.worker.run(), name="worker")
                makers.create_task(self.teller.run(), name="fallbacks")
            for task in beside:
                task.cancel()

    async def _load_calendars(self) -> Mapping[str, StoredCalendar]:
        return await self._ports.store.read(Session.calendars)

    async def _keep_calendar(self, _schedule: str, copy: StoredCalendar) -> None:
        await self._ports.store.write(lambda session: session.keep_calendar(copy))


def _wanted(policy: Policy) -> tuple[Mapping[str, Schedule], frozenset[str]]:
    return policy.schedules, frozenset(policy.people)


def _credentials(
    settings: Settings, wanted: Callable[[Settings], Credentials], *, no_auth: bool
) -> Callable[[], Credentials | None]:
    """Return what is asked for at each request: None where anybody may come in."""
    return lambda: None if no_auth else wanted(settings)
