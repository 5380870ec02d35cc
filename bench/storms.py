"""Ten thousand alerts in one webhook: its answer, and the first call, against decoding its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

from adapter.clock import utc_now
from bench.bodies import storm
from bench.forms import Form
from bench.measuring import Row, compared, each
from bench.posting import Sender
from bench.processes import STORES, TOKEN, World, numbers, one_phone, service

SUBJECT = "storm"
_SHAPES = {"one group": [], "a group each": ["..."]}


def rows(world: World, form: Form) -> Iterator[Row]:
    """Let each storm come over a new database, again and again."""
    body = storm(form.storm)
    kinds = [(store, shape) for store in STORES for shape in _SHAPES]
    taken: dict[tuple[str, str], list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    for _ in range(form.storms):
        for store, shape in kinds:
            taken[store, shape].append(_storm(world, store, _SHAPES[shape], body))
    for (store, shape), times in taken.items():
        answers, calls, decodings = (list(each_) for each_ in zip(*times, strict=True))
        what = f"{store}, {form.storm:,} alerts, {shape}"
        yield compared(SUBJECT, f"{what}, post to 2xx : json.loads", answers, decodings)
        yield compared(SUBJECT, f"{what}, 2xx to first call : json.loads", calls, decodings)


def _storm(
    world: World, store: str, group_by: list[str], body: bytes
) -> tuple[float, float, float]:
    """Return the seconds until the answer, from there to the first call, and of json.loads."""
    (number,) = numbers(1)
    with ExitStack() as stack:
        running = stack.enter_context(service(world, store, one_phone(number, group_by)))
        sender = stack.enter_context(Sender(running.url, TOKEN))
        decoding = each(lambda: json.loads(body), 3)
        world.phones.forget()
        took = sender.newly(body)
        answered = utc_now()
        rang = world.phones.next_ring(number)
        return took, (rang - answered).total_seconds(), decoding
