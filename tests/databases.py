"""Where a test's databases are: in its own directories, or in a real PostgreSQL.

Whatever needs a store asks for the one of a directory, by `url_in`. In a test that has the fixture
`database` this is SQLite once and PostgreSQL once; in any other it is SQLite. So a test's body,
and the world it is in, say nothing of the engine. A database has today's schema from the beginning,
for making that takes longer than most of what is then done with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from postgres_server import Server

from adapter.store.store import open_store

# Marks a test of a module that runs on both where only one of them has something to tell.
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

_server: tuple[Server, ExitStack, dict[Path, str]] | None = None  # None: in files


def url_in(directory: Path, file: str = "adapter.db", *, schema: bool = True) -> str:
    """Return the URL of this directory's database; `file` is what it is called in SQLite.

    `schema`: whether it has one before anybody opens it.
    """
    where = directory / file
    if _server is None:
        if schema and not where.exists():
            where.write_bytes(_with_schema())
        return f"sqlite:///{where}"
    server, until_then, urls = _server
    if where not in urls:
        urls[where] = until_then.enter_context(server.database(empty=not schema))
    return urls[where]


@contextmanager
def all_in(server: Server) -> Iterator[None]:
    """Have all databases in a server; drop them at the end."""
    global _server
    with ExitStack() as until_then:
        _server = server, until_then, {}
        try:
            yield
        finally:
            _server = None


@cache
def _with_schema() -> bytes:
    with TemporaryDirectory() as directory:
        file = Path(directory) / "empty.db"
        open_store(f"sqlite:///{file}", exclusive=True).close()
        return file.read_bytes()
