"""Who may come in: credentials, body size and media type, before anything is parsed.

Every refusal is small JSON that says what is wrong; none says what would have been right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter.authentication import (
    Accepted,
    Credentials,
    Denial,
    Denied,
    check_body,
    check_headers,
)


class Refusal(Exception):
    """Ends a request with this answer."""

    def __init__(
        self, status: int, error: str, headers: Sequence[tuple[str, str]] = (), **more: object
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.headers, self.more = status, error, headers, more

    def response(self) -> Response:
        """Return the answer."""
        response = JSONResponse({"error": self.error, **self.more}, self.status)
        for name, value in self.headers:
            response.headers.append(name, value)
        return response


async def admit(
    request: Request, credentials: Credentials | None, now: datetime, max_body_bytes: int
) -> bytes:
    """Return the body of a request that may come in; raise Refusal otherwise.

    `credentials` None: anyone may. What can be refused by its headers is refused before the body
    is read.
    """
    headers: Mapping[str, str] = request.headers
    verdict = None
    if credentials is not None:
        verdict = check_headers(credentials, headers, now)
        if isinstance(verdict, Denied):
            raise _denied(verdict)
    body = await _read(request, max_body_bytes)
    if credentials is not None and not isinstance(verdict, Accepted):
        verdict = check_body(credentials, headers, body, now)
        if isinstance(verdict, Denied):
            raise _denied(verdict)
    return body


def _denied(denied: Denied) -> Refusal:
    challenges = [("WWW-Authenticate", challenge) for challenge in denied.challenges]
    message = denied.message
    if denied.reason is Denial.NOTHING_ACCEPTED:
        message += "; the operator sets UVMS_API_TOKEN, and UVMS_WEBHOOK_TOKEN for webhooks"
    return Refusal(denied.status, message, challenges, reason=denied.reason)


async def _read(request: Request, most: int) -> bytes:
    """Return the body, at most so many bytes of it."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise _too_large(most)  # the server reads the rest away, so that the sender sees this
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            # Who does not say how much it sends may never end.
            raise _too_large(most, [("Connection", "close")])
    return bytes(body)


def _too_large(most: int, headers: Sequence[tuple[str, str]] = ()) -> Refusal:
    return Refusal(
        413,
        f"the body is larger than {most} bytes: set max_alerts on the sender, "
        "or UVMS_MAX_BODY_BYTES here",
        headers,
    )
