"""`store`: look after the database: bring it up to date, check it, move it, back it up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adapter.cli.options import database_option, environ_with, json_option
from adapter.cli.output import print_facts, print_json
from adapter.clock import utc_now
from adapter.config.environment import settings
from adapter.errors import NotPossible
from adapter.store.checking import Checked, Counts, check, is_held
from adapter.store.migrating import Schema
from adapter.store.store import shown_url, upgrade
from adapter.store.transfer import Header, Imported, export_store, import_store
from adapter.views.values import Json

_STREAM = "-"


@click.group()
def store() -> None:
    """Look after the database: migrate, check, move, back up."""


@store.command()
@database_option
def migrate(database: str | None) -> None:
    """Bring the schema up to date without starting the service.

    The service does so itself when it starts. Others may do so at the same time: one migrates.
    """
    url = _url(database)
    before, after = upgrade(url)
    if before == after:
        click.echo(f"{shown_url(url)} has schema {after} already")
    else:
        click.echo(f"{shown_url(url)} migrated from schema {before or 'none'} to {after}")


@store.command("check")
@database_option
@json_option
def check_store(database: str | None, as_json: bool) -> None:
    """Tell what is in the database, and whether all of it is well.

    Reads all of it, beside a running service. Exits with 1 where something is wrong.
    """
    now = utc_now()
    found = check(_url(database), now)
    if as_json:
        print_json(_json(found))
    else:
        print_facts(list(_facts(found)))
    if found.troubles:
        raise NotPossible("\n".join(f"{found.shown}: {trouble}" for trouble in found.troubles))


@store.command("export")
@database_option
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.argument("file", metavar="FILE")
def export(database: str | None, force: bool, file: str) -> None:
    """Write all that matters into FILE, as it stands at one instant; - is stdout.

    The service may run meanwhile. The file holds full phone numbers and what alerts said, so it is
    made for its owner's eyes only. `uvms-adapter store import` reads it, into any engine.
    """
    url = _url(database)
    with _written(file, force=force) as out, _progress("exporting") as begin:
        header = export_store(url, out, utc_now(), begin)
    _warn(f"exported {_said(header)} of {shown_url(url)}, schema {header.schema}")
    _warn("KEEP IT SAFE: it holds full phone numbers, and what the alerts said")
    if is_held(url):
        _warn("a service uses this database: what it does from now on is not in the file")


@store.command("import")
@database_option
@click.option(
    "--closed-only",
    is_flag=True,
    help="Leave out what is open, pages and calls: nobody is rung for an old backup.",
)
@click.argument("file", metavar="FILE")
def import_(database: str | None, closed_only: bool, file: str) -> None:
    """Write an export into an empty database: whole or not at all; - is stdin.

    The database is made, or brought up to date, first. What was open goes on where it was: pages
    escalate, calls that wait are made, calls that were under way are looked up first.
    """
    url = _url(database)
    with _read(file) as source, _progress("importing") as begin:
        done = import_store(url, source, begin, closed_only=closed_only)
    click.echo(f"imported {_said(done.header)} into {shown_url(url)}{_without(done)}")
    click.echo(f"exported {done.header.exported_at:%Y-%m-%d %H:%M:%S} UTC")


# --- what is told ---


def _facts(found: Checked) -> Iterator[tuple[str, str]]:
    yield "database", found.shown
    yield "engine", found.engine
    yield "schema", _schema(found.schema)
    yield "in use by", _users(found)
    yield "size", decimal(found.size)
    if found.counts is not None:
        yield from _counted(found.counts)
    yield "integrity", "trouble" if found.troubles else "ok"


def _schema(schema: Schema) -> str:
    found = schema.found or "none"
    return found if found == schema.ours else f"{found}, this version's is {schema.ours}"


def _users(found: Checked) -> str:
    if found.alone:
        return "a service" if found.held_by else "no service"
    return f"{found.held_by} {_plural('service', found.held_by)}, as far as they listen"


def _counted(counts: Counts) -> Iterator[tuple[str, str]]:
    queue, rows = counts.queue, counts.rows
    yield (
        "pages",
        f"{rows['pages']}: {queue.open_pages} open, {queue.unacknowledged_pages} of them taken by "
        f"nobody, {queue.exhausted_pages} of those exhausted",
    )
    yield (
        "calls",
        f"{rows['calls']}: {queue.waiting} waiting, {queue.sending} sending, "
        f"{queue.unknown} to be looked up",
    )
    yield (
        "oldest due",
        f"{queue.oldest_due_at:%Y-%m-%d %H:%M:%S} UTC" if queue.oldest_due_at else "",
    )
    yield "attempts", f"{rows['attempts']}: {counts.attempts_under_way} under way"
    yield "webhooks", f"{counts.webhooks} kept, {counts.rejected} refused"


def _json(found: Checked) -> Json:
    counts = found.counts
    return {
        "database": found.shown,
        "engine": found.engine,
        "schema": {"found": found.schema.found, "ours": found.schema.ours},
        "held_by": found.held_by,
        "size_bytes": found.size,
        "troubles": list(found.troubles),
        "rows": counts.rows if counts else None,
        "open": counts and _open(counts),
    }


def _open(counts: Counts) -> Json:
    queue = counts.queue
    return {
        "pages": queue.open_pages,
        "unacknowledged_pages": queue.unacknowledged_pages,
        "exhausted_pages": queue.exhausted_pages,
        "waiting_calls": queue.waiting,
        "sending_calls": queue.sending,
        "unknown_calls": queue.unknown,
        "attempts_under_way": counts.attempts_under_way,
        "oldest_due_at": queue.oldest_due_at.isoformat() if queue.oldest_due_at else None,
    }


def _said(header: Header) -> str:
    pages, calls = header.rows.get("pages", 0), header.rows.get("calls", 0)
    return (
        f"{pages} {_plural('page', pages)}, {calls} {_plural('call', calls)}, "
        f"{header.total} rows in all"
    )


def _without(done: Imported) -> str:
    return f", but for {done.left_out} that were open" if done.left_out else ""


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _warn(text: str) -> None:
    """Say something that must not get into an export on stdout."""
    click.echo(text, err=True)


# --- files ---


def _url(database: str | None) -> str:
    return settings(environ_with(database_url=database)).database_url.reveal


@contextmanager
def _written(file: str, *, force: bool) -> Iterator[BinaryIO]:
    """Write a file that is there when it is whole, for its owner's eyes only."""
    if file == _STREAM:
        if sys.stdout.isatty():
            raise click.UsageError("an export holds phone numbers: name a FILE, or use a pipe")
        yield sys.stdout.buffer
        return
    if Path(file).exists() and not force:
        raise NotPossible(f"{file} is there already: name another file, or say --force")
    part = Path(f"{file}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _read(file: str) -> Iterator[BinaryIO]:
    if file == _STREAM:
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as source:
        yield source


Begin = Callable[[Header], Callable[[int], None]]


@contextmanager
def _progress(what: str) -> Iterator[Begin]:
    """Show how far things are on stderr, if that is a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    shown = Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )

    def begin(header: Header) -> Callable[[int], None]:
        task = shown.add_task(what, total=header.total)
        return lambda more: shown.advance(task, more)

    with shown:
        yield begin
