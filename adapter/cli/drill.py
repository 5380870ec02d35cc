"""`drill`: ring everyone of a schedule by daylight, to know that at night their phones ring.

The calls go into the service's outbox as a test call does, each due at its time of the plan.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from adapter.cli import drill_plan
from adapter.cli.options import (
    config_option,
    database_option,
    duration,
    instant,
    json_option,
    store_of,
)
from adapter.cli.output import brief, clean, local_zoned, print_facts, print_json, print_table
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.errors import NotPossible
from adapter.model import Call, CallState, Result
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.views.values import Json, shown

_POLL_SECONDS = 0.1
_TAKEN_WITHIN = timedelta(seconds=30)  # a running service looks for calls each second
_START = "start"


class _DrillGroup(click.Group):
    """`drill SCHEDULE` is short for `drill start SCHEDULE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_help = bool(args) and args[0] in ctx.help_option_names
        if args and not is_help and args[0] not in self.commands:
            args = [_START, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DrillGroup)
def drill() -> None:
    """Ring everyone of a schedule for a test, and report who answered.

    `drill SCHEDULE` is short for `drill start SCHEDULE`.
    """


@drill.command(_START)
@config_option
@database_option
@click.option(
    "--receiver", "receiver_name", required=True, metavar="NAME", help="Whose words are spoken."
)
@click.option(
    "--every",
    callback=duration,
    metavar="DURATION",
    default="2m",
    show_default=True,
    help="From one call to the next.",
)
@click.option("--at", callback=instant, metavar="TIME", help="When to begin. [default: now]")
@click.option("--people", metavar="NAME,...", help="Only these of the schedule.")
@click.option("--yes", is_flag=True, help="Do not ask whether to begin.")
@click.option("--watch", is_flag=True, help="Wait for the results, and report them.")
@click.option(
    "--timeout",
    callback=duration,
    metavar="DURATION",
    default="10m",
    show_default=True,
    help="With --watch: wait so long after the last call is due.",
)
@json_option
@click.argument("schedule")
def start(
    config: Path,
    database: str | None,
    receiver_name: str,
    every: float,
    at: datetime | None,
    people: str | None,
    yes: bool,
    watch: bool,
    timeout: float,
    as_json: bool,
    schedule: str,
) -> None:
    """Ring everyone whom a schedule ever names, one after the other.

    The running service makes the calls, with the template of its own routes.yaml; the phones
    really ring, unless the service simulates. With --watch it exits with 1 unless everybody has
    answered; without, see uvms-adapter drill report.
    """
    policy, now = load_file(config), utc_now()
    if at is not None and at < now:
        raise click.BadParameter(f"{local_zoned(shown(at))} is over", param_hint="--at")
    receiver = drill_plan.speaking_receiver(policy, receiver_name)
    with store_of(database) as store:
        named = store.read_now(lambda session: drill_plan.members(session, policy, schedule, now))
        called = drill_plan.chosen(named, schedule, people)
        planned = drill_plan.plan(called, receiver, at or now, timedelta(seconds=every), now)
        if not as_json or not yes:
            _print_plan(planned, to_stderr=as_json)
        if not yes:
            click.confirm(f"Ring {len(planned)} phones?", abort=True, err=as_json)
        store.write_now(lambda session: drill_plan.add(session, planned))
        drill_id = planned[0].drill_id or ""
        click.echo(f"drill {drill_id}", err=as_json)
        if watch:
            _watch(store, drill_id, timedelta(seconds=timeout), as_json=as_json)
        found = store.read_now(lambda session: drill_plan.report(session, drill_id))
    if as_json:
        print_json(found)
    elif watch:
        click.echo()
        _print_report(found)
    if watch:
        _raise_unless_reached(found)


@drill.command("report")
@database_option
@json_option
@click.argument("drill_id", default="", metavar="[ID]")
def show_report(database: str | None, as_json: bool, drill_id: str) -> None:
    """Tell who of a drill was reached; without an ID, of the latest one.

    The beginning of its id is enough. Exits with 1 unless everybody has answered.
    """
    with store_of(database) as store:
        found = store.read_now(
            lambda session: drill_plan.report(session, drill_plan.find(session, drill_id))
        )
    if as_json:
        print_json(found)
    else:
        _print_report(found)
    _raise_unless_reached(found)


@drill.command()
@database_option
@json_option
@click.argument("drill_id", metavar="ID")
def cancel(database: str | None, as_json: bool, drill_id: str) -> None:
    """Withdraw the calls of a drill that have not been dialled."""
    with store_of(database) as store:
        found = store.write_now(
            lambda session: drill_plan.cancel(
                session, drill_plan.find(session, drill_id), "the drill was cancelled", utc_now()
            )
        )
    if as_json:
        print_json(found)
    else:
        click.echo(f"withdrew {found['withdrawn']} of {len(found['calls'])} calls")


# --- printing and watching ----------------------------------------------------------------------


def _print_plan(planned: Sequence[Call], *, to_stderr: bool) -> None:
    if to_stderr:
        for call in planned:
            click.echo(clean(f"{local_zoned(shown(call.due_at))} {call.person}"), err=True)
        return
    print_table(
        ("AT", "PERSON", "PHONE", "RECEIVER"),
        [
            (local_zoned(shown(call.due_at)), call.person, str(call.phone), call.receiver)
            for call in planned
        ],
    )


def _watch(store: Store, drill_id: str, patience: timedelta, *, as_json: bool) -> None:
    """Tell of each change until every call has its result, or time is over."""
    told: dict[str, str] = {}
    ends = max(call.due_at for call in _calls(store, drill_id)) + patience
    try:
        while True:
            now, calls = utc_now(), _calls(store, drill_id)
            for call in calls:
                said = drill_plan.state_of(call)
                if told.setdefault(call.id, CallState.WAITING) != said:
                    told[call.id] = said
                    at = brief(shown(now))
                    click.echo(clean(f"{at}  {call.person}: {said}"), err=as_json)
            waited = _taken_within(patience)
            late = now > calls[0].due_at + waited and all(map(_is_untouched, calls))
            if late and _withdrawn_untouched(store, drill_id):
                raise NotPossible(
                    f"no service took the drill up within {waited.total_seconds():g} s, so it was "
                    "withdrawn: is one running on this database? Start it with uvms-adapter serve"
                )
            if now > ends or not any(map(drill_plan.is_under_way, calls)):
                return
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo(f"the drill goes on; uvms-adapter drill cancel {drill_id} ends it", err=True)
        raise


def _calls(store: Store, drill_id: str) -> list[Call]:
    return store.read_now(lambda session: session.calls_of_drill(drill_id))


def _is_untouched(call: Call) -> bool:
    return call.state is CallState.WAITING and not call.attempts and call.limited_until is None


def _taken_within(patience: timedelta) -> timedelta:
    return min(patience, _TAKEN_WITHIN)


def _withdrawn_untouched(store: Store, drill_id: str) -> bool:
    """Withdraw a drill, unless a service has just begun with it; return whether that was done.

    Nobody wants the phones to ring when a service is started tomorrow.
    """
    note = "a drill that no service took up in time"

    def withdraw(session: Session) -> bool:
        calls = session.calls_of_drill(drill_id)
        if not all(map(_is_untouched, calls)):
            return False
        found = drill_plan.cancel(session, drill_id, note, utc_now())
        return bool(found["withdrawn"] == len(calls))

    return store.write_now(withdraw)


def _print_report(found: Json) -> None:
    print_facts(
        (
            ("drill", found["drill"]),
            ("planned", local_zoned(found["created_at"])),
            ("reached", f"{found['reached']} of {len(found['calls'])}"),
        )
    )
    click.echo()
    print_table(
        ("PERSON", "STATE", "RESULT", "DUE", "DIALLED", "TALKED", "NOTE"),
        [
            (
                call["person"],
                call["state"],
                call["result"],
                brief(call["due_at"]),
                brief(call["dialled_at"]),
                "" if call["talk_seconds"] is None else f"{call['talk_seconds']} s",
                "" if call["state"] == CallState.ACCEPTED else call["note"],
            )
            for call in found["calls"]
        ],
        wrapping=1,
    )


def _raise_unless_reached(found: Json) -> None:
    missed = [
        f"{call['person']} ({call['result'] or call['state']})"
        for call in found["calls"]
        if call["result"] != Result.ANSWERED
    ]
    if missed:
        goes_on = ", and the drill is still under way" if found["under_way"] else ""
        raise click.ClickException(f"not reached: {', '.join(missed)}{goes_on}")
