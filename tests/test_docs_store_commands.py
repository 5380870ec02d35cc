"""Every command about the store in the documents does what is said of it, in the order it is said.

The commands run in a shell as they stand there; only the places they name are the test's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from cli_world import fill
from postgres_server import Server, binaries
from store_world import HEAD, opened, page, recorded

from adapter.clock import utc_now
from adapter.store.checking import Counts, check
from adapter.store.transfer import import_store

DOCUMENTS = [Path(__file__).parents[1] / "docs" / "operations.md"]
SECTIONS = ("Choosing the store", "Moving to PostgreSQL", "Backup", "Restore", "Upgrade")
POSTGRES = "postgresql://uvms@db.example.com/uvms"


def blocks(section: str) -> list[str]:
    """Return the shell commands under a heading, block by block, whichever document it is in."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        if found := re.search(rf"^(#+) {section}$", text, re.MULTILINE):
            below = re.split(rf"^#{{1,{len(found[1])}}} ", text[found.end() :], flags=re.MULTILINE)
            return re.findall(r"^```sh\n(.*?)^```", below[0], re.MULTILINE | re.DOTALL)
    raise AssertionError(f"no document has a section {section!r}")


class Place(NamedTuple):
    """A machine as the documents suppose it."""

    folder: Path
    server: Server

    def here(self, text: str) -> str:
        """Name the test's own places in place of the documents'."""
        server = f"uvms@127.0.0.1:{self.server.port}"
        text = text.replace("postgres@db.example.com", server)
        text = text.replace("uvms@db.example.com", server)
        return re.sub(r"(?<![\w.])/(data|backup)/", rf"{self.folder}/\1/", text)

    @property
    def sqlite(self) -> str:
        return f"sqlite:///{self.folder}/data/uvms-adapter.db"

    @property
    def postgresql(self) -> str:
        return self.here(POSTGRES)

    def do(self, *sections: str) -> None:
        for section in sections:
            for block in blocks(section):
                self.run(block)

    def run(self, block: str) -> str:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("UVMS_")}
        path = [Path(sys.executable).parent, binaries(), plain["PATH"]]
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(block)],
            env=plain | {"PATH": ":".join(map(str, path)), "UVMS_DATABASE_URL": self.sqlite},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def counts(self, url: str) -> Counts:
        found = check(url, utc_now())
        assert found.troubles == ()
        assert found.counts is not None
        return found.counts


@pytest.fixture
def place(tmp_path: Path, postgres: Server) -> Iterator[Place]:
    """A machine with a night in its SQLite database, and a server without ours."""
    for name in ("data", "backup"):
        (tmp_path / name).mkdir()
    found = Place(tmp_path, postgres)
    with opened(found.sqlite) as store:
        fill(store)
    yield found
    with psycopg.connect(found.here("postgresql://postgres@db.example.com/postgres")) as server:
        server.autocommit = True
        server.execute("DROP DATABASE IF EXISTS uvms WITH (FORCE)")


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_has_commands(section: str) -> None:
    assert blocks(section)


@pytest.mark.process
def test_choosing_moving_and_backing_up(place: Place) -> None:
    before = place.counts(place.sqlite)
    place.do("Choosing the store")
    assert not any(place.counts(place.postgresql).rows.values())
    place.do("Moving to PostgreSQL")
    assert place.counts(place.postgresql) == before
    assert place.counts(place.here("sqlite:////data/back.db")) == before
    place.do("Backup")
    backups = [*place.folder.glob("backup/*")]
    assert {path.stat().st_mode & 0o777 for path in backups} == {0o600}


@pytest.mark.process
def test_restoring(place: Place) -> None:
    before = place.counts(place.sqlite)
    place.do("Choosing the store", "Backup")
    backup = place.folder / "backup" / "uvms-adapter.jsonl"
    with backup.open("rb") as source:
        import_store(place.postgresql, source, lambda _: lambda _: None)
    place.do("Backup")
    *both, without_the_open = blocks("Restore")
    for block in both:
        restored = place.postgresql if POSTGRES in block else place.sqlite
        add_a_page(restored)
        assert place.counts(restored) != before
        place.run(block)
        assert place.counts(restored) == before
    place.run(without_the_open)
    found = place.counts(place.sqlite)
    assert (found.queue.open_pages, found.queue.waiting) == (0, 0)
    assert found.rows["pages"] == before.rows["pages"] - before.queue.open_pages


def add_a_page(url: str) -> None:
    with opened(url) as store:
        store.write_now(lambda session: recorded(session, page()))


@pytest.mark.process
def test_upgrading(place: Place) -> None:
    [commands] = blocks("Upgrade")
    assert f"has schema {HEAD} already" in place.run(commands)
