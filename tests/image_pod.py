"""A Pod as helm renders it, started by podman. The test is the rest of Kubernetes.

What podman (4.3, of Debian 12) cannot do, and is therefore done here as Kubernetes does it:

- StatefulSet: its controller makes the claim, and the Pod with it. So a Pod is made of
  `spec.template`, of a Deployment too: podman would start all of its replicas on one port.
- Secrets as volumes: podman mounts them undecoded, and under the keys in place of the paths. The
  files are written as the kubelet writes them, with their mode and group, and mounted as hostPath.
- Probes: podman runs the liveness probe alone, with curl inside the container, where there is none.
  The kubelet asks over HTTP from the node, and so does the test.
- `lifecycle.preStop` and `terminationGracePeriodSeconds`.
- `ports`: names for the probes, which podman would publish; on the host's network it refuses to.
- Annotations: podman refuses a checksum, being longer than a label may be.

All else is as rendered: image, arguments, environment, security contexts, mounts, ConfigMaps.
"""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from helm_tools import Manifests
from image_running import URL, Container, answers
from image_tools import Containers
from process_harness import until

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


class Pod:
    """The first Pod of a release, below a directory of the node."""

    def __init__(self, containers: Containers, manifests: Manifests, node: Path) -> None:
        self._containers, self._node = containers, node
        self._manifests = manifests
        self.name = f"{manifests.workload['metadata']['name']}-0"
        self.container = Container(containers, f"{self.name}-{manifests.container['name']}")

    # --- starting ---

    @contextmanager
    def started(self) -> Iterator[None]:
        """Have it while the context lasts, from when its probes let requests in."""
        file = self._node / "pod.yaml"
        file.write_text(yaml.safe_dump_all(self.objects(), allow_unicode=True), encoding="utf-8")
        try:
            self._containers.podman("play", "kube", "--network=host", file)
            for probe in PROBES:
                self._await(probe)
            yield
        finally:
            self._containers.podman("pod", "rm", "--force", "--time=0", "--ignore", self.name)

    def objects(self) -> list[dict[str, Any]]:
        """Return what podman is given."""
        pod = copy.deepcopy(self._manifests.pod)
        spec = pod["spec"]
        spec["volumes"] = [
            *(self._projected(one) for one in spec["volumes"]),
            *(self._claimed(one) for one in self._claim_templates()),
        ]
        for container in spec["containers"]:
            for left_out in (*PROBES, "lifecycle", "ports"):
                container.pop(left_out, None)
        metadata = {"name": self.name, "labels": pod["metadata"]["labels"]}
        return [
            *self._manifests.of("ConfigMap"),
            *self._claims_to_make(),
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        ]

    def _claim_templates(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._manifests.workload["spec"].get(
            "volumeClaimTemplates", []
        )
        return found

    def _claims_to_make(self) -> list[dict[str, Any]]:
        """Return those that no Pod of before has left behind."""
        there = self._containers.podman("volume", "ls", "--quiet").split()
        claims = map(self._claim, self._claim_templates())
        return [one for one in claims if one["metadata"]["name"] not in there]

    def _claim(self, template: Mapping[str, Any]) -> dict[str, Any]:
        name = f"{template['metadata']['name']}-{self.name}"
        return {**template, "metadata": template["metadata"] | {"name": name}}

    def _claimed(self, template: Mapping[str, Any]) -> dict[str, Any]:
        claim = self._claim(template)["metadata"]["name"]
        return {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim},
        }

    def _projected(self, volume: dict[str, Any]) -> dict[str, Any]:
        if "secret" not in volume:
            return volume
        files, mode = self._manifests.files_of(volume["name"]), volume["secret"]["defaultMode"]
        self._write(self._node / volume["name"], files, mode)
        return self._on_node(volume)

    def _on_node(self, volume: Mapping[str, Any]) -> dict[str, Any]:
        path = str(self._node / volume["name"])
        return {"name": volume["name"], "hostPath": {"path": path, "type": "Directory"}}

    def update(self, manifests: Manifests) -> None:
        """Bring its Secrets up to date while it runs."""
        self._manifests = manifests
        for volume in manifests.pod["spec"]["volumes"]:
            self._projected(volume)

    def _write(self, folder: Path, files: Mapping[str, str], mode: int) -> None:
        """Write the files beside those of before, and swap one symbolic link.

        Source: https://github.com/kubernetes/kubernetes, pkg/volume/util/atomic_writer.go
        """
        group = self._manifests.pod["spec"]["securityContext"]["fsGroup"]
        folder.mkdir(exist_ok=True)
        content = Path(tempfile.mkdtemp(prefix="..2026_11_23_", dir=folder))
        content.chmod(0o755)
        for name, text in files.items():
            file = content / name
            file.write_text(text, encoding="utf-8")
            file.chmod(mode)
            os.chown(file, 0, group)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        (folder / "..data_tmp").symlink_to(content.name)
        (folder / "..data_tmp").rename(folder / "..data")

    # --- what the kubelet does while it runs ---

    def _await(self, name: str) -> None:
        """Wait for a probe as long as Kubernetes would."""
        probe = self._manifests.container[name]
        get = probe["httpGet"]
        (port,) = (
            one["containerPort"]
            for one in self._manifests.container["ports"]
            if one["name"] == get["port"]
        )
        patience = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        until(
            lambda: answers(get["path"], probe.get("timeoutSeconds", 1), port),
            f"the {name}",
            self.container.log,
            patience=patience,
        )

    def helm_test(self) -> int:
        """Run the Pod of `helm test`, and return its exit code."""
        pod = copy.deepcopy(self._manifests.one("Pod"))
        spec, name = pod["spec"], pod["metadata"]["name"]
        (container,) = spec["containers"]
        container["command"][-1] = URL  # in place of the Service's
        spec["volumes"] = [self._on_node(one) for one in spec["volumes"]]
        file = self._node / "test.yaml"
        file.write_text(yaml.safe_dump(pod, allow_unicode=True), encoding="utf-8")
        try:
            self._containers.podman("play", "kube", "--network=host", file)
            return int(self._containers.podman("wait", f"{name}-{container['name']}"))
        finally:
            self._containers.podman("pod", "rm", "--force", "--time=0", "--ignore", name)

    def stop(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Stop it as Kubernetes does, in its grace period; do something while it still serves."""
        grace = self._manifests.pod["spec"]["terminationGracePeriodSeconds"]
        end = time.monotonic() + grace
        with ThreadPoolExecutor(max_workers=1) as kubelet:
            hook = kubelet.submit(self._before_stop)
            meanwhile()
            hook.result()
        assert self.container.stop(end - time.monotonic()) == 0, self.container.log()

    def _before_stop(self) -> None:
        if hook := self._manifests.container.get("lifecycle", {}).get("preStop"):
            self.container.inside(*hook["exec"]["command"])
