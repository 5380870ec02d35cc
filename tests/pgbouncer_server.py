"""Debian's pgbouncer before the tests' PostgreSQL, pooling transactions."""

from __future__ import annotations

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
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres_server import Server

_NOBODY = 65534  # pgbouncer refuses to be run by root
_PATIENCE_SECONDS = 30.0
_SBIN = "/usr/sbin:/usr/local/sbin"  # where Debian has it, and users have no PATH to
_HOW_TO_GET_IT = "there is no pgbouncer: apt-get install pgbouncer"

# Nothing is reset between two clients: what one leaves behind in a session, the next one finds.
_SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server} user=uvms

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
server_reset_query =
"""


def binary() -> str:
    """Return the program; where it is missing, fail in CI and skip elsewhere."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(_HOW_TO_GET_IT)
    return found


class Pooler:
    """One that runs, with so many connections to the server for each database."""

    def __init__(self, server: Server, port: int) -> None:
        self._server, self._port = server, port

    def url(self, direct: str) -> str:
        """Return the URL of a server's database through the pooler."""
        return direct.replace(f":{self._server.port}/", f":{self._port}/")

    def connect(self, direct: str) -> psycopg.Connection[Any]:
        """Be another client of the same pool, who leaves nothing behind either."""
        where = self.url(direct).replace("+psycopg", "")
        return psycopg.connect(where, autocommit=True, prepare_threshold=None)


@contextmanager
def pooling(server: Server, connections: int) -> Iterator[Pooler]:
    """Have a pooler for a while."""
    program = binary()
    directory = Path(tempfile.mkdtemp(prefix="uvms-pgbouncer-"))
    try:
        port = _free_port()
        settings, users = directory / "pgbouncer.ini", directory / "users.txt"
        users.write_text('"uvms" ""\n', encoding="utf-8")
        settings.write_text(
            _SETTINGS.format(server=server.port, port=port, users=users, connections=connections),
            encoding="utf-8",
        )
        with _running(program, settings) as process:
            _await(port, process, directory / "log")
            yield Pooler(server, port)
    finally:
        shutil.rmtree(directory)


@contextmanager
def _running(program: str, settings: Path) -> Iterator[subprocess.Popen[bytes]]:
    another: dict[str, Any] = {}
    if os.geteuid() == 0:
        another = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        for path in (settings.parent, *settings.parent.iterdir()):
            os.chown(path, _NOBODY, _NOBODY)
    with (settings.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_the_tests,
            **another,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)


def _die_with_the_tests() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port
