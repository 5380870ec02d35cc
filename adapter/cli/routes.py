"""`routes show` and `routes test`: what amtool's `config routes` tells, and who would be rung."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from adapter.cli.options import config_option, instant, json_option
from adapter.cli.output import callee, local, local_zoned, print_facts, print_json
from adapter.cli.output import labels as shown_labels
from adapter.cli.trees import matching_tree, routing_tree
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.errors import InvalidMatcher
from adapter.matchers import Operator, parse_matcher
from adapter.preview import preview
from adapter.views import previews
from adapter.views.values import Json


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
@json_option
@click.argument("labels", nargs=-1, metavar="[LABEL=VALUE]...")
def test(
    config: Path,
    at: datetime | None,
    expected: str | None,
    tree: bool,
    annotations: tuple[str, ...],
    as_json: bool,
    labels: tuple[str, ...],
) -> None:
    """Print where an alert of these labels goes, who is called with which words, and why.

    The first line is amtool's: the receivers, joined by commas. Without labels the alert goes to
    the root's receiver. The preview knows of no earlier alert: it is the first call of a page.
    """
    policy = load_file(config)
    alert_labels = _parse_labels(labels)
    found = previews.preview(
        preview(policy, alert_labels, _parse_annotations(annotations), at or utc_now())
    )
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
    for call in lead["calls"]:
        click.echo()
        print_facts((("call", callee(call)), *said_facts(call)))


def said_facts(said: Json) -> list[tuple[str, str]]:
    """Return the facts of a voice template filled in: template, words, params, repairs."""
    params = said["params"]
    return [
        ("template", f"{said['template']} ({said['template_id']})"),
        ("words", said["words"]),
        *_numbered("params", [f"{{{i}}} {param}" for i, param in enumerate(params, start=1)]),
        *_numbered("repairs", [_repair(repair) for repair in said["repairs"]]),
        *_numbered("failed", said["errors"]),
    ]


def _numbered(name: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(name if index == 0 else "", line) for index, line in enumerate(lines)]


def _repair(repair: Json) -> str:
    kind = repair["kind"].replace("_", " ")
    return f"{{{repair['param'] + 1}}} {kind}: {repair['before']!r} -> {repair['after']!r}"


def _result(lead: Json) -> str:
    if lead["called"]:
        return f"called at {local(lead['due_at'])} ({lead['reason']})"
    return f"nobody is called: {lead['reason']} ({lead['detail']})"
