"""The simulator's HTTP: parameters out of a request, and an answer onto the wire, whole or broken.

Source: https://docs.ucloud.cn/api/summary/signature and the official SDKs: parameters come in the
query, as a form, or as JSON with flattened keys (Java) or with arrays (Go). Decides nothing.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from adapter import signing
from adapter.simulator.faults import Kind
from adapter.simulator.vendor import Answer, Received

Sleep = Callable[[float], Awaitable[None]]

TRANSPORT = "simulator.transport"  # where `app` leaves the connection in the ASGI scope
JSON = "application/json"
NO_JSON = b"\xff\xfe<html>\x00 this is not JSON"


def read(method: str, query: bytes, content_type: str, body: bytes) -> Received:
    """Return the request's parameters; the body's win over the query's.

    What cannot be read is no parameter: the answer is then 160 or 171.
    """
    fields: dict[str, object] = {**_form(query)}
    if method == "POST":
        fields |= _json(body) if "json" in content_type else _form(body)
    signed: dict[str, str] = {}
    params: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, str | int | float):
            signed |= signing.flatten({name: value})
            params |= signing.flatten({name: value})
        elif isinstance(value, list):
            # The Go SDK signs an array as its name and all its items, without numbers.
            items = signing.flatten({name: value})
            signed[name] = "".join(items.values())
            params |= items
    return Received(method=method, signed=signed, params=params)


def render(answer: Answer, sleep: Sleep) -> Response:
    """Return the response as the answer's fault wants it."""
    headers = {"X-UCLOUD-REQUEST-UUID": answer.req_uuid}
    body = msgspec.json.encode(answer.body)
    plain = Response(body, media_type=JSON, headers=headers)
    fault = answer.fault
    if fault is None:
        return plain
    match fault.kind:
        case Kind.HTTP_STATUS:
            page = f"<html><h1>{fault.status}</h1></html>" if fault.body is None else fault.body
            return Response(page, status_code=fault.status, media_type="text/html")
        case Kind.GARBAGE:
            garbage = NO_JSON if fault.body is None else fault.body
            return Response(garbage, media_type=JSON, headers=headers)
        case Kind.SLOW_BODY:
            drips = _drip(body, fault.lasts, sleep)
            return StreamingResponse(drips, media_type=JSON, headers=headers)
        case Kind.STALL:
            return Stalled(fault.lasts, sleep, plain if fault.rings else Cut())
        case Kind.CUT:
            return Cut()
        case _:
            return plain


class Cut(Response):
    """No response: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset, and return only when the server has noticed, or it would answer 500."""
        transport = scope.get(TRANSPORT)
        if transport is None:
            raise ConnectionResetError("only a real server can cut a connection: use `running`")
        _reset(transport)
        await receive()  # the body is read: what is left to come is the disconnect


class Stalled(Response):
    """A response after a silence; none if the caller hangs up first."""

    def __init__(self, seconds: float, sleep: Sleep, then: Response) -> None:
        super().__init__()
        self._seconds, self._sleep, self._then = seconds, sleep, then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the time to pass or the caller to go, whichever is first."""
        silence = asyncio.ensure_future(self._sleep(self._seconds))
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({silence, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return
        finally:
            silence.cancel()
            gone.cancel()
        await self._then(scope, receive, send)


async def _drip(body: bytes, seconds: float, sleep: Sleep) -> AsyncIterator[bytes]:
    for position in range(len(body)):
        await sleep(seconds / len(body))
        yield body[position : position + 1]


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN: a peer that still waits sees a reset, not an orderly end."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _json(body: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return {}
