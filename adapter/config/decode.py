"""A YAML tree into the classes of `schema`: types, required keys, unknown keys.

What cannot be read is reported and left blank, so that one pass finds everything there is to find;
nobody may use the result before `Report.raise_problems`. Must not know any particular key.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NoReturn, TypeVar, cast

import msgspec.inspect as mi

from adapter.config.nodes import Node, Scalar, Sequence, Table, describe
from adapter.config.phones import parse_phone
from adapter.config.problems import Path, Position, Report, listed, quote, suggest
from adapter.config.schema import RepeatInterval, Section
from adapter.durations import parse_duration
from adapter.errors import InvalidDuration, InvalidPhoneNumber
from adapter.model import PhoneNumber
from adapter.routing import Repeat

T = TypeVar("T", bound=Section)

DURATION = "a duration such as 30s, 5m or 1h30m"
ENDPOINT = "a URL such as https://api.ucloud.cn, without user, query and fragment"
PHONE = "a phone number in E.164 form (+, country code, number)"


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
                positive = (wanted.extra or {}).get("positive")
                return (self._positive if positive else self._read)(wanted.type, node, path)
            case mi.UnionType():
                return self._read(_not_none(wanted), node, path)
            case mi.StructType():
                return self._section(wanted, self._table(node, path), path)
            case mi.DictType():
                return self._dict(wanted, self._table(node, path), path)
            case mi.ListType():
                return self._list(wanted, node, path)
        if not isinstance(node, Scalar) or node.is_null:
            self._wrong(node, path, _words(wanted))
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
        items = enumerate(node.items)
        return [self.value(wanted.item_type, item, (*path, place)) for place, item in items]

    def _table(self, node: Node, path: Path) -> Table:
        if not isinstance(node, Table):
            self._wrong(node, path, "a mapping")
        return node

    # --- scalars -------------------------------------------------------------------------------

    def _scalar(self, wanted: mi.Type, node: Scalar, path: Path) -> object:
        value: object
        match wanted:
            case mi.StrType():
                value = node.text if _is_text(wanted, node.text) else None
            case mi.BoolType():
                value = node.boolean
            case mi.IntType():
                value = node.integer if _within(wanted, node.integer) else None
            case mi.FloatType():
                value = node.number if _within(wanted, node.number) else None
            case mi.LiteralType():
                value = node.integer if node.integer in wanted.values else None
            case mi.EnumType():
                value = next((one for one in wanted.cls if one.value == node.text), None)
            case mi.TimeDeltaType():
                value = self._duration(node, path)
            case mi.CustomType() if wanted.cls is PhoneNumber:
                value = self._phone(node, path)
            case _:
                value = self._repeat_interval(node, path)
        if value is None:
            self._wrong(node, path, _words(wanted), _scalar_hint(wanted, node))
        return value

    def _phone(self, node: Scalar, path: Path) -> PhoneNumber:
        try:
            return parse_phone(node.text)
        except InvalidPhoneNumber as error:
            self._wrong(node, path, PHONE, str(error))

    def _duration(self, node: Scalar, path: Path) -> timedelta:
        try:
            return parse_duration(node.text)
        except InvalidDuration as error:
            self._wrong(node, path, DURATION, str(error))

    def _positive(self, wanted: mi.Type, node: Node, path: Path) -> object:
        value = self._read(wanted, node, path)
        if not value:
            self._wrong(node, path, "a duration above 0")
        return value

    def _repeat_interval(self, node: Scalar, path: Path) -> RepeatInterval:
        if node.text == Repeat.NEVER.value:
            return RepeatInterval(Repeat.NEVER)
        interval = self._duration(node, path)
        if not interval:
            self._wrong(node, path, "a duration above 0", "write never to call but once")
        return RepeatInterval(interval)

    # --- problems ------------------------------------------------------------------------------

    def _wrong(self, node: Node, path: Path, expected: str, hint: str = "") -> NoReturn:
        self._report.problem(node.at, path, describe(node), expected, hint)
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


def _inner(wanted: mi.Type) -> mi.Type:
    """Return the type inside of descriptions and `| None`."""
    if isinstance(wanted, mi.Metadata):
        return _inner(wanted.type)
    return _inner(_not_none(wanted)) if isinstance(wanted, mi.UnionType) else wanted


def _not_none(wanted: mi.UnionType) -> mi.Type:
    return next(one for one in wanted.types if not isinstance(one, mi.NoneType))


def _blank(wanted: mi.Type) -> object:
    """Return what stands for a value that could not be read."""
    if isinstance(wanted, mi.Metadata):
        return _blank(wanted.type)
    match wanted:
        case mi.StructType():
            blanks = {f.name: _blank(f.type) for f in wanted.fields if f.required}
            return wanted.cls(**blanks)
        case mi.ListType():
            return []
        case mi.StrType():
            return ""
        case mi.CustomType():
            return PhoneNumber("")
    return None


def _is_text(wanted: mi.StrType, text: str) -> bool:
    if wanted.pattern is not None and not re.search(wanted.pattern, text):
        return False
    return len(text) >= (wanted.min_length or 0)


def _within(wanted: mi.IntType | mi.FloatType, value: float | None) -> bool:
    if value is None or (wanted.gt is not None and value <= wanted.gt):
        return False
    return (wanted.ge is None or value >= wanted.ge) and (wanted.le is None or value <= wanted.le)


def _words(wanted: mi.Type) -> str:
    """Say what is wanted."""
    wanted = _inner(wanted)
    match wanted:
        case mi.StrType():
            if wanted.pattern is not None:
                return ENDPOINT
            return "a text that is not empty" if wanted.min_length else "a text"
        case mi.BoolType():
            return "true or false"
        case mi.IntType():
            return f"a whole number{_range_words(wanted)}"
        case mi.FloatType():
            return f"a number{_range_words(wanted)}"
        case mi.LiteralType():
            return listed([str(value) for value in wanted.values])
        case mi.EnumType():
            return listed([str(one.value) for one in wanted.cls])
        case mi.ListType():
            return "a list"
        case mi.TimeDeltaType():
            return DURATION
        case mi.CustomType():
            return PHONE if wanted.cls is PhoneNumber else f"{DURATION}, or never"
    return "a mapping"


def _range_words(wanted: mi.IntType | mi.FloatType) -> str:
    low = f" of at least {wanted.ge}" if wanted.ge is not None else ""
    low = f" above {wanted.gt:g}" if wanted.gt is not None else low
    if wanted.le is None:
        return low
    return f"{low} and at most {wanted.le:g}" if low else f" of at most {wanted.le:g}"


def _scalar_hint(wanted: mi.Type, node: Scalar) -> str:
    if not isinstance(wanted, (mi.StrType, mi.EnumType)) and node.quoted:
        bare = Scalar(text=node.text, quoted=False, at=node.at)
        if bare.boolean is not None or bare.number is not None:
            return "remove the quotes"
    if isinstance(wanted, mi.BoolType) and node.text.lower() in ("yes", "on", "no", "off"):
        return f"write {'true' if node.text.lower() in ('yes', 'on') else 'false'}"
    if isinstance(wanted, mi.EnumType):
        return suggest(node.text, [str(one.value) for one in wanted.cls])
    return ""
