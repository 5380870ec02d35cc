"""The processes of one row: the service once or several times, its database, and the vendor."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import sqlalchemy as sa
import yaml
from forked_service import ForkedProgram
from postgres_server import Server
from process_harness import (
    API_TOKEN,
    OUTAGE,
    PRIVATE_KEY,
    PUBLIC_KEY,
    TEXTS,
    WEBHOOK_TOKEN,
    Program,
    Vendor,
    http_client,
    new_number,
    until,
)

from faults.ledger import NAMES_APART
from faults.sender import Team

SQLITE, POSTGRESQL = "sqlite", "postgresql"
STORES = (SQLITE, POSTGRESQL)
REPLICAS = {SQLITE: 1, POSTGRESQL: 3}
TEAMS, PEOPLE_A_TEAM = 10, 2

VOICE_TEMPLATE = {
    "id": OUTAGE,
    "text": TEXTS[OUTAGE],
    "params": [
        f"{{{{ alerts | map(attribute='annotations.summary') | join('{NAMES_APART}') }}}}",
        "{{ alerts | length }}",
    ],
    "max_param_length": 900,  # every name is spelt out
}
# As short as a lease can be made by them: ten seconds, and what a request may take.
TIMEOUTS = {"connect": "500ms", "read": "1500ms"}
LEASE_SECONDS = 10 + 4 * 0.5 + 1.5
# A placed call is in the simulator's records at once; the rest is for a machine that is busy, on
# which a request may lie before the simulator for a while after its sender has gone.
DELIVERY = {
    "reconcile_first": "100ms",
    "record_visible_after": "3s",
    "retry_initial": "50ms",
    "retry_cap": "1s",
    "account_probe_interval": "1s",
}
NO_LIMITS = {
    "per_person": {"min_interval": "0s", "per_hour": 100_000, "per_day": 100_000},
    "concurrent_calls": 16,
    "requests_per_second": 100,
}


def teams() -> tuple[Team, ...]:
    """Return receivers whose phones nobody else has."""
    return tuple(
        Team(f"team{number}", tuple(new_number() for _ in range(PEOPLE_A_TEAM)))
        for number in range(TEAMS)
    )


def routes(teams: Sequence[Team], vendor: Vendor, **changes: Any) -> dict[str, Any]:
    """Return a routes.yaml: every second receiver has a page for each alert, the others a group."""
    return {
        "voice_templates": {"outage": VOICE_TEMPLATE},
        "receivers": [
            {"name": team.name, "voice_template": "outage", "call": list(team.numbers)}
            for team in teams
        ],
        "route": {
            "receiver": teams[0].name,
            "group_interval": "1s",
            "repeat_interval": "4h",
            "routes": [
                {
                    "receiver": team.name,
                    "matchers": [f'team="{team.name}"'],
                    "group_by": ["group"] if number % 2 else ["..."],
                }
                for number, team in enumerate(teams)
            ],
        },
        "limits": NO_LIMITS,
        "receipts": {"poll_interval": "never"},  # an answer would end what the others are owed
        "delivery": DELIVERY | changes.get("delivery", {}),
        "uvms": {"endpoint": vendor.url, "timeouts": TIMEOUTS},
    }


# --- the service ---------------------------------------------------------------------------------


class Replica:
    """One process of the service: it dies and lives again, always at the same address."""

    def __init__(self, folder: Path, name: str, environ: Mapping[str, str], clocked: bool) -> None:
        self._folder, self._name, self._environ = folder, name, environ
        self._clock = folder / f"{name}.clock" if clocked else None
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.program: Program | None = None
        self.logs: list[Path] = []
        self.set_clock(0)

    def start(self) -> None:
        """Start it, without waiting until it serves."""
        log = self._folder / f"{self._name}-{len(self.logs)}.log"
        self.logs.append(log)
        args = ("serve", "--config", str(self._folder / "routes.yaml"))
        args = (*args, "--listen", f"127.0.0.1:{self._port}")
        if self._clock is None:
            self.program = ForkedProgram(args, log, self._environ, None)
        else:
            wrong = (sys.executable, "-m", "faults.clocked", str(self._clock))
            path = str(Path(__file__).parent.parent)
            self.program = Program((*wrong, *args), log, {**self._environ, "PYTHONPATH": path})

    def await_ready(self) -> None:
        until(self.is_ready, f"{self._name} to be ready", self.tail)

    def is_ready(self) -> bool:
        try:
            with http_client(self.url, timeout=3) as client:
                return client.get("/-/ready").is_success
        except httpx.TransportError:
            assert self.program is not None
            assert self.program.exit_code in (None, -signal.SIGKILL), self.tail()
            return False

    def tail(self) -> str:
        return self.program.tail() if self.program else ""

    def set_clock(self, seconds: float) -> None:
        """Have its clock be wrong by so much."""
        if self._clock is not None:
            new = self._clock.with_suffix(".new")
            new.write_text(str(seconds))
            new.replace(self._clock)

    def signal(self, number: signal.Signals) -> None:
        assert self.program is not None
        self.program.signal(number)

    def stop(self) -> None:
        """End it in order."""
        assert self.program is not None
        self.signal(signal.SIGTERM)
        assert self.program.wait() == 0, self.tail()

    def kill(self) -> None:
        if self.program is not None:
            self.program.kill()


# --- databases -----------------------------------------------------------------------------------


class Standby(Server):
    """A server that follows another one, and may take its place."""

    def __init__(self, primary: Server) -> None:
        self._primary = primary
        super().__init__()

    def _run(self, _initdb: str, *_arguments: str) -> None:
        source = f"--dbname=host=127.0.0.1 port={self._primary.port} user=uvms"
        super()._run("pg_basebackup", source, "-R", "-Xstream", "--checkpoint=fast", "-D")

    def follow(self) -> None:
        """Start, and have the other answer a commit no sooner than it is here too."""
        self.start()
        with self._primary.connect("postgres") as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")

            def in_step() -> bool:
                found = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
                return found == [("sync",)]

            until(in_step, "the standby to be in step", self.log)

    def take_over(self) -> None:
        with self.connect("postgres") as connection:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_promote()")


class SmallDisk:
    """A file system of its own, which can be full. Making one takes root."""

    def __init__(self, megabytes: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="uvms-disk-"))
        options = f"size={megabytes}m,mode=755"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            self.folder.rmdir()
            raise Impossible("mounting a small file system is not allowed here")

    def fill(self) -> None:
        """Leave no byte."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        ballast.write(b"\0" * size)
                except OSError:
                    continue

    def clear(self) -> None:
        (self.folder / "ballast").unlink()

    def remove(self) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Impossible(Exception):
    """This machine cannot make the fault; the text says why."""


