"""What each value of the Helm chart does, and that the service understands what it is given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from helm_settings import (
    SECRETS_DIRECTORY,
    STORE_DIRECTORY,
    files_named,
    image_environment,
    settings_of,
)
from helm_tools import (
    CHART,
    FULL_NAME,
    NAMESPACE,
    RELEASE,
    Helm,
    Manifests,
    ci,
    each_ci_values,
    rendered,
)

from adapter import __version__
from adapter.authentication import methods
from adapter.cli.main import cli
from adapter.cli.serve import serve
from adapter.config.environment import (
    api_credentials,
    inbound_credentials,
    link_secrets,
    receipt_secrets,
)
from adapter.config.load import load
from adapter.links import PATH as LINKS_PATH
from adapter.web.receipts import PATH as RECEIPTS_PATH

pytest_plugins = ["helm_fixtures"]


# --- the service understands what it is given -----------------------------------------------------


@each_ci_values
def test_serve_takes_the_arguments(newest_helm: Helm, values: Path) -> None:
    first, *arguments = rendered(newest_helm, values).container["args"]

    assert first == "serve"
    context = serve.make_context("serve", list(arguments), **cli.context_settings)
    assert str(context.params["config"]) == "/etc/uvms-adapter/routes.yaml"
    assert context.params["listen"][1] == 8080


@each_ci_values
def test_pods_are_given_more_time_to_stop_than_the_service_takes(
    newest_helm: Helm, values: Path
) -> None:
    pod = rendered(newest_helm, values)
    arguments = serve.make_context(
        "serve", list(pod.container["args"][1:]), **cli.context_settings
    ).params

    slept = re.findall(r"sleep\((\d+)\)", str(pod.container.get("lifecycle")))
    takes = arguments["stop_within"] + sum(map(int, slept))
    assert pod.pod["spec"]["terminationGracePeriodSeconds"] > takes + 5


def routes_of(manifests: Manifests) -> str:
    """Return the text of routes.yaml as it is mounted."""
    ((name, text),) = manifests.files_of("config").items()
    assert name == "routes.yaml"
    return text


@each_ci_values
def test_the_service_loads_the_routes_yaml(helm: Helm, values: Path) -> None:
    if "config" not in yaml.safe_load(values.read_text(encoding="utf-8")):
        return  # it is not the chart's

    text = routes_of(rendered(helm, values))

    assert load(text).warnings == ()
    assert "{{ alerts | length }}" in text


def test_numbers_of_a_tree_keep_their_form(helm: Helm) -> None:
    policy = load(routes_of(rendered(helm, ci("config-configmap"))))

    assert policy.limits.per_day == 1_000_000
    assert policy.requests_per_second == 0.5
    assert policy.uvms.from_number == "02112345678"
    assert set(policy.delivery.overrides) == {18013}


def test_comments_of_a_text_are_kept(helm: Helm) -> None:
    assert "# Whom to call.\n" in routes_of(rendered(helm, ci("config-text")))


@each_ci_values
def test_the_service_knows_every_variable(newest_helm: Helm, values: Path, tmp_path: Path) -> None:
    manifests = rendered(newest_helm, values)
    files = [path.name for path in files_named(manifests).values()]

    found = settings_of(manifests, dict.fromkeys(files, "a-secret-of-this-test"), tmp_path)

    assert found.warnings == ()


def test_the_service_reads_every_secret(helm: Helm, tmp_path: Path) -> None:
    manifests = rendered(helm, ci("secrets"))
    mounted = manifests.one("Secret", f"{FULL_NAME}-secrets")["stringData"]

    found = settings_of(manifests, mounted, tmp_path)

    assert manifests.mounts["secrets"] == SECRETS_DIRECTORY
    assert manifests.volumes["secrets"]["secret"]["secretName"] == f"{FULL_NAME}-secrets"
    assert found.warnings == found.troubles == ()
    assert found.vendor.private_key.get().reveal == 'private "key" of ci: $ # %'
    assert found.webhook.username == "alertmanager"
    assert len(methods(inbound_credentials(found))) == 3
    accepted = inbound_credentials(found)
    assert [len(s) for s in (accepted.bearer_tokens, accepted.basic.passwords)] == [2, 2]
    assert len(accepted.hmac.secrets) == len(api_credentials(found).bearer_tokens) == 2
    assert len(receipt_secrets(found)) == len(link_secrets(found)) == 2
    assert accepted.hmac.timestamp_header == "X-Grafana-Alerting-Timestamp"


def test_a_secret_of_ones_own_is_read_under_its_own_keys(helm: Helm, tmp_path: Path) -> None:
    manifests = rendered(helm, ci("existing-secret"))
    mounted = {"ucloud.public": "p", "ucloud.private": "q", "webhook-token": "w", "api": "a"}

    found = settings_of(manifests, mounted, tmp_path)

    assert manifests.volumes["secrets"]["secret"] == {"secretName": "uvms", "defaultMode": 0o440}
    assert f"{FULL_NAME}-secrets" not in [s["metadata"]["name"] for s in manifests.of("Secret")]
    assert found.troubles == ()
    assert found.vendor.public_key.get().reveal == "p"
    assert [token.reveal for token in inbound_credentials(found).bearer_tokens] == ["w"]
    assert [token.reveal for token in api_credentials(found).bearer_tokens] == ["a"]


@pytest.mark.parametrize("name", ["default", "existing-secret"])
def test_a_token_is_rotated_without_a_restart(helm: Helm, name: str, tmp_path: Path) -> None:
    """The former token's file is looked for from the start, whether it is there or not."""
    manifests = rendered(helm, ci(name))
    mounted = {"ucloud.public": "p", "ucloud.private": "q", "webhook-token": "old", "api": "a"}
    found = settings_of(manifests, mounted, tmp_path)

    (tmp_path / "webhook-token-previous").write_text("old", encoding="utf-8")
    (tmp_path / "webhook-token").write_text("brand new", encoding="utf-8")

    tokens = [token.reveal for token in inbound_credentials(found).bearer_tokens]
    assert tokens == ["brand new", "old"]


