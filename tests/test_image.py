"""The image itself, built on a base made here and run: `pytest -m image`."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from image_running import RESTRICTED, USER, Container, answers, post, routes
from image_tools import IMAGE, ROOT, Containers, as_in_the_manual
from process_harness import (
    PRIVATE_KEY,
    PUBLIC_KEY,
    WEBHOOK_TOKEN,
    new_number,
    simulated_vendor,
    until,
)

from adapter import __version__

pytest_plugins = ["image_fixtures"]
pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]

GRACE_SECONDS = 35  # of the chart
MANUAL = ROOT / "docs" / "operations.md"
# The host's network has nothing to publish: podman refuses to, and the port is open already.
PUBLISHED = "--publish=8080:8080"
CYCLONEDX = "cyclonedx-bom==7.5.0"
INSTALLED = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
EXTRAS = "holidays, icalendar, psycopg.pq, recurring_ical_events"  # routes.yaml may ask for any


@pytest.fixture
def container(containers: Containers, tmp_path: Path) -> Iterator[Container]:
    """A container as the chart has it, but not started: it listens as the image does by default."""
    config = tmp_path / "config"
    config.mkdir()
    name = f"uvms-adapter-{os.getpid()}"
    secrets = {"PUBLIC_KEY": PUBLIC_KEY, "PRIVATE_KEY": PRIVATE_KEY, "WEBHOOK_TOKEN": WEBHOOK_TOKEN}
    containers.podman(
        *("create", f"--name={name}", "--network=host", "--read-only", "--read-only-tmpfs=false"),
        *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
        "--volume=/dev/null:/usr/bin/sh:ro",  # nothing may need a shell
        f"--volume={config}:/etc/uvms-adapter:ro",
        *(f"--env=UVMS_{variable}={value}" for variable, value in secrets.items()),
        IMAGE,
    )
    try:
        yield Container(containers, name)
    finally:
        containers.podman("rm", "--force", "--volumes", name)


def test_the_image_rings_phones_and_stops_when_told_to(
    containers: Containers, container: Container, tmp_path: Path
) -> None:
    phone = new_number()
    with simulated_vendor(tmp_path) as vendor:
        text = yaml.safe_dump(routes(vendor, phone), allow_unicode=True)
        (tmp_path / "config" / "routes.yaml").write_text(text, encoding="utf-8")
        containers.podman("start", container.name)
        until(lambda: answers("/-/ready", 5), "it is ready", container.log)

        post("DiskFull")

        until(lambda: vendor.rang(phone), "the phone rings", container.log)
        assert container.privileges() == RESTRICTED
        assert "accepted" in container.inside("uvms-adapter", "calls", "list", "--json")
        container.inside("python", "-c", f"import {EXTRAS}")
        assert container.stop(GRACE_SECONDS) == 0, container.log()
        assert len(vendor.rang(phone)) == 1


def test_the_image_runs_as_the_manual_says(
    containers: Containers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docker run` of the manual with podman, flag for flag, in a folder with a routes.yaml."""
    flags, _ = as_in_the_manual("docker run")
    name, phone = f"uvms-adapter-manual-{os.getpid()}", new_number()
    folder = tmp_path / "here"
    folder.mkdir()
    secrets = {"PUBLIC_KEY": PUBLIC_KEY, "PRIVATE_KEY": PRIVATE_KEY, "WEBHOOK_TOKEN": WEBHOOK_TOKEN}
    for variable, value in secrets.items():
        monkeypatch.setenv(f"UVMS_{variable}", value)
    with simulated_vendor(tmp_path) as vendor:
        text = yaml.safe_dump(routes(vendor, phone), allow_unicode=True)
        (folder / "routes.yaml").write_text(text, encoding="utf-8")
        given = [f"{flag}={value}" if value else flag for flag, value in flags]
        here = [each.replace("$PWD", str(folder)) for each in given if each != PUBLISHED]
        assert len(here) == len(given) - 1
        containers.podman("run", "--detach", f"--name={name}", "--network=host", *here, IMAGE)
        try:
            container = Container(containers, name)
            until(lambda: answers("/-/ready", 5), "it is ready", container.log)
            post("DiskFull")
            until(lambda: vendor.rang(phone), "the phone rings", container.log)
            assert container.privileges()["capabilities"] == 0
            assert container.stop(GRACE_SECONDS) == 0, container.log()
        finally:
            containers.podman("rm", "--force", name)
            containers.podman("volume", "rm", "--force", "uvms-data")


def test_the_list_of_packages_is_what_the_image_has(built: Containers, tmp_path: Path) -> None:
    """The manual's `cyclonedx-py`, installed for this test alone."""
    [command] = [
        line for line in MANUAL.read_text("utf-8").splitlines() if line.startswith("cyclonedx-py ")
    ]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "tool"], check=True)
    tool = tmp_path / "tool" / "bin"
    pip = [tool / "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, CYCLONEDX], check=True)
    listed = tmp_path / "sbom.json"
    words = [str(listed) if word == "sbom.json" else word for word in shlex.split(command)]

    subprocess.run([tool / words[0], *words[1:]], check=True, cwd=ROOT)

    bill = json.loads(listed.read_text(encoding="utf-8"))
    names = {normal(component["name"]) for component in bill["components"]}
    inside = built.podman(
        *("run", "--rm", "--network=host", "--entrypoint=python", IMAGE, "-c", INSTALLED)
    )
    assert {normal(name) for name in inside.split()} - names == {"uvms-adapter"}
    assert bill["metadata"]["component"]["name"] == "uvms-adapter"


def normal(name: str) -> str:
    """Write a package's name as all of its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_says_what_it_is(built: Containers) -> None:
    (image,) = json.loads(built.podman("image", "inspect", IMAGE))

    config = image["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["uvms-adapter"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
        if name.startswith("org.opencontainers.")
    }
    assert labels["title"] == "uvms-adapter"
    assert labels["version"] == __version__
    assert labels["revision"] == "of-this-test"
    assert labels["base.name"] == "localhost/debian-python"
    assert labels["licenses"] == "Apache-2.0"
