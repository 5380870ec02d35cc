"""One alert led through a tree of routes, against the comparisons alone that this takes.

No route takes the alert but the last, so that all are looked at. Every second one compares for
equality, the others search with a regex.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import re2

from adapter.matchers import Matcher, Operator
from adapter.routing import Route, RouteSpec, build, match_many
from bench.forms import Form
from bench.measuring import Piece, Row, compared, each, in_turns

SUBJECT = "routing"


def rows(form: Form) -> Iterator[Row]:
    """Measure all sizes by turns, for one is compared with the other."""
    pieces: dict[str, Piece] = {}
    for count in form.routes:
        alert = {"alertname": "HostDown", "job": "node", **_last(count)}
        times = max(1, form.evaluations // count)
        pieces[f"{count}"] = _timed(_routed(_tree(count), alert), times)
        pieces[f"{count}, plain"] = _timed(_plain(count, alert), times)
    taken = in_turns(pieces, form.routing)
    fewest = form.routes[0]
    for count in form.routes:
        ours, plain = taken[f"{count}"], taken[f"{count}, plain"]
        yield compared(SUBJECT, f"{count:,} routes : {count:,} plain comparisons", ours, plain)
    for count in form.routes[1:]:
        what = f"{count:,} routes : {fewest} routes (linear: {count // fewest})"
        yield compared(SUBJECT, what, taken[f"{count}"], taken[f"{fewest}"])


def _timed(work: Callable[[], object], times: int) -> Piece:
    return lambda: each(work, times)


def _last(count: int) -> Mapping[str, str]:
    """Return the labels that the last route alone takes."""
    name, value = (
        ("service", f"service-{count - 1}-api")
        if count % 2 == 0
        else (
            "team",
            f"team-{count - 1}",
        )
    )
    return {"team": "nobody", "service": "none", name: value}


def _conditions(count: int) -> Iterator[tuple[str, Operator, str]]:
    for number in range(count):
        if number % 2:
            yield "service", Operator.REGEX, f"service-{number}-(api|web)"
        else:
            yield "team", Operator.EQUAL, f"team-{number}"


def _tree(count: int) -> Route:
    return build(
        RouteSpec(
            receiver="default",
            routes=tuple(
                RouteSpec(
                    receiver=f"receiver-{place}",
                    matchers=(Matcher(name=name, operator=operator, value=value),),
                )
                for place, (name, operator, value) in enumerate(_conditions(count))
            ),
        )
    )


def _routed(tree: Route, alert: Mapping[str, str]) -> Callable[[], object]:
    """Return what intake does with an alert, having seen that it ends where it should."""
    last = tree.routes[-1].receiver

    def route() -> object:
        ((found,),) = match_many(tree, [alert])
        return found.receiver

    if route() != last:
        raise RuntimeError(f"led to {route()}, not to {last}: not every route was looked at")
    return route


def _plain(count: int, alert: Mapping[str, str]) -> Callable[[], object]:
    conditions = [
        (name, value, re2.compile(f"^(?:{value})$") if operator is Operator.REGEX else None)
        for name, operator, value in _conditions(count)
    ]

    def compare() -> int:
        fulfilled = 0
        for name, value, regex in conditions:
            given = alert.get(name, "")
            if given == value if regex is None else regex.search(given):
                fulfilled += 1
        return fulfilled

    if compare() != 1:
        raise RuntimeError(f"{compare()} comparisons hold, not one")
    return compare
