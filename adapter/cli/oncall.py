"""`oncall`: who is on call when, as a table or as a calendar to subscribe to."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from adapter.cli.options import config_option, database_option, instant, json_option, store_of
from adapter.cli.output import print_facts, print_json, print_table
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.config.policy import Policy
from adapter.errors import StoreError
from adapter.model import StoredOverride
from adapter.on_call import standing_overrides
from adapter.schedules.ical import Feed
from adapter.store.session import Session
from adapter.views import calendars, schedules
from adapter.views.values import Json

_DAYS = 14


@click.command()
@config_option
@database_option
@click.option(
    "--at", callback=instant, metavar="TIME", help="From when. [default: now]", show_default=False
)
@click.option(
    "--days",
    type=click.IntRange(1, schedules.MOST_DAYS),
    default=_DAYS,
    show_default=True,
    help="How many days to plan.",
)
@click.option("--ical", "as_ical", is_flag=True, help="Print an iCalendar file (RFC 5545).")
@json_option
@click.argument("names", nargs=-1, metavar="[SCHEDULE]...")
def oncall(
    config: Path,
    database: str | None,
    at: datetime | None,
    days: int,
    as_ical: bool,
    as_json: bool,
    names: tuple[str, ...],
) -> None:
    """Show who is on call, who is next, and every shift of the days to come.

    Overrides that were added while the service ran are read from its store; where there is none,
    routes.yaml alone counts.
    """
    policy, start = load_file(config), at or utc_now()
    overrides, feeds = stored(policy, database, start)
    found = schedules.plan(policy, overrides, feeds, start, days, names)
    if as_json:
        print_json(found)
    elif as_ical:
        click.echo(calendars.ical(found, utc_now()), nl=False)
    else:
        if not found["schedules"]:
            click.echo(f"there are no schedules in {config}")
        for schedule in found["schedules"]:
            _print(schedule)


def stored(
    policy: Policy, database: str | None, at: datetime
) -> tuple[list[StoredOverride], dict[str, Feed]]:
    """Return the overrides and calendar feeds that the service knows of; say if it has no store."""
    try:
        with store_of(database) as store:
            return store.read_now(lambda session: standing(session, policy, at))
    except StoreError as error:
        click.echo(f"without stored overrides and calendars: {error}", err=True)
        return [], {}


def standing(
    session: Session, policy: Policy, at: datetime
) -> tuple[list[StoredOverride], dict[str, Feed]]:
    """Return the overrides and calendar feeds of the store that count from an instant on."""
    return standing_overrides(session, policy, at), calendars.feeds_of(session, policy)


def _print(schedule: Json) -> None:
    """Print one schedule; its times are in its own zone."""
    zone = ZoneInfo(schedule["time_zone"])
    click.echo()
    print_facts(
        (
            ("schedule", schedule["schedule"]),
            ("time zone", schedule["time_zone"]),
            ("on call", _people(schedule["on_call"])),
            ("next", _people(schedule["next"])),
        )
    )
    click.echo()
    print_table(
        ("FROM", "UNTIL", "ON CALL"),
        [
            (_wall(shift["start"], zone), _wall(shift["end"], zone), _people(shift["people"]))
            for shift in schedule["shifts"]
        ],
    )


def _wall(instant: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(zone):%a %Y-%m-%d %H:%M}"


def _people(names: list[str]) -> str:
    return ", ".join(names) or "nobody"
