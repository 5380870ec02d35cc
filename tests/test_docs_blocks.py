"""Every example of the documents works: files load, commands exist and print what is shown.

How a block says what it is stands in `doc_blocks`; a console block is a command with what it really
prints.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from console_world import printed
from doc_blocks import CHANGED, ROOT, WHOLE, Block, blocks, document, named, routes_at

from adapter.authentication import Accepted, authenticate
from adapter.cli.demo_story import STORY
from adapter.cli.main import cli
from adapter.config.coverage import coverage_problems
from adapter.config.environment import inbound_credentials, settings
from adapter.config.load import load, load_file

READMES = ("README.md", "README.zh-CN.md")
TWINS = [("docs/on-call.md", "docs/on-call.zh-CN.md")]
SCHEMA_FILE = "routes.schema.json"
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


# --- files ---------------------------------------------------------------------------------------


def test_every_yaml_block_says_which_file_it_is() -> None:
    known = {
        WHOLE,
        CHANGED,
        "alertmanager.yml",
        "grafana/provisioning/alerting/phone.yaml",
        f"yaml-language-server: $schema={SCHEMA_FILE}",
    }

    assert {block.kind for block in blocks() if block.language == "yaml"} == known


@pytest.mark.parametrize(
    "block", [*named(language="yaml", kind=WHOLE), *named(language="yaml", kind=CHANGED)]
)
def test_every_routes_yaml_in_the_documents_is_good(block: Block) -> None:
    """It loads, without a warning, and somebody is on call at every time of the coming month."""
    policy = load(routes_at(block.document, block.line), block.document)

    assert policy.warnings == ()
    assert coverage_problems(policy, NOW) == ()


def test_a_change_replaces_what_has_its_name_and_keeps_the_rest() -> None:
    shown = [block for block in blocks("docs/on-call.md") if block.kind in (WHOLE, CHANGED)]

    policy = load(routes_at("docs/on-call.md", shown[-1].line))

    assert set(policy.people) == {"alice", "bob", "carol"}  # since the first step, and later ones
    assert set(policy.receivers) == {"sre-phone", "dba-phone"}
    assert policy.receivers["sre-phone"].repeat == 1  # from the middle of the document
    assert set(policy.voice_templates) == {"outage", "outage-night"}


def test_the_routes_yaml_in_the_repository_is_good() -> None:
    policy = load_file(ROOT / "routes.yaml")

    assert policy.warnings == ()
    assert coverage_problems(policy, NOW) == ()


def test_the_line_for_editors_leads_to_the_schema_in_the_repository() -> None:
    (line,) = {block.text for block in blocks() if "yaml-language-server" in block.kind}

    assert line.strip() == document("routes.yaml").splitlines()[0]
    assert (ROOT / SCHEMA_FILE).is_file()


@pytest.mark.parametrize(("english", "chinese"), TWINS)
def test_a_translation_shows_the_same_examples(english: str, chinese: str) -> None:
    """Comments are translated."""

    def examples(name: str) -> list[Any]:
        return [
            yaml.safe_load(block.text) if block.language == "yaml" else _commands_in(block)
            for block in blocks(name)
        ]

    assert examples(chinese) == examples(english)


@pytest.mark.parametrize("block", named(language="yaml", kind="alertmanager.yml"))
def test_a_real_amtool_takes_every_alertmanager_yml(block: Block, tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no amtool: apt-get install prometheus-alertmanager")
    file = tmp_path / "alertmanager.yml"
    file.write_text(block.text, encoding="utf-8")

    checked = subprocess.run([amtool, "check-config", file], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("block", named(language="yaml", kind="alertmanager.yml"))
def test_alertmanager_posts_to_a_path_that_exists_and_sends_resolved(block: Block) -> None:
    receivers = yaml.safe_load(block.text)["receivers"]
    (hook,) = next(r["webhook_configs"] for r in receivers if "webhook_configs" in r)

    assert hook["url"].endswith("/v1/alertmanager")
    assert hook["send_resolved"] is True
    assert hook["max_alerts"] == 0


@pytest.mark.parametrize(
    "block", named(language="yaml", kind="grafana/provisioning/alerting/phone.yaml")
)
def test_what_grafana_sends_by_its_snippet_is_let_in(block: Block) -> None:
    """The secret comes from a variable that the snippet and our settings both name."""
    (point,) = yaml.safe_load(block.text)["contactPoints"]
    given, body = point["receivers"][0]["settings"], b'{"alerts": []}'
    environ, headers = _signed(given, body) if "hmacConfig" in given else _bearer(given)

    verdict = authenticate(inbound_credentials(settings(environ)), headers, body, NOW)

    assert isinstance(verdict, Accepted)
    assert given["url"].endswith("/v1/grafana")


def _bearer(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return our environment and Grafana's headers."""
    variable = given["authorization_credentials"].removeprefix("$")
    return {variable: "s3cret"}, {"Authorization": f"{given['authorization_scheme']} s3cret"}


