"""What holds for all tests: no deadlines on busy machines, and the table of counted kills."""

from __future__ import annotations

import pytest
from hypothesis import settings
from process_harness import COUNTED

# How long one example takes says nothing on a machine that is busy with other things.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the rows of all tests, those of other workers too."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == COUNTED
    ]
    if not rows:
        return
    rows.sort(key=lambda row: row["step"])
    table = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    terminalreporter.section("killed by SIGKILL, and started again")
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        terminalreporter.line("  ".join(cells).rstrip())
    totals = (f"{name} = {sum(row[name] for row in rows)}" for name in ("lost", "doubled"))
    terminalreporter.line(", ".join(totals))
