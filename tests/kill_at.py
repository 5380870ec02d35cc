"""Runs the command line, and kills it by SIGKILL before or after one exact commit.

    python kill_at.py before|after|amid STATEMENT COUNT serve --config …

STATEMENT is a regex for the beginning of an SQL statement: the COUNT-th transaction that runs it
is the one. `before`: everything of it was done but the commit. `after`: it is on the disk, and
nobody has been told. `amid`: the COUNT-th such statement is not run any more. The program itself
knows nothing of this: SQLAlchemy tells of every statement and commit.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import Any

import sqlalchemy as sa

from adapter.cli.main import run


class Killer:
    """Watches transactions; their marks are kept with the database's connection."""

    def __init__(self, when: str, statement: str, count: int) -> None:
        self._when, self._statement, self._left = when, re.compile(statement), count
        sa.event.listen(sa.Engine, "before_cursor_execute", self._on_statement)
        sa.event.listen(sa.Engine, "commit", self._on_commit)
        sa.event.listen(sa.Pool, "checkin", self._on_checkin)

    def _on_statement(self, connection: sa.Connection, _cursor: Any, sql: str, *_: Any) -> None:
        if self._statement.match(sql.lstrip()) is None:
            return
        if self._when == "amid":
            self._count(connection)
        connection.info["marked"] = True

    def _on_commit(self, connection: sa.Connection) -> None:
        if connection.info.pop("marked", False) and self._when != "amid":
            self._count(connection)

    def _count(self, connection: sa.Connection) -> None:
        self._left -= 1
        if self._left == 0:
            if self._when != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            connection.info["committing"] = True

    def _on_checkin(self, _connection: Any, record: Any) -> None:
        if record.info.get("committing"):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Killer(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.exit(run(sys.argv[4:]))
