"""The simulated vendor: its RetCodes, its faults, its receipts and records, and a real server."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import msgspec
import pytest
import structlog
import ucloud.client
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from ucloud.core import exc
from ucloud.core.auth import Credential

from adapter import signing
from adapter.model import Secret, mask_number
from adapter.simulator import checks
from adapter.simulator.app import create_app
from adapter.simulator.calls import Fate, PlacedCall, Result, append_to, national
from adapter.simulator.faults import ABOUT_THE_CALL, ANY, LOOK_UP, Fault, Faults, Kind
from adapter.simulator.server import Http, listen, running, url_of
from adapter.simulator.vendor import Account, Vendor
from adapter.simulator.wire import read

pytestmark = pytest.mark.anyio

PUBLIC, PRIVATE = "public-key-of-the-tests", "private-key-of-the-tests"
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
NUMBER = "+8613512345678"
TEXT = "{1}告警，{2}，请及时处理。"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class ManualClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Sleeps:
    """Every wait, noted; it lasts no time."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await anyio.lowlevel.checkpoint()


def account(**changes: Any) -> Account:
    return msgspec.structs.replace(Account(keys={PUBLIC: Secret(PRIVATE)}), **changes)


def make_vendor(given: Account | None = None, **more: Any) -> Vendor:
    ids = itertools.count(1)
    options = {"clock": ManualClock(), "new_id": lambda: f"id-{next(ids)}"} | more
    return Vendor(given or account(), **options)


def signed(params: Mapping[str, Any]) -> dict[str, str]:
    """A request as an honest client builds it; a parameter of None is left out."""
    flat = signing.flatten({"PublicKey": PUBLIC, "Action": "SendUVMSMessage"} | dict(params))
    return flat | {"Signature": signing.sign(flat, PRIVATE)}


def message(**changes: Any) -> dict[str, str]:
    return signed({"CalledNumber": NUMBER, "TemplateId": "UVVT1", "UserId": "attempt1"} | changes)


def look_up(**params: Any) -> dict[str, str]:
    return signed({"Action": LOOK_UP} | params)


@asynccontextmanager
async def in_process(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application without a server."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://vendor.test") as client,
    ):
        yield client


async def ask(vendor: Vendor, params: Mapping[str, str]) -> dict[str, Any]:
    async with in_process(create_app(vendor)) as client:
        answer = await client.post("/", data=params)
    assert answer.status_code == 200
    assert answer.headers["X-UCLOUD-REQUEST-UUID"] == answer.json()["ReqUuid"]
    body: dict[str, Any] = answer.json()
    return body


# --- an accepted call ----------------------------------------------------------------------------


async def test_an_accepted_call_is_answered_as_documented_and_logged_as_placed() -> None:
    vendor = make_vendor(account(templates={"UVVT1": TEXT}))
    body = await ask(vendor, message(TemplateParams=["生产", "磁盘满"]))
    assert body == {
        "RetCode": 0,
        "Action": "SendUVMSMessageResponse",
        "Message": "Send success",
        "ReqUuid": "id-1",
        "SessionNo": "id-2",
        "UserId": "attempt1",
    }
    (call,) = vendor.calls
    assert (call.number, call.template, call.params) == (NUMBER, "UVVT1", ("生产", "磁盘满"))
    assert call.words == "生产告警，磁盘满，请及时处理。"
    assert (call.time, call.user_id, call.session_no) == (NOW, "attempt1", "id-2")


async def test_without_a_user_id_none_is_echoed() -> None:
    assert "UserId" not in await ask(make_vendor(), message(UserId=None))


async def _get(client: httpx.AsyncClient, params: dict[str, str]) -> httpx.Response:
    return await client.get("/", params=params)


async def _form(client: httpx.AsyncClient, params: dict[str, str]) -> httpx.Response:
    return await client.post("/", data=params)


async def _form_and_query(client: httpx.AsyncClient, params: dict[str, str]) -> httpx.Response:
    return await client.post("/", params={"Action": params["Action"]}, data=params)


async def _json(client: httpx.AsyncClient, params: dict[str, str]) -> httpx.Response:
    return await client.post("/", json=params)


async def _json_arrays(client: httpx.AsyncClient, params: dict[str, str]) -> httpx.Response:
    del params["TemplateParams.0"], params["TemplateParams.1"], params["Signature"]
    signature = signing.sign(params | {"TemplateParams": "生产a+b 1"}, PRIVATE)
    arrays = {"TemplateParams": ["生产", "a+b 1"], "Signature": signature}
    return await client.post("/", json=params | arrays)


async def _json_numbers(client: httpx.AsyncClient, params: dict[str, str]) -> httpx.Response:
    return await client.post("/", json=params | {"GroupType": 1})


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(_get, id="query of a GET"),
        pytest.param(_form, id="form (Python SDK)"),
        pytest.param(_form_and_query, id="form with the action in the query too (Go SDK)"),
        pytest.param(_json, id="JSON with flattened keys (Java SDK)"),
        pytest.param(_json_arrays, id="JSON with an array (Go SDK)"),
        pytest.param(_json_numbers, id="JSON with a number"),
    ],
)
async def test_every_documented_encoding_is_understood(
    send: Callable[[httpx.AsyncClient, dict[str, str]], Any],
) -> None:
    vendor = make_vendor()
    async with in_process(create_app(vendor)) as client:
        answer = await send(client, message(TemplateParams=["生产", "a+b 1"], GroupType=1))
    assert answer.json()["RetCode"] == 0, answer.json()
    assert vendor.calls[0].params == ("生产", "a+b 1")
    assert vendor.calls[0].number == NUMBER


async def test_a_plus_sign_that_was_not_encoded_breaks_the_signature() -> None:
    vendor = make_vendor()
    async with in_process(create_app(vendor)) as client:
        query = "&".join(f"{name}={value}" for name, value in message().items())
        answer = await client.get(f"/?{query}")
    assert answer.json()["RetCode"] == 171


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", 160, id="empty"),
        pytest.param(b"[1]", 160, id="an array"),
        pytest.param(b"\xff\xfe", 160, id="no JSON"),
        pytest.param(b"[" * 100_000, 160, id="deep"),
        pytest.param(b'{"Action":null}', 160, id="a null"),
        pytest.param(b'{"Action":{"a":1}}', 160, id="an object where a text belongs"),
    ],
)
async def test_a_body_that_is_no_object_of_parameters_has_no_action(body: bytes, code: int) -> None:
    async with in_process(create_app(make_vendor())) as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/", content=body, headers=headers)
    assert (answer.status_code, answer.json()["RetCode"]) == (200, code)


