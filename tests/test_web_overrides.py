"""The JSON API about who is on call, who stands in, and why somebody was called."""

from __future__ import annotations

import asyncio
import json
from itertools import count

import httpx
import pytest
from databases import url_in
from night_world import FALLBACK_URL, HOUR, NOW, NUMBERS, POLICY, Night
from starlette.applications import Starlette
from starlette.routing import Route

from adapter.authentication import Credentials
from adapter.model import Secret
from adapter.store.store import open_store
from adapter.web.api import Api


class Service:
    """The API over the store of a night, without the network."""

    def __init__(self, folder, credentials: Credentials | None = None) -> None:
        self.store = open_store(url_in(folder), exclusive=True)
        self.night = Night(self.store)
        ids = count(1)
        api = Api(
            self.store,
            lambda: POLICY,
            lambda: self.night.now,
            lambda: credentials,
            lambda: None,
            lambda: f"new-{next(ids)}",
        )
        self.app = Starlette(routes=[Route(p, e, methods=m) for p, e, m in api.paths()])

    def ask(self, method: str, path: str, **more) -> httpx.Response:
        return asyncio.run(self._ask(method, f"/api/v1{path}", more))

    async def _ask(self, method, path, more) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)

    def add(self, **changed) -> httpx.Response:
        return self.ask("POST", "/overrides", json=ASKED | changed)


ASKED = {
    "schedule": "primary",
    "person": "carol",
    "from": "2026-11-24T11:00:00+08:00",
    "until": "2026-11-24T12:00:00Z",
    "by": "wang",
}


@pytest.fixture
def service(database, tmp_path):
    made = Service(tmp_path)
    yield made
    made.store.close()


EVERY_PATH = [
    ("GET", "/oncall"),
    ("GET", "/overrides"),
    ("POST", "/overrides"),
    ("DELETE", "/overrides/new-1"),
    ("GET", "/explain?page=id-1"),
    ("GET", "/explain?label=alertname=DiskFull"),
]


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
def test_every_path_asks_who_comes(tmp_path, method, path):
    locked = Service(tmp_path, Credentials(bearer_tokens=(Secret("let me in"),)))
    welcome = {"Authorization": "Bearer let me in"}
    try:
        locked.night.post()
        if method == "DELETE":
            locked.ask("POST", "/overrides", json=ASKED, headers=welcome)
        answers = [
            locked.ask(method, path, json=ASKED, headers=headers)
            for headers in ({}, {"Authorization": "Bearer let me out"}, welcome)
        ]
    finally:
        locked.store.close()
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert not [n for n in NUMBERS if n[3:] in answers[2].text]
    assert FALLBACK_URL not in answers[2].text


# --- who is on call ----------------------------------------------------------------------------


def on_call(service, query: str = "") -> dict[str, list[str]]:
    found = service.ask("GET", f"/oncall{query}").json()
    return {each["schedule"]: each["on_call"] for each in found["schedules"]}


def test_who_is_on_call(service):
    assert on_call(service) == {"primary": ["alice"], "office": ["carol"]}
    assert on_call(service, "?at=2026-11-25T00:00:00%2B08:00") == {"primary": ["bob"], "office": []}
    assert list(on_call(service, "?schedule=office&schedule=primary")) == ["office", "primary"]


def test_two_weeks_unless_asked_otherwise(service):
    found = service.ask("GET", "/oncall").json()
    assert (found["at"][:10], found["until"][:10]) == ("2026-11-24", "2026-12-08")
    assert service.ask("GET", "/oncall?days=1").json()["until"][:10] == "2026-11-25"


def test_an_override_is_in_force_at_once_and_until_it_is_removed(service):
    made = service.add().json()
    assert (made["id"], made["created_by"]) == ("new-1", "wang")
    assert made["until"] == "2026-11-24T12:00:00.000+00:00"
    assert service.ask("GET", "/overrides").json() == {"overrides": [made]}
    assert on_call(service)["primary"] == ["carol"]
    tested = service.ask("POST", "/routes/test", json={"labels": {"alertname": "A"}}).json()
    assert tested["routes"][0]["steps"][0]["calls"][0]["person"] == "carol"
    service.night.post()
    assert [call.person for call in service.night.calls()] == ["carol"]
    service.night.now += HOUR
    gone = service.ask("DELETE", "/overrides/new-1").json()
    assert gone == made | {"removed_at": "2026-11-24T04:00:00.000+00:00", "removed_by": "api"}
    assert on_call(service)["primary"] == ["alice"]
    assert service.ask("GET", "/overrides").json() == {"overrides": []}


