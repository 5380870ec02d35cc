"""The route tree: which receivers an alert's labels lead to, in which group, at which pace.

Meaning: https://prometheus.io/docs/alerting/latest/configuration/#route. Inheritance, the order of
the search and the spelling of keys are those of
https://github.com/prometheus/alertmanager/blob/main/dispatch/route.go.
Knows nothing of people, pages and calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum

import msgspec

from adapter.matchers import Matcher, braced, in_order, quote
from adapter.model import Labels, Record, Timing
from adapter.time_intervals import TimeInterval

ALL_LABELS = ("...",)  # group_by: one group per alert
DEFAULT_TIMING = Timing()


class Repeat(Enum):
    """What a route may say instead of a repeat_interval."""

    NEVER = "never"


class RouteSpec(Record):
    """One route as the file says it. None: the file is silent, the parent's word holds."""

    receiver: str | None = None
    matchers: tuple[Matcher, ...] = ()
    continue_: bool = False
    group_by: tuple[str, ...] | None = None  # (): one group for all; ALL_LABELS: one per alert
    group_wait: timedelta | None = None
    group_interval: timedelta | None = None
    repeat_interval: timedelta | Repeat | None = None
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    labels: Labels = msgspec.field(
        default_factory=dict
    )  # added to the parent's; not in routes.yaml
    routes: tuple[RouteSpec, ...] = ()


class Route(Record):
    """One route with everything it inherits filled in."""

    key: str  # Alertmanager's; siblings with the same matchers share it
    id: str  # Alertmanager's; the key with each route's place among its siblings: unique
    receiver: str  # "" only if the root names none
    matchers: tuple[Matcher, ...]  # as upstream sorts them
    continue_: bool
    group_by: tuple[str, ...]  # sorted; ALL_LABELS: by every label
    timing: Timing
    mute_time_intervals: tuple[str, ...]
    active_time_intervals: tuple[str, ...]
    labels: Labels  # Alertmanager's route labels, the parents' with them; no alert has them
    routes: tuple[Route, ...]
    looks_at: tuple[str, ...]  # names of all labels that matchers here and below look at, sorted


class _Inherited(Record):
    receiver: str
    group_by: tuple[str, ...]
    timing: Timing
    labels: Labels


def build(spec: RouteSpec, defaults: Timing = DEFAULT_TIMING) -> Route:
    """Return the tree with upstream's inheritance applied.

    Inherited are receiver, group_by, timing and labels; not matchers, continue, time intervals.
    """
    return _build(spec, _Inherited(receiver="", group_by=(), timing=defaults, labels={}))


def _build(
    spec: RouteSpec,
    parent: _Inherited,
    *,
    parent_key: str = "",
    parent_id: str = "",
    place: str = "",
) -> Route:
    matchers = in_order(spec.matchers)
    key = f"{parent_key}{braced(matchers)}"
    id_ = f"{parent_id}{braced(matchers)}{place}"
    own = _Inherited(
        receiver=spec.receiver or parent.receiver,
        group_by=parent.group_by if spec.group_by is None else tuple(sorted(spec.group_by)),
        timing=_timing(spec, parent.timing),
        labels={**parent.labels, **spec.labels},
    )
    routes = tuple(
        _build(child, own, parent_key=f"{key}/", parent_id=f"{id_}/", place=f"/{index}")
        for index, child in enumerate(spec.routes)
    )
    names = {matcher.name for matcher in matchers}.union(*(child.looks_at for child in routes))
    return Route(
        key=key,
        id=id_,
        receiver=own.receiver,
        matchers=matchers,
        continue_=spec.continue_,
        group_by=own.group_by,
        timing=own.timing,
        mute_time_intervals=spec.mute_time_intervals,
        active_time_intervals=spec.active_time_intervals,
        labels=own.labels,
        routes=routes,
        looks_at=tuple(sorted(names)),
    )


def _timing(spec: RouteSpec, parent: Timing) -> Timing:
    repeat = parent.repeat_interval if spec.repeat_interval is None else spec.repeat_interval
    return Timing(
        group_wait=parent.group_wait if spec.group_wait is None else spec.group_wait,
        group_interval=(
            parent.group_interval if spec.group_interval is None else spec.group_interval
        ),
        repeat_interval=None if repeat is Repeat.NEVER else repeat,
    )


def match(route: Route, labels: Labels) -> tuple[Route, ...]:
    """Return the routes these labels lead to, in the order of the file; () if `route` refuses them.

    Depth first, left to right. The first child that takes the labels ends the search among its
    siblings unless it says `continue`. A route none of whose children takes them is a result.
    """
    for matcher in route.matchers:
        if not matcher.matches(labels):
            return ()
    found: tuple[Route, ...] = ()
    for child in route.routes:
        if matched := match(child, labels):
            found += matched
            if not child.continue_:
                break
    return found or (route,)


def match_many(route: Route, many: Iterable[Labels]) -> Iterator[tuple[Route, ...]]:
    """Yield what `match` returns for each of these labels.

    The alerts of a storm differ in labels that hardly any route looks at: the tree is searched
    once for all that look the same to it.
    """
    seen: dict[tuple[str, ...], tuple[Route, ...]] = {}
    for labels in many:
        looks = tuple([labels.get(name, "") for name in route.looks_at])
        if looks not in seen:
            seen[looks] = match(route, labels)
        yield seen[looks]


def group_labels(route: Route, labels: Labels) -> dict[str, str]:
    """Return the labels that name the group; one the alert lacks is left out."""
    if route.group_by == ALL_LABELS:
        return dict(labels)
    return {name: labels[name] for name in route.group_by if name in labels}


def group_key(route: Route, labels: Labels) -> str:
    """Return Alertmanager's groupKey: `{}/{team="a"}:{alertname="X", cluster="c"}`.

    It names no receiver: siblings with the same matchers share it.
    """
    pairs = sorted(group_labels(route, labels).items())
    shown = ", ".join(f"{name}={quote(value)}" for name, value in pairs)
    return f"{route.key}:{{{shown}}}"


def muted_by(route: Route, intervals: Mapping[str, TimeInterval], now: datetime) -> tuple[str, ...]:
    """Return the names of the time intervals that silence the route now; (): none does.

    Outside all its active intervals a route is silenced by all of them. Otherwise by those of its
    mute intervals that contain `now`.
    """
    active = route.active_time_intervals
    if active and not any(intervals[name].contains(now) for name in active):
        return active
    return tuple(name for name in route.mute_time_intervals if intervals[name].contains(now))
