"""`replay`: a recorded night against a routes.yaml, or against two, before it is deployed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import click
from msgspec.structs import replace as changed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adapter.cli.options import config_option, database_option, instant, json_option, store_of
from adapter.cli.output import print_json
from adapter.cli.replay_tables import print_replay
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.config.policy import Policy
from adapter.errors import NotFound, NotPossible
from adapter.model import Record, StoredOverride
from adapter.on_call import Feeds, everybody, no_feeds
from adapter.replay import (
    EVERYBODY,
    Recording,
    Recordings,
    compare,
    of_webhooks,
    read_paths,
    replay,
    write_line,
)
from adapter.replay.markdown import markdown
from adapter.replay.report import Replayed, report
from adapter.store.session import KeptWebhook, Session
from adapter.views.calendars import feeds_of

_DEFAULT_TIME = timedelta(days=1)  # of what the store has kept
_MOST_WEBHOOKS = 100_000
_STDOUT = "-"


class _Known(Record):
    """What was known in the night besides routes.yaml."""

    overrides: tuple[StoredOverride, ...] = ()
    feeds: Feeds = no_feeds


@click.command("replay")
@config_option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another routes.yaml: tell what it makes otherwise.",
)
@click.option("--from-store", is_flag=True, help="Replay the webhooks that the service has kept.")
@click.option("--export", metavar="FILE", help="Write those as JSON lines instead; - is stdout.")
@database_option
@click.option(
    "--since", callback=instant, metavar="TIME", help="From when. [default of the store: a day]"
)
@click.option("--until", callback=instant, metavar="TIME", help="Until when. [default: now]")
@click.option(
    "--answered-by",
    multiple=True,
    metavar="PERSON",
    help=f"Who answers, after 20 s: may be given again; or {EVERYBODY}. [default: nobody]",
)
@click.option("--skip-invalid", is_flag=True, help="Leave out what is no notification.")
@click.option("--fail-on-difference", is_flag=True, help="Exit with 1 where the two differ.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, for a pull request.")
@json_option
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE | DIRECTORY]...")
def replay_command(
    config: Path,
    against: Path | None,
    from_store: bool,
    export: str | None,
    database: str | None,
    since: datetime | None,
    until: datetime | None,
    answered_by: tuple[str, ...],
    skip_invalid: bool,
    fail_on_difference: bool,
    as_markdown: bool,
    as_json: bool,
    paths: tuple[Path, ...],
) -> None:
    """Tell which calls recorded notifications would lead to: to whom, when, and why.

    Nobody is called. The decisions are the service's own, in virtual time; the vendor is supposed
    to take every call at once.

    A file holds a body as Alertmanager or Grafana posts it, or a line for each:
    {"received_at": TIME, "source": "alertmanager", "body": {...}}. A body alone has the time that
    its file's name begins with (2026-11-24T03:00:05Z-disk.json), else its latest startsAt or
    endsAt, else that of the file. Directories are read with all below them.

    --export writes what the service has kept in that form, to be put into Git: it holds the alerts
    with all their labels and annotations, as they came.
    """
    _check_usage(paths, from_store=from_store or export is not None, against=against)
    if fail_on_difference and against is None:
        raise click.UsageError("--fail-on-difference needs --against FILE")
    if export is not None:
        _export(export, database, since, until)
        return
    policies = [load_file(path) for path in (config, against) if path is not None]
    _check_people(answered_by, policies)
    with _progress() as progress:
        if from_store:
            recordings, known = _of_store(database, policies, since, until, skip_invalid)
        else:
            recordings = _of_files(paths, since, until, skip_invalid, progress)
            known = [_Known() for _ in policies]
        if not recordings.found:
            raise NotFound("nothing was recorded in that time")
        replayed = _replay(policies, recordings.found, frozenset(answered_by), known, progress)
    comparison = compare(*(each.night for each in replayed)) if against is not None else None
    found = report(recordings, sorted(answered_by), replayed, comparison)
    if as_json:
        print_json(found)
    elif as_markdown:
        click.echo(markdown(found), nl=False)
    else:
        print_replay(found)
    if fail_on_difference and comparison is not None and comparison.differs:
        raise click.ClickException("they differ")


def _check_usage(paths: Sequence[Path], *, from_store: bool, against: Path | None) -> None:
    if from_store and paths:
        raise click.UsageError("name files, or say --from-store or --export, not both")
    if not from_store and not paths:
        raise click.UsageError("name files or directories of recordings, or say --from-store")


def _check_people(names: Sequence[str], policies: Sequence[Policy]) -> None:
    for name in names:
        callable_names = {person for policy in policies for person in _callable(policy)}
        if name != EVERYBODY and name not in callable_names:
            there = ", ".join(sorted(callable_names)) or "none"
            raise NotFound(f"nobody is called {name!r}; there is: {there}")


def _callable(policy: Policy) -> Iterator[str]:
    yield from policy.people
    for receiver in policy.receivers.values():
        yield from (person.name for person in everybody(policy, receiver))


# --- reading -----------------------------------------------------------------------------------

Begin = Callable[[str, int | None], Callable[[int], None]]


def _of_files(
    paths: Sequence[Path],
    since: datetime | None,
    until: datetime | None,
    skip_invalid: bool,
    progress: Begin,
) -> Recordings:
    advance = progress("reading", None)
    read = read_paths(paths, skip_invalid=skip_invalid, progress=lambda: advance(1))
    in_time = tuple(
        recording
        for recording in read.found
        if (since is None or recording.at >= since) and (until is None or recording.at < until)
    )
    return changed(read, found=in_time)


def _of_store(
    database: str | None,
    policies: Sequence[Policy],
    since: datetime | None,
    until: datetime | None,
    skip_invalid: bool,
) -> tuple[Recordings, list[_Known]]:
    """Return the recordings, and what was known besides each routes.yaml."""
    begin, end = _time(since, until)

    def job(session: Session) -> tuple[list[KeptWebhook], list[_Known]]:
        overrides = tuple(_as_it_stood(each) for each in session.overrides(begin, removed_too=True))
        return _kept(session, begin, end), [
            _Known(overrides=overrides, feeds=_always(session, policy)) for policy in policies
        ]

    with store_of(database) as store:
        kept, known = store.read_now(job)
    return of_webhooks(kept, skip_invalid=skip_invalid), known


def _always(session: Session, policy: Policy) -> Feeds:
    found = feeds_of(session, policy)
    return lambda: found


def _as_it_stood(override: StoredOverride) -> StoredOverride:
    """Return an override for the time in which it was known and not yet removed."""
    begins = max(override.starts_at, override.created_at)
    removed_at = override.removed_at or override.ends_at
    ends = max(begins, min(override.ends_at, removed_at))
    return changed(override, starts_at=begins, ends_at=ends, removed_at=None, removed_by="")


def _time(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    end = until or utc_now()
    return since or end - _DEFAULT_TIME, end


def _kept(session: Session, since: datetime, until: datetime) -> list[KeptWebhook]:
    kept = session.find_webhooks(since, until, _MOST_WEBHOOKS + 1)
    if len(kept) > _MOST_WEBHOOKS:
        raise NotPossible(f"more than {_MOST_WEBHOOKS} webhooks in that time: say a shorter one")
    return kept


def _export(
    name: str, database: str | None, since: datetime | None, until: datetime | None
) -> None:
    begin, end = _time(since, until)
    with store_of(database) as store:
        kept = store.read_now(lambda session: _kept(session, begin, end))
    if not kept:
        raise NotFound("the service has kept no webhook of that time")
    kept.sort(key=lambda webhook: webhook.received_at)
    with click.open_file(name, "wb") as file:
        file.writelines(write_line(webhook) for webhook in kept)
    what = f"{len(kept)} notifications, with all their labels and annotations"
    click.echo(f"wrote {what}{'' if name == _STDOUT else f' to {name}'}", err=name == _STDOUT)


# --- replaying ---------------------------------------------------------------------------------


def _replay(
    policies: Sequence[Policy],
    recordings: Sequence[Recording],
    answered_by: frozenset[str],
    known: Sequence[_Known],
    progress: Begin,
) -> list[Replayed]:
    replayed = []
    for policy, besides in zip(policies, known, strict=True):
        night = replay(
            policy,
            recordings,
            answered_by=answered_by,
            overrides=besides.overrides,
            feeds=besides.feeds,
            progress=progress(policy.file, len(recordings)),
        )
        replayed.append(Replayed(config=policy.file, night=night))
    return replayed


@contextmanager
def _progress() -> Iterator[Begin]:
    """Show how far things are on stderr, if that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    shown = Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )

    def begin(what: str, total: int | None) -> Callable[[int], None]:
        task = shown.add_task(what, total=total)
        return lambda more: shown.advance(task, more)

    with shown:
        yield begin
