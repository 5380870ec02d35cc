"""The route tree: inheritance, search, grouping and muting as Alertmanager does them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.durations import parse_duration
from adapter.matchers import Matcher, Operator, match_re, parse_matchers
from adapter.model import Timing
from adapter.routing import (
    ALL_LABELS,
    Repeat,
    RouteSpec,
    build,
    group_key,
    group_labels,
    match,
    match_many,
    muted_by,
)
from adapter.time_intervals import TimeInterval, parse_spec

ROUTES = Path(__file__).parents[1] / "../shared/vectors/routes.json"
TIME_INTERVALS = Path(__file__).parents[1] / "../shared/vectors/timeintervals.json"

UPSTREAM_DEFAULTS = Timing(
    group_wait=timedelta(seconds=30),
    group_interval=timedelta(minutes=5),
    repeat_interval=timedelta(hours=4),
)


def on(text, **rest):
    """Return the spec of a route with these matchers."""
    return RouteSpec(matchers=parse_matchers(text).matchers, **rest)


def receivers(route, labels):
    return [one.receiver for one in match(route, labels)]


# --- upstream's own tables -------------------------------------------------------------------


def absent(path):
    skipped = pytest.mark.skip(reason=f"no {path.name} beside the project")
    return [pytest.param({}, {}, id="vectors", marks=skipped)]


def route_cases():
    if not ROUTES.exists():
        return absent(ROUTES)
    trees = json.loads(ROUTES.read_text(encoding="utf-8"))["upstream"]
    return [
        pytest.param(
            tree["tree"],
            case,
            id=f"{tree['id']} {','.join(f'{k}={v}' for k, v in case['labels'].items())}",
        )
        for tree in trees
        for case in tree["cases"]
    ]


def spec_of(tree):
    """Return the spec of a tree as YAML has it."""
    equal = [
        Matcher(name=name, operator=Operator.EQUAL, value=str(value))
        for name, value in tree.get("match", {}).items()
    ]
    regex = [match_re(name, pattern) for name, pattern in tree.get("match_re", {}).items()]
    parsed = [one for text in tree.get("matchers", []) for one in parse_matchers(text).matchers]
    timing = {
        name: parse_duration(tree[name])
        for name in ("group_wait", "group_interval", "repeat_interval")
        if name in tree
    }
    return RouteSpec(
        receiver=tree.get("receiver"),
        matchers=(*equal, *regex, *parsed),
        continue_=tree.get("continue", False),
        group_by=tuple(tree["group_by"]) if "group_by" in tree else None,
        labels=tree.get("labels", {}),
        routes=tuple(map(spec_of, tree.get("routes", []))),
        **timing,
    )


def as_row(route):
    """Return a route in the notation of the tables."""
    by_all = route.group_by == ALL_LABELS
    return {
        "key": route.key,
        "receiver": route.receiver,
        "group_by": [] if by_all else list(route.group_by),
        "group_by_all": by_all,
        "group_wait_s": route.timing.group_wait.total_seconds(),
        "group_interval_s": route.timing.group_interval.total_seconds(),
        "repeat_interval_s": route.timing.repeat_interval.total_seconds(),
        "labels": dict(route.labels),
    }


@pytest.mark.parametrize(("tree", "case"), route_cases())
def test_upstream_routes(tree, case):
    labels = case["labels"]
    found = match(build(spec_of(tree), UPSTREAM_DEFAULTS), labels)
    assert [group_key(route, labels) for route in found] == case["group_keys"]
    assert [route.id for route in found] == case["route_ids"]
    if "expected_route_labels" in case:
        assert dict(found[-1].labels) == case["expected_route_labels"]
    # Not every table of upstream looks at the receivers and at the rest of the route.
    if "receivers" in case:
        assert [route.receiver for route in found] == case["receivers"]
    if "routes" in case:
        assert [as_row(route) for route in found] == case["routes"]


def test_a_route_adds_its_labels_to_its_parents():
    child = RouteSpec(labels={"team": "db", "tier": "1"})
    root = build(RouteSpec(receiver="sre", labels={"team": "sre", "env": "prod"}, routes=(child,)))
    assert root.labels == {"team": "sre", "env": "prod"}
    assert root.routes[0].labels == {"team": "db", "tier": "1", "env": "prod"}


def mute_cases(*sections):
    if not TIME_INTERVALS.exists():
        return absent(TIME_INTERVALS)
    content = json.loads(TIME_INTERVALS.read_text(encoding="utf-8"))
    return [
        pytest.param(section, case, id=f"{section} {case['name']}")
        for section in sections
        for case in content[section]
    ]


def named(intervals):
    return {
        name: TimeInterval(name=name, specs=tuple(map(parse_spec, specs)))
        for name, specs in intervals.items()
    }


@pytest.mark.parametrize(
    ("section", "case"), mute_cases("intervener", "pipeline_mute", "pipeline_active")
)
def test_upstream_muting(section, case):
    # The intervener's table is about all the intervals it knows.
    mutes = case["intervals"] if section == "intervener" else case.get("mute_time_intervals", ())
    actives = case.get("active_time_intervals", ())
    route = build(RouteSpec(mute_time_intervals=tuple(mutes), active_time_intervals=tuple(actives)))
    found = muted_by(route, named(case["intervals"]), datetime.fromisoformat(case["now"]))
    assert list(found) == case["muted_by"]
    assert bool(found) is case.get("suppressed", bool(case["muted_by"]))


# --- inheritance -----------------------------------------------------------------------------


def test_without_a_word_a_route_has_our_defaults():
    route = build(RouteSpec(receiver="sre"))
    assert route.timing == Timing()
    assert route.group_by == ()
    assert route.key == route.id == "{}"


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [
        pytest.param(("b", "a"), None, ("a", "b"), id="silent: inherited, sorted"),
        pytest.param(("a",), ("c",), ("c",), id="its own word replaces the parent's"),
        pytest.param(("a",), (), (), id="an empty list resets"),
        pytest.param(ALL_LABELS, None, ALL_LABELS, id="all labels are inherited"),
        pytest.param(ALL_LABELS, ("a",), ("a",), id="labels replace all labels"),
        pytest.param(("a",), ALL_LABELS, ALL_LABELS, id="all labels replace labels"),
        pytest.param(ALL_LABELS, (), (), id="an empty list resets all labels"),
    ],
)
def test_group_by_is_inherited(parent, child, expected):
    root = build(RouteSpec(group_by=parent, routes=(RouteSpec(group_by=child),)))
    assert root.routes[0].group_by == expected


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [
        pytest.param(None, None, timedelta(hours=4), id="nobody says: the default"),
        pytest.param(timedelta(hours=1), None, timedelta(hours=1), id="inherited"),
        pytest.param(Repeat.NEVER, None, None, id="never is inherited"),
        pytest.param(Repeat.NEVER, timedelta(hours=1), timedelta(hours=1), id="never is undone"),
        pytest.param(timedelta(hours=1), Repeat.NEVER, None, id="never replaces"),
    ],
)
def test_repeat_interval_is_inherited(parent, child, expected):
    root = build(RouteSpec(repeat_interval=parent, routes=(RouteSpec(repeat_interval=child),)))
    assert root.routes[0].timing.repeat_interval == expected


def test_a_group_wait_of_zero_is_a_word_and_not_silence():
    minute = timedelta(minutes=1)
    child = RouteSpec(group_wait=timedelta(0), group_interval=minute)
    root = build(RouteSpec(group_wait=minute, routes=(child, RouteSpec())), UPSTREAM_DEFAULTS)
    assert root.timing.group_wait == minute
    assert root.routes[0].timing.group_wait == timedelta(0)
    assert root.routes[0].timing.group_interval == minute
    assert root.routes[1].timing.group_wait == minute
    assert root.routes[1].timing.group_interval == UPSTREAM_DEFAULTS.group_interval


def test_matchers_continue_and_time_intervals_are_not_inherited():
    parent = on(
        "team=a",
        receiver="a",
        continue_=True,
        mute_time_intervals=("night",),
        active_time_intervals=("day",),
        routes=(RouteSpec(),),
    )
    child = build(RouteSpec(receiver="sre", routes=(parent,))).routes[0].routes[0]
    assert child.receiver == "a"
    assert child.matchers == ()
    assert not child.continue_
    assert child.mute_time_intervals == child.active_time_intervals == ()


def test_keys_show_the_matchers_sorted_and_ids_the_place():
    twin = on('b=~"x|y",a="1"')
    root = build(RouteSpec(routes=(twin, twin)))
    assert [route.key for route in root.routes] == ['{}/{a="1",b=~"x|y"}'] * 2
    assert [route.id for route in root.routes] == [
        '{}/{a="1",b=~"x|y"}/0',
        '{}/{a="1",b=~"x|y"}/1',
    ]


# --- search ----------------------------------------------------------------------------------


TREE = build(
    RouteSpec(
        receiver="root",
        routes=(
            on("audit=yes", receiver="audit", continue_=True),
            on(
                "team=db",
                receiver="db",
                routes=(
                    on("severity=info", receiver="db-info", continue_=True),
                    on("severity=~info|warning", receiver="db-low"),
                ),
            ),
            on("team=~.+", receiver="teams", continue_=True),
            on('team="",severity=critical', receiver="orphans"),
        ),
    )
)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, ["root"], id="nothing matches: the root"),
        pytest.param({"team": "db"}, ["db"], id="no grandchild matches: the child"),
        pytest.param({"team": "db", "severity": "warning"}, ["db-low"], id="a grandchild"),
        pytest.param(
            {"team": "db", "severity": "info"},
            ["db-info", "db-low"],
            id="the continue of a grandchild is not its parent's",
        ),
        pytest.param({"audit": "yes"}, ["audit"], id="a lone continue is enough"),
        pytest.param({"audit": "yes", "team": "db"}, ["audit", "db"], id="continue goes on"),
        pytest.param({"team": "web"}, ["teams"], id="any value"),
        pytest.param({"severity": "critical"}, ["orphans"], id="a missing label is empty"),
        pytest.param({"severity": "critical", "team": ""}, ["orphans"], id="an empty label too"),
    ],
)
def test_search(labels, expected):
    assert receivers(TREE, labels) == expected


def test_a_route_that_refuses_the_labels_leads_nowhere():
    assert match(TREE.routes[1], {"team": "web"}) == ()


# --- groups ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group_by", "labels", "expected"),
    [
        pytest.param((), {"a": "1"}, {}, id="one group for all"),
        pytest.param(("a", "b"), {"a": "1", "c": "3"}, {"a": "1"}, id="a missing label"),
        pytest.param(("a",), {"a": ""}, {"a": ""}, id="an empty label is there"),
        pytest.param(ALL_LABELS, {"b": "2", "a": "1"}, {"a": "1", "b": "2"}, id="all labels"),
    ],
)
def test_group_labels(group_by, labels, expected):
    assert group_labels(build(RouteSpec(group_by=group_by)), labels) == expected


def test_the_group_key_sorts_and_quotes_as_go_does():
    route = build(RouteSpec(group_by=ALL_LABELS, routes=(on('"a b"="c"'),))).routes[0]
    labels = {"b": "x\ny", "a b": "c", "a": '"火"'}
    assert group_key(route, labels) == r'{}/{"a b"="c"}:{a="\"火\"", a b="c", b="x\ny"}'


def test_siblings_with_the_same_matchers_share_the_group_key():
    left, right = build(RouteSpec(routes=(on("a=1"), on("a=1")))).routes
    assert group_key(left, {"a": "1"}) == group_key(right, {"a": "1"})


# --- muting ----------------------------------------------------------------------------------


INTERVALS = named(
    {
        "day": [{"times": [{"start_time": "06:00", "end_time": "22:00"}]}],
        "noon": [{"times": [{"start_time": "12:00", "end_time": "13:00"}]}] * 2,
        "friday": [{"weekdays": ["friday"]}],
    }
)
FRIDAY_NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FRIDAY_NIGHT = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("mute", "active", "now", "expected"),
    [
        pytest.param((), (), FRIDAY_NOON, (), id="no interval: never muted"),
        pytest.param(("noon",), (), FRIDAY_NOON, ("noon",), id="named once, not once a spec"),
        pytest.param(
            ("friday", "day", "noon"), (), FRIDAY_NIGHT, ("friday",), id="in the order of the file"
        ),
        pytest.param((), ("day",), FRIDAY_NOON, (), id="active"),
        pytest.param((), ("noon", "friday"), FRIDAY_NIGHT, (), id="one active interval will do"),
        pytest.param(
            (), ("noon", "day"), FRIDAY_NIGHT, ("noon", "day"), id="outside all active intervals"
        ),
        pytest.param(
            ("friday",), ("day",), FRIDAY_NIGHT, ("day",), id="inactive is said before muted"
        ),
        pytest.param(("friday",), ("day",), FRIDAY_NOON, ("friday",), id="active, yet muted"),
    ],
)
def test_muted_by(mute, active, now, expected):
    route = build(RouteSpec(mute_time_intervals=mute, active_time_intervals=active))
    assert muted_by(route, INTERVALS, now) == expected


# --- properties ------------------------------------------------------------------------------

MATCHERS = st.lists(
    st.builds(
        Matcher,
        name=st.sampled_from("ab"),
        operator=st.sampled_from(Operator),
        value=st.sampled_from(["", "1", "2"]),
    ),
    max_size=2,
).map(tuple)
SPECS = st.recursive(
    st.builds(RouteSpec, matchers=MATCHERS, continue_=st.booleans()),
    lambda inner: st.builds(
        RouteSpec,
        matchers=MATCHERS,
        continue_=st.booleans(),
        routes=st.lists(inner, max_size=3).map(tuple),
    ),
    max_leaves=8,
)
LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["1", "2"]))


def search_from_below(route, labels, path=()):
    """Return (path, route) of each leaf of the search, from every route that takes the labels.

    The slow way round: all takers first, then those are struck out that an earlier sibling, on
    any level, has kept from being asked.
    """
    if not all(one.matches(labels) for one in route.matchers):
        return []
    takers = [
        (place, child, search_from_below(child, labels, (*path, place)))
        for place, child in enumerate(route.routes)
    ]
    takers = [(place, child, below) for place, child, below in takers if below]
    stops = [place for place, child, _ in takers if not child.continue_]
    asked = [below for place, _, below in takers if place <= min(stops, default=place)]
    return [leaf for below in asked for leaf in below] or [(path, route)]


@given(st.lists(SPECS, max_size=4), LABELS)
def test_every_alert_finds_a_route_and_only_those_on_its_way(specs, labels):
    root = build(RouteSpec(receiver="root", routes=tuple(specs)))
    found = match(root, labels)
    assert found
    assert [id(route) for route in found] == [
        id(route) for _, route in search_from_below(root, labels)
    ]
    assert len({route.id for route in found}) == len(found)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["owner", "env", "instance"]), st.sampled_from("abc")),
        max_size=8,
    )
)
def test_many_alerts_are_routed_as_each_alone(many: list[dict[str, str]]) -> None:
    route = build(
        RouteSpec(
            receiver="default",
            routes=(
                RouteSpec(receiver="a", matchers=parse_matchers('owner="a"').matchers),
                RouteSpec(receiver="b", matchers=parse_matchers('env=~"b|c",owner!="b"').matchers),
            ),
        )
    )
    assert route.looks_at == ("env", "owner")
    assert list(match_many(route, many)) == [match(route, labels) for labels in many]
