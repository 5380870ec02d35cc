"""`rejected`: bodies that were let in but not understood."""

from __future__ import annotations

import sys

import click

from adapter.cli.options import database_option, json_option, limit_option, store_of
from adapter.cli.output import brief, clean, local_zoned, print_facts, print_json, print_table
from adapter.views import stored


@click.group()
def rejected() -> None:
    """List and show refused webhook bodies."""


@rejected.command("list")
@database_option
@limit_option
@json_option
def list_rejected(database: str | None, limit: int, as_json: bool) -> None:
    """List the bodies that were refused, the newest first."""
    with store_of(database) as store:
        found = store.read_now(lambda session: stored.rejected(session, limit))
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "RECEIVED", "SOURCE", "BYTES", "ERROR"),
        [
            (
                str(body["id"]),
                brief(body["received_at"]),
                body["source"],
                str(body["size"]),
                body["error"],
            )
            for body in found["rejected"]
        ],
        wrapping=1,
    )


@rejected.command()
@database_option
@click.option("--raw", is_flag=True, help="Print the body alone, byte for byte, nothing masked.")
@json_option
@click.argument("rejected_id", metavar="ID", type=int)
def show(database: str | None, raw: bool, as_json: bool, rejected_id: int) -> None:
    """Show a refused body as it was kept, what looks like a phone number masked."""
    with store_of(database) as store:
        if raw:
            kept = store.read_now(lambda session: stored.find_rejected(session, rejected_id))
            sys.stdout.buffer.write(kept.body)
            return
        found = store.read_now(lambda session: stored.rejected_body(session, rejected_id))
    if as_json:
        print_json(found)
        return
    cut = f", the first {found['kept']} kept" if found["kept"] < found["size"] else ""
    print_facts(
        (
            ("received", local_zoned(found["received_at"])),
            ("source", found["source"]),
            ("bytes", f"{found['size']}{cut}"),
            ("error", found["error"]),
        )
    )
    click.echo(f"\n{clean(found['body'])}")
