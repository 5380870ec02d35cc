"""The Grafana dashboard: Grafana's own model takes it, and all it asks for is there to be asked."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from helm_promtool import promtool
from helm_tools import CHART, ROOT
from prometheus_client.parser import text_string_to_metric_families
from service_harness import World, as_operator, firing, receiver, routes, story, until

FILE = CHART / "dashboards" / "uvms-adapter.json"
DASHBOARD: Any = json.loads(FILE.read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
CALENDAR = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//example//EN\r
BEGIN:VEVENT\r
UID:1\r
DTSTAMP:20260101T000000Z\r
DTSTART:20260101T000000Z\r
DTEND:20360101T000000Z\r
SUMMARY:alice\r
END:VEVENT\r
END:VCALENDAR\r
"""


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


# --- the file -------------------------------------------------------------------------------------


def test_it_is_made_of_its_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    """To renew it: python helm/dashboard.py."""
    monkeypatch.syspath_prepend(ROOT / "helm")

    assert importlib.import_module("dashboard").text() == FILE.read_text(encoding="utf-8")


def test_the_model_of_grafana_knows_every_word_of_it() -> None:
    """What the model does not know it forgets, so nothing may be missing from what it writes."""
    register_default_plugins()

    written = json.loads(
        JSONEncoder(sort_keys=True, indent=2).encode(Dashboard.from_json(DASHBOARD))
    )

    assert list(missing(DASHBOARD, written, "")) == []


def missing(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from missing(value, theirs.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from missing(*pair, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path}: {ours!r}, {theirs!r}"


def test_data_source_namespace_job_instance_and_price_can_be_chosen() -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}

    assert list(variables) == ["datasource", "namespace", "job", "instance", "price"]
    for panel in PANELS:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            for name in ("namespace", "job", "instance"):
                asked = len(re.findall(r"\w+\{", target["expr"]))
                assert target["expr"].count(f'{name}=~"${name}"') == asked > 0


def test_panels_have_a_place_a_number_and_a_description_each() -> None:
    all_of_them = DASHBOARD["panels"]

    assert len({panel["id"] for panel in all_of_them}) == len(all_of_them)
    assert all(panel["description"].endswith(".") for panel in PANELS)
    for one, other in combinations((panel["gridPos"] for panel in all_of_them), 2):
        assert not (overlap(one, other, "x", "w") and overlap(one, other, "y", "h")), (one, other)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in all_of_them)


def overlap(one: Mapping[str, int], other: Mapping[str, int], at: str, size: str) -> bool:
    return one[at] < other[at] + other[size] and other[at] < one[at] + one[size]


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    rules = [
        {
            "record": "query",
            "labels": {"panel": panel["title"], "ref": t["refId"]},
            "expr": t["expr"],
        }
        for panel in PANELS
        for t in panel["targets"]
    ]
    text = yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]})
    for variable, value in {"$__rate_interval": "5m", "$price": "1"}.items():
        text = text.replace(variable, value)
    file = tmp_path / "queries.yaml"
    file.write_text(text, encoding="utf-8")

    checked = promtool("check", "rules", file)

    assert checked.returncode == 0, checked.stdout + checked.stderr


# --- what it asks for -----------------------------------------------------------------------------


_OF_SCHEDULES = (
    "uvms_adapter_schedule_uncovered_seconds",
    "uvms_adapter_calendar_last_success_timestamp_seconds",
    "uvms_adapter_calendar_refresh_failures_total",
)


def asked_for(expressions: list[str]) -> dict[str, set[str]]:
    """Return the labels that each metric is asked for by, or grouped by."""
    found: dict[str, set[str]] = {}
    for expression in expressions:
        metrics = re.findall(r"((?:uvms_adapter|process)_\w+)(?:\{([^}]*)\})?", expression)
        grouped = re.findall(r"\bby \(([^)]*)\)", expression)
        for name, inside in metrics:
            labels = set(re.findall(r"(\w+)=", inside))
            labels |= {label.strip() for group in grouped for label in group.split(",")}
            found.setdefault(name, set()).update(labels)
    return found


async def exposed(world: World) -> dict[str, set[str]]:
    """Return the labels of every series that a running service has."""
    text = (await world.client.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
def schedules(tmp_path: Path) -> dict[str, Any]:
    """Of all kinds, since only a schedule that is there has series."""
    (tmp_path / "good.ics").write_text(CALENDAR, encoding="utf-8", newline="")
    (tmp_path / "bad.ics").write_text("no calendar", encoding="utf-8")
    return {
        name: {"time_zone": "Asia/Shanghai", "calendar": {"file": str(tmp_path / f"{name}.ics")}}
        for name in ("good", "bad")
    }


@pytest.mark.anyio
async def test_dashboard_and_alerts_ask_for_series_that_a_running_service_has(
    tmp_path: Path, schedules: dict[str, Any]
) -> None:
    alerts = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    of_alerts = asked_for([rule["expr"] for rule in alerts["groups"][0]["rules"]])
    of_dashboard = asked_for([t["expr"] for panel in PANELS for t in panel["targets"]])
    # Prometheus adds them to whatever it scrapes.
    added = {"job", "instance", "namespace"}

    heartbeat = {
        "name": "prometheus",
        "matchers": ['alertname="Watchdog"'],
        "every": "10m",
        "receiver": "phone",
    }
    tree = routes(receiver("phone", "good"), schedules=schedules, heartbeats=[heartbeat])
    async with story(tmp_path, tree) as world:

        async def looked_at() -> bool:
            return set(_OF_SCHEDULES) <= set(await exposed(world))

        await until(looked_at, "a look at schedules and calendars")
        known = await exposed(world)

    for name, labels in (*of_alerts.items(), *of_dashboard.items()):
        assert name in known
        assert labels <= known[name] | added, name
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in known if "uvms_adapter" in name}
    shown = {re.sub("_bucket$", "", name) for name in of_dashboard}
    assert ours - shown == set()


@pytest.mark.anyio
async def test_the_gauges_that_critical_alerts_go_by_move(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        assert await world.metric("pages_unacknowledged") == 0

        taken = await world.post(firing("DiskFull"))

        assert await world.metric("pages_open") == await world.metric("pages_unacknowledged") == 1
        assert await world.metric("pages_oldest_unacknowledged_seconds") > 0
        (page,) = taken.json()["pages"]
        path = f"/api/v1/pages/{page['id']}/acknowledge"
        await world.client.post(path, headers=as_operator())
        assert await world.metric("pages_unacknowledged") == 0
        assert await world.metric("pages_oldest_unacknowledged_seconds") == 0
