"""The service as a process: it starts, reloads and stops as an operator expects."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from process_harness import (
    API_TOKEN,
    WEBHOOK_TOKEN,
    Program,
    Service,
    Vendor,
    firing,
    http_client,
    new_number,
    simulated_vendor,
    until,
    webhook,
)

from adapter.simulator.faults import SEND, Kind

pytestmark = pytest.mark.process

# The most that a start and a stop may take, for a machine that is busy with other things.
START_SECONDS = 20.0
STOP_SECONDS = 20.0


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as started:
        yield started


@pytest.fixture
def number() -> str:
    return new_number()


@pytest.fixture
def service(vendor: Vendor, number: str, tmp_path: Path) -> Service:
    return Service(tmp_path, vendor, routes(number))


def routes(number: str) -> dict[str, Any]:
    return {
        "receivers": [{"name": "phone", "voice_template": "outage", "call": [number]}],
        "route": {"receiver": "phone"},
        "delivery": {"reconcile_first": "100ms", "record_visible_after": "500ms"},
    }


DISK_FULL = webhook(firing("DiskFull"))


def stopped(program: Program, number: signal.Signals = signal.SIGTERM) -> float:
    """Stop it; return how many seconds it took to end well."""
    began = time.monotonic()
    program.signal(number)
    assert program.wait() == 0, program.tail()
    return time.monotonic() - began


def refuses(service: Service) -> bool:
    """Whether nobody listens any more."""
    try:
        with http_client(service.url) as client:
            client.get("/-/healthy")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it was on its way when the door was closed
        return False
    return False


def stalled(vendor: Vendor, number: str, **fault: Any) -> Callable[[], int]:
    """Let the vendor keep silent about the first call to a number."""
    return vendor.arm(kind=Kind.STALL, action=SEND, number=number, times=1, **fault)


# --- stopping ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("number_of_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_call_under_way_is_settled_before_the_end(
    number_of_signal: signal.Signals, service: Service, vendor: Vendor, number: str
) -> None:
    under_way = stalled(vendor, number, place=True, seconds=5)  # webhooks are refused sooner
    with service.serving() as program:
        service.post(DISK_FULL)
        until(under_way, "the request to leave", program.tail)
        program.signal(number_of_signal)
        until(lambda: refuses(service), "webhooks to be refused", program.tail)
        assert program.exit_code is None, "it ended before the call was settled"
        assert program.wait() == 0, program.tail()
    assert [call["status"] for call in program.events("call attempted")] == ["accepted"]
    told = Counter(json.loads(line)["event"] for line in program.lines())
    assert set(told.values()) == {1}, told
    with service.serving():
        assert [(call["state"], call["attempts"]) for call in service.calls()] == [("accepted", 1)]
    assert len(vendor.rang(number)) == 1


@pytest.mark.parametrize("placed", [True, False], ids=["placed", "not placed"])
def test_a_call_that_is_never_answered_is_cut_off_and_looked_up_later(
    placed: bool, service: Service, vendor: Vendor, number: str
) -> None:
    under_way = stalled(vendor, number, place=placed, seconds=600)
    with service.serving("--stop-within", "1s") as program:
        service.post(DISK_FULL)
        until(under_way, "the request to leave", program.tail)
        assert 1 <= stopped(program) < 1 + STOP_SECONDS
    assert "Traceback" not in program.log.read_text()
    with service.serving() as program:
        until(service.nothing_open, "the call to be settled", program.tail)
        (call,) = service.calls()
        assert (call["state"], call["attempts"]) == ("accepted", 1 if placed else 2)
    assert len(vendor.rang(number)) == 1


@pytest.mark.usefixtures("database")
def test_a_webhook_under_way_is_taken_and_rings_after_the_next_start(
    service: Service, vendor: Vendor, number: str
) -> None:
    """Whoever got a 2xx can rely on it, however late in our life it was."""
    with service.serving() as program, half_sent(service) as (connection, rest):
        program.signal(signal.SIGTERM)
        until(lambda: refuses(service), "others to be refused", program.tail)
        connection.sendall(rest)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert program.wait() == 0, program.tail()
    with service.serving() as program:
        until(service.nothing_open, "the call to be made", program.tail)
    assert len(vendor.rang(number)) == 1


def test_a_sender_that_never_ends_does_not_hold_up_the_end(service: Service) -> None:
    with service.serving("--stop-within", "1s") as program, half_sent(service):
        assert stopped(program) < STOP_SECONDS / 2


def test_an_idle_connection_does_not_hold_up_the_end(service: Service) -> None:
    """Alertmanager keeps its connection open for five minutes."""
    with service.serving() as program, http_client(service.url) as client:
        assert client.get("/-/ready").text == "OK"
        assert stopped(program) < STOP_SECONDS


@contextmanager
def half_sent(service: Service) -> Iterator[tuple[socket.socket, bytes]]:
    """Send half a webhook; yield the connection and what is missing."""
    body = json.dumps(DISK_FULL).encode()
    head = (
        "POST /v1/alertmanager HTTP/1.1\r\nHost: adapter\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {WEBHOOK_TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 80), timeout=STOP_SECONDS) as connection:
        connection.sendall(head + body[:20])
        with http_client(service.url) as client:  # answered after the half has been read
            client.get("/-/healthy")
        yield connection, body[20:]


# --- reloading ---------------------------------------------------------------------------------


def test_sighup_loads_routes_again_and_keeps_what_works(
    service: Service, vendor: Vendor, number: str
) -> None:
    other = new_number()
    with service.serving() as program:
        service.write_routes(routes(other))
        program.signal(signal.SIGHUP)
        until(
            lambda: len(program.events("loaded configuration file")) > 1, "a reload", program.tail
        )
        service.routes.write_text("route: {receiver: nobody-knows}", encoding="utf-8")
        program.signal(signal.SIGHUP)
        until(
            lambda: program.events("loading configuration file failed"), "a refusal", program.tail
        )
        assert service.metric("config_last_reload_successful") == 0
        service.post(DISK_FULL)
        until(lambda: vendor.rang(other), "the phone that was loaded last", program.tail)
        assert stopped(program) < STOP_SECONDS
    assert not vendor.rang(number)


def test_sighup_needs_no_change_of_the_file(service: Service) -> None:
    with service.serving() as program:
        program.signal(signal.SIGHUP)
        until(
            lambda: len(program.events("loaded configuration file")) > 1, "a reload", program.tail
        )


# --- starting ----------------------------------------------------------------------------------


def test_it_starts_in_time_and_says_that_it_is_ready(service: Service) -> None:
    began = time.monotonic()
    with service.serving() as program:
        took = time.monotonic() - began
        print(f"serving after {took:.2f} s")
        with http_client(service.url, API_TOKEN) as client:
            assert client.get("/-/ready").status_code == 200
            assert client.get("/api/v1/calls").json()["calls"] == []
        (serving,) = program.events("serving")
    assert took < START_SECONDS
    assert serving["store"] == f"sqlite:///{service.folder / 'adapter.db'}"


def test_a_second_process_on_the_same_database_is_refused(service: Service) -> None:
    with service.serving() as first, service.starting() as second:
        assert second.wait() == 1
        assert second.lines()[-1] == (
            f"uvms-adapter: error: another process uses {service.folder / 'adapter.db'}; one "
            "embedded database serves one process: stop the other, or give this one a database of "
            "its own"
        )
        assert "Traceback" not in second.log.read_text()
        assert first.exit_code is None


def test_an_address_that_is_taken_is_refused(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with service.starting(listen=address) as program:
            assert program.wait() == 1
    assert "Traceback" not in program.log.read_text()
    told = f"uvms-adapter: error: cannot listen on {address}: Address already in use"
    assert program.lines()[-1] == told
