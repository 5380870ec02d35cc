"""The policy in force: loaded, reloaded, and kept where the new file is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adapter.clock import Clock
from adapter.config.policy import Policy
from adapter.config.problems import ConfigError
from adapter.logs import logger
from adapter.metrics import Metrics

_log = logger(__name__)


class Current:
    """The policy in force: swapped as one reference, or kept where the new file is wrong."""

    def __init__(
        self, path: Path, metrics: Metrics, clock: Clock, load: Callable[[Path], Policy]
    ) -> None:
        self._path, self._metrics, self._clock, self._load_file = path, metrics, clock, load
        self._seen: tuple[object, ...] | None = None
        self._loading = threading.Lock()  # else an older file, read slowly, could come out on top
        self.policy = self._load()
        self._tell(self.policy)

    def reload(self) -> None:
        """Load the file again. Raises ConfigError, the policy in force being kept."""
        with self._loading:
            try:
                self.policy = self._load()
            except ConfigError as error:
                self._metrics.config_successful.set(0)
                _log.error(
                    "loading configuration file failed",
                    file=str(self._path),
                    problems=[str(problem) for problem in error.problems[:20]],
                )
                raise
            self._tell(self.policy)  # not before it is in force

    def look_again(self) -> None:
        """Have the next look load the file, changed or not."""
        self._seen = None

    def reload_if_changed(self) -> bool:
        """Reload when the file is another one than last time; Kubernetes swaps a symlink."""
        if self._version() == self._seen:
            return False
        with suppress(ConfigError):  # logged; the same bad file is not loaded again
            self.reload()
        return True

    def _load(self) -> Policy:
        self._seen = self._version()
        return self._load_file(self._path)

    def _tell(self, policy: Policy) -> None:
        self._metrics.config_successful.set(1)
        self._metrics.config_success_time.set(self._clock().timestamp())
        self._metrics.config_hash.set(policy.hash)
        _log.info(
            "loaded configuration file",
            file=str(self._path),
            receivers=len(policy.receivers),
            people=len(policy.people),
        )
        for warning in policy.warnings:
            _log.warning("configuration file", warning=str(warning))

    def _version(self) -> tuple[object, ...]:
        try:
            found = self._path.stat()
        except OSError as error:
            return (error.errno,)
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
