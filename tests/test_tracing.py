"""Traces as a collector gets them: what led to a call, and what became of it, as one."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from sqlite3 import connect
from threading import Thread
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2
from service_harness import (
    API_TOKEN,
    PEOPLE,
    PRIVATE_KEY,
    WEBHOOK_TOKEN,
    World,
    firing,
    receiver,
    routes,
    service_of,
    story,
    until,
    webhook,
    world_without_service,
)
from structlog.testing import capture_logs

from adapter import __version__
from adapter.model import Record
from adapter.simulator.calls import receipt
from adapter.simulator.faults import Fault, Kind
from adapter.tracing import NO_TRACES, open_tracer

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FROM_ALERTMANAGER = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
RECEIPTS_SECRET = "receipts-secret-of-this-story"
WITH_RECEIPTS = {"UVMS_RECEIPTS_SECRET": RECEIPTS_SECRET}
ANSWERED_AT_ONCE = Fault(kind=Kind.ANSWERED, duration=20, seconds=0.0)


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


# --- the collector -----------------------------------------------------------------------------


class Seen(Record):
    """A span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str  # "": none
    kind: str
    failed: str  # "": it went well
    attributes: Mapping[str, Any]
    service: Mapping[str, Any]


class Collector:
    """Takes spans by OTLP/HTTP as any collector does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()

    @property
    def spans(self) -> list[Seen]:
        """What arrived, in the order in which it began."""
        found = [
            (span.start_time_unix_nano, _seen(span, resource.resource.attributes))
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return [span for _, span in sorted(found, key=lambda one: one[0])]

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    def only(self, name: str) -> Seen:
        [span] = self.named(name)
        return span


def _seen(span: trace_pb2.Span, service: Any) -> Seen:
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return Seen(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        failed=span.status.message if failed else "",
        attributes=_values(span.attributes),
        service=_values(service),
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.paths.add(self.path)
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_values: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        ask_for_traces(monkeypatch, server.server_port)
        yield found
        server.shutdown()


def ask_for_traces(monkeypatch: pytest.MonkeyPatch, port: int, **more: str) -> None:
    asked = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "20",  # milliseconds
        "NO_PROXY": "*",
    }
    for name, value in (asked | more).items():
        monkeypatch.setenv(name, value)


# --- stories -----------------------------------------------------------------------------------


async def posted(world: World, **headers: str) -> httpx.Response:
    """Post a webhook with these headers."""
    body = webhook(firing(cluster=PEOPLE["bob"]))  # a number in a label
    answer = await world.client.post("/v1/alertmanager", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def receipts_pushed(world: World) -> None:
    """Push the receipt of each call that was made."""
    for call in world.vendor.calls:
        answer = await world.client.post(f"/v1/receipts/{RECEIPTS_SECRET}", json=receipt(call))
        assert answer.json()["news"] == 1


@pytest.mark.anyio
async def test_one_trace_from_the_webhook_to_the_receipt(
    tmp_path: Path, collector: Collector
) -> None:
    async with story(tmp_path, environ=WITH_RECEIPTS) as world:
        world.arm(ANSWERED_AT_ONCE)
        await posted(world, **FROM_ALERTMANAGER)
        await world.until_states(accepted=1)
        await receipts_pushed(world)
        [call] = await world.calls()
    spans = collector.spans
    assert [span.name for span in spans] == ["webhook", "decision", "attempt", "receipt"]
    taken, decided, attempted, reported = spans
    assert {span.trace for span in spans} == {TRACE}
    assert taken.parent == CALLER
    assert decided.parent == taken.id
    assert [attempted.parent, reported.parent] == [decided.id, decided.id]
    assert [span.kind for span in spans] == ["server", "internal", "client", "internal"]
    assert taken.attributes == {"uvms.source": "alertmanager"}
    assert decided.attributes == {
        "uvms.alerts": 1,
        "uvms.new_calls": 1,
        "uvms.new_pages": 1,
        "uvms.page": call["page"],
    }
    [made] = world.vendor.calls
    assert attempted.attributes == {
        "uvms.call": call["id"],
        "uvms.attempt": made.user_id,
        "uvms.page": call["page"],
        "uvms.receiver": "phone",
        "uvms.reason": "first",
        "uvms.outcome": "accepted",
        "uvms.ret_code": 0,
    }
    assert reported.attributes == {
        "uvms.call": call["id"],
        "uvms.attempt": made.user_id,
        "uvms.page": call["page"],
        "uvms.heard_by": "push",
        "uvms.result": "answered",
        "uvms.talk_seconds": 20,
    }
    assert taken.service["service.name"] == "uvms-adapter"
    assert taken.service["service.version"] == __version__
    assert collector.paths == {"/v1/traces"}
    _assert_no_secret(collector)


def _assert_no_secret(collector: Collector) -> None:
    """No number and no secret is in anything that was sent."""
    sent = b"".join(collector.bodies).decode("latin-1")
    numbers = [number.removeprefix("+86") for number in PEOPLE.values()]
    for secret in (*numbers, PRIVATE_KEY, WEBHOOK_TOKEN, API_TOKEN, RECEIPTS_SECRET):
        assert secret not in sent


@pytest.mark.anyio
@pytest.mark.usefixtures("database")
async def test_a_call_of_unknown_outcome_is_looked_up_in_its_trace(
    tmp_path: Path, collector: Collector
) -> None:
    async with story(tmp_path, routes(receipts={"poll_interval": "1s"})) as world:
        world.arm(ANSWERED_AT_ONCE, Fault(kind=Kind.CUT, times=1, place=True))
        await posted(world, **FROM_ALERTMANAGER)
        await world.until_states(accepted=1)
        await until(lambda: bool(collector.named("receipt")), "a receipt")
    decided, attempted = collector.only("decision"), collector.only("attempt")
    looked_up, reported = collector.named("look-up")[-1], collector.only("receipt")
    assert {span.trace for span in collector.spans} == {TRACE}
    assert {span.parent for span in (attempted, looked_up, reported)} == {decided.id}
    assert (attempted.failed, attempted.attributes["uvms.outcome"]) == ("unknown", "unknown")
    assert (looked_up.kind, looked_up.attributes["uvms.state"]) == ("client", "accepted")
    assert looked_up.attributes["uvms.found"] == "found"
    assert looked_up.attributes["uvms.attempt"] == attempted.attributes["uvms.attempt"]
    assert reported.attributes["uvms.heard_by"] == "poll"
    _assert_no_secret(collector)


@pytest.mark.anyio
@pytest.mark.usefixtures("database")
async def test_a_step_that_is_taken_after_a_restart_is_in_the_trace(
    tmp_path: Path, collector: Collector
) -> None:
    """Both people are called for the same webhook, by two lives of the service."""
    steps = [{"call": ["alice"], "wait": "1s"}, {"call": ["bob"]}]
    phone = receiver(escalation=steps)
    del phone["call"]
    async with world_without_service(tmp_path, routes(phone)) as world:
        async with service_of(world):
            await posted(world, **FROM_ALERTMANAGER)
            await world.until_rang(1)
        async with service_of(world):
            await world.until_states(accepted=2)
    assert world.rang == ["alice", "bob"]
    attempts = collector.named("attempt")
    assert [span.attributes["uvms.reason"] for span in attempts] == ["first", "escalation"]
    assert {(span.trace, span.parent) for span in attempts} == {
        (TRACE, collector.only("decision").id)
    }


@pytest.mark.anyio
@pytest.mark.usefixtures("database")
async def test_a_call_that_waits_for_its_group_is_in_the_trace_after_a_restart(
    tmp_path: Path, collector: Collector
) -> None:
    async with world_without_service(tmp_path, routes(route={"group_wait": "1s"})) as world:
        async with service_of(world):
            await posted(world, **FROM_ALERTMANAGER)
        async with service_of(world):
            await world.until_states(accepted=1)
    assert collector.only("attempt").trace == TRACE


@pytest.mark.anyio
async def test_a_trace_context_that_cannot_be_read_is_ignored(
    tmp_path: Path, collector: Collector
) -> None:
    async with story(tmp_path) as world:
        await posted(world, traceparent="00-garbage")
        await world.until_states(accepted=1)
    taken = collector.only("webhook")
    assert taken.parent == ""
    assert {span.trace for span in collector.spans} == {taken.trace}


@pytest.mark.anyio
async def test_a_webhook_that_is_refused_shows_why_and_nothing_of_what_it_held(
    tmp_path: Path, collector: Collector
) -> None:
    async with story(tmp_path) as world:
        held = {"alerts": PEOPLE["alice"]}
        refused = await world.client.post("/v1/alertmanager", json=held, headers=FROM_ALERTMANAGER)
        assert refused.status_code == 422
        assert (await world.client.post("/v1/alertmanager", headers=NOBODY)).status_code == 401
    [span] = collector.spans
    assert (span.name, span.trace, span.failed) == ("webhook", TRACE, "InvalidNotification")
    _assert_no_secret(collector)


NOBODY = FROM_ALERTMANAGER | {"Authorization": "Bearer nobody"}


@pytest.mark.anyio
async def test_calls_are_made_all_the_same_without_a_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ask_for_traces(monkeypatch, port)
    async with story(tmp_path) as world:
        await posted(world, **FROM_ALERTMANAGER)
        await world.until_states(accepted=1)


# --- the tracer --------------------------------------------------------------------------------

UNREADABLE = {
    "empty": "",
    "words": "garbage",
    "too short": f"00-{TRACE}-{CALLER}",
    "not hexadecimal": f"00-{'x' * 32}-{CALLER}-01",
    "capitals": f"00-{TRACE.upper()}-{CALLER}-01",
    "no trace": f"00-{'0' * 32}-{CALLER}-01",
    "no span": f"00-{TRACE}-{'0' * 16}-01",
    "a version that never is": f"ff-{TRACE}-{CALLER}-01",
    "more than its version has": f"00-{TRACE}-{CALLER}-01-more",
    "endless": f"00-{TRACE}-{CALLER}-01" + "1" * 10_000,
    "not ASCII": "００-告警",
}
TRACEPARENT = re.compile("00-([0-9a-f]{32})-[0-9a-f]{16}-0[13]")  # sampled; 2: its id is random


@pytest.mark.parametrize("parent", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_parent_begins_a_trace(collector: Collector, parent: str) -> None:
    tracer = open_tracer()
    with tracer.span("webhook", parent) as span:
        found = TRACEPARENT.fullmatch(span.traceparent)
    tracer.close()
    assert found is not None
    assert found[1] != TRACE
    assert (collector.only("webhook").trace, collector.only("webhook").parent) == (found[1], "")


def test_what_the_sender_does_not_sample_we_do_not_either(collector: Collector) -> None:
    tracer = open_tracer()
    with tracer.span("webhook", f"00-{TRACE}-{CALLER}-00") as span:
        assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", span.traceparent)
    tracer.close()
    assert collector.spans == []


def test_a_failure_is_told_by_its_kind_alone(collector: Collector) -> None:
    tracer = open_tracer()
    with pytest.raises(ValueError, match="secret"), tracer.span("webhook", page=None, count=1):
        raise ValueError("a secret")
    tracer.close()
    span = collector.only("webhook")
    assert (span.failed, dict(span.attributes)) == ("ValueError", {"uvms.count": 1})
    assert b"a secret" not in b"".join(collector.bodies)


def test_the_environment_names_the_service(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "phone-calls")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    tracer = open_tracer()
    with tracer.span("webhook"):
        pass
    tracer.close()
    found = collector.only("webhook").service
    assert found["service.name"] == "phone-calls"
    assert found["deployment.environment.name"] == "prod"


def test_a_collector_that_is_silent_does_not_keep_us(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ask_for_traces(monkeypatch, silent.getsockname()[1], OTEL_EXPORTER_OTLP_TIMEOUT="60")
        tracer = open_tracer()
        with tracer.span("webhook"):
            pass
        began = time.monotonic()
        tracer.close()
        took = time.monotonic() - began
    assert took < 20


NOT_ASKED_FOR = {
    "nothing is set": {},
    "no exporter": {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
    "disabled": {"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
    "an exporter that we do not have": {"OTEL_TRACES_EXPORTER": "zipkin"},
    "only a name": {"OTEL_SERVICE_NAME": "phone-calls"},
}
IMPORTED = """
import sys
import adapter.cli.main, adapter.cli.serve, adapter.service
from adapter.tracing import NO_TRACES, open_tracer
assert open_tracer() is NO_TRACES
with NO_TRACES.span("webhook", page="x") as span:
    span.set(outcome="accepted")
    span.fail("unknown")
    assert span.traceparent == ""
