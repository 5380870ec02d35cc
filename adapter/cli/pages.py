"""`pages`: what is open, and taking a page over. Reads the store beside the service."""

from __future__ import annotations

import click

from adapter.cli.calls import print_calls
from adapter.cli.options import database_option, json_option, limit_option, store_of
from adapter.cli.output import (
    brief,
    group,
    labels,
    local_zoned,
    print_facts,
    print_json,
    print_table,
    short,
    user_name,
)
from adapter.clock import utc_now
from adapter.views import stored
from adapter.views.values import Json


@click.group()
def pages() -> None:
    """List, show and acknowledge pages."""


@pages.command("list")
@database_option
@click.option("--all", "closed_too", is_flag=True, help="List closed pages too.")
@limit_option
@json_option
def list_pages(database: str | None, closed_too: bool, limit: int, as_json: bool) -> None:
    """List the open pages, the newest first."""
    with store_of(database) as store:
        found = store.read_now(
            lambda session: stored.pages(session, only_open=not closed_too, limit=limit)
        )
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "OPENED", "STATE", "FIRING", "RECEIVER", "GROUP"),
        [
            (
                short(page["id"]),
                brief(page["opened_at"]),
                page["state"],
                str(page["firing"]),
                page["receiver"],
                group(page),
            )
            for page in found["pages"]
        ],
    )


@pages.command()
@database_option
@json_option
@click.argument("page_id", metavar="ID")
def show(database: str | None, as_json: bool, page_id: str) -> None:
    """Show a page with its alerts and calls. The beginning of its id is enough."""
    with store_of(database) as store:
        found = store.read_now(lambda session: stored.page(session, page_id))
    _show(found, as_json=as_json)


@pages.command()
@database_option
@json_option
@click.argument("page_id", metavar="ID")
def acknowledge(database: str | None, as_json: bool, page_id: str) -> None:
    """Take a page over: its escalation ends and nothing is repeated. New alerts still ring."""
    with store_of(database) as store:
        found = store.write_now(
            lambda session: stored.acknowledge(session, page_id, utc_now(), user_name())
        )
    if as_json:
        print_json(found)
    else:
        click.echo(f"acknowledged {found['id']} at {local_zoned(found['acknowledged_at'])}")


def _show(page: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(page)
        return
    print_facts(page_facts(page))
    for alert in page["alerts"]:
        click.echo()
        print_facts(alert_facts(alert))
    if page["more_alerts"]:
        click.echo("\n… and more alerts")
    click.echo()
    print_calls(page["calls"])


def page_facts(page: Json) -> list[tuple[str, str]]:
    """Return a page's facts, a line each."""
    return [
        ("page", page["id"]),
        ("state", page["state"]),
        ("receiver", page["receiver"]),
        ("group", group(page)),
        ("firing", str(page["firing"])),
        ("opened", local_zoned(page["opened_at"])),
        ("confirmed", local_zoned(page["confirmed_at"])),
        ("acknowledged", _acknowledged(page)),
        ("step", _step(page)),
        ("exhausted", local_zoned(page["exhausted_at"])),
        ("closed", local_zoned(page["closed_at"])),
        ("truncated", "yes: the last webhook left alerts out" if page["truncated"] else ""),
    ]


def alert_facts(alert: Json) -> list[tuple[str, str]]:
    """Return an alert's facts, a line each."""
    return [
        ("alert", labels(alert["labels"])),
        ("status", "firing" if alert["firing"] else "resolved"),
        ("since", local_zoned(alert["starts_at"])),
        ("until", local_zoned(alert["ends_at"])),
        *((name, value) for name, value in sorted(alert["annotations"].items())),
    ]


def _acknowledged(page: Json) -> str:
    at, by = local_zoned(page["acknowledged_at"]), page["acknowledged_by"]
    return f"{at} by {by}" if at and by else at


def _step(page: Json) -> str:
    return f"{page['step']}, until {local_zoned(page['step_until'])}" if page["step"] else ""
