"""Tells fallback webhooks that a page reached nobody: lease -> render -> post -> settle.

What is told, and when it is told again, is decided in `telling`. A process that dies between the
lease and what came of it leaves the lease to run out: then it is told again, so a chat may hear of
a page twice, and never not at all. The URL is a secret: it goes to the HTTP client and nowhere
else, and neither do the texts of that client's errors, which may quote it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import unquote

import httpx
from msgspec.structs import replace

from adapter.clock import Clock
from adapter.delivery.fields import clean_message
from adapter.errors import StoreUnavailable
from adapter.links import link_url, sign_link
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.model import Fallback, Receiver, Secret
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.telling.body import Exhausted, body_of
from adapter.telling.retrying import Outcome, Reply, Settlement, settle, where_to_tell

_log = logger(__name__)

LINK_LIVES = timedelta(days=3)  # a weekend

_REQUEST_SECONDS = 10.0  # from connecting to the last byte of the answer
_LEASE = timedelta(seconds=30)  # longer than any request, and what is around it
_AT_ONCE = 10
_POLL_SECONDS = 1.0  # another process may have found a page exhausted
_MOST_ANSWER_BYTES = 4096
_MOST_SAID = 200  # characters of an answer that are kept
_SHORTEST_HIDDEN = 4  # characters; shorter parts of a URL are no secrets

# How outcomes are counted. Those that asked nobody are not.
_COUNTED = {
    Outcome.SENT: "sent",
    Outcome.RETRY: "retry",
    Outcome.REFUSED: "retry",
    Outcome.GAVE_UP: "gave_up",
    Outcome.SHADOWED: "shadowed",
}


class Teller:
    """One process's voice. `run` until `stop`; `wake` says that something may be due."""

    def __init__(
        self,
        store: Store,
        http: httpx.AsyncClient,
        receivers: Callable[[], Mapping[str, Receiver]],
        metrics: Metrics,
        clock: Clock,
        chance: Callable[[], float],
        external_url: Callable[[], str],
        link_secret: Callable[[], Secret | None],
        request_seconds: float = _REQUEST_SECONDS,
    ) -> None:
        """Take what it needs; without `external_url` or `link_secret` no link is told."""
        self._store, self._http, self._receivers = store, http, receivers
        self._metrics, self._clock, self._chance = metrics, clock, chance
        self._external_url, self._link_secret = external_url, link_secret
        self._request_seconds = request_seconds
        self._news = Changes()
        self._awake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look for something to tell now."""
        self._awake.set()

    def stop(self) -> None:
        """Begin nothing more; `run` ends when what is under way has been settled."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Tell what is due, until stopped."""
        while not self._stopping:
            self._awake.clear()
            pause = await self._round()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()

    async def tell_due(self) -> datetime | None:
        """Tell what is due, some of it at once; return when the next is due, None: nothing is."""
        due = await self._store.read(lambda session: session.next_fallback_due())
        if due is None or due > self._clock():
            return due
        leased = await self._store.write(self._lease)
        async with asyncio.TaskGroup() as tasks:
            for fallback in leased:
                tasks.create_task(self._guarded(fallback), name=f"fallback {fallback.id}")
        return await self._store.read(lambda session: session.next_fallback_due())

    async def _round(self) -> float:
        """Do what is due; return for how many seconds to sleep."""
        try:
            due = await self.tell_due()
        except StoreUnavailable:  # whoever observes the store says so
            return _POLL_SECONDS
        except Exception as error:  # the loop lives on
            if self._news.is_news("round", repr(error)):
                _log.exception("a round of fallback webhooks failed")
            return _POLL_SECONDS
        left = _POLL_SECONDS if due is None else (due - self._clock()).total_seconds()
        return min(max(left, 0.0), _POLL_SECONDS)

    def _lease(self, session: Session) -> list[Fallback]:
        now = self._clock()
        return [
            replace(fallback, attempts=fallback.attempts + 1)
            for fallback in session.due_fallbacks(now, _AT_ONCE)
            if session.lease_fallback(fallback.id, now, now + _LEASE)
        ]

    async def _guarded(self, fallback: Fallback) -> None:
        try:
            await self._tell(fallback)
        except StoreUnavailable:  # whoever observes the store says so; the lease will run out
            pass
        except Exception as error:  # one's bug must not end the others
            if self._news.is_news(f"fallback {fallback.id}", repr(error)):
                _log.exception("telling a fallback webhook failed", page=fallback.page_id)

    async def _tell(self, fallback: Fallback) -> None:
        told = await self._store.read(lambda session: _exhausted(session, fallback.page_id))
        if told is None:
            return  # forgotten meanwhile, and its fallback with it
        where = where_to_tell(told.page, self._receivers().get(fallback.receiver))
        if isinstance(where, Settlement):
            await self._settle(fallback, where)
            return
        reply = await self._ask(where, fallback, told)
        await self._settle(fallback, settle(fallback, reply, self._clock(), self._chance()))

    # --- asking ---

    async def _ask(self, url: Secret, fallback: Fallback, told: Exhausted) -> Reply:
        """Post to the webhook once. Trouble on the way is in the reply, never raised."""
        external_url, token = self._external_url(), self._token(fallback.page_id)
        link = link_url(external_url, token) if external_url and token else ""
        body = body_of(told, fallback.run, external_url, link)
        try:
            async with (
                asyncio.timeout(self._request_seconds),
                self._http.stream(
                    "POST",
                    url.reveal,
                    content=body,
                    headers={"Content-Type": "application/json"},
                    timeout=self._request_seconds,
                    follow_redirects=False,
                ) as response,
            ):
                raw = await _beginning(response)
        except (TimeoutError, httpx.TimeoutException):
            return Reply(http_status=None, said=f"no answer within {self._request_seconds:g} s")
        except Exception as error:  # httpx lets other libraries' through, on a URL that is wrong
            return Reply(http_status=None, said=_kind(error))
        return Reply(http_status=response.status_code, said=_said(raw, url.reveal, token))

    def _token(self, page_id: str) -> str:
        secret = self._link_secret()
        return sign_link(page_id, self._clock() + LINK_LIVES, secret) if secret else ""

    # --- settling ---

    async def _settle(self, fallback: Fallback, settlement: Settlement) -> None:
        now = self._clock()
        await self._store.write(
            lambda session: session.settle_fallback(
                fallback.id, settlement.state, settlement.due_at, settlement.note, now
            )
        )
        if counted := _COUNTED.get(settlement.outcome):
            self._metrics.fallbacks.labels(counted).inc()
        if self._news.is_news(f"fallback {fallback.id}", settlement.outcome):
            _report(fallback, settlement)


