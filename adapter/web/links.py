"""Acknowledgement links: `/v1/acknowledge/{token}`, for whoever has the link.

GET shows what the page is about and a button, POST takes it: chats fetch every link they see, and
that must not acknowledge anything. The token alone lets in; it opens one page and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from adapter.clock import Clock
from adapter.errors import StoreUnavailable
from adapter.links import PATH, Unusable, read_link
from adapter.logs import logger
from adapter.metrics import Metrics
from adapter.model import Page, Secret
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.web.link_page import HEADERS, Said, Shown, render

_log = logger(__name__)

_ALERTS_COUNTED = 1_000  # of one page, by name
_NAMES_SHOWN = 10

Endpoint = Callable[[Request], Awaitable[Response]]


class Links:
    """The endpoints. `secrets`: those that links may be signed with now; none: no link is good."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        secrets: Callable[[], Sequence[Secret]],
        wake: Callable[[], None],
    ) -> None:
        self._store, self._metrics, self._clock = store, metrics, clock
        self._secrets, self._wake = secrets, wake

    def paths(self) -> Sequence[tuple[str, Endpoint, list[str]]]:
        """Return path, endpoint and methods of everything there is."""
        path = f"{PATH}/{{token}}"
        return [(path, self._show, ["GET"]), (path, self._take, ["POST"])]

    async def _show(self, request: Request) -> Response:
        page_id = self._page_id(request)
        if isinstance(page_id, Unusable):
            return _unusable(page_id)
        try:
            said, shown = await self._store.read(lambda session: _look(session, page_id))
        except StoreUnavailable:
            return _answer(Said.NOT_NOW)
        return _answer(said, shown)

    async def _take(self, request: Request) -> Response:
        page_id, now = self._page_id(request), self._clock()
        if isinstance(page_id, Unusable):
            return _unusable(page_id)
        try:
            said, shown = await self._store.write(lambda session: _take(session, page_id, now))
        except StoreUnavailable:
            return _answer(Said.NOT_NOW)
        if said is Said.TAKEN:
            self._metrics.acknowledgements.labels("link").inc()
            _log.info("page acknowledged", page=page_id, by="link")
            self._wake()
        return _answer(said, shown)

    def _page_id(self, request: Request) -> str | Unusable:
        return read_link(request.path_params["token"], self._secrets(), self._clock())


def _look(session: Session, page_id: str) -> tuple[Said, Shown | None]:
    page = session.page(page_id)
    return (Said.CLOSED, None) if page is None else (_standing(page), _shown(session, page))


def _take(session: Session, page_id: str, now: datetime) -> tuple[Said, Shown | None]:
    """Acknowledge the page, unless somebody has; who was first stays written down."""
    said, shown = _look(session, page_id)
    if said is not Said.ASKS or not session.acknowledge(page_id, now, by="link"):
        return said, shown
    return Said.TAKEN, _look(session, page_id)[1]


def _standing(page: Page) -> Said:
    if page.closed_at is not None:
        return Said.CLOSED
    return Said.ASKS if page.acknowledged_at is None else Said.TAKEN_BEFORE


def _shown(session: Session, page: Page) -> Shown:
    alerts = session.episodes_of(page.id, _ALERTS_COUNTED)
    names = Counter(alert.labels.get("alertname", "") for alert in alerts if alert.firing)
    return Shown(
        page=page,
        firing=session.firing_in([page.id]).get(page.id, 0),
        alertnames=[(name or "?", count) for name, count in names.most_common(_NAMES_SHOWN)],
        more_alertnames=max(len(names) - _NAMES_SHOWN, 0),
    )


def _unusable(why: Unusable) -> Response:
    return _answer(Said.EXPIRED if why is Unusable.EXPIRED else Said.NOT_OURS)


def _answer(said: Said, shown: Shown | None = None) -> Response:
    headers = HEADERS | ({"Retry-After": "5"} if said is Said.NOT_NOW else {})
    return HTMLResponse(render(said, shown), said.status, headers)
