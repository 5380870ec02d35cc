"""A real Alertmanager fires, repeats and resolves alerts against the running service.

Alerts are posted to Alertmanager as Prometheus posts them; which phones rang is read from the
simulated vendor's log. Alertmanager repeats every second or two, the service every hour.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from process_harness import (
    OUTAGE,
    RECOVERED,
    WEBHOOK_TOKEN,
    Program,
    Service,
    Vendor,
    http_client,
    new_number,
    rang_at,
    running,
    samples,
    simulated_vendor,
    until,
)

from adapter.clock import utc_now

pytestmark = [pytest.mark.process, pytest.mark.alertmanager]

BINARIES = ("prometheus-alertmanager", "alertmanager")
HOW_TO_GET_IT = (
    "there is no prometheus-alertmanager: apt-get install prometheus-alertmanager, or put the "
    "binary of https://prometheus.io/download/#alertmanager into PATH as alertmanager"
)
FOLLOW_UP_AFTER = timedelta(seconds=3)  # our group_interval; Alertmanager's is half a second


@pytest.fixture(scope="session")
def binary() -> str:
    found = next(filter(None, map(shutil.which, BINARIES)), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(HOW_TO_GET_IT)
    if found is None:
        pytest.skip(HOW_TO_GET_IT)
    return found


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as started:
        yield started


class People:
    """Everybody with a phone in one test."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self.alice, self.bob, self.carol = (new_number() for _ in range(3))

    def __call__(self) -> list[tuple[str, str, str]]:
        """Return who heard what: (name, template, first parameter), in the order they rang."""
        names = {number: name for name, number in vars(self).items() if name[0] != "_"}
        return [
            (names[call["number"]], call["template"], call["params"][0]) for call in self.rang()
        ]

    def rang(self) -> list[dict[str, Any]]:
        return self._vendor.rang(self.alice, self.bob, self.carol)


@pytest.fixture
def heard(vendor: Vendor) -> People:
    return People(vendor)


@pytest.fixture
def service(vendor: Vendor, heard: People, tmp_path: Path) -> Service:
    return Service(
        tmp_path,
        vendor,
        {
            "people": {name: {"phone": getattr(heard, name)} for name in ("alice", "bob", "carol")},
            "receivers": [
                {
                    "name": "sre",
                    "voice_template": "outage",
                    "call": ["alice", "bob"],
                    "send_resolved": True,
                    "resolved_template": "recovered",
                },
                {"name": "dba", "voice_template": "outage", "call": ["carol"]},
            ],
            "route": {
                "receiver": "sre",
                "group_interval": "3s",
                "repeat_interval": "1h",
                "routes": [{"receiver": "dba", "matchers": ['team="dba"']}],
            },
            "limits": {"per_person": {"min_interval": "0s"}},
        },
    )


# --- Alertmanager ------------------------------------------------------------------------------


class Alertmanager:
    """One running Alertmanager."""

    def __init__(self, url: str, program: Program) -> None:
        self.url, self.program = url, program

    def fire(self, *alertnames: str, **labels: str) -> None:
        """Post alerts as Prometheus does each time it evaluates a rule that holds."""
        ends = utc_now() + timedelta(minutes=4)
        self._post(alertnames, labels, ends.isoformat())

    def resolve(self, *alertnames: str, **labels: str) -> None:
        self._post(alertnames, labels, utc_now().isoformat())

    def _post(self, names: Sequence[str], labels: Mapping[str, str], ends_at: str) -> None:
        alerts = [
            {
                "labels": {"alertname": name} | dict(labels),
                "annotations": {"summary": f"{name} on node-1"},
                "startsAt": _BEGAN,
                "endsAt": ends_at,
                "generatorURL": "http://prometheus.example.com/graph",
            }
            for name in names
        ]
        with http_client(self.url) as client:
            client.post("/api/v2/alerts", json=alerts).raise_for_status()

    def sample(self, name: str) -> float:
        return samples(self.url)[name]

    @property
    def posts(self) -> float:
        """How many notifications it has begun to post, repeats too."""
        return self.sample("alertmanager_notifications_total{integration=webhook}")

    @property
    def failed_tries(self) -> float:
        return self.sample("alertmanager_notification_requests_failed_total{integration=webhook}")

    def peers(self) -> list[str]:
        with http_client(self.url) as client:
            status = client.get("/api/v2/status").raise_for_status().json()
        return [peer["address"] for peer in status["cluster"].get("peers", [])]

    def stop(self) -> None:
        self.program.signal(signal.SIGTERM)
        assert self.program.wait() == 0, self.program.tail()