def _signed(given: Mapping[str, Any], body: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Return our environment and Grafana's headers."""
    signing, at = given["hmacConfig"], str(int(NOW.timestamp()))
    signature = hmac.new(b"s3cret", f"{at}:".encode() + body, hashlib.sha256).hexdigest()
    environ = {
        signing["secret"].removeprefix("$"): "s3cret",
        "UVMS_WEBHOOK_HMAC_TIMESTAMP_HEADER": signing["timestampHeader"],
    }
    return environ, {signing["header"]: signature, signing["timestampHeader"]: at}


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", named(language="console"))
def test_a_console_block_is_what_the_command_prints(block: Block, tmp_path: Path) -> None:
    """In Shanghai's time zone. A line of `…` ends what is shown of a longer output."""
    command, _, expected = block.text.partition("\n")
    shown, cut, _ = expected.partition("…\n")
    shown = shown.strip()
    assert command.startswith("$ uvms-adapter ")

    stdout, stderr = printed(block, tmp_path)

    lines = "\n".join(line.rstrip() for line in stdout.splitlines()).strip()
    assert (lines[: len(shown)] if cut else lines) == shown, stderr


def _commands_in(block: Block) -> list[str]:
    """Return the block's lines without comments."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in block.text.splitlines())
    return [line for line in lines if line]


def _our_commands() -> Iterator[Any]:
    for block in blocks():
        for line in _commands_in(block) if block.language in ("sh", "console") else ():
            words = shlex.split(line.removeprefix("$ ")) if "uvms-adapter " in line else []
            if words[:1] == ["uvms-adapter"]:
                yield pytest.param(words[1:], id=f"{block.document}: {shlex.join(words)}")


@pytest.mark.parametrize("words", [*_our_commands()])
def test_every_command_that_is_shown_is_understood(words: list[str]) -> None:
    _parse(cli, words)


def _parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line down to its last command, and run nothing."""
    # With the settings of the whole program: a command keeps the help option of its first parse.
    settings = cli.context_settings
    with command.make_context("uvms-adapter", list(words), **settings) as context:
        if not isinstance(command, click.Group):
            return
        rest = [*context._protected_args, *context.args]
        _, found, left = command.resolve_command(context, rest)
    assert found is not None, words
    _parse(found, left)


@pytest.mark.parametrize("name", READMES)
def test_the_demo_tells_what_the_document_says_it_does(name: str) -> None:
    (shown,) = (block.text for block in blocks(name) if block.text.startswith("1. "))

    for number, step in enumerate(STORY, start=1):
        if f"\n{number}. " in f"\n{shown}":
            assert f"{number}. {step.title}\n" in shown
            assert re.search(f"so +{re.escape(step.note)}\n", shown)
    said = {f"{person}: {words}" for step in STORY for person, words in step.rings.items()}
    assert set(re.findall(r"^   rang +(.+)$", shown, re.MULTILINE)) <= said | {"nobody"}
