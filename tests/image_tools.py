"""buildah and podman, and our image built by them on a base that is made of Debian's packages.

No daemon and no registry: packages come from Debian's mirror and PyPI. What the base is made of is
kept in `.cache/image` of the project. Must not know what the image does.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
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

# Of the manual's `docker buildx build`, what a build without daemon and registry does not do.
_ONLY_BUILDX = {
    "--platform": "one for another processor needs an emulator; this machine's is built",
    "--push": "there is no registry to push to",
    "--sbom": "buildx attaches it in the registry",
    "--provenance": "buildx attaches it in the registry",
}
# And what is said in other words here: no registry has these.
_IN_PLACE_OF = {
    "PYTHON_IMAGE": f"PYTHON_IMAGE={_BASE}",
    "REVISION": "REVISION=of-this-test",
}

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
        self._settings = settings
        images, running = directory / "images", directory / "run"
        self._where = [f"--root={images}", f"--runroot={running}", f"--storage-driver={driver}"]

    @property
    def _environ(self) -> dict[str, str]:
        return os.environ | {"CONTAINERS_CONF": str(self._settings)}

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
        """Build the image as the manual says, but for what only buildx can do."""
        words, context = as_in_the_manual("docker buildx build")
        self.buildah(
            *("bud", "--isolation=chroot", "--pull=never", "--layers=false", "--network=host"),
            f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro",
            *_for_buildah(words),
            ROOT / context,
        )

    def make_base(self) -> None:
        """Make the base image, and run something in it: can this machine do so at all?"""
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, _root_file_system(), "/")
        self.buildah("config", "--env=PATH=/usr/local/bin:/usr/bin:/bin", container)
        self.buildah("commit", "--quiet", container, _BASE)
        self.buildah("rm", container)
        self.podman("run", "--rm", "--network=host", _BASE, "true")


def as_in_the_manual(command: str) -> tuple[list[tuple[str, str]], str]:
    """Return the flags of a docker command with their values ("" for none), and its last word."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").replace("\\\n", " ")
    [line] = re.findall(rf"^{command} .*$", text, re.MULTILINE)
    *words, last = re.sub(r"\$\(.*?\)", "…", line).removeprefix(command).split()
    flags: list[tuple[str, str]] = []
    while words:
        flag, _, value = words.pop(0).partition("=")
        if not value and words and not words[0].startswith("-"):
            value = words.pop(0)
        flags.append((flag, value))
    return flags, last


def _for_buildah(flags: list[tuple[str, str]]) -> list[str]:
    """Return those that buildah has too; raise KeyError where one is new to this module."""
    here = []
    for flag, value in flags:
        if flag == "--build-arg":
            here.append(f"--build-arg={_IN_PLACE_OF[value.partition('=')[0]]}")
        elif flag == "--tag":
            here.append(f"--tag={IMAGE}")
        else:
            assert _ONLY_BUILDX[flag]
    return here


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
