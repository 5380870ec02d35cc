"""The client of UVMS: ships signed requests and says what came back.

Decides nothing, retries nothing and logs nothing; whoever sets up logging keeps `NOISY_LOGGERS`
at WARNING. Foreign exceptions end here: trouble on the way is a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
from msgspec.structs import replace

from adapter import __version__
from adapter.delivery.fields import clean_message
from adapter.delivery.outcomes import Answer, Failure, Outcome, classify
from adapter.delivery.policy import UvmsSettings
from adapter.delivery.records import CallRecord, Records
from adapter.model import Record
from adapter.signing import Parameter
from adapter.uvms.wire import (
    MAX_ANSWER_BYTES,
    Keys,
    RecordQuery,
    SendRequest,
    inflate,
    read_answer,
    read_records,
    record_params,
    send_params,
    signed_form,
    windows,
)

NOISY_LOGGERS = ("httpx", "httpcore")

MAX_PAGES = 10  # 500 calls within a window: beyond this we cannot tell


def new_http_client(
    *,
    max_connections: int = 32,
    trust_env: bool = True,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Return the one HTTP client for life.

    Every request has a connection of its own: on a kept one that the vendor closes at that moment,
    a call ends as unknown. Proxies and CA files of the environment are honoured.
    """
    return httpx.AsyncClient(
        timeout=httpx.Timeout(5),
        limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=0),
        follow_redirects=False,
        trust_env=trust_env,
        transport=transport,
        headers={
            "User-Agent": f"uvms-adapter/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
    )


class _Reply(Record):
    """An HTTP answer that was read to its end."""

    http_status: int
    headers: Mapping[str, str]
    body: bytes


class _TooLate(Exception):
    """The request was about to leave after its time."""


# In this order: the first that fits. What is not here (a wrong URL, a header we spelt wrongly) is
# a bug and raises.
_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (_TooLate, Failure.TOO_LATE),
    (httpx.PoolTimeout, Failure.NO_SLOT),
    (httpx.ConnectTimeout, Failure.CONNECT),
    (httpx.ConnectError, Failure.CONNECT),
    (httpx.ProxyError, Failure.CONNECT),
    (TimeoutError, Failure.TIMEOUT),
    (httpx.ReadTimeout, Failure.TIMEOUT),
    (httpx.WriteTimeout, Failure.CONNECTION_LOST),
    (httpx.NetworkError, Failure.CONNECTION_LOST),
    (httpx.RemoteProtocolError, Failure.CONNECTION_LOST),
)
_TRANSLATED = tuple(kind for kind, _ in _FAILURES)


class UvmsClient:
    """Ships signed requests. Settings and keys are asked for at each, so both can be replaced."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: Callable[[], UvmsSettings],
        keys: Callable[[], Keys],
    ) -> None:
        self._http, self._settings, self._keys = http, settings, keys

    async def send(self, request: SendRequest) -> Answer:
        """Place one call. Trouble on the way is in the answer, never raised.

        After the request's `leave_by` nothing leaves: who was paused for long must not ring what
        others have taken over.
        """
        settings = self._settings()
        reply = await self._post(settings, send_params(settings, request), request.leave_by)
        return reply if isinstance(reply, Answer) else _answer(reply)

    async def find(self, query: RecordQuery) -> Records:
        """Return the records of calls to this number, or all of the window where there are none.

        In which form the vendor wants the number is not documented, and a filter that is not
        understood would look like a call that was not placed.
        """
        found = await self._read_all(query, by_phone=True)
        if found.records or not found.complete:
            return found
        return await self._read_all(query, by_phone=False)

    async def records(self, query: RecordQuery) -> Records:
        """Return all records of a window, however long; they may belong to others than us."""
        seen: dict[CallRecord, None] = {}  # a call between two windows is in both
        found = Records(answer=Answer())
        for window in windows(query):
            found = await self._read_all(window, by_phone=True)
            seen |= dict.fromkeys(found.records)
            if not found.complete:
                break
        return replace(found, records=tuple(seen))

    async def _read_all(self, query: RecordQuery, *, by_phone: bool) -> Records:
        settings = self._settings()
        answer = Answer()
        records: tuple[CallRecord, ...] = ()
        for page in range(MAX_PAGES):
            params = record_params(settings, query, page, by_phone=by_phone)
            reply = await self._post(settings, params)
            answer = reply if isinstance(reply, Answer) else _answer(reply)
            read = None if isinstance(reply, Answer) else read_records(reply.body)
            if classify(answer) is not Outcome.ACCEPTED or read is None:
                break
            total, some = read
            records += some
            all_read = total is not None and len(records) >= total
            if all_read or not some:
                complete = all_read or total is None
                return Records(answer=answer, records=records, complete=complete)
        return Records(answer=answer, records=records)

    async def _post(
        self,
        settings: UvmsSettings,
        params: Mapping[str, Parameter],
        leave_by: float | None = None,
    ) -> _Reply | Answer:
        """Send the request; return its answer as read, or the failure that came instead.

        The whole answer has `read_timeout` from when the request begins to leave, so that one
        which trickles in byte by byte ends too.
        """
        keys = self._keys()
        form = signed_form(params, keys)
        status: int | None = None
        try:
            async with (
                asyncio.timeout(None) as deadline,
                self._http.stream(
                    "POST",
                    settings.endpoint,
                    content=urlencode(form).encode("ascii"),
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                    timeout=_timeout(settings),
                    extensions={"trace": _on_leaving(deadline, settings.read_timeout, leave_by)},
                ) as response,
            ):
                status = response.status_code
                raw = await _read(response)
        except _TRANSLATED as error:
            failure = next(failure for kind, failure in _FAILURES if isinstance(error, kind))
            why = clean_message(f"{type(error).__name__}: {error}".rstrip(": "))
            return Answer(http_status=status, failure=failure, message=why)
        body = None if raw is None else inflate(response.headers.get("content-encoding", ""), raw)
        if body is None:
            why = "longer than 1 MiB" if raw is None else "compressed in a way we cannot undo"
            return Answer(http_status=status, failure=Failure.UNREADABLE, message=why)
        body = _without(body, keys.public_key, form["Signature"], form.get("SecurityToken", ""))
        return _Reply(http_status=response.status_code, headers=response.headers, body=body)


def _answer(reply: _Reply) -> Answer:
    return read_answer(reply.http_status, reply.headers, reply.body)


def _timeout(settings: UvmsSettings) -> httpx.Timeout:
    return httpx.Timeout(
        settings.connect_timeout.total_seconds(), read=settings.read_timeout.total_seconds()
    )


def _on_leaving(
    deadline: asyncio.Timeout, allowed: timedelta, leave_by: float | None
) -> Callable[..., Any]:
    """Hold the request back if it is late, else start the clock for its answer.

    httpcore tells of the moment as a trace event, after connecting and before the first byte.
    """

    async def on_event(name: str, _info: object) -> None:
        if not name.endswith("send_request_headers.started"):
            return
        now = asyncio.get_running_loop().time()
        if leave_by is not None and now > leave_by:
            raise _TooLate(f"{now - leave_by:.1f} s after its time")
        deadline.reschedule(now + allowed.total_seconds())

    return on_event


async def _read(response: httpx.Response) -> bytes | None:
    """Return the body as it came; None: it is longer than any honest one."""
    raw = bytearray()
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > MAX_ANSWER_BYTES:
            return None
    return bytes(raw)


def _without(body: bytes, *ours: str) -> bytes:
    """Black out what an error message might echo of our credentials."""
    for text in filter(None, ours):
        body = body.replace(text.encode(), b"***")
    return body
