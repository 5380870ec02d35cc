"""One secret, from a variable or from a file that may be replaced while the process runs.

Must not know what the secret is for.
"""

from __future__ import annotations

import os
from enum import StrEnum

from adapter.errors import SettingsError
from adapter.model import Secret

MOST_BYTES = 64 * 1024  # of a secret's file; a key has less than one

_Version = tuple[int, int, int, int]


class OnLoss(StrEnum):
    """What holds when a secret's file vanishes, or is empty, while the process runs."""

    KEEP = "keep"  # the last good secret: a rotation that is under way must shut nobody out
    FORGET = "forget"  # no secret: this is how a former secret is withdrawn


class SecretSource:
    """Gives a secret as it is now. Asking costs one look at the file's date."""

    def __init__(
        self,
        name: str,
        *,
        value: Secret | None = None,
        path: str | None = None,
        on_loss: OnLoss = OnLoss.KEEP,
    ) -> None:
        """Take the secret from `path` if there is one, else from `value`.

        Raises:
            SettingsError: the file gives no secret now, and must.
        """
        self.name, self._path, self._secret, self._on_loss = name, path, value, on_loss
        self._seen: _Version | None = None  # None: the file has not been read yet
        self._trouble = ""
        if path is not None:
            self._refresh(path)
            if self._trouble:
                raise SettingsError(self._trouble)

    def __repr__(self) -> str:
        where = self._path or ("unset" if self._secret is None else "***")
        return f"SecretSource({self.name}: {where})"

    def __bool__(self) -> bool:
        """Tell whether it is set up, whatever it gives at the moment."""
        return self._path is not None or self._secret is not None

    @property
    def trouble(self) -> str:
        """Return why the file could not be read when last asked; "" if it could."""
        return self._trouble

    def get(self) -> Secret | None:
        """Return the secret, never an empty one. None: there is none."""
        if self._path is not None:
            self._refresh(self._path)
        return self._secret

    def _refresh(self, path: str) -> None:
        try:
            if self._seen is not None and self._seen == _version(os.stat(path)):
                return
            self._secret, self._seen = self._read(path)
            self._trouble = ""
        except (OSError, ValueError) as error:
            self._lose(path, error)

    def _read(self, path: str) -> tuple[Secret | None, _Version]:
        """Read the file; its date is taken before its bytes, so that no change is missed."""
        with open(path, "rb") as file:
            version = _version(os.fstat(file.fileno()))
            text = _text(file.read(MOST_BYTES + 1))
        if not text and self._on_loss is OnLoss.KEEP:
            raise ValueError("it is empty")
        return (Secret(text) if text else None), version

    def _lose(self, path: str, error: OSError | ValueError) -> None:
        self._seen = None
        missing = isinstance(error, FileNotFoundError)
        if self._on_loss is OnLoss.FORGET:
            self._secret = None
            if missing:
                self._trouble = ""
                return
        why = error.strerror if isinstance(error, OSError) else str(error)
        kept = "; the last good secret stays in use" if self._secret else ""
        self._trouble = f"{self.name}_FILE: cannot read a secret from {path}: {why}{kept}"


def read_secret(path: str) -> str:
    """Return what a file holds now, without blanks around it.

    Raises:
        SettingsError: it cannot be read; the error says why.
    """
    try:
        with open(path, "rb") as file:
            return _text(file.read(MOST_BYTES + 1))
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SettingsError(f"cannot read {path}: {why}") from None


def _text(raw: bytes) -> str:
    if len(raw) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes")
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def _version(stat: os.stat_result) -> _Version:
    """Return what changes when a file is written to or, as Kubernetes does, swapped."""
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
