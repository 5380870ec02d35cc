"""`serve`: run the service until it is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import uvloop

from adapter import logs, service
from adapter.cli.options import (
    address,
    config_option,
    database_option,
    duration,
    environ_with,
)
from adapter.config.environment import LogFormat, LogLevel, settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=str)
_FORMATS = click.Choice([str(each) for each in LogFormat])
_LEVELS = click.Choice([str(each) for each in LogLevel])


@click.command()
@config_option
@click.option(
    "--listen",
    callback=address,
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where to take webhooks; :8080 is every interface.",
)
@click.option("--simulate", is_flag=True, help="Call a simulated UVMS: no phone rings.")
@click.option("--insecure-no-auth", is_flag=True, help="Let anybody post webhooks and use the API.")
@database_option
@click.option("--log-format", type=_FORMATS, help="[default: UVMS_LOG_FORMAT, else json]")
@click.option("--log-level", type=_LEVELS, help="[default: UVMS_LOG_LEVEL, else info]")
@click.option("--tls-cert-file", type=_FILE, metavar="FILE", help="Speak HTTPS with this chain.")
@click.option("--tls-key-file", type=_FILE, metavar="FILE", help="The chain's private key.")
@click.option(
    "--tls-client-ca-file", type=_FILE, metavar="FILE", help="Require client certificates of it."
)
@click.option(
    "--stop-within",
    callback=duration,
    metavar="DURATION",
    default="25s",
    show_default=True,
    help="When stopped, let calls under way finish for so long.",
)
def serve(
    config: Path,
    listen: tuple[str, int],
    simulate: bool,
    insecure_no_auth: bool,
    database: str | None,
    log_format: str | None,
    log_level: str | None,
    tls_cert_file: str | None,
    tls_key_file: str | None,
    tls_client_ca_file: str | None,
    stop_within: float,
) -> None:
    """Take webhooks and make calls until SIGTERM or SIGINT.

    Secrets and settings come from the environment (UVMS_PUBLIC_KEY, UVMS_PRIVATE_KEY,
    UVMS_WEBHOOK_TOKEN, …; each secret also as …_FILE); an option goes before its variable. SIGHUP
    and a changed file load routes.yaml again.
    """
    if (tls_key_file or tls_client_ca_file) and not tls_cert_file:
        raise click.UsageError("TLS needs --tls-cert-file")
    found = settings(
        environ_with(database_url=database, log_format=log_format, log_level=log_level)
    )
    logs.configure(as_json=found.log_format is LogFormat.JSON, level=found.log_level)
    for warning in found.warnings:
        logs.logger(__name__).warning("environment", warning=warning)
    options = service.Options(
        config=config,
        host=listen[0],
        port=listen[1],
        insecure_no_auth=insecure_no_auth,
        simulate=simulate,
        stop_within_seconds=stop_within,
        tls_cert=tls_cert_file,
        tls_key=tls_key_file,
        tls_client_ca=tls_client_ca_file,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(service.serve(options, found))
