"""The settings that the service reads in a Pod of the chart, its files being in a directory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from helm_tools import ROOT, Manifests

from adapter.config.environment import Settings, settings

SECRETS_DIRECTORY = "/run/secrets/uvms-adapter"
STORE_DIRECTORY = "/run/secrets/uvms-adapter-store"


def image_environment() -> dict[str, str]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return dict(re.findall(r"^\s+(UVMS_\w+)=(\S+)$", text, re.MULTILINE))


def files_named(manifests: Manifests) -> dict[str, Path]:
    """Return the files that variables name, by variable."""
    return {
        name: Path(value)
        for name, value in manifests.environment.items()
        if name.startswith("UVMS_") and name.endswith("_FILE")
    }


def settings_of(manifests: Manifests, mounted: Mapping[str, str], directory: Path) -> Settings:
    """Read the Pod's environment as the service does, with that of the image behind it."""
    for key, value in mounted.items():
        (directory / key).write_text(value, encoding="utf-8")
    files = {name: str(directory / path.name) for name, path in files_named(manifests).items()}
    given = image_environment() | manifests.environment | files
    return settings({name: value for name, value in given.items() if name.startswith("UVMS_")})