# --- RetCodes ------------------------------------------------------------------------------------

STRICT = account(
    templates={"UVVT1": TEXT, "plain": "演习", "long": "{1}" + "长" * 900},
    from_numbers=frozenset({"02188889057"}),
    projects=frozenset({"org-a"}),
)
TWO = ["生产", "磁盘满"]

REFUSED = [
    ("no action", signed({"Action": None}), 160, "Missing Action"),
    ("unknown action", signed({"Action": "Dial"}), 161, "Action [Dial] not found"),
    ("no signature", {**message(), "Signature": ""}, 170, "Missing Signature"),
    ("wrong signature", {**message(), "Signature": "0" * 40}, 171, "Signature VerifyAC Error"),
    (
        "changed after signing",
        {**message(), "CalledNumber": "+8613512345679"},
        171,
        "Signature VerifyAC Error",
    ),
    ("unknown public key", message(PublicKey="stranger"), 172, "User Not Exists"),
    ("no public key", message(PublicKey=None), 172, "User Not Exists"),
    ("unknown project", message(ProjectId="org-b"), 292, "Project [org-b] not exists"),
    ("no number", message(CalledNumber=None), 210, "Missing params [CalledNumber]"),
    ("empty number", message(CalledNumber=""), 210, "Missing params [CalledNumber]"),
    ("no template", message(TemplateId=None), 210, "Missing params [TemplateId]"),
    ("national number", message(CalledNumber="13512345678"), 230, "CalledNumber"),
    ("two numbers", message(CalledNumber=f"{NUMBER},{NUMBER}"), 230, "CalledNumber"),
    ("number too long", message(CalledNumber=NUMBER + "999"), 230, "CalledNumber"),
    ("no such country", message(CalledNumber="+9991234567"), 230, "CalledNumber"),
    ("unknown template", message(TemplateId="UVVT2"), 230, "TemplateId"),
    ("too few params", message(TemplateParams=["a"]), 230, "1 given, the template has 2"),
    ("too many params", message(TemplateParams=[*TWO, "c"]), 230, "3 given, the template has 2"),
    ("params for none", message(TemplateId="plain", TemplateParams=["a"]), 230, "has 0"),
    (
        "params from 1 on",
        message(**{"TemplateParams.1": "a", "TemplateParams.2": "b"}),
        230,
        "not numbered",
    ),
    (
        "empty param",
        message(TemplateParams=["生产", " "]),
        230,
        "[TemplateParams.1] not available: e",
    ),
    ("percent sign", message(TemplateParams=["90%", "b"]), 230, "forbidden character U+0025"),
    ("line break", message(TemplateParams=["a\nb", "b"]), 230, "forbidden character U+000A"),
    ("emoji", message(TemplateParams=["🔥", "b"]), 230, "forbidden character U+1F525"),
    ("link", message(TemplateParams=["https://x", "b"]), 230, "a link"),
    ("address", message(TemplateParams=["10.0.0.1:9100", "b"]), 230, "an IP address"),
    (
        "more than 1,000 characters",
        message(TemplateId="long", TemplateParams=["x" * 101]),
        230,
        "1001 characters spoken, 1000 allowed",
    ),
    ("UserId of 33", message(UserId="x" * 33, TemplateParams=TWO), 230, "UserId"),
    ("UserId with a quote", message(UserId="it's", TemplateParams=TWO), 230, "UserId"),
    ("UserId with an emoji", message(UserId="🔥", TemplateParams=TWO), 230, "UserId"),
    ("GroupType 3", message(GroupType=3, TemplateParams=TWO), 230, "[GroupType] not available"),
    ("DispatchRule 2", message(DispatchRule=2, TemplateParams=TWO), 230, "DispatchRule"),
    (
        "foreign FromNumber",
        message(FromNumber="02111111111", TemplateParams=TWO),
        230,
        "FromNumber",
    ),
    ("window of 8 days", look_up(StartTime=NOW.timestamp() - 8 * 86400), 230, "7 days"),
    ("window upside down", look_up(EndTime=1, StartTime=2), 230, "StartTime"),
    ("StartTime no number", look_up(StartTime="yesterday"), 230, "StartTime"),
    ("StartTime for ever", look_up(StartTime="-inf"), 230, "StartTime"),
    ("EndTime in nanoseconds", look_up(EndTime=10**18), 230, "EndTime"),
    ("Page -1", look_up(Page=-1), 230, "Page"),
    ("NumPerPage 0", look_up(NumPerPage=0), 230, "NumPerPage"),
    ("OrderBy nothing known", look_up(OrderBy="Phone"), 230, "OrderBy"),
    ("OrderType nothing known", look_up(OrderType="down"), 230, "OrderType"),
]


@pytest.mark.parametrize(
    ("params", "code", "said"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED]
)
async def test_a_refused_request_places_no_call(
    params: dict[str, str], code: int, said: str
) -> None:
    vendor = make_vendor(STRICT)
    body = await ask(vendor, params)
    assert (body["RetCode"], said in body["Message"]) == (code, True), body
    assert body["Action"] == params.get("Action", "") + "Response"
    assert "SessionNo" not in body
    assert not vendor.calls
    assert [(line.ret_code, line.placed) for line in vendor.requests] == [(code, False)]


TAKEN = [
    ("as the template wants", {}),
    ("the configured project", {"ProjectId": "org-a"}),
    ("a purchased number", {"FromNumber": "02188889057", "GroupType": 2}),
    ("empty optional parameters", dict.fromkeys(["UserId", "GroupType", "FromNumber"], "")),
    ("the edition of 2022", {"Region": "cn-bj2", "Zone": "cn-bj2-04"}),
    ("parameters nobody knows", {"SecurityToken": "t", "Whatever": 1}),
    ("no params for none", {"TemplateId": "plain", "TemplateParams": None}),
    ("degrees and a version", {"TemplateParams": ["30℃", "v1.2.3 于 10:30:00"]}),
]


