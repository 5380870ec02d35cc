"""buildah and podman, and our image built by them on a base that is made of Debian's packages.

No daemon and no registry: packages come from Debian's mirror and PyPI. What the base is made of is
kept in `.cache/image` of the project. Must not know what the image does.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("buildah", "catatonit", "debootstrap", "podman", "runc")
REPOSITORY = "localhost/uvms-adapter"
IMAGE = f"{REPOSITORY}:test"

_BASE = "localhost/debian-python"
_SUITE = "trixie"  # its Python is the one that the Dockerfile has by default
_PACKAGES = "ca-certificates,python3,python3-venv"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_CACHE = ROOT / ".cache" / "image"

# In place of this machine's: a Pod has no options for these.
_SETTINGS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
"""


class ToolFailed(Exception):
    """A program ended with an error; the message has what it said."""


class Containers:
    """buildah and podman with images and containers of their own, below a directory."""

    def __init__(self, directory: Path, driver: str) -> None:
        directory.mkdir()
        settings = directory / "containers.conf"
        settings.write_text(_SETTINGS, encoding="utf-8")
        self._environ = os.environ | {"CONTAINERS_CONF": str(settings)}
        images, running = directory / "images", directory / "run"
        self._where = [f"--root={images}", f"--runroot={running}", f"--storage-driver={driver}"]

    def buildah(self, *arguments: str | Path) -> str:
        return _run("buildah", *self._where, *arguments, environ=self._environ)

    def podman(self, *arguments: str | Path) -> str:
        return _run("podman", *self._where, *arguments, environ=self._environ)

    def log(self, container: str) -> str:
        """Return the last that a container has said."""
        command = ["podman", *self._where, "logs", "--tail=30", container]
        out, to_out = subprocess.PIPE, subprocess.STDOUT
        ran = subprocess.run(command, stdout=out, stderr=to_out, text=True, env=self._environ)
        return ran.stdout

    def build(self) -> None:
        """Build the image as the Dockerfile says."""
        self.buildah(
            *("bud", "--isolation=chroot", "--pull=never", "--layers=false", "--network=host"),
            f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro",
            *(f"--build-arg=PYTHON_IMAGE={_BASE}", "--build-arg=REVISION=of-this-test"),
            *(f"--tag={IMAGE}", ROOT),
        )

    def make_base(self) -> None:
        """Make the base image, and run something in it: can this machine do so at all?"""
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, _root_file_system(), "/")
        self.buildah("config", "--env=PATH=/usr/local/bin:/usr/bin:/bin", container)
        self.buildah("commit", "--quiet", container, _BASE)
        self.buildah("rm", container)
        self.podman("run", "--rm", "--network=host", _BASE, "true")


def _run(*command: str | Path, environ: dict[str, str] | None = None) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ)
    if ran.returncode != 0:
        words = " ".join(map(str, command))
        raise ToolFailed(f"{words}: {ran.returncode} {ran.stdout[-2000:]} {ran.stderr[-4000:]}")
    return ran.stdout.strip()


def _root_file_system() -> Path:
    finished, unfinished = _CACHE / _SUITE, _CACHE / "unfinished"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not finished.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, unfinished)
            for of_apt in ("var/cache/apt", "var/lib/apt/lists"):
                shutil.rmtree(unfinished / of_apt)
            unfinished.rename(finished)
    return finished


def obtain(directory: Path) -> Containers:
    """Return the tools with a base image; where they do not work, fail in CI, skip elsewhere."""
    _require_tools()
    why = ""
    for driver in ("overlay", "vfs"):  # the other copies everything, and works everywhere
        containers = Containers(directory / driver, driver)
        try:
            containers.make_base()
        except ToolFailed as error:
            why = f"{why}\n{error}"
        else:
            return containers
    _unavailable(why)


def _require_tools() -> None:
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        _unavailable(f"no {', '.join(missing)}: apt-get install {' '.join(TOOLS)}")
    if os.geteuid() != 0:
        _unavailable("debootstrap and the network of a Pod need root")


def _unavailable(why: str) -> NoReturn:
    """Skip what needs containers; in CI fail, unless it says that it cannot run any."""
    must = os.environ.get("CI") and not os.environ.get("NO_CONTAINERS")
    (pytest.fail if must else pytest.skip)(f"cannot run containers here: {why}")


@contextmanager
def network_of_its_own() -> Iterator[None]:
    """Give this thread, and whatever it starts, a network with nothing but loopback in it.

    It is the host of containers with `--network=host`: each port is free, and nobody else is
    reached.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(libc.unshare(0x40000000))  # CLONE_NEWNET; the module `os` has it from Python 3.12
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                up = struct.pack("16sh14x", b"lo", 1)  # IFF_UP
                fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS
            yield
        finally:
            _check(libc.setns(before, 0))
    finally:
        os.close(before)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
