"""Traces of a Pod of the chart: they arrive, say whose they are, and the way to them is open."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import yaml
from helm_tools import NAMESPACE, ROOT, Helm, Manifests, ci, rendered
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from adapter import __version__
from adapter.tracing import NO_TRACES, open_tracer

pytest_plugins = ["helm_fixtures"]

POD = "night-uvms-adapter-0"


def environment(manifests: Manifests) -> dict[str, str]:
    """Return the container's variables as the kubelet makes them, without those of Secrets.

    Source: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """
    found: dict[str, str] = {}
    for one in manifests.container["env"]:
        if one.get("valueFrom") == {"fieldRef": {"fieldPath": "metadata.name"}}:
            found[one["name"]] = POD
        elif "value" in one:
            found[one["name"]] = re.sub(
                r"\$\((\w+)\)", lambda name: found.get(name[1], name[0]), one["value"]
            )
    return found


@contextmanager
def collector() -> Iterator[tuple[int, list[bytes]]]:
    """Take what is posted to the path of traces; yield the port and what came."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_values: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port, bodies
        server.shutdown()


def test_traces_arrive_and_say_whose_they_are(
    newest_helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with collector() as (port, bodies):
        endpoint = f"tracing.endpoint=http://127.0.0.1:{port}"
        manifests = newest_helm.rendered(
            *("--values", ci("tracing"), "--set", endpoint, "--set-json", "extraEnv=[]")
        )
        for name, value in environment(manifests).items():
            monkeypatch.setenv(name, value)

        tracer = open_tracer()
        with tracer.span("webhook"):
            pass
        tracer.close()

    (resource,) = ExportTraceServiceRequest.FromString(bodies[0]).resource_spans
    said = {one.key: one.value.string_value for one in resource.resource.attributes}
    expected = {
        "service.name": "uvms-adapter",
        "service.version": __version__,
        "k8s.namespace.name": NAMESPACE,
        "k8s.pod.name": POD,
        "deployment.environment.name": "prod",
        "k8s.cluster.name": "cn-bj2",
    }
    assert expected.items() <= said.items()


def test_what_is_said_of_the_pod_can_be_changed(newest_helm: Helm) -> None:
    manifests = newest_helm.rendered(
        *("--values", ci("tracing")),
        *("--set-json", 'tracing.resourceAttributes={"k8s.pod.name": "the-one"}'),
    )

    said = environment(manifests)["OTEL_RESOURCE_ATTRIBUTES"]

    assert said == f"k8s.namespace.name={NAMESPACE},k8s.pod.name=the-one"


def test_what_else_opentelemetry_can_be_told_is_passed_on(newest_helm: Helm) -> None:
    manifests = rendered(newest_helm, ci("tracing"))
    given = yaml.safe_load(ci("tracing").read_text(encoding="utf-8"))["extraEnv"]

    assert manifests.container["env"][-len(given) :] == given
    names = [one["name"] for one in manifests.container["env"]]
    assert len(set(names)) == len(names)


def test_without_an_endpoint_nothing_is_traced(
    newest_helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = environment(rendered(newest_helm, ci("default")))

    assert not any(name.startswith("OTEL_") for name in found)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert open_tracer() is NO_TRACES


def test_the_image_has_what_sends_traces() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")

    for requirement in project["optional-dependencies"]["otel"]:
        name = re.split("[<>=]", requirement)[0]
        assert re.search(f"^{re.escape(name)}==", locked, re.MULTILINE)


# --- the way to the collector ---------------------------------------------------------------------


def egress(manifests: Manifests) -> list[Any]:
    return list(manifests.one("NetworkPolicy")["spec"]["egress"])


def test_the_network_policy_lets_out_to_the_collector(newest_helm: Helm) -> None:
    given = yaml.safe_load(ci("tracing").read_text(encoding="utf-8"))["networkPolicy"]

    *_others, way = egress(rendered(newest_helm, ci("tracing")))

    assert way == {"to": given["collector"], "ports": [{"port": 4319, "protocol": "TCP"}]}


def test_the_collectors_port_is_that_of_otlp_over_http(newest_helm: Helm) -> None:
    manifests = newest_helm.rendered(
        *("--values", ci("default"), "--set", "tracing.endpoint=http://collector:4318"),
        *("--set-json", 'networkPolicy={"enabled": true, "collector": [{"podSelector": {}}]}'),
    )

    assert egress(manifests)[-1]["ports"] == [{"port": 4318, "protocol": "TCP"}]


def test_without_an_endpoint_there_is_no_way_out_to_a_collector(newest_helm: Helm) -> None:
    manifests = newest_helm.rendered("--values", ci("tracing"), "--set", "tracing.endpoint=")

    ports = [port["port"] for rule in egress(manifests) for port in rule["ports"]]

    assert ports == [53, 53, 443]