@pytest.mark.parametrize("changes", [pytest.param(row[1], id=row[0]) for row in TAKEN])
async def test_what_the_documents_allow_is_taken(changes: dict[str, Any]) -> None:
    body = await ask(make_vendor(STRICT), message(**({"TemplateParams": TWO} | changes)))
    assert body["RetCode"] == 0, body


async def test_without_a_registry_any_template_is_known_but_its_words_are_not() -> None:
    vendor = make_vendor()
    assert (await ask(vendor, message(TemplateParams=["x"])))["RetCode"] == 0
    assert vendor.calls[0].words is None


async def test_more_requests_a_second_than_allowed_are_throttled_until_it_is_over() -> None:
    clock = ManualClock()
    vendor = make_vendor(account(requests_per_second=2), clock=clock)
    codes = [(await ask(vendor, message()))["RetCode"] for _ in range(3)]
    clock.now += timedelta(seconds=1)
    codes.append((await ask(vendor, message()))["RetCode"])
    assert codes == [0, 0, 153, 0]
    assert len(vendor.calls) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("磁盘满，剩 5 G（见 a/b）。", None),
        ("foo::bar", None),
        ("::", None),
        ("db1.example.com", None),
        ("1.2.3.4.5", None),
        ("node [::1]:80", "an IP address"),
        ("fe80::1", "an IP address"),
        ("见FE80::1。", "an IP address"),
        ("（192.168.0.1）", "an IP address"),
        ("Redis://x", "a link"),
        ("见www.example.com", "a link"),
        ("a\u200bb", "forbidden character U+200B"),
        ("\ufe0f", "forbidden character U+FE0F"),
        ("", "empty"),
    ],
)
def test_what_a_variable_may_hold(text: str, why: str | None) -> None:
    assert checks.unspeakable(text) == why


@given(st.text(), st.text())
def test_no_text_makes_the_checks_stumble(value: str, user_id: str) -> None:
    params = {"CalledNumber": NUMBER, "TemplateId": "t", "TemplateParams.0": value}
    refusal = checks.check_send(params | {"UserId": user_id}, {}, frozenset())
    assert refusal is None or refusal.code == 230


@given(st.binary(), st.binary(), st.sampled_from(["application/json", ""]))
def test_no_bytes_make_the_reading_stumble(query: bytes, body: bytes, content_type: str) -> None:
    received = read("POST", query, content_type, body)
    assert all(isinstance(value, str) for value in received.params.values())


# --- the official SDK as an independent witness --------------------------------------------------


@given(
    st.dictionaries(
        st.sampled_from(["UserId", "ProjectId", "Region", "Zone", "TemplateId", "Odd~名"]),
        st.text(st.characters(codec="utf-8")),
    )
)
def test_what_the_official_sdk_signs_is_never_answered_with_171(params: dict[str, str]) -> None:
    params = {"Action": "SendUVMSMessage", **params}
    params["Signature"] = Credential(PUBLIC, PRIVATE).verify_ac(params)
    form = httpx.QueryParams(params)
    answer = make_vendor().receive(read("POST", b"", "", str(form).encode()))
    assert answer.body["RetCode"] == 210


