"""Runs the simulator as a real HTTP server: beside another program, or as a process of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

import uvicorn
from starlette.applications import Starlette

Http = Literal["httptools", "h11"]


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. OSError if the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def url_of(listening: socket.socket) -> str:
    """Return the base URL under which the simulator on this socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; which signal it was reaches the caller as usual."""
    _Server(_config(app, "httptools")).run(sockets=[listening])


@asynccontextmanager
async def running(
    app: Starlette, listening: socket.socket | None = None, *, http: Http = "httptools"
) -> AsyncIterator[str]:
    """Serve in this event loop while the context lasts, and yield the base URL.

    Signals are left to the program around it.
    """
    listening = listening or listen()
    server = _Embedded(_config(app, http))
    url = url_of(listening)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="simulator")
    try:
        await server.startup_over.wait()
        yield url
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server that hangs up when it stops: a stalled answer would hold the exit up."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets=sockets)


class _Embedded(_Server):
    """A server that says when its start-up is over, well or not, and takes no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.startup_over = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        finally:
            self.startup_over.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: Starlette, http: Http) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http,
        lifespan="on",
        log_config=None,
        access_log=False,  # a GET's query holds numbers and signatures
        proxy_headers=False,
    )
