"""The tree of a YAML file: nodes that know where they stand, and nothing of what they mean.

Scalars stay the text they are, so that the traps of YAML 1.1 cannot bite: `+8613512345678` keeps
its plus, `22:30` is no number and `no` is no boolean. Whoever reads a node says what it wants;
`Scalar` answers by the rules of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from adapter.config.problems import Path, Position, quote

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class Scalar(msgspec.Struct, frozen=True, gc=False):
    """A text as it stands in the file; `quoted` ones are texts and nothing else."""

    text: str
    quoted: bool
    at: Position

    size = 1

    @property
    def is_null(self) -> bool:
        return not self.quoted and self.text in _NULLS

    @property
    def boolean(self) -> bool | None:
        """Return the boolean that stands here; None: there is none."""
        return None if self.quoted else _BOOLEANS.get(self.text)

    @property
    def integer(self) -> int | None:
        """Return the whole number that stands here; None: there is none."""
        if self.quoted or len(self.text) > 30 or not _INT.fullmatch(self.text):
            return None
        base = {"0o": 8, "0x": 16}.get(self.text[:2], 10)
        return int(self.text, base)

    @property
    def number(self) -> float | None:
        """Return the number that stands here; None: there is none."""
        if self.quoted or not _FLOAT.fullmatch(self.text):
            return self.integer
        return float(self.text)


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Node, ...]
    at: Position
    size: int = 1  # nodes in it, itself and what aliases stand for included


class Entry(msgspec.Struct, frozen=True):
    """One key of a mapping with its value."""

    at: Position  # of the key
    value: Node


class Table(msgspec.Struct, frozen=True):
    """A mapping, in the order of the file."""

    entries: Mapping[str, Entry]
    at: Position
    size: int = 1  # as in Sequence


Node = Scalar | Sequence | Table


def place(root: Node, path: Path, *, of_key: bool = False) -> Position:
    """Return where the node at `path` stands, or the nearest one above it that exists."""
    node = root
    for depth, part in enumerate(path, start=1):
        below = _below(node, part)
        if below is None:
            break
        if of_key and depth == len(path) and isinstance(node, Table):
            return node.entries[str(part)].at
        node = below
    return node.at


def find(root: Node, path: Path) -> Node | None:
    """Return the node at `path`; None: there is none."""
    node: Node | None = root
    for part in path:
        node = None if node is None else _below(node, part)
    return node


def _below(node: Node, part: str | int) -> Node | None:
    if isinstance(node, Table) and isinstance(part, str):
        entry = node.entries.get(part)
        return entry.value if entry else None
    if isinstance(node, Sequence) and isinstance(part, int):
        return node.items[part] if part < len(node.items) else None
    return None


def describe(node: Node) -> str:
    """Say in a few words what stands here."""
    if isinstance(node, Table):
        return "a mapping" if node.entries else "an empty mapping"
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    if node.is_null:
        return "nothing"
    return quote(node.text) if node.text else "an empty text"
