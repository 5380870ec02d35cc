"""Heartbeats that stop: the phone rings, once, and again when it is over.

A story begins at 03:00:00. What is waited for is looked at every five seconds.
"""

from __future__ import annotations

import pytest
from service_harness import receiver, routes
from story_acts import Story, finds_pages, firing, kills, posts, resolved, restarts, rings, until
from story_chains import live_through

pytestmark = pytest.mark.usefixtures("database")

WATCHDOG = {
    "name": "watchdog",
    "matchers": ['alertname="Watchdog"'],
    "every": "5m",
    "receiver": "phone",
}
TELLS_IT_IS_OVER = receiver("phone", "alice", send_resolved=True, resolved_template="recovered")


def waits(**more):
    return rings("alice", heartbeats=[WATCHDOG | more])


def beats(at: str):
    return (at, posts(firing("Watchdog")))


STORIES = {
    "heard in time: nobody is rung": Story(
        waits(),
        [beats("03:00:00"), beats("03:04:00"), beats("03:08:00"), until("03:12:00")],
        rang=[],
    ),
    "it stops: alice": Story(
        waits(),
        [
            beats("03:00:00"),
            beats("03:04:00"),
            until("03:20:00"),
            ("03:20:00", finds_pages(exhausted=1)),
        ],
        rang=["03:09:05 alice"],
    ),
    "it never came": Story(waits(), [until("03:10:00")], rang=["03:05:05 alice"]),
    "it has resolved: Prometheus is gone, Alertmanager is not": Story(
        waits(),
        [beats("03:00:00"), ("03:04:00", posts(resolved("Watchdog"))), until("03:08:00")],
        rang=["03:05:05 alice"],
    ),
    "it comes back: the page closes, and who heard of it is told": Story(
        routes(TELLS_IT_IS_OVER, heartbeats=[WATCHDOG]),
        [
            beats("03:00:00"),
            beats("03:10:02"),
            until("03:12:00"),
            ("03:12:00", finds_pages(closed=1)),
        ],
        rang=["03:05:05 alice", "03:10:05 alice (resolved)"],
    ),
    "killed while it was silent, and told once": Story(
        waits(),
        [
            beats("03:00:00"),
            ("03:06:00", kills),
            ("03:07:00", restarts),
            until("03:20:00"),
        ],
        rang=["03:05:05 alice"],
    ),
    "killed before it was missing: the silence goes on over the restart": Story(
        waits(),
        [beats("03:00:00"), ("03:03:00", kills), ("03:04:00", restarts), until("03:12:00")],
        rang=["03:06:05 alice"],
    ),
    "nobody listened: a little time to be heard again": Story(
        waits(),
        [
            beats("03:00:00"),
            ("03:01:00", kills),
            ("03:30:00", restarts),
            beats("03:31:00"),
            until("03:33:00"),
        ],
        rang=[],
    ),
    "it still does not come after repeat_interval": Story(
        rings("alice", heartbeats=[WATCHDOG], route={"repeat_interval": "10m"}),
        [until("03:17:00")],
        rang=["03:05:05 alice", "03:15:05 alice (repeat)"],
    ),
    "others fire as ever beside it": Story(
        waits(),
        [("03:00:00", posts(firing("Watchdog"), firing("DiskFull"))), until("03:02:00")],
        rang=["03:00:00 alice"],
    ),
}


@pytest.mark.parametrize("story", [pytest.param(story, id=name) for name, story in STORIES.items()])
def test_phones_ring_just_then(story, tmp_path):
    live_through(story, tmp_path)
