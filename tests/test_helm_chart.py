"""The Helm chart: Kubernetes takes what real helms render, and wrong values are refused."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_tools import (
    CHART,
    CI_VALUES,
    RELEASE,
    ROOT,
    SECRET_OF_CI,
    Helm,
    Manifests,
    ci,
    each_ci_values,
    rendered,
)

from adapter import __version__

pytest_plugins = ["helm_fixtures"]

READMES = (CHART / "README.md", ROOT / "helm" / "README.md")
OLDEST_KUBERNETES = "1.25"
# Not Kubernetes' own, so there is no schema of them here.
CUSTOM_KINDS = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ServiceMonitor"}


def chart_yaml() -> Any:
    return yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))


# --- every manifest -------------------------------------------------------------------------------


@each_ci_values
def test_helm_finds_nothing_to_complain_about(helm: Helm, values: Path) -> None:
    linted = helm.lint(values)

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(
    "kubernetes", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()], ids=str
)
@each_ci_values
def test_kubernetes_takes_every_manifest(helm: Helm, values: Path, kubernetes: str) -> None:
    for manifest in rendered(helm, values).all:
        if manifest["kind"] not in CUSTOM_KINDS:
            _validate(json.dumps(manifest, sort_keys=True), kubernetes)


@functools.cache
def _validate(manifest: str, kubernetes: str) -> None:
    kubernetes_validate.validate(json.loads(manifest), kubernetes, strict=True)


def test_the_oldest_kubernetes_is_the_one_that_is_tested() -> None:
    assert chart_yaml()["kubeVersion"] == f">={OLDEST_KUBERNETES}.0-0"


def pods(manifests: Manifests) -> Iterator[Any]:
    yield manifests.pod["spec"]
    yield from (pod["spec"] for pod in manifests.of("Pod"))


@each_ci_values
def test_pods_meet_the_restricted_pod_security_standard(newest_helm: Helm, values: Path) -> None:
    """Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    allowed = {"configMap", "csi", "emptyDir", "persistentVolumeClaim", "secret"}

    for pod in pods(rendered(newest_helm, values)):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {kind for v in pod.get("volumes", ()) for kind in v if kind != "name"} <= allowed
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))


@each_ci_values
def test_no_pod_has_a_token_of_the_api_server(newest_helm: Helm, values: Path) -> None:
    manifests = rendered(newest_helm, values)

    assert all(pod["automountServiceAccountToken"] is False for pod in pods(manifests))
    assert all(a["automountServiceAccountToken"] is False for a in manifests.of("ServiceAccount"))


@each_ci_values
def test_credentials_stand_in_secrets_alone(newest_helm: Helm, values: Path) -> None:
    manifests = rendered(newest_helm, values)
    credentials = set(SECRET_OF_CI.findall(values.read_text(encoding="utf-8")))

    others = json.dumps([one for one in manifests.all if one["kind"] != "Secret"])

    assert not {one for one in credentials if one in others}


@each_ci_values
def test_objects_carry_the_recommended_labels(newest_helm: Helm, values: Path) -> None:
    manifests = rendered(newest_helm, values)
    given = yaml.safe_load(values.read_text(encoding="utf-8")).get("extraManifests", [])

    ours = [o for o in manifests.all if not re.search("-(tree|text)$", o["metadata"]["name"])]

    assert len(ours) == len(manifests.all) - len(given)
    for labels in (one["metadata"]["labels"] for one in [*ours, manifests.pod]):
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/version"] == __version__
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"] == f"uvms-adapter-{chart_yaml()['version']}"


@each_ci_values
def test_nothing_that_an_upgrade_may_not_change_names_a_version(
    newest_helm: Helm, values: Path
) -> None:
    manifests = rendered(newest_helm, values)
    workload = manifests.workload["spec"]

    selector = workload["selector"]["matchLabels"]

    assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    for claim in workload.get("volumeClaimTemplates", ()):
        assert claim["metadata"]["labels"] == selector


@each_ci_values
def test_the_service_reaches_the_pod_and_not_the_test_of_it(
    newest_helm: Helm, values: Path
) -> None:
    manifests = rendered(newest_helm, values)
    selector = manifests.one("Service")["spec"]["selector"].items()

    assert selector <= manifests.pod["metadata"]["labels"].items()
    assert not selector <= manifests.one("Pod")["metadata"]["labels"].items()


@each_ci_values
def test_both_helms_render_the_same(helms: Mapping[str, Helm], values: Path) -> None:
    older, newer = (rendered(helm, values) for helm in helms.values())

    assert sorted(map(str, older.all)) == sorted(map(str, newer.all))


