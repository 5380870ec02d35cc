"""What the platform asks of a service: `/-/healthy`, `/-/ready`, `/-/reload`, `/metrics`.

Answers are as Alertmanager's. Ready means "can commit", and never depends on the vendor: an outage
there is just when alerts must be taken in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from adapter.authentication import Credentials
from adapter.clock import Clock
from adapter.config.problems import ConfigError
from adapter.errors import StoreUnavailable
from adapter.metrics import CONTENT_TYPE, Metrics
from adapter.model import CallState
from adapter.store.store import Store
from adapter.web.guard import admit


class Operations:
    """The endpoints of platform and monitoring. `credentials` (None: anyone) guard reloading."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        reload: Callable[[], Awaitable[None]],
        credentials: Callable[[], Credentials | None],
    ) -> None:
        self._store, self._metrics, self._clock = store, metrics, clock
        self._reload, self._credentials = reload, credentials

    async def healthy(self, _request: Request) -> Response:
        """Say that the process answers."""
        return PlainTextResponse("OK")

    async def ready(self, _request: Request) -> Response:
        """Say whether a webhook would be committed."""
        now = self._clock()
        try:
            await self._store.write(lambda session: session.probe(now))
        except StoreUnavailable as error:
            return PlainTextResponse(f"not ready: {error}", 503)
        return PlainTextResponse("OK")

    async def reload(self, request: Request) -> Response:
        """Load routes.yaml again; the old one stays where the new one is wrong."""
        await admit(request, self._credentials(), self._clock(), max_body_bytes=1024)
        try:
            await self._reload()
        except ConfigError as error:
            return PlainTextResponse(f"failed to reload config: {error}", 500)
        return PlainTextResponse("")

    async def metrics(self, _request: Request) -> Response:
        """Return all series; the queue's are read from the store as it is now."""
        now = self._clock()
        try:
            queue = await self._store.read(lambda session: session.queue(now))
        except StoreUnavailable:
            pass  # the store's own metrics say so; the other series are still wanted
        else:
            states = (
                (CallState.WAITING, queue.waiting),
                (CallState.SENDING, queue.sending),
                (CallState.UNKNOWN, queue.unknown),
            )
            for state, count in states:
                self._metrics.calls_open.labels(state).set(count)
            self._metrics.oldest_due.set(_age(queue.oldest_due_at, now))
            self._metrics.pages_open.set(queue.open_pages)
            self._metrics.pages_unacknowledged.set(queue.unacknowledged_pages)
            self._metrics.pages_exhausted.set(queue.exhausted_pages)
            self._metrics.oldest_unacknowledged.set(_age(queue.oldest_unacknowledged_at, now))
        return Response(self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _age(since: datetime | None, now: datetime) -> float:
    """Return for how many seconds something has been so; 0: it is not."""
    return 0.0 if since is None else (now - since).total_seconds()
