"""From the post of a webhook until the vendor has the request that rings the phone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlencode

from process_harness import PRIVATE_KEY, PUBLIC_KEY

from adapter.clock import utc_now
from adapter.signing import flatten, sign
from bench.bodies import own_group
from bench.commits import a_row, commits_of
from bench.forms import Form
from bench.measuring import Piece, Row, compared, in_turns
from bench.posting import Sender
from bench.processes import (
    STORES,
    TEMPLATE,
    TOKEN,
    Phones,
    World,
    numbers,
    phones_without_limits,
    service,
)

SUBJECT = "alert to wire"
_PHONES = 8  # in turns, so that none still rings when it is rung again
_SETTLING_SECONDS = 0.03  # what comes after the ring is not to be in the way of the next turn
_FORM = "application/x-www-form-urlencoded"


def rows(world: World, form: Form) -> Iterator[Row]:
    """Measure both stores by turns."""
    with ExitStack() as stack:
        bare = stack.enter_context(Sender(f"{world.vendor.url}/", media_type=_FORM))
        request = _request(*numbers(1))
        pieces: dict[str, Piece] = {"request": lambda: bare.newly(request)}
        for store in STORES:
            phones = numbers(_PHONES)
            running = stack.enter_context(service(world, store, phones_without_limits(phones)))
            sender = stack.enter_context(Sender(running.url, TOKEN))
            commits = stack.enter_context(commits_of(running.database, running.folder))
            turns = itertools.cycle(enumerate(phones))
            pieces[store] = partial(_ring, sender, world.phones, turns)
            pieces[f"{store}, commit"] = partial(a_row, commits, own_group(0), 1)
        taken = in_turns(pieces, form.wire)
        for store in STORES:
            commit = taken[f"{store}, commit"]
            both = [one + two for one, two in zip(commit, taken["request"], strict=True)]
            yield compared(SUBJECT, f"{store} : raw commit + bare request", taken[store], both)


def _ring(sender: Sender, phones: Phones, turns: Iterator[tuple[int, str]]) -> float:
    """Let one of the phones ring; return the seconds from before the post until it does."""
    place, number = next(turns)
    body = own_group(place)
    phones.forget()
    began = utc_now()
    sender.newly(body)
    rang = phones.next_ring(number)
    time.sleep(_SETTLING_SECONDS)
    return (rang - began).total_seconds()


def _request(number: str) -> bytes:
    """Return a signed form that places a call, as the vendor wants it."""
    flat = flatten(
        {
            "Action": "SendUVMSMessage",
            "PublicKey": PUBLIC_KEY,
            "CalledNumber": number,
            "TemplateId": TEMPLATE,
            "TemplateParams": ("HostDown", "1"),
        }
    )
    return urlencode(flat | {"Signature": sign(flat, PRIVATE_KEY)}).encode()
