"""Bodies of every kind over real HTTP: taken, or refused with a reason; never a failure of ours.

Collected bodies lie beside the project where somebody has them; the project's own are always there.
Hostile ones are made here, with the words that are spoken because of them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from service_harness import PEOPLE, World, firing, receiver, routes, story, webhook

from adapter.model import Record

pytestmark = pytest.mark.anyio

OWN = sorted((Path(__file__).parent / "data" / "payloads").glob("*.json"))
COLLECTED_AT = Path(__file__).parents[1] / "../shared/payloads"
COLLECTED = sorted(COLLECTED_AT.glob("*.json"))


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory, shared_store_url: str
) -> AsyncIterator[World]:
    """One service for all of these tests; every alert is a page of its own."""
    others = {"receiver": "nobody", "matchers": ['hostile!="yes"']}
    tree = routes(
        receiver("phone", "alice"),
        {"name": "nobody"},
        route={"group_by": ["..."], "routes": [others]},
    )
    environ = {"UVMS_DATABASE_URL": shared_store_url}
    async with story(tmp_path_factory.mktemp("corpus"), tree, environ=environ) as running:
        yield running


# --- bodies of the wild ------------------------------------------------------------------------


def endpoint_of(file: Path) -> str:
    # Grafana's rules that went through an Alertmanager arrive as that Alertmanager's.
    through_alertmanager = file.name.startswith(("alertmanager", "grafana-am-export"))
    return "/v1/alertmanager" if through_alertmanager else "/v1/grafana"


def content_of(file: Path) -> bytes:
    return file.read_bytes()


def test_there_are_collected_bodies() -> None:
    if not COLLECTED:
        pytest.skip(f"no collected bodies at {COLLECTED_AT}")


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in OWN + COLLECTED])
async def test_a_body_of_the_wild(world: World, file: Path) -> None:
    """Taken, whoever it is routed to; or refused with a reason that somebody can act on."""
    answer = await world.client.post(endpoint_of(file), content=content_of(file))
    if answer.status_code == 200:
        assert answer.json()["status"] == "accepted"
        judged, alerts = sum(answer.json()["reasons"].values()), answer.json()["alerts"]
        assert judged <= alerts, "an alert that a body names twice is one"
        assert bool(judged) == bool(alerts)
    else:
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["error"]
        assert answer.status_code == 400 or answer.json()["path"].startswith("$")


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.stem) for file in OWN if "grafana" not in file.name]
)
async def test_a_body_at_the_wrong_endpoint_says_so_or_is_read_all_the_same(
    world: World, file: Path
) -> None:
    answer = await world.client.post("/v1/grafana", content=content_of(file))
    assert answer.status_code in (200, 400, 422), answer.text


# --- hostile bodies ----------------------------------------------------------------------------


class Hostile(Record):
    """A body nobody should send, and what follows."""

    body: bytes
    status: int = 200
    error: str = ""  # a part of it
    words: str | None = None  # None: nobody is called


def alerting(**labels: Any) -> bytes:
    return json.dumps(webhook(firing(**{"hostile": "yes"} | labels))).encode()


def summary(text: str, name: str) -> bytes:
    alert = firing("Hostile", hostile="yes", name=name) | {"annotations": {"summary": text}}
    return json.dumps(webhook(alert)).encode()


def spoken(words: str, cluster: str = "生产环境") -> str:
    return f"{cluster}告警，{words}，共1条，请及时处理。"


DEEP = 100_000
LONGEST = 80  # characters of a parameter, where routes.yaml does not say otherwise

HOSTILE: Mapping[str, Hostile] = {
    "empty": Hostile(body=b"", status=400, error="it is empty"),
    "blank": Hostile(body=b" \n", status=400, error="the body is not JSON"),
    "not UTF-8": Hostile(body=b'{"alerts": ["\xff\xfe"]}', status=400, error="not UTF-8"),
    "in UTF-16": Hostile(
        body=json.dumps(webhook()).encode("utf-16"), status=400, error="the body is not JSON"
    ),
    "cut off": Hostile(body=alerting()[:-20], status=400, error="the body is not JSON"),
    "two bodies": Hostile(body=b"{}{}", status=400, error="the body is not JSON"),
    "nested deeply": Hostile(body=b"[" * DEEP + b"]" * DEEP, status=400, error="nested too deeply"),
    "nested deeply in an annotation": Hostile(
        body=b'{"alerts": [{"annotations": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}]}",
        status=400,
        error="nested too deeply",
    ),
    "a number of ten thousand digits": Hostile(
        body=b'{"alerts": [], "truncatedAlerts": ' + b"9" * 10_000 + b"}", status=422, error="$"
    ),
    "alerts that are no list": Hostile(
        body=b'{"alerts": {"0": {}}}', status=422, error="$.alerts: expected a list of alerts"
    ),
    "an alert that is no object": Hostile(
        body=b'{"alerts": [null]}', status=422, error="$.alerts[0]: expected an alert"
    ),
    "labels that are a list": Hostile(
        body=b'{"alerts": [{"labels": ["a"]}]}', status=422, error="$.alerts[0].labels"
    ),
    "a label that is an object": Hostile(
        body=b'{"alerts": [{"labels": {"a": {}}}]}', status=422, error='$.alerts[0].labels["a"]'
    ),
    "no label at all": Hostile(
        body=b'{"alerts": [{"labels": {}}]}', status=422, error="at least one label"
    ),
    "no alerts in the list": Hostile(body=b'{"alerts": []}'),
    # Of a key that comes twice the last counts, as in Go.
    "duplicate keys": Hostile(
        body=b'{"alerts": [], "alerts": [{"labels": {"hostile": "no", "hostile": "yes", '
        b'"alertname": "First", "alertname": "Second"}}]}',
        words=spoken("Second"),
    ),
    "templates in a label": Hostile(
        body=alerting(alertname="{{7*7}} ${7*7} {% for x in y %}"),
        words=spoken("7 7 7 7 百分比 for x in y 百分比"),
    ),
    "a template that reaches for the inside": Hostile(
        body=summary("{{ ''.__class__.__mro__ }}", "inside"),
        words=spoken("''. class . mro"),
    ),
    "the variables of the approved text": Hostile(
        body=summary("{1}{2}{3}", "variables"), words=spoken("1 2 3")
    ),
    "control characters": Hostile(
        body=summary("disk\x00 \x1b[31mfull\x07\r\n\tnow\u202e\u200b", "control"),
        words=spoken("disk 31mfull，now"),
    ),
    "quotes and angle brackets": Hostile(
        body=summary("""<script>alert("1")</script> 'x' \\ "y\"""", "quotes"),
        words=spoken("""script alert("1") /script 'x' "y\""""),
    ),
    "what the vendor refuses": Hostile(
        body=summary("CPU 95% @ http://10.0.0.1:9090/graph?a=1&b=2 🔥", "vendor"),
        words=spoken("CPU 百分之95 at 10点0点0点1端口9090"),
    ),
    "only what cannot be said": Hostile(
        body=summary("🔥🔥🔥", "unspeakable"), words=spoken("Hostile")
    ),
    "empty summary": Hostile(body=summary("", "empty"), words=spoken("Hostile")),
    "half a surrogate pair": Hostile(
        body=summary("disk", "surrogate").replace(b'"disk"', b'"disk \\ud83d full"'),
        words=spoken("disk full"),
    ),
    "a label of a megabyte": Hostile(
        body=alerting(alertname="Big", cluster="x" * 1_000_000),
        words=spoken("Big", cluster="x" * LONGEST),
    ),
    "a label name of a megabyte": Hostile(
        body=alerting(alertname="BigName", **{"n" * 1_000_000: "v"}), words=spoken("BigName")
    ),
    "an annotation of five megabytes": Hostile(
        body=summary("磁盘满 " * 250_000, "annotation"),
        words=spoken(("磁盘满 " * LONGEST)[:LONGEST].strip()),
    ),
    "times from nowhere": Hostile(
        body=alerting(alertname="Times")
        .replace(b'"startsAt": "20', b'"startsAt": "99')
        .replace(b'"endsAt": "0001', b'"endsAt": "0000'),
        words=spoken("Times"),
    ),
    "ten thousand labels": Hostile(
        body=alerting(alertname="Many", **{f"label_{n}": "v" for n in range(10_000)}),
        words=spoken("Many"),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_body(world: World, name: str) -> None:
    row = HOSTILE[name]
    before = len(world.rang)
    answer = await world.client.post("/v1/alertmanager", content=row.body)
    assert answer.status_code == row.status, answer.text
    if row.status != 200:
        assert row.error in answer.json()["error"]
        assert len(answer.text) < 500
    await world.quiet()
    rung = list(world.vendor.calls)[before:]
    assert [call.words for call in rung] == ([] if row.words is None else [row.words])
    assert {call.number for call in rung} <= {PEOPLE["alice"]}
