"""The built image as a fixture, for the modules that name this plugin in `pytest_plugins`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_tools import Containers, network_of_its_own, obtain


@pytest.fixture(scope="session")
def built() -> Iterator[Containers]:
    """The tools, with the image built: once for all tests."""
    directory = Path(tempfile.mkdtemp(prefix="uvms-"))  # podman takes a short path only
    try:
        containers = obtain(directory)
        containers.build()
        yield containers
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def containers(built: Containers) -> Iterator[Containers]:
    """The same, from now on in a network that nobody else is in."""
    with network_of_its_own():
        yield built
    built.podman("volume", "prune", "--force")
