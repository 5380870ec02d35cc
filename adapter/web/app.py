"""The ASGI application: which path leads where, and how failures are answered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from adapter.errors import StoreUnavailable
from adapter.metrics import Metrics
from adapter.model import Source
from adapter.web.api import Api
from adapter.web.guard import Refusal
from adapter.web.hooks import Hooks
from adapter.web.links import Links
from adapter.web.operations import Operations
from adapter.web.receipts import PATH as RECEIPTS_PATH
from adapter.web.receipts import ReceiptHook

Endpoint = Callable[[Request], Awaitable[Response]]

# When a sender should try again. Alertmanager has its own back-off; others read this.
_RETRY_AFTER_SECONDS = "5"


def create_app(
    hooks: Hooks,
    operations: Operations,
    api: Api,
    receipts: ReceiptHook,
    links: Links,
    metrics: Metrics,
) -> Starlette:
    """Put the endpoints together. The application owns nothing and starts nothing."""
    paths: Sequence[tuple[str, Endpoint, list[str]]] = (
        ("/v1/alertmanager", hooks.endpoint(Source.ALERTMANAGER), ["POST"]),
        ("/v1/grafana", hooks.endpoint(Source.GRAFANA), ["POST", "PUT"]),
        (RECEIPTS_PATH, receipts.endpoint, ["POST"]),
        *links.paths(),
        ("/-/healthy", operations.healthy, ["GET"]),
        ("/-/ready", operations.ready, ["GET"]),
        ("/-/reload", operations.reload, ["POST"]),
        ("/metrics", operations.metrics, ["GET"]),
        *api.paths(),
    )
    app = Starlette(
        routes=[
            Route(path, _timed(path, endpoint, metrics), methods=methods)
            for path, endpoint, methods in paths
        ],
        exception_handlers=_handlers(),
    )
    app.router.redirect_slashes = False  # a sender would follow to http:// behind a TLS ingress
    return app


def _timed(path: str, endpoint: Endpoint, metrics: Metrics) -> Endpoint:
    async def timed(request: Request) -> Response:
        started, code = time.perf_counter(), 500
        try:
            response = await endpoint(request)
            code = response.status_code
            return response
        except Refusal as refusal:
            code = refusal.status
            raise
        except StoreUnavailable:
            code = 503
            raise
        finally:
            took = time.perf_counter() - started
            metrics.http_request_duration.labels(path, request.method, code).observe(took)

    return timed


def _handlers() -> Mapping[type[Exception], Callable[[Request, Exception], Response]]:
    def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)  # noqa: S101 - registered for this type alone
        return error.response()

    def store_unavailable(request: Request, error: Exception) -> Response:
        answer = {"error": f"{error}; nothing was accepted, send it again"}
        return JSONResponse(answer, 503, {"Retry-After": _RETRY_AFTER_SECONDS})

    def gone(_request: Request, _error: Exception) -> Response:
        return PlainTextResponse("", 400)  # nobody is there to read it

    def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type alone
        path = request.url.path[:200]
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        said = {
            404: f"there is nothing at {path}; webhooks go to /v1/alertmanager and /v1/grafana",
            405: f"{path} takes {allowed}, not {request.method}",
        }.get(error.status_code, error.detail)
        return JSONResponse({"error": said}, error.status_code, error.headers)

    return {
        Refusal: refused,
        StoreUnavailable: store_unavailable,
        ClientDisconnect: gone,
        HTTPException: http_error,
    }
