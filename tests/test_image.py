"""The image itself, built on a base made here and run: `pytest -m image`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from image_running import RESTRICTED, USER, Container, answers, post, routes
from image_tools import IMAGE, Containers
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
