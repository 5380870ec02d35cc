"""The JSON API: who may, what is answered, and what is said of wrong questions."""

from __future__ import annotations

import asyncio
import json
from itertools import count

import httpx
import pytest
from cli_world import DAY, NUMBERS, POLICY, fill
from databases import url_in
from starlette.applications import Starlette
from starlette.routing import Route

from adapter.authentication import Credentials
from adapter.errors import StoreUnavailable
from adapter.model import Secret
from adapter.store.store import open_store
from adapter.web.api import Api


class Service:
    """The API over a filled store, without the network."""

    def __init__(self, folder, credentials: Credentials | None = None) -> None:
        self.store = open_store(url_in(folder), exclusive=True)
        fill(self.store)
        self.woken = 0
        ids = count(1)
        api = Api(
            self.store,
            lambda: POLICY,
            lambda: DAY,
            lambda: credentials,
            self._wake,
            lambda: f"new-{next(ids)}",
        )
        self.app = Starlette(routes=[Route(p, e, methods=m) for p, e, m in api.paths()])

    def _wake(self) -> None:
        self.woken += 1

    def ask(self, method: str, path: str, **more) -> httpx.Response:
        return asyncio.run(self._ask(method, f"/api/v1{path}", more))

    async def _ask(self, method, path, more) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)


@pytest.fixture
def service(database, tmp_path):
    made = Service(tmp_path)
    yield made
    made.store.close()


EVERY_PATH = [
    ("GET", "/pages"),
    ("GET", "/pages/am-1"),
    ("POST", "/pages/am-1/acknowledge"),
    ("GET", "/calls"),
    ("GET", "/calls/am-2"),
    ("POST", "/calls/am-3/retry"),
    ("GET", "/rejected"),
    ("GET", "/rejected/1"),
    ("POST", "/routes/test"),
]


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
def test_every_path_asks_who_comes(tmp_path, method, path):
    locked = Service(tmp_path, Credentials(bearer_tokens=(Secret("let me in"),)))
    try:
        refused = locked.ask(method, path, json={"labels": {}})
        wrong = locked.ask(
            method, path, json={"labels": {}}, headers={"Authorization": "Bearer let me out"}
        )
        welcome = locked.ask(
            method, path, json={"labels": {}}, headers={"Authorization": "Bearer let me in"}
        )
    finally:
        locked.store.close()
    assert (refused.status_code, wrong.status_code, welcome.status_code) == (401, 401, 200)
    assert refused.headers["cache-control"] == welcome.headers["cache-control"] == "no-store"
    assert "WWW-Authenticate" in refused.headers


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
def test_no_answer_tells_a_full_number(service, method, path):
    answer = service.ask(method, path, json={"labels": {}})
    assert answer.status_code == 200
    assert not [number for number in NUMBERS if number[3:] in answer.text]


def test_without_credentials_set_up_nobody_may(tmp_path):
    closed = Service(tmp_path, Credentials())
    try:
        assert closed.ask("GET", "/pages").status_code == 403
    finally:
        closed.store.close()


def test_open_pages(service):
    everything = service.ask("GET", "/pages").json()["pages"]
    only_open = service.ask("GET", "/pages", params={"open": "true"}).json()["pages"]
    assert (len(everything), len(only_open)) == (3, 2)


def test_a_page_and_its_acknowledgement(service):
    assert service.ask("GET", "/pages/am-1").json()["state"] == "open"
    assert service.ask("POST", "/pages/am-1/acknowledge").json()["state"] == "acknowledged"
    assert service.ask("GET", "/pages/am-1").json()["acknowledged_at"].startswith("2026-11-24T03")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", 5, id="all"),
        pytest.param("state=refused,accepted", 2, id="states"),
        pytest.param("state=", 5, id="an empty state is none"),
        pytest.param("page=am-1", 2, id="of a page"),
        pytest.param("filter=bob", 1, id="of a person"),
        pytest.param("filter=230", 1, id="of a RetCode"),
        pytest.param("limit=1", 1, id="limited"),
    ],
)
def test_calls(service, query, expected):
    assert len(service.ask("GET", f"/calls?{query}").json()["calls"]) == expected


def test_a_call_explained_and_retried(service):
    explained = service.ask("GET", "/calls/req-am-3").json()
    assert explained["attempts_made"][0]["message"] == "Params not available"
    retried = service.ask("POST", "/calls/am-3/retry")
    assert (retried.status_code, retried.json()["state"], service.woken) == (200, "waiting", 1)