_BEGAN = (utc_now() - timedelta(minutes=1)).isoformat()


def config(service_url: str) -> str:
    """Return an alertmanager.yml whose only receiver is the service."""
    hook = {
        "url": f"{service_url}/v1/alertmanager",
        "http_config": {"authorization": {"credentials": WEBHOOK_TOKEN}},
    }
    return yaml.safe_dump(
        {
            "route": {
                "receiver": "uvms.phone",
                "group_by": ["cluster"],
                "group_wait": "200ms",
                "group_interval": "500ms",
                "repeat_interval": "1s",
            },
            "receivers": [{"name": "uvms.phone", "webhook_configs": [hook]}],
        }
    )


@contextmanager
def alertmanager(
    binary: str, folder: Path, service_url: str, *, cluster: str = "", peers: Sequence[str] = ()
) -> Iterator[Alertmanager]:
    """Run an Alertmanager with its storage in the folder; it may be one that was used before."""
    folder.mkdir(exist_ok=True)
    (folder / "alertmanager.yml").write_text(config(service_url), encoding="utf-8")
    command = (
        binary,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        f"--cluster.listen-address={cluster}",
        *(f"--cluster.peer={peer}" for peer in peers),
        "--cluster.gossip-interval=20ms",
        "--cluster.settle-timeout=5s",
    )
    with running(command, folder / "alertmanager.log") as program:
        url = program.find(_listening)
        until(lambda: _is_ready(url), "Alertmanager to be ready", program.tail)
        yield Alertmanager(url, program)


def _listening(line: str) -> str | None:
    """Return the URL if this is the line that tells it."""
    _, found, address = line.partition('msg="Listening on" address=')
    return f"http://{address.strip()}" if found else None


def _is_ready(url: str) -> bool:
    try:
        with http_client() as client:
            return client.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False


# --- one Alertmanager --------------------------------------------------------------------------


def test_everybody_is_called_once_however_often_it_repeats(
    binary: str, service: Service, heard: People, tmp_path: Path
) -> None:
    with service.serving(), alertmanager(binary, tmp_path / "am", service.url) as am:
        am.fire("DiskFull", "NodeDown", cluster="prod")
        repeats(service)
        repeats(service)
        told(service, heard, "DiskFull，NodeDown", "alice", "bob")
        assert service.metric("alerts_received_total", reason="first") == 2
        assert service.metric("alerts_received_total", reason="duplicate") >= 6


def test_a_new_alert_of_the_group_is_told_in_one_call_after_our_group_interval(
    binary: str, service: Service, heard: People, tmp_path: Path
) -> None:
    with service.serving(), alertmanager(binary, tmp_path / "am", service.url) as am:
        am.fire("DiskFull", cluster="prod")
        until(lambda: len(heard()) == 2, "the first calls", heard)
        am.fire("NodeDown", cluster="prod")
        until(lambda: len(heard()) == 4, "the follow-ups", heard)
        repeats(service)
        calm(service)
    assert [words for _, _, words in heard()] == ["DiskFull"] * 2 + ["NodeDown"] * 2
    first, follow_up = ([rang_at(call) for call in heard.rang()][n] for n in (0, 2))
    assert follow_up - first >= FOLLOW_UP_AFTER - timedelta(milliseconds=100)


def test_when_all_is_over_those_who_were_called_are_called_back(
    binary: str, service: Service, heard: People, tmp_path: Path
) -> None:
    with service.serving(), alertmanager(binary, tmp_path / "am", service.url) as am:
        am.fire("DiskFull", cluster="prod")
        until(lambda: len(heard()) == 2, "the first calls", heard)
        am.resolve("DiskFull", cluster="prod")
        until(lambda: len(heard()) == 4, "the calls back", heard)
        calm(service)
        assert service.metric("pages_open") == 0
    assert sorted(heard()) == [
        (name, template, "DiskFull")
        for name in ("alice", "bob")
        for template in (OUTAGE, RECOVERED)
    ]


