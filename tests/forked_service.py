"""The service as a process of its own that begins at once: forked from one that has imported it.

Whoever kills a service fifty times has no second to spare for each start. The process it is forked
from has imported the program and done nothing else; what runs then is the command line, as ever.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kill_at import Killer
from process_harness import Program, until

from adapter.cli.main import run

Kill = tuple[str, str, int]  # what `kill_at` takes: when, statement, count

# The command line, and what it imports no sooner than it needs it.
_PRELOADED = """
adapter.cli.main adapter.cli.serve alembic.command anyio._backends._asyncio httpcore httptools
phonenumbers.data.region_CN psycopg uvicorn.lifespan.off uvicorn.protocols.http.auto
"""
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_PRELOADED.split())
_POLL = 0.05
_FORKING = threading.Lock()  # multiprocessing looks at all of its children at each start


class ForkedProgram(Program):
    """The command line in a forked process, with its output in a file."""

    def __init__(
        self, args: Sequence[str], log: Path, environ: Mapping[str, str], kill: Kill | None
    ) -> None:
        self.log = log
        log.touch()
        self._forked = _FORKS.Process(target=_live, args=(args, log, dict(environ), kill))
        with _FORKING:
            self._forked.start()

    @property
    def exit_code(self) -> int | None:
        with _FORKING:
            return self._forked.exitcode

    def signal(self, number: signal.Signals) -> None:
        if self.exit_code is None and self._forked.pid is not None:
            os.kill(self._forked.pid, number)

    def wait(self) -> int:
        until(lambda: self.exit_code is not None, "its end", self.tail, poll=_POLL)
        code = self.exit_code
        assert code is not None
        return code

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()


@contextmanager
def forked(
    args: Sequence[str], log: Path, environ: Mapping[str, str], kill: Kill | None = None
) -> Iterator[ForkedProgram]:
    """Run the command line while the context lasts; it may die by itself as `kill` says."""
    program = ForkedProgram(args, log, environ, kill)
    try:
        yield program
    finally:
        program.kill()


def _live(args: Sequence[str], log: Path, environ: Mapping[str, str], kill: Kill | None) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output, stream)
    os.environ.clear()
    os.environ.update(environ)
    if kill is not None:
        Killer(*kill)
    sys.exit(run(args))
