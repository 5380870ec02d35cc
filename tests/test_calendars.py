"""Feeds are fetched from a real server on loopback, or read from files; the clock is passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from adapter import calendars
from adapter.calendars import Calendars, StoredCalendar, shown, source_of
from adapter.errors import StoreUnavailable
from adapter.schedules.ical import MAX_BYTES
from adapter.schedules.records import Calendar, Schedule
from adapter.simulator.server import running

pytest.importorskip("recurring_ical_events", reason="the extra ical is not installed")
pytestmark = pytest.mark.anyio

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 2, 4, tzinfo=UTC)
PEOPLE = frozenset({"alice", "bob"})
MINUTE = timedelta(minutes=1)
SECRET = "private-0123456789abcdef"


@pytest.fixture
def anyio_backend():
    return "asyncio"


def feed_of(summary: str, *lines: str) -> str:
    times = lines or ("DTSTART:20261102T000000", "DTEND:20261103T000000")
    event = ["BEGIN:VEVENT", "UID:1", f"SUMMARY:{summary}", *times, "END:VEVENT"]
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *event, "END:VCALENDAR", ""])


class Server:
    """Serves one feed, as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[], Response] = lambda: PlainTextResponse(feed_of("alice"))
        self.asked: list[Request] = []

    async def serve(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answer()

    def serves(self, text: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda: PlainTextResponse(text, headers=named)

    def fails(self, status: int) -> None:
        self.answer = lambda: PlainTextResponse("no", status_code=status)

    @property
    def feed_url(self) -> str:
        return f"{self.url}/{SECRET}/basic.ics?token={SECRET}"


class World:
    """Calendars, and all that is around them."""

    def __init__(self, server: Server, http: httpx.AsyncClient) -> None:
        self.server, self.http = server, http
        self.stored: dict[str, StoredCalendar] = {}
        self.saves = 0
        self.store_fails = False
        self.succeeded: list[tuple[str, datetime]] = []
        self.failed: list[str] = []
        self.calendars = self.new()

    def new(self) -> Calendars:
        return Calendars(self.http, self.load, self.save, self)

    async def load(self):
        if self.store_fails:
            raise StoreUnavailable("the disk is full")
        return dict(self.stored)

    async def save(self, schedule: str, copy: StoredCalendar) -> None:
        if self.store_fails:
            raise StoreUnavailable("the disk is full")
        self.saves += 1
        self.stored[schedule] = copy

    def calendar_refreshed(self, schedule: str, at: datetime) -> None:
        self.succeeded.append((schedule, at))

    def calendar_failed(self, schedule: str) -> None:
        self.failed.append(schedule)

    def schedules(self, url: str = "", **more) -> dict[str, Schedule]:
        calendar = Calendar(url=url or ("" if "file" in more else self.server.feed_url), **more)
        return {"primary": Schedule(name="primary", time_zone=ZONE, calendar=calendar)}

    async def refresh(self, schedules=None, *, after: timedelta = timedelta(0), people=PEOPLE):
        await self.calendars.refresh(schedules or self.schedules(), people, NOW + after)

    @property
    def on_call(self) -> tuple[str, ...] | None:
        feed = self.calendars.feeds().get("primary")
        return feed.on_call(NOW) if feed else None


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    server = Server()
    app = Starlette(routes=[Route("/{path:path}", server.serve)])
    async with (
        running(app) as server.url,
        httpx.AsyncClient(trust_env=False, verify=False) as http,  # plain HTTP, no certificates
    ):
        yield World(server, http)


@pytest.fixture
async def world(anyio_backend):
    async with a_world() as world:
        yield world


@pytest.fixture
def log():
    with structlog.testing.capture_logs() as lines:
        yield lines


def warnings(log) -> list[str]:
    return [line["event"] for line in log if line["log_level"] == "warning"]


# --- fetching ----------------------------------------------------------------------------------


async def test_a_feed_is_fetched_when_it_is_due_and_not_before(world):
    await world.refresh()
    assert world.on_call == ("alice",)
    world.server.serves(feed_of("bob"))
    await world.refresh(after=14 * MINUTE)
    assert (world.on_call, len(world.server.asked)) == (("alice",), 1)
    await world.refresh(after=15 * MINUTE)
    assert (world.on_call, len(world.server.asked)) == (("bob",), 2)
    assert world.succeeded[-1] == ("primary", NOW + 15 * MINUTE)


async def test_an_unchanged_feed_is_not_sent_again_and_counts_as_fresh(world):
    world.server.serves(feed_of("alice"), ETag='"7"', Last_Modified="Mon, 02 Nov 2026 00:00:00 GMT")
    await world.refresh()
    world.server.answer = lambda: Response(status_code=304)
    feed = world.calendars.feeds()["primary"]
    await world.refresh(after=15 * MINUTE)
    headers = world.server.asked[1].headers
    assert headers["if-none-match"] == '"7"'
    assert headers["if-modified-since"] == "Mon, 02 Nov 2026 00:00:00 GMT"
    assert world.calendars.feeds()["primary"] is feed
    assert world.succeeded[-1] == ("primary", NOW + 15 * MINUTE)
    assert world.saves == 1


async def test_the_same_body_again_is_neither_read_nor_stored_again(world):
    await world.refresh()
    feed = world.calendars.feeds()["primary"]
    await world.refresh(after=15 * MINUTE)
    assert world.calendars.feeds()["primary"] is feed
    assert world.saves == 1


async def test_redirects_are_followed(world):
    target = f"{world.server.url}/there.ics"

    def answer() -> Response:
        world.server.serves(feed_of("bob"))
        return RedirectResponse(target)

    world.server.answer = answer
    await world.refresh()
    assert world.on_call == ("bob",)


async def too_long() -> AsyncIterator[bytes]:
    for _ in range(2 * MAX_BYTES // 65536):
        yield b"x" * 65536


async def trickle() -> AsyncIterator[bytes]:
    for _ in range(1000):
        yield b"x"
        await asyncio.sleep(0.005)


FAULTS = {
    "an error": (lambda: PlainTextResponse("no", 500), "it was answered with HTTP 500"),
    "gone": (lambda: PlainTextResponse("no", 404), "it was answered with HTTP 404"),
    "a page to sign in": (lambda: PlainTextResponse("<html>"), "it is no iCalendar text"),
    "nothing": (lambda: PlainTextResponse(""), "it is no iCalendar text"),
    "not UTF-8": (lambda: Response(b"\xff\xfe"), "it is not UTF-8"),
    "a body that is too long": (
        lambda: StreamingResponse(too_long()),
        f"longer than {MAX_BYTES} bytes",
    ),
    "redirects for ever": (lambda: RedirectResponse("/again"), "TooManyRedirects"),
    "a redirect to a file": (lambda: RedirectResponse("file:///etc/passwd"), "UnsupportedProtocol"),
    "a rule of every second": (
        lambda: PlainTextResponse(feed_of("bob", "DTSTART:20260101T000000", "RRULE:FREQ=SECONDLY")),
        "it repeats events too often",
    ),
}


@pytest.mark.parametrize(("answer", "why"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("there_before", [True, False])
async def test_a_failure_keeps_the_last_good_copy(world, log, answer, why, there_before):
    if there_before:
        await world.refresh()
    world.server.answer = answer
    await world.refresh(after=15 * MINUTE)
    assert world.on_call == (("alice",) if there_before else None)
    assert world.failed == ["primary"]
    (line,) = [line for line in log if line["log_level"] == "warning"]
    assert line["event"] == "calendar not refreshed"
    assert why in line["error"]
    assert line["last_good"] == (NOW.isoformat() if there_before else "none")


async def test_a_body_that_trickles_is_given_up(world, log, monkeypatch):
    monkeypatch.setattr(calendars, "ANSWER_WITHIN_SECONDS", 0.1)
    world.server.answer = lambda: StreamingResponse(trickle())
    await world.refresh()
    assert world.failed == ["primary"]
    assert log[0]["error"] == "no whole answer within 0 s"


async def test_not_modified_since_nothing_is_a_failure(world, log):
    world.server.answer = lambda: Response(status_code=304)
    await world.refresh()
    assert log[0]["error"] == "it was answered with HTTP 304"


async def test_a_server_that_is_not_there(world):
    await world.refresh(world.schedules("http://127.0.0.1:1/feed.ics"))
    assert world.failed == ["primary"]


async def test_a_failure_is_tried_again_soon_told_once_and_its_end_is_told(world, log):
    world.server.fails(503)
    for minutes in range(4):
        await world.refresh(after=minutes * MINUTE)
    assert len(world.server.asked) == len(world.failed) == 4
    assert warnings(log) == ["calendar not refreshed"]
    world.server.serves(feed_of("alice"))
    await world.refresh(after=5 * MINUTE)
    assert world.on_call == ("alice",)
    assert log[-1]["event"] == "calendar refreshed"


async def test_no_log_line_shows_the_secret_parts_of_a_url(world, log):
    with_password = world.server.feed_url.replace("http://", f"http://user:{SECRET}@")
    world.server.fails(401)
    await world.refresh(world.schedules(with_password))
    world.server.serves(feed_of("alice"))
    await world.refresh(world.schedules(with_password), after=MINUTE)
    await world.refresh(world.schedules(f"http://127.0.0.1:1/{SECRET}"), after=MINUTE)
    await world.refresh(world.schedules(f"http://a:{SECRET}/"), after=MINUTE)
    assert len(log) == 4
    assert SECRET not in repr(log)
    assert SECRET not in world.stored["primary"].source


# --- what is odd in it -------------------------------------------------------------------------


async def test_strangers_and_broken_events_are_told_once(world, log):
    world.server.serves(feed_of("zed"))
    await world.refresh()
    await world.refresh(after=15 * MINUTE)
    assert [line["names"] for line in log if "names" in line] == [("zed",)]
    world.server.serves(feed_of("alice", "DTSTART:soon"))
    await world.refresh(after=30 * MINUTE)
    (line,) = [line for line in log if "events" in line]
    assert line["events"][0].startswith("event 'alice': its times cannot be read")


# --- what changes in the configuration ---------------------------------------------------------


async def test_another_url_is_fetched_at_once_and_the_old_feed_counts_no_more(world):
    await world.refresh()
    world.server.fails(500)
    await world.refresh(world.schedules(f"{world.server.url}/other.ics"), after=MINUTE)
    assert world.on_call is None


async def test_a_schedule_that_is_gone_has_no_feed(world):
    await world.refresh()
    plain = {"primary": Schedule(name="primary", time_zone=ZONE)}
    await world.refresh(plain, after=MINUTE)
    assert world.on_call is None
    await world.refresh({"other": plain["primary"]}, after=MINUTE)
    assert world.calendars.feeds() == {}


async def test_other_people_give_the_same_text_another_meaning_without_a_fetch(world):
    world.server.serves(feed_of("zed"))
    await world.refresh()
    assert world.on_call == ()
    await world.refresh(after=MINUTE, people=PEOPLE | {"zed"})
    assert world.on_call == ("zed",)
    await world.refresh(world.schedules(people={"zed": "bob"}), after=MINUTE)
    assert world.on_call == ("bob",)
    assert len(world.server.asked) == 1


# --- files -------------------------------------------------------------------------------------


async def test_a_file_is_read_again_when_it_changed(world, tmp_path):
    file = tmp_path / "oncall.ics"
    file.write_text(feed_of("alice"))
    schedules = world.schedules(file=str(file))
    await world.refresh(schedules)
    feed = world.calendars.feeds()["primary"]
    await world.refresh(schedules, after=calendars.LOOK_AT_FILES_EVERY)
    assert world.calendars.feeds()["primary"] is feed

    swapped = tmp_path / "new.ics"
    swapped.write_text(feed_of("bob"))
    swapped.replace(file)
    await world.refresh(schedules, after=2 * calendars.LOOK_AT_FILES_EVERY)
    assert world.on_call == ("bob",)


async def test_a_file_that_is_gone_keeps_its_last_good_copy(world, tmp_path, log):
    file = tmp_path / "oncall.ics"
    file.write_text(feed_of("alice"))
    schedules = world.schedules(file=str(file))
    await world.refresh(schedules)
    file.unlink()
    await world.refresh(schedules, after=MINUTE)
    assert world.on_call == ("alice",)
    (line,) = [line for line in log if line["log_level"] == "warning"]
    assert line["error"] == "it could not be read: No such file or directory"
    assert line["source"] == str(file)


# --- over a restart ----------------------------------------------------------------------------


async def test_the_last_good_copy_is_there_after_a_restart(world):
    world.server.serves(feed_of("alice"), ETag='"7"')
    await world.refresh()
    world.calendars, world.succeeded = world.new(), []
    world.server.fails(500)
    await world.calendars.start(world.schedules(), PEOPLE, NOW + MINUTE)
    assert world.on_call == ("alice",)
    assert world.succeeded == [("primary", NOW)]
    await world.refresh(after=MINUTE)
    assert world.on_call == ("alice",)
    assert world.server.asked[-1].headers["if-none-match"] == '"7"'


async def test_a_copy_of_another_source_is_not_used(world):
    await world.refresh()
    world.calendars = world.new()
    await world.calendars.start(world.schedules(f"{world.server.url}/other"), PEOPLE, NOW)
    assert world.on_call is None


async def test_a_stored_copy_that_cannot_be_read_is_told(world, log):
    await world.refresh()
    damaged = world.stored["primary"]
    world.stored["primary"] = StoredCalendar(
        schedule="primary",
        source=damaged.source,
        text="damaged",
        etag='"7"',
        last_modified="",
        fetched_at=NOW,
    )
    world.calendars = world.new()
    await world.calendars.start(world.schedules(), PEOPLE, NOW)
    assert world.on_call is None
    assert "calendar not refreshed" in warnings(log)
    await world.refresh()
    assert "if-none-match" not in world.server.asked[-1].headers
    assert world.on_call == ("alice",)


async def test_without_the_store_feeds_are_used_all_the_same(world, log):
    world.store_fails = True
    await world.calendars.start(world.schedules(), PEOPLE, NOW)
    await world.refresh()
    world.server.serves(feed_of("bob"))
    await world.refresh(after=15 * MINUTE)
    assert world.on_call == ("bob",)
    assert warnings(log) == ["stored calendars not loaded", "calendar not stored"]


# --- going on ----------------------------------------------------------------------------------


async def test_it_keeps_fresh_and_looks_at_once_when_the_configuration_changed(world):
    wanted: dict[str, Schedule] = {}
    asked, fetched = asyncio.Event(), asyncio.Event()
    world.calendar_refreshed = lambda schedule, at: fetched.set()

    def ask():
        asked.set()
        return dict(wanted), PEOPLE

    async with keeping_fresh(world, ask):
        await asked.wait()
        wanted |= world.schedules()
        world.calendars.changed()
        await fetched.wait()
        assert world.on_call == ("alice",)


async def test_it_comes_back_when_the_next_refresh_is_due(world, monkeypatch):
    monkeypatch.setattr(calendars, "SHORTEST_WAIT_SECONDS", 0.0)
    times = iter([NOW, NOW + 15 * MINUTE, NOW + 15 * MINUTE])
    fetched = asyncio.Event()

    def answer() -> Response:
        if len(world.server.asked) == 2:
            fetched.set()
        return PlainTextResponse(feed_of("alice"))

    world.server.answer = answer

    def clock() -> datetime:
        return next(times, NOW + 16 * MINUTE)

    async with keeping_fresh(world, lambda: (world.schedules(), PEOPLE), clock):
        await fetched.wait()


async def test_it_goes_on_after_a_bug(world, log):
    asked, fetched = asyncio.Event(), asyncio.Event()

    def refreshed(schedule: str, at: datetime) -> None:
        if not asked.is_set():
            asked.set()
            raise ZeroDivisionError
        fetched.set()

    world.calendar_refreshed = refreshed
    async with keeping_fresh(world, lambda: (world.schedules(), PEOPLE)):
        await asked.wait()
        world.calendars.changed()
        await fetched.wait()
    assert log[0]["event"] == "calendars not refreshed"


@asynccontextmanager
async def keeping_fresh(world: World, ask, clock=lambda: NOW) -> AsyncIterator[None]:
    async with asyncio.timeout(20):
        task = asyncio.create_task(world.calendars.keep_fresh(ask, clock))
        yield
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_next_refresh_is_due_as_its_schedule_says(world):
    assert world.calendars.next_due(world.schedules(), NOW) == NOW + calendars.TRY_AGAIN_AFTER
    schedules = world.schedules(refresh=timedelta(hours=1))
    await world.refresh(schedules)
    assert world.calendars.next_due(schedules, NOW) == NOW + timedelta(hours=1)
    world.server.fails(500)
    await world.refresh(schedules, after=timedelta(hours=1))
    assert world.calendars.next_due(schedules, NOW) == NOW + timedelta(hours=1) + MINUTE


def test_what_is_shown_and_stored_of_a_source():
    def schedule(**where: str) -> Schedule:
        return Schedule(name="x", time_zone=ZONE, calendar=Calendar(**where))

    assert shown(schedule(url="https://u:p@cal.example.com/a/b.ics?k=1")) == (
        "https://cal.example.com/…"
    )
    assert shown(schedule(url="https://a:port/")) == "a URL"
    assert shown(schedule(file="oncall.ics")) == "oncall.ics"
    assert source_of(schedule(file="a")) != source_of(schedule(url="a"))
    assert source_of(Schedule(name="x", time_zone=ZONE)) == ""
