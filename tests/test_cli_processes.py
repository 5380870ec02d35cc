"""`serve`, `simulator` and `demo` as the processes they are."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from cli_world import NUMBERS, ROUTES
from databases import url_in
from msgspec.structs import replace
from rich.cells import cell_len

from adapter.cli.demo import play
from adapter.cli.demo_service import DemoFailed
from adapter.cli.demo_story import STORY
from adapter.cli.main import run
from adapter.store.store import open_store

pytestmark = pytest.mark.process

PROGRAM = [sys.executable, "-m", "adapter"]
NUMBERS_OF_THE_DEMO = re.compile(r"135?123456[78]")


def environ(**more: str) -> dict[str, str]:
    """Return an environment with no settings of ours but these."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("UVMS_")}
    return plain | {"COLUMNS": "80", "NO_PROXY": "127.0.0.1"} | more


@contextmanager
def started(*args: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command beside us, killed at the end if it still runs."""
    process = subprocess.Popen(
        [*PROGRAM, *args],
        env=environ(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(60, process.kill)
    guard.start()
    try:
        yield process
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


def serving_url(process: subprocess.Popen[str]) -> str:
    """Return the URL that the service's log names."""
    assert process.stderr is not None
    for line in process.stderr:
        entry = json.loads(line)
        if entry["event"] == "serving":
            return entry["url"]
    raise AssertionError("it did not start")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return str(tmp_path / "routes.yaml")


@pytest.mark.usefixtures("database")
def test_serve_takes_webhooks_makes_a_test_call_and_stops_in_time(config, tmp_path):
    database = url_in(tmp_path)
    args = ["--config", config, "--listen", "127.0.0.1:0", "--database", database]
    flags = ["--simulate", "--insecure-no-auth", "--stop-within", "5s", "--log-format", "json"]
    with started("serve", *args, *flags) as process:
        url = serving_url(process)
        assert httpx.get(f"{url}/-/healthy", trust_env=False).text == "OK"
        called = subprocess.run(
            [*PROGRAM, "call", "--to", "bob", "--config", config, "--database", database],
            env=environ(),
            capture_output=True,
            text=True,
        )
        assert (called.returncode, called.stderr) == (0, "")
        assert "state     accepted" in called.stdout
        process.send_signal(signal.SIGTERM)
        out, log = process.communicate(timeout=20)
        assert process.returncode == 0
        assert out == ""
        assert json.loads(log.splitlines()[-1])["event"] == "stopped"
        assert not [number for number in NUMBERS if number[3:] in log]


@pytest.mark.usefixtures("database")
def test_an_interrupted_test_call_is_withdrawn(config, tmp_path):
    database = url_in(tmp_path)
    open_store(database, exclusive=True).close()
    with started(*("call", "--to", "bob", "--config", config, "--database", database)) as process:
        assert process.stdout is not None
        assert next(process.stdout).startswith("calling bob ")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert (process.returncode, told.strip()) == (130, "")
    store = open_store(database)
    (made,) = store.read_now(lambda session: session.find_calls(limit=9))
    store.close()
    assert (made.state, made.note) == ("cancelled", "a test call that was interrupted")


def test_serve_with_a_token_from_the_environment(config, tmp_path):
    with started(
        *("serve", "--config", config, "--simulate", "--listen", "127.0.0.1:0"),
        UVMS_WEBHOOK_TOKEN="let me in",
        UVMS_DATABASE_URL=f"sqlite:///{tmp_path}/b.db",
    ) as process:
        url = serving_url(process)
        body = {"alerts": []}
        wrong = httpx.post(f"{url}/v1/alertmanager", json=body, trust_env=False)
        right = httpx.post(
            f"{url}/v1/alertmanager",
            json=body,
            headers={"Authorization": "Bearer let me in"},
            trust_env=False,
        )
    assert (wrong.status_code, right.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("args", "more", "error"),
    [
        pytest.param(
            ["--simulate"], {}, "nobody could post a webhook: set UVMS_WEBHOOK_TOKEN", id="open"
        ),
        pytest.param(
            ["--insecure-no-auth"], {}, "no phone could ring: set UVMS_PUBLIC_KEY", id="keys"
        ),
        pytest.param(
            ["--simulate", "--insecure-no-auth", "--config", "none.yaml"],
            {},
            "none.yaml: found no file to read, expected a YAML file",
            id="no routes.yaml",
        ),
        pytest.param(
            ["--simulate", "--insecure-no-auth", "--listen", "192.0.2.1:1"],
            {},
            "Cannot assign requested address",
            id="not our address",
        ),
        pytest.param(
            ["--simulate", "--insecure-no-auth", "--database", "sqlite:////proc/none/a.db"],
            {},
            "cannot write /proc/none",
            id="no place for the store",
        ),
        pytest.param(
            ["--simulate", "--insecure-no-auth"],
            {"UVMS_LOG_LEVEL": "loud", "UVMS_MAX_BODY_BYTES": "lots"},
            'UVMS_LOG_LEVEL: found "loud", expected debug, info, warning or error',
            id="settings",
        ),
        pytest.param(
            ["--simulate", "--insecure-no-auth", "--tls-cert-file", __file__],
            {},
            "",
            id="no certificate",
        ),
    ],
)
def test_serve_tells_why_it_cannot_start(config, tmp_path, args, more, error):
    base = [
        "--config",
        config,
        "--listen",
        "127.0.0.1:0",
        "--database",
        f"sqlite:///{tmp_path}/c.db",
    ]
    found = subprocess.run(
        [*PROGRAM, "serve", *base, *args], env=environ(**more), capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (1, "")
    told = [line for line in found.stderr.splitlines() if not line.startswith("{")]
    assert told
    assert all(line.startswith("uvms-adapter: error: ") for line in told), found.stderr
    assert error in told[0]


def test_settings_that_do_not_exist_are_warned_of(config, tmp_path):
    with started(
        *("serve", "--config", config, "--simulate", "--insecure-no-auth"),
        *("--listen", "127.0.0.1:0", "--database", f"sqlite:///{tmp_path}/d.db"),
        UVMS_WEBHOOK_TOKENS="x",
    ) as process:
        assert process.stderr is not None
        first = json.loads(next(process.stderr))
    assert first["warning"].startswith("UVMS_WEBHOOK_TOKENS is set, but there is no such setting")


# --- simulator ---------------------------------------------------------------------------------


def test_the_simulator_prints_its_url_first_and_logs_calls(config, tmp_path):
    log = tmp_path / "calls.jsonl"
    with started(
        *("simulator", "--listen", "127.0.0.1:0", "--config", config, "--log", str(log)),
        *("--template", "UVVT9=Hello {1}.", "--receipt-url", "http://127.0.0.1:9/receipts"),
    ) as process:
        assert process.stdout is not None
        url = next(process.stdout).strip()
        templates = httpx.get(f"{url}/_simulator/templates", trust_env=False).json()
        assert {each["id"] for each in templates} == {
            "UVVT20221122ABCD",
            "UVVT20221122OVER",
            "UVVT9",
        }
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert "WARNING" not in told
    assert "Traceback" not in told


def test_the_simulator_warns_of_listening_to_the_world():
    with started("simulator", "--listen", "0.0.0.0:0") as process:
        assert process.stderr is not None
        assert next(process.stderr).startswith("WARNING: its commands need no credentials")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--template", "UVVT1"], "--template 'UVVT1': write ID=TEXT, such as UVVT1={1} down"),
        (["--listen", "192.0.2.1:1"], "Cannot assign requested address"),
        (["--config", "none.yaml"], "none.yaml: found no file to read"),
    ],
)
def test_the_simulator_tells_why_it_cannot_start(capsys, args, error):
    assert run(["simulator", *args]) == 1
    assert error in capsys.readouterr().err


