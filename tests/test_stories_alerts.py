"""What new, resolved and repeated alerts do to an escalation that runs, or is over.

A story begins at 03:00:00. Each step waits for a minute; after the last one a chat is told, as
"fallback". group_interval is 5m and repeat_interval 4h unless a story says otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest
from service_harness import receiver, routes
from story_acts import (
    Story,
    acknowledges,
    answers,
    does_not_answer,
    finds_calls,
    finds_pages,
    firing,
    gets_no_receipt,
    limits,
    posts,
    refuses,
    resolves,
    together,
    until,
)
from story_chains import (
    CHAT,
    alerts_named,
    chain,
    disk_fires,
    escalation,
    finds_taken_by,
    live_through,
    pushed,
    storm,
)

pytestmark = pytest.mark.usefixtures("database")

CHAIN = chain("alice", "bob", "carol")
DISK_FIRES = disk_fires()
WENT_THROUGH = [
    "03:00:00 alice",
    "03:01:00 bob (escalation)",
    "03:02:00 carol (escalation)",
    "03:03:00 fallback phone",
]


def another(at: str) -> tuple[str, Any]:
    """One more alert of the same page."""
    return at, posts(firing("CpuHot"))


NEWS = {
    "during the first step: later steps name it, and alice hears of it by a follow-up": Story(
        CHAIN,
        [DISK_FIRES, another("03:00:30"), ("03:06:00", alerts_named(1, 2, 2, 1))],
        rang=[*WENT_THROUGH, "03:05:00 alice (new alerts)"],
    ),
    "during the second step: its people hear of it, nobody begins again": Story(
        CHAIN,
        [DISK_FIRES, another("03:01:30"), ("03:07:00", alerts_named(1, 1, 2, 1))],
        rang=[*WENT_THROUGH, "03:06:00 bob (new alerts)"],
    ),
    "within group_wait: one call": Story(
        chain("alice", "bob", route={"group_wait": "30s"}),
        [DISK_FIRES, another("03:00:20"), ("03:01:00", alerts_named(2))],
        rang=["03:00:30 alice"],
    ),
    "a short group_interval: a follow-up within the step, which keeps its time": Story(
        chain("alice", "bob", route={"group_interval": "20s"}),
        [DISK_FIRES, another("03:00:10"), ("03:01:30", alerts_named(1, 1, 2))],
        rang=["03:00:00 alice", "03:00:20 alice (new alerts)", "03:01:00 bob (escalation)"],
    ),
    "between the call and its answer: whoever answered hears of the rest, nobody else does": pushed(
        chain("alice", "bob", route={"group_interval": "1m"}),
        [
            ("03:00:00", answers("alice", after=10)),
            DISK_FIRES,
            another("03:00:05"),
            ("03:00:30", finds_pages(open=1)),
            ("03:01:10", finds_taken_by("alice")),
            until("03:03:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 alice (new alerts)"],
    ),
    "between the call and its answer, and the follow-up is missed: the next step": pushed(
        chain("alice", "bob", route={"group_interval": "1m"}),
        [
            ("03:00:00", answers("alice", after=10, times=1)),
            DISK_FIRES,
            another("03:00:05"),
            ("03:00:30", does_not_answer("alice")),
            ("03:01:30", finds_taken_by("bob")),
            ("03:03:00", alerts_named(1, 1, 2)),
        ],
        rang=[
            "03:00:00 alice",
            "03:01:00 alice (new alerts)",
            "03:01:02 bob (escalation)",
        ],
    ),
    "after somebody has taken the page: from the first step again": pushed(
        chain("alice", "bob", route={"group_interval": "2m"}),
        [
            ("03:00:00", answers("alice", times=1)),
            DISK_FIRES,
            ("03:00:30", gets_no_receipt("alice")),
            another("03:01:00"),
            ("03:02:30", finds_pages(open=1)),
            ("03:03:02", finds_taken_by("bob")),
            ("03:05:00", alerts_named(1, 1, 2)),
        ],
        rang=[
            "03:00:00 alice",
            "03:02:00 alice (new alerts)",
            "03:03:00 bob (escalation)",
        ],
    ),
    "after everything was tried: everything again": Story(
        chain("alice", "bob", route={"group_interval": "4m"}),
        [DISK_FIRES, another("03:03:00"), ("03:07:00", alerts_named(1, 1, 1, 2))],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:02:00 fallback phone",
            "03:04:00 alice (new alerts)",
            "03:05:00 bob (escalation)",
            "03:06:00 fallback phone",
        ],
    ),
    "the same webhook during each step: nobody begins again": Story(
        CHAIN,
        [DISK_FIRES, *(disk_fires(f"03:0{minute}:30") for minute in range(3)), until("03:04:00")],
        rang=WENT_THROUGH,
    ),
}

BY_CLUSTER = {"group_by": ["cluster"]}
PLAIN_LIMITS = limits(min_interval="1m", per_hour=10, per_day=50)

STORMS = {
    "200 alerts in 50 pages, in one webhook: one call a person": pushed(
        chain("alice", "bob", wait="2m", route=BY_CLUSTER, limits=PLAIN_LIMITS),
        [
            ("03:00:00", does_not_answer("alice")),
            ("03:00:00", posts(*storm(50))),
            ("03:00:04", finds_pages(acknowledged=50)),
            ("03:03:00", alerts_named(200, 200)),
        ],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)"],
    ),
    "200 alerts in 50 pages, each in a webhook of its own: two calls": pushed(
        chain("alice", "bob", wait="2m", route=BY_CLUSTER, limits=PLAIN_LIMITS),
        [
            *(("03:00:00", posts(*storm(50)[4 * page : 4 * page + 4])) for page in range(50)),
            ("03:00:30", finds_pages(acknowledged=1, open=49)),
            ("03:01:02", finds_pages(acknowledged=50)),
            ("03:03:00", alerts_named(4, 196)),
        ],
        rang=["03:00:00 alice", "03:01:00 alice"],
    ),
    "200 alerts in one page: one call a step": Story(
        chain("alice", "bob", limits=PLAIN_LIMITS),
        [("03:00:00", posts(*storm(50))), ("03:03:00", alerts_named(200, 200))],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
}

OVER = {
    "resolved in the middle of a step: nobody else is called, no chat is told": Story(
        CHAIN,
        [DISK_FIRES, ("03:01:30", resolves()), ("03:04:00", finds_pages(closed=1))],
        rang=WENT_THROUGH[:2],
    ),
    "resolved while a call waits to be dialled again": Story(
        CHAIN,
        [
            ("03:00:00", refuses("alice", 150, times=None)),
            DISK_FIRES,
            ("03:00:05", resolves()),
            ("03:02:00", finds_calls(cancelled=1)),
        ],
        rang=[],
    ),
    "one of two resolves: the rest goes on, and names what is left": Story(
        chain("alice", "bob"),
        [
            ("03:00:00", posts(firing("DiskFull"), firing("CpuHot"))),
            ("03:00:30", resolves("CpuHot")),
            ("03:01:30", alerts_named(2, 1)),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "called back, once it is over: whoever was reached": pushed(
        chain("alice", "bob", send_resolved=True, resolved_template="recovered"),
        [
            ("03:00:00", does_not_answer("alice")),
            DISK_FIRES,
            ("03:02:00", resolves()),
            until("03:03:00"),
        ],
        rang=[
            "03:00:00 alice",
            "03:00:02 bob (escalation)",
            "03:02:00 bob (resolved)",
        ],
    ),
    "called back, once it is over: whoever may have been reached": Story(
        chain("alice", "bob", send_resolved=True, resolved_template="recovered"),
        [DISK_FIRES, ("03:01:30", resolves()), until("03:02:00")],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:01:30 alice (resolved)",
            "03:01:30 bob (resolved)",
        ],
    ),
    "called back in the middle of an escalation: it does not go on with that": pushed(
        chain("alice bob", "carol", send_resolved=True, resolved_template="recovered"),
        [
            ("03:00:00", does_not_answer("alice")),
            ("03:00:00", gets_no_receipt("bob")),
            DISK_FIRES,
            ("03:00:30", resolves()),
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:00:00 bob", "03:00:30 bob (resolved)"],
    ),
    "fires again soon after it resolved: a follow-up, from the first step": pushed(
        CHAIN,
        [
            DISK_FIRES,
            ("03:01:00", resolves()),
            disk_fires("03:02:00"),
            ("03:05:02", finds_taken_by("alice")),
            until("03:06:00"),
        ],
        rang=["03:00:00 alice", "03:05:00 alice (new alerts)"],
    ),
    "fires again long after it resolved: a page of its own": pushed(
        chain("alice", "bob", route={"group_interval": "1m"}),
        [
            DISK_FIRES,
            ("03:01:00", resolves()),
            disk_fires("03:02:00"),
            ("03:03:00", finds_pages(closed=1, acknowledged=1)),
        ],
        rang=["03:00:00 alice", "03:02:00 alice"],
    ),
}

SOON = {"repeat_interval": "5m", "group_interval": "1m"}

REPEATED = {
    "everything was tried: all of it again after repeat_interval, by a webhook": Story(
        chain("alice", "bob", route=SOON),
        [
            DISK_FIRES,
            disk_fires("03:03:00"),
            disk_fires("03:06:00"),
            ("03:10:00", finds_pages(exhausted=1)),
        ],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:02:00 fallback phone",
            "03:06:00 alice (repeat)",
            "03:07:00 bob (escalation)",
            "03:08:00 fallback phone",
        ],
    ),
    "everything was tried: silence rings nobody": Story(
        chain("alice", route=SOON),
        [DISK_FIRES, until("03:08:00")],
        rang=["03:00:00 alice", "03:01:00 fallback phone"],
    ),
    "everything was tried, and then somebody took it: no more": Story(
        chain("alice", route=SOON),
        [
            DISK_FIRES,
            ("03:02:00", acknowledges),
            disk_fires("03:06:00"),
            ("03:08:00", finds_pages(acknowledged=1)),
        ],
        rang=["03:00:00 alice", "03:01:00 fallback phone"],
    ),
    "somebody answered: no more": pushed(
        chain("alice", "bob", route=SOON),
        [DISK_FIRES, disk_fires("03:06:00"), until("03:08:00")],
        rang=["03:00:00 alice"],
    ),
    "repeat_interval passes while the escalation runs: nobody begins again": Story(
        chain("alice", "bob", "carol", route={"repeat_interval": "90s", "group_interval": "30s"}),
        [DISK_FIRES, disk_fires("03:02:10"), until("03:04:00")],
        rang=WENT_THROUGH,
    ),
}


def both(*receivers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Every alert goes to each of these receivers."""
    children = [{"receiver": one["name"], "continue": True} for one in receivers]
    return routes(*receivers, route={"routes": children}, **more)


