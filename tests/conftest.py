"""What holds for all tests: both databases, no deadlines, and the table of counted kills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import all_in
from hypothesis import settings
from postgres_server import Server, running
from process_harness import COUNTED
from store_world import url

# How long one example takes says nothing on a machine that is busy with other things.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL that is there as soon as a test asks for it."""
    with running() as server:
        yield server


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the test's databases, see `databases.url_in`, be of either kind."""
    if request.param == "sqlite":
        yield
    else:
        with all_in(request.getfixturevalue("postgres")):
            yield


@pytest.fixture
def store_url(database: None, tmp_path: Path) -> str:
    """A database of the test's own, of either kind."""
    return url(tmp_path)


@pytest.fixture(scope="module", params=DATABASES)
def shared_store_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database for all tests of a file, of either kind."""
    if request.param == "sqlite":
        yield url(tmp_path_factory.mktemp("store"))
    else:
        server: Server = request.getfixturevalue("postgres")
        with server.database() as found:
            yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the rows of all tests, those of other workers too, in a table for each kind of row."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == COUNTED
    ]
    tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        tables.setdefault(tuple(row), []).append(row)
    for table in tables.values():
        _print_table(terminalreporter, sorted(table, key=lambda row: row["step"]))


def _print_table(terminalreporter: pytest.TerminalReporter, rows: list[dict[str, Any]]) -> None:
    table = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    terminalreporter.section("killed by SIGKILL, and started again")
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        terminalreporter.line("  ".join(cells).rstrip())
    totals = (f"{name} = {sum(row[name] for row in rows)}" for name in ("lost", "doubled"))
    terminalreporter.line(", ".join(totals))