def test_the_webhook_values_reach_the_environment(newest_helm: Helm, tmp_path: Path) -> None:
    manifests = newest_helm.rendered(
        *("--values", ci("secrets"), "--set", "webhook.maxBodyBytes=1048576"),
        *("--set", "webhook.hmacHeader=X-Signature"),
    )

    mounted = manifests.one("Secret", f"{FULL_NAME}-secrets")["stringData"]
    found = settings_of(manifests, mounted, tmp_path)

    assert found.max_body_bytes == 1_048_576
    assert found.webhook.hmac_header == "X-Signature"


def test_without_secrets_none_are_mounted(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("insecure"))

    assert "secrets" not in manifests.volumes | manifests.mounts
    assert "--insecure-no-auth" in manifests.container["args"]


# --- what each value does -------------------------------------------------------------------------


def test_by_default_routes_yaml_is_kept_in_a_secret_and_nothing_optional_is_made(
    newest_helm: Helm,
) -> None:
    manifests = rendered(newest_helm, ci("default"))

    kinds = ["Pod", "Secret", "Secret", "Service", "ServiceAccount", "StatefulSet"]
    assert manifests.kinds == kinds
    assert manifests.container["image"] == f"uvms-adapter:{__version__}"
    assert "resources" not in manifests.container
    assert "annotations" not in manifests.pod["metadata"]


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("config-configmap", {"configMap": {"name": f"{FULL_NAME}-config"}}),
        ("config-text", {"secret": {"secretName": f"{FULL_NAME}-config"}}),
        ("config-existing-configmap", {"configMap": {"name": "our-routes"}}),
        ("config-existing-secret", {"secret": {"secretName": "our-routes"}}),
    ],
)
def test_routes_yaml_is_mounted_from(
    newest_helm: Helm, name: str, volume: dict[str, dict[str, str]]
) -> None:
    manifests = rendered(newest_helm, ci(name))
    key = "prod.yaml" if name == "config-existing-configmap" else "routes.yaml"

    ((kind, source),) = volume.items()
    expected = source | {"defaultMode": 0o440, "items": [{"key": key, "path": "routes.yaml"}]}
    assert manifests.volumes["config"] == {"name": "config", kind: expected}
    assert manifests.mounts["config"] == "/etc/uvms-adapter"