@pytest.fixture
def quiet_sdk() -> Iterator[None]:
    """The SDK logs whole requests and replaces the root logger's handlers."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before


@pytest.mark.usefixtures("quiet_sdk")
# Its docstrings hold backslashes, which newer Pythons warn of where they compile it first.
@pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
async def test_the_official_sdk_calls_looks_up_and_is_refused() -> None:
    vendor = make_vendor(account(templates={"UVVT1": TEXT}))

    def drive(url: str) -> tuple[dict[str, Any], dict[str, Any], int]:
        config = {"public_key": PUBLIC, "private_key": PRIVATE, "base_url": url + "/"}
        client = ucloud.client.Client({**config, "project_id": "org-a", "region": "cn-bj2"})
        wanted = {
            "CalledNumber": NUMBER,
            "TemplateId": "UVVT1",
            "TemplateParams": ["生产", "a & b"],
        }
        with pytest.raises(exc.RetCodeException) as refused:
            client.uvms().send_uvms_message(wanted)
        sent = client.uvms().send_uvms_message(
            wanted | {"TemplateParams": ["生产", "磁盘满"], "UserId": "u1", "GroupType": 1}
        )
        window = {"StartTime": NOW.timestamp() - 60, "EndTime": NOW.timestamp() + 60.5}
        found = client.uvms().get_uvms_send_record({"PhoneNumber": "13512345678", **window})
        return sent, found, refused.value.code

    async with running(create_app(vendor)) as url:
        sent, found, refused = await anyio.to_thread.run_sync(drive, url)
    assert refused == 230
    assert (sent["SessionNo"], sent["UserId"]) == (vendor.calls[0].session_no, "u1")
    assert found["Total"] == 1
    assert found["Data"][0]["Phone"] == "13512345678"
    assert found["Data"][0]["CallStartTime"] == NOW.timestamp() * 1000
    assert found["Data"][0]["ReceiptResult"] == 3


# --- records -------------------------------------------------------------------------------------


async def found(vendor: Vendor, **params: Any) -> list[str]:
    """The numbers a look-up shows."""
    body = await ask(vendor, look_up(**params))
    assert body["RetCode"] == 0, body
    return [item["Phone"] for item in body["Data"]]


@pytest.fixture
async def three_calls() -> Vendor:
    """Three calls, an hour apart, to 13512345671, …2 (from our own number) and a British …3."""
    clock = ManualClock()
    vendor = make_vendor(clock=clock)
    clock.now -= timedelta(hours=3)
    await ask(vendor, message(CalledNumber="+8613512345671"))
    clock.now += timedelta(hours=1)
    await ask(vendor, message(CalledNumber="+8613512345672", FromNumber="02199", TemplateId="T2"))
    clock.now += timedelta(hours=1)
    await ask(vendor, message(CalledNumber="+447700900123"))
    clock.now += timedelta(hours=1)
    return vendor


A, B, C = "13512345671", "13512345672", "7700900123"


@pytest.mark.parametrize(
    ("params", "phones"),
    [
        pytest.param({}, [C, B, A], id="all, the latest first"),
        pytest.param({"OrderType": "asc"}, [A, B, C], id="the oldest first"),
        pytest.param({"OrderBy": "receive_time", "OrderType": "asc"}, [A, B, C], id="by receipt"),
        pytest.param({"PhoneNumber": A}, [A], id="number"),
        pytest.param({"PhoneNumber": "+86" + A}, [A], id="number in E.164"),
        pytest.param({"PhoneNumber": A[:-1]}, [], id="part of a number"),
        pytest.param({"FuzzySearch": "12345"}, [B, A], id="fuzzy by called number"),
        pytest.param({"FuzzySearch": "2199"}, [B], id="fuzzy by calling number"),
        pytest.param({"TemplateId": "T2"}, [B], id="template"),
        pytest.param({"TaskNo": "id-3"}, [A], id="task"),
        pytest.param({"TaskNo": "id-2"}, [], id="a SessionNo is no TaskNo"),
        pytest.param({"BrevityCode": "CN"}, [B, A], id="country"),
        pytest.param({"ExcludeBrevityCode": "CN"}, [C], id="any country but"),
        pytest.param({"Purpose": 1}, [], id="purpose"),
        pytest.param({"CalledOperatorCode": "cucc"}, [], id="operator"),
        pytest.param({"NumPerPage": 2}, [C, B], id="first page"),
        pytest.param({"NumPerPage": 2, "Page": 1}, [A], id="second page"),
        pytest.param({"Page": 1}, [], id="beyond the last page"),
        pytest.param(
            {"StartTime": NOW.timestamp() - 7200, "EndTime": NOW.timestamp() - 7200},
            [B],
            id="window",
        ),
        pytest.param({"EndTime": NOW.timestamp() - 86400}, [], id="window before"),
    ],
)
async def test_a_look_up_filters_sorts_and_pages(
    three_calls: Vendor, params: dict[str, Any], phones: list[str]
) -> None:
    assert await found(three_calls, **params) == phones


async def test_total_counts_all_pages(three_calls: Vendor) -> None:
    body = await ask(three_calls, look_up(NumPerPage=1))
    assert (body["Total"], len(body["Data"]), body["Action"]) == (3, 1, "GetUVMSSendRecordResponse")


async def test_a_record_appears_after_its_delay_and_leaves_after_half_a_year() -> None:
    clock = ManualClock()
    vendor = make_vendor(account(record_after=timedelta(seconds=30)), clock=clock)
    await ask(vendor, message())
    before = await found(vendor)
    clock.now += timedelta(seconds=30)
    after = await found(vendor)
    clock.now += timedelta(days=184)
    window = {"StartTime": NOW.timestamp() - 1, "EndTime": NOW.timestamp() + 1}
    assert (before, after, await found(vendor, **window)) == ([], ["13512345678"], [])


async def test_a_record_has_the_documented_fields_and_knows_the_result_with_the_receipt() -> None:
    clock = ManualClock()
    vendor = make_vendor(account(fate=Fate(duration=61, receipt_after=5)), clock=clock)
    await ask(vendor, message())
    (early,) = (await ask(vendor, look_up()))["Data"]
    clock.now += timedelta(seconds=5)
    (late,) = (await ask(vendor, look_up()))["Data"]
    started = NOW.timestamp() * 1000
    assert (early["ReceiptResult"], early["Duration"], early["CallEndTime"]) == (3, 0, 0)
    assert late == {
        "TaskNo": "id-3",
        "Phone": "13512345678",
        "ShowNumber": "",
        "PreCost": 1,
        "Purpose": 2,
        "BrevityCode": "CN",
        "CountryCode": "86",
        "TemplateId": "UVVT1",
        "CallStartTime": started,
        "CallEndTime": started + 61_000,
        "Duration": 61,
        "ChannelId": "simulator",
        "ReceiptResult": 1,
        "ReceiptDesc": "用户接收成功",
        "ReceiveTime": started + 5_000,
        "SubmitTime": started,
        "CallingCityCode": "021",
        "CalledCityCode": "021",
        "CalledOperatorCode": "cmcc",
        "GroupType": 1,
        "BillSecond": 61,
        "BillPeriod": 60,
    }


# --- faults --------------------------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True):
    """What a caller saw: an exception's name, or a status and a body."""

    failure: str = ""
    status: int = 0
    body: bytes = b""


async def seen(url: str, params: Mapping[str, str], patience: float = 5) -> Seen:
    async with httpx.AsyncClient(timeout=patience, trust_env=False) as client:
        try:
            answer = await client.post(url, data=dict(params))
        except httpx.TransportError as failure:
            return Seen(failure=type(failure).__name__)
    return Seen(status=answer.status_code, body=answer.content)


def code(answer: Seen) -> Any:
    """The RetCode as it stands in the body, or what the caller saw instead."""
    if answer.failure or answer.status != 200:
        return answer.failure or answer.status
    try:
        return json.loads(answer.body)["RetCode"]
    except ValueError:
        return "unreadable"


