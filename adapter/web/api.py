"""The JSON API under `/api/v1/`: shows pages, calls and refused bodies, and lets people steer.

    GET  /api/v1/pages?open=true&limit=50         POST /api/v1/pages/{id}/acknowledge
    GET  /api/v1/pages/{id}
    GET  /api/v1/calls?filter=&state=&page=&limit=
    GET  /api/v1/calls/{id}                       POST /api/v1/calls/{id}/retry
    GET  /api/v1/rejected?limit=                  POST /api/v1/routes/test
    GET  /api/v1/rejected/{id}
    GET  /api/v1/explain?page= | fingerprint= | label=name=value&label=…
    GET  /api/v1/oncall?at=&days=&schedule=
    GET  /api/v1/overrides                        POST /api/v1/overrides
                                                  DELETE /api/v1/overrides/{id}

Wrong parameters get 400 with what was expected, unknown ids 404, what cannot be done now 409.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter.authentication import Credentials
from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.errors import NotFound, NotPossible
from adapter.on_call import Feeds, no_feeds, roster_at, standing_overrides
from adapter.preview import preview
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.views import previews, schedules, stored, stories
from adapter.views.values import Json
from adapter.web.asking import Query, check_time, decoded, labels_of, quoted
from adapter.web.guard import Refusal, admit

_MOST_BODY_BYTES = 64 * 1024
_BY_API = "api"  # who took a page, where all that is known is how they came in

Handler = Callable[[Request, bytes], Awaitable[Json]]
Endpoint = Callable[[Request], Awaitable[Response]]


class RouteTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/v1/routes/test` takes."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    at: datetime | None = None  # None: now


class NewOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/v1/overrides` takes."""

    schedule: str
    person: str
    until: datetime
    from_: datetime | None = msgspec.field(name="from", default=None)  # None: now
    by: str = ""  # who asks, for the story


class Api:
    """The endpoints. `credentials` None: anyone may; `wake` says that a call may be due."""

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        clock: Clock,
        credentials: Callable[[], Credentials | None],
        wake: Callable[[], None],
        new_id: Callable[[], str],
        feeds: Feeds = no_feeds,
    ) -> None:
        self._new_id, self._feeds = new_id, feeds
        self._store, self._policy, self._clock = store, policy, clock
        self._credentials, self._wake = credentials, wake

    def paths(self) -> Sequence[tuple[str, Endpoint, list[str]]]:
        """Return path, endpoint and methods of everything there is."""
        handlers: Sequence[tuple[str, str, Handler]] = (
            ("GET", "/pages", self._pages),
            ("GET", "/pages/{id}", self._page),
            ("POST", "/pages/{id}/acknowledge", self._acknowledge),
            ("GET", "/explain", self._explain),
            ("GET", "/calls", self._calls),
            ("GET", "/calls/{id}", self._call),
            ("POST", "/calls/{id}/retry", self._retry),
            ("GET", "/rejected", self._rejected),
            ("GET", "/rejected/{id}", self._rejected_body),
            ("GET", "/oncall", self._oncall),
            ("GET", "/overrides", self._overrides),
            ("POST", "/overrides", self._add_override),
            ("DELETE", "/overrides/{id}", self._remove_override),
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
        given = Query(request.query_params, ("open", "limit"))
        only_open, limit = given.flag("open"), given.limit()
        return await self._store.read(
            lambda session: stored.pages(session, only_open=only_open, limit=limit)
        )

    async def _page(self, request: Request, _body: bytes) -> Json:
        return await self._about(request, stored.page)

    async def _calls(self, request: Request, _body: bytes) -> Json:
        given = Query(request.query_params, ("filter", "state", "page", "limit"))
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
        limit = Query(request.query_params, ("limit",)).limit()
        return await self._store.read(lambda session: stored.rejected(session, limit))

    async def _rejected_body(self, request: Request, _body: bytes) -> Json:
        number = request.path_params["id"]
        if not number.isdecimal() or len(number) > 18:
            raise NotFound(f"there is no refused body {quoted(number)}; ids are numbers")
        return await self._store.read(lambda session: stored.rejected_body(session, int(number)))

    async def _about(self, request: Request, view: Callable[[Session, str], Json]) -> Json:
        Query(request.query_params, ())
        wanted = request.path_params["id"]
        return await self._store.read(lambda session: view(session, wanted))

    # --- steering ---

    async def _acknowledge(self, request: Request, _body: bytes) -> Json:
        wanted, now = request.path_params["id"], self._clock()
        return await self._store.write(
            lambda session: stored.acknowledge(session, wanted, now, _BY_API)
        )

    async def _retry(self, request: Request, _body: bytes) -> Json:
        wanted, now = request.path_params["id"], self._clock()
        answer = await self._store.write(
            lambda session: stored.retry(session, wanted, now, _BY_API)
        )
        self._wake()
        return answer

    async def _explain(self, request: Request, _body: bytes) -> Json:
        given = Query(request.query_params, ("page", "fingerprint", "label"))
        page, fingerprint = given.text("page"), given.text("fingerprint")
        labels = labels_of(request.query_params.getlist("label"))
        if [bool(page), bool(fingerprint), bool(labels)].count(True) != 1:
            raise Refusal(400, "ask with one of page, fingerprint, or label=name=value")
        if page:
            return await self._store.read(lambda session: stories.explain_page(session, page))
        return await self._store.read(
            lambda session: stories.explain_alert(session, labels, fingerprint)
        )

    # --- who is on call ---

    async def _oncall(self, request: Request, _body: bytes) -> Json:
        given = Query(request.query_params, ("at", "days", "schedule"))
        at = given.instant("at") or self._clock()
        days = given.number("days", default=14, most=schedules.MOST_DAYS)
        only = request.query_params.getlist("schedule")
        policy = self._policy()
        overrides = await self._store.read(lambda session: standing_overrides(session, policy, at))
        return schedules.plan(policy, overrides, self._feeds(), at, days, only)

    async def _overrides(self, request: Request, _body: bytes) -> Json:
        Query(request.query_params, ())
        now = self._clock()
        return await self._store.read(lambda session: schedules.overrides(session, now))

    async def _add_override(self, _request: Request, body: bytes) -> Json:
        expected = '{"schedule": …, "person": …, "until": RFC 3339, "from": RFC 3339}'
        asked, now = decoded(body, NewOverride, expected), self._clock()
        starts_at = asked.from_ or now
        for name, at in (("from", starts_at), ("until", asked.until)):
            check_time(name, at)
        return await self._store.write(
            lambda session: schedules.add_override(
                session,
                self._policy(),
                schedule=asked.schedule,
                person=asked.person,
                starts_at=starts_at,
                ends_at=asked.until,
                now=now,
                by=asked.by or _BY_API,
                new_id=self._new_id,
            )
        )

    async def _remove_override(self, request: Request, _body: bytes) -> Json:
        wanted, now = request.path_params["id"], self._clock()
        return await self._store.write(
            lambda session: schedules.remove_override(session, wanted, now, _BY_API)
        )

    async def _routes_test(self, _request: Request, body: bytes) -> Json:
        expected = '{"labels": {"name": "value"}, "annotations": {…}, "at": RFC 3339}'
        asked, policy = decoded(body, RouteTest, expected), self._policy()
        at = asked.at or self._clock()
        check_time("at", at)
        overrides = await self._store.read(lambda session: standing_overrides(session, policy, at))
        found = preview(
            policy, asked.labels, asked.annotations, at, roster_at(policy, overrides, self._feeds)
        )
        return previews.preview(found)