def test_files_are_mounted_as_directories_so_that_changes_arrive(newest_helm: Helm) -> None:
    mounts = rendered(newest_helm, ci("secrets")).container["volumeMounts"]

    assert not any("subPath" in mount for mount in mounts)


def test_the_store_is_on_a_claim_made_to_measure(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("persistence"))

    (claim,) = manifests.one("StatefulSet")["spec"]["volumeClaimTemplates"]

    assert claim["metadata"]["annotations"] == {"example.com/backup": "nightly"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "local-ssd",
        "resources": {"requests": {"storage": "5Gi"}},
    }
    assert manifests.mounts["data"] == "/data"
    assert manifests.environment["UVMS_DATABASE_URL"].startswith("sqlite:////data/")


def test_the_store_is_on_a_claim_of_ones_own(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("persistence-claim"))

    assert manifests.volumes["data"]["persistentVolumeClaim"] == {"claimName": "our-claim"}
    assert "volumeClaimTemplates" not in manifests.one("StatefulSet")["spec"]


def test_without_persistence_the_store_goes_with_the_pod(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("persistence-off"))

    assert manifests.volumes["data"]["emptyDir"] == {}
    assert "volumeClaimTemplates" not in manifests.one("StatefulSet")["spec"]


def test_there_is_one_pod_and_never_two(newest_helm: Helm) -> None:
    stateful_set = rendered(newest_helm, ci("default")).one("StatefulSet")["spec"]

    assert stateful_set["replicas"] == 1
    assert stateful_set["updateStrategy"] == {"type": "RollingUpdate"}  # the old one goes first


# --- PostgreSQL -----------------------------------------------------------------------------------


