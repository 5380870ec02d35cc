"""YAML text into a tree of `nodes`, with whatever is no good in a configuration reported.

Refused are a key that stands twice, tags, further documents, and what is no text. Must not know
what the file is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NoReturn, cast

import yaml

from adapter.config.nodes import Entry, Node, Scalar, Sequence, Table, describe
from adapter.config.problems import Path, Position, Report, quote

MOST_LEVELS: Final = 100  # of nesting; the deepest useful file has a dozen
MOST_NODES: Final = 500_000  # after aliases are unfolded: a billion laughs end here

_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it

# What https://yaml.org/spec/1.2.2/#51-character-set leaves out; libyaml says no line for these.
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# What libyaml is at when a plain text begins with a character that means something.
_BAD_STARTS = frozenset(f"while scanning {what}" for what in ("an alias", "an anchor", "a tag"))
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class _Unusable(Exception):
    """The file cannot be read any further; the problem has been reported."""


def parse(text: str | bytes, report: Report) -> Node:
    """Return the root of the one document in `text`; an empty one is a null.

    Reports what has no place in a configuration, such as a key that stands twice.

    Raises:
        ConfigError: there is no tree, as this is no YAML or asks for too much.
    """
    try:
        return _Composer(_events(_decode(text, report), report), report).document()
    except _Unusable:
        raise report.error() from None


def _decode(text: str | bytes, report: Report) -> str:
    if isinstance(text, str):
        decoded = text
    elif text.startswith(_UTF16):
        report.problem(Position(), (), "UTF-16", "UTF-8", "save the file as UTF-8")
        raise _Unusable
    else:
        try:
            decoded = text.decode()
        except UnicodeDecodeError as error:
            at = _position(text[: error.start].decode())
            byte = f"the byte 0x{text[error.start]:02x}"
            report.problem(at, (), byte, "UTF-8", "save the file as UTF-8")
            raise _Unusable from None
    decoded = decoded.removeprefix("\ufeff")
    for match in _UNPRINTABLE.finditer(decoded):
        found = f"the control character U+{ord(match.group()):04X}"
        report.problem(_position(decoded[: match.start()]), (), found, "text", "delete it")
        raise _Unusable
    return decoded


def _position(before: str) -> Position:
    last_line = before.rpartition("\n")[2]
    return Position(line=before.count("\n") + 1, column=len(last_line) + 1)


def _events(text: str, report: Report) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_Parser)
    except yaml.MarkedYAMLError as error:
        starts = error.context in _BAD_STARTS
        mark = error.context_mark if starts else error.problem_mark or error.context_mark
        at = Position(line=mark.line + 1, column=mark.column + 1) if mark else Position()
        report.problem(at, (), *_syntax_words(text, at, error))
        raise _Unusable from None
    except yaml.YAMLError as error:  # pragma: no cover - for what a later libyaml may refuse
        report.problem(Position(), (), "what is no YAML", "YAML", str(error).splitlines()[0])
        raise _Unusable from None


def _syntax_words(text: str, at: Position, error: yaml.MarkedYAMLError) -> tuple[str, str, str]:
    lines = text.splitlines()
    line = lines[at.line - 1] if at.line <= len(lines) else ""
    here = line[at.column - 1 : at.column]
    if here == "\t":
        return "a tab", "spaces", "YAML is indented with spaces only"
    if here in ("@", "`", "%") or error.context in _BAD_STARTS:
        hint = "put the value in double quotes"
        return f"a value that begins with {quote(here)}", "a quoted text", hint
    said = f"{error.context}: {error.problem}" if error.context else f"{error.problem}"
    if error.problem == "mapping values are not allowed in this context":
        said += '; put a text that holds ": " in quotes, or mend the indentation'
    elif at.column > 1 and line[at.column - 2 : at.column - 1] in ("}", "]", '"', "'"):
        said += "; put the whole text in quotes"
    elif error.context and error.context_mark and error.context_mark.line + 1 != at.line:
        said += f" (it began at line {error.context_mark.line + 1})"
    return (quote(here) if here else "the end of the line"), "YAML", said


def _start(event: yaml.Event) -> Position:
    mark = event.start_mark
    return Position(line=mark.line + 1, column=mark.column + 1) if mark else Position()


class _Composer:
    """Makes the tree from the parser's events."""

    def __init__(self, events: Iterator[yaml.Event], report: Report) -> None:
        self._events = events
        self._report = report
        self._anchors: dict[str, Node | None] = {}  # None: still being made
        self._level = 0

    def document(self) -> Node:
        next(self._events)  # the start of the stream
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            return Scalar(text="", quoted=False, at=Position(line=1, column=1))
        root = self._node(next(self._events), ())
        next(self._events)  # the end of the document
        extra = next(self._events)
        if not isinstance(extra, yaml.StreamEndEvent):
            hint = 'delete the "---" and put all into one'
            self._stop(extra, (), "a second document", "one document", hint)
        return root

    def _node(self, event: yaml.Event, path: Path) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        event = cast(yaml.NodeEvent, event)  # the parser says nothing else here
        self._refuse_tag(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            quoted = not event.implicit[0]
            node = Scalar(text=event.value, quoted=quoted, at=_start(event))
        else:
            node = self._collection(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, event: yaml.Event, path: Path) -> Node:
        self._level += 1
        if self._level > MOST_LEVELS:
            most = f"at most {MOST_LEVELS} levels"
            self._stop(event, path, "one more level of nesting", most, "unfold it")
        is_list = isinstance(event, yaml.SequenceStartEvent)
        node = self._sequence(event, path) if is_list else self._table(event, path)
        if node.size > MOST_NODES:
            most = f"at most {MOST_NODES} nodes"
            self._stop(event, path, f"{node.size} nodes", most, "use fewer aliases")
        self._level -= 1
        return node

    def _sequence(self, start: yaml.Event, path: Path) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        size = 1 + sum(item.size for item in items)
        return Sequence(items=tuple(items), at=_start(start), size=size)

    def _table(self, start: yaml.Event, path: Path) -> Table:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, path)
            if not isinstance(key, Scalar):
                hint = "put a text that begins with { or [ in quotes"
                self._stop(event, path, f"{describe(key)} as a key", "a text", hint)
            here = (*path, key.text)
            value = self._node(next(self._events), here)
            if key.text == "<<" and not key.quoted:
                self._merge(merged, value, here)
            elif key.text in entries:
                self._duplicate(entries[key.text].at, key, here)
            else:
                entries[key.text] = Entry(at=key.at, value=value)
        entries = merged | entries if merged else entries  # what is written here wins
        size = 1 + sum(1 + entry.value.size for entry in entries.values())
        return Table(entries=entries, at=_start(start), size=size)

    def _merge(self, merged: dict[str, Entry], value: Node, path: Path) -> None:
        """Take in the keys of `<<: *other`; the first mapping that has a key gives it."""
        for source in value.items if isinstance(value, Sequence) else (value,):
            if isinstance(source, Table):
                merged |= {k: v for k, v in source.entries.items() if k not in merged}
            else:
                what = "an alias of a mapping, or a list of them"
                self._report.problem(source.at, path, describe(source), what)

    def _duplicate(self, first: Position, key: Scalar, path: Path) -> None:
        self._report.problem(
            key.at,
            path,
            f"the key {quote(key.text)} again",
            "it once",
            f"it stands at {first.line}:{first.column} already; remove one of the two",
        )

    def _alias(self, event: yaml.AliasEvent, path: Path) -> Node:
        name = str(event.anchor)
        node = self._anchors.get(name)
        if node is None:
            inside = name in self._anchors
            found = f"an alias of {'itself' if inside else 'nothing'}: {quote('*' + name)}"
            hint = "write the value out" if inside else "quote a text that begins with a star"
            self._stop(event, path, found, f'an anchor "&{name}" before it', hint)
        return node

    def _refuse_tag(self, event: yaml.NodeEvent, path: Path) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self._stop(event, path, f"the tag {quote(tag)}", "no tag", "write the plain value")

    def _stop(
        self, event: yaml.Event, path: Path, found: str, expected: str, hint: str
    ) -> NoReturn:
        self._report.problem(_start(event), path, found, expected, hint)
        raise _Unusable
