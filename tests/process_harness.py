"""The service and the simulated vendor as processes of their own, and a sender like Alertmanager.

What a test says happened is read from outside: the file in which the simulator writes a line for
each phone that rings, before it answers; the service's log, API and metrics; its exit code.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from databases import url_in
from prometheus_client.parser import text_string_to_metric_families

_T = TypeVar("_T")

COUNTED = "counted"  # a test's property: a row of the table that `conftest` prints

PATIENCE = 40.0  # seconds after which what has not happened will not: for a busy machine
POLL = 0.01

PUBLIC_KEY, PRIVATE_KEY = "public-key-of-these-tests", "private-key-of-these-tests"
WEBHOOK_TOKEN, API_TOKEN = "webhook-token-of-these-tests", "api-token-of-these-tests"
ADAPTER = (sys.executable, "-m", "adapter")

OUTAGE, RECOVERED = "UVVT20221122ABCD", "UVVT20221122EFGH"
TEXTS = {OUTAGE: "{1}告警，共{2}条，请及时处理。", RECOVERED: "{1}告警已恢复，谢谢。"}
VOICE_TEMPLATES = {
    "outage": {
        "id": OUTAGE,
        "text": TEXTS[OUTAGE],
        "params": [
            "{{ alerts | map(attribute='labels.alertname') | sort | join('，') }}",
            "{{ alerts | length }}",
        ],
    },
    "recovered": {
        "id": RECOVERED,
        "text": TEXTS[RECOVERED],
        "params": ["{{ alert.labels.alertname }}"],
    },
}

_numbers = itertools.count(3_500_000_000)


def new_number() -> str:
    """Return a number that nobody has had: tests may share a vendor, and never a phone."""
    return f"+861{next(_numbers)}"


def until(
    condition: Callable[[], _T],
    what: str,
    found: Callable[[], object] = lambda: "",
    *,
    patience: float = PATIENCE,
    poll: float = POLL,
) -> _T:
    """Wait until something is true and return it; fail with what was found instead."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited for: {what}; found: {found()}"
        time.sleep(poll)
    return value


# --- any program -------------------------------------------------------------------------------


class Program:
    """A process in a group of its own, with its output in a file."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where one killed it."""
        return self._process.poll()

    def lines(self) -> list[str]:
        """Return its output so far, but for a line that is not finished."""
        return _whole_lines(self.log)

    def tail(self) -> str:
        return "\n".join(self.lines()[-20:])

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what it has logged as JSON under this name."""
        found = (json.loads(line) for line in self.lines() if line.startswith("{"))
        return [entry for entry in found if entry.get("event") == name]

    def find(self, read: Callable[[str], _T | None]) -> _T:
        """Wait for a line from which `read` makes something."""

        def look() -> _T | None:
            ended = self.exit_code is not None
            for line in self.lines():
                if (value := read(line)) is not None:
                    return value
            assert not ended, f"ended with {self.exit_code}:\n{self.tail()}"
            return None

        return until(look, "a line of output", self.tail)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        until(lambda: self.exit_code is not None, "the process to end", self.tail)
        return self._process.wait()

    def kill(self) -> None:
        """End it and whatever it has started, at once."""
        if self.exit_code is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run a program while the context lasts; nothing of it is left behind."""
    program = Program(command, log, environ)
    try:
        yield program
    finally:
        program.kill()


def _whole_lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0].splitlines()


def http_client(url: str = "", token: str = "", timeout: float = 10) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(
        base_url=url,
        headers=headers,
        timeout=timeout,
        trust_env=False,
        verify=False,  # plain HTTP: no certificates are to be loaded
    )


