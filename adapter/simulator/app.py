"""The simulator as an ASGI application: the vendor at `/`, its commands below `/_simulator/`.

    GET                 /_simulator/calls      the phones that rang
    DELETE              /_simulator/calls      forget them (a log file is left alone)
    GET                 /_simulator/requests   every request with its outcome
    GET | POST | DELETE /_simulator/faults     what goes wrong: see `adapter.simulator.faults`
    GET | POST          /_simulator/templates  approved templates: {"id": …, "text": …}
    GET | POST          /_simulator/receipts   receipts pushed; {"url": …} says where to

POST takes one object or an array. The commands need no credentials: listen on loopback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from adapter.simulator.faults import Fault
from adapter.simulator.receipts import Pusher
from adapter.simulator.vendor import Vendor
from adapter.simulator.wire import TRANSPORT, Sleep, read, render

_T = TypeVar("_T")


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An approved template."""

    id: str
    text: str


class ReceiptTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where receipts are pushed to."""

    url: str | None  # None: nowhere


def create_app(
    vendor: Vendor, *, receipt_url: str | None = None, sleep: Sleep = asyncio.sleep
) -> Starlette:
    """Return the simulator around a vendor.

    `sleep` is every wait: stalls, drips, and the time until a receipt and between its tries.
    Receipts are pushed while the application's lifespan lasts.
    """
    pusher = Pusher(url=receipt_url, clock=vendor.clock, sleep=sleep)
    vendor.listeners.append(pusher.call_placed)
    desk = _Desk(vendor, pusher, sleep)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        pushing = asyncio.create_task(pusher.run(), name="receipts")
        try:
            yield
        finally:
            pushing.cancel()
            with suppress(asyncio.CancelledError):
                await pushing

    routes = [
        Route("/", desk.vendor_api, methods=["GET", "POST"]),
        Route("/_simulator/calls", desk.calls, methods=["GET", "DELETE"]),
        Route("/_simulator/requests", desk.requests, methods=["GET"]),
        Route("/_simulator/faults", desk.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_simulator/templates", desk.templates, methods=["GET", "POST"]),
        Route("/_simulator/receipts", desk.receipts, methods=["GET", "POST"]),
    ]
    return _Simulator(routes=routes, lifespan=lifespan)


class _Simulator(Starlette):
    """Leaves the connection in the scope, so that an answer can cut it.

    ASGI has no word for that; uvicorn's `send` is a method of an object that knows the transport.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


class _Desk:
    """The endpoints."""

    def __init__(self, vendor: Vendor, pusher: Pusher, sleep: Sleep) -> None:
        self._vendor, self._pusher, self._sleep = vendor, pusher, sleep

    async def vendor_api(self, request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it, and half a request places no call
        received = read(
            request.method,
            request.scope["query_string"],
            request.headers.get("content-type", ""),
            body,
        )
        return render(self._vendor.receive(received), self._sleep)

    async def calls(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._vendor.calls.clear()
        return _listed(self._vendor.calls)

    async def requests(self, request: Request) -> Response:
        return _listed(self._vendor.requests)

    async def faults(self, request: Request) -> Response:
        faults = self._vendor.faults
        if request.method == "DELETE":
            faults.clear()
        if request.method != "POST":
            return _listed(faults.list())
        try:
            return _listed(faults.add(*_commands(await request.body(), Fault)), 201)
        except msgspec.DecodeError as error:
            return _wrong(error)

    async def templates(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                given = _commands(await request.body(), Template)
            except msgspec.DecodeError as error:
                return _wrong(error)
            self._vendor.templates.update({template.id: template.text for template in given})
        known = self._vendor.templates.items()
        return _listed(
            (Template(id=id_, text=text) for id_, text in known),
            201 if request.method == "POST" else 200,
        )

    async def receipts(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                target = msgspec.json.decode(await request.body(), type=ReceiptTarget)
            except msgspec.DecodeError as error:
                return _wrong(error)
            self._pusher.url = target.url
        return _listed(self._pusher.pushes)


def _commands(body: bytes, kind: type[_T]) -> list[_T]:
    """Decode one object or an array of them."""
    if body.lstrip().startswith(b"["):
        return msgspec.json.decode(body, type=list[kind])  # type: ignore[valid-type]
    return [msgspec.json.decode(body, type=kind)]


def _listed(records: Iterable[msgspec.Struct], status: int = 200) -> Response:
    body = msgspec.json.encode(list(records))
    return Response(body, status_code=status, media_type="application/json")


def _wrong(error: msgspec.DecodeError) -> Response:
    body = msgspec.json.encode({"error": str(error)})
    return Response(body, status_code=400, media_type="application/json")
