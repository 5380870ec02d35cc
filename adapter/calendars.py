"""Keeps the iCalendar feeds of the schedules: fetches, reads, and has the last good copy of each.

A feed that cannot be fetched or read changes nothing: who was on call by the last good copy still
is, also over a restart. That it happened is logged once, counted, and shows in the time of the last
success. Bodies are read in threads, so that no call waits for one.

Knows no SQL and no metrics library. Of a URL only scheme and host are ever shown: the rest of a
private feed's address is its password.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import httpx

from adapter.clock import Clock
from adapter.errors import AdapterError, InvalidCalendar
from adapter.logs import Changes, logger
from adapter.model import Record
from adapter.schedules.ical import MAX_BYTES, WINDOW, Feed, read_feed
from adapter.schedules.records import Calendar, Schedule, StoredCalendar

ANSWER_WITHIN_SECONDS = 30.0  # from the request to the last byte, redirects included
TRY_AGAIN_AFTER = timedelta(minutes=1)  # a failure, unless the feed is due earlier
LOOK_AT_FILES_EVERY = timedelta(seconds=15)
LOOK_AHEAD = timedelta(days=30)
SHORTEST_WAIT_SECONDS = 1.0  # whatever the clock says

_log = logger(__name__)


Load = Callable[[], Awaitable[Mapping[str, StoredCalendar]]]
Save = Callable[[str, StoredCalendar], Awaitable[None]]
Schedules = Mapping[str, Schedule]
People = frozenset[str]  # names


class Told(Protocol):
    """Whoever wants to know how it goes: the metrics."""

    def calendar_refreshed(self, schedule: str, at: datetime) -> None:
        """Take note that a good copy of the schedule's feed is from this time."""
        ...

    def calendar_failed(self, schedule: str) -> None:
        """Take note that a refresh of the schedule's feed failed."""
        ...


class _Failed(Exception):
    """A feed could not be had; the text says why, and shows no address."""


class _Got(Record):
    """What a source answered."""

    body: bytes | None  # None: what we have is still right
    etag: str = ""
    last_modified: str = ""


class _Kept(Record):
    """A schedule's feed as it is used."""

    copy: StoredCalendar
    feed: Feed
    read_with: str  # what else decided how the text was read


