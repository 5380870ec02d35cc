"""`check-config` and `config schema`: whether routes.yaml is right, before the service reads it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from msgspec.structs import asdict, replace

from adapter.cli.options import json_option
from adapter.cli.output import print_json
from adapter.clock import utc_now
from adapter.config.coverage import coverage_problems
from adapter.config.load import load, load_file
from adapter.config.policy import Policy
from adapter.config.problems import ConfigError, Problem
from adapter.config.schema import render_json_schema

_STDIN = "/dev/stdin"


@click.command("check-config")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@json_option
def check_config(files: tuple[str, ...], as_json: bool) -> None:
    """Check routes.yaml files; without a file, standard input.

    Tells all that is wrong, each with its line and column, and what works but is hardly meant.
    Times in the coming 30 days in which nobody is on call are among the latter; overrides and
    calendars of the service's store are not looked at. Exits with 1 if any file is wrong.
    """
    results = [(name, _check(name)) for name in files or (_stdin(),)]
    failed = sum(isinstance(result, ConfigError) for _, result in results)
    if as_json:
        print_json([_as_json(name, result) for name, result in results])
    else:
        for name, result in results:
            _print(name, result)
    if failed:
        raise click.ClickException(f"failed to validate {failed} file(s)")


@click.group()
def config() -> None:
    """About routes.yaml itself."""


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of routes.yaml, for editors."""
    click.echo(render_json_schema(), nl=False)


def _stdin() -> str:
    if sys.stdin.isatty():
        raise click.ClickException("Failed to read from standard input: name a file")
    return _STDIN


def _check(name: str) -> Policy | ConfigError:
    try:
        if name in (_STDIN, "-"):
            return _looked_ahead(load(sys.stdin.buffer.read(), _STDIN))
        if not os.path.exists(name):
            raise click.ClickException(f"path {name!r} does not exist")
        return _looked_ahead(load_file(name))
    except ConfigError as error:
        return error


def _looked_ahead(policy: Policy) -> Policy:
    """Return the policy with what will go wrong in the coming days among its warnings."""
    warnings = (*policy.warnings, *coverage_problems(policy, utc_now()))
    in_order = sorted(warnings, key=lambda problem: (problem.line, problem.column))
    return replace(policy, warnings=tuple(in_order))


def _print(name: str, result: Policy | ConfigError) -> None:
    if isinstance(result, ConfigError):
        count = len(result.problems)
        click.echo(f"Checking '{name}'  FAILED: {count} problem{'' if count == 1 else 's'}")
        _print_lines("  ", result.problems)
    else:
        click.echo(f"Checking '{name}'  SUCCESS")
        click.echo("Found:")
        for thing, count in result.found.items():
            click.echo(f" - {count} {thing}")
        if result.warnings:
            click.echo("Warnings:")
            _print_lines(" - ", result.warnings)
    click.echo()


def _print_lines(before: str, problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(f"{before}{problem}")


def _as_json(name: str, result: Policy | ConfigError) -> dict[str, Any]:
    failed = isinstance(result, ConfigError)
    return {
        "file": name,
        "valid": not failed,
        "found": {} if isinstance(result, ConfigError) else dict(result.found),
        "problems": _problems(result.problems if isinstance(result, ConfigError) else ()),
        "warnings": _problems(() if isinstance(result, ConfigError) else result.warnings),
    }


def _problems(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [asdict(problem) | {"message": str(problem)} for problem in problems]
