"""`calls`: which phones were rung, why, and what the vendor said.

Reads the store beside the service, whether it runs or not.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from adapter.cli.options import database_option, json_option, limit_option, store_of
from adapter.cli.output import (
    brief,
    callee,
    group,
    labels,
    local,
    print_facts,
    print_json,
    print_table,
    short,
    user_name,
)
from adapter.clock import utc_now
from adapter.model import CallState
from adapter.views import stored
from adapter.views.values import Json


@click.group()
def calls() -> None:
    """List, explain and retry calls."""


@calls.command("list")
@database_option
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(state) for state in CallState]),
    help="Only calls in this state; may be given again.",
)
@click.option("--page", "page_id", metavar="ID", help="Only calls of this page.")
@limit_option
@json_option
@click.argument("text", default="", metavar="[TEXT]")
def list_calls(
    database: str | None,
    states: tuple[str, ...],
    page_id: str | None,
    limit: int,
    as_json: bool,
    text: str,
) -> None:
    """List calls, the newest first.

    TEXT: a person, the beginning of an id, a UserId, SessionNo, ReqUuid or RetCode, or part of
    the vendor's message.
    """
    wanted = [CallState(state) for state in states]
    with store_of(database) as store:
        found = store.read_now(
            lambda session: stored.calls(
                session, text=text, page_id=page_id, states=wanted, limit=limit
            )
        )
    if as_json:
        print_json(found)
    else:
        print_calls(found["calls"])


@calls.command()
@database_option
@json_option
@click.argument("call_id", metavar="ID")
def explain(database: str | None, as_json: bool, call_id: str) -> None:
    """Tell everything about a call: page, alerts, attempts, the vendor's answers, its states.

    ID: the beginning of its id, or a UserId, SessionNo or ReqUuid of one of its attempts.
    """
    with store_of(database) as store:
        found = store.read_now(lambda session: stored.call(session, call_id))
    if as_json:
        print_json(found)
    else:
        print_call(found)


@calls.command()
@database_option
@json_option
@click.argument("call_id", metavar="ID")
def retry(database: str | None, as_json: bool, call_id: str) -> None:
    """Make a call once more that was refused, given up or cancelled.

    The running service takes it up within a second; else the service does when it is started.
    """
    with store_of(database) as store:
        found = store.write_now(
            lambda session: stored.retry(session, call_id, utc_now(), user_name())
        )
    if as_json:
        print_json(found)
    else:
        click.echo(f"call {found['id']} to {found['person']} is due now")


def print_calls(found: Sequence[Json]) -> None:
    """Print calls as a table."""
    print_table(
        ("ID", "CREATED", "STATE", "REASON", "PERSON", "NOTE"),
        [
            (
                short(call["id"]),
                brief(call["created_at"]),
                call["state"],
                call["reason"],
                call["person"],
                call["result"] or call["note"],
            )
            for call in found
        ],
    )


def call_facts(call: Json) -> list[tuple[str, str]]:
    """Return a call's facts, a line each."""
    waits = call["state"] in ("waiting", "unknown")
    page = call["page_of_call"]
    return [
        ("call", call["id"]),
        ("person", callee(call)),
        ("state", call["state"]),
        ("result", call["result"]),
        ("reason", call["reason"]),
        ("step", f"{call['step']} of run {call['run']}" if call["step"] else ""),
        ("receiver", call["receiver"]),
        ("due", local(call["due_at"]) if waits else ""),
        ("limited", f"until {local(call['limited_until'])}" if call["limited_until"] else ""),
        ("bundled into", call["bundled_into"] or ""),
        ("note", call["note"]),
        ("page", page["id"] if page else ""),
        ("", f"{page['state']}, {group(page)}" if page else ""),
    ]


def print_call(call: Json) -> None:
    """Print everything about a call."""
    print_facts(call_facts(call))
    if call["page"]:
        click.echo("\nalerts named" if call["alerts_named"] else "\nno alerts named")
    for alert in call["alerts_named"]:
        status = "firing" if alert["firing"] else "resolved"
        print_facts(((status, labels(alert["labels"])),), indent=2)
    click.echo("\nwhat happened")
    print_table(
        ("  AT", "EVENT", "DETAIL"),
        [(f"  {local(event['at'])}", event["event"], event["detail"]) for event in call["history"]],
        wrapping=1,
    )
    for number, attempt in enumerate(call["attempts_made"], start=1):
        click.echo(f"\nattempt {number}")
        print_facts(_attempt_facts(attempt), indent=2)


def _receipt(receipt: Json | None) -> str:
    if receipt is None:
        return ""
    talk = f" for {receipt['talk_seconds']} s" if receipt["talk_seconds"] else ""
    carrier = " ".join(filter(None, (receipt["code"], receipt["description"])))
    return f"{receipt['result']}{talk}" + (f" ({carrier})" if carrier else "")


def _attempt_facts(attempt: Json) -> list[tuple[str, str]]:
    code = attempt["ret_code"]
    return [
        ("UserId", attempt["user_id"]),
        ("ReqUuid", attempt["req_uuid"]),
        ("SessionNo", attempt["session_no"]),
        ("RetCode", "" if code is None else str(code)),
        ("Message", attempt["message"]),
        ("outcome", attempt["outcome"] or "not known"),
        ("receipt", _receipt(attempt["receipt"])),
        ("template", attempt["template_id"]),
        *((f"{{{index}}}", param) for index, param in enumerate(attempt["params"], start=1)),
    ]
