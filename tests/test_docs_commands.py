"""Every command of the operations manual does what is said of it, beside a real running service.

The commands are taken from the document: fenced blocks, and code within the text that begins with a
program or with one of our own commands. What no row here and no other test runs is found.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import sizing
from doc_blocks import ROOT, blocks, document, without_fences
from process_harness import (
    API_TOKEN,
    PUBLIC_KEY,
    WEBHOOK_TOKEN,
    Program,
    Service,
    Vendor,
    firing,
    http_client,
    new_number,
    simulated_vendor,
    until,
    webhook,
)
from test_alertmanager import alertmanager, binary
from test_docs_store_commands import SECTIONS as OF_THE_STORE

from adapter.cli.main import cli

__all__ = ["binary"]  # a fixture

MANUAL = "docs/operations.md"
PROGRAMS = (
    *("uvms-adapter", "amtool", "apt-get", "buildah", "cp", "createdb", "curl", "cyclonedx-py"),
    *("docker", "dropdb", "git", "helm", "journalctl", "kill", "kubectl", "make", "mkdir", "mv"),
    *("pg_dump", "pg_restore", "pip", "podman", "promtool", "psql", "python", "rm", "sqlite3"),
    *("syft", "systemctl", "vacuumdb", ".venv/bin/python", "PYTHONPATH=tests"),
    *("DELETE", "GET", "POST", "PUT"),
)


# --- the commands of the manual ------------------------------------------------------------------


def in_blocks() -> Iterator[str]:
    """Return the commands of fenced blocks, but for those about the store."""
    text = document(MANUAL).splitlines()
    for block in blocks(MANUAL):
        above = [line for line in text[: block.line] if re.match("#{2,3} ", line)]
        if block.language == "sh" and above[-1].lstrip("# ") not in OF_THE_STORE:
            for line in block.text.replace("\\\n", " ").splitlines():
                if command := re.sub(r"(^|\s+)#.*", "", line):
                    yield " ".join(command.split())


def in_text() -> Iterator[str]:
    """Return the commands between backticks; ours also where the program is not named."""
    for code in re.findall(r"`([^`\n]+)`", without_fences(document(MANUAL))):
        if code.split()[0] in PROGRAMS and " " in code:
            yield code
        elif is_ours(code):
            yield f"uvms-adapter {code}"


def is_ours(code: str) -> bool:
    """Tell whether words are one of our commands; `call attempted` is none, but a log line."""
    try:
        command, rest = path_of(shlex.split(code))
        if command is cli or isinstance(command, click.Group):
            return False
        if rest:
            command.make_context("uvms-adapter", list(rest), **cli.context_settings).close()
    except (ValueError, click.ClickException):
        return False
    return True


def path_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that the first words lead to, and what is left of them."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            break
        command, words = found, words[1:]
    return command, words


# --- what runs them ------------------------------------------------------------------------------


class Try(NamedTuple):
    """A command of the manual, and what shows that it does what is said of it."""

    says: str  # a pattern in what it prints
    run: str = ""  # in place of what the manual has
    then: Callable[[Place], bool] = lambda _: True  # comes true


TRIED: Mapping[str, Try] = {
    "curl -s http://127.0.0.1:8080/-/ready": Try("^OK$"),
    "uvms-adapter pages list": Try("DiskFull|sre-phone"),
    "uvms-adapter explain alertname=DiskFull": Try("alice"),
    "uvms-adapter explain alertname=HeartbeatMissing": Try("alice"),
    "uvms-adapter explain PAGE": Try("alice"),
    "uvms-adapter oncall": Try("primary"),
    "uvms-adapter calls list": Try("accepted"),
    "uvms-adapter calls explain ID": Try("ReqUuid|req_uuid"),
    "uvms-adapter rejected list": Try("alertmanager"),
    "uvms-adapter rejected show": Try("not a notification", run="uvms-adapter rejected show 1"),
    "uvms-adapter routes test alertname=X severity=critical": Try("alice"),
    "uvms-adapter pages acknowledge ID": Try(
        "", then=lambda place: bool(place.page("DiskFull")["acknowledged_at"])
    ),
    "uvms-adapter override add primary --person bob --for 8h": Try(
        "bob", then=lambda place: "bob" in place.run("uvms-adapter oncall")
    ),
    "uvms-adapter calls retry ID": Try("", then=lambda place: place.refused_is_made()),
    "uvms-adapter call --to PERSON": Try("accepted"),
    # It asks whether to begin, and would let two minutes pass from one call to the next.
    "uvms-adapter drill primary --receiver sre-phone --watch": Try(
        "alice .*answered",
        run="uvms-adapter drill primary --receiver sre-phone --watch --every 1s <<< y",
    ),
    "uvms-adapter check-config routes.yaml": Try("SUCCESS|routes.yaml"),
    "uvms-adapter store check": Try("(?i)sqlite"),
    "uvms-adapter store migrate": Try("has schema"),
    "kubectl exec uvms-adapter-0 -- uvms-adapter pages list": Try("sre-phone"),
    "kubectl exec uvms-adapter-0 -- uvms-adapter store export - > uvms-adapter.jsonl": Try(
        "", then=lambda place: place.exported()
    ),
    "kill -HUP": Try("", then=lambda place: place.reloaded(2)),
    "POST /-/reload": Try(
        "",
        run=f"curl -sf -X POST -H 'Authorization: Bearer {API_TOKEN}' URL/-/reload",
        then=lambda place: place.reloaded(2),
    ),
}

# What cannot run beside a service, and the test that runs it.
ELSEWHERE = {
    "amtool alert query alertname=Watchdog": "test_docs_commands.py::test_amtool_lists_what_fires",
    "kill -9": "test_process_kill.py::test_killed_at_a_step",
    "PYTHONPATH=tests .venv/bin/python -m sizing": "test_docs_commands.py::test_the_sizing_script",
    "docker buildx build": "test_image.py::test_the_image_says_what_it_is",
    "docker run": "test_image.py::test_the_image_runs_as_the_manual_says",
    "pip install cyclonedx-bom": "test_image.py::test_the_list_of_packages_is_what_the_image_has",
    "cyclonedx-py requirements": "test_image.py::test_the_list_of_packages_is_what_the_image_has",
}


def runs(command: str) -> bool:
    return command in TRIED or any(command.startswith(known) for known in ELSEWHERE)


def is_a_name(command: str) -> bool:
    """Tell whether only the name of a command that is run stands there, without its arguments."""
    words = command.split()
    return words[0] == "uvms-adapter" and any(
        known.split()[: len(words)] == words for known in TRIED if known != command
    )


@pytest.mark.parametrize("command", sorted({*in_blocks()}))
def test_every_command_of_a_block_is_run(command: str) -> None:
    assert runs(command), f"give it a row in {Path(__file__).name}"


@pytest.mark.parametrize("command", sorted({*in_text()}))
def test_every_command_in_the_text_is_run(command: str) -> None:
    assert runs(command) or is_a_name(command), f"give it a row in {Path(__file__).name}"


def test_every_row_is_about_a_command_that_the_manual_has() -> None:
    there = [*in_blocks(), *in_text()]
    assert {known for known in TRIED if known not in there} == set()
    missing = {known for known in ELSEWHERE if not any(c.startswith(known) for c in there)}
    assert missing == set()


@pytest.mark.parametrize("place", ELSEWHERE.values())
def test_what_is_run_elsewhere_has_its_test(place: str) -> None:
    file, _, test = place.partition("::")
    assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("code", "expected"),
    {
        "a command of ours": ("calls explain ID", True),
        "its name alone": ("calls explain", True),
        "a log line that begins like one": ("call attempted", False),
        "another": ("calls wait for the hours of their voice template", False),
        "a word": ("limited", False),
    }.values(),
)
def test_what_counts_as_a_command_of_ours(code: str, expected: bool) -> None:
    assert is_ours(code) is expected


# --- the service beside which they run -----------------------------------------------------------


class Place:
    """A machine with a service in the middle of a night."""

    def __init__(self, service: Service, program: Program) -> None:
        self.service, self._program = service, program

    def run(self, command: str) -> str:
        """Run it in a shell, where the service has its routes.yaml; it must succeed."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("UVMS_")}
        store = {"UVMS_DATABASE_URL": self.service.environ()["UVMS_DATABASE_URL"]}
        path = f"{Path(sys.executable).parent}:{plain['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._here(command)],
            env=plain | store | {"PATH": path, "COLUMNS": "200", "NO_PROXY": "127.0.0.1"},
            cwd=self.service.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _here(self, command: str) -> str:
        """Name what is here in place of the manual's words."""
        command = re.sub("^kubectl exec uvms-adapter-0 -- ", "", command)
        command = re.sub("^kill -HUP$", f"kill -HUP {self._program._process.pid}", command)
        command = command.replace("http://127.0.0.1:8080", self.service.url)
        command = command.replace("URL/", f"{self.service.url}/")
        page, refused = self.page("DiskFull")["id"], self.refused()["id"]
        for wanted, value in {
            r"pages acknowledge ID\b": f"pages acknowledge {page}",
            r"calls (retry|explain) ID\b": rf"calls \1 {refused}",
            r"\bPAGE\b": page,
            r"\bPERSON\b": "alice",
        }.items():
            command = re.sub(wanted, value, command)
        return command

    def _get(self, path: str) -> Any:
        with http_client(self.service.url, API_TOKEN) as client:
            return client.get(path).raise_for_status().json()

    def page(self, alertname: str) -> dict[str, Any]:
        pages: list[dict[str, Any]] = self._get("/api/v1/pages")["pages"]
        return next(each for each in pages if alertname in json.dumps(each))

    def refused(self) -> dict[str, Any]:
        """Return bob's call, which the vendor refused once."""
        return next(each for each in self.service.calls() if each["person"] == "bob")

    def refused_is_made(self) -> bool:
        return bool(self.refused()["state"] == "accepted")

    def exported(self) -> bool:
        lines = (self.service.folder / "uvms-adapter.jsonl").read_text(encoding="utf-8")
        return len([json.loads(line) for line in lines.splitlines()]) > 1

    def reloaded(self, times: int) -> bool:
        return len(self._program.events("loaded configuration file")) >= times