def test_with_postgresql_several_pods_are_replaced_one_by_one(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("postgresql-inline"))
    deployment = manifests.one("Deployment")["spec"]

    assert deployment["replicas"] == 2
    assert deployment["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    assert not {"StatefulSet", "PersistentVolumeClaim"} & set(manifests.kinds)
    assert "data" not in manifests.volumes | manifests.mounts


def test_a_pod_that_goes_takes_webhooks_until_everybody_knows(newest_helm: Helm) -> None:
    slow = rendered(newest_helm, ci("postgresql"))
    at_once = newest_helm.rendered("--values", ci("postgresql"), "--set", "drainSeconds=0")

    command = slow.container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["python", "-c", "import time; time.sleep(8)"]
    assert slow.pod["spec"]["terminationGracePeriodSeconds"] == 25 + 8 + 10
    assert "lifecycle" not in at_once.container
    assert "lifecycle" not in rendered(newest_helm, ci("default")).container


def test_the_service_reads_where_its_database_is(newest_helm: Helm, tmp_path: Path) -> None:
    """The variable of the image, which names SQLite, is out of the way."""
    manifests = rendered(newest_helm, ci("postgresql-inline"))
    mounted = manifests.files_of("store") | {"webhook-token": "w"}

    found = settings_of(manifests, mounted, tmp_path)

    assert manifests.mounts["store"] == STORE_DIRECTORY
    assert "UVMS_DATABASE_URL" in image_environment()
    url = "postgresql://uvms:database-password-of-ci@pooler.example.com/uvms"
    assert found.database_url.reveal == url
    listen = "postgresql://uvms:listen-password-of-ci@db.example.com/uvms"
    assert mounted["listen-url"] == listen
    assert manifests.environment["UVMS_DATABASE_LISTEN_URL_FILE"] == f"{STORE_DIRECTORY}/listen-url"


def test_a_pod_writes_as_many_transactions_at_once_as_it_may(
    newest_helm: Helm, tmp_path: Path
) -> None:
    manifests = rendered(newest_helm, ci("postgresql"))

    mounted = {"pooler-uri": "postgresql://db/uvms", "uri": "postgresql://db/uvms"}
    found = settings_of(manifests, mounted | {"webhook-token": "w"}, tmp_path)

    assert found.database_writers == 4
    by_default = rendered(newest_helm, ci("postgresql-inline")).environment
    assert "UVMS_DATABASE_WRITERS" not in by_default


def test_the_database_is_named_by_a_secret_of_ones_own(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("postgresql"))

    source = manifests.volumes["store"]["secret"]
    assert source["secretName"] == "uvms-db-app"
    assert sorted(item["key"] for item in source["items"]) == ["pooler-uri", "uri"]
    asked = manifests.environment
    assert asked["UVMS_DATABASE_URL_FILE"] == f"{STORE_DIRECTORY}/pooler-uri"
    assert asked["UVMS_DATABASE_LISTEN_URL_FILE"] == f"{STORE_DIRECTORY}/uri"
    names = [secret["metadata"]["name"] for secret in manifests.of("Secret")]
    assert f"{FULL_NAME}-store" not in names


def test_pods_are_replaced_for_another_database_and_for_nothing_else(newest_helm: Helm) -> None:
    """Where its database is, the service asks once; routes.yaml and secrets it follows."""

    def annotations(*more: str) -> dict[str, str]:
        values = ("--values", ci("postgresql-inline"), *more)
        return dict(newest_helm.rendered(*values).pod["metadata"]["annotations"])

    before = annotations()

    assert annotations("--set", "store.databaseUrl=postgresql://other/uvms") != before
    assert annotations("--set", "secrets.webhookToken=x,config.route.repeat_interval=2h") == before


def test_pods_are_spread_unless_it_is_said_how(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("postgresql"))
    spread = manifests.pod["spec"]["topologySpreadConstraints"]

    keys = [one["topologyKey"] for one in spread]
    assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    for one in spread:
        assert one["whenUnsatisfiable"] == "ScheduleAnyway"
        assert one["labelSelector"]["matchLabels"].items() <= (
            manifests.pod["metadata"]["labels"].items()
        )
    one_pod = rendered(newest_helm, ci("default")).pod["spec"]
    assert "topologySpreadConstraints" not in one_pod


@pytest.mark.parametrize(
    ("name", "more", "budget"),
    [
        ("postgresql", "", {"minAvailable": 2}),
        ("postgresql-inline", "", {"maxUnavailable": "50%"}),
        ("autoscaling", "", {"maxUnavailable": 1}),
        ("postgresql", "podDisruptionBudget.enabled=false", None),
        ("postgresql", "replicaCount=1", None),
        ("default", "", None),
    ],
)
def test_several_pods_are_not_all_drained_at_once(
    newest_helm: Helm, name: str, more: str, budget: dict[str, object] | None
) -> None:
    manifests = newest_helm.rendered("--values", ci(name), *(["--set", more] if more else []))

    found = [one["spec"] for one in manifests.of("PodDisruptionBudget")]

    for spec in found:
        assert spec.pop("selector") == manifests.workload["spec"]["selector"]
    assert found == ([budget] if budget else [])


def test_the_number_of_pods_follows_the_load(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("autoscaling"))
    scaler = manifests.one("HorizontalPodAutoscaler")["spec"]
    given = yaml.safe_load(ci("autoscaling").read_text(encoding="utf-8"))["autoscaling"]

    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", FULL_NAME)
    assert "replicas" not in manifests.one("Deployment")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 9)
    processor, *others = scaler["metrics"]
    assert processor["resource"]["target"]["averageUtilization"] == 60
    assert others == given["metrics"]
    assert scaler["behavior"] == given["behavior"]