def _report(fallback: Fallback, settlement: Settlement) -> None:
    log, event = {
        Outcome.SENT: (_log.info, "fallback webhook told"),
        Outcome.RETRY: (_log.warning, "fallback webhook not told yet"),
        Outcome.REFUSED: (_log.error, "fallback webhook refuses: somebody has to mend it"),
        Outcome.GAVE_UP: (_log.error, "fallback webhook was not told"),
        Outcome.SHADOWED: (_log.info, "fallback webhook not told"),
        Outcome.NOT_NEEDED: (_log.info, "fallback webhook not told"),
    }[settlement.outcome]
    log(
        event,
        status=settlement.outcome,
        page=fallback.page_id,
        receiver=fallback.receiver,
        run=fallback.run,
        attempts=fallback.attempts,
        note=settlement.note,
    )


def _exhausted(session: Session, page_id: str) -> Exhausted | None:
    page = session.page(page_id)
    return None if page is None else session.exhausted(page)


async def _beginning(response: httpx.Response) -> bytes:
    """Return the beginning of an answer; one without end must not take the memory."""
    raw = bytearray()
    async for chunk in response.aiter_bytes():
        raw += chunk
        if len(raw) >= _MOST_ANSWER_BYTES:
            break
    return bytes(raw[:_MOST_ANSWER_BYTES])


def _said(raw: bytes, url: str, token: str) -> str:
    """Return what an answer says, without what it may echo: no part of the URL, no link, no phone.

    Some servers name the path they do not know, and some send the whole request back.
    """
    parts = {part for form in (url, unquote(url)) for part in re.split(r"[^\w.~%+-]+", form)}
    hidden = {part for part in parts if len(part) >= _SHORTEST_HIDDEN}
    longest_first = sorted(filter(None, hidden | {token}), key=len, reverse=True)
    found = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    return clean_message(found.sub("***", raw.decode(errors="replace")))[:_MOST_SAID]


def _kind(error: Exception) -> str:
    """Say what went wrong by the errors' names alone: their texts may quote the URL."""
    first: BaseException = error
    while (before := first.__cause__ or first.__context__) is not None:
        first = before
    own, its = type(error).__name__, type(first).__name__
    return f"no answer: {own}" if own == its else f"no answer: {own}, from {its}"
