"""Webhooks that are turned away before they are read: what is answered, and what is logged."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from cli_world import DAY, POLICY
from databases import url_in
from starlette.applications import Starlette
from starlette.routing import Route
from structlog.testing import capture_logs

from adapter.authentication import Credentials
from adapter.intake import Intake
from adapter.metrics import Metrics
from adapter.model import Secret, Source
from adapter.store.store import open_store
from adapter.web.guard import Refusal
from adapter.web.hooks import Hooks

MOST_BYTES = 1_000
BODY = b'{"alerts": [{"labels": {"alertname": "DiskFull", "severity": "info"}}]}'
RIGHT, WRONG = {"Authorization": "Bearer right"}, {"Authorization": "Bearer wrong"}
FORM = RIGHT | {"Content-Type": "multipart/form-data; boundary=x"}

# How it is posted, and the answer.
IN = (RIGHT, BODY, 200)
STRANGER = (WRONG, BODY, 401)
NOBODY = ({}, BODY, 401)
LARGE = (RIGHT, b" " * (MOST_BYTES + 1), 413)
UPLOAD = (FORM, BODY, 415)


@pytest.fixture
def hooks(database, tmp_path):
    store = open_store(url_in(tmp_path), exclusive=True)
    metrics = Metrics(ret_codes=(), repairs=())
    intake = Intake(store, lambda: POLICY, metrics, lambda: DAY, lambda: "id", lambda: None)
    known = Credentials(bearer_tokens=(Secret("right"),))
    yield Hooks(intake, metrics, lambda: DAY, lambda: known, MOST_BYTES)
    store.close()


async def post(hooks, requests):
    app = Starlette(
        routes=[Route("/", hooks.endpoint(Source.ALERTMANAGER), methods=["POST"])],
        exception_handlers={Refusal: lambda _request, refusal: refusal.response()},
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for headers, body, status in requests:
            answer = await client.post("/", content=body, headers=headers)
            assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("requests", "reasons"),
    [
        pytest.param([IN], [], id="let in"),
        pytest.param([STRANGER], ["unauthorized"], id="wrong token"),
        pytest.param([NOBODY], ["unauthorized"], id="no credentials"),
        pytest.param([LARGE], ["too_large"], id="too large"),
        pytest.param([UPLOAD], ["unreadable"], id="a form"),
        pytest.param([STRANGER, NOBODY, STRANGER], ["unauthorized"], id="again and again: once"),
        pytest.param(
            [STRANGER, LARGE], ["unauthorized", "too_large"], id="for another reason: news"
        ),
        pytest.param(
            [STRANGER, IN, STRANGER], ["unauthorized"] * 2, id="again after it was let in: news"
        ),
    ],
)
def test_who_is_turned_away_is_logged_once(hooks, requests, reasons):
    with capture_logs() as lines:
        asyncio.run(post(hooks, requests))
    refused = [line for line in lines if line["event"] == "webhook refused"]
    assert [line["reason"] for line in refused] == reasons
    assert all(line["source"] == "alertmanager" and line["error"] for line in refused)
    assert "right" not in str(refused)