# --- wrong values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    {
        "two replicas": ("replicaCount=2", "1, for one SQLite file serves one process"),
        "no replica": ("replicaCount=0", "1, for one SQLite file serves one process"),
        "scaling one file": ("autoscaling.enabled=true", "false, for one SQLite file serves one"),
        "an unknown database": ("store.type=mysql", "postgresql"),
        "an URL that is none": ("links.externalUrl=pages.example.com", "externalUrl"),
        "a change of nothing": ("prometheusRule.alerts.X.fro=5m", "fro"),
        "a misspelt value": ("replicas=1", "replicas"),
        "a misspelt value further down": ("persistence.sise=1Gi", "sise"),
        "a number for a token": ("secrets.webhookToken=123", "string"),
        "an unknown kind": ("configKind=Vault", "ConfigMap"),
        "an unknown log level": ("log.level=loud", "warning"),
        "half a digest": ("image.digest=sha256:12", "sha256"),
        "a key that no Secret has": ("existingSecret.keys.apiToken=a/b", "apiToken"),
        "no time to stop": ("stopWithinSeconds=0", "stopWithinSeconds"),
        "a route without a gateway": ("httpRoute.enabled=true", "parentRefs"),
        "a file that is nowhere": ("secretFiles.webhookToken=token", "secretFiles"),
        "a file of no secret": ("secretFiles.token=/mnt/token", "token"),
        "more writers than there may be": ("store.writers=65", "64"),
        "a collector without a scheme": ("tracing.endpoint=collector:4318", "endpoint"),
        "a credential in a URL": ("tracing.endpoint=http://me:pw@collector:4318", "endpoint"),
        "an attribute of two": (r"tracing.resourceAttributes.a=b\,c=d", "resourceAttributes"),
        "a port out of range": ("service.port=70000", "65535|65,535"),
    }.values(),
    ids=str,
)
def test_the_schema_refuses(helm: Helm, wrong: str, said: str) -> None:
    error = helm.refuses("--values", ci("default"), "--set", wrong)

    assert "values don't meet the specifications of the schema" in error
    assert re.search(said, error)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("default", "image.repository=", "image.repository is missing"),
        ("default", "config=null", "there is no routes.yaml, so nobody could be called"),
        (
            "default",
            "configFrom.existingSecret=x",
            "config and configFrom.existingSecret are set; keep one of them",
        ),
        ("default", "simulate=false", "no phone could ring: set secrets.publicKey"),
        ("default", "secrets.webhookToken=", "nobody could post a webhook: set"),
        ("default", "secrets.publicKey=x", "of publicKey and privateKey only one is set"),
        ("default", "existingSecret.name=x", "secrets.webhookToken and existingSecret.name are"),
        ("default", "secrets.apiTokenPrevious=x", "secrets.apiTokenPrevious is set without"),
        (
            "default",
            "secretFiles.webhookToken=/mnt/token",
            "secrets.webhookToken and secretFiles.webhookToken are both set",
        ),
        ("default", "secretFiles.apiTokenPrevious=/mnt/old", "and there is no apiToken"),
        ("secret-files", "existingSecret.name=", "no phone could ring: set secrets.publicKey"),
        ("basic-auth", "webhook.username=", "basic auth needs both webhook.username and"),
        ("default", "webhook.username=x", "basic auth needs both webhook.username and"),
        ("existing-secret", "existingSecret.keys.privateKey=", "of publicKey and privateKey"),
        ("existing-secret", "existingSecret.keys.webhookToken=", "nobody could post a webhook"),
        ("default", "secrets.receiptsSecret=short", "secrets.receiptsSecret is part of a URL"),
        ("default", "secrets.linkSecret=short", "secrets.linkSecret could be guessed"),
        ("receipts", "secrets.receiptsSecret=", "receipts are let in, and would all be refused"),
        ("links", "secrets.linkSecret=", "people are let in by links, and none would be made"),
        ("links", "links.externalUrl=", "people are let in by links, and none would be made"),
        ("default", "store.existingSecret.name=x", "a database is named, and would not be used"),
        ("default", "store.type=postgresql", "needs one of store.existingSecret.name and"),
        ("postgresql-inline", "store.existingSecret.name=x", "needs one of store.existingSecret"),
        ("default", "store.writers=4", "store.writers is set, and would not be used"),
        ("tracing", "networkPolicy.collector=null", "would cut off the collector of traces"),
        ("postgresql-inline", "store.databaseUrl=mysql://db/x", "is no URL of PostgreSQL"),
        ("postgresql", "store.listenUrl=x", "store.listenUrl and store.existingSecret.name are"),
        ("postgresql", "networkPolicy.database=null", "would cut off the database"),
        ("autoscaling", "autoscaling.maxReplicas=2", "minReplicas is more than"),
        ("autoscaling", "resources.requests.cpu=null", "is a part of resources.requests.cpu"),
        ("monitoring", "podMonitor.enabled=true", "everything would be counted twice"),
        (
            "monitoring",
            "prometheusRule.alerts.Misspelt.for=5m",
            "prometheusRule.alerts.Misspelt: there is no such alert",
        ),
    ],
)
def test_what_would_not_start_is_not_rendered(helm: Helm, name: str, wrong: str, said: str) -> None:
    assert said in helm.refuses("--values", ci(name), "--set", wrong)


