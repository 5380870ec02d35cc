"""Fallback webhooks over real sockets: what they hear, how often, and what nobody hears of them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections import deque
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from store_world import HOUR, MINUTE, NOW, SECOND, call, episode, new_id, opened, page, recorded

from adapter import logs
from adapter.links import read_link
from adapter.metrics import Metrics
from adapter.model import (
    CallState,
    EventKind,
    Fallback,
    FallbackState,
    Mode,
    Receiver,
    Result,
    Secret,
)
from adapter.simulator.server import running
from adapter.store.schema import pages
from adapter.worker.fallbacks import LINK_LIVES, Teller

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

TOKEN = "T0SECRETxyz/B0SECRETxyz"  # of the webhook: it stands in the URL's path
LINK_SECRET = Secret("link-secret-of-this-story")
EXTERNAL_URL = "https://oncall.example.com"
DAY = timedelta(days=1)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def log():
    """All that is logged, as JSON and at the most talkative level; afterwards all is as before."""
    root, stream = logging.getLogger(), io.StringIO()
    level = root.level
    logs.configure(as_json=True, level="debug")
    [handler] = root.handlers
    handler.setStream(stream)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        structlog.reset_defaults()


class Chat:
    """A webhook receiver that answers as it is told, and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.headers: list[dict] = []
        self.answers: deque[Response | str] = deque()
        self.closing = asyncio.Event()
        self.app = Starlette(routes=[Route("/{path:path}", self.hear, methods=["POST", "GET"])])

    def will(self, *answers: int | Response | str) -> None:
        """Answer the next requests so, later ones with 200."""
        self.answers.extend(
            PlainTextResponse("so it is", answer) if isinstance(answer, int) else answer
            for answer in answers
        )

    async def hear(self, request: Request) -> Response:
        self.heard.append(await request.json())
        self.headers.append(dict(request.headers) | {":path": request.url.path})
        answer = self.answers.popleft() if self.answers else PlainTextResponse("ok")
        if answer == "hang":
            await self.closing.wait()
        if answer == "echo":
            return PlainTextResponse(f"{request.url} {await request.body()!r} +8613512345678", 500)
        return answer if isinstance(answer, Response) else PlainTextResponse("")


class World:
    """A teller, its store and a chat; `now` is moved by the test."""

    def __init__(self, store, http, chat, url) -> None:
        self.store, self.chat, self.now = store, chat, NOW
        self.metrics = Metrics()
        self.receivers = {"sre": Receiver(name="sre", fallback_webhook=Secret(f"{url}/{TOKEN}"))}
        self.external_url, self.link_secret = EXTERNAL_URL, LINK_SECRET
        self.http = http
        self.teller = self.another()

    def another(self) -> Teller:
        return Teller(
            self.store,
            self.http,
            lambda: self.receivers,
            self.metrics,
            lambda: self.now,
            lambda: 0.5,
            lambda: self.external_url,
            lambda: self.link_secret,
            request_seconds=0.2,
        )

    def owes(self, created_at=NOW, **values):
        """Write down a page that reached nobody."""
        of = page(**values)
        found = Fallback(
            id=new_id("fallback"),
            page_id=of.id,
            receiver="sre",
            run=1,
            state=FallbackState.WAITING,
            created_at=created_at,
            due_at=NOW,
        )
        tried = call(of, state=CallState.ACCEPTED, result=Result.UNANSWERED, settled_at=NOW)

        def write(session):
            recorded(session, of, episode(of), tried)
            session.add_fallback(found)

        self.store.write_now(write)
        return of

    def stands(self, of) -> Fallback:
        [found] = self.store.read_now(lambda session: session.fallbacks_of(of.id))
        return found

    def story(self, of) -> list[str]:
        told = self.store.read_now(lambda session: session.events_of(page_id=of.id))
        return [event.detail for event in told if event.kind is EventKind.FALLBACK]

    async def passes(self, time: timedelta):
        self.now += time
        return await self.teller.tell_due()

    def counted(self) -> dict[str, float]:
        value = self.metrics.registry.get_sample_value
        outcomes = ("sent", "retry", "gave_up", "shadowed")
        name = "uvms_adapter_fallbacks_total"
        counts = {outcome: value(name, {"outcome": outcome}) for outcome in outcomes}
        return {outcome: count for outcome, count in counts.items() if count}


