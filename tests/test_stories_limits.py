"""What holds calls back while an escalation runs: limits, hours of voice templates, shadow mode.

A story begins at 03:00:00. Each step waits for a minute; after the last one a chat is told, as
"fallback". Unless receipts are pushed, nothing is heard of any call.
"""

from __future__ import annotations

from typing import Any

import pytest
from service_harness import OUTAGE, TEXTS, receiver, routes
from story_acts import (
    Story,
    acknowledges,
    does_not_answer,
    finds_calls,
    finds_pages,
    firing,
    limits,
    posts,
    reloads,
    together,
    until,
)
from story_chains import (
    CHAT,
    chain,
    disk_fires,
    escalation,
    finds,
    finds_taken_by,
    live_through,
    pushed,
    spoken,
)

pytestmark = pytest.mark.usefixtures("database")

TWO = chain("alice", "bob")
DISK_FIRES = disk_fires()
TWO_WENT_THROUGH = [
    "03:00:00 alice",
    "03:01:00 bob (escalation)",
    "03:02:00 fallback phone",
]
BY_CLUSTER = {"group_by": ["cluster"]}


def limited(*steps: str, min_interval: str) -> Any:
    """A page for each cluster, and one call a phone in so long."""
    return chain(*steps, route=BY_CLUSTER, limits=limits(min_interval=min_interval))


