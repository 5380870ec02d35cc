"""Fenced blocks of the documents, and the routes.yaml that each of them stands for.

A YAML block names its file in the first line. `# routes.yaml` is a whole file. `# routes.yaml,
changed` is what a document changes in the file that it has shown so far: a name that is given again
replaces what had it, another key replaces what stood there, everything else stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.model import Record

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda path: path.as_posix()
)
WHOLE, CHANGED = "routes.yaml", "routes.yaml, changed"

_FENCE = re.compile(r"(?:^`([\w.-]+)`[^\n]*\n\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BY_NAME = ("people", "schedules", "voice_templates")
_LISTS_BY_NAME = ("receivers", "time_intervals")


class Block(Record):
    """A fenced block of a document."""

    document: str
    line: int
    language: str
    text: str
    file: str = ""  # that the line before it names: `night.jsonl`

    @property
    def kind(self) -> str:
        """What the first line's comment says it is: `routes.yaml`."""
        return self.text.partition("\n")[0].removeprefix("#").strip()


def document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def without_fences(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(name: str | None = None) -> Iterator[Block]:
    """Return the blocks of one document, or of all."""
    for path in DOCUMENTS:
        if name in (None, path.relative_to(ROOT).as_posix()):
            yield from _blocks_of(path)


def _blocks_of(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(
            document=path.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, found.start(2)) + 1,
            language=found[2],
            text=found[3],
            file=found[1] or "",
        )


def named(*, language: str, kind: str | None = None) -> list[Any]:
    """Return the blocks as parameters of a test."""
    return [
        pytest.param(block, id=f"{block.document}:{block.line}")
        for block in blocks()
        if block.language == language and kind in (None, block.kind)
    ]


def routes_at(name: str, line: int) -> str:
    """Return the routes.yaml as the document has shown it down to this line."""
    text = ""
    for block in blocks(name):
        if block.line > line:
            break
        if block.kind == WHOLE:
            text = block.text
        elif block.kind == CHANGED:
            merged = _merged(yaml.safe_load(text), yaml.safe_load(block.text))
            text = yaml.safe_dump(merged, allow_unicode=True, sort_keys=False)
    return text


def _merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(before)
    for key, value in change.items():
        there = merged.get(key)
        if there and key in _BY_NAME:
            merged[key] = {**there, **value}
        elif there and key in _LISTS_BY_NAME:
            by_name = {each["name"]: each for each in (*there, *value)}
            merged[key] = list(by_name.values())
        else:
            merged[key] = value
    return merged