FAULTS = [
    ("refuse", Fault(kind=Kind.REFUSE, ret_code=18013, message="no money"), 18013, 0, 18013),
    ("refuse, yet it rings", Fault(kind=Kind.REFUSE, ret_code=110, place=True), 110, 1, 110),
    ("refuse without a code", Fault(kind=Kind.REFUSE), 150, 0, 150),
    ("throttle", Fault(kind=Kind.THROTTLE), 153, 0, 153),
    ("HTTP 500", Fault(kind=Kind.HTTP_STATUS, status=500), 500, 0, None),
    ("HTTP 502", Fault(kind=Kind.HTTP_STATUS, status=502), 502, 0, None),
    ("HTTP 503 by default", Fault(kind=Kind.HTTP_STATUS), 503, 0, None),
    ("HTTP 504, yet it rings", Fault(kind=Kind.HTTP_STATUS, status=504, place=True), 504, 1, None),
    ("HTTP 429", Fault(kind=Kind.HTTP_STATUS, status=429, body="slow down"), 429, 0, None),
    ("stall before the call", Fault(kind=Kind.STALL, seconds=0), "ReadError", 0, None),
    ("stall after the call", Fault(kind=Kind.STALL, seconds=0, place=True), 0, 1, 0),
    ("cut before the call", Fault(kind=Kind.CUT), "ReadError", 0, None),
    ("cut after the call", Fault(kind=Kind.CUT, place=True), "ReadError", 1, None),
    ("slow body", Fault(kind=Kind.SLOW_BODY, seconds=0), 0, 1, 0),
    ("slow refusal", Fault(kind=Kind.SLOW_BODY, seconds=0, ret_code=130), 130, 0, 130),
    ("RetCode 0 as a string", Fault(kind=Kind.STRING_RET_CODE), "0", 1, 0),
    ("RetCode 153 as a string", Fault(kind=Kind.STRING_RET_CODE, ret_code=153), "153", 0, 153),
    ("garbage", Fault(kind=Kind.GARBAGE), "unreadable", 0, None),
    ("garbage, yet it rings", Fault(kind=Kind.GARBAGE, place=True), "unreadable", 1, None),
    ("empty body", Fault(kind=Kind.GARBAGE, body=""), "unreadable", 0, None),
    ("lie", Fault(kind=Kind.LIE), 0, 0, 0),
]


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[dict[Http, tuple[Vendor, str]]]:
    """A running simulator for each HTTP implementation of uvicorn, shared by the tables below."""
    tools, h11 = make_vendor(), make_vendor()
    async with running(create_app(tools)) as one, running(create_app(h11), http="h11") as two:
        yield {"httptools": (tools, one), "h11": (h11, two)}


def reset(vendor: Vendor, *faults: Fault) -> None:
    vendor.calls.clear()
    vendor.requests.clear()
    vendor.faults.clear()
    vendor.faults.add(*faults)


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize(
    ("fault", "told", "rung", "logged"), [pytest.param(*row[1:], id=row[0]) for row in FAULTS]
)
async def test_a_fault_shows_as_asked_and_rings_or_not(
    fault: Fault,
    told: Any,
    rung: int,
    logged: int | None,
    http: Http,
    servers: dict[Http, tuple[Vendor, str]],
) -> None:
    vendor, url = servers[http]
    reset(vendor, fault)
    answer = await seen(url, message())
    assert code(answer) == told
    assert len(vendor.calls) == rung
    (line,) = vendor.requests
    assert (line.ret_code, line.fault, line.placed) == (logged, fault.kind, rung == 1)


def test_every_kind_of_fault_has_a_row() -> None:
    assert {row[1].kind for row in FAULTS} | ABOUT_THE_CALL == set(Kind)


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_cut_is_a_reset_under_uvloop_too(http: Http) -> None:
    async def cut_then_not() -> tuple[Any, Any]:
        vendor = make_vendor()
        vendor.faults.add(Fault(kind=Kind.CUT, times=1))
        async with running(create_app(vendor), http=http) as url:
            return code(await seen(url, message())), code(await seen(url, message()))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(cut_then_not()) == ("ReadError", 0)


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_a_cut_resets_the_tcp_connection_and_closes_none_in_order(
    http: Http, servers: dict[Http, tuple[Vendor, str]]
) -> None:
    vendor, url = servers[http]
    reset(vendor, Fault(kind=Kind.CUT))
    body = str(httpx.QueryParams(message())).encode()
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def talk() -> bytes:
        target = httpx.URL(url)
        with socket.create_connection((target.host, target.port or 0), timeout=5) as line:
            line.sendall(head + body)
            return line.recv(100)

    with pytest.raises(ConnectionResetError):
        await anyio.to_thread.run_sync(talk)


async def test_a_stalled_call_is_not_placed_later_when_the_caller_has_hung_up() -> None:
    vendor = make_vendor()
    vendor.faults.add(Fault(kind=Kind.STALL, seconds=60))
    async with running(create_app(vendor)) as url:
        answer = await seen(url, message(), patience=0.05)
    assert code(answer) == "ReadTimeout"
    assert not vendor.calls


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("kind", [Kind.STALL, Kind.SLOW_BODY])
async def test_the_simulator_stops_at_once_though_a_caller_still_waits(
    kind: Kind, http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    placed, answers = anyio.Event(), []
    vendor = make_vendor(listeners=(lambda _: placed.set(),))
    vendor.faults.add(Fault(kind=kind, place=True, seconds=3600))

    async def wait_for_an_answer(url: str) -> None:
        answers.append(code(await seen(url, message(), patience=60)))

    with anyio.fail_after(20):
        async with (
            anyio.create_task_group() as group,
            running(create_app(vendor), http=http) as url,
        ):
            group.start_soon(wait_for_an_answer, url)
            await placed.wait()
    assert answers[0] in ("RemoteProtocolError", "ReadError")
    assert not [line for line in caplog.records if line.levelno >= logging.WARNING]


async def test_a_body_drips_a_byte_at_a_time() -> None:
    vendor, sleeps = make_vendor(), Sleeps()
    vendor.faults.add(Fault(kind=Kind.SLOW_BODY, seconds=10), Fault(kind=Kind.NO_RECEIPT))
    async with running(create_app(vendor, sleep=sleeps)) as url:
        answer = await seen(url, message())
    assert len(sleeps.asked) == len(answer.body)
    assert sum(sleeps.asked) == pytest.approx(10)


async def test_without_a_server_a_cut_says_that_it_needs_one() -> None:
    vendor = make_vendor()
    vendor.faults.add(Fault(kind=Kind.CUT))
    async with in_process(create_app(vendor)) as client:
        with pytest.raises(ConnectionResetError, match="only a real server"):
            await client.post("/", data=message())


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        pytest.param({"times": 2}, [153, 153, 0, 0], id="the next two"),
        pytest.param({}, [153, 153, 153, 153], id="for ever"),
        pytest.param({"number": NUMBER}, [153, 0, 153, 0], id="one number"),
        pytest.param({"number": "13512345678"}, [153, 0, 153, 0], id="the number, national"),
        pytest.param({"template": "T2"}, [0, 0, 153, 153], id="one template"),
        pytest.param({"number": NUMBER, "template": "T2"}, [0, 0, 153, 0], id="both"),
        pytest.param({"action": LOOK_UP}, [0, 0, 0, 0], id="another action"),
        pytest.param({"action": ANY, "times": 1}, [153, 0, 0, 0], id="any action"),
    ],
)
async def test_a_fault_matches_by_number_template_action_and_times(
    fault: dict[str, Any], codes: list[int]
) -> None:
    vendor = make_vendor()
    vendor.faults.add(Fault(kind=Kind.THROTTLE, **fault))
    other = "+8613512345679"
    sent = [
        await ask(vendor, message(CalledNumber=number, TemplateId=template))
        for template in ("T1", "T2")
        for number in (NUMBER, other)
    ]
    assert [body["RetCode"] for body in sent] == codes


