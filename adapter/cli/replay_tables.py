"""A replay as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import click

from adapter.cli.output import brief, clean, local_zoned, print_facts, print_table
from adapter.replay import words as said
from adapter.replay.report import Json

_MOST_SILENT = 20  # alerts that ring nobody: most are meant to; JSON has them all


def print_replay(found: Json) -> None:
    """Print what one routes.yaml makes of the recordings, or how two differ."""
    for each in found["skipped"]:
        click.echo(clean(f"left out: {each['where']}: {each['why']}"), err=True)
    _print_totals(found)
    if found["comparison"] is None:
        _print_night(found["configs"][0])
    else:
        _print_comparison(found["comparison"])


def _print_totals(found: Json) -> None:
    print_facts(
        (
            ("notifications", str(found["notifications"])),
            ("from", local_zoned(found["from"])),
            ("until", local_zoned(found["until"])),
            ("times", said.dated(found)),
            ("supposed", said.supposed(found)),
        )
    )
    click.echo()
    counts = [dict(said.totals(config)) for config in found["configs"]]
    verdicts = dict.fromkeys(name for config in found["configs"] for name in config["verdicts"])
    rows = [(name, *(each[name] for each in counts)) for name in counts[0]]
    for name in verdicts:
        numbers = (str(config["verdicts"].get(name, 0)) for config in found["configs"])
        rows.append((f"verdict {name}", *numbers))
    names = [config["config"] for config in found["configs"]]
    heads = [names[0]] if len(names) == 1 else [f"A {names[0]}", f"B {names[1]}"]
    print_table(("", *heads), rows, wrapping=0)


def _print_night(config: Json) -> None:
    if config["people"]:
        click.echo()
        print_table(
            ("PERSON", "CALLS", "FIRST", "LAST"),
            [
                (one["person"], str(one["calls"]), brief(one["first"]), brief(one["last"]))
                for one in config["people"]
            ],
        )
    _print_fates("alerts that ring nobody", config["silent_alerts"], most=_MOST_SILENT)
    if config["calls"]:
        click.echo("\ncalls")
        print_table(
            ("  AT", "PERSON", "RECEIVER", "WHY", "ALERTS"),
            [
                (
                    f"  {brief(call['at'])}",
                    call["person"],
                    call["receiver"],
                    said.why(call),
                    said.alerts(call),
                )
                for call in config["calls"]
            ],
            wrapping=1,
        )


def _print_comparison(comparison: Json) -> None:
    if not comparison["differs"]:
        click.echo(f"\nno difference: {comparison['same']} calls are the same")
        return
    warning = "WARNING: alerts that ring somebody in A ring nobody in B"
    _print_fates(warning, comparison["silenced"])
    _print_fates("alerts that ring somebody in B only", comparison["heard"])
    counts = ", ".join(f"{n} {kind}" for kind, n in comparison["counts"].items() if n)
    click.echo(f"\ncalls: {counts or 'none differs'}; {comparison['same']} the same")
    rows = []
    for difference in comparison["differences"]:
        call = difference["a"] or difference["b"]
        rows.append(
            (
                f"  {brief(call['at'])}",
                said.change(difference),
                call["person"],
                call["receiver"],
                said.why(call),
                said.alerts(call),
            )
        )
    if rows:
        print_table(("  AT", "CHANGE", "PERSON", "RECEIVER", "WHY", "ALERTS"), rows, wrapping=1)


def _print_fates(title: str, fates: Sequence[Json], most: int | None = None) -> None:
    if not fates:
        return
    click.echo()
    click.echo(f"{title}: {len(fates)}")
    print_table(
        ("  FIRST", "ALERT", "WHY"),
        [
            (f"  {brief(fate['first_at'])}", said.alert(fate["labels"]), said.reasons(fate))
            for fate in fates[:most]
        ],
    )
    if most is not None and len(fates) > most:
        click.echo(f"  … and {len(fates) - most} more, see --json")
