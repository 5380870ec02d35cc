"""A file under examination: notes problems and warnings at the place a path leads to.

Knows nothing of what the settings mean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from adapter.config.nodes import Node, Scalar, Sequence, Table, find, place
from adapter.config.problems import Path, Position, Report, listed, quote, suggest

_MOST_NAMES = 8  # that a hint lists


class Draft:
    """The tree of a file, with the report on it."""

    def __init__(self, root: Node, report: Report) -> None:
        self._root, self._report = root, report

    def has(self, path: Path) -> bool:
        """Tell whether the file has a mapping or a list there."""
        return isinstance(find(self._root, path), Table | Sequence)

    def has_value(self, path: Path) -> bool:
        """Tell whether the file has anything there, readable or not."""
        node = find(self._root, path)
        return node is not None and not (isinstance(node, Scalar) and node.is_null)

    def position(self, path: Path) -> Position:
        """Return where the key at `path` stands, or the nearest one above it that exists."""
        return place(self._root, path, of_key=True)

    def problem(self, path: Path, found: str, expected: str, hint: str = "") -> None:
        """Note something that makes the file unusable."""
        self._report.problem(place(self._root, path), path, found, expected, hint)

    def key_problem(self, path: Path, found: str, expected: str, hint: str = "") -> None:
        """Note a key that may not stand here."""
        self._report.problem(self.position(path), path, found, expected, hint)

    def warning(self, path: Path, found: str, expected: str = "", hint: str = "") -> None:
        """Note something that works but is hardly meant."""
        self._report.warning(self.position(path), path, found, expected, hint)

    def knows(self, name: str, known: Collection[str], path: Path, expected: str) -> bool:
        """Tell whether a name refers to something, and note it if it does not.

        A blank stands for what could not be read and has been noted already.
        """
        if name not in known and name:
            self.problem(path, quote(name), expected, suggest_any(name, known))
        return name in known

    def no_repeats(self, names: Iterable[tuple[str, Path]], expected: str, hint: str) -> None:
        """Note each name that comes again."""
        seen: set[str] = set()
        for name, path in names:
            if name in seen and name:
                self.problem(path, f"{quote(name)} again", expected, hint)
            seen.add(name)


def suggest_any(name: str, known: Collection[str]) -> str:
    """Return the nearest known name, or else what names there are."""
    known = set(known) - {""}
    if near := suggest(name, known):
        return near
    if not known:
        return "there is none yet"
    return f"there is {listed(sorted(known))}" if len(known) <= _MOST_NAMES else ""