async def test_the_oldest_fault_wins_and_the_next_follows_when_it_is_spent() -> None:
    vendor = make_vendor()
    vendor.faults.add(
        Fault(kind=Kind.REFUSE, ret_code=130, times=1), Fault(kind=Kind.THROTTLE, times=1)
    )
    codes = [(await ask(vendor, message()))["RetCode"] for _ in range(3)]
    assert codes == [130, 153, 0]
    assert [(row.id, row.used, row.spent) for row in vendor.faults.list()] == [
        (1, 1, True),
        (2, 1, True),
    ]


async def test_a_request_that_is_refused_anyway_uses_no_fault_up() -> None:
    vendor = make_vendor()
    vendor.faults.add(Fault(kind=Kind.CUT, times=1))
    await ask(vendor, message(PublicKey="stranger"))
    assert vendor.faults.list()[0].used == 0


LOOK_UP_FAULTS = [
    ("look-up refused", Fault(kind=Kind.REFUSE, action=LOOK_UP, ret_code=130), 130),
    ("look-up throttled", Fault(kind=Kind.THROTTLE, action=LOOK_UP), 153),
    ("look-up answered 500", Fault(kind=Kind.HTTP_STATUS, action=LOOK_UP, status=500), 500),
    ("look-up cut", Fault(kind=Kind.CUT, action=LOOK_UP), "ReadError"),
    ("look-up of that number", Fault(kind=Kind.CUT, action=LOOK_UP, number=NUMBER), "ReadError"),
    ("look-up of another number", Fault(kind=Kind.CUT, action=LOOK_UP, number="+861"), 0),
    ("look-up garbled", Fault(kind=Kind.GARBAGE, action=LOOK_UP), "unreadable"),
    ("look-up with a string", Fault(kind=Kind.STRING_RET_CODE, action=LOOK_UP), "0"),
]


@pytest.mark.parametrize(
    ("fault", "told"), [pytest.param(*row[1:], id=row[0]) for row in LOOK_UP_FAULTS]
)
async def test_a_look_up_can_fail_while_calls_go_through(
    fault: Fault, told: Any, servers: dict[Http, tuple[Vendor, str]]
) -> None:
    vendor, url = servers["httptools"]
    reset(vendor, fault)
    placed = await seen(url, message())
    answer = await seen(url, look_up(PhoneNumber="13512345678"))
    assert (code(placed), code(answer)) == (0, told)


async def test_a_lying_look_up_shows_no_call_that_was_placed() -> None:
    vendor = make_vendor()
    vendor.faults.add(Fault(kind=Kind.LIE, action=LOOK_UP, times=1))
    await ask(vendor, message())
    assert (await found(vendor), await found(vendor)) == ([], ["13512345678"])


async def test_a_record_never_appears_when_told_so() -> None:
    vendor = make_vendor()
    vendor.faults.add(Fault(kind=Kind.NO_RECORD, number=NUMBER))
    await ask(vendor, message())
    await ask(vendor, message(CalledNumber="+8613512345679"))
    assert await found(vendor) == ["13512345679"]
    assert len(vendor.calls) == 2


def test_faults_about_a_call_add_up() -> None:
    faults = Faults()
    faults.add(
        Fault(kind=Kind.UNANSWERED, seconds=7, copies=2), Fault(kind=Kind.NO_RECORD, times=1)
    )
    params = {"CalledNumber": NUMBER}
    bent = Fate(result=Result.UNANSWERED, receipt_after=7, copies=2)
    assert faults.for_call(params, Fate()) == msgspec.structs.replace(bent, recorded=False)
    assert faults.for_call(params, Fate()) == bent


# --- receipts ------------------------------------------------------------------------------------


class Customer:
    """A receipt URL: keeps the bodies and answers with the statuses given, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.statuses = list(statuses)
        self.app = Starlette(routes=[Route("/receipts", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        assert request.headers["content-type"] == "application/json"
        self.bodies.append(await request.json())
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


async def pushed(
    customer: Customer, *faults: Fault, expected: int = 1, fate: Fate | None = None
) -> list[float]:
    """Place a call, wait for its receipt's end, and return the seconds slept on the way."""
    vendor, sleeps = make_vendor(account(fate=fate or Fate())), Sleeps()
    vendor.faults.add(*faults)
    async with running(customer.app) as customers_url:
        app = create_app(vendor, receipt_url=f"{customers_url}/receipts", sleep=sleeps)
        async with running(app) as url:
            await seen(url, message())
            await _pushes(url, expected)
    return sleeps.asked


async def _pushes(url: str, expected: int) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        with anyio.fail_after(20):
            while True:
                pushes: list[dict[str, Any]] = (await client.get("/_simulator/receipts")).json()
                if len(pushes) >= expected:
                    return pushes
                await anyio.sleep(0.002)


async def test_a_receipt_is_pushed_as_documented() -> None:
    customer = Customer()
    slept = await pushed(customer, fate=Fate(duration=61, receipt_after=5))
    started = int(NOW.timestamp() * 1000)
    assert slept == [5]
    assert customer.bodies == [
        {
            "SessionNo": "id-2",
            "Phone": "13512345678",
            "ShowNumber": "02188889057",
            "CostCount": 2,
            "ReceiptResult": 1,
            "ReceiptCode": "200",
            "ReceiptDesc": "用户接收成功",
            "CallStartTime": started,
            "AnswerTime": started,
            "CallEndTime": started + 61_000,
            "Duration": 61,
            "UserId": "attempt1",
        }
    ]


