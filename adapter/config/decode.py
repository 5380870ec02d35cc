"""A YAML tree into the classes of `schema`: types, required keys, unknown keys.

What cannot be read is reported and left blank, so that one pass finds everything there is to find;
nobody may use the result before `Report.raise_problems`. Must not know any particular key.
"""

from __future__ import annotations

from typing import NoReturn, TypeVar, cast

import msgspec.inspect as mi

from adapter.config.nodes import Node, Scalar, Sequence, Table, describe
from adapter.config.problems import Path, Position, Report, listed, quote, suggest
from adapter.config.scalars import Unfit, blank_scalar, check_bounds, read_scalar, words
from adapter.config.section import Section

T = TypeVar("T", bound=Section)


class _Unread(Exception):
    """What stands here cannot be read; that has been reported."""


def decode(root: Node, type_: type[T], report: Report) -> T:
    """Return the tree as `type_`; all that is wrong with it goes into the report."""
    if isinstance(root, Scalar) and root.is_null:
        root = Table(entries={}, at=root.at)
    return cast(T, _Decoder(report).value(mi.type_info(type_), root, ()))


class _Decoder:
    def __init__(self, report: Report) -> None:
        self._report = report

    def value(self, wanted: mi.Type, node: Node, path: Path) -> object:
        """Return the node as what is wanted, or a blank."""
        try:
            return self._read(wanted, node, path)
        except _Unread:
            return _blank(wanted)

    def _read(self, wanted: mi.Type, node: Node, path: Path) -> object:
        match wanted:
            case mi.Metadata():
                return self._bounded(wanted, node, path)
            case mi.UnionType():
                return self._read(_one_of(wanted, node), node, path)
            case mi.StructType():
                return self._section(wanted, self._table(node, path), path)
            case mi.DictType():
                return self._dict(wanted, self._table(node, path), path)
            case mi.ListType():
                return self._list(wanted, node, path)
        return self._scalar(wanted, node, path)

    # --- collections ---------------------------------------------------------------------------

    def _section(self, wanted: mi.StructType, table: Table, path: Path) -> object:
        fields = {field.encode_name: field for field in wanted.fields}
        values: dict[str, object] = {}
        for key, entry in table.entries.items():
            if key not in fields:
                self._unknown(key, entry.at, wanted, path)
            elif not (isinstance(entry.value, Scalar) and entry.value.is_null):
                field = fields[key]
                values[field.name] = self.value(field.type, entry.value, (*path, key))
        for field in wanted.fields:
            if field.required and field.name not in values:
                self._missing(field, table, path)
                values[field.name] = _blank(field.type)
        return wanted.cls(**values)

    def _dict(self, wanted: mi.DictType, table: Table, path: Path) -> object:
        values = {}
        for key, entry in table.entries.items():
            here = (*path, key)
            name = self.value(wanted.key_type, Scalar(text=key, quoted=False, at=entry.at), here)
            values[name] = self.value(wanted.value_type, entry.value, here)
        return values

    def _list(self, wanted: mi.ListType, node: Node, path: Path) -> object:
        if isinstance(node, Scalar) and not node.is_null:
            self._wrong(node, path, "a list", f"write it as a list: [{quote(node.text)}]")
        if not isinstance(node, Sequence):
            self._wrong(node, path, "a list")
        if len(node.items) < (wanted.min_length or 0):
            self._wrong(node, path, "a list that is not empty")
        items = enumerate(node.items)
        return [self.value(wanted.item_type, item, (*path, place)) for place, item in items]

    def _table(self, node: Node, path: Path) -> Table:
        if not isinstance(node, Table):
            self._wrong(node, path, "a mapping")
        return node

    # --- scalars -------------------------------------------------------------------------------

    def _scalar(self, wanted: mi.Type, node: Node, path: Path) -> object:
        if not isinstance(node, Scalar) or node.is_null:
            self._wrong(node, path, words(wanted))
        try:
            return read_scalar(wanted, node)
        except Unfit as unfit:
            self._unfit(node, path, unfit)

    def _bounded(self, wanted: mi.Metadata, node: Node, path: Path) -> object:
        value = self._read(wanted.type, node, path)
        try:
            check_bounds(value, wanted.extra or {})
        except Unfit as unfit:
            self._unfit(node, path, unfit)
        return value

    # --- problems ------------------------------------------------------------------------------

    def _unfit(self, node: Node, path: Path, unfit: Unfit) -> NoReturn:
        self._wrong(node, path, unfit.expected, unfit.hint, unfit.found)

    def _wrong(
        self, node: Node, path: Path, expected: str, hint: str = "", found: str = ""
    ) -> NoReturn:
        self._report.problem(node.at, path, found or describe(node), expected, hint)
        raise _Unread

    def _unknown(self, key: str, at: Position, wanted: mi.StructType, path: Path) -> None:
        known = [field.encode_name for field in wanted.fields]
        section = cast(type[Section], wanted.cls)
        hint = section.ELSEWHERE.get(key) or suggest(key, known)
        found = f"the unknown key {quote(key)}"
        self._report.problem(at, (*path, key), found, listed(known), hint)

    def _missing(self, field: mi.Field, table: Table, path: Path) -> None:
        entry = table.entries.get(field.encode_name)
        at = entry.value.at if entry else table.at
        here = (*path, field.encode_name)
        self._report.problem(at, here, "nothing", _words(field.type), f"add {field.encode_name}")


def _one_of(wanted: mi.UnionType, node: Node) -> mi.Type:
    """Return the type that a node is to be read as, other than None."""
    types = [one for one in wanted.types if not isinstance(one, mi.NoneType)]
    is_list = isinstance(node, Sequence)
    return next((one for one in types if isinstance(_inner(one), mi.ListType) == is_list), types[0])


def _inner(wanted: mi.Type) -> mi.Type:
    """Return the type inside of descriptions."""
    return _inner(wanted.type) if isinstance(wanted, mi.Metadata) else wanted


def _blank(wanted: mi.Type) -> object:
    """Return what stands for a value that could not be read."""
    wanted = _inner(wanted)
    match wanted:
        case mi.StructType():
            blanks = {f.name: _blank(f.type) for f in wanted.fields if f.required}
            return wanted.cls(**blanks)
        case mi.ListType():
            return []
        case mi.UnionType():
            optional = any(isinstance(one, mi.NoneType) for one in wanted.types)
            return None if optional else _blank(wanted.types[0])
    return blank_scalar(wanted)


def _words(wanted: mi.Type) -> str:
    """Say what is wanted where there is nothing."""
    wanted = _inner(wanted)
    match wanted:
        case mi.ListType():
            return "a list"
        case mi.StructType() | mi.DictType():
            return "a mapping"
    return words(wanted)
