"""A bare endpoint on the framework that we stand on: it parses a webhook, forgets it, answers 202.

Served as the service is served: uvicorn, uvloop, httptools, one process. Prints its address.
"""

from __future__ import annotations

import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adapter.simulator.server import listen, serve, url_of

PATH = "/webhook"


async def take(request: Request) -> JSONResponse:
    body = await request.json()
    return JSONResponse({"status": "accepted", "alerts": len(body["alerts"])}, 202)


def main() -> None:
    """Serve until killed."""
    with listen() as listening:
        sys.stdout.write(f"{url_of(listening)}\n")
        sys.stdout.flush()
        serve(Starlette(routes=[Route(PATH, take, methods=["POST"])]), listening)


if __name__ == "__main__":
    main()
