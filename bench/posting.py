"""A sender of webhooks that costs next to nothing: HTTP/1.1 over connections that stay open.

Requests are bytes before the clock starts, and of an answer only status and length are read, so
that what is measured is the server. An answer that is no 2xx ends the run: errors are fast.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from urllib.parse import urlsplit

import uvloop

PATIENCE_SECONDS = 120.0


class Sender:
    """Posts to one address; a context that owns its event loop."""

    def __init__(self, url: str, token: str = "", media_type: str = "application/json") -> None:
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"{url!r}: write http://HOST:PORT/PATH")
        self._host, self._port = parts.hostname, parts.port
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n{authorization}"
            f"Content-Type: {media_type}\r\nContent-Length: "
        )
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._runner.close()

    def each(self, bodies: Sequence[bytes], posters: int) -> float:
        """Post them all, so many at once; return the seconds one took of the whole."""
        return self._runner.run(self._each(bodies, posters))

    def newly(self, body: bytes) -> float:
        """Post one over a connection of its own; return the seconds of connecting and answer."""
        return self._runner.run(self._newly(body))

    async def _each(self, bodies: Sequence[bytes], posters: int) -> float:
        requests = [self._request(body) for body in bodies]
        ends = [await self._connect() for _ in range(posters)]
        left = iter(requests)
        try:
            started = time.perf_counter()
            async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
                for reader, writer in ends:
                    tasks.create_task(_post_all(left, reader, writer))
            return (time.perf_counter() - started) / len(requests)
        finally:
            for _, writer in ends:
                writer.close()

    async def _newly(self, body: bytes) -> float:
        request = self._request(body)
        started = time.perf_counter()
        reader, writer = await self._connect()
        try:
            await _post(request, reader, writer)
            return time.perf_counter() - started
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)

    def _request(self, body: bytes) -> bytes:
        return f"{self._head}{len(body)}\r\n\r\n".encode() + body


async def _post_all(
    requests: Iterator[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Take the next one as long as there is any: posters share the work as it comes."""
    for request in requests:
        await _post(request, reader, writer)


async def _post(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    body = await reader.readexactly(_length(fields))
    if not status.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"answered {status.decode()}: {body[:500].decode(errors='replace')}")


def _length(fields: bytes) -> int:
    for field in fields.lower().split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name == b"content-length":
            return int(value)
    raise RuntimeError(f"an answer without Content-Length: {fields.decode(errors='replace')}")