PHONE = {"voice_template": "outage", "fallback_webhook": CHAT}
TEAM = {"name": "team", "escalation": escalation("alice", "bob"), **PHONE}
LEADS = {"name": "leads", "escalation": escalation("carol"), **PHONE}

RECEIVERS = {
    "two receivers: each has its own escalation": pushed(
        both(TEAM, LEADS),
        [
            ("03:00:00", does_not_answer("alice")),
            ("03:00:00", does_not_answer("carol")),
            DISK_FIRES,
            ("03:02:00", together(finds_pages(acknowledged=1, exhausted=1), finds_taken_by("bob"))),
        ],
        rang=[
            "03:00:00 alice",
            "03:00:00 carol",
            "03:00:02 bob (escalation)",
            "03:00:02 fallback leads",
        ],
    ),
    "two receivers: an answer to one is none to the other": pushed(
        both(TEAM, {**LEADS, "escalation": escalation("alice", "carol")}, limits=PLAIN_LIMITS),
        [
            ("03:00:00", answers("alice", times=1)),
            DISK_FIRES,
            ("03:00:01", does_not_answer("alice")),
            ("03:02:00", finds_taken_by("alice", "carol")),
        ],
        # alice may ring again after a minute, which is as long as the other one waits
        rang=["03:00:00 alice", "03:00:00 carol (escalation)"],
    ),
    "two receivers: one of them calls nobody": Story(
        both(receiver("nobody"), TEAM),
        [DISK_FIRES, until("03:00:30")],
        rang=["03:00:00 alice"],
    ),
}

TABLES = (NEWS, STORMS, OVER, REPEATED, RECEIVERS)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_alerts_come_and_go_while_people_are_called(story, tmp_path):
    live_through(story, tmp_path)