@pytest.mark.parametrize("wrong", ["replicaCount=2", "autoscaling.enabled=true"])
def test_two_processes_on_one_file_are_refused_whatever_the_schema_says(
    helm: Helm, wrong: str
) -> None:
    error = helm.refuses("--values", ci("default"), "--set", wrong, "--skip-schema-validation")

    assert "more than one replica needs store.type=postgresql: one SQLite file serves one" in error
    assert "would ring every phone twice" in error


def test_alone_the_chart_says_what_it_needs(helm: Helm) -> None:
    assert re.search("image.repository is missing|there is no routes.yaml", helm.refuses())


# --- values, schema and README --------------------------------------------------------------------


def values_table() -> Any:
    """Return the module that writes the table; it is no part of the package."""
    spec = importlib.util.spec_from_file_location("values_table", ROOT / "helm/values_table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def values_yaml() -> str:
    return (CHART / "values.yaml").read_text(encoding="utf-8")


def test_the_readmes_describe_every_value() -> None:
    """To renew them: python helm/values_table.py."""
    table = values_table()

    assert set(table.READMES) == set(READMES)
    for file in READMES:
        readme = file.read_text(encoding="utf-8")
        assert table.renewed(readme, values_yaml()) == readme


def test_links_of_the_readmes_lead_somewhere() -> None:
    for file in READMES:
        text = file.read_text(encoding="utf-8")
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            target = (file.parent / path).resolve() if path else file
            assert target.exists(), (file, path)
            assert not anchor or anchor in anchors(target), (file, anchor)


def anchors(file: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall("^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def examples() -> list[str]:
    """Return the values that the chart's README shows."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^( *)```yaml\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(one) for _indent, one in shown if "apiVersion:" not in one]


@pytest.mark.parametrize("example", examples(), ids=lambda text: text.partition(":")[0])
def test_values_that_the_readme_shows_do_something(
    newest_helm: Helm, example: str, tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(example, encoding="utf-8")
    base = ci("existing-secret")

    changed = newest_helm.rendered("--values", base, "--values", file)

    assert changed.all != rendered(newest_helm, base).all


def test_the_readme_shows_values() -> None:
    tops = {key for example in examples() for key in yaml.safe_load(example)}

    assert {"prometheusRule", "secretFiles", "tracing"} <= tops


def test_every_value_is_tried_by_a_file_of_ci() -> None:
    tried = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in CI_VALUES]
    always_so = {"podSecurityContext", "securityContext"}
    # They are the same below receipts and links as at the top.
    alike = re.compile(r"(receipts|links)\.(ingress|httpRoute)\.")
    set_elsewhere = {
        "prometheusRule.selector",
        "httpRoute.matches",
        "webhook.hmacHeader",
        "webhook.maxBodyBytes",
    }

    for value in values_table().values(values_yaml()):
        if value.path.startswith("existingSecret.keys.") or value.path in always_so | set_elsewhere:
            continue
        if alike.match(value.path) and not value.path.endswith(("enabled", "hosts")):
            continue
        assert any(_has(tree, value.path.split(".")) for tree in tried), value.path


def _has(tree: Any, path: list[str]) -> bool:
    if not path:
        return True
    return isinstance(tree, dict) and path[0] in tree and _has(tree[path[0]], path[1:])


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    described = {value.path for value in values_table().values(values_yaml())}

    assert set(_leaves(schema, schema, "", described)) == described | {"global"}


def _leaves(schema: Any, root: Any, prefix: str, described: set[str]) -> Iterator[str]:
    assert schema["additionalProperties"] is False, prefix
    for name, below in schema["properties"].items():
        path = f"{prefix}{name}"
        if path in described or path == "global":
            yield path
        else:
            referred = root["definitions"].get(below.get("$ref", "").rpartition("/")[2])
            yield from _leaves(referred or below, root, f"{path}.", described)


def test_chart_and_service_have_the_same_version() -> None:
    assert chart_yaml()["appVersion"] == __version__
    assert chart_yaml()["apiVersion"] == "v2"


def test_the_package_holds_no_files_of_ci(newest_helm: Helm, tmp_path: Path) -> None:
    packed = newest_helm.run("package", CHART, "--destination", tmp_path)
    assert packed.returncode == 0, packed.stderr

    (file,) = tmp_path.glob("*.tgz")

    listed = subprocess.run(["tar", "-tzf", file], capture_output=True, text=True, check=True)
    assert "uvms-adapter/values.schema.json" in listed.stdout
    assert "/ci/" not in listed.stdout