def routes() -> dict[str, Any]:
    """Return a routes.yaml in which everything is that the manual's commands name."""
    rotation = {"people": ["alice"], "start": "2026-11-02T10:00", "every": "1w"}
    return {
        "people": {"alice": {"phone": new_number()}, "bob": {"phone": new_number()}},
        "schedules": {"primary": {"time_zone": "Asia/Shanghai", "rotations": [rotation]}},
        "receivers": [
            {"name": "sre-phone", "voice_template": "outage", "call": ["primary"]},
            {"name": "bobs-phone", "voice_template": "outage", "call": ["bob"]},
        ],
        "route": {
            "receiver": "sre-phone",
            "group_by": ["alertname"],
            "routes": [{"receiver": "bobs-phone", "matchers": ["alertname=Refused"]}],
        },
        "limits": {"per_person": {"min_interval": "0s"}},
        "receipts": {"poll_interval": "1s"},
    }


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as started:
        yield started


@contextmanager
def in_the_middle_of_a_night(vendor: Vendor, folder: Path) -> Iterator[Place]:
    """Two people were rung, one call was refused, one body was not understood."""
    tree = routes()
    vendor.arm(kind="refuse", number=tree["people"]["bob"]["phone"], ret_code=230, times=1)
    service = Service(folder, vendor, tree)
    with service.serving() as program:
        for name in ("DiskFull", "HeartbeatMissing", "Refused"):
            service.post(webhook(firing(name))).raise_for_status()
        assert service.post({"alerts": "not a notification"}).status_code == 422
        until(service.nothing_open, "every call is made", program.tail)
        yield Place(service, program)