def test_each_alert_goes_where_its_own_labels_lead(
    binary: str, service: Service, heard: People, tmp_path: Path
) -> None:
    """One group of Alertmanager's, two receivers of ours."""
    with service.serving(), alertmanager(binary, tmp_path / "am", service.url) as am:
        am.fire("SlowQueries", cluster="prod", team="dba")
        am.fire("DiskFull", cluster="prod", team="sre")
        until(lambda: len(heard()) == 3, "the calls", heard)
        repeats(service)
        calm(service)
    assert sorted(heard()) == [
        ("alice", OUTAGE, "DiskFull"),
        ("bob", OUTAGE, "DiskFull"),
        ("carol", OUTAGE, "SlowQueries"),
    ]


@pytest.mark.parametrize("storage", ["kept", "lost"])
def test_a_restarted_alertmanager_rings_nobody_again(
    storage: str, binary: str, service: Service, heard: People, tmp_path: Path
) -> None:
    with service.serving():
        with alertmanager(binary, tmp_path / "am", service.url) as am:
            am.fire("DiskFull", cluster="prod")
            until(lambda: len(heard()) == 2, "the first calls", heard)
            am.stop()
        if storage == "lost":
            shutil.rmtree(tmp_path / "am")
        with alertmanager(binary, tmp_path / "am", service.url) as am:
            am.fire("DiskFull", cluster="prod")
            repeats(service)
            told(service, heard, "DiskFull", "alice", "bob")


def test_alerts_while_the_service_is_down_ring_once_it_is_up(
    binary: str, service: Service, heard: People, tmp_path: Path
) -> None:
    with service.serving():
        address = service.url.removeprefix("http://")
    with alertmanager(binary, tmp_path / "am", f"http://{address}") as am:
        am.fire("DiskFull", cluster="prod")
        until(lambda: am.failed_tries > 1, "Alertmanager to have tried", am.program.tail)
        assert not heard()
        with service.serving(listen=address):
            repeats(service)
            told(service, heard, "DiskFull", "alice", "bob")


# --- two Alertmanagers -------------------------------------------------------------------------


@pytest.mark.usefixtures("database")  # where it matters: both post at the same instant
@pytest.mark.parametrize("clustered", [True, False], ids=["clustered", "split"])
def test_two_alertmanagers_with_the_same_alerts_ring_once(
    clustered: bool, binary: str, service: Service, heard: People, tmp_path: Path
) -> None:
    """Prometheus posts every alert to both; without their gossip, both post it to us."""
    with service.serving(), ExitStack() as stack:
        listen = "127.0.0.1:0" if clustered else ""

        def start(name: str, peers: Sequence[str]) -> Alertmanager:
            one = alertmanager(binary, tmp_path / name, service.url, cluster=listen, peers=peers)
            return stack.enter_context(one)

        one = start("one", ())
        both = [one, start("two", one.peers())]
        if clustered:
            members = "alertmanager_cluster_members"
            until(lambda: all(am.sample(members) == 2 for am in both), "the two to meet")
        for am in both:
            am.fire("DiskFull", "NodeDown", cluster="prod")
        if not clustered:
            until(lambda: all(am.posts > 1 for am in both), "both to have posted", heard)
        repeats(service)
        told(service, heard, "DiskFull，NodeDown", "alice", "bob")


# --- waiting -----------------------------------------------------------------------------------


def repeats(service: Service) -> None:
    """Wait until the service has taken two more notifications."""

    def taken() -> float:
        return service.metric("notifications_received_total", source="alertmanager")

    enough = taken() + 2
    until(lambda: taken() >= enough, f"{enough} notifications", taken)


def calm(service: Service) -> None:
    until(service.nothing_open, "every call to be settled", service.calls)


def told(service: Service, heard: People, words: str, *names: str) -> None:
    """Assert that each of them, and nobody else, was rung just once and with these words."""
    calm(service)
    assert sorted(heard()) == [(name, OUTAGE, words) for name in names]