NO_TRACES.close()
assert not [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]
"""


@pytest.mark.parametrize("environ", NOT_ASKED_FOR.values(), ids=NOT_ASKED_FOR)
def test_nothing_is_imported_unless_it_is_asked_for(environ: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", IMPORTED], env=environ, check=True)


@pytest.mark.anyio
async def test_without_traces_none_is_kept(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        await posted(world, **FROM_ALERTMANAGER)
        await world.until_states(accepted=1)
    with closing(connect(tmp_path / "adapter.db")) as database:
        assert database.execute("SELECT traceparent FROM calls").fetchall() == [("",)]


ASKED_FOR = {
    "an endpoint": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    "an endpoint for traces": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1"},
    "an exporter": {"OTEL_TRACES_EXPORTER": "OTLP"},
}


@pytest.mark.parametrize("environ", ASKED_FOR.values(), ids=ASKED_FOR)
def test_what_asks_for_traces(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    tracer = open_tracer()
    tracer.close()
    assert tracer is not NO_TRACES


MISSING = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_for_traces(monkeypatch, 9)
    monkeypatch.setitem(sys.modules, MISSING, None)
    with capture_logs() as logs:
        assert open_tracer() is NO_TRACES
    [line] = logs
    assert line["why"].startswith("pip install 'uvms-adapter[otel]': ")


SLIPS = {
    "a number that cannot be": ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, True),
    "another exporter": ({"OTEL_TRACES_EXPORTER": "zipkin"}, True),
    "another protocol": ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
}


@pytest.mark.parametrize(("environ", "gives_up"), SLIPS.values(), ids=SLIPS)
def test_a_slip_in_a_variable_is_said_and_ends_nothing(
    environ: dict[str, str], gives_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_traces(monkeypatch, 9, **environ)
    with capture_logs() as logs:
        tracer = open_tracer()
    tracer.close()
    assert (tracer is NO_TRACES) is gives_up
    assert "traces" in logs[0]["event"]