# --- all of it -----------------------------------------------------------------------------------


class World:
    """What a fault may break."""

    def __init__(
        self,
        store: str,
        vendor: Vendor,
        folder: Path,
        database_url: str,
        *,
        replicas: int,
        clocked: bool = False,
        server: Server | None = None,
        standby: Standby | None = None,
        disk: SmallDisk | None = None,
        **changes: Any,
    ) -> None:
        self.store, self.vendor, self.folder, self.database_url = (
            store,
            vendor,
            folder,
            database_url,
        )
        self._server, self._standby, self._disk = server, standby, disk
        self.teams = teams()
        self.numbers = tuple(number for team in self.teams for number in team.numbers)
        self.routes = routes(self.teams, vendor, **changes)
        self.write_routes(yaml.safe_dump(self.routes, allow_unicode=True))
        self.replicas = [
            Replica(folder, f"replica{number}", self._environ(), clocked)
            for number in range(replicas)
        ]
        self.notes: list[str] = []  # what a reader of the table should know

    @property
    def server(self) -> Server:
        assert self._server is not None
        return self._server

    @property
    def standby(self) -> Standby:
        assert self._standby is not None
        return self._standby

    @property
    def disk(self) -> SmallDisk:
        assert self._disk is not None
        return self._disk

    def _environ(self) -> dict[str, str]:
        others = {name: v for name, v in os.environ.items() if not name.startswith("UVMS_")}
        return others | {
            "UVMS_PUBLIC_KEY": PUBLIC_KEY,
            "UVMS_PRIVATE_KEY": PRIVATE_KEY,
            "UVMS_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
            "UVMS_API_TOKEN": API_TOKEN,
            "UVMS_DATABASE_URL": self.database_url,
            "NO_PROXY": "127.0.0.1",
        }

    def write_routes(self, text: str) -> None:
        """Swap routes.yaml in one step, as Kubernetes does."""
        new = self.folder / "routes.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.folder / "routes.yaml")

    @contextmanager
    def living(self) -> Iterator[None]:
        """Let the service live while the context lasts."""
        try:
            for replica in self.replicas:
                replica.start()
            for replica in self.replicas:
                replica.await_ready()
            yield
        finally:
            for replica in self.replicas:
                replica.kill()

    def addresses(self) -> list[str]:
        return [replica.url for replica in self.replicas]

    def arm(self, *faults: Mapping[str, Any]) -> None:
        """Arm faults of the vendor's, in this order."""
        with http_client(self.vendor.url) as client:
            client.post("/_simulator/faults", json=list(faults)).raise_for_status()

    def mend_vendor(self) -> None:
        mend(self.vendor)

    def nothing_open(self) -> bool:
        """Whether no phone will ring unless something new happens."""
        try:
            with http_client(self.replicas[0].url, API_TOKEN, timeout=5) as client:
                query = {"state": "waiting,sending,unknown", "limit": "1"}
                answer = client.get("/api/v1/calls", params=query)
        except httpx.TransportError:
            return False
        return answer.is_success and not answer.json()["calls"]

    def unanswered(self, attempts: Sequence[str]) -> set[str]:
        """Return those of these attempts to which the vendor never gave an answer."""
        engine = sa.create_engine(self.database_url)
        query = sa.text("SELECT id FROM attempts WHERE ret_code IS NULL AND id IN :ids")
        query = query.bindparams(sa.bindparam("ids", list(attempts), expanding=True))
        try:
            with engine.connect() as connection:
                return set(connection.scalars(query))
        finally:
            engine.dispose()