class Calendars:
    """The feeds of all schedules. Call `start` before anything else."""

    def __init__(self, http: httpx.AsyncClient, load: Load, save: Save, told: Told) -> None:
        self._http, self._load, self._save, self._told = http, load, save, told
        self._stored: dict[str, StoredCalendar] = {}
        self._kept: dict[str, _Kept] = {}
        self._due: dict[str, tuple[str, datetime]] = {}  # schedule -> (source, next refresh)
        self._changes = Changes()
        self._refreshing = asyncio.Lock()
        self._wake = asyncio.Event()

    def feeds(self) -> Mapping[str, Feed]:
        """Return the feeds that are there, by schedule; a schedule without one has nobody by it."""
        return {name: kept.feed for name, kept in self._kept.items()}

    def changed(self) -> None:
        """Have `keep_fresh` look again at once: the configuration may be another."""
        self._wake.set()

    async def start(self, schedules: Schedules, people: People, now: datetime) -> None:
        """Read the copies of the last run, so that nobody is forgotten before the first fetch."""
        try:
            self._stored = dict(await self._load())
        except AdapterError as error:
            _log.warning("stored calendars not loaded", error=str(error))
        await self._use_copies(schedules, people, now)

    async def refresh(self, schedules: Schedules, people: People, now: datetime) -> None:
        """Fetch what is due and swap in what is good, in this order:

        forget feeds of schedules that are gone or come from elsewhere now;
        read the copies again where the configuration gives them another meaning;
        fetch what is due, all at once; read it; swap; save.
        """
        async with self._refreshing:
            await self._use_copies(schedules, people, now)
            due = [one for one in schedules.values() if one.calendar and self._is_due(one, now)]
            async with asyncio.TaskGroup() as group:
                for schedule in due:
                    group.create_task(
                        self._refresh(schedule, people, now), name=f"calendar {schedule.name}"
                    )

    async def keep_fresh(
        self, wanted: Callable[[], tuple[Schedules, People]], clock: Clock
    ) -> None:
        """Refresh for ever, each feed when it is due; never raises but when it is cancelled."""
        while True:
            self._wake.clear()
            schedules, people = wanted()
            try:
                await self.refresh(schedules, people, clock())
                due = self.next_due(schedules, clock())
            except Exception:
                _log.exception("calendars not refreshed")
                due = clock() + TRY_AGAIN_AFTER
            await self._until_due(due, clock())

    def next_due(self, schedules: Schedules, now: datetime) -> datetime:
        """Return when the next refresh is due."""
        wanted = [name for name, one in schedules.items() if one.calendar]
        times = [self._due[name][1] for name in wanted if name in self._due]
        return min(times, default=now + TRY_AGAIN_AFTER)

    async def _until_due(self, due: datetime, now: datetime) -> None:
        try:
            async with asyncio.timeout(max((due - now).total_seconds(), SHORTEST_WAIT_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            return

    def _is_due(self, schedule: Schedule, now: datetime) -> bool:
        source, due = self._due.get(schedule.name, ("", now))
        return due <= now or source != source_of(schedule)

    # --- one schedule --------------------------------------------------------------------------

    async def _use_copies(self, schedules: Schedules, people: People, now: datetime) -> None:
        """Let the feeds be those of these schedules, as far as there are copies."""
        for name in [*self._kept]:
            if name not in schedules or self._kept[name].copy.source != source_of(schedules[name]):
                del self._kept[name]
        for name, schedule in schedules.items():
            kept = self._kept.get(name)
            copy = kept.copy if kept else self._stored.get(name)
            if copy is None or copy.source != source_of(schedule):
                continue
            if kept is None or kept.read_with != _read_with(schedule, people):
                try:
                    await self._swap(schedule, people, copy, now)
                except (_Failed, AdapterError) as error:
                    self._say_failed(schedule, error)
        self._stored = {}  # what was of use is kept, and texts are long

    async def _refresh(self, schedule: Schedule, people: People, now: datetime) -> None:
        try:
            copy = await self._fetched(schedule, now)
            if copy is not None:
                await self._swap(schedule, people, copy, now)
        except (_Failed, AdapterError) as error:
            self._plan(schedule, now, failed=True)
            self._say_failed(schedule, error)
            return
        self._plan(schedule, now)
        self._told.calendar_refreshed(schedule.name, now)
        if self._changes.is_news(f"refresh of {schedule.name}", "ok") and copy is not None:
            _log.info("calendar refreshed", schedule=schedule.name, source=shown(schedule))
        if copy is not None:
            await self._keep(copy)

    async def _fetched(self, schedule: Schedule, now: datetime) -> StoredCalendar | None:
        """Return the feed as it is now; None: it is what we have."""
        assert schedule.calendar is not None  # noqa: S101 - only such are refreshed
        kept = self._kept.get(schedule.name)
        have = kept.copy if kept else None
        calendar = schedule.calendar
        got = (
            await _from_url(self._http, calendar.url, have)
            if calendar.url
            else await asyncio.to_thread(_from_file, Path(calendar.file), have)
        )
        if got.body is None:
            return None
        return StoredCalendar(
            schedule=schedule.name,
            source=source_of(schedule),
            text=_text(got.body),
            etag=got.etag,
            last_modified=got.last_modified,
            fetched_at=now,
        )

    async def _swap(
        self, schedule: Schedule, people: People, copy: StoredCalendar, now: datetime
    ) -> None:
        """Read a copy and use it from now on. Raises AdapterError where it cannot be read."""
        assert schedule.calendar is not None  # noqa: S101 - a source of "" has no copies
        feed, unknown = await asyncio.to_thread(
            _read, copy.text, schedule.calendar, people, schedule, now
        )
        with_ = _read_with(schedule, people)
        self._kept[schedule.name] = _Kept(copy=copy, feed=feed, read_with=with_)
        self._told.calendar_refreshed(schedule.name, copy.fetched_at)
        self._say_what_is_odd(schedule.name, feed.left_out, unknown)

    async def _keep(self, copy: StoredCalendar) -> None:
        try:
            await self._save(copy.schedule, copy)
        except AdapterError as error:
            if self._changes.is_news(f"copy of {copy.schedule}", str(error)):
                _log.warning("calendar not stored", schedule=copy.schedule, error=str(error))

    def _plan(self, schedule: Schedule, now: datetime, *, failed: bool = False) -> None:
        calendar = schedule.calendar or Calendar()
        every = calendar.refresh if calendar.url else min(calendar.refresh, LOOK_AT_FILES_EVERY)
        wait = min(every, TRY_AGAIN_AFTER) if failed else every
        self._due[schedule.name] = (source_of(schedule), now + wait)

    # --- telling -------------------------------------------------------------------------------

    def _say_failed(self, schedule: Schedule, error: Exception) -> None:
        self._told.calendar_failed(schedule.name)
        if self._changes.is_news(f"refresh of {schedule.name}", str(error)):
            kept = self._kept.get(schedule.name)
            _log.warning(
                "calendar not refreshed",
                schedule=schedule.name,
                source=shown(schedule),
                error=str(error),
                last_good=kept.copy.fetched_at.isoformat() if kept else "none",
            )

    def _say_what_is_odd(
        self, name: str, left_out: tuple[str, ...], unknown: tuple[str, ...]
    ) -> None:
        if self._changes.is_news(f"left out of {name}", left_out) and left_out:
            _log.warning("calendar events left out", schedule=name, events=left_out[:10])
        if self._changes.is_news(f"unknown in {name}", unknown) and unknown:
            _log.warning("calendar names people we do not know", schedule=name, names=unknown[:10])


def source_of(schedule: Schedule) -> str:
    """Return a hash of where a schedule's feed comes from; "": it has none."""
    if schedule.calendar is None:
        return ""
    where = f"url {schedule.calendar.url}\nfile {schedule.calendar.file}"
    return hashlib.sha256(where.encode()).hexdigest()


def shown(schedule: Schedule) -> str:
    """Return where a schedule's feed comes from, without what may be secret in a URL."""
    calendar = schedule.calendar or Calendar()
    if not calendar.url:
        return calendar.file
    try:
        url = httpx.URL(calendar.url)
    except httpx.InvalidURL:
        return "a URL"
    return f"{url.scheme}://{url.host}/…"


# --- getting -----------------------------------------------------------------------------------


async def _from_url(http: httpx.AsyncClient, url: str, have: StoredCalendar | None) -> _Got:
    try:
        async with (
            asyncio.timeout(ANSWER_WITHIN_SECONDS),
            http.stream("GET", url, headers=_asked(have), follow_redirects=True) as response,
        ):
            return await _answer(response, have)
    except TimeoutError:
        raise _Failed(f"no whole answer within {ANSWER_WITHIN_SECONDS:.0f} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Its text may hold the address.
        raise _Failed(f"it could not be fetched: {type(error).__name__}") from None


def _asked(have: StoredCalendar | None) -> dict[str, str]:
    headers = {"Accept": "text/calendar, */*;q=0.5", "Accept-Encoding": "identity"}
    if have is not None and have.etag:
        headers["If-None-Match"] = have.etag
    if have is not None and have.last_modified:
        headers["If-Modified-Since"] = have.last_modified
    return headers


async def _answer(response: httpx.Response, have: StoredCalendar | None) -> _Got:
    if response.status_code == 304 and have is not None:
        return _Got(body=None)
    if response.status_code != 200:
        raise _Failed(f"it was answered with HTTP {response.status_code}")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise _Failed(f"it is longer than {MAX_BYTES} bytes")
    same = have is not None and bytes(body) == have.text.encode()
    return _Got(
        body=None if same else bytes(body),
        etag=response.headers.get("etag", ""),
        last_modified=response.headers.get("last-modified", ""),
    )


def _from_file(path: Path, have: StoredCalendar | None) -> _Got:
    """Return the file's content, unless it is the file we have read: a swapped link is another."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            mark = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
            if have is not None and have.etag == mark:
                return _Got(body=None)
            return _Got(body=file.read(MAX_BYTES + 1), etag=mark)
    except OSError as error:
        raise _Failed(f"it could not be read: {error.strerror}") from None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidCalendar("it is not UTF-8") from None


# --- reading, in a thread ----------------------------------------------------------------------


def _read(
    text: str, calendar: Calendar, people: People, schedule: Schedule, now: datetime
) -> tuple[Feed, tuple[str, ...]]:
    """Return the feed, worked out for the time that will be asked for, and its near strangers."""
    feed = read_feed(text, calendar.people, people, schedule.time_zone)
    feed.shifts(now - WINDOW, now + 3 * WINDOW)
    return feed, feed.unknown_between(now, now + LOOK_AHEAD)


def _read_with(schedule: Schedule, people: People) -> str:
    """Return what decides, besides its text, what a feed means."""
    names = schedule.calendar.people if schedule.calendar else {}
    return json.dumps([sorted(people), sorted(names.items()), schedule.time_zone.key])
