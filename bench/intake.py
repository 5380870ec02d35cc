"""Webhooks taken in, committed and answered, against the framework alone and the database alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.bodies import new_bodies
from bench.commits import Commits, a_row, commits_of
from bench.forms import Form
from bench.measuring import Piece, Row, compared, in_turns
from bench.posting import Sender
from bench.processes import STORES, TOKEN, World, bare_endpoint, numbers, one_phone, service

SUBJECT = "intake"
_BARE, _COMMITS, _BATCHES = "bare framework", "raw commit", "rows a raw commit"


def rows(world: World, form: Form) -> Iterator[Row]:
    """Measure both stores in turns, all processes being there all the time."""
    with ExitStack() as stack:
        bare = stack.enter_context(Sender(stack.enter_context(bare_endpoint(world.folder))))
        senders: dict[str, Sender] = {}
        commits: dict[str, Commits] = {}
        for store in STORES:
            tree = one_phone(*numbers(1), group_by=["cluster"])
            running = stack.enter_context(service(world, store, tree))
            senders[store] = stack.enter_context(Sender(running.url, TOKEN))
            commits[store] = stack.enter_context(commits_of(running.database, running.folder))
        for posters, count in form.posts:
            pieces: dict[str, Piece] = {_BARE: _posts(bare, posters, count)}
            for store in STORES:
                raw = partial(a_row, commits[store], new_bodies(1)[0], form.commits)
                pieces[store] = _posts(senders[store], posters, count)
                pieces[f"{store}, {_COMMITS}"] = raw
                pieces[f"{store}, {_BATCHES}"] = partial(raw, posters)
            taken = in_turns(pieces, form.intake)
            for store in STORES:
                yield from _told(store, posters, taken)


def _posts(sender: Sender, posters: int, count: int) -> Piece:
    return lambda: sender.each(new_bodies(count), posters)


def _told(store: str, posters: int, taken: dict[str, list[float]]) -> Iterator[Row]:
    at_once = f"{posters} posters" if posters > 1 else "1 poster"
    what, ours = f"{store}, {at_once}", taken[store]
    yield compared(SUBJECT, f"{what} : {_BARE}", ours, taken[_BARE])
    yield compared(SUBJECT, f"{what} : {_COMMITS}", ours, taken[f"{store}, {_COMMITS}"])
    if posters > 1:
        others = taken[f"{store}, {_BATCHES}"]
        yield compared(SUBJECT, f"{what} : {posters} {_BATCHES}", ours, others)
