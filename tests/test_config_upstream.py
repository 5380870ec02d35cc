"""Alertmanager's own table of good and bad configurations, and where ours differs on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.config.load import load
from adapter.config.problems import ConfigError

VECTORS = Path(__file__).parents[1] / "../shared/vectors/config_validation.json"

# Cases that our own rules decide otherwise, each with the reason.
DIFFERS = {
    "cfg-08": "labels of a receiver decide nothing here, so they are refused and not ignored",
    "cfg-10": "labels of a receiver, as above",
    "cfg-11": "labels of a receiver, as above",
    "cfg-18": "a running Alertmanager takes UTF-8 label names; upstream's test does not",
    "cfg-20": "labels of a route decide nothing here, so they are refused and not ignored",
}

# What our message holds where upstream's says the same in other words.
OUR_WORDS = {
    "cfg-01": "route: found nothing",
    "cfg-02": "route.receiver: found nothing",
    "cfg-03": 'receivers[1].name: found "team-X" again',
    "cfg-04": 'route.receiver: found "team-X", expected the name of a receiver',
    "cfg-05": 'route.routes[0].routes[0].receiver: found "nonexistent"',
    "cfg-06": "receivers[0].name: found an empty text",
    "cfg-09": 'receivers[0].labels: found the unknown key "labels"',
    "cfg-12": 'mute_time_intervals[0]: found "business_hours", expected the name of a time',
    "cfg-13": 'active_time_intervals[0]: found "business_hours", expected the name of a time',
    "cfg-14": "time_intervals[0].name: found nothing",
    "cfg-15": 'mute_time_intervals[1].name: found "duplicate" again',
    "cfg-16": 'route.group_by[3]: found "cluster" again',
    "cfg-17": 'route.group_by: found "..." beside other labels',
    "cfg-19": 'route.labels: found the unknown key "labels"',
    "cfg-21": "route: found nothing",
    "cfg-22": "found mute_time_intervals, expected none in the root route",
    "cfg-23": "found active_time_intervals, expected none in the root route",
    "cfg-24": "found match, expected none in the root route",
    "cfg-25": "found matchers, expected none in the root route",
    "cfg-26": "found continue, expected none in the root route",
    "cfg-27": 'route.group_interval: found "0s", expected a duration above 0',
    "cfg-28": 'route.repeat_interval: found "0s", expected a duration above 0',
}


def cases() -> list[Any]:
    if not VECTORS.exists():
        why = f"Alertmanager's table is not beside the project ({VECTORS})"
        return [pytest.param({}, marks=pytest.mark.skip(reason=why))]
    table = json.loads(VECTORS.read_text())["cases"]
    return [pytest.param(case, id=f"{case['id']} {case['test']}") for case in table]


def verdict(text: str) -> str | None:
    """Return what is wrong with the text; None: it loads."""
    try:
        load(text)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("case", cases())
def test_what_alertmanager_refuses_is_refused_and_what_it_takes_is_taken(
    case: dict[str, str | None],
) -> None:
    name, ours = str(case["id"]), verdict(str(case["yaml"]))

    if name in DIFFERS:
        assert (ours is None) != (case["error"] is None)
    elif case["error"] is None:
        assert ours is None
    else:
        assert ours is not None
        assert OUR_WORDS[name] in ours
