"""Webhooks in: `/v1/alertmanager` and `/v1/grafana`.

admit -> take in (committed) -> 200 | 400 no JSON | 401/403 | 413 | 415 | 422 no notification
                                  | 503 the store cannot commit: the sender tries again
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter.authentication import Credentials
from adapter.clock import Clock
from adapter.errors import InvalidNotification, NotJson
from adapter.intake import Intake, Taken
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.model import Reason, Source
from adapter.paging import Verdict
from adapter.tracing import NO_TRACES, Tracer
from adapter.views.values import shown
from adapter.web.guard import Refusal, admit

_log = logger(__name__)

# An answer lists at most so many pages, calls and alerts; the counts always cover all.
_LISTED = 20

_CALLED = frozenset({Reason.FIRST, Reason.NEW_ALERTS, Reason.REPEAT})


class Hooks:
    """The two webhook endpoints. `credentials` None: anyone may post."""

    def __init__(
        self,
        intake: Intake,
        metrics: Metrics,
        clock: Clock,
        credentials: Callable[[], Credentials | None],
        max_body_bytes: int,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._intake, self._metrics, self._clock = intake, metrics, clock
        self._credentials, self._max_body_bytes = credentials, max_body_bytes
        self._tracer = tracer
        self._news = Changes()

    def endpoint(self, source: Source) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint for this kind of sender."""

        async def endpoint(request: Request) -> Response:
            return await self._take(source, request)

        return endpoint

    async def _take(self, source: Source, request: Request) -> Response:
        try:
            _check_media_type(request)
            body = await admit(request, self._credentials(), self._clock(), self._max_body_bytes)
        except Refusal as refusal:
            self._tell_turned_away(source, refusal)
            raise
        self._news.is_news(source, "let in")
        caller = request.headers.get("traceparent", "")
        try:
            with self._tracer.span("webhook", caller, source=source) as span:
                taken = await self._intake.take(source, body, span.traceparent)
        except NotJson as error:
            raise Refusal(400, str(error)) from error
        except InvalidNotification as error:
            raise Refusal(
                422, str(error), path=error.path, expected=error.expected, found=error.found
            ) from error
        return JSONResponse(_answer(taken))

    def _tell_turned_away(self, source: Source, refusal: Refusal) -> None:
        """Count what is refused unread, and log it once: a sender tries again and again."""
        reason = {413: "too_large", 415: "unreadable"}.get(refusal.status, "unauthorized")
        self._metrics.notifications_invalid.labels(source, reason).inc()
        if self._news.is_news(source, reason):
            _log.warning("webhook refused", source=source, reason=reason, error=refusal.error)


def _check_media_type(request: Request) -> None:
    """Refuse what surely is no JSON; senders differ too much to insist on a media type."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise Refusal(415, f"Content-Encoding {encoding!r}: send the body uncompressed")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type.startswith(("multipart/", "text/html", "image/", "audio/", "video/")):
        raise Refusal(415, f"Content-Type {media_type!r}: send application/json")


def _answer(taken: Taken) -> dict[str, Any]:
    """Say what was accepted, which calls follow, and why others do not."""
    changes = taken.changes
    not_called = [verdict for verdict in changes.verdicts if verdict.reason not in _CALLED]
    return {
        "status": "accepted",
        "alerts": len(taken.notification.alerts),
        "truncated_alerts": taken.notification.truncated_alerts,
        "reasons": Counter(verdict.reason for verdict in changes.verdicts),
        "pages": [
            {"id": page.id, "receiver": page.receiver, "group_labels": page.group_labels}
            for page in (*changes.new_pages, *changes.changed_pages)[:_LISTED]
        ],
        "calls": [
            {
                "id": call.id,
                "page": call.page_id,
                "person": call.person,
                "reason": call.reason,
                "due_at": shown(call.due_at),
            }
            for call in changes.new_calls[:_LISTED]
        ],
        "calls_total": len(changes.new_calls),
        "not_called": [_not_called(verdict) for verdict in not_called[:_LISTED]],
        "not_called_total": len(not_called),
    }


def _not_called(verdict: Verdict) -> dict[str, str | None]:
    return {
        "fingerprint": verdict.alert.fingerprint,
        "alertname": verdict.alert.labels.get("alertname", "")[:200],
        "receiver": verdict.receiver,
        "reason": verdict.reason,
        "detail": verdict.detail,
        "page": verdict.page_id,
    }
