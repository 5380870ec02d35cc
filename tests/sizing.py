"""Measures what a replica needs, for the section on sizing in docs/operations.md.

Run `PYTHONPATH=tests .venv/bin/python -m sizing`; it prints a table. The service is a process of
its own, as in production, with the simulated vendor beside it. Memory and processor time are read
from its `/metrics`, as Prometheus would; the size of the store is what `store check` tells.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from postgres_server import Server, running
from process_harness import Service, Vendor, firing, samples, simulated_vendor, until, webhook

from adapter.clock import utc_now
from adapter.model import Record
from adapter.store.checking import check

PHONE = "+8613512345678"
IN_A_WEBHOOK = 10  # alerts
STORES = ("sqlite", "postgresql")
PAGES = ("page_count", "page_size")  # the `-wal` beside the file grows to some megabytes besides


class Measured(Record):
    """What one replica needed, with one kind of store."""

    bytes_of_alert: int  # of JSON in a webhook
    mb_at_rest: float
    percent_at_rest: float  # of one processor
    mb_after: float  # the webhooks
    ms_of_webhook: float  # processor time, calls included
    ms_of_repeat: float
    mb_after_storm: float
    mb_at_most: float  # at any time until then
    seconds_of_storm: float  # processor time
    kb_of_alert: float  # in the store: alert, and its part of page and call, without the webhook
    kb_of_webhook: float  # in the store, for as long as webhooks are kept
    connections: int | None  # to PostgreSQL


def alert(number: int) -> dict[str, Any]:
    """Return one as the rules of kube-prometheus make them."""
    labels = {
        "cluster": "shanghai-1",
        "container": "app",
        "instance": f"10.0.{number // 250}.{number % 250}:9100",
        "job": "kube-state-metrics",
        "namespace": f"team-{number // IN_A_WEBHOOK}",
        "pod": f"checkout-7d9f8b6c5d-{number:05}",
        "prometheus": "monitoring/k8s",
        "severity": "critical",
    }
    annotations = {
        "description": f"Pod checkout-7d9f8b6c5d-{number:05} (app) is in "
        'waiting state (reason: "CrashLoopBackOff") on cluster shanghai-1.',
        "runbook_url": "https://runbooks.example.com/runbooks/kubernetes/kubepodcrashlooping",
        "summary": "Pod is crash looping.",
    }
    url = "http://prometheus.example.com/graph?g0.expr=max_over_time%28kube_pod_container_status"
    return firing("KubePodCrashLooping", **labels) | {
        "annotations": annotations,
        "generatorURL": f"{url}_waiting_reason%5B5m%5D%29&g0.tab=1",
        "fingerprint": f"{number:016x}",
    }


def bodies(count: int) -> list[dict[str, Any]]:
    """Return webhooks of groups that have nothing in common."""
    return [
        webhook(*(alert(group * IN_A_WEBHOOK + each) for each in range(IN_A_WEBHOOK)))
        | {"groupKey": f'{{}}:{{group="{group}"}}'}
        for group in range(count)
    ]


def routes() -> dict[str, Any]:
    """A page for every group of ten, and a call about it as soon as it may be."""
    return {
        "people": {"alice": {"phone": PHONE}},
        "receivers": [{"name": "sre", "voice_template": "outage", "call": ["alice"]}],
        "route": {"receiver": "sre", "group_by": ["namespace"], "repeat_interval": "never"},
        "receipts": {"poll_interval": "1s"},
        "limits": {
            "per_person": {"min_interval": "0s", "per_hour": 10_000, "per_day": 10_000},
            "requests_per_second": 1_000,
        },
    }


class Sized(Service):
    """A service that tells what it takes; `database` is in PostgreSQL, if there is one."""

    database = ""
    process = 0

    def environ(self) -> dict[str, str]:
        return super().environ() | ({"UVMS_DATABASE_URL": self.database} if self.database else {})

    def cpu(self) -> float:
        return samples(self.url)["process_cpu_seconds_total"]

    def megabytes(self) -> float:
        return samples(self.url)["process_resident_memory_bytes"] / 1e6

    def megabytes_at_most(self) -> float:
        status = Path(f"/proc/{self.process}/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def stored(self) -> float:
        """Kilobytes."""
        where = self.environ()["UVMS_DATABASE_URL"]
        if self.database:  # what an update leaves behind is used again, once autovacuum was there
            with psycopg.connect(where.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("VACUUM FULL")
            return check(where, utc_now()).size / 1e3
        with closing(sqlite3.connect(where.removeprefix("sqlite:///"))) as file:
            pages, size = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in PAGES)
        return float(pages * size) / 1e3

    def answered(self) -> bool:
        return not samples(self.url)["uvms_adapter_pages_unacknowledged"] and self.nothing_open()

    def take(self, posted: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
        """Post webhooks until somebody has answered; return processor seconds and kilobytes."""
        cpu, stored = self.cpu(), self.stored()
        for body in posted:
            self.post(body, timeout=120).raise_for_status()
        until(self.answered, "every call is answered", patience=600, poll=0.2)
        return self.cpu() - cpu, self.stored() - stored


@contextmanager
def serving(folder: Path, vendor: Vendor, server: Server | None) -> Iterator[Sized]:
    """Have a service with an empty store."""
    folder.mkdir()
    service = Sized(folder, vendor, routes())
    with ExitStack() as until_then:
        if server is not None:
            service.database = until_then.enter_context(server.database(empty=True))
        program = until_then.enter_context(service.serving())
        service.process = program._process.pid
        yield service


def measure(
    folder: Path, vendor: Vendor, server: Server | None, webhooks: int, storm: int, seconds: float
) -> Measured:
    """Have a service take so many webhooks, then so many alerts in one."""
    posted, alerts = bodies(webhooks), webhooks * IN_A_WEBHOOK
    with serving(folder, vendor, server) as service:
        at_rest, began = service.megabytes(), service.cpu()
        time.sleep(seconds)
        resting = (service.cpu() - began) / seconds * 100
        cpu_new, kb_new = service.take(posted)
        after = service.megabytes()
        cpu_again, kb_again = service.take(posted)
        _, kb_webhooks = service.take(posted)  # of which nothing but the body is news
        together = [alert(alerts + number) for number in range(storm)]
        for each in together:
            each["labels"]["namespace"] = "all"
        cpu_storm, _ = service.take([webhook(*together)])
        storming, most = service.megabytes(), service.megabytes_at_most()
        connections = None if server is None else connected(server)
    return Measured(
        bytes_of_alert=len(json.dumps(alert(0))),
        mb_at_rest=at_rest,
        percent_at_rest=resting,
        mb_after=after,
        ms_of_webhook=cpu_new * 1e3 / webhooks,
        ms_of_repeat=cpu_again * 1e3 / webhooks,
        mb_after_storm=storming,
        mb_at_most=most,
        seconds_of_storm=cpu_storm,
        kb_of_alert=(kb_new + kb_again - 2 * kb_webhooks) / alerts,
        kb_of_webhook=kb_webhooks / webhooks,
        connections=connections,
    )


def connected(server: Server) -> int:
    """Count the service's connections."""
    where = f"host=127.0.0.1 port={server.port} user=uvms dbname=postgres"
    with psycopg.connect(where) as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'uvms-adapter'"
        found = connection.execute(asked).fetchone()
    assert found is not None
    return int(found[0])


def everything(webhooks: int, storm: int, seconds: float) -> dict[str, Measured]:
    """Measure with each kind of store."""
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="uvms-sizing-") as directory,
        simulated_vendor(Path(directory)) as vendor,
        running() as server,
    ):
        for store in STORES:
            at = server if store == "postgresql" else None
            found[store] = measure(Path(directory) / store, vendor, at, webhooks, storm, seconds)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="sizing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--webhooks", type=int, default=300, help="of ten alerts each")
    parser.add_argument("--storm", type=int, default=5_000, help="alerts in one webhook")
    parser.add_argument("--seconds", type=float, default=20.0, help="at rest")
    wanted = parser.parse_args(arguments)
    found = everything(wanted.webhooks, wanted.storm, wanted.seconds)
    print(f"{'':24}" + "".join(f"{store:>12}" for store in found))
    for name in Measured.__struct_fields__:
        cells = (getattr(each, name) for each in found.values())
        shown = ("" if cell is None else f"{cell:.4g}" for cell in cells)
        print(f"{name:24}" + "".join(f"{cell:>12}" for cell in shown))


if __name__ == "__main__":
    main()
