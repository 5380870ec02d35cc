"""`explain`: why somebody was called, or nobody, from the webhook to the receipt."""

from __future__ import annotations

import re

import click

from adapter.cli.options import database_option, json_option, store_of
from adapter.cli.output import (
    labels as shown_labels,
)
from adapter.cli.output import local, print_facts, print_json, print_table, short
from adapter.cli.pages import page_facts
from adapter.errors import NotFound
from adapter.store.session import Session
from adapter.views import stories
from adapter.views.values import Json

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@click.command()
@database_option
@json_option
@click.argument("what", nargs=-1, required=True, metavar="PAGE | FINGERPRINT | LABEL=VALUE...")
def explain(database: str | None, as_json: bool, what: tuple[str, ...]) -> None:
    """Tell the whole story of a page, or of an alert, in order, with reasons and times.

    A page is named by its id or the beginning of it, an alert by its fingerprint or by labels that
    it has: `explain alertname=DiskFull instance=db-1`. An alert that rang nobody is explained too.
    """
    with store_of(database) as store:
        found = store.read_now(lambda session: _found(session, what))
    if as_json:
        print_json(found)
    elif "alerts" in found and "story" not in found:
        for alert in found["alerts"]:
            _print_alert(alert)
        if found["more_alerts"]:
            click.echo("\n… and more alerts: give more of their labels")
    else:
        print_facts(page_facts(found))
        _print_story(found["story"])


def _found(session: Session, what: tuple[str, ...]) -> Json:
    if any("=" in text for text in what):
        return stories.explain_alert(session, _labels(what))
    if len(what) > 1:
        raise click.UsageError("one page, one fingerprint, or labels as name=value")
    if _FINGERPRINT.fullmatch(what[0]):
        return stories.explain_alert(session, {}, what[0])
    try:
        return stories.explain_page(session, what[0])
    except NotFound as error:
        raise NotFound(f"{error}; alerts are found by fingerprint or label=value") from None


def _labels(what: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in what:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{text!r}: write labels as name=value")
        found[name] = value.strip('"')
    return found


def _print_alert(alert: Json) -> None:
    click.echo()
    print_facts((("alert", shown_labels(alert["labels"])), ("fingerprint", alert["fingerprint"])))
    for receiver in alert["receivers"]:
        click.echo()
        print_facts(
            (
                ("receiver", receiver["receiver"]),
                ("route", receiver["route"]),
                ("pages", ", ".join(map(short, receiver["pages"]))),
                ("answer", receiver["why"]),
            )
        )
    _print_story(alert["story"])


def _print_story(story: list[Json]) -> None:
    click.echo()
    print_table(
        ("AT", "WHAT", "PERSON", "WHY"),
        [
            (local(line["at"]), line["event"], line["person"] or "", line["detail"])
            for line in story
        ],
    )
