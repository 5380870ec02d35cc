"""What the Helm chart tells people: alerts on the service itself, and notes."""

from __future__ import annotations

import re
import shutil
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

pytest_plugins = ["helm_fixtures"]


# --- alerts on the service itself -----------------------------------------------------------------


def rules(manifests: Manifests) -> list[Any]:
    (group,) = manifests.one("PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


def test_alerts_have_sections_in_the_operations_manual_and_none_is_left_over(
    newest_helm: Helm,
) -> None:
    manifests = newest_helm.rendered(
        *("--values", ci("default"), "--set", "prometheusRule.enabled=true"),
        *("--set", "prometheusRule.alerts.UvmsAdapterNoWebhooks.enabled=true"),
    )
    sections = re.findall("^### (UvmsAdapter.+)$", manual("docs/operations.md"), re.MULTILINE)

    led_to = {}
    for rule in rules(manifests):
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert file == "docs/operations.md"
        led_to[rule["alert"]] = anchor
    assert led_to == {section: section.lower() for section in sections}


def manual(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def test_alerts_carry_labels_and_lead_to_a_runbook(newest_helm: Helm) -> None:
    found = rules(rendered(newest_helm, ci("monitoring")))

    for rule in found:
        assert rule["labels"]["team"] == "sre"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["runbook_url"].startswith("https://wiki.example.com/")
    metadata = rendered(newest_helm, ci("monitoring")).one("PrometheusRule")["metadata"]
    assert metadata["labels"]["release"] == "prometheus"
    assert metadata["annotations"] == {"example.com/team": "sre"}


def test_what_the_values_say_goes_before_the_file(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("pod-monitor"))
    found = {rule["alert"]: rule for rule in rules(manifests)}

    silent = found["UvmsAdapterNoWebhooks"]
    assert (silent["for"], silent["labels"]["severity"]) == ("30m", "critical")
    assert "UvmsAdapterTemplateErrors" not in found
    job = f'job="{NAMESPACE}/{FULL_NAME}",namespace="{NAMESPACE}"'  # of a PodMonitor
    age = "uvms_adapter_pages_oldest_unacknowledged_seconds"
    assert found["UvmsAdapterPageUnacknowledged"]["expr"] == f"max({age}{{{job}}}) > 1800"
    assert all(job in rule["expr"] for rule in found.values())


def test_silence_is_no_alert_by_default(newest_helm: Helm) -> None:
    found = [rule["alert"] for rule in rules(rendered(newest_helm, ci("monitoring")))]

    assert "UvmsAdapterDown" in found
    assert "UvmsAdapterNoWebhooks" not in found


def test_series_are_selected_as_asked_for(newest_helm: Helm) -> None:
    selector = 'prometheusRule.selector=app="phone"'
    manifests = newest_helm.rendered(
        *("--values", ci("monitoring"), "--set", selector),
    )

    assert all('app="phone"' in rule["expr"] for rule in rules(manifests))
    assert not any("job=" in rule["expr"] for rule in rules(manifests))


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
        ("secret-files", "authorization"),
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
    ("name", "http_config"),
    [
        ("default", {"authorization": {"credentials": f"{FULL_NAME}-secrets/webhook-token"}}),
        ("existing-secret", {"authorization": {"credentials": "uvms/webhook-token"}}),
        ("secret-files", {"authorization": {"credentials": "uvms/webhook-token"}}),
        (
            "basic-auth",
            {
                "basicAuth": {
                    "username": f"{FULL_NAME}-secrets/webhook-username",
                    "password": f"{FULL_NAME}-secrets/webhook-password",
                }
            },
        ),
        ("insecure", {}),
    ],
)
def test_the_notes_have_an_alertmanager_config_for_the_operator(
    newest_helm: Helm, chart_copy: Path, name: str, http_config: dict[str, Any]
) -> None:
    """It names the Secret's keys, and no credential."""
    found = snippet(newest_helm.notes(ci(name), chart_copy), "Prometheus operator, .*")

    assert found["kind"] == "AlertmanagerConfig"
    (receiver,) = found["spec"]["receivers"]
    assert found["spec"]["route"]["receiver"] == receiver["name"]
    (hook,) = receiver["webhookConfigs"]
    assert hook["url"] == f"http://{FULL_NAME}.{NAMESPACE}:8080/v1/alertmanager"
    named = {
        way: {what: f"{key['name']}/{key['key']}" for what, key in keys.items()}
        for way, keys in hook.get("httpConfig", {}).items()
    }
    assert named == http_config


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
        ("postgresql-inline", "NOTE: the secrets stand in Helm's record"),
        ("default", "store.type=postgresql takes any number of Pods"),
        ("default", f"{FULL_NAME}-0 -- uvms-adapter call"),
        ("postgresql", f"deployment/{FULL_NAME} -- uvms-adapter call"),
        ("receipts", "https://receipts.example.net/v1/receipts/SECRET"),
        ("secrets", "NOTE: no links are made"),
    ],
)
def test_the_notes_say(newest_helm: Helm, chart_copy: Path, name: str, said: str) -> None:
    assert said in newest_helm.notes(ci(name), chart_copy)


def test_the_notes_warn_of_nothing_where_all_is_well(newest_helm: Helm, chart_copy: Path) -> None:
    notes = newest_helm.notes(ci("existing-secret"), chart_copy)

    assert "WARNING" not in notes
    assert "NOTE" not in notes


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("postgresql", "replicaCount: 1", "with one replica nobody takes webhooks"),
        ("receipts", "networkPolicy: {edge: []}", "lets in nothing from outside"),
    ],
)
def test_the_notes_warn_of_what_goes_ill_together(
    newest_helm: Helm, chart_copy: Path, name: str, more: str, said: str
) -> None:
    changed = yaml.safe_load(ci(name).read_text(encoding="utf-8"))
    for key, value in yaml.safe_load(more).items():
        changed[key] = changed.get(key, {}) | value if isinstance(value, dict) else value
    values = chart_copy / "changed.yaml"
    values.write_text(yaml.safe_dump(changed), encoding="utf-8")

    assert said not in newest_helm.notes(ci(name), chart_copy)
    assert said in newest_helm.notes(values, chart_copy)


@pytest.mark.parametrize("name", ["secrets", "postgresql-inline", "receipts", "links"])
def test_the_notes_hold_no_credential(newest_helm: Helm, chart_copy: Path, name: str) -> None:
    assert not SECRET_OF_CI.search(newest_helm.notes(ci(name), chart_copy))
