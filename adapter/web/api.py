"""The JSON API under `/api/v1/`: shows pages, calls and refused bodies, and lets people steer.

    GET  /api/v1/pages?open=true&limit=50         POST /api/v1/pages/{id}/acknowledge
    GET  /api/v1/pages/{id}
    GET  /api/v1/calls?filter=&state=&page=&limit=
    GET  /api/v1/calls/{id}                       POST /api/v1/calls/{id}/retry
    GET  /api/v1/rejected?limit=                  POST /api/v1/routes/test
    GET  /api/v1/rejected/{id}

Wrong parameters get 400 with what was expected, unknown ids 404, what cannot be done now 409.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter.authentication import Credentials
from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.errors import NotFound, NotPossible
from adapter.model import CallState
from adapter.preview import preview
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.views import previews, stored
from adapter.views.stored import DEFAULT_LISTED, MOST_LISTED
from adapter.views.values import Json
from adapter.web.guard import Refusal, admit

_MOST_BODY_BYTES = 64 * 1024
_LONGEST_SHOWN = 80  # characters of a wrong value that are shown

Handler = Callable[[Request, bytes], Awaitable[Json]]
Endpoint = Callable[[Request], Awaitable[Response]]


class RouteTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/v1/routes/test` takes."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    at: datetime | None = None  # None: now


class Api:
    """The endpoints. `credentials` None: anyone may; `wake` says that a call may be due."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        clock: Clock,
        credentials: Callable[[], Credentials | None],
        wake: Callable[[], None],
    ) -> None:
        self._store, self._policy, self._clock = store, policy, clock
        self._credentials, self._wake = credentials, wake

    def paths(self) -> Sequence[tuple[str, Endpoint, list[str]]]:
        """Return path, endpoint and methods of everything there is."""
        handlers: Sequence[tuple[str, str, Handler]] = (
            ("GET", "/pages", self._pages),
            ("GET", "/pages/{id}", self._page),
            ("POST", "/pages/{id}/acknowledge", self._acknowledge),
            ("GET", "/calls", self._calls),
            ("GET", "/calls/{id}", self._call),
            ("POST", "/calls/{id}/retry", self._retry),
            ("GET", "/rejected", self._rejected),
            ("GET", "/rejected/{id}", self._rejected_body),
            ("POST", "/routes/test", self._routes_test),
        )
        return [
            (f"/api/v1{path}", self._endpoint(handler), [method])
            for method, path, handler in handlers
        ]

    def _endpoint(self, handler: Handler) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            response = await self._answer(handler, request)
            response.headers["Cache-Control"] = "no-store"
            return response

        return endpoint

    async def _answer(self, handler: Handler, request: Request) -> Response:
        try:
            body = await admit(request, self._credentials(), self._clock(), _MOST_BODY_BYTES)
            return JSONResponse(await handler(request, body))
        except Refusal as refusal:
            return refusal.response()
        except NotFound as error:
            return JSONResponse({"error": str(error)}, 404)
        except NotPossible as error:
            return JSONResponse({"error": str(error)}, 409)

    # --- looking ---

    async def _pages(self, request: Request, _body: bytes) -> Json:
        given = _Query(request.query_params, ("open", "limit"))
        only_open, limit = given.flag("open"), given.limit()
        return await self._store.read(
            lambda session: stored.pages(session, only_open=only_open, limit=limit)
        )

    async def _page(self, request: Request, _body: bytes) -> Json:
        return await self._about(request, stored.page)

    async def _calls(self, request: Request, _body: bytes) -> Json:
        given = _Query(request.query_params, ("filter", "state", "page", "limit"))
        text, page_id = given.text("filter"), given.text("page") or None
        states, limit = given.states(), given.limit()
        return await self._store.read(
            lambda session: stored.calls(
                session, text=text, page_id=page_id, states=states, limit=limit
            )
        )

    async def _call(self, request: Request, _body: bytes) -> Json:
        return await self._about(request, stored.call)

    async def _rejected(self, request: Request, _body: bytes) -> Json:
        limit = _Query(request.query_params, ("limit",)).limit()
        return await self._store.read(lambda session: stored.rejected(session, limit))

    async def _rejected_body(self, request: Request, _body: bytes) -> Json:
        number = request.path_params["id"]
        if not number.isdecimal() or len(number) > 18:
            raise NotFound(f"there is no refused body {_quoted(number)}; ids are numbers")
        return await self._store.read(lambda session: stored.rejected_body(session, int(number)))

    async def _about(self, request: Request, view: Callable[[Session, str], Json]) -> Json:
        _Query(request.query_params, ())
        wanted = request.path_params["id"]
        return await self._store.read(lambda session: view(session, wanted))

    # --- steering ---

    async def _acknowledge(self, request: Request, _body: bytes) -> Json:
        wanted, now = request.path_params["id"], self._clock()
        return await self._store.write(lambda session: stored.acknowledge(session, wanted, now))

    async def _retry(self, request: Request, _body: bytes) -> Json:
        wanted, now = request.path_params["id"], self._clock()
        answer = await self._store.write(lambda session: stored.retry(session, wanted, now))
        self._wake()
        return answer

    async def _routes_test(self, _request: Request, body: bytes) -> Json:
        try:
            asked = msgspec.json.decode(body, type=RouteTest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            expected = '{"labels": {"name": "value"}, "annotations": {…}, "at": RFC 3339}'
            raise Refusal(400, f"expected {expected}: {error}") from None
        at = asked.at or self._clock()
        if at.tzinfo is None:
            raise Refusal(400, "at: expected a time with its zone: 2026-11-24T03:00:00+08:00")
        return previews.preview(preview(self._policy(), asked.labels, asked.annotations, at))


class _Query:
    """Reads a request's query parameters; whatever is wrong with one is a Refusal."""

    def __init__(self, given: Mapping[str, str], known: Sequence[str]) -> None:
        self._given = given
        for name in given:
            if name not in known:
                there = ", ".join(known) or "none"
                raise Refusal(400, f"there is no parameter {_quoted(name)}; there is: {there}")

    def text(self, name: str) -> str:
        """Return the parameter; "" where it is not given."""
        return self._given.get(name, "").strip()

    def flag(self, name: str) -> bool:
        """Return whether the parameter says true."""
        words = {"": False, "false": False, "0": False, "true": True, "1": True}
        if self.text(name) not in words:
            raise _wrong(name, "true or false", self.text(name))
        return words[self.text(name)]

    def limit(self) -> int:
        """Return how many rows are wanted."""
        text = self.text("limit")
        if not text:
            return DEFAULT_LISTED
        fits = text.isascii() and text.isdecimal() and len(text) < 9
        if not fits or not 1 <= int(text) <= MOST_LISTED:
            raise _wrong("limit", f"a whole number from 1 to {MOST_LISTED}", text)
        return int(text)

    def states(self) -> list[CallState]:
        """Return the states wanted, given as `state=waiting,unknown`; none: all."""
        names = [name.strip() for name in self.text("state").split(",") if name.strip()]
        known = [str(state) for state in CallState]
        for name in names:
            if name not in known:
                raise _wrong("state", f"one of {', '.join(known)}", name)
        return [CallState(name) for name in names]


def _wrong(name: str, expected: str, found: str) -> Refusal:
    return Refusal(400, f"{name}: expected {expected}, found {_quoted(found)}")


def _quoted(text: str) -> str:
    return repr(text[:_LONGEST_SHOWN])
