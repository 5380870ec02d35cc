"""The Pods that helm renders, started by podman from the built image: `pytest -m image`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import postgres_server
import pytest
import yaml
from helm_tools import Helm, Manifests
from image_pod import Pod
from image_running import RESTRICTED, URL, post, routes
from image_tools import REPOSITORY, ROOT, Containers
from process_harness import (
    API_TOKEN,
    PRIVATE_KEY,
    PUBLIC_KEY,
    WEBHOOK_TOKEN,
    Vendor,
    new_number,
    samples,
    simulated_vendor,
    until,
)

pytest_plugins = ["helm_fixtures", "image_fixtures"]
pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]


def rendered(helm: Helm, directory: Path, config: Mapping[str, Any], **more: Any) -> Manifests:
    secrets = {
        "publicKey": PUBLIC_KEY,
        "privateKey": PRIVATE_KEY,
        "webhookToken": WEBHOOK_TOKEN,
        "apiToken": API_TOKEN,
    }
    image = {"repository": REPOSITORY, "tag": "test"}
    values = {"image": image, "config": config, "secrets": secrets} | more
    file = directory / "values.yaml"
    file.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return helm.rendered("--values", file)


def in_the_pod() -> Iterator[list[str]]:
    """Return what the manual has `kubectl exec` run in the Pod, without where the output goes."""
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.findall(r"`kubectl exec ([\w-]+) -- ([^`>]+)", manual)
    assert found
    for _pod, command in found:
        yield command.split()


def config_hash() -> float:
    return samples(URL)["uvms_adapter_config_hash"]


def until_rang(vendor: Vendor, phone: str, times: int, pod: Pod) -> None:
    until(lambda: len(vendor.rang(phone)) >= times, f"{times} calls", pod.container.log)


def test_the_pod_with_its_store_on_a_volume_rings_phones_and_follows_its_files(
    newest_helm: Helm, containers: Containers, tmp_path: Path
) -> None:
    first, second = new_number(), new_number()
    with simulated_vendor(tmp_path) as vendor:
        manifests = rendered(newest_helm, tmp_path, routes(vendor, first))
        pod = Pod(containers, manifests, tmp_path)
        with pod.started():
            post("DiskFull")
            until_rang(vendor, first, 1, pod)
            assert pod.container.privileges() == RESTRICTED
            assert pod.helm_test() == 0
            for command in in_the_pod():
                assert pod.container.inside(*command), command

            before = config_hash()
            pod.update(rendered(newest_helm, tmp_path, routes(vendor, second)))

            until(lambda: config_hash() != before, "routes.yaml is read again", pod.container.log)
            post("NodeDown")
            until_rang(vendor, second, 1, pod)
            pod.stop()
        assert len(vendor.rang(first, second)) == 2


def test_another_pod_takes_the_volume_and_nobody_is_called_twice(
    newest_helm: Helm, containers: Containers, tmp_path: Path
) -> None:
    phone = new_number()
    with simulated_vendor(tmp_path) as vendor:
        manifests = rendered(newest_helm, tmp_path, routes(vendor, phone))
        for alertnames in (["DiskFull"], ["DiskFull", "NodeDown"]):
            pod = Pod(containers, manifests, tmp_path)
            with pod.started():
                for alertname in alertnames:
                    post(alertname)
                until_rang(vendor, phone, len(alertnames), pod)
                pod.stop()
            assert len(vendor.rang(phone)) == len(alertnames)


def test_the_pod_with_postgresql_takes_webhooks_until_it_is_stopped(
    newest_helm: Helm, containers: Containers, tmp_path: Path
) -> None:
    phone = new_number()
    with (
        simulated_vendor(tmp_path) as vendor,
        postgres_server.running() as server,
        server.database() as url,
    ):
        manifests = rendered(
            newest_helm,
            tmp_path,
            routes(vendor, phone),
            configKind="ConfigMap",
            store={"type": "postgresql", "databaseUrl": url},
        )
        pod = Pod(containers, manifests, tmp_path)
        with pod.started():
            post("DiskFull")
            until_rang(vendor, phone, 1, pod)
            assert pod.container.privileges() == RESTRICTED

            pod.stop(lambda: post("NodeDown"))

        assert len(vendor.rang(phone)) == 2