@asynccontextmanager
async def world_at(tmp_path, url=None):
    chat = Chat()
    async with (
        running(chat.app) as chat_url,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        with opened(tmp_path) as store:
            yield World(store, http, chat, url or chat_url)
        chat.closing.set()


@pytest.fixture
async def world(tmp_path):
    async with world_at(tmp_path) as world:
        yield world


@asynccontextmanager
async def rude(bytes_first: bytes):
    """Listen, take a request, say this much, and cut the line."""

    async def serve(reader, writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes_first)
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


async def test_a_page_that_reached_nobody_is_told_once(world):
    of = world.owes()
    assert await world.teller.tell_due() is None
    [heard] = world.chat.heard
    assert (heard["version"], heard["receiver"]) == ("4", "sre")
    assert heard["uvmsAdapter"]["pageId"] == of.id
    assert "alice +86135****5678: not answered" in heard["commonAnnotations"]["uvms_adapter_tried"]
    [headers] = world.chat.headers
    assert headers["content-type"] == "application/json"
    assert headers[":path"] == f"/{TOKEN}"
    assert await world.passes(HOUR) is None
    assert len(world.chat.heard) == 1
    found = world.stands(of)
    assert (found.state, found.attempts, found.note) == (FallbackState.SENT, 1, "HTTP 200: ok")
    assert world.story(of) == ["sent: HTTP 200: ok"]
    assert world.counted() == {"sent": 1}


async def test_its_link_takes_the_page(world):
    of = world.owes()
    await world.teller.tell_due()
    url = world.chat.heard[0]["uvmsAdapter"]["acknowledgeUrl"]
    assert url.startswith(f"{EXTERNAL_URL}/v1/acknowledge/")
    last = NOW + LINK_LIVES - SECOND
    assert read_link(url.rpartition("/")[2], [LINK_SECRET], last) == of.id


@pytest.mark.parametrize("missing", ["external_url", "link_secret"])
async def test_without_an_address_or_a_secret_there_is_no_link(world, missing):
    setattr(world, missing, "" if missing == "external_url" else None)
    world.owes()
    await world.teller.tell_due()
    assert world.chat.heard[0]["uvmsAdapter"]["acknowledgeUrl"] is None


async def test_trouble_is_tried_again_until_it_is_over(world, log):
    of = world.owes()
    world.chat.will(500, 500)
    assert await world.teller.tell_due() == NOW + 3 * SECOND
    assert await world.passes(2 * SECOND) == NOW + 3 * SECOND
    assert len(world.chat.heard) == 1
    assert await world.passes(SECOND) == NOW + 9 * SECOND
    assert world.stands(of).note == "HTTP 500: so it is"
    assert await world.passes(6 * SECOND) is None
    assert len(world.chat.heard) == 3
    assert world.stands(of).attempts == 3
    assert world.counted() == {"retry": 2, "sent": 1}
    said = [(line["level"], line["status"]) for line in map(json.loads, lines_of(log))]
    assert said == [("warning", "retry"), ("info", "sent")]  # the same trouble again is no news


async def test_a_refusal_is_an_error_once_and_tried_again(world, log):
    of = world.owes()
    world.chat.will(404, 404)
    for _ in range(3):
        await world.passes(MINUTE)
    said = [(line["level"], line["status"]) for line in map(json.loads, lines_of(log))]
    assert said == [("error", "refused"), ("info", "sent")]
    assert world.stands(of).state is FallbackState.SENT


async def test_redirects_are_not_followed(world):
    of = world.owes()
    world.chat.will(RedirectResponse("/elsewhere", 307))
    await world.teller.tell_due()
    assert len(world.chat.heard) == 1
    assert world.stands(of).note == "HTTP 307, and redirects are not followed"
    assert world.stands(of).state is FallbackState.WAITING


async def test_one_that_hangs_is_tried_again_and_keeps_no_other(world):
    slow, quick = world.owes(), world.owes()
    world.chat.will("hang")
    await world.teller.tell_due()
    states = {world.stands(of).state for of in (slow, quick)}
    assert states == {FallbackState.WAITING, FallbackState.SENT}
    notes = {world.stands(of).note for of in (slow, quick)}
    assert notes == {"no answer within 0.2 s", "HTTP 200: ok"}
    await world.passes(MINUTE)
    assert world.counted() == {"retry": 1, "sent": 2}


@pytest.mark.parametrize(
    ("begins", "note"),
    [
        pytest.param(b"", "no answer: ", id="at once"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "no answer: ", id="midway"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", "no answer: RemoteProtocolError", id="no HTTP"),
    ],
)
async def test_a_line_that_is_cut_is_tried_again(tmp_path, begins, note):
    async with rude(begins) as url, world_at(tmp_path, url) as world:
        of = world.owes()
        await world.teller.tell_due()
        assert world.stands(of).state is FallbackState.WAITING
        assert world.stands(of).note.startswith(note)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:1", id="nobody listens"),
        pytest.param("http://secret-host:port", id="no URL"),
        pytest.param("ftp://secret-host", id="another protocol"),
        pytest.param("http://" + "secret" * 20, id="no host's name"),
    ],
)
async def test_a_url_that_leads_nowhere_is_tried_again_and_not_shown(tmp_path, log, url):
    async with world_at(tmp_path, url) as world:
        of = world.owes()
        await world.teller.tell_due()
        assert world.stands(of).state is FallbackState.WAITING
        assert world.stands(of).note.startswith("no answer")
        assert "secret" not in (log.getvalue() + str(world.stands(of))).lower()


