"""What the Dockerfile promises; `test_image` has the image itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from adapter import __version__
from adapter.cli.main import cli
from adapter.cli.serve import serve
from adapter.model import Record

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "uvms-adapter"


class Instruction(Record):
    """One instruction of a Dockerfile."""

    stage: int  # from 0; -1: before the first
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments of an exec form; of another, its words without options."""
        if self.text.startswith("["):
            return list(json.loads(self.text))
        return [word for word in self.text.split() if not word.startswith("--")]


def instructions() -> Iterator[Instruction]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    without_comments = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    stage = -1
    for line in re.sub(r"\\\n\s*", "", without_comments).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            stage += name == "FROM"
            yield Instruction(stage=stage, name=name, text=rest.strip())


DOCKERFILE = tuple(instructions())
LAST = max(each.stage for each in DOCKERFILE)


def last_stage(name: str) -> Instruction:
    (found,) = (each for each in DOCKERFILE if each.stage == LAST and each.name == name)
    return found


def environment() -> dict[str, str]:
    pairs = re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', last_stage("ENV").text)
    return {name: quoted or plain for name, quoted, plain in pairs}


def values() -> Any:
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def test_hadolint_finds_nothing_to_complain_about() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")

    checked = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_stage_starts_from_the_base_image_that_was_asked_for() -> None:
    bases = [each.words[0] for each in DOCKERFILE if each.name == "FROM"]

    assert bases == ["${PYTHON_IMAGE}"] * 2
    default = next(each.text for each in DOCKERFILE if each.text.startswith("PYTHON_IMAGE="))
    version = re.search(r"python:(3\.\d+)-slim", default)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]


def test_nothing_runs_in_the_last_stage_so_that_it_needs_no_shell() -> None:
    names = {each.name for each in DOCKERFILE if each.stage == LAST}

    assert not names & {"RUN", "SHELL", "HEALTHCHECK"}
    assert last_stage("ENTRYPOINT").text == '["uvms-adapter"]'


def test_it_runs_as_the_user_of_the_chart() -> None:
    context = values()["podSecurityContext"]

    assert last_stage("USER").text == f"{context['runAsUser']}:{context['runAsGroup']}"
    (data,) = (e for e in DOCKERFILE if e.name == "COPY" and e.words[-1] == "/data")
    assert f"--chown={last_stage('USER').text}" in data.text.split()


def test_by_default_it_serves_on_every_interface_and_keeps_its_store_in_data() -> None:
    first, *arguments = last_stage("CMD").words

    assert first == "serve"
    found = serve.make_context("serve", arguments, **cli.context_settings).params
    assert found["listen"] == ("0.0.0.0", int(last_stage("EXPOSE").text))
    assert last_stage("WORKDIR").text == "/etc/uvms-adapter"
    assert environment()["UVMS_DATABASE_URL"] == "sqlite:////data/uvms-adapter.db"
    assert environment()["SQLITE_TMPDIR"] == "/data"
    assert environment()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert last_stage("VOLUME").words == ["/data"]
    assert last_stage("STOPSIGNAL").text == "SIGTERM"


def test_its_label_names_this_version() -> None:
    assert f"VERSION={__version__}" in [each.text for each in DOCKERFILE if each.name == "ARG"]
    labels = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", last_stage("LABEL").text))
    assert labels == {"title", "description", "licenses", "version", "revision", "base.name"}


def test_a_change_of_the_code_does_not_fetch_the_requirements_again() -> None:
    build = [each for each in DOCKERFILE if each.stage == 0]
    fetched = next(i for i, each in enumerate(build) if "--require-hashes" in each.text)
    copied = next(i for i, each in enumerate(build) if "adapter" in each.words[:-1])

    assert fetched < copied
    fetching = re.findall(
        r"pip\S*(?: --python \S+)? (?:install|wheel) ([^&]+)", build[fetched].text
    )
    assert len(fetching) == 2
    assert all("--require-hashes" in options for options in fetching)
    assert "--only-binary :all:" in fetching[1]  # there is no compiler
    assert all("--no-deps" in each.text for each in build[fetched + 1 :] if each.name == "RUN")


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {
        word.removeprefix("./")
        for each in DOCKERFILE
        if each.name == "COPY" and "--from" not in each.text
        for word in each.words[:-1]
    }

    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_what_builds_the_wheel_is_locked_as_it_is_for_developers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {re.split("[<>=]", each)[0] for each in project["build-system"]["requires"]}

    build, dev = pins("requirements-build.txt"), pins("requirements-dev.txt")

    assert wanted <= set(build)
    assert build.items() <= dev.items()


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
