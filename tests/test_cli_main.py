"""How the command line behaves whatever the command: help, errors, exit codes, pipes, colours."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import click
import pytest

from adapter import __version__
from adapter.cli import output
from adapter.cli.main import COMMANDS, cli, run, told
from adapter.cli.options import address
from adapter.errors import SettingsError

PROGRAM = [sys.executable, "-m", "adapter"]


def test_the_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"uvms-adapter, version {__version__}\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command_in_80_columns(capsys, flag):
    assert run([flag]) == 0
    help_text = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in help_text] == []
    assert max(map(len, help_text.splitlines())) <= 80


def every_command() -> list[list[str]]:
    """Return the arguments that lead to each command and sub-command."""
    context = click.Context(cli)
    found = []
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, below] for below in command.list_commands(context)]
    return found


@pytest.mark.parametrize("args", every_command(), ids=" ".join)
def test_help_of_every_command(capsys, args):
    assert run([*args, "-h"]) == 0
    help_text = capsys.readouterr().out
    assert help_text.startswith(f"Usage: uvms-adapter {' '.join(args)}")
    assert max(map(len, help_text.splitlines())) <= 80


def test_the_table_of_commands_leads_to_commands_of_these_names():
    for name, (where, _) in COMMANDS.items():
        module, _, attribute = where.partition(":")
        assert getattr(import_module(module), attribute).name == name


def test_what_there_is_not():
    assert cli.get_command(click.Context(cli), "rewind") is None


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["rewind"], "No such command 'rewind', try --help"),
        (["chekc-config"], "No such command 'chekc-config'; did you mean \"check-config\"? Try"),
        (["routes", "tst"], "No such command 'tst'"),  # newer clicks suggest one
        (["routes", "test", "--nope"], "No such option"),
        (["calls", "explain"], "Missing argument 'ID', try --help"),
        (
            ["pages", "list", "--limit", "0"],
            "Invalid value for '--limit': 0 is not in the range 1<=x<=500, try --help",
        ),
        (
            ["serve", "--listen", "8080"],
            "Invalid value for '--listen': '8080' is no HOST:PORT, such as 127.0.0.1:8080, "
            "try --help",
        ),
        (
            ["serve", "--stop-within", "soon"],
            "Invalid value for '--stop-within': not a valid duration string: \"soon\"",
        ),
        (["serve", "--tls-key-file", __file__], "TLS needs --tls-cert-file, try --help"),
        (
            ["routes", "test", "--at", "midnight"],
            "Invalid value for '--at': 'midnight' is no time: write 2026-11-24T03:00:00+08:00, or "
            "'2026-11-24 03:00' in this machine's time zone, try --help",
        ),
    ],
)
def test_usage_errors_are_one_line_on_stderr_and_exit_1(capsys, args, error):
    assert run(args) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"uvms-adapter: error: {error}")
    assert err.count("\n") == 1
    assert err.endswith("ry --help\n")


@pytest.mark.parametrize("args", [[], ["routes"], ["calls"]])
def test_a_group_alone_is_a_mistake_that_help_answers(capsys, args):
    assert run(args) == 1
    out, err = capsys.readouterr()
    assert (out, err.startswith("Usage: uvms-adapter ")) == ("", True)
    assert err.splitlines()[-1].startswith("  ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        (":65535", ("0.0.0.0", 65535)),
        ("[::1]:1", ("::1", 1)),
    ],
)
def test_addresses(text, expected):
    assert address(click.Context(cli), click.Option(["--listen"]), text) == expected


@pytest.mark.parametrize("text", ["1.2.3.4", "::1:80", "host:", "host:65536", "host:-1", "a:b:1"])
def test_addresses_that_are_none(capsys, text):
    assert run(["serve", "--listen", text]) == 1
    assert f"{text!r} is no HOST:PORT" in capsys.readouterr().err


def test_each_error_of_a_group_is_told():
    group = ExceptionGroup(
        "several",
        [
            FileNotFoundError(2, "No such file or directory", "key.pem"),
            ExceptionGroup("below", [OSError("the line is down"), SettingsError("one\ntwo")]),
        ],
    )
    assert list(told(group)) == [
        "key.pem: No such file or directory",
        "the line is down",
        "one",
        "two",
    ]


def test_a_bug_is_not_hidden():
    with pytest.raises(ValueError, match="a bug"):
        list(told(ExceptionGroup("several", [ValueError("a bug")])))


@pytest.mark.parametrize(("shell", "word"), [("zsh", "compdef"), ("fish", "complete --no-files")])
def test_completion(capsys, shell, word):
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert word in script
    assert "_UVMS_ADAPTER_COMPLETE" in script


def test_completion_of_another_shell(capsys):
    assert run(["completion", "tcsh"]) == 1
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err


def test_completing_names_loads_no_command():
    """Nobody waits for the database's driver to learn that `ca` goes on with `call`."""
    script = (
        "import sys; from adapter.cli.main import cli; import click;"
        "print([c.value for c in cli.shell_complete(click.Context(cli), 'ca')],"
        " 'sqlalchemy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "['calls', 'call'] False\n"


def test_a_reader_that_goes_away_is_no_failure_to_talk_about(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [*PROGRAM, "config", "schema"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (found.returncode, found.stderr) == (1, "")


# --- output ------------------------------------------------------------------------------------


def test_a_table_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    row = ("0123456789ab", "11-24 03:00:00", "acknowledged", "12345", "r" * 40, 'x="' + "y" * 60)
    output.print_table(("ID", "OPENED", "STATE", "FIRING", "RECEIVER", "GROUP"), [row])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("0123456789ab  11-24 03:00:00  acknowledged  12345 ")
    folded = "".join(lines[1:]).replace(" ", "")
    assert folded.count("r") == 40
    assert folded.count("y") == 60


def test_a_piped_table_keeps_its_rows_whole(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    output.print_table(("A", "B"), [("1", "word " * 100)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_hanzi_are_two_columns_wide(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    output.print_facts([("words", "告" * 30)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.count("告") for line in lines] == [16, 14]


def test_what_would_steer_the_terminal_is_shown_instead(capsys):
    output.print_facts([("summary", "a\x1b]0;owned\x07b\u202ec")])
    assert capsys.readouterr().out == "summary  a\\x1b]0;owned\\x07b\\u202ec\n"


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_only_for_a_terminal(environ, coloured):
    script = "from adapter.cli import output; output.print_facts([('state', 'refused')])"
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=plain | {"TERM": "xterm"} | environ,
    )
    assert ("\x1b[31m" in found.stdout) is coloured