# --- demo ----------------------------------------------------------------------------------------


def test_the_demo_tells_its_story_within_80_columns_and_leaves_nothing_behind(tmp_path):
    found = subprocess.run(
        [*PROGRAM, "demo"],
        env=environ(TMPDIR=str(tmp_path)),
        capture_output=True,
        cwd=tmp_path,
        text=True,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    lines = found.stdout.splitlines()
    assert lines[-1] == "Everything went as it should."
    assert [line for line in lines if re.match("[0-9]+\\. ", line)] == [
        f"{number}. {step.title}" for number, step in enumerate(STORY, start=1)
    ]
    assert max(map(cell_len, lines)) <= 80
    assert not NUMBERS_OF_THE_DEMO.search(found.stdout)
    for word in ("duplicate", "new_alerts", "no_receiver", "muted", "resolved", "stale", "refused"):
        assert word in found.stdout


def test_a_demo_that_goes_otherwise_fails(capsys):
    otherwise = replace(STORY[3], rings={"alice": "hello"}, reasons={"first": 1})
    with pytest.raises(DemoFailed) as failed:
        asyncio.run(play([otherwise]))
    assert str(failed.value).splitlines() == [
        "reasons: expected {'first': 1}, found {'no_receiver': 1}",
        "calls: expected ['alice'], found []",
    ]


def test_a_demo_that_says_other_words_fails(capsys):
    otherwise = replace(STORY[0], rings={"alice": "hello", "bob": "hello"})
    with pytest.raises(DemoFailed, match="words: expected 'hello', found 'shanghai-1告警，"):
        asyncio.run(play([otherwise]))


def test_a_demo_whose_service_does_not_start_exits_1(monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert run(["demo"]) == 1
    # asyncio may have said before that somebody else has seen the child end
    assert capsys.readouterr().err.endswith("uvms-adapter: error: the service did not start:\n")
