"""`simulator`: a stand-in for the vendor's API that rings nobody."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from adapter import logs
from adapter.cli.options import address
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.model import Secret
from adapter.simulator.app import create_app
from adapter.simulator.calls import append_to
from adapter.simulator.server import listen as open_socket
from adapter.simulator.server import serve, url_of
from adapter.simulator.vendor import Account, Vendor


@click.command()
@click.option(
    "--listen",
    callback=address,
    metavar="HOST:PORT",
    default="127.0.0.1:8090",
    show_default=True,
    help="Where to listen; port 0 is a free one.",
)
@click.option("--public-key", default="simulator", show_default=True, help="The key it knows.")
@click.option(
    "--private-key", default="simulator", show_default=True, help="What that key signs with."
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="ID=TEXT",
    help="An approved template; may be given again. [default: any id is taken]",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Approve the voice templates of this routes.yaml.",
)
@click.option("--receipt-url", metavar="URL", help="Push receipts to this URL.")
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append every call placed as a line of JSON, with full numbers.",
)
def simulator(
    listen: tuple[str, int],
    public_key: str,
    private_key: str,
    templates: tuple[str, ...],
    config: Path | None,
    receipt_url: str | None,
    log: Path | None,
) -> None:
    """Serve a local stand-in for UVMS: it checks requests as the vendor does, and rings nobody.

    Prints its URL: the endpoint for routes.yaml. What it was asked to call is at
    /_simulator/calls; what shall go wrong is posted to /_simulator/faults.
    """
    account = Account(
        keys={public_key: Secret(private_key)}, templates=_templates(templates, config)
    )
    listeners = () if log is None else (append_to(log),)
    vendor = Vendor(account, clock=utc_now, new_id=lambda: str(uuid.uuid4()), listeners=listeners)
    logs.configure(as_json=False, level="info")
    with open_socket(*listen) as listening:
        click.echo(url_of(listening))
        if not _is_loopback(listen[0]):
            click.echo(
                "WARNING: its commands need no credentials, and tell full numbers to whoever can "
                "reach it: listen on 127.0.0.1",
                err=True,
            )
        with suppress(KeyboardInterrupt):
            serve(create_app(vendor, receipt_url=receipt_url), listening)


def _templates(given: Sequence[str], config: Path | None) -> dict[str, str]:
    found = {}
    if config is not None:
        policy = load_file(config)
        found = {each.id: each.text for each in policy.voice_templates.values() if each.text}
    for text in given:
        id_, equals, words = text.partition("=")
        if not equals or not id_ or not words:
            raise click.UsageError(f"--template {text!r}: write ID=TEXT, such as UVVT1={{1}} down")
        found[id_] = words
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
