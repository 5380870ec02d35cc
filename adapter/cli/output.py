"""How commands print: plain lines and tables for people, JSON for scripts, both on stdout.

A table fits the terminal; where there is none (a pipe, a file) it is as wide as it needs to be,
unless COLUMNS says otherwise. Nothing is coloured without a terminal, or with NO_COLOR.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_COLUMNS = 1000  # wide enough for any row; `grep` and `cut` want rows whole
_SHORT_ID = 12  # characters of an id in tables; commands take any unambiguous beginning

_STYLES = {
    "open": "red",
    "exhausted": "bold red",
    "acknowledged": "yellow",
    "refused": "red",
    "gave_up": "red",
    "unknown": "yellow",
    "accepted": "green",
}


# What would steer the terminal instead of being read: escapes, and marks that turn the text round.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Return a text from outside as it can be shown: what steers terminals as `\\x1b`."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def console() -> Console:
    """Return a console on today's stdout."""
    known_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return Console(width=None if known_width else _PIPE_COLUMNS, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """Print a value as JSON, for scripts."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, wrapping: int = 2
) -> None:
    """Print rows under their headings; the last columns wrap, so many, the others stay whole."""
    table = Table(box=None, show_edge=False, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        table.add_column(name, no_wrap=index < len(columns) - wrapping, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    _print(table)


def print_facts(facts: Sequence[tuple[str, str]], indent: int = 0) -> None:
    """Print names with their values beside them; empty values are left out."""
    table = Table(
        box=None, show_edge=False, show_header=False, pad_edge=False, padding=(0, 2, 0, 0)
    )
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(Text(" " * indent + clean(name)), _cell(value))
    if table.row_count:
        _print(table)


def _cell(value: str) -> Text:
    return Text(clean(value), style=_STYLES.get(value, ""))


def _print(table: Table) -> None:
    """Print without the blanks that fill lines up."""
    out = console()
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=out.color_system is not None)


def short(id_: str | None) -> str:
    """Return the beginning of an id, as tables show it."""
    return (id_ or "")[:_SHORT_ID]


def local(instant: str | None) -> str:
    """Return a time of a JSON value in this machine's zone: `2026-11-24 03:00:05`."""
    return "" if instant is None else f"{_here(instant):%Y-%m-%d %H:%M:%S}"


def local_zoned(instant: str | None) -> str:
    """Return a time of a JSON value in this machine's zone, with the zone."""
    return "" if instant is None else f"{_here(instant):%Y-%m-%d %H:%M:%S %Z}"


def brief(instant: str | None) -> str:
    """Return a time of a JSON value for a narrow column: `11-24 03:00:05`."""
    return "" if instant is None else f"{_here(instant):%m-%d %H:%M:%S}"


def labels(found: Mapping[str, Any]) -> str:
    """Return labels as Alertmanager prints them: `cluster="c" job="node"`."""
    return " ".join(f'{name}="{value}"' for name, value in sorted(found.items()))


def group(page: Mapping[str, Any]) -> str:
    """Return the labels that the alerts of a page have in common."""
    return labels(page["group_labels"]) or "not grouped"


def callee(call: Mapping[str, Any]) -> str:
    """Return the person of a call with the masked number; a bare number is its own name."""
    person, phone = call["person"], call["phone"]
    return str(phone) if person == phone else f"{person}  {phone}"


def _here(instant: str) -> datetime:
    return datetime.fromisoformat(instant).astimezone()


def user_name() -> str:
    """Return who runs this command, for the story."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"uid {os.getuid()}"
