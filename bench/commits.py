"""What a database needs to put rows on the disk: nothing but INSERT and COMMIT, by its own driver.

SQLite is set up as the service sets it up: WAL, and an fsync with each commit. PostgreSQL has its
defaults, and one connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg
from sqlalchemy.engine import make_url

from bench.measuring import each

_NOT_PREPARED = None  # as the service: no statement is prepared on the server


class Commits(Protocol):
    """A database, asked for nothing else."""

    def commit(self, body: bytes, rows: int) -> None:
        """Write so many rows of this size in one transaction."""


class SqliteCommits:
    """A file of its own."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        ):
            self._connection.execute(statement).close()

    def commit(self, body: bytes, rows: int) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO bodies (body) VALUES (?)", [(body,)] * rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class PostgresCommits:
    """A table of its own beside those of the service."""

    def __init__(self, url: str) -> None:
        at = make_url(url)
        self._connection = psycopg.connect(
            host=at.host,
            port=at.port,
            user=at.username,
            dbname=at.database,
            autocommit=True,
            prepare_threshold=_NOT_PREPARED,
        )
        self._connection.execute(
            "CREATE TABLE bodies (id bigserial PRIMARY KEY, body bytea NOT NULL)"
        )

    def commit(self, body: bytes, rows: int) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany("INSERT INTO bodies (body) VALUES (%s)", [(body,)] * rows)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def commits_of(url: str, folder: Path) -> Iterator[Commits]:
    """Have raw commits on the kind of database that a service's URL names."""
    sqlite = url.startswith("sqlite")
    commits = SqliteCommits(folder / "commits.db") if sqlite else PostgresCommits(url)
    try:
        yield commits
    finally:
        commits.close()


def a_row(commits: Commits, body: bytes, transactions: int, rows: int = 1) -> float:
    """Commit so many transactions one after another; return the seconds one row took."""
    return each(lambda: commits.commit(body, rows), transactions) / rows