async def test_after_a_day_it_is_given_up_aloud(world, log):
    of = world.owes()
    world.chat.will(500, 500)
    await world.teller.tell_due()
    assert await world.passes(DAY) is None
    found = world.stands(of)
    assert found.state is FallbackState.GAVE_UP
    assert found.note == "given up after 24 h; last: HTTP 500: so it is"
    assert world.counted() == {"retry": 1, "gave_up": 1}
    last = json.loads(lines_of(log)[-1])
    assert (last["level"], last["event"]) == ("error", "fallback webhook was not told")
    assert last["page"] == of.id


@pytest.mark.parametrize(
    ("values", "note"),
    [
        pytest.param({"acknowledged_at": NOW}, "somebody has taken the page", id="acknowledged"),
        pytest.param({"closed_at": NOW}, "the page has been closed", id="closed"),
    ],
)
async def test_what_is_over_meanwhile_is_not_told(world, values, note):
    of = world.owes(**values)
    await world.teller.tell_due()
    assert world.chat.heard == []
    assert world.stands(of).note == note
    assert world.stands(of).settled_at == NOW
    assert world.counted() == {}


async def test_a_receiver_in_shadow_mode_tells_nobody(world):
    webhook = world.receivers["sre"].fallback_webhook
    world.receivers = {"sre": Receiver(name="sre", fallback_webhook=webhook, mode=Mode.SHADOW)}
    of = world.owes()
    await world.teller.tell_due()
    assert world.chat.heard == []
    assert world.stands(of).state is FallbackState.SHADOWED
    assert world.counted() == {"shadowed": 1}


@pytest.mark.parametrize("receivers", [{}, {"sre": Receiver(name="sre")}])
async def test_a_webhook_that_was_taken_out_of_the_file_is_given_up(world, log, receivers):
    world.receivers = receivers
    of = world.owes()
    await world.teller.tell_due()
    assert world.stands(of).state is FallbackState.GAVE_UP
    assert world.stands(of).note == "receiver sre has no fallback_webhook any more"
    assert json.loads(lines_of(log)[-1])["level"] == "error"
    assert world.counted() == {"gave_up": 1}


