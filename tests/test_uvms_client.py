"""The client against a real socket that behaves badly, and against answers made up whole."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest

from adapter import __version__
from adapter.delivery.outcomes import Answer, Failure, Outcome, classify
from adapter.delivery.policy import UvmsSettings
from adapter.model import PhoneNumber, Secret
from adapter.signing import sign
from adapter.uvms.client import MAX_PAGES, NOISY_LOGGERS, UvmsClient, new_http_client
from adapter.uvms.wire import MAX_ANSWER_BYTES, Keys, RecordQuery, SendRequest

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ALICE = PhoneNumber("+8613512345678")
KEYS = Keys(public_key="public-key-of-ours", private_key=Secret("private-key-of-ours"))
REQUEST = SendRequest(
    called=ALICE, template_id="UVVT1", params=("生产", "CPU 90% & more"), user_id="u1"
)
QUERY = RecordQuery(phone=ALICE, template_id="UVVT1", since=NOW)
SHORT = timedelta(milliseconds=60)
PATIENT = timedelta(seconds=30)
ACCEPTED = b'{"RetCode": 0, "SessionNo": "s-1", "ReqUuid": "r-1", "UserId": "u1"}'

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def anyio_backend():
    return "asyncio"


# --- a server on loopback that reads one request and then does as told ---


class Server:
    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[tuple[str, bytes]] = []  # head and body of each
        self.asked = asyncio.Event()


def port_of(server: asyncio.Server) -> int:
    return server.sockets[0].getsockname()[1]


@asynccontextmanager
async def serving(behave: Behaviour):
    seen, handlers = Server(), set()

    async def handle(reader, writer):
        handlers.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
            seen.requests.append((head, await reader.readexactly(length)))
            seen.asked.set()
            await behave(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away: that is what some of these tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    seen.endpoint = f"http://127.0.0.1:{port_of(server)}"
    try:
        yield seen
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*handlers, return_exceptions=True)


def answering(body: bytes, status: str = "200 OK", *headers: str) -> Behaviour:
    async def behave(_reader, writer):
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return behave


def saying(raw: bytes) -> Behaviour:
    async def behave(_reader, writer):
        writer.write(raw)
        await writer.drain()

    return behave


def stalling(raw: bytes = b"") -> Behaviour:
    async def behave(reader, writer):
        writer.write(raw)
        await writer.drain()
        await reader.read()  # until the client hangs up

    return behave


def trickling(raw: bytes) -> Behaviour:
    async def behave(_reader, writer):
        for byte in raw:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.005)

    return behave


async def resetting(_reader, writer):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def hanging_up(_reader, writer):
    writer.close()


@asynccontextmanager
async def client_of(endpoint: str, *, read=PATIENT, connect=PATIENT, **more):
    settings = UvmsSettings(endpoint=endpoint, connect_timeout=connect, read_timeout=read)
    async with new_http_client(trust_env=False, **more) as http:
        yield UvmsClient(http, lambda: settings, lambda: KEYS)


async def send_to(behave: Behaviour, **settings) -> Answer:
    async with serving(behave) as server, client_of(server.endpoint, **settings) as client:
        answer = await client.send(REQUEST)
        assert len(server.requests) == 1  # nothing is ever sent twice
        return answer


# --- in time, or not at all ---


@pytest.mark.parametrize(("late_by", "asked"), [(-30.0, 1), (0.001, 0)])
async def test_what_is_late_does_not_leave(late_by, asked):
    """A process that was paused for long must not ring what others have taken over."""
    leave_by = asyncio.get_running_loop().time() - late_by
    async with serving(answering(ACCEPTED)) as server, client_of(server.endpoint) as client:
        answer = await client.send(msgspec.structs.replace(REQUEST, leave_by=leave_by))
        assert len(server.requests) == asked
    if not asked:
        assert answer.failure is Failure.TOO_LATE
        assert classify(answer) is Outcome.RETRY


# --- on the wire ---


async def test_a_call_on_the_wire():
    async with serving(answering(ACCEPTED)) as server, client_of(server.endpoint) as client:
        answer = await client.send(REQUEST)
    assert answer == Answer(
        http_status=200, ret_code=0, session_no="s-1", req_uuid="r-1", user_id="u1"
    )
    ((head, body),) = server.requests
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert first == "POST / HTTP/1.1"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["user-agent"] == f"uvms-adapter/{__version__}"
    assert headers["accept-encoding"] == "identity"
    assert headers["connection"] == "close"
    assert b"CalledNumber=%2B8613512345678&" in body
    assert b"TemplateParams.0=%E7%94%9F%E4%BA%A7&" in body
    assert b"TemplateParams.1=CPU+90%25+%26+more&" in body
    assert b"Region" not in body
    assert b"Zone" not in body


async def test_the_signature_is_over_what_arrives():
    async with serving(answering(ACCEPTED)) as server, client_of(server.endpoint) as client:
        await client.send(REQUEST)
    form = parse_qs(server.requests[0][1].decode(), strict_parsing=True, keep_blank_values=True)
    arrived = {name: value for name, (value,) in form.items()}
    assert arrived["TemplateParams.1"] == "CPU 90% & more"
    assert arrived.pop("Signature") == sign(arrived, "private-key-of-ours")


async def test_settings_and_keys_are_asked_for_at_each_request():
    async with serving(answering(ACCEPTED)) as server:
        settings = [UvmsSettings(endpoint=server.endpoint)] * 2
        settings[1] = msgspec.structs.replace(settings[0], region="cn-bj2", zone="cn-bj2-04")
        keys = [KEYS, Keys(public_key="new", private_key=Secret("new"))]
        async with new_http_client(trust_env=False) as http:
            client = UvmsClient(http, lambda: settings.pop(0), lambda: keys.pop(0))
            await client.send(REQUEST)
            await client.send(REQUEST)
    (_, old), (_, new) = server.requests
    assert b"Region" not in old
    assert b"&Region=cn-bj2&Zone=cn-bj2-04&" in new
    assert b"PublicKey=public-key-of-ours" in old
    assert b"PublicKey=new" in new


# --- trouble ---

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"

# What the server does, then: HTTP status, failure, RetCode, and what it means for the call.
TROUBLE = {
    "accepted": (answering(ACCEPTED), 200, None, 0, Outcome.ACCEPTED),
    "accepted, in chunks": (
        saying(CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(ACCEPTED), ACCEPTED)),
        200,
        None,
        0,
        Outcome.ACCEPTED,
    ),
    "RetCode as a string": (answering(b'{"RetCode": "153"}'), 200, None, 153, Outcome.THROTTLED),
    "compressed though not asked to": (
        answering(gzip.compress(ACCEPTED), "200 OK", "Content-Encoding: gzip"),
        200,
        None,
        0,
        Outcome.ACCEPTED,
    ),
    "compressed in an unknown way": (
        answering(ACCEPTED, "200 OK", "Content-Encoding: br"),
        200,
        Failure.UNREADABLE,
        None,
        Outcome.UNKNOWN,
    ),
    "5xx with JSON": (
        answering(b'{"RetCode": 150}', "503 Busy"),
        503,
        None,
        150,
        Outcome.UNKNOWN,
    ),
    "5xx with HTML": (
        answering(b"<html>", "502 Bad Gateway"),
        502,
        Failure.UNREADABLE,
        None,
        Outcome.UNKNOWN,
    ),
    "200 with HTML": (answering(b"<html>"), 200, Failure.UNREADABLE, None, Outcome.UNKNOWN),
    "an empty body": (answering(b""), 200, Failure.UNREADABLE, None, Outcome.UNKNOWN),
    "a redirect is not followed": (
        answering(b"", "307 Elsewhere", "Location: /"),
        307,
        Failure.UNREADABLE,
        None,
        Outcome.ACCOUNT_REFUSED,
    ),
    "reset": (resetting, None, Failure.CONNECTION_LOST, None, Outcome.UNKNOWN),
    "hung up": (hanging_up, None, Failure.CONNECTION_LOST, None, Outcome.UNKNOWN),
    "hung up within the body": (
        saying(HEAD + ACCEPTED),
        200,
        Failure.CONNECTION_LOST,
        None,
        Outcome.UNKNOWN,
    ),
    "no HTTP": (
        saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        None,
        Failure.CONNECTION_LOST,
        None,
        Outcome.UNKNOWN,
    ),
    "too long": (
        answering(b" " * (MAX_ANSWER_BYTES + 1)),
        200,
        Failure.UNREADABLE,
        None,
        Outcome.UNKNOWN,
    ),
    "as long as allowed": (
        answering(ACCEPTED.ljust(MAX_ANSWER_BYTES)),
        200,
        None,
        0,
        Outcome.ACCEPTED,
    ),
}


@pytest.mark.parametrize(
    ("behave", "status", "failure", "ret_code", "outcome"), TROUBLE.values(), ids=TROUBLE
)
async def test_trouble(behave, status, failure, ret_code, outcome):
    answer = await send_to(behave)
    assert (answer.http_status, answer.failure, answer.ret_code) == (status, failure, ret_code)
    assert classify(answer) is outcome


SLOW = {
    "no answer": (stalling(), None),
    "half an answer": (stalling(HEAD + b"{"), 200),
    "headers byte by byte": (trickling(HEAD + ACCEPTED), None),
    "body byte by byte": (trickling(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 10_000), None),
}


@pytest.mark.parametrize(("behave", "status"), SLOW.values(), ids=SLOW)
async def test_the_whole_answer_has_a_deadline(behave, status):
    answer = await send_to(behave, read=SHORT)
    assert (answer.http_status, answer.failure) == (status, Failure.TIMEOUT)
    assert classify(answer) is Outcome.UNKNOWN


async def test_a_body_that_trickles_in_keeps_its_status():
    async def behave(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await trickling(b" " * 10_000)(reader, writer)

    answer = await send_to(behave, read=SHORT)
    assert (answer.http_status, answer.failure) == (200, Failure.TIMEOUT)


async def test_an_endless_body_is_cut_off():
    async def behave(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    answer = await send_to(behave)
    assert (answer.http_status, answer.failure) == (200, Failure.UNREADABLE)
    assert answer.message == "longer than 1 MiB"


async def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with client_of(f"http://127.0.0.1:{unused.getsockname()[1]}") as client:
            answer = await client.send(REQUEST)
    assert (answer.http_status, answer.failure) == (None, Failure.CONNECT)
    assert classify(answer) is Outcome.RETRY


async def test_the_other_side_does_not_speak_tls():
    received = []

    async def greet(reader, writer):
        writer.write(b"220 mail.test ESMTP\r\n")
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, client_of(f"https://127.0.0.1:{port_of(server)}") as client:
        answer = await client.send(REQUEST)
        while not received:  # noqa: ASYNC110 - the server is about to notice
            await asyncio.sleep(0.001)
    assert answer.failure is Failure.CONNECT
    assert b"SendUVMSMessage" not in received[0]


async def test_all_our_connections_are_busy():
    release = asyncio.Event()

    async def behave(reader, writer):
        await release.wait()
        await answering(ACCEPTED)(reader, writer)

    async with (
        serving(behave) as server,
        new_http_client(trust_env=False, max_connections=1) as http,
    ):
        settings = [
            UvmsSettings(endpoint=server.endpoint, connect_timeout=patience)
            for patience in (PATIENT, SHORT)
        ]
        client = UvmsClient(http, lambda: settings.pop(0), lambda: KEYS)
        first = asyncio.create_task(client.send(REQUEST))
        await server.asked.wait()
        second = await client.send(REQUEST)
        release.set()
        assert (await first).ret_code == 0
    assert second.failure is Failure.NO_SLOT
    assert classify(second) is Outcome.RETRY


async def test_being_cancelled_is_not_an_outcome():
    async with serving(stalling()) as server, client_of(server.endpoint) as client:
        task = asyncio.create_task(client.send(REQUEST))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- what httpx raises ---

RAISED = {
    "no slot": (httpx.PoolTimeout, Failure.NO_SLOT),
    "no connection in time": (httpx.ConnectTimeout, Failure.CONNECT),
    "no such host": (httpx.ConnectError, Failure.CONNECT),
    "the proxy refuses": (httpx.ProxyError, Failure.CONNECT),
    "no answer in time": (httpx.ReadTimeout, Failure.TIMEOUT),
    "could not send in time": (httpx.WriteTimeout, Failure.CONNECTION_LOST),
    "broke while sending": (httpx.WriteError, Failure.CONNECTION_LOST),
    "broke while reading": (httpx.ReadError, Failure.CONNECTION_LOST),
    "broke while closing": (httpx.CloseError, Failure.CONNECTION_LOST),
    "no HTTP": (httpx.RemoteProtocolError, Failure.CONNECTION_LOST),
}


def raising(error: Exception) -> httpx.MockTransport:
    def handle(_request):
        raise error

    return httpx.MockTransport(handle)


@pytest.mark.parametrize(("kind", "failure"), RAISED.values(), ids=RAISED)
async def test_what_httpx_raises_becomes_a_failure(kind, failure):
    transport = raising(kind("went wrong with +8613512345678"))
    async with client_of("http://vendor.test", transport=transport) as client:
        answer = await client.send(REQUEST)
    message = f"{kind.__name__}: went wrong with +86135****5678"
    assert answer == Answer(failure=failure, message=message)


async def test_an_error_without_words_is_named():
    async with client_of("http://vendor.test", transport=raising(httpx.ReadError(""))) as client:
        assert (await client.send(REQUEST)).message == "ReadError"


@pytest.mark.parametrize(
    "bug",
    [
        httpx.LocalProtocolError("our header"),
        httpx.UnsupportedProtocol("our URL"),
        ValueError("our code"),
    ],
    ids=lambda bug: type(bug).__name__,
)
async def test_our_own_bugs_raise(bug):
    async with client_of("http://vendor.test", transport=raising(bug)) as client:
        with pytest.raises(type(bug)):
            await client.send(REQUEST)


def test_the_client_has_no_habits_of_its_own():
    """No redirects, no kept connections, no waiting for ever."""
    http = new_http_client(max_connections=7)
    assert http.follow_redirects is False
    assert http.timeout == httpx.Timeout(5)
    pool = http._transport._pool
    assert (pool._max_connections, pool._max_keepalive_connections, pool._retries) == (7, 0, 0)


# --- looking up ---


class Vendor:
    """Answers GetUVMSSendRecord from `pages`, by whether a number was asked for."""

    def __init__(self, by_phone=(), everybody=()) -> None:
        self.pages = {True: by_phone, False: everybody}
        self.asked: list[tuple[bool, int]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        form = {name: value for name, (value,) in parse_qs(request.content.decode()).items()}
        assert form["Action"] == "GetUVMSSendRecord"
        by_phone, number = "PhoneNumber" in form, int(form["Page"])
        self.asked.append((by_phone, number))
        pages = self.pages[by_phone]
        page = pages[number] if number < len(pages) else page_of(0)
        status, content = page if isinstance(page, tuple) else (200, page)
        # A content that httpx has at once cannot be streamed as a real one is.
        return httpx.Response(status, stream=httpx.ByteStream(content))


def page_of(count: int, total: int | None = None, first: int = 0, **more) -> bytes:
    data = [
        {"TaskNo": f"t-{first + number}", "Phone": "13512345678", "SubmitTime": 1795489200000}
        for number in range(count)
    ]
    said = {} if total is None else {"Total": total}
    return json.dumps({"RetCode": 0, "Data": data} | said | more).encode()


async def find(vendor: Vendor):
    transport = httpx.MockTransport(vendor)
    async with client_of("http://vendor.test", transport=transport) as client:
        return await client.find(QUERY)


THROTTLED = b'{"RetCode": 153}'

# Pages by number, pages of everybody; then: records read, all of them?, requests made.
LOOK_UPS = {
    "one record": ([page_of(1, 1)], [], 1, True, [(True, 0)]),
    "several pages": (
        [page_of(50, 70), page_of(20, 70, 50)],
        [],
        70,
        True,
        [(True, 0), (True, 1)],
    ),
    "no total said: until a page is empty": (
        [page_of(3), page_of(0)],
        [],
        3,
        True,
        [(True, 0), (True, 1)],
    ),
    "none of this number: ask about everybody": (
        [page_of(0, 0)],
        [page_of(2, 2)],
        2,
        True,
        [(True, 0), (False, 0)],
    ),
    "none at all": ([page_of(0, 0)], [page_of(0, 0)], 0, True, [(True, 0), (False, 0)]),
    "more promised than given": (
        [page_of(1, 3), page_of(0, 3)],
        [],
        1,
        False,
        [(True, 0), (True, 1)],
    ),
    "throttled": ([THROTTLED], [], 0, False, [(True, 0)]),
    "throttled on the second page": (
        [page_of(50, 70), THROTTLED],
        [],
        50,
        False,
        [(True, 0), (True, 1)],
    ),
    "5xx, whatever it says": (
        [(500, page_of(1, 1))],
        [],
        0,
        False,
        [(True, 0)],
    ),
    "accepted, but nothing said": (
        [b'{"RetCode": 0}'],
        [],
        0,
        False,
        [(True, 0)],
    ),
    "the wide look-up fails": (
        [page_of(0, 0)],
        [THROTTLED],
        0,
        False,
        [(True, 0), (False, 0)],
    ),
    "too many": (
        [page_of(50, 5000, 50 * number) for number in range(MAX_PAGES + 5)],
        [],
        50 * MAX_PAGES,
        False,
        [(True, number) for number in range(MAX_PAGES)],
    ),
}


@pytest.mark.parametrize(
    ("by_phone", "everybody", "count", "complete", "asked"), LOOK_UPS.values(), ids=LOOK_UPS
)
async def test_find(by_phone, everybody, count, complete, asked):
    vendor = Vendor(by_phone, everybody)
    found = await find(vendor)
    assert len(found.records) == count
    assert len({record.task_no for record in found.records}) == count
    assert found.complete is complete
    assert vendor.asked == asked


async def test_a_look_up_that_fails_says_why():
    async with client_of(
        "http://vendor.test", transport=raising(httpx.ConnectError("refused"))
    ) as client:
        found = await client.find(QUERY)
    assert not found.complete
    assert found.answer == Answer(failure=Failure.CONNECT, message="ConnectError: refused")
    assert (await find(Vendor([THROTTLED]))).answer.ret_code == 153


# --- all records of a window ---


async def records(pages: dict[int, list[bytes]], until: datetime | None = None):
    """Return what was read, and of each request the day its window begins, and the page."""
    asked: list[tuple[int, int]] = []

    def vendor(request: httpx.Request) -> httpx.Response:
        form = {name: value for name, (value,) in parse_qs(request.content.decode()).items()}
        assert "PhoneNumber" not in form
        assert "TemplateId" not in form
        day = round((int(form["StartTime"]) - NOW.timestamp()) / 86400)
        number = int(form["Page"])
        asked.append((day, number))
        return httpx.Response(200, stream=httpx.ByteStream(pages[day][number]))

    transport = httpx.MockTransport(vendor)
    async with client_of("http://vendor.test", transport=transport) as client:
        return await client.records(RecordQuery(since=NOW, until=until)), asked


async def test_all_pages_of_a_window_are_read():
    found, asked = await records({0: [page_of(50, 70), page_of(20, 70, 50)]})
    assert (len(found.records), found.complete) == (70, True)
    assert asked == [(0, 0), (0, 1)]


async def test_none_of_anybody_is_asked_for_once():
    found, asked = await records({0: [page_of(0, 0)]})
    assert (found.records, found.complete, asked) == ((), True, [(0, 0)])


async def test_a_long_window_is_read_in_pieces_and_no_call_twice():
    pages = {0: [page_of(3, 3)], 7: [page_of(3, 3, first=2)], 14: [page_of(1, 1, first=9)]}
    found, asked = await records(pages, NOW + timedelta(days=15))
    assert [record.task_no for record in found.records] == [
        "t-0",
        "t-1",
        "t-2",
        "t-3",
        "t-4",
        "t-9",
    ]
    assert found.complete
    assert asked == [(0, 0), (7, 0), (14, 0)]


async def test_pieces_after_one_that_fails_are_not_asked_for():
    found, asked = await records({0: [page_of(3, 3)], 7: [THROTTLED]}, NOW + timedelta(days=15))
    assert (len(found.records), found.complete, found.answer.ret_code) == (3, False, 153)
    assert asked == [(0, 0), (7, 0)]


async def test_more_records_than_we_read_are_not_all():
    pages = [page_of(50, 5000, 50 * number) for number in range(MAX_PAGES)]
    found, asked = await records({0: pages})
    assert (len(found.records), found.complete) == (50 * MAX_PAGES, False)
    assert found.answer.ret_code == 0
    assert len(asked) == MAX_PAGES


# --- what shows ---


async def test_no_number_key_or_signature_shows(caplog):
    """Not even where the vendor echoes them, and not with the libraries' loggers wide open."""
    for name in (None, *NOISY_LOGGERS):
        caplog.set_level(logging.DEBUG, logger=name)
    echoed: list[bytes] = []

    async def behave(reader, writer):
        sent = dict(pair.split(b"=") for pair in server.requests[-1][1].split(b"&") if b"=" in pair)
        echoed.append(sent[b"Signature"])
        words = f"key {KEYS.public_key}, {sent[b'Signature'].decode()}, number {ALICE.e164}"
        body = json.dumps({"RetCode": 172, "Message": words}).encode()
        await answering(body)(reader, writer)

    async with serving(behave) as server, client_of(server.endpoint) as client:
        answer = await client.send(REQUEST)
    assert answer.message == "key ***, ***, number +86135****5678"
    shown = repr(answer) + repr(client) + repr(vars(client)) + caplog.text
    assert "httpcore" in caplog.text  # the loggers did speak
    for secret in (KEYS.public_key, "private-key-of-ours", "13512345678", echoed[0].decode()):
        assert secret not in shown


async def test_loggers_to_keep_quiet_are_those_that_speak(caplog):
    caplog.set_level(logging.DEBUG)
    for name in NOISY_LOGGERS:
        caplog.set_level(logging.WARNING, logger=name)
    await send_to(answering(ACCEPTED))
    assert [record for record in caplog.records if record.name != "asyncio"] == []