def test_from_now_on_and_by_whom_if_nothing_is_said(service):
    asked = {name: ASKED[name] for name in ("schedule", "person", "until")}
    made = service.ask("POST", "/overrides", json=asked).json()
    assert (made["from"], made["created_by"]) == ("2026-11-24T03:00:00.000+00:00", "api")


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        pytest.param(
            {"schedule": "x"}, 404, "there is no schedule 'x'; there is: office", id="schedule"
        ),
        pytest.param(
            {"person": "zoe"}, 404, "there is no person 'zoe'; there is: alice", id="person"
        ),
        pytest.param(
            {"until": "2026-11-24T03:00:00Z"}, 409, "it would end at 2026-11-24T03:", id="no time"
        ),
        pytest.param(
            {"from": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z"},
            409,
            "it would have ended at 2026-11-02T",
            id="over",
        ),
        pytest.param(
            {"until": "2029-01-01T00:00:00Z"}, 409, "it would last longer than 366 days", id="long"
        ),
        pytest.param(
            {"until": "2026-11-24T12:00:00"},
            400,
            "until: expected a time with its zone",
            id="no zone",
        ),
        pytest.param(
            {"from": "2026-11-24T12:00:00"},
            400,
            "from: expected a time with its zone",
            id="from so",
        ),
        pytest.param(
            {"from": "9999-12-31T00:00:00Z", "until": "9999-12-31T23:59:59-12:00"},
            400,
            "from: expected a time with its zone",
            id="the end of time",
        ),
        pytest.param({"until": "soon"}, 400, 'expected {"schedule": ', id="no time at all"),
        pytest.param({"who": "x"}, 400, "unknown field `who`", id="unknown key"),
        pytest.param({"person": None}, 400, "Expected `str`, got `null`", id="nobody"),
    ],
)
def test_overrides_that_cannot_be(service, changed, status, says):
    answer = service.add(**changed)
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert service.ask("GET", "/overrides").json() == {"overrides": []}


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("DELETE", "/overrides/zz", 404, "there is no override 'zz'"),
        (
            "GET",
            "/oncall?schedule=x",
            404,
            "there is no schedule 'x'; there is: office, primary",
        ),
        (
            "GET",
            "/oncall?at=soon",
            400,
            "at: expected a time with its zone: 2026-11-24T03:00:00+08:00, found 'soon'",
        ),
        (
            "GET",
            "/oncall?at=2026-11-24T03:00:00",
            400,
            "at: expected a time with its zone: 2026-11-24T03:00:00+08:00, "
            "found '2026-11-24T03:00:00'",
        ),
        (
            "GET",
            "/oncall?at=9999-12-31T00:00:00Z",
            400,
            "at: expected a time with its zone: 2026-11-24T03:00:00+08:00, "
            "found '9999-12-31T00:00:00Z'",
        ),
        (
            "GET",
            "/oncall?days=367",
            400,
            "days: expected a whole number from 1 to 366, found '367'",
        ),
        ("GET", "/oncall?day=1", 400, "there is no parameter 'day'; there is: at, days, schedule"),
        ("GET", "/overrides?all=1", 400, "there is no parameter 'all'; there is: none"),
        ("GET", "/explain", 400, "ask with one of page, fingerprint, or label=name=value"),
        (
            "GET",
            "/explain?page=a&fingerprint=b",
            400,
            "ask with one of page, fingerprint, or label=name=value",
        ),
        ("GET", "/explain?label=team", 400, "label='team': expected name=value"),
        ("GET", "/explain?label==db", 400, "label='=db': expected name=value"),
        ("GET", "/explain?page=zz", 404, "there is no page 'zz'"),
        (
            "GET",
            "/explain?label=team=x&label=a=b",
            404,
            "no alert 'a=b,team=x' has come in within the retention: ask Alertmanager whether it "
            "sent one, and `uvms-adapter rejected list` for bodies that were refused",
        ),
    ],
)
def test_what_cannot_be_asked(service, method, path, status, error):
    answer = service.ask(method, path)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


# --- explain -----------------------------------------------------------------------------------


def test_why_somebody_was_called(service):
    alert = service.night.post()
    service.night.answers("alice")
    for query in ("label=alertname=DiskFull", f"fingerprint={alert.fingerprint}"):
        (found,) = service.ask("GET", f"/explain?{query}").json()["alerts"]
        assert found["receivers"][0]["why"] == "alice was called (first): answered"
    page = service.ask("GET", "/explain?page=id-1").json()
    assert (page["state"], page["acknowledged_by"]) == ("acknowledged", "alice")
    assert json.dumps(found["story"][-1]) == json.dumps(page["story"][-1])


def test_why_nobody_was_called(service):
    service.night.post(team="nobody")
    (found,) = service.ask("GET", "/explain?label=team=nobody&label=alertname=DiskFull").json()[
        "alerts"
    ]
    assert found["receivers"] == [
        {
            "receiver": "nobody",
            "route": '{}/{team="nobody"}/6',
            "pages": [],
            "called": [],
            "last_reason": "no_receiver",
            "last_detail": "the receiver calls no one",
            "last_at": NOW.isoformat(timespec="milliseconds"),
            "why": "the last post called nobody, no_receiver: the receiver calls no one",
        }
    ]