def mend(vendor: Vendor) -> None:
    """Have nothing go wrong at the vendor's any more."""
    with http_client(vendor.url) as client:
        client.delete("/_simulator/faults").raise_for_status()


def answers(server: Server) -> bool:
    """Whether a database server is there."""
    try:
        server.connect("postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


@contextmanager
def database(
    store: str, folder: Path, server: Server | None, *, own: bool, standby: bool, small: bool
) -> Iterator[dict[str, Any]]:
    """Yield what `World` wants to know of its database: in a server that all share, or its own."""
    with ExitStack() as stack:
        disk = None
        if small:
            disk = SmallDisk(16 if store == SQLITE else 160)
            stack.callback(disk.remove)
        if store == SQLITE:
            file = (disk.folder if disk else folder) / "adapter.db"
            yield {"database_url": f"sqlite:///{file}", "disk": disk}
            return
        if own:
            server = _own_server(stack, disk)
        assert server is not None
        url = stack.enter_context(server.database())
        found = {"database_url": url, "server": server, "disk": disk}
        if standby:
            found["standby"] = follower = Standby(server)
            stack.callback(follower.remove)
            follower.follow()
            both = f"host=127.0.0.1:{server.port}&host=127.0.0.1:{follower.port}"
            name = url.rpartition("/")[2]
            found["database_url"] = (
                f"postgresql+psycopg://uvms@/{name}?{both}&target_session_attrs=read-write"
            )
        yield found


def _own_server(stack: ExitStack, disk: SmallDisk | None) -> Server:
    before = tempfile.tempdir
    tempfile.tempdir = str(disk.folder) if disk else before
    try:
        server = Server()
    finally:
        tempfile.tempdir = before
    stack.callback(server.remove)
    server.start()
    return server