@pytest.fixture(scope="module")
def place(vendor: Vendor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with in_the_middle_of_a_night(vendor, tmp_path_factory.mktemp("night")) as found:
        yield found


@pytest.mark.process
@pytest.mark.parametrize("command", TRIED)
def test_a_command_does_what_is_said_of_it(place: Place, command: str) -> None:
    tried = TRIED[command]

    said = place.run(tried.run or command)

    assert re.search(tried.says, said, re.MULTILINE), said
    until(lambda: tried.then(place), f"what {command} is for")
    assert PUBLIC_KEY not in said
    assert WEBHOOK_TOKEN not in said


# --- with others ---------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.alertmanager
def test_amtool_lists_what_fires(binary: str, tmp_path: Path) -> None:
    """`--silenced --inhibited`, of which the manual speaks, are taken too."""
    [command] = {each for each in in_text() if each.startswith("amtool ")}
    with alertmanager(binary, tmp_path / "am", "http://127.0.0.1:9") as am:
        am.fire("Watchdog")
        for more in ([], ["--silenced", "--inhibited"]):
            words = [*shlex.split(command), *more, f"--alertmanager.url={am.url}"]
            listed = subprocess.run(words, capture_output=True, text=True)
            assert listed.returncode == 0, listed.stderr
            assert ("Watchdog" in listed.stdout) is not more


@pytest.mark.process
def test_the_sizing_script(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run of it; what is stored hardly depends on the machine, and the manual has it."""
    sizing.main(["--webhooks=20", "--storm=50", "--seconds=0.1"])

    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert set(rows) == {*sizing.Measured.__struct_fields__}
    [said] = re.findall(r"^\| stored of an alert.*", document(MANUAL), re.MULTILINE)
    for found, written in zip(rows["kb_of_alert"], re.findall(r"([\d.]+) kB", said), strict=True):
        assert 0.5 < float(found) / float(written) < 2, f"{found}, the manual: {said}"