# --- ways in --------------------------------------------------------------------------------------


def test_the_ingress_leads_to_the_service(newest_helm: Helm) -> None:
    ingress = rendered(newest_helm, ci("ingress")).one("Ingress")

    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert rule["host"] == "calls.example.com"
    assert (path["path"], path["pathType"]) == ("/v1/alertmanager", "Exact")
    assert path["backend"]["service"] == {"name": FULL_NAME, "port": {"name": "http"}}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"secretName": "calls-tls", "hosts": ["calls.example.com"]}]
    assert ingress["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "letsencrypt"}
    assert ingress["metadata"]["labels"]["example.com/edge"] == "public"


def test_the_http_route_leads_webhooks_alone_to_the_service(newest_helm: Helm) -> None:
    route = rendered(newest_helm, ci("http-route")).one("HTTPRoute")

    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"]["parentRefs"] == [{"name": "edge", "namespace": "gateways"}]
    assert route["spec"]["hostnames"] == ["calls.example.com"]
    (rule,) = route["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": FULL_NAME, "port": 8080}]
    assert [match["path"]["value"] for match in rule["matches"]] == [
        "/v1/alertmanager",
        "/v1/grafana",
    ]
    assert rule["filters"][0]["type"] == "RequestHeaderModifier"
    for told in (route["metadata"]["annotations"], route["metadata"]["labels"]):
        assert told["example.com/edge"] == "public"


@pytest.mark.parametrize(
    ("name", "host", "path"),
    [
        ("receipts", "receipts.example.net", "/v1/receipts/"),
        ("links", "pages.example.net", "/v1/acknowledge/"),
    ],
)
def test_receipts_and_links_have_ways_in_of_their_own(
    newest_helm: Helm, name: str, host: str, path: str
) -> None:
    manifests = rendered(newest_helm, ci(name))
    ingress, route = manifests.one("Ingress"), manifests.one("HTTPRoute")

    assert {o["metadata"]["name"] for o in (ingress, route)} == {f"{FULL_NAME}-{name}"}
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == host
    assert [one["path"] for one in rule["http"]["paths"]] == [path]
    assert route["spec"]["hostnames"] == [host]
    ((match,),) = (one["matches"] for one in route["spec"]["rules"])
    assert match["path"] == {"type": "PathPrefix", "value": path}


