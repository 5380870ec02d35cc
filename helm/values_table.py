"""Write the tables of values in README.md here and in the chart anew, from its values.yaml.

A comment that begins with `# -- ` describes the value below it. Run it after changing either:
`python helm/values_table.py`. Must not know what any value means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parent / "uvms-adapter"
READMES = (CHART / "README.md", CHART.parent / "README.md")
HEADING = "## Values\n"
PIPE = r"\|"  # in a cell
_DESCRIBES = "# -- "


class Value(NamedTuple):
    """A row of the table."""

    path: str
    default: Any
    description: str


def values(text: str) -> Iterator[Value]:
    """Yield every value that has a description, in the order of the file."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - else it is no values.yaml
    yield from _below(root, "", text.splitlines())


def _below(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Value]:
    for key, child in node.value:
        path = f"{prefix}{key.value}"
        description = _description(lines, key.start_mark.line)
        if description:
            yield Value(path, yaml.SafeLoader("").construct_document(child), description)
        elif isinstance(child, yaml.MappingNode):
            yield from _below(child, f"{path}.", lines)
        else:
            raise SystemExit(f"values.yaml: {path} has no description: begin it with {_DESCRIBES}")


def _description(lines: list[str], line: int) -> str:
    """Return the comment that stands right above a line."""
    found: list[str] = []
    while line > 0 and lines[line - 1].strip().startswith("#"):
        line -= 1
        comment = lines[line].strip()
        if comment.startswith(_DESCRIBES):
            return " ".join([comment.removeprefix(_DESCRIBES), *found])
        found.insert(0, comment.removeprefix("# "))
    return ""


def table(text: str) -> str:
    """Return the values of a values.yaml as a table of Markdown."""
    rows = (
        f"| `{path}` | {_code(default)} | {description.replace('|', PIPE)} |"
        for path, default, description in values(text)
    )
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _code(default: Any) -> str:
    return "" if default in ("", None) else f"`{json.dumps(default, ensure_ascii=False)}`"


def renewed(readme: str, values_yaml: str) -> str:
    """Return the README with a table that fits."""
    before, heading, after = readme.partition(HEADING)
    following = re.search("^## ", after, re.MULTILINE)
    rest = "\n" + after[following.start() :] if following else ""
    return f"{before}{heading}\n{table(values_yaml)}{rest}"


def main() -> None:
    """Renew the READMEs in place."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    for readme in READMES:
        readme.write_text(renewed(readme.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
