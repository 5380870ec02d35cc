"""`override`: put somebody on call for a time without touching routes.yaml."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

import click

from adapter.cli.options import config_option, database_option, instant, json_option, store_of
from adapter.cli.output import local_zoned, print_json, print_table, short, user_name
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.durations import parse_duration
from adapter.errors import InvalidDuration
from adapter.views import schedules


@click.group()
def override() -> None:
    """Put somebody on call for a time: at once, recorded, and over by itself."""


@override.command()
@config_option
@database_option
@click.option("--person", required=True, help="Who is on call then: a name of routes.yaml.")
@click.option(
    "--from", "starts_at", callback=instant, metavar="TIME", help="From when. [default: now]"
)
@click.option("--until", "ends_at", callback=instant, metavar="TIME", help="Until when.")
@click.option("--for", "lasts", metavar="DURATION", help="For how long: 8h, 1d12h.")
@json_option
@click.argument("schedule")
def add(
    config: Path,
    database: str | None,
    person: str,
    starts_at: datetime | None,
    ends_at: datetime | None,
    lasts: str | None,
    as_json: bool,
    schedule: str,
) -> None:
    """Put a person on call in a schedule, whatever its rotations say.

    The running service knows of it with its next decision. An override that is added later wins
    over an earlier one.
    """
    now = utc_now()
    begins = starts_at or now
    ends = _end(begins, ends_at, lasts)
    policy = load_file(config)
    with store_of(database) as store:
        made = store.write_now(
            lambda session: schedules.add_override(
                session,
                policy,
                schedule=schedule,
                person=person,
                starts_at=begins,
                ends_at=ends,
                now=now,
                by=user_name(),
                new_id=lambda: uuid.uuid4().hex,
            )
        )
    if as_json:
        print_json(made)
    else:
        until = local_zoned(made["until"])
        since = f" from {local_zoned(made['from'])}" if begins > now else ""
        click.echo(
            f"{made['person']} is on call in {made['schedule']}{since} until {until}, "
            f"override {short(made['id'])}"
        )


@override.command("list")
@database_option
@json_option
def list_overrides(database: str | None, as_json: bool) -> None:
    """List the overrides that are not over. Those of routes.yaml stand there."""
    with store_of(database) as store:
        found = store.read_now(lambda session: schedules.overrides(session, utc_now()))
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "SCHEDULE", "PERSON", "FROM", "UNTIL", "ADDED BY"),
        [
            (
                short(each["id"]),
                each["schedule"],
                each["person"],
                local_zoned(each["from"]),
                local_zoned(each["until"]),
                each["created_by"],
            )
            for each in found["overrides"]
        ],
    )


@override.command()
@database_option
@json_option
@click.argument("override_id", metavar="ID")
def remove(database: str | None, as_json: bool, override_id: str) -> None:
    """End an override now. The beginning of its id is enough."""
    with store_of(database) as store:
        found = store.write_now(
            lambda session: schedules.remove_override(session, override_id, utc_now(), user_name())
        )
    if as_json:
        print_json(found)
    else:
        until = local_zoned(found["until"])
        click.echo(f"removed: {found['person']} in {found['schedule']} until {until}")


def _end(begins: datetime, ends_at: datetime | None, lasts: str | None) -> datetime:
    if (ends_at is None) == (lasts is None):
        raise click.UsageError("say --for DURATION or --until TIME, one of them")
    if ends_at is not None:
        return ends_at
    try:
        return begins + parse_duration(lasts or "")
    except (InvalidDuration, OverflowError) as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
