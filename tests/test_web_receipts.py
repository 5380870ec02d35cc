"""The URL that receipts are pushed to: who may come in, what is answered, and what never shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from store_world import ALICE, MINUTE, NOW, accepted, call, held, opened, recorded, the_call
from structlog.testing import capture_logs
from worker_world import receiver, routes

from adapter.delivery.policy import UvmsSettings
from adapter.errors import StoreUnavailable
from adapter.metrics import Metrics
from adapter.model import Attempt, Call, Result, Secret
from adapter.receipts import Receipts
from adapter.simulator.app import create_app as create_simulator
from adapter.simulator.calls import Fate
from adapter.simulator.server import running
from adapter.simulator.vendor import Account
from adapter.simulator.vendor import Vendor as SimulatedVendor
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.uvms.client import UvmsClient, new_http_client
from adapter.uvms.wire import Keys, SendRequest
from adapter.web.guard import Refusal
from adapter.web.receipts import MAX_BODY_BYTES, PATH, ReceiptHook

NEW, OLD = "the-secret-in-force", "the-secret-before-it"
POLICY = routes(receiver("sre", "alice"))


class World:
    """A store, and an application that has the endpoint alone."""

    def __init__(self, store: Store) -> None:
        self.store, self.metrics = store, Metrics()
        self.secrets: tuple[str, ...] = (NEW, OLD)
        receipts = Receipts(store, lambda: POLICY, self.metrics, lambda: NOW, lambda: None)
        hook = ReceiptHook(
            receipts, lambda: NOW, lambda: [Secret(secret) for secret in self.secrets]
        )
        self.app = Starlette(
            routes=[Route(PATH, hook.endpoint, methods=["POST"])],
            exception_handlers={
                Refusal: lambda _request, refusal: refusal.response(),
                StoreUnavailable: lambda _request, _error: JSONResponse({}, 503),
            },
        )

    def push(self, body: bytes, secret: str = NEW, **headers: str) -> httpx.Response:
        async def post() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post(f"/v1/receipts/{secret}", content=body, headers=headers)

        return asyncio.run(post())

    def accepted(self) -> tuple[Call, Attempt]:
        def job(session: Session) -> tuple[Call, Attempt]:
            lead = call(None)
            recorded(session, lead)
            return lead, accepted(session, lead)

        return self.store.write_now(job)

    def result(self, of: Call) -> Result | None:
        return self.store.read_now(lambda session: the_call(session, of)).result


@pytest.fixture
def world(database, tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path, lock_wait_seconds=1.0) as store:
        yield World(store)


def receipt(attempt: Attempt | None = None, **changes: Any) -> bytes:
    body = {"UserId": attempt.id if attempt else "x", "ReceiptResult": 1, "Duration": 23}
    return json.dumps(body | changes).encode()


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_both_secrets_of_a_rotation_take_receipts(world, secret):
    lead, attempt = world.accepted()
    answer = world.push(receipt(attempt), secret)
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "taken", "invalid": 0, "news": 1},
    )
    assert world.result(lead) is Result.ANSWERED


WRONG = ["wrong", NEW[:-1], NEW + "x", NEW.upper(), "%00", "%F0%9F%98%80", "%ED%A0%80"]


@pytest.mark.parametrize("secret", WRONG)
def test_a_wrong_secret_is_answered_as_if_there_were_none(world, secret):
    lead, attempt = world.accepted()
    wrong = world.push(receipt(attempt), secret)
    world.secrets = ()
    unset = world.push(receipt(attempt), secret)
    assert (wrong.status_code, wrong.content) == (404, b'{"error":"there is nothing here"}')
    assert (unset.status_code, unset.content) == (wrong.status_code, wrong.content)
    assert world.result(lead) is None


def test_where_no_secret_is_set_nothing_is_taken(world):
    world.secrets = ()
    for secret in (NEW, "None"):
        assert world.push(receipt(), secret).status_code == 404


def test_who_is_turned_away_is_logged_once_and_no_secret_ever(world):
    with capture_logs() as lines:
        for secret in ("a-wrong-one", "another", NEW, "a-wrong-one"):
            world.push(receipt(), secret)
        world.secrets = ()
        world.push(receipt(), NEW)
    reasons = [line["reason"] for line in lines if line["event"] == "receipt refused"]
    wrong = "wrong secret in its path"
    assert reasons == [wrong, wrong, "UVMS_RECEIPTS_SECRET is not set"]
    for secret in ("a-wrong-one", "another", NEW):
        assert secret not in str(lines) + world.metrics.render().decode()


# A body, the answer's status, and what it says.
ANSWERS = {
    "a call that is not ours": (receipt(), 200, {"status": "taken", "invalid": 0, "unmatched": 1}),
    "some of an array": (
        b"[7, " + receipt() + b"]",
        200,
        {"status": "taken", "invalid": 1, "unmatched": 1},
    ),
    "no JSON": (b"<html>", 400, {"error": "the body is not JSON: Expecting value"}),
    "empty": (b"", 400, {"error": "the body is not JSON: it is empty"}),
    "no receipt": (
        b"{}",
        422,
        {
            "error": "$.ReceiptResult: expected 1, 2 or 3, found nothing",
            "path": "$.ReceiptResult",
            "expected": "1, 2 or 3",
            "found": "nothing",
        },
    ),
    "as large as allowed": (
        receipt().ljust(MAX_BODY_BYTES),
        200,
        {"status": "taken", "invalid": 0, "unmatched": 1},
    ),
    "larger": (
        receipt().ljust(MAX_BODY_BYTES + 1),
        413,
        {"error": "the body is larger than 1048576 bytes"},
    ),
}


@pytest.mark.parametrize(("body", "status", "said"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_answered(world, body, status, said):
    answer = world.push(body)
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"].startswith(said["error"])
    else:
        assert answer.json() == said


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
def test_the_media_type_says_nothing(world, media_type):
    assert world.push(receipt(), **{"Content-Type": media_type}).status_code == 200


def test_a_store_that_cannot_commit_has_it_pushed_again(world, tmp_path):
    lead, attempt = world.accepted()
    with held(tmp_path):
        assert world.push(receipt(attempt)).status_code == 503
        assert world.push(b"{}").status_code == 503
    assert world.push(receipt(attempt)).json()["news"] == 1
    assert world.result(lead) is Result.ANSWERED


# --- pushed by the simulated vendor, over a real socket ---


async def _no_time(_seconds: float) -> None:
    await asyncio.sleep(0)


def test_what_the_vendor_pushes_is_taken_however_often(world):
    keys = Keys(public_key="public", private_key=Secret("private"))
    ids = count(1)
    vendor = SimulatedVendor(
        Account(keys={"public": keys.private_key}, fate=Fate(duration=7, copies=3)),
        clock=lambda: NOW + MINUTE,
        new_id=lambda: f"id-{next(ids)}",
    )
    lead, attempt = world.accepted()

    async def story() -> list[int]:
        async with (
            running(world.app) as url,
            running(
                create_simulator(vendor, receipt_url=f"{url}/v1/receipts/{NEW}", sleep=_no_time)
            ) as uvms,
            new_http_client(trust_env=False) as http,
        ):
            settings = UvmsSettings(endpoint=uvms)
            client = UvmsClient(http, lambda: settings, lambda: keys)
            sent = SendRequest(called=ALICE, template_id="UVVT1", user_id=attempt.id)
            assert (await client.send(sent)).ret_code == 0
            pushes: list[Any] = []
            async with httpx.AsyncClient(base_url=uvms, trust_env=False) as desk:
                while len(pushes) < 3:
                    pushes = (await desk.get("/_simulator/receipts")).json()
            return [push["status"] for push in pushes]

    async def bounded() -> list[int]:
        async with asyncio.timeout(20):
            return await story()

    assert asyncio.run(bounded()) == [200, 200, 200]
    assert world.result(lead) is Result.ANSWERED
    counted = {"source": "push", "result": "answered"}
    registry = world.metrics.registry
    assert registry.get_sample_value("uvms_adapter_receipts_total", counted) == 1
    [kept] = world.store.read_now(lambda session: session.attempts_of(lead))
    assert kept.receipt.talk_seconds == 7
    assert "用户" in kept.receipt.description
