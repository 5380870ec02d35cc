"""`template render`: what voice templates say, tried with sample alerts or a recorded webhook."""

from __future__ import annotations

from pathlib import Path

import click

from adapter.cli.options import config_option, json_option
from adapter.cli.output import print_facts, print_json
from adapter.cli.routes import said_facts
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.config.policy import Policy
from adapter.errors import AdapterError, NotFound
from adapter.model import Alert
from adapter.preview import sample, sample_alerts
from adapter.sources import grafana
from adapter.views import previews
from adapter.views.values import Json


@click.group()
def template() -> None:
    """Try voice templates."""


@template.command()
@config_option
@click.option("--template", "name", metavar="NAME", help="Only this voice template.")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A webhook's body, of Alertmanager or Grafana. [default: two sample alerts]",
)
@json_option
def render(config: Path, name: str | None, data: Path | None, as_json: bool) -> None:
    """Print the parameters and words of voice templates, and what was repaired in them.

    Tells the alerts of the body that fire or, where none does, those that have resolved. Exits
    with 1 if a parameter fails and is replaced, as it would be in a call.
    """
    policy = load_file(config)
    alerts = _alerts(data)
    now = utc_now()
    found = [previews.sample(sample(policy, each, alerts, now)) for each in _names(policy, name)]
    if as_json:
        print_json(found)
    else:
        for index, said in enumerate(found):
            if index:
                click.echo()
            _print(said)
    if failed := sum(len(said["errors"]) for said in found):
        raise click.ClickException(f"{failed} parameter(s) failed and were replaced")


def _names(policy: Policy, name: str | None) -> list[str]:
    if name is None:
        return list(policy.voice_templates)
    if name not in policy.voice_templates:
        there = ", ".join(sorted(policy.voice_templates)) or "none"
        raise NotFound(f"there is no voice template {name!r}; there is: {there}")
    return [name]


def _alerts(data: Path | None) -> tuple[Alert, ...]:
    now = utc_now()
    if data is None:
        return sample_alerts(now)
    try:  # Grafana's parser takes Alertmanager's bodies too
        alerts = grafana.parse(data.read_bytes(), now).alerts
    except AdapterError as error:
        raise click.ClickException(f"{data}: {error}") from None
    if not alerts:
        raise click.ClickException(f"{data}: there is no alert in it")
    return alerts


def _print(said: Json) -> None:
    about = f"{said['alerts']} alert(s), reason {said['reason']}, receiver {said['receiver']}"
    print_facts((*said_facts(said), ("for", about)))