def samples(url: str) -> dict[str, float]:
    """Return the metrics of a program, labels as `name{label=value}`."""
    with http_client() as client:
        text = client.get(f"{url}/metrics").raise_for_status().text
    return {
        _sample_name(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _sample_name(name: str, labels: Mapping[str, str]) -> str:
    inner = ",".join(f"{label}={labels[label]}" for label in sorted(labels))
    return f"{name}{{{inner}}}" if inner else name


# --- the vendor --------------------------------------------------------------------------------


class Vendor:
    """The simulator as a process that outlives the service."""

    def __init__(self, url: str, log: Path) -> None:
        self.url, self._log = url, log

    def arm(self, **fault: Any) -> Callable[[], int]:
        """Arm a fault; return what tells how often it was applied."""
        with http_client(self.url) as client:
            (armed,) = client.post("/_simulator/faults", json=fault).raise_for_status().json()
        return lambda: self._used(armed["id"])

    def _used(self, fault_id: int) -> int:
        with http_client(self.url) as client:
            rows = client.get("/_simulator/faults").raise_for_status().json()
        return next(row["used"] for row in rows if row["id"] == fault_id)

    def push_receipts_to(self, url: str) -> None:
        with http_client(self.url) as client:
            client.post("/_simulator/receipts", json={"url": url}).raise_for_status()

    def rang(self, *numbers: str) -> list[dict[str, Any]]:
        """Return the calls placed to these numbers, in this order; it is the ground truth."""
        lines = _whole_lines(self._log) if self._log.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if call["number"] in numbers]


@contextmanager
def simulated_vendor(folder: Path) -> Iterator[Vendor]:
    """Run `uvms-adapter simulator` while the context lasts."""
    calls = folder / "calls.jsonl"
    command = (
        *ADAPTER,
        "simulator",
        *("--listen", "127.0.0.1:0", "--log", calls),
        *("--public-key", PUBLIC_KEY, "--private-key", PRIVATE_KEY),
        *(f"--template={id_}={text}" for id_, text in TEXTS.items()),
    )
    with running(command, folder / "simulator.log") as program:
        url = program.find(lambda line: line if line.startswith("http://") else None)
        until(lambda: _answers(f"{url}/_simulator/calls"), "the simulator", program.tail)
        yield Vendor(url, calls)


def _answers(url: str) -> bool:
    try:
        with http_client() as client:
            return client.get(url).is_success
    except httpx.TransportError:
        return False


# --- the service -------------------------------------------------------------------------------


class Service:
    """The service of one database: it may die and be started again, on another port each time."""

    def __init__(self, folder: Path, vendor: Vendor, tree: Mapping[str, Any]) -> None:
        self.folder, self.vendor = folder, vendor
        self.routes = folder / "routes.yaml"
        self.write_routes(tree)
        self.url = ""  # of its latest life
        self._lives = itertools.count(1)

    def write_routes(self, tree: Mapping[str, Any]) -> None:
        uvms = {"endpoint": self.vendor.url} | tree.get("uvms", {})
        text = yaml.safe_dump(
            {"voice_templates": VOICE_TEMPLATES, **tree, "uvms": uvms}, allow_unicode=True
        )
        self.routes.write_text(text, encoding="utf-8")

    def environ(self) -> dict[str, str]:
        others = {name: v for name, v in os.environ.items() if not name.startswith("UVMS_")}
        return others | {
            "UVMS_PUBLIC_KEY": PUBLIC_KEY,
            "UVMS_PRIVATE_KEY": PRIVATE_KEY,
            "UVMS_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
            "UVMS_API_TOKEN": API_TOKEN,
            "UVMS_DATABASE_URL": url_in(self.folder, schema=False),
            "NO_PROXY": "127.0.0.1",
        }

    @contextmanager
    def starting(
        self, *args: str, listen: str = "127.0.0.1:0", program: Sequence[str | Path] = ADAPTER
    ) -> Iterator[Program]:
        """Run it while the context lasts, and do not wait until it serves."""
        command = (*program, "serve", "--config", self.routes, "--listen", listen, *args)
        log = self.folder / f"service-{next(self._lives)}.log"
        with running(command, log, self.environ()) as started:
            yield started
        self.url = ""  # somebody else may get the port

    @contextmanager
    def serving(self, *args: str, listen: str = "127.0.0.1:0") -> Iterator[Program]:
        """Run it while the context lasts, from when it takes webhooks."""
        with self.starting(*args, listen=listen) as program:
            self.await_serving(program)
            yield program

    def await_serving(self, program: Program) -> None:
        self.url = program.find(served_at)

    def await_serving_or_death(self, program: Program, poll: float = POLL) -> None:
        def seen() -> bool:
            self.url = next(filter(None, map(served_at, program.lines())), "")
            return bool(self.url) or program.exit_code is not None

        until(seen, "the service to begin or to end", program.tail, poll=poll)

    def post(self, body: Any, timeout: float = 10) -> httpx.Response:
        """Post a webhook, as Alertmanager does."""
        with http_client(self.url, WEBHOOK_TOKEN, timeout) as client:
            return client.post("/v1/alertmanager", json=body)

    def calls(self, **query: str) -> list[dict[str, Any]]:
        """Return its calls as the API shows them."""
        with http_client(self.url, API_TOKEN) as client:
            answer = client.get("/api/v1/calls", params={"limit": "500", **query})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["calls"]
        return found

    def metric(self, name: str, **labels: str) -> float:
        return samples(self.url)[_sample_name(f"uvms_adapter_{name}", labels)]

    def nothing_open(self) -> bool:
        """Whether no phone will ring unless something new happens."""
        return not self.calls(state="waiting,sending,unknown")


def served_at(line: str) -> str | None:
    """Return the URL if this is the line that tells it."""
    if not line.startswith("{"):
        return None
    entry = json.loads(line)
    return entry["url"] if entry["event"] == "serving" else None


# --- a sender ----------------------------------------------------------------------------------


def webhook(*alerts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body as Alertmanager posts it."""
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "receiver": "uvms",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com",
        "truncatedAlerts": 0,
    }


def firing(alertname: str, **labels: str) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": alertname} | labels,
        "annotations": {},
        "startsAt": "2026-11-02T10:00:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
    }


class Sender:
    """Posts groups of alerts as Alertmanager does: each until it is taken.

    It retries after 5xx and whatever goes wrong on the way, and takes anything else for an answer:
    https://github.com/prometheus/alertmanager/blob/main/notify/retry_stage.go, with its pauses of
    seconds made short. What is taken is repeated only where asked for: a repeat would hide a loss.
    """

    def __init__(
        self,
        service: Service,
        bodies: Sequence[Any],
        *,
        pace: float = 0,
        repeated: Set[int] = frozenset(),
    ) -> None:
        self._service, self._bodies = service, bodies
        self._pace = pace  # seconds between two of them
        self._repeated = repeated  # which of them are posted again and again
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender")
        self._rounds = 0
        self.taken: set[int] = set()  # which of the bodies got their 2xx
        self.refused: list[str] = []  # any answer that is no 5xx either: there must be none

    @property
    def all_taken(self) -> bool:
        return len(self.taken) == len(self._bodies)

    @property
    def alerts_taken(self) -> int:
        return sum(len(self._bodies[number]["alerts"]) for number in self.taken)

    def repeat_all(self) -> None:
        """Post each of them at least once more."""
        self._repeated, self._pace = frozenset(range(len(self._bodies))), POLL
        wanted = self._rounds + 2  # one may be under way
        until(lambda: self._rounds >= wanted, "a repeat of everything")

    def _run(self) -> None:
        while not self._stopping.is_set():
            for number, body in enumerate(self._bodies):
                if number not in self.taken or number in self._repeated:
                    self._flush(number, body)
                    self._stopping.wait(self._pace)
            self._rounds += 1
            self._stopping.wait(POLL)

    def _flush(self, number: int, body: Any) -> None:
        pause = 0.02
        while not self._stopping.is_set():
            try:
                answer = self._service.post(body)
            except (httpx.TransportError, httpx.UnsupportedProtocol):  # not there, or not yet
                status = 500
            else:
                status = answer.status_code
            if status < 500:
                (self.taken.add(number) if status < 300 else self.refused.append(answer.text))
                return
            self._stopping.wait(pause)
            pause = min(1.5 * pause, 0.5)

    @contextmanager
    def sending(self) -> Iterator[Sender]:
        """Send while the context lasts."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join()
        assert not self.refused, self.refused


def rang_at(call: Mapping[str, Any]) -> datetime:
    """Return when a phone rang."""
    return datetime.fromisoformat(call["time"])
