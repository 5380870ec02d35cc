"""The command `uvms-adapter`: its sub-commands, and how every failure ends.

As amtool: errors go to stderr as `uvms-adapter: error: …`, and every error exits with 1. An error
that was foreseen shows no traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module

import click
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import CompletionItem, get_completion_class

from adapter import __version__
from adapter.config.problems import ConfigError, suggest
from adapter.errors import AdapterError

PROGRAM = "uvms-adapter"
_COMPLETE_VARIABLE = "_UVMS_ADAPTER_COMPLETE"
_SIGINT_EXIT = 130  # as shells report a program that SIGINT ended


# Loaded when they are run: completing a name must not wait for the database's driver.
COMMANDS = {
    "serve": ("adapter.cli.serve:serve", "Take webhooks and make calls until stopped."),
    "check-config": ("adapter.cli.check:check_config", "Check routes.yaml files."),
    "config": ("adapter.cli.check:config", "About routes.yaml itself: its JSON Schema."),
    "routes": ("adapter.cli.routes:routes", "Show the routing tree, test where alerts go."),
    "template": ("adapter.cli.templates:template", "Try voice templates."),
    "pages": ("adapter.cli.pages:pages", "List, show and acknowledge pages."),
    "explain": ("adapter.cli.explain:explain", "Tell why somebody was called, or nobody."),
    "calls": ("adapter.cli.calls:calls", "List, explain and retry calls."),
    "oncall": ("adapter.cli.oncall:oncall", "Show who is on call, and the plan."),
    "override": ("adapter.cli.override:override", "Put somebody on call for a time."),
    "call": ("adapter.cli.call:call", "Ring one person for a test."),
    "drill": ("adapter.cli.drill:drill", "Ring everyone of a schedule, and report."),
    "replay": ("adapter.cli.replay:replay_command", "Replay a recorded night, compare."),
    "rejected": ("adapter.cli.rejected:rejected", "List and show refused webhook bodies."),
    "store": ("adapter.cli.store:store", "Migrate, check, move and back up the database."),
    "simulator": ("adapter.cli.simulator:simulator", "Serve a local stand-in for UVMS."),
    "demo": ("adapter.cli.demo:demo", "See it work, without an account."),
}


class _Commands(click.Group):
    """A group that loads a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not ctx.resilient_parsing and (near := suggest(name, known)):
            ctx.fail(f"No such command {name!r}; {near}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._help(name)) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=self._help(name)) for name in names] + options

    def _help(self, name: str) -> str:
        return COMMANDS[name][1] if name in COMMANDS else self.commands[name].get_short_help_str(60)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name=PROGRAM)
def cli() -> None:
    """Ring the people on call: Alertmanager and Grafana webhooks in, UVMS voice calls out."""


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in a shell.

    \b
    bash: echo 'eval "$(uvms-adapter completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(uvms-adapter completion zsh)"' >> ~/.zshrc
    fish: put 'uvms-adapter completion fish | source' into config.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(found(cli, {}, PROGRAM, _COMPLETE_VARIABLE).source())


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit code; failures are told on stderr."""
    try:
        code = cli.main(list(args), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return 1
    except (click.Abort, KeyboardInterrupt):
        return _SIGINT_EXIT
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 1
    except click.UsageError as error:
        said = error.format_message().rstrip(".")
        return _fail(f"{said} Try --help" if said.endswith("?") else f"{said}, try --help")
    except click.ClickException as error:
        return _fail(error.format_message())
    except (AdapterError, OSError, ExceptionGroup) as error:
        return _fail(*told(error))
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def _fail(*lines: str) -> int:
    for line in lines:
        click.echo(f"{PROGRAM}: error: {line}", err=True)
    return 1


def told(error: BaseException) -> Iterator[str]:
    """Return what went wrong, a line each. Raises what nobody foresaw."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from told(each)
    elif isinstance(error, ConfigError):
        yield from map(str, error.problems)
    elif isinstance(error, AdapterError):
        yield from str(error).splitlines()
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        yield where + (error.strerror or str(error))
    else:
        raise error


def _drop_stdout() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
