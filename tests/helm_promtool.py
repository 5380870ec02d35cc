"""Debian's promtool on the alerts that the chart renders: what is scraped, and what then fires.

Must not know any alert.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_tools import FULL_NAME, NAMESPACE

from adapter.model import Record

OURS = {"job": FULL_NAME, "namespace": NAMESPACE}


class Case(Record):
    """Series over time, and whether an alert of them fires."""

    name: str
    alert: str
    series: Mapping[str, str]  # selector -> values, in promtool's notation
    at: str  # when it is looked
    every: str = "1m"  # from one value to the next
    fires: Mapping[str, str] | None = None  # its labels but for severity; None: it does not
    summary: str = ""

    def __str__(self) -> str:
        return f"{self.alert}: {self.name}"


def series(name: str, **labels: str) -> str:
    """Return a series of one of our replicas."""
    given = OURS | {"instance": "a"} | labels
    inside = ",".join(f'{label}="{value}"' for label, value in given.items())
    return f"{name}{{{inside}}}"


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it; where there is none, fail in CI and skip elsewhere."""
    found = shutil.which("promtool")
    if found is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no promtool: apt-get install prometheus")
    return subprocess.run([found, *arguments], capture_output=True, text=True)


def check(spec: Mapping[str, Any], case: Case, directory: Path) -> None:
    """Ask promtool whether a PrometheusRule does as the case says."""
    (directory / "rules.yaml").write_text(yaml.safe_dump(dict(spec)), encoding="utf-8")
    file = directory / "test.yaml"
    file.write_text(yaml.safe_dump(_unit_test(spec, case)), encoding="utf-8")

    ran = promtool("test", "rules", file)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def _unit_test(spec: Mapping[str, Any], case: Case) -> dict[str, Any]:
    (rule,) = (r for group in spec["groups"] for r in group["rules"] if r["alert"] == case.alert)
    expected = []
    if case.fires is not None:
        summary = case.summary or rule["annotations"]["summary"]
        annotations = rule["annotations"] | {"summary": summary}
        labels = rule["labels"] | dict(case.fires)
        expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    about = {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": case.every,
        "tests": [
            {
                "interval": case.every,
                "input_series": [
                    {"series": name, "values": values} for name, values in case.series.items()
                ],
                "alert_rule_test": [about],
            }
        ],
    }