async def test_two_that_look_at_once_tell_it_once(world):
    world.owes()
    await asyncio.gather(world.teller.tell_due(), world.another().tell_due())
    assert len(world.chat.heard) == 1


async def test_a_try_that_died_is_made_again(world):
    of = world.owes()
    lease = NOW + 30 * SECOND
    [leased] = world.store.write_now(world.teller._lease)
    assert leased.attempts == 1
    assert await world.teller.tell_due() == lease
    assert await world.passes(30 * SECOND) is None
    assert world.stands(of).state is FallbackState.SENT
    assert world.stands(of).attempts == 2


async def test_a_page_that_was_forgotten_after_the_lease_is_told_to_nobody(world):
    of = world.owes()
    [leased] = world.store.write_now(world.teller._lease)
    gone = pages.delete().where(pages.c.id == of.id)
    world.store.write_now(lambda session: session._connection.execute(gone))
    await world.teller._tell(leased)
    assert world.chat.heard == []
    assert world.counted() == {}


async def test_a_store_that_goes_away_meanwhile_ends_no_loop(world):
    world.owes()
    world.chat.will("hang")
    telling = asyncio.create_task(world.teller.run())
    await until(lambda: world.chat.heard)
    world.store.close()
    world.teller.stop()
    async with asyncio.timeout(10):
        await telling


async def test_no_secret_and_no_number_is_told_of(world, log):
    """An answer that sends the whole request back, as some servers do."""
    of = world.owes()
    world.chat.will("echo", PlainTextResponse("é" * 5000, 400), "echo")
    for _ in range(3):
        await world.passes(MINUTE)
        seen = f"{log.getvalue()}{world.stands(of)}{world.story(of)}"
        seen += world.metrics.render().decode()
        link = world.chat.heard[-1]["uvmsAdapter"]["acknowledgeUrl"].rpartition("/")[2]
        for secret in (*TOKEN.split("/"), LINK_SECRET.reveal, link, "13512345678"):
            assert secret not in seen
        assert len(world.stands(of).note) < 250
    assert "***" in world.stands(of).note


# --- the loop -----------------------------------------------------------------------------------


async def until(condition) -> None:
    loop = asyncio.get_running_loop()
    patience = loop.time() + 10
    while not condition():
        assert loop.time() < patience, "in vain"
        await asyncio.sleep(0.01)


async def test_the_loop_tells_what_is_found_until_it_is_stopped(world):
    telling = asyncio.create_task(world.teller.run())
    for number in (1, 2):
        world.owes()
        world.teller.wake()
        await until(lambda wanted=number: world.counted().get("sent") == wanted)
    world.teller.stop()
    async with asyncio.timeout(10):
        await telling
    world.owes()
    assert len(world.chat.heard) == 2


async def test_stopping_waits_for_what_is_under_way(world):
    of = world.owes()
    world.chat.will("hang")
    telling = asyncio.create_task(world.teller.run())
    await until(lambda: world.chat.heard)
    world.teller.stop()
    world.chat.closing.set()
    async with asyncio.timeout(10):
        await telling
    assert world.stands(of).state is FallbackState.SENT


async def test_the_loop_outlives_what_nobody_foresaw(world, log):
    of = world.owes()
    good, world.now = world.now, "no time at all"
    telling = asyncio.create_task(world.teller.run())
    await until(lambda: "a round of fallback webhooks failed" in log.getvalue())
    world.now = good
    world.teller.wake()
    await until(lambda: world.stands(of).state is FallbackState.SENT)
    world.teller.stop()
    await telling


async def test_the_loop_outlives_a_policy_that_cannot_be_asked(world, log):
    of = world.owes()
    good, world.receivers = world.receivers, None
    telling = asyncio.create_task(world.teller.run())
    await until(lambda: "telling a fallback webhook failed" in log.getvalue())
    world.receivers = good
    world.now += MINUTE
    world.teller.wake()
    await until(lambda: world.stands(of).state is FallbackState.SENT)
    world.teller.stop()
    await telling


def lines_of(log: io.StringIO) -> list[str]:
    return [line for line in log.getvalue().splitlines() if "fallback" in line]