@pytest.mark.parametrize(
    ("fault", "result", "duration"),
    [
        pytest.param(Fault(kind=Kind.ANSWERED, duration=7), 1, 7, id="answered"),
        pytest.param(Fault(kind=Kind.UNANSWERED), 2, 0, id="unanswered"),
        pytest.param(Fault(kind=Kind.UNREPORTED), 3, 0, id="unreported"),
    ],
)
async def test_a_receipt_tells_what_became_of_the_call(
    fault: Fault, result: int, duration: int
) -> None:
    customer = Customer()
    await pushed(customer, fault)
    (body,) = customer.bodies
    assert (body["ReceiptResult"], body["Duration"]) == (result, duration)


@pytest.mark.parametrize(
    ("statuses", "tries", "slept"),
    [
        pytest.param([200], 1, [2], id="taken at once"),
        pytest.param([503, 503], 3, [2, 1, 1], id="taken at the third try"),
        pytest.param([204], 2, [2, 1], id="204 is not 200"),
        pytest.param([500] * 9, 4, [2, 1, 1, 1], id="never taken"),
    ],
)
async def test_a_receipt_is_pushed_three_more_times_a_second_apart_unless_taken(
    statuses: list[int], tries: int, slept: list[float]
) -> None:
    customer = Customer(*statuses)
    assert await pushed(customer, expected=tries) == slept
    assert len(customer.bodies) == tries


async def test_a_receipt_comes_twice_when_told_so() -> None:
    customer = Customer()
    await pushed(customer, Fault(kind=Kind.UNANSWERED, copies=2), expected=2)
    assert customer.bodies[0] == customer.bodies[1]


async def test_a_customer_nobody_reaches_is_noted_without_its_secret_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    app = create_app(make_vendor(), receipt_url=f"http://127.0.0.1:{port}/secret", sleep=Sleeps())
    async with running(app) as url:
        await seen(url, message())
        pushes = await _pushes(url, 4)
    assert [(push["attempt"], push["status"], push["error"]) for push in pushes] == [
        (attempt, None, "ConnectError") for attempt in (1, 2, 3, 4)
    ]


async def test_receipts_can_overtake_each_other_and_the_answer() -> None:
    """The first call's answer stalls, and its receipt waits until the second one's is through."""
    customer, release = Customer(), anyio.Event()

    async def sleep(seconds: float) -> None:
        if seconds == 9:
            await release.wait()

    placed = anyio.Event()
    fate = Fate(receipt_after=0)
    vendor = make_vendor(account(fate=fate), listeners=(lambda _: placed.set(),))
    vendor.faults.add(
        Fault(kind=Kind.STALL, seconds=9, place=True, times=1),
        Fault(kind=Kind.ANSWERED, seconds=9, times=1),
    )
    async with running(customer.app) as customers_url, anyio.create_task_group() as group:
        app = create_app(vendor, receipt_url=f"{customers_url}/receipts", sleep=sleep)
        async with running(app) as url:
            group.start_soon(seen, url, message(UserId="first"))
            with anyio.fail_after(20):
                await placed.wait()
            await seen(url, message(UserId="second"))
            await _pushes(url, 1)
            release.set()
            await _pushes(url, 2)
    assert [body["UserId"] for body in customer.bodies] == ["second", "first"]


async def test_no_receipt_means_none_but_the_record_knows() -> None:
    customer = Customer()
    clock = ManualClock()
    vendor = make_vendor(clock=clock)
    vendor.faults.add(Fault(kind=Kind.NO_RECEIPT, times=1))
    async with running(customer.app) as customers_url:
        app = create_app(vendor, receipt_url=f"{customers_url}/receipts", sleep=Sleeps())
        async with running(app) as url:
            await seen(url, message(UserId="silent"))
            await seen(url, message(UserId="loud"))
            await _pushes(url, 1)
    clock.now += timedelta(minutes=1)
    records = (await ask(vendor, look_up()))["Data"]
    assert [body["UserId"] for body in customer.bodies] == ["loud"]
    assert [record["ReceiptResult"] for record in records] == [1, 1]


# --- commands ------------------------------------------------------------------------------------


async def test_the_call_log_is_json_and_can_be_emptied() -> None:
    async with in_process(create_app(make_vendor(account(templates={"UVVT1": "演习"})))) as client:
        await client.post("/", data=message())
        listed = (await client.get("/_simulator/calls")).json()
        emptied = (await client.delete("/_simulator/calls")).json()
    assert listed == [
        {
            "time": "2026-11-23T03:00:00Z",
            "number": NUMBER,
            "template": "UVVT1",
            "params": [],
            "words": "演习",
            "user_id": "attempt1",
            "session_no": "id-2",
            "task_no": "id-3",
            "req_uuid": "id-1",
            "project": "",
            "from_number": "",
            "group_type": 1,
            "fate": {
                "result": "answered",
                "duration": 23,
                "receipt_after": 2.0,
                "copies": 1,
                "receipt": True,
                "recorded": True,
            },
        }
    ]
    assert emptied == []


async def test_the_request_log_tells_outcomes_and_no_keys() -> None:
    async with in_process(create_app(make_vendor())) as client:
        await client.post("/", data=message(SecurityToken="t"))
        await client.get("/", params=message(CalledNumber="110"))
        first, second = (await client.get("/_simulator/requests")).json()
    assert (first["method"], first["ret_code"], first["placed"]) == ("POST", 0, True)
    assert (second["method"], second["ret_code"], second["placed"]) == ("GET", 230, False)
    assert (first["number"], first["user_id"], first["session_no"]) == (NUMBER, "attempt1", "id-2")
    assert set(first["params"]) == {"Action", "CalledNumber", "TemplateId", "UserId"}


