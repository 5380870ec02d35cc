"""What several commands share: their options, and how a policy or a store comes from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from adapter.config.environment import DEFAULT_DATABASE_URL, settings
from adapter.durations import parse_duration
from adapter.errors import InvalidDuration
from adapter.store.store import Store, open_store
from adapter.views.stored import DEFAULT_LISTED, MOST_LISTED

_FIRST_YEAR, _LAST_YEAR = 1970, 9000  # of times that are asked about

config_option = click.option(
    "--config",
    "--config.file",
    "config",
    type=click.Path(path_type=Path),
    default=Path("routes.yaml"),
    show_default=True,
    metavar="FILE",
    help="The routes.yaml.",
)
database_option = click.option(
    "--database",
    metavar="URL",
    help=f"The service's database. [default: UVMS_DATABASE_URL, else {DEFAULT_DATABASE_URL}]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
limit_option = click.option(
    "--limit",
    type=click.IntRange(1, MOST_LISTED),
    default=DEFAULT_LISTED,
    show_default=True,
    help="List at most so many, the newest.",
)


def duration(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Turn an option's Prometheus duration into seconds."""
    try:
        return parse_duration(value).total_seconds()
    except InvalidDuration as error:
        raise click.BadParameter(str(error)) from None


def instant(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Turn an option's time into an aware one: RFC 3339, or a time in this machine's zone."""
    try:
        found = None if value is None else datetime.fromisoformat(value).astimezone()
        if found is not None and not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise ValueError(value)
        return found
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time: write 2026-11-24T03:00:00+08:00, or '2026-11-24 03:00' in this "
            "machine's time zone"
        ) from None


def address(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, int]:
    """Turn `HOST:PORT`, `[::1]:PORT` or `:PORT` (every interface) into host and port."""
    host, colon, port = value.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and int(port) < 65_536
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not is_port or (":" in host and not bracketed):
        raise click.BadParameter(f"{value!r} is no HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - ":8080" asks for it


@contextmanager
def store_of(database: str | None) -> Iterator[Store]:
    """Open the service's store beside it, whether it runs or not."""
    store = open_store(settings(environ_with(database_url=database)).database_url.reveal)
    try:
        yield store
    finally:
        store.close()


def environ_with(**overrides: str | None) -> dict[str, str]:
    """Return the environment with what options say in place of its `UVMS_` variables."""
    environ = dict(os.environ)
    for name, value in overrides.items():
        if value is not None:
            environ.pop(f"UVMS_{name.upper()}_FILE", None)
            environ[f"UVMS_{name.upper()}"] = value
    return environ