LIMITS = {
    "limited beyond the wait: the next step at once; answered, so the call is not made": pushed(
        limited("alice", "bob", min_interval="5m"),
        [
            disk_fires(cluster="bj"),
            disk_fires("03:01:00", cluster="sh"),
            ("03:06:00", finds_taken_by("alice", "bob")),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "limited beyond the wait, and nobody else answers: told, and called all the same": pushed(
        limited("alice", "bob", min_interval="5m"),
        [
            ("03:00:00", does_not_answer("bob")),
            disk_fires(cluster="bj"),
            disk_fires("03:01:00", cluster="sh"),
            ("03:05:02", finds_taken_by("alice", "alice")),
            until("03:06:00"),
        ],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:01:02 fallback phone",
            "03:05:00 alice",
        ],
    ),
    "limited within the wait: the step waits for its call": pushed(
        limited("alice", "bob", min_interval="30s"),
        [
            disk_fires(cluster="bj"),
            ("03:00:05", does_not_answer("alice")),
            disk_fires("03:00:10", cluster="sh"),
            ("03:01:00", finds_taken_by("alice", "bob")),
        ],
        rang=["03:00:00 alice", "03:00:30 alice", "03:00:32 bob (escalation)"],
    ),
    "min_interval: two pages of one escalation, one after the other": Story(
        limited("alice", "bob", min_interval="20s"),
        [
            ("03:00:00", posts(firing(cluster="bj"), firing(cluster="sh"))),
            ("03:03:00", finds_pages(exhausted=2)),
        ],
        rang=[
            "03:00:00 alice",
            "03:00:20 alice",
            "03:01:00 bob (escalation)",
            "03:01:20 bob (escalation)",
            "03:02:00 fallback phone",
            "03:02:00 fallback phone",
        ],
    ),
    "everybody is limited beyond the wait: told at once, called when they may be": pushed(
        limited("alice bob", min_interval="3m"),
        [
            disk_fires(cluster="bj"),
            disk_fires("03:01:00", cluster="sh"),
            ("03:02:00", finds_pages(acknowledged=1, exhausted=1)),
            ("03:04:00", finds_pages(acknowledged=2)),
        ],
        rang=[
            "03:00:00 alice",
            "03:00:00 bob",
            "03:01:00 fallback phone",
            "03:03:00 alice",
            "03:03:00 bob",
        ],
    ),
}

NIGHT = "UVVT20221122NGHT"


def spoken_at(hours: str, *steps: str, wait: str = "1m", at_night: bool = False) -> Any:
    """Words that are approved for these hours; `at_night`: others are for the rest of the day."""
    templates = routes()["voice_templates"]
    night = {**templates["outage"], "id": NIGHT}
    day = {**templates["outage"], "hours": hours}
    if at_night:
        day["outside_hours"], templates["night"] = "night", night
    return chain(*steps, wait=wait, voice_templates={**templates, "outage": day})


BOTH_TEXTS = {"templates": TEXTS | {NIGHT: TEXTS[OUTAGE]}}

HOURS = {
    "no words for the night: told at once, everybody called when there are": Story(
        spoken_at("03:05-20:00", "alice", "bob"),
        [DISK_FIRES, ("03:04:00", finds_calls(waiting=2)), until("03:06:00")],
        rang=["03:00:00 fallback phone", "03:05:00 alice", "03:05:00 bob (escalation)"],
    ),
    "no words for the night, and somebody took the page before there are": Story(
        spoken_at("03:05-20:00", "alice", "bob"),
        [DISK_FIRES, ("03:04:00", acknowledges), ("03:06:00", finds_calls(cancelled=2))],
        rang=["03:00:00 fallback phone"],
    ),
    "words within the wait: the step waits for them": Story(
        spoken_at("03:01-20:00", "alice", "bob", wait="2m"),
        [DISK_FIRES, until("03:05:00")],
        rang=["03:01:00 alice", "03:02:00 bob (escalation)", "03:04:00 fallback phone"],
    ),
    "other words for the night": Story(
        spoken_at("03:01-20:00", "alice", "bob", at_night=True),
        [DISK_FIRES, ("03:02:00", spoken(NIGHT, OUTAGE))],
        rang=TWO_WENT_THROUGH,
        account=BOTH_TEXTS,
    ),
}

TEAM = {
    **receiver("team"),
    "call": None,
    "escalation": escalation("alice", "bob"),
    "fallback_webhook": CHAT,
}
SHADOW_BESIDE_LIVE = routes(
    {**{key: value for key, value in TEAM.items() if value is not None}, "mode": "shadow"},
    receiver("old", "alice"),
    route={"routes": [{"receiver": name, "continue": True} for name in ("team", "old")]},
    limits={"per_person": {"min_interval": "30s"}},
)
SHADOW = chain("alice", "bob", mode="shadow")

SHADOWED = {
    "a shadow beside a live receiver: recorded, nobody dialled for it, nobody limited by it": Story(
        SHADOW_BESIDE_LIVE,
        [
            DISK_FIRES,
            (
                "03:03:00",
                together(
                    finds(
                        "03:00:00 alice submitted",
                        "03:00:00 alice shadowed",
                        "03:01:00 bob shadowed (escalation)",
                    ),
                    finds_pages(open=1, exhausted=1),
                ),
            ),
        ],
        rang=["03:00:00 alice"],
    ),
    "shadow for the whole file: nobody is dialled, no chat is told, all is recorded": Story(
        {**TWO, "mode": "shadow"},
        [
            DISK_FIRES,
            (
                "03:03:00",
                together(
                    finds("03:00:00 alice shadowed", "03:01:00 bob shadowed (escalation)"),
                    finds_pages(exhausted=1),
                ),
            ),
        ],
        rang=[],
        asked=[],
    ),
    "made live while the escalation runs: the next step is dialled": Story(
        SHADOW,
        [DISK_FIRES, ("03:00:30", reloads(TWO)), until("03:03:00")],
        rang=TWO_WENT_THROUGH[1:],
    ),
    "made a shadow while the escalation runs: the next step is not dialled": Story(
        TWO,
        [
            DISK_FIRES,
            ("03:00:30", reloads(SHADOW)),
            (
                "03:03:00",
                finds("03:00:00 alice submitted", "03:01:00 bob shadowed (escalation)"),
            ),
        ],
        rang=["03:00:00 alice"],
    ),
}


TABLES = (LIMITS, HOURS, SHADOWED)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_an_escalation_goes_on_while_calls_are_held_back(story, tmp_path):
    live_through(story, tmp_path)
