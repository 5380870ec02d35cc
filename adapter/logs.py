"""Logging: events in lower case with key=value, as JSON lines or for a console, on stderr.

One result line a unit of work; the same failure again is no new line (`Changes`).
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

Logger = structlog.stdlib.BoundLogger

# Libraries that would write requests, numbers and signatures into the log.
_QUIET = ("httpx", "httpcore", "urllib3", "opentelemetry", "alembic", "uvicorn", "asyncio")


def configure(*, as_json: bool, level: str) -> None:
    """Set up logging for the whole process, the libraries' too."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    last: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            timestamp_key="time",
            # Not the one with local variables: those hold phones and secrets, and take seconds.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    errors: list[Any] = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *errors,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def logger(name: str) -> Logger:
    """Return the logger of a module."""
    found: Logger = structlog.get_logger(name)
    return found


class Changes:
    """Tells whether something is news: the same failure of the same thing again is not."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most  # things remembered; beyond it all are forgotten, and news again
        self._last: dict[str, object] = {}

    def is_news(self, thing: str, state: object) -> bool:
        """Return whether the thing's state differs from what was last said of it."""
        if thing in self._last and self._last[thing] == state:
            return False
        if len(self._last) >= self._most:
            self._last.clear()
        self._last[thing] = state
        return True