def test_what_cannot_be_done_now_is_409(service):
    again = service.ask("POST", "/calls/am-2/retry")
    assert (again.status_code, service.woken) == (409, 0)
    assert again.json()["error"].startswith("call am-2 is accepted; only one that is refused")
    assert service.ask("POST", "/pages/old-1/acknowledge").status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/pages/zz", "there is no page 'zz'"),
        ("POST", "/pages/zz/acknowledge", "there is no page 'zz'"),
        ("GET", "/calls/zz", "there is no call 'zz'"),
        ("POST", "/calls/zz/retry", "there is no call 'zz'"),
        ("GET", "/rejected/7", "there is no refused body 7"),
        ("GET", "/rejected/zz", "there is no refused body 'zz'; ids are numbers"),
        (
            "GET",
            "/rejected/9999999999999999999",
            "there is no refused body '9999999999999999999'; ids are numbers",
        ),
    ],
)
def test_what_is_not_there_is_404(service, method, path, error):
    answer = service.ask(method, path)
    assert (answer.status_code, answer.json()) == (404, {"error": error})
    assert answer.headers["cache-control"] == "no-store"


STATES = "waiting, sending, unknown, accepted, refused, gave_up, cancelled, shadowed"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/pages?open=yes", "open: expected true or false, found 'yes'"),
        ("/pages?limit=0", "limit: expected a whole number from 1 to 500, found '0'"),
        ("/pages?limit=501", "limit: expected a whole number from 1 to 500, found '501'"),
        ("/pages?limit=-1", "limit: expected a whole number from 1 to 500, found '-1'"),
        ("/pages?limit=%D9%A3", "limit: expected a whole number from 1 to 500, found '٣'"),
        ("/rejected?limit=x", "limit: expected a whole number from 1 to 500, found 'x'"),
        (
            f"/calls?limit={'9' * 99}",
            f"limit: expected a whole number from 1 to 500, found '{'9' * 80}'",
        ),
        ("/calls?state=rang", f"state: expected one of {STATES}, found 'rang'"),
        ("/calls?q=1", "there is no parameter 'q'; there is: filter, state, page, limit"),
        ("/calls/am-2?raw=1", "there is no parameter 'raw'; there is: none"),
    ],
)
def test_wrong_parameters_are_400_with_what_was_expected(service, path, error):
    answer = service.ask("GET", path)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_a_refused_body(service):
    assert len(service.ask("GET", "/rejected").json()["rejected"]) == 1
    assert "+86135****5678" in service.ask("GET", "/rejected/1").json()["body"]


def test_routes_test(service):
    asked = {"labels": {"team": "batch"}, "at": "2026-11-24T03:00:00+08:00"}
    found = service.ask("POST", "/routes/test", json=asked).json()
    assert found["receivers"] == ["sre-phone", "db-phone"]
    assert [route["reason"] for route in found["routes"]] == ["muted", "first"]
    now = service.ask("POST", "/routes/test", json={"labels": {}}).json()
    assert now["at"] == "2026-11-24T03:00:00.000+00:00"
    (step,) = now["routes"][0]["steps"]
    assert [call["person"] for call in step["calls"]] == ["alice", "+86139****0000"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "Input data was truncated", id="empty"),
        pytest.param(b"[]", "Expected `object`, got `array`", id="a list"),
        pytest.param(b'{"labels": {"a": 1}}', "Expected `str`, got `int`", id="a number"),
        pytest.param(b'{"labels": {}, "label": {}}', "unknown field `label`", id="unknown key"),
        pytest.param(b"{}", "missing required field `labels`", id="no labels"),
        pytest.param(b'{"labels": {}, "at": "now"}', "Invalid RFC3339", id="no time"),
        pytest.param(b'{"labels": {"a": "\xff"}}', "", id="no UTF-8"),
        pytest.param(
            b'{"labels": {}, "at": "2026-11-24T03:00:00"}',
            "at: expected a time with its zone: 2026-11-24T03:00:00+08:00",
            id="a time without a zone",
        ),
    ],
)
def test_routes_test_says_what_it_expects(service, body, says):
    answer = service.ask("POST", "/routes/test", content=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert "expected" in answer.json()["error"]


def test_a_body_that_is_far_too_large(service):
    labels = {"labels": {"a": "x" * 70_000}}
    assert service.ask("POST", "/routes/test", content=json.dumps(labels)).status_code == 413


def test_a_method_that_is_not_meant(service):
    assert service.ask("GET", "/routes/test").status_code == 405
    assert service.ask("POST", "/pages").status_code == 405


def test_a_store_that_is_away_is_left_to_the_application(service):
    service.store.close()
    with pytest.raises(StoreUnavailable):
        service.ask("POST", "/pages/am-1/acknowledge")