async def test_faults_are_armed_listed_and_cleared_over_http() -> None:
    async with in_process(create_app(make_vendor())) as client:
        one = await client.post("/_simulator/faults", json={"kind": "refuse", "ret_code": 18013})
        two = await client.post("/_simulator/faults", json=[{"kind": "no_record", "times": 2}] * 2)
        refused = await client.post("/", data=message())
        listed = (await client.get("/_simulator/faults")).json()
        cleared = (await client.delete("/_simulator/faults")).json()
        taken = await client.post("/", data=message())
    assert (one.status_code, [row["id"] for row in one.json() + two.json()]) == (201, [1, 2, 3])
    assert [(row["fault"]["kind"], row["used"]) for row in listed] == [
        ("refuse", 1),
        ("no_record", 0),
        ("no_record", 0),
    ]
    assert cleared == []
    assert (refused.json()["RetCode"], taken.json()["RetCode"]) == (18013, 0)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("faults", "{", "truncated"),
        ("faults", '{"kind": "explode"}', "Invalid enum value 'explode' - at `$.kind`"),
        ("faults", '{"kind": "cut", "often": 1}', "unknown field `often`"),
        ("faults", '{"kind": "cut", "times": 0}', ">= 1 - at `$.times`"),
        ("faults", '[{"kind": "cut", "status": 99}]', "at `$[0].status`"),
        ("templates", '{"id": "x"}', "missing required field `text`"),
        ("receipts", "[]", "Expected `object`"),
    ],
)
async def test_a_wrong_command_is_refused_with_its_reason(path: str, body: str, said: str) -> None:
    async with in_process(create_app(make_vendor())) as client:
        answer = await client.post(f"/_simulator/{path}", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


async def test_templates_can_be_registered_later() -> None:
    vendor = make_vendor()
    async with in_process(create_app(vendor)) as client:
        added = await client.post("/_simulator/templates", json={"id": "UVVT1", "text": "{1}演习"})
        refused = await client.post("/", data=message())
        taken = await client.post("/", data=message(TemplateParams=["消防"]))
        listed = await client.get("/_simulator/templates")
    assert (added.status_code, refused.json()["RetCode"], taken.json()["RetCode"]) == (201, 230, 0)
    assert vendor.calls[0].words == "消防演习"
    assert listed.json() == [{"id": "UVVT1", "text": "{1}演习"}]


async def test_the_receipt_url_can_be_given_later_and_taken_away() -> None:
    customer = Customer()
    app = create_app(make_vendor(), sleep=Sleeps())
    async with (
        running(customer.app) as customers_url,
        running(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        await client.post("/", data=message(UserId="before"))
        await client.post("/_simulator/receipts", json={"url": f"{customers_url}/receipts"})
        await client.post("/", data=message(UserId="while"))
        await _pushes(url, 1)
        await client.post("/_simulator/receipts", json={"url": None})
        await client.post("/", data=message(UserId="after"))
    assert [body["UserId"] for body in customer.bodies] == ["while"]


# --- as a process --------------------------------------------------------------------------------


async def test_the_log_file_grows_over_restarts_and_is_never_cut(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    for user_id in ("one", "two"):
        vendor = make_vendor(listeners=(append_to(log),))
        async with in_process(create_app(vendor)) as client:
            await client.post("/", data=message(UserId=user_id))
            await client.delete("/_simulator/calls")
    calls = [msgspec.json.decode(line, type=PlacedCall) for line in log.read_bytes().splitlines()]
    assert [(call.user_id, call.number) for call in calls] == [("one", NUMBER), ("two", NUMBER)]


async def test_the_call_is_in_the_log_file_before_the_caller_hears_of_it(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    vendor = make_vendor(listeners=(append_to(log),))
    vendor.faults.add(Fault(kind=Kind.CUT, place=True))
    async with running(create_app(vendor)) as url:
        await seen(url, message())
    assert len(log.read_text().splitlines()) == 1


async def test_the_console_log_masks_numbers_and_holds_no_keys() -> None:
    vendor = make_vendor()
    with structlog.testing.capture_logs() as logs:
        body = await ask(vendor, message())
        await found(vendor, PhoneNumber="13512345678")
        await ask(vendor, message(CalledNumber="13512345678"))
    assert body["RetCode"] == 0
    assert len(logs) == 3
    assert mask_number(NUMBER) in str(logs)
    assert not [hidden for hidden in ("13512345678", PUBLIC, PRIVATE) if hidden in str(logs)]


SERVE = """
import sys, uuid
from pathlib import Path
from adapter.clock import utc_now
from adapter.model import Secret, mask_number
from adapter.simulator.app import create_app
from adapter.simulator.calls import append_to
from adapter.simulator.server import listen, serve, url_of
from adapter.simulator.vendor import Account, Vendor
listening = listen()
print(url_of(listening), flush=True)
public, private, log = sys.argv[1:]
account = Account(keys={public: Secret(private)})
listeners = (append_to(Path(log)),)
vendor = Vendor(account, clock=utc_now, new_id=lambda: str(uuid.uuid4()), listeners=listeners)
serve(create_app(vendor), listening)
"""


@pytest.mark.parametrize(
    ("how", "status"),
    [
        pytest.param(signal.SIGTERM, -signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="SIGKILL"),
    ],
)
def test_a_simulator_of_its_own_process_keeps_its_log_whatever_kills_it(
    tmp_path: Path, how: signal.Signals, status: int
) -> None:
    log = tmp_path / "calls.jsonl"
    command = [sys.executable, "-W", "error", "-c", SERVE, PUBLIC, PRIVATE, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = httpx.post(url, data=message(), trust_env=False)
        process.send_signal(how)
        assert process.wait() == status
        watchdog.cancel()
    assert answer.json()["RetCode"] == 0
    assert json.loads(log.read_text())["session_no"] == answer.json()["SessionNo"]


async def test_a_port_that_is_taken_says_so() -> None:
    with listen() as taken, pytest.raises(OSError, match="Address already in use"):
        listen(port=taken.getsockname()[1])


def test_an_ipv6_address_is_bracketed_in_the_url() -> None:
    try:
        listening = listen("::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with listening:
        assert url_of(listening) == f"http://[::1]:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("number", "short"),
    [
        ("+8613512345678", "13512345678"),
        ("13512345678", "13512345678"),
        ("+447700900123", "7700900123"),
        ("", ""),
    ],
)
def test_numbers_lose_plus_and_country_code_in_receipts_and_records(
    number: str, short: str
) -> None:
    assert national(number) == short
