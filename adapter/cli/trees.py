"""Routing trees drawn as amtool draws them: branches, two spaces between the facts of a route.

Shape: https://github.com/prometheus/alertmanager/blob/main/cli/routing.go. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from adapter.durations import format_duration
from adapter.matchers import braced
from adapter.model import Labels, Record, Timing
from adapter.routing import DEFAULT_TIMING, Route


class Branch(Record):
    """A line with what hangs below it."""

    line: str
    branches: tuple[Branch, ...] = ()


def routing_tree(root: Route) -> str:
    """Return the whole tree."""
    return _draw(_route(root, (), DEFAULT_TIMING))


def matching_tree(root: Route, labels: Labels) -> str:
    """Return the routes that labels pass through, with the receivers where they end."""
    return _draw(_matching(root, labels))


def _route(route: Route, group_by: tuple[str, ...], timing: Timing) -> Branch:
    facts = [
        _name(route),
        *(["continue: true"] if route.continue_ else []),
        f"receiver: {route.receiver}",
        *_differences(route, group_by, timing),
    ]
    return Branch(
        line="  ".join(facts),
        branches=tuple(_route(child, route.group_by, route.timing) for child in route.routes),
    )


def _differences(route: Route, group_by: tuple[str, ...], timing: Timing) -> Iterator[str]:
    """What a route does not have from its parent."""
    own = route.timing
    if route.group_by != group_by:
        yield f"group_by: [{', '.join(route.group_by)}]"
    if own.group_wait != timing.group_wait:
        yield f"group_wait: {format_duration(own.group_wait)}"
    if own.group_interval != timing.group_interval:
        yield f"group_interval: {format_duration(own.group_interval)}"
    if own.repeat_interval != timing.repeat_interval:
        repeat = own.repeat_interval
        yield f"repeat_interval: {'never' if repeat is None else format_duration(repeat)}"
    if route.mute_time_intervals:
        yield f"mute_time_intervals: [{', '.join(route.mute_time_intervals)}]"
    if route.active_time_intervals:
        yield f"active_time_intervals: [{', '.join(route.active_time_intervals)}]"


def _matching(route: Route, labels: Labels) -> Branch:
    branches: list[Branch] = []
    for child in route.routes:
        if all(matcher.matches(labels) for matcher in child.matchers):
            branches.append(_matching(child, labels))
            if not child.continue_:
                break
    receiver = "" if branches else f"  receiver: {route.receiver}"
    return Branch(line=f"{_name(route)}{receiver}", branches=tuple(branches))


def _name(route: Route) -> str:
    return braced(route.matchers) if route.matchers else "default-route"


def _draw(root: Branch) -> str:
    return "\n".join((".", *_lines((root,), "")))


def _lines(branches: tuple[Branch, ...], before: str) -> Iterator[str]:
    for index, branch in enumerate(branches):
        last = index == len(branches) - 1
        yield f"{before}{'└── ' if last else '├── '}{branch.line}"
        yield from _lines(branch.branches, before + ("    " if last else "│   "))
