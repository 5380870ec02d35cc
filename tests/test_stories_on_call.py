"""Steps that name schedules: who is on call when a step begins is called.

A story begins at 03:00:00. Each step waits for a minute, and nothing is heard of any call; after
the last step a chat is told, as "fallback".
"""

from __future__ import annotations

from datetime import date

import pytest
from story_acts import (
    Story,
    finds_pages,
    together,
    until,
)
from story_chains import (
    chain,
    chat_reads,
    disk_fires,
    hours,
    live_through,
    overrides,
    removes_the_override,
    schedules,
    turns,
)

pytestmark = pytest.mark.usefixtures("database")

DISK_FIRES = disk_fires()

# alice until 03:01:30 of each day in turn, then bob
HANDOVER = schedules(turns("alice", "bob", start="2026-11-23T03:01:30"))
BY_DAY = turns("alice", hours=hours("08:00", "20:00"))
OFFICE = schedules(turns("alice", workdays="CN"))

ON_CALL = {
    "handover between two steps: each calls whoever is on call by then": Story(
        chain("primary", "primary", wait="2m", schedules=HANDOVER),
        [DISK_FIRES, until("03:05:00")],
        rang=["03:00:00 alice", "03:02:00 bob (escalation)", "03:04:00 fallback phone"],
    ),
    "no handover between two steps: one call": Story(
        chain("primary", "primary", schedules=HANDOVER),
        [DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice", "03:01:00 fallback phone"],
    ),
    "schedule:next is who is on call after": Story(
        chain("primary", "primary:next", schedules=HANDOVER),
        [DISK_FIRES, until("03:02:30")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "a hole in the first step: the next one at once": Story(
        chain("primary", "bob", schedules=schedules(BY_DAY)),
        [DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 bob", "03:01:00 fallback phone"],
    ),
    "a hole in the second step: the third one in its place": Story(
        chain("bob", "primary", "carol", schedules=schedules(BY_DAY)),
        [DISK_FIRES, until("03:03:00")],
        rang=["03:00:00 bob", "03:01:00 carol (escalation)", "03:02:00 fallback phone"],
    ),
    "a hole in the last step: a chat is told in its place": Story(
        chain("bob", "primary", schedules=schedules(BY_DAY)),
        [DISK_FIRES, until("03:03:00")],
        rang=["03:00:00 bob", "03:01:00 fallback phone"],
    ),
    "nobody is on call: a chat is told at once": Story(
        chain("primary", schedules=schedules(BY_DAY)),
        [DISK_FIRES, ("03:01:00", together(finds_pages(exhausted=1), chat_reads()))],
        rang=["03:00:00 fallback phone"],
    ),
    "nobody is on call for hours: the chat is told again after repeat_interval": Story(
        chain("primary", schedules=schedules(BY_DAY), route={"repeat_interval": "1h"}),
        [DISK_FIRES, *(disk_fires(f"0{hour}:00:00") for hour in (3, 4, 5)), until("05:10:00")],
        rang=["03:00:00 fallback phone", "04:00:00 fallback phone", "05:00:00 fallback phone"],
    ),
    "nobody was on call: whoever is by the next webhook is called": Story(
        chain("primary", schedules=schedules(turns("alice", hours=hours("03:02", "20:00")))),
        [DISK_FIRES, disk_fires("03:01:00"), disk_fires("03:03:00"), until("03:05:00")],
        rang=[
            "03:00:00 fallback phone",
            "03:03:00 alice",
            "03:04:00 fallback phone",
        ],
    ),
    "night shift: the later layer counts": Story(
        chain(
            "primary",
            "primary",
            schedules=schedules(turns("alice"), turns("bob", hours=hours("20:00", "03:01"))),
        ),
        [DISK_FIRES, until("03:03:00")],
        rang=["03:00:00 bob", "03:01:00 alice (escalation)", "03:02:00 fallback phone"],
    ),
    "a turn of two people": Story(
        chain("primary", schedules=schedules({**turns("alice"), "people": [["alice", "bob"]]})),
        [DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice", "03:00:00 bob", "03:01:00 fallback phone"],
    ),
    "override of routes.yaml": Story(
        chain(
            "primary",
            schedules=schedules(
                turns("alice"),
                overrides=[
                    {"person": "bob", "from": "2026-11-24T02:00", "until": "2026-11-24T04:00"}
                ],
            ),
        ),
        [DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 bob", "03:01:00 fallback phone"],
    ),
    "override added while the escalation runs: the next step calls its person": Story(
        chain("alice", "primary", schedules=schedules(turns("bob"))),
        [
            DISK_FIRES,
            ("03:00:30", overrides("primary", "carol", until="03:30:00")),
            until("03:03:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 carol (escalation)", "03:02:00 fallback phone"],
    ),
    "override that is over by the next step": Story(
        chain("alice", "primary", schedules=schedules(turns("bob"))),
        [
            DISK_FIRES,
            ("03:00:30", overrides("primary", "carol", until="03:00:59")),
            until("03:03:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "override taken back while the escalation runs": Story(
        chain("alice", "primary", schedules=schedules(turns("bob"))),
        [
            ("03:00:00", overrides("primary", "carol", until="03:30:00")),
            DISK_FIRES,
            ("03:00:30", removes_the_override),
            until("03:03:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "workdays: CN, on a Saturday that is worked for a holiday": Story(
        chain("primary", "carol", schedules=OFFICE),
        [DISK_FIRES, until("03:01:30")],
        rang=["03:00:00 alice", "03:01:00 carol (escalation)"],
        on=date(2026, 10, 10),
    ),
    "workdays: CN, on any other Saturday": Story(
        chain("primary", "carol", schedules=OFFICE),
        [DISK_FIRES, until("03:00:30")],
        rang=["03:00:00 carol"],
        on=date(2026, 10, 17),
    ),
    "workdays: CN, on a Thursday that is a holiday": Story(
        chain("primary", "carol", schedules=OFFICE),
        [DISK_FIRES, until("03:00:30")],
        rang=["03:00:00 carol"],
        on=date(2026, 10, 1),
    ),
}

TABLES = (ON_CALL,)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_whoever_is_on_call_by_then_is_called(story, tmp_path):
    live_through(story, tmp_path)