def test_each_way_in_leads_to_what_it_is_for_and_to_nothing_else(newest_helm: Helm) -> None:
    """The paths are the service's own; API, metrics and management are under none of them."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    ways = {
        "ingress": ["/v1/alertmanager", "/v1/grafana"],
        "receipts": [RECEIPTS_PATH.removesuffix("{secret}")],
        "links": [f"{LINKS_PATH}/"],
    }

    for name, paths in ways.items():
        below = values if name == "ingress" else values[name]
        (host,) = below["ingress"]["hosts"]
        assert [one["path"] for one in host["paths"]] == paths
        assert [one["path"]["value"] for one in below["httpRoute"]["matches"]] == paths


def test_people_are_told_where_links_lead(newest_helm: Helm, tmp_path: Path) -> None:
    manifests = rendered(newest_helm, ci("links"))

    found = settings_of(manifests, manifests.files_of("secrets"), tmp_path)

    assert found.links.external_url == "https://pages.example.net"
    assert [secret.reveal for secret in link_secrets(found)] == ["link-secret-of-ci"]


def test_the_service_is_a_load_balancer(newest_helm: Helm) -> None:
    service = rendered(newest_helm, ci("service")).one("Service")

    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["nodePort"], port["targetPort"]) == (80, 30080, "http")
    assert service["metadata"]["annotations"] == {"example.com/internal": "true"}
    assert service["metadata"]["labels"]["example.com/edge"] == "internal"


def test_the_service_monitor_scrapes_the_metrics(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("monitoring"))
    monitor = manifests.one("ServiceMonitor")

    assert monitor["spec"]["endpoints"] == [
        {
            "port": "http",
            "path": "/metrics",
            "interval": "15s",
            "scrapeTimeout": "10s",
            "relabelings": [{"action": "labeldrop", "regex": "pod"}],
            "metricRelabelings": [
                {"action": "drop", "sourceLabels": ["__name__"], "regex": "process_.*"}
            ],
        }
    ]
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= manifests.one("Service")["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["annotations"] == {"example.com/team": "sre"}


def test_the_pod_monitor_scrapes_the_same(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("pod-monitor"))
    monitor = manifests.one("PodMonitor")
    service_monitor = rendered(newest_helm, ci("monitoring")).one("ServiceMonitor")

    assert monitor["spec"]["podMetricsEndpoints"] == service_monitor["spec"]["endpoints"]
    assert monitor["metadata"] == service_monitor["metadata"]
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= manifests.pod["metadata"]["labels"].items()
    (port,) = manifests.container["ports"]
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == port["name"]


def test_the_dashboard_is_where_the_sidecar_finds_it(newest_helm: Helm) -> None:
    config_map = rendered(newest_helm, ci("dashboards")).one("ConfigMap")

    assert config_map["metadata"]["namespace"] == "monitoring"
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "yes"
    assert config_map["metadata"]["annotations"] == {"grafana_folder": "On call"}
    file = CHART / "dashboards" / "uvms-adapter.json"
    assert config_map["data"] == {"uvms-adapter.json": file.read_text(encoding="utf-8")}


def test_the_network_policy_lets_in_and_out_only_what_is_needed(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("network-policy"))
    policy = manifests.one("NetworkPolicy")["spec"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["podSelector"]["matchLabels"].items() <= (
        manifests.pod["metadata"]["labels"].items()
    )
    (entry,) = policy["ingress"]
    senders, test = entry["from"]
    assert senders == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    }
    assert test["podSelector"]["matchLabels"].items() <= (
        manifests.one("Pod")["metadata"]["labels"].items()
    )
    assert entry["ports"] == [{"port": "http", "protocol": "TCP"}]
    dns, vendor, proxy = policy["egress"]
    assert [(one["port"], one["protocol"]) for one in dns["ports"]] == [(53, "UDP"), (53, "TCP")]
    assert dns["to"] == [{"ipBlock": {"cidr": "10.96.0.10/32"}}]
    assert vendor["to"] == [{"ipBlock": {"cidr": "106.75.0.0/16"}}]
    assert vendor["ports"] == [{"port": 8443, "protocol": "TCP"}]
    assert proxy["ports"] == [{"port": 3128, "protocol": "TCP"}]


def test_the_network_policy_lets_in_who_brings_what_comes_from_outside(newest_helm: Helm) -> None:
    policy = rendered(newest_helm, ci("receipts")).one("NetworkPolicy")["spec"]

    _inside, edge = policy["ingress"]

    name = {"kubernetes.io/metadata.name": "ingress-public"}
    assert edge["from"] == [{"namespaceSelector": {"matchLabels": name}}]
    assert edge["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_the_network_policy_lets_out_to_the_database(newest_helm: Helm) -> None:
    policy = rendered(newest_helm, ci("postgresql")).one("NetworkPolicy")["spec"]
    given = yaml.safe_load(ci("postgresql").read_text(encoding="utf-8"))["networkPolicy"]

    *_others, database = policy["egress"]

    assert database == {"to": given["database"], "ports": [{"port": 5433, "protocol": "TCP"}]}


def test_by_default_the_network_policy_lets_in_alertmanager_grafana_and_prometheus(
    newest_helm: Helm,
) -> None:
    manifests = newest_helm.rendered(
        "--values", ci("default"), "--set", "networkPolicy.enabled=true"
    )
    policy = manifests.one("NetworkPolicy")["spec"]

    (entry,) = policy["ingress"]
    names = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in entry["from"]]
    assert names == ["alertmanager", "grafana", "prometheus", "uvms-adapter-test"]
    assert policy["egress"][1]["ports"] == [{"port": 443, "protocol": "TCP"}]


def test_names_namespace_and_labels_are_as_asked_for(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("names"))

    for one in manifests.all:
        assert one["metadata"]["namespace"] == "on-call"
        assert one["metadata"]["labels"]["example.com/team"] == "sre"
        assert one["metadata"]["name"].startswith("night-calls") or one["kind"] == "ServiceAccount"
    assert manifests.pod["metadata"]["labels"]["example.com/team"] == "sre"
    assert manifests.pod["metadata"]["labels"]["app.kubernetes.io/name"] == "calls"
    account = manifests.one("ServiceAccount")["metadata"]
    assert account["name"] == manifests.pod["spec"]["serviceAccountName"] == "caller"
    assert account["annotations"] == {"example.com/role": "caller"}


def test_a_long_name_leaves_room_for_the_hash_of_the_stateful_set(newest_helm: Helm) -> None:
    long = "fullnameOverride=" + "a" * 80

    manifests = newest_helm.rendered("--values", ci("default"), "--set", long)

    assert len(manifests.one("StatefulSet")["metadata"]["name"]) == 52


def test_the_pod_runs_where_and_as_it_is_asked_to(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("pod"))
    given = yaml.safe_load(ci("pod").read_text(encoding="utf-8"))
    pod, container = manifests.pod["spec"], manifests.container

    digest = given["image"]["digest"]
    assert container["image"] == f"registry.example.com/sre/uvms-adapter@{digest}"
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"] == given["resources"]
    assert "--listen=[::]:8080" in container["args"]
    assert "--stop-within=50s" in container["args"]
    assert "--simulate" in container["args"]
    assert manifests.environment["UVMS_LOG_FORMAT"] == "console"
    assert manifests.environment["UVMS_LOG_LEVEL"] == "debug"
    assert pod["terminationGracePeriodSeconds"] == 60
    assert pod["serviceAccountName"] == "default"
    assert "ServiceAccount" not in manifests.kinds
    assert manifests.pod["metadata"]["annotations"] == given["podAnnotations"]
    assert given["podLabels"].items() <= manifests.pod["metadata"]["labels"].items()
    same = "imagePullSecrets priorityClassName nodeSelector tolerations affinity"
    for field in [*same.split(), "topologySpreadConstraints"]:
        assert pod[field] == given[field]


def test_what_the_chart_has_no_value_for_can_be_added(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("extra"))

    assert "--log-level=warning" in manifests.container["args"]
    assert manifests.environment["SSL_CERT_FILE"] == "/ca/ca.crt"
    assert manifests.mounts["ca"] == "/ca"
    assert manifests.volumes["ca"]["configMap"] == {"name": "ca-bundle"}
    (source,) = manifests.container["envFrom"]
    assert source["secretRef"]["name"] == "proxy-settings"
    assert [one["name"] for one in manifests.pod["spec"]["initContainers"]] == ["wait"]
    beside = [one["name"] for one in manifests.pod["spec"]["containers"]]
    assert beside == ["uvms-adapter", "database-proxy"]
    assert manifests.container["startupProbe"]["failureThreshold"] == 300
    assert manifests.container["livenessProbe"]["periodSeconds"] == 30
    assert manifests.container["readinessProbe"]["periodSeconds"] == 5
    for name in ("tree", "text"):
        assert manifests.one("ConfigMap", f"{RELEASE}-{name}")


def test_the_probes_ask_what_the_service_answers(newest_helm: Helm) -> None:
    container = rendered(newest_helm, ci("default")).container

    paths = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }

    healthy, ready = "/-/healthy", "/-/ready"
    assert paths == dict(zip(sorted(paths, reverse=True), (healthy, ready, healthy), strict=True))
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
