"""Acknowledgement links in a browser: looking takes nothing, the button does, once."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from store_world import HOUR, MINUTE, NOW, call, episode, held, opened, page, recorded, the_call
from structlog.testing import capture_logs

from adapter.links import PATH, sign_link
from adapter.metrics import Metrics
from adapter.model import CallState, Secret
from adapter.web.links import Links

pytestmark = pytest.mark.anyio

SECRET, PREVIOUS = Secret("the one in use"), Secret("the one before")
SECRETS = (SECRET, PREVIOUS)
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def anyio_backend():
    return "asyncio"


class World:
    """The endpoints over a real store, and a browser."""

    def __init__(self, store) -> None:
        self.store, self.now, self.woken = store, NOW, 0
        self.metrics = Metrics()
        links = Links(store, self.metrics, lambda: self.now, lambda: SECRETS, self.wake)
        routes = [Route(path, to, methods=methods) for path, to, methods in links.paths()]
        self.app = Starlette(routes=routes)

    def wake(self) -> None:
        self.woken += 1

    def has(self, *records):
        self.store.write_now(lambda session: recorded(session, *records))

    async def asks(self, method: str, token: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as browser:
            return await browser.request(method, f"{PATH}/{token}")

    def page(self, of):
        return self.store.read_now(lambda session: session.page(of.id))

    @property
    def acknowledged(self) -> float | None:
        name = "uvms_adapter_acknowledgements_total"
        return self.metrics.registry.get_sample_value(name, {"by": "link"})


@pytest.fixture
def world(database, tmp_path):
    with opened(tmp_path, lock_wait_seconds=1.0) as store:
        yield World(store)


def token(of, secret=SECRET, until=NOW + HOUR) -> str:
    return sign_link(of.id, until, secret)


async def test_looking_shows_the_page_and_takes_nothing(world):
    of = page(group_labels={"cluster": "prod"}, opened_at=NOW - HOUR)
    alerts = [episode(of) for _ in range(3)] + [episode(of, labels={"job": "x"})]
    over = episode(of, firing=False, ends_at=NOW, labels={"alertname": "Over"})
    world.has(of, *alerts, over)
    answer = await world.asks("GET", token(of))
    assert answer.status_code == 200
    for text in ("sre", "cluster", "prod", "HighLatency × 3", "? × 1", "2026-11-24 02:00 UTC"):
        assert text in answer.text
    assert "Over" not in answer.text
    assert '<form method="post">' in answer.text
    assert "确认收到" in answer.text
    assert world.page(of) == of
    assert world.acknowledged == 0


async def test_a_preview_by_head_takes_nothing(world):
    of = page()
    world.has(of)
    assert (await world.asks("HEAD", token(of))).status_code == 200
    assert world.page(of) == of


async def test_the_button_takes_the_page(world):
    of = page()
    waiting = call(of)
    world.has(of, episode(of), waiting)
    with capture_logs() as lines:
        answer = await world.asks("POST", token(of))
    assert answer.status_code == 200
    assert "Acknowledged." in answer.text
    assert "已确认" in answer.text
    assert "<form" not in answer.text
    taken = world.page(of)
    assert (taken.acknowledged_at, taken.acknowledged_by) == (NOW, "link")
    assert world.store.read_now(lambda s: the_call(s, waiting)).state is CallState.CANCELLED
    assert (world.acknowledged, world.woken) == (1, 1)
    assert [line["event"] for line in lines] == ["page acknowledged"]
    assert token(of) not in str(lines)


async def test_who_was_first_stays_written_down(world):
    of = page(acknowledged_at=NOW, acknowledged_by="alice")
    world.has(of)
    world.now = NOW + MINUTE
    for method in ("GET", "POST"):
        answer = await world.asks(method, token(of))
        assert answer.status_code == 200
        assert "already acknowledged" in answer.text
        assert "alice" in answer.text
        assert "<form" not in answer.text
    assert world.page(of) == of
    assert (world.acknowledged, world.woken) == (0, 0)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("values", "secret", "until", "status", "said"),
    [
        pytest.param({"closed_at": NOW}, SECRET, NOW + HOUR, 410, "This page is over", id="closed"),
        pytest.param({}, SECRET, NOW, 410, "has expired", id="expired"),
        pytest.param({}, Secret("guessed"), NOW + HOUR, 404, "no valid link", id="forged"),
        pytest.param({}, Secret("guessed"), NOW, 404, "no valid link", id="forged and old"),
    ],
)
async def test_what_cannot_be_taken_says_why(world, method, values, secret, until, status, said):
    of = page(**values)
    world.has(of)
    answer = await world.asks(method, token(of, secret, until))
    assert (answer.status_code, said in answer.text) == (status, True)
    assert "<form" not in answer.text
    assert world.page(of) == of
    assert world.acknowledged == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("junk", ["x", "%00", "%F0%9F%92%A9", "a" * 5000, "..%2f..", "=="])
async def test_junk_is_no_link(world, method, junk):
    answer = await world.asks(method, junk)
    assert answer.status_code == 404


async def test_a_page_that_was_forgotten_is_over(world):
    answer = await world.asks("POST", token(page()))
    assert answer.status_code == 410


async def test_links_outlive_the_rotation_of_their_secret(world):
    of = page()
    world.has(of)
    answer = await world.asks("POST", token(of, PREVIOUS))
    assert answer.status_code == 200
    assert world.page(of).acknowledged_by == "link"


async def test_labels_are_text_whatever_they_are(world):
    of = page(receiver=HOSTILE, group_labels={HOSTILE: f'"{HOSTILE}', "long": "字" * 1000})
    world.has(of, episode(of, labels={"alertname": HOSTILE}))
    text = (await world.asks("GET", token(of))).text
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4
    assert "字" * 199 + "…" in text
    assert "字" * 200 not in text


async def test_of_many_names_the_most_frequent_are_shown(world):
    of = page()
    names = ["Often", "Often", *(f"Name{number}" for number in range(15))]
    world.has(of, *(episode(of, labels={"alertname": name}) for name in names))
    text = (await world.asks("GET", token(of))).text
    assert text.index("Often × 2") < text.index("Name0 × 1")
    assert "… + 6" in text


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_page_stands_alone_and_leaves_no_trace(world, method):
    of = page()
    world.has(of)
    answer = await world.asks(method, token(of))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    [style] = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    for loads in ("<script", "src=", "href=", "url(", "http:", "https:"):
        assert loads not in answer.text


async def test_a_store_that_cannot_write_says_try_again(world, tmp_path):
    of = page()
    world.has(of)
    with held(tmp_path):
        answer = await world.asks("POST", token(of))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "Try again" in answer.text
    assert world.acknowledged == 0
    assert (await world.asks("POST", token(of))).status_code == 200


async def test_a_store_that_is_closed_shows_nothing(world):
    of = page()
    world.has(of)
    world.store.close()
    assert (await world.asks("GET", token(of))).status_code == 503


async def test_a_link_is_good_as_long_as_it_says(world):
    of = page()
    world.has(of)
    signed = token(of, until=NOW + HOUR)
    world.now = NOW + HOUR - timedelta(seconds=1)
    assert (await world.asks("GET", signed)).status_code == 200
    world.now = NOW + HOUR
    assert (await world.asks("GET", signed)).status_code == 410
