"""Hears when another process says that there is work: LISTEN on a connection of its own.

A convenience only. Whoever is not woken, because the connection is gone or a pooler swallowed the
notification, finds the work at its next poll.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from adapter.logs import logger

CHANNEL = "uvms_adapter_wake"
LISTEN = f"LISTEN {CHANNEL}"

_log = logger(__name__)

_LOOK_UP_SECONDS = 0.5  # how often it looks whether it is to end
_AGAIN_SECONDS = (1.0, 2.0, 5.0, 15.0)  # after the connection was lost; the poll goes on meanwhile


class Listening:
    """A thread that calls back on each wake, and once when it has begun to listen again."""

    def __init__(self, parameters: Mapping[str, Any], callback: Callable[[], None]) -> None:
        self._parameters, self._callback = parameters, callback
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._thread.join(2 * _LOOK_UP_SECONDS)  # else it is connecting; it is a daemon

    def _run(self) -> None:
        import psycopg  # see `postgres`

        failures = 0
        while not self._ended.is_set():
            try:
                with psycopg.connect(**self._parameters) as connection:
                    connection.execute(LISTEN)
                    failures = 0
                    self._hear(connection)
            except psycopg.Error as error:
                if failures == 0:
                    _log.info("not woken by other replicas for now", error=type(error).__name__)
                self._ended.wait(_AGAIN_SECONDS[min(failures, len(_AGAIN_SECONDS) - 1)])
                failures += 1

    def _hear(self, connection: Any) -> None:
        self._tell()  # of what happened while nobody listened
        while not self._ended.is_set():
            if list(connection.notifies(timeout=_LOOK_UP_SECONDS, stop_after=1)):
                self._tell()

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop that wanted to know has ended
            self._callback()
