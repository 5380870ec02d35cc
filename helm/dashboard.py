"""Write the Grafana dashboard anew, from the panels in dashboard.yaml.

A panel is a few lines there and fifty in the file that Grafana reads. Run it after changing either:
`python helm/dashboard.py`. Must not know what any query means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

PANELS = Path(__file__).with_name("dashboard.yaml")
FILE = Path(__file__).parent / "uvms-adapter" / "dashboards" / "uvms-adapter.json"

_SERIES = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"'
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24  # of a dashboard, in Grafana's units
_GOOD, _BAD, _NEUTRAL = "green", "red", "blue"


class Panel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A panel, as dashboard.yaml has it."""

    title: str
    about: str
    queries: dict[str, str]  # legend -> PromQL
    width: int
    type: Literal["stat", "timeseries"] = "timeseries"
    unit: str = "short"
    bad: float | None = None  # red from here on; None: no number of it is bad


class Row(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Panels that stand together."""

    row: str
    panels: list[Panel]


def dashboard() -> dict[str, Any]:
    """Return the whole of it."""
    return {
        "uid": "uvms-adapter",
        "title": "UVMS adapter",
        "description": "Phone calls about alerts: are people reached, and if not, why?",
        "tags": ["alertmanager", "on-call", "uvms"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "timezone": "",
        "templating": {"list": list(_variables())},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
    }
    above: list[str] = []
    for name in ("namespace", "job", "instance"):
        selector = ",".join(f'{one}=~"${one}"' for one in above)
        query = f"label_values(uvms_adapter_build_info{{{selector}}}, {name})"
        yield {
            "name": name,
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,  # when the range of time changes
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",  # also where there is no such label
            "current": {"text": ["All"], "value": ["$__all"]},
        }
        above.append(name)
    yield {
        "name": "price",
        "label": "Price of a piece or minute",
        "type": "textbox",
        "query": "1",
        "current": {"text": "1", "value": "1"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    """Place the rows below each other, and their panels side by side as far as they fit."""
    y = number = 0
    for row in msgspec.convert(yaml.safe_load(PANELS.read_text(encoding="utf-8")), list[Row]):
        number += 1
        yield _row(number, row.row, y)
        x, y = 0, y + 1
        height = 4 if all(panel.type == "stat" for panel in row.panels) else 8
        for panel in row.panels:
            if x + panel.width > _WIDTH:
                x, y = 0, y + height
            number += 1
            yield _panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": height})
            x += panel.width
        y += height


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    at = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
    about = {"id": number, "type": "row", "title": title, "gridPos": at}
    return about | {"collapsed": False, "panels": []}


def _panel(number: int, panel: Panel, at: dict[str, int]) -> dict[str, Any]:
    targets = zip("ABCDEF", panel.queries.items(), strict=False)
    return {
        "id": number,
        "type": panel.type,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": at,
        "targets": [_target(ref, *query) for ref, query in targets],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _STAT if panel.type == "stat" else _LINES,
    }


_STAT = {
    "colorMode": "background",
    "graphMode": "area",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
}
_DRAWN = {"fillOpacity": 10, "showPoints": "never", "spanNulls": False}
_LINES = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def _target(ref: str, legend: str, expr: str) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasource": _DATASOURCE,
        "expr": expr.replace("%}", f"{_SERIES}}}"),
        "legendFormat": legend,
        "range": True,
    }


def _field(panel: Panel) -> dict[str, Any]:
    is_stat = panel.type == "stat"
    start = _NEUTRAL if is_stat and panel.bad is None else _GOOD
    steps: list[dict[str, Any]] = [{"color": start, "value": None}]
    if panel.bad is not None:
        steps.append({"color": _BAD, "value": panel.bad})
    shown = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    return shown if is_stat else shown | {"min": 0, "custom": _DRAWN}


def text() -> str:
    """Return the file's text."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write it in place."""
    FILE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
