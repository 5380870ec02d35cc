"""What the Helm chart tells people: alerts on the service itself, and notes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_tools import (
    CHART,
    FULL_NAME,
    NAMESPACE,
    ROOT,
    SECRET_OF_CI,
    Helm,
    Manifests,
    ci,
    rendered,
)

from adapter.metrics import Metrics

pytest_plugins = ["helm_fixtures"]


# --- alerts on the service itself -----------------------------------------------------------------


def rules(manifests: Manifests) -> list[Any]:
    (group,) = manifests.one("PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


def test_every_alert_asks_for_series_that_exist(newest_helm: Helm) -> None:
    known = {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels
        }
        for family in Metrics().registry.collect()
    }

    for rule in rules(rendered(newest_helm, ci("monitoring"))):
        for metric, inside in re.findall(r"(uvms_adapter_\w+){([^}]*)}", rule["expr"]):
            labels = set(re.findall(r"(\w+)=", inside)) - {"job", "namespace"}
            assert labels <= known[metric]
        assert set(re.findall(r"uvms_adapter_\w+", rule["expr"])) <= set(known)


def test_alerts_are_those_of_the_operations_manual(newest_helm: Helm) -> None:
    """They differ in what selects this release, and in what they say."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n# prometheus rules\n(.*?)```", text, re.DOTALL)
    assert block
    (group,) = yaml.safe_load(block[1])["groups"]
    selector = f'job="{FULL_NAME}",namespace="{NAMESPACE}"'

    given = {
        rule["alert"]: (_selected_anyhow(rule["expr"], selector), rule.get("for"))
        for rule in rules(rendered(newest_helm, ci("monitoring")))
    }

    documented = {
        rule["alert"]: (_selected_anyhow(rule["expr"], 'job="uvms-adapter"'), rule.get("for"))
        for rule in group["rules"]
    }
    assert given == documented


def _selected_anyhow(expression: str, selector: str) -> str:
    return re.sub(r"\{,?\}", "", re.sub(f",?{re.escape(selector)}", "", expression))


def test_alerts_carry_labels_and_lead_to_a_runbook(newest_helm: Helm) -> None:
    found = rules(rendered(newest_helm, ci("monitoring")))

    for rule in found:
        assert rule["labels"]["team"] == "sre"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["runbook_url"].startswith("https://wiki.example.com/")
    metadata = rendered(newest_helm, ci("monitoring")).one("PrometheusRule")["metadata"]
    assert metadata["labels"]["release"] == "prometheus"
    assert metadata["annotations"] == {"example.com/team": "sre"}


def test_by_default_each_alert_leads_to_its_heading_in_the_operations_manual(
    newest_helm: Helm,
) -> None:
    manifests = newest_helm.rendered(
        "--values", ci("default"), "--set", "prometheusRule.enabled=true"
    )

    for rule in rules(manifests):
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        headings = re.findall("^### (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.M)
        assert rule["alert"] in headings
        assert anchor == rule["alert"].lower()


def test_series_are_selected_as_asked_for(newest_helm: Helm) -> None:
    selector = 'prometheusRule.selector=app="phone"'
    manifests = newest_helm.rendered(
        *("--values", ci("monitoring"), "--set", selector),
    )

    assert all('app="phone"' in rule["expr"] for rule in rules(manifests))
    assert not any("job=" in rule["expr"] for rule in rules(manifests))


def test_promtool_takes_the_alerts(newest_helm: Helm, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: apt-get install prometheus")
    file = tmp_path / "rules.yaml"
    spec = rendered(newest_helm, ci("monitoring")).one("PrometheusRule")["spec"]
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")

    checked = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(spec['groups'][0]['rules'])} rules found" in checked.stdout


# --- notes ----------------------------------------------------------------------------------------


@pytest.fixture
def chart_copy(tmp_path: Path) -> Path:
    return shutil.copytree(CHART, tmp_path / "uvms-adapter")


def snippet(notes: str, title: str) -> Any:
    """Return the indented YAML below a title."""
    found = re.search(rf"^{title}:\n\n((?:  .*\n?|\n)+)", notes, re.MULTILINE)
    assert found, notes
    return yaml.safe_load(found[1])


@pytest.mark.parametrize(
    ("name", "http_config"),
    [
        ("default", "authorization"),
        ("secrets", "authorization"),
        ("basic-auth", "basic_auth"),
        ("insecure", None),
    ],
)
def test_the_notes_have_a_receiver_for_alertmanager(
    newest_helm: Helm, chart_copy: Path, name: str, http_config: str | None
) -> None:
    (receiver,) = snippet(newest_helm.notes(ci(name), chart_copy), "Alertmanager")["receivers"]

    (hook,) = receiver["webhook_configs"]

    assert hook["url"] == f"http://{FULL_NAME}.{NAMESPACE}:8080/v1/alertmanager"
    assert hook["send_resolved"] is True
    assert list(hook.get("http_config", {})) == ([http_config] if http_config else [])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("default", "authorization_credentials"),
        ("secrets", "hmacConfig"),
        ("basic-auth", "password"),
        ("insecure", "url"),
    ],
)
def test_the_notes_have_a_contact_point_for_grafana(
    newest_helm: Helm, chart_copy: Path, name: str, key: str
) -> None:
    (point,) = snippet(newest_helm.notes(ci(name), chart_copy), "Grafana")["contactPoints"]

    given = point["receivers"][0]["settings"]

    assert given["url"] == f"http://{FULL_NAME}.{NAMESPACE}:8080/v1/grafana"
    assert key in given


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("default", "WARNING: UVMS is simulated: no phone will ring"),
        ("insecure", "WARNING: anybody who reaches the service may ring phones"),
        ("persistence-off", "WARNING: without persistence"),
        ("secrets", "NOTE: the secrets stand in Helm's record"),
    ],
)
def test_the_notes_warn(newest_helm: Helm, chart_copy: Path, name: str, said: str) -> None:
    assert said in newest_helm.notes(ci(name), chart_copy)


def test_the_notes_warn_of_nothing_where_all_is_well(newest_helm: Helm, chart_copy: Path) -> None:
    notes = newest_helm.notes(ci("existing-secret"), chart_copy)

    assert "WARNING" not in notes
    assert "NOTE" not in notes


def test_the_notes_hold_no_credential(newest_helm: Helm, chart_copy: Path) -> None:
    assert not SECRET_OF_CI.search(newest_helm.notes(ci("secrets"), chart_copy))
