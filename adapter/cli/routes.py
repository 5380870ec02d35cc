"""`routes show` and `routes test`: what amtool's `config routes` tells, and who would be rung."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from adapter.cli.oncall import standing
from adapter.cli.options import config_option, instant, json_option, store_of
from adapter.cli.output import callee, local, local_zoned, print_facts, print_json
from adapter.cli.output import labels as shown_labels
from adapter.cli.trees import matching_tree, routing_tree
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.config.policy import Policy
from adapter.errors import InvalidMatcher
from adapter.matchers import Operator, parse_matcher
from adapter.on_call import roster_at
from adapter.preview import RosterAt, preview
from adapter.views import previews
from adapter.views.values import Json

_UNLESS_TAKEN = ", if nobody has acknowledged"


@click.group()
def routes() -> None:
    """Show the routing tree, and test where alerts go."""


@routes.command()
@config_option
def show(config: Path) -> None:
    """Print the routing tree as amtool does.

    A route's grouping, timing and time intervals follow its receiver where they differ from the
    parent's.
    """
    tree = routing_tree(load_file(config).route)
    click.echo(f"Routing tree:\n{tree}\n")


@routes.command()
@config_option
@click.option(
    "--at",
    callback=instant,
    metavar="TIME",
    help="When: 2026-11-24T03:00:00+08:00, or '2026-11-24 03:00' in this machine's time zone. "
    "[default: now]",
)
@click.option(
    "--verify.receivers",
    "expected",
    metavar="A,B",
    help="Print only the receivers; exit with 1 unless they are these, in this order.",
)
@click.option("--tree", is_flag=True, help="Print the matching routes too.")
@click.option(
    "--annotation",
    "annotations",
    multiple=True,
    metavar="NAME=VALUE",
    help="An annotation of the alert; may be given again.",
)
@click.option(
    "--database",
    metavar="URL",
    help="Count the overrides and calendars too that the service has stored there.",
)
@json_option
@click.argument("labels", nargs=-1, metavar="[LABEL=VALUE]...")
def test(
    config: Path,
    database: str | None,
    at: datetime | None,
    expected: str | None,
    tree: bool,
    annotations: tuple[str, ...],
    as_json: bool,
    labels: tuple[str, ...],
) -> None:
    """Print where an alert of these labels goes, who is called with which words, and why.

    The first line is amtool's: the receivers, joined by commas. Without labels the alert goes to
    the root's receiver. The preview knows of no earlier alert: it is a page's first
    call, and nobody answers. Who is on call is as routes.yaml says, unless --database is given.
    """
    policy, when = load_file(config), at or utc_now()
    alert_labels, told = _parse_labels(labels), _parse_annotations(annotations)
    roster = _roster_at(policy, database, when)
    found = previews.preview(preview(policy, alert_labels, told, when, roster))
    receivers = ",".join(found["receivers"])
    if as_json:
        print_json(found)
    else:
        if tree:
            click.echo("Matching routes:")
            click.echo(f"{matching_tree(policy.route, alert_labels)}\n\n")
        click.echo(receivers)
        if expected is None:
            _print_alert(found)
            for lead in found["routes"]:
                _print_lead(lead)
    if expected is not None and expected != receivers:
        click.echo("WARNING: Expected receivers did not match resolved receivers.", err=as_json)
        raise click.exceptions.Exit(1)


def _roster_at(policy: Policy, database: str | None, at: datetime) -> RosterAt:
    """Return who is on call at an instant, as far as is known at that one."""
    if database is None:
        return roster_at(policy)
    with store_of(database) as store:
        overrides, feeds = store.read_now(lambda session: standing(session, policy, at))
    return roster_at(policy, overrides, lambda: feeds)


def _parse_labels(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        try:
            (matcher,) = parse_matcher(text).matchers
        except InvalidMatcher as error:
            raise _no_label(str(error)) from None
        if matcher.operator is not Operator.EQUAL:
            raise _no_label("labels must be specified as key=value pairs")
        if matcher.value:  # Alertmanager drops empty labels when alerts come in
            found[matcher.name] = matcher.value
    return found


def _no_label(why: str) -> click.ClickException:
    hint = "write each label by itself: severity=critical team=db"
    return click.ClickException(f"Failed to parse labels: {why}; {hint}")


def _parse_annotations(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--annotation {text!r}: write NAME=VALUE")
        found[name] = value
    return found


def _print_alert(found: Json) -> None:
    """Print what the arguments were taken for: `a=b,c=d` is one label, not two."""
    given = found["labels"]
    click.echo()
    print_facts(
        (
            ("alert", shown_labels(given) or "no labels"),
            ("", "" if "alertname" in given else "(real alerts have an alertname: give one too)"),
            ("at", local_zoned(found["at"])),
        )
    )


def _print_lead(lead: Json) -> None:
    click.echo()
    timing = "  ".join(f"{name} {value}" for name, value in lead["timing"].items())
    print_facts(
        (
            ("route", "{" + ",".join(lead["matchers"]) + "}" if lead["matchers"] else "(root)"),
            ("receiver", lead["receiver"]),
            ("page", shown_labels(lead["group_labels"]) or "not grouped"),
            ("timing", timing),
            ("result", _result(lead)),
        )
    )
    if _is_plain(lead):
        for step in lead["steps"]:
            click.echo()
            _print_calls(step["calls"], [], indent=0)
        return
    told: list[Json] = []
    for step in lead["steps"]:
        click.echo(f"\nstep {step['step']} of {lead['steps_of']}, {_begins(step, lead)}")
        print_facts((("skipped", step["skipped"]),), indent=2)
        _print_calls(step["calls"], told, indent=2)
        told += step["calls"]
    if lead["steps"]:
        unless = _UNLESS_TAKEN if lead["called"] else ""
        click.echo(f"\nthen, {local(lead['exhausted_at'])}{unless}\n  {_end(lead)}")


def _is_plain(lead: Json) -> bool:
    """Whether nothing follows the first calls, and there is nothing to tell of steps."""
    more = lead["steps_of"] > 1 or lead["repeat"] or lead["fallback"]
    return lead["called"] and not more


def _begins(step: Json, lead: Json) -> str:
    at_once = step["at"] == lead["steps"][0]["at"]
    return local(step["at"]) + ("" if at_once else _UNLESS_TAKEN)


def _print_calls(calls: Sequence[Json], told: Sequence[Json], indent: int) -> None:
    """Print whom a step calls, and what they hear: once where they, or earlier ones, hear it."""
    left = list(calls)
    while left:
        heard = left[0]
        alike = [call for call in left if _same_words(call, heard)]
        left = [call for call in left if call not in alike]
        facts = [("silent", _silent(heard)), ("words", "as above")]
        if not any(_same_words(call, heard) for call in told):
            facts = said_facts(heard)
        print_facts([*_numbered("call", list(map(callee, alike))), *facts], indent=indent)
        if left:
            click.echo()


def _same_words(one: Json, other: Json) -> bool:
    alike = ("template", "words", "params", "repairs", "errors", "silent_until")
    return all(one[key] == other[key] for key in alike)


def _end(lead: Json) -> str:
    """Say what follows when nobody has acknowledged by the end of the last step."""
    again = ""
    if lead["repeat"] and lead["called"]:
        times = "once" if lead["repeat"] == 1 else f"{lead['repeat']} times"
        again = f"all of it {times} more, then "
    told = "the fallback webhook is told" if lead["fallback"] else "nobody else is called"
    if lead["shadow"] and lead["fallback"]:
        told += " (not in shadow mode)"
    return f"{again}{told}; the page stays open"


def said_facts(said: Json) -> list[tuple[str, str]]:
    """Return the facts of a voice template filled in: template, words, params, repairs."""
    params = said["params"]
    return [
        ("template", f"{said['template']} ({said['template_id']})"),
        ("silent", _silent(said)),
        ("words", said["words"]),
        *_numbered("params", [f"{{{i}}} {param}" for i, param in enumerate(params, start=1)]),
        *_numbered("repairs", [_repair(repair) for repair in said["repairs"]]),
        *_numbered("failed", said["errors"]),
    ]


def _silent(said: Json) -> str:
    until = said.get("silent_until")
    return f"until {local(until)}: no voice template may be spoken before" if until else ""


def _numbered(name: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(name if index == 0 else "", line) for index, line in enumerate(lines)]


def _repair(repair: Json) -> str:
    kind = repair["kind"].replace("_", " ")
    return f"{{{repair['param'] + 1}}} {kind}: {repair['before']!r} -> {repair['after']!r}"


def _result(lead: Json) -> str:
    if not lead["called"]:
        return f"nobody is called: {lead['reason']} ({lead['detail']})"
    called = f"called at {local(lead['due_at'])} ({lead['reason']})"
    return f"nobody is dialled: shadow mode; else {called}" if lead["shadow"] else called
