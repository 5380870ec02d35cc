"""When phones ring, to the second: the whole service in virtual time, as tables of stories.

A story begins at 03:00:00. Unless it says otherwise alice alone is called, nobody is limited,
group_wait is 0s, group_interval 5m, repeat_interval 4h, and chance always gives one half: the first
retry of a call comes after a second.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from clocked_world import OWN_URL, clocked_world, shown
from story_acts import (
    Story,
    acknowledges,
    answers,
    cuts,
    does_not_answer,
    finds_calls,
    finds_pages,
    firing,
    kills,
    limits,
    mends,
    posts,
    refuses,
    refuses_look_ups,
    reloads,
    resolved,
    resolves,
    restarts,
    rings,
    shows_no_records,
    stays_silent,
    throttles,
    together,
    told,
    until,
)
from virtual_time import run

ALICE: Any = rings("alice")
BY_CLUSTER = {"group_by": ["cluster"]}
DISK_FIRES = ("03:00:00", posts(firing("DiskFull")))

# The first call is lost on the way; the second, made when that is known, names what joined
# meanwhile, and is of unknown outcome as the follow-up about that is due.
SOON_AGAIN: Any = rings("alice", route={"group_interval": "1m"})
CUT_OFF_WITH_THE_NEWS = (
    ("03:00:00", together(cuts("alice", rings=False), cuts("alice", rings=True))),
    DISK_FIRES,
    ("03:00:10", posts(firing("CpuHot"))),
    ("03:00:31", refuses_look_ups()),
)
ONE_OF_TWO = {"accepted": 1, "cancelled": 1}

PAGES = {
    "first: everybody of the receiver is rung at once": Story(
        rings("alice", "bob"),
        [
            DISK_FIRES,
            until("03:10:00"),
        ],
        rang=["03:00:00 alice", "03:00:00 bob"],
    ),
    "the same webhook again, from another Alertmanager, rings nobody": Story(
        ALICE,
        [
            DISK_FIRES,
            ("03:00:00", posts(firing("DiskFull"))),
            ("03:00:15", posts(firing("DiskFull"))),
            until("03:10:00"),
        ],
        rang=["03:00:00 alice"],
    ),
    "group_wait: what joins meanwhile is in the first call": Story(
        rings("alice", route={"group_wait": "30s"}),
        [
            DISK_FIRES,
            ("03:00:20", posts(firing("CpuHot"))),
            until("03:10:00"),
        ],
        rang=["03:00:30 alice"],
    ),
    "new alerts: one follow-up, group_interval after the call, for all that joined": Story(
        ALICE,
        [
            DISK_FIRES,
            ("03:01:00", posts(firing("CpuHot"))),
            ("03:02:00", posts(firing("NetDown"))),
            until("03:20:00"),
        ],
        rang=["03:00:00 alice", "03:05:00 alice (new alerts)"],
    ),
    "repeat: a webhook confirms after repeat_interval, and nobody has taken the page": Story(
        rings("alice", route={"repeat_interval": "10m"}),
        [
            ("03:00:00", does_not_answer()),
            DISK_FIRES,
            ("03:04:00", posts(firing("DiskFull"))),
            ("03:11:00", posts(firing("DiskFull"))),
            until("03:20:00"),
        ],
        rang=["03:00:00 alice", "03:11:00 alice (repeat)"],
    ),
    "repeat: a webhook that comes a little early is waited for": Story(
        rings("alice", route={"repeat_interval": "10m"}),
        [
            ("03:00:00", does_not_answer()),
            DISK_FIRES,
            ("03:08:00", posts(firing("DiskFull"))),
            until("03:20:00"),
        ],
        rang=["03:00:00 alice", "03:10:00 alice (repeat)"],
    ),
    "repeat: silence rings nobody": Story(
        rings("alice", route={"repeat_interval": "10m"}),
        [
            ("03:00:00", does_not_answer()),
            DISK_FIRES,
            until("03:30:00"),
        ],
        rang=["03:00:00 alice"],
    ),
    "an acknowledged page is not repeated": Story(
        rings("alice", route={"repeat_interval": "10m"}),
        [
            ("03:00:00", does_not_answer()),
            DISK_FIRES,
            ("03:05:00", acknowledges),
            ("03:11:00", together(posts(firing("DiskFull")), finds_pages(acknowledged=1))),
            until("03:20:00"),
        ],
        rang=["03:00:00 alice"],
    ),
    "resolved cancels what was not dialled yet": Story(
        rings("alice", route={"group_wait": "1m"}),
        [
            DISK_FIRES,
            ("03:00:59", resolves("DiskFull")),
            ("03:10:00", together(finds_calls(cancelled=1), finds_pages(closed=1))),
        ],
        rang=[],
    ),
    "send_resolved calls back whoever was called": Story(
        rings("alice", "bob", send_resolved=True, resolved_template="recovered"),
        [
            DISK_FIRES,
            ("03:07:00", posts(resolved("DiskFull"))),
            ("03:10:00", finds_pages(closed=1)),
        ],
        rang=[
            "03:00:00 alice",
            "03:00:00 bob",
            "03:07:00 alice (resolved)",
            "03:07:00 bob (resolved)",
        ],
    ),
}

LIMITS = {
    "min_interval: the second page of one phone waits, the other phone does not": Story(
        rings("alice", route=BY_CLUSTER, limits=limits(min_interval="1m")),
        [
            ("03:00:00", posts(firing(cluster="bj"), firing(cluster="sh"))),
            until("03:10:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 alice"],
    ),
    "per_hour: the third page waits until the first call is an hour ago": Story(
        rings("alice", route=BY_CLUSTER, limits=limits(per_hour=2)),
        [
            ("03:00:00", posts(firing(cluster="bj"))),
            ("03:10:00", posts(firing(cluster="sh"))),
            ("03:20:00", posts(firing(cluster="gz"))),
            until("04:05:00"),
        ],
        rang=["03:00:00 alice", "03:10:00 alice", "04:00:00 alice"],
    ),
}

VENDOR = {
    "150: dialled again a second later": Story(
        ALICE,
        [
            ("03:00:00", refuses("alice", 150)),
            DISK_FIRES,
            until("03:10:00"),
        ],
        rang=["03:00:01 alice"],
        asked=["03:00:00 call alice: 150", "03:00:01 call alice: 0"],
    ),
    "150 again and again: the pauses double, and nobody else waits": Story(
        rings("alice", "bob"),
        [
            ("03:00:00", refuses("alice", 150, times=4)),
            DISK_FIRES,
            until("03:10:00"),
        ],
        rang=["03:00:00 bob", "03:00:15 alice"],  # 1 + 2 + 4 + 8 seconds
    ),
    "153: the whole account pauses, then all are called": Story(
        rings("alice", "bob"),
        [
            ("03:00:00", throttles(times=2)),
            DISK_FIRES,
            until("03:10:00"),
        ],
        # The pause is three quarters of a second, half of it and half of that by chance.
        rang=["03:00:00.75 alice", "03:00:00.75 bob"],
    ),
    "a refusal of the account is probed each minute until somebody mends it": Story(
        ALICE,
        [
            ("03:00:00", refuses("alice", 171, times=None)),
            DISK_FIRES,
            ("03:02:30", mends),
            until("03:10:00"),
        ],
        rang=["03:03:00 alice"],
        asked=[
            "03:00:00 call alice: 171",
            "03:01:00 call alice: 171",
            "03:02:00 call alice: 171",
            "03:03:00 call alice: 0",
        ],
    ),
    "no answer, looked up, found: not dialled again": Story(
        ALICE,
        [
            ("03:00:00", stays_silent("alice", rings=True)),
            DISK_FIRES,
            ("03:10:00", finds_calls(accepted=1)),
        ],
        rang=["03:00:00 alice"],
        # read_timeout 30s, then reconcile_first 5s
        asked=["03:00:00 call alice: no answer", "03:00:35 look-up alice: 0"],
    ),
    "no answer, looked up, absent: dialled again": Story(
        ALICE,
        [
            ("03:00:00", stays_silent("alice", rings=False)),
            DISK_FIRES,
            ("03:10:00", finds_calls(accepted=1)),
        ],
        rang=["03:00:35 alice"],
        asked=[
            "03:00:00 call alice: no answer",
            "03:00:35 look-up alice: 0",
            "03:00:35 look-up anybody: 0",
            "03:00:35 call alice: 0",
        ],
    ),
    "cut off, and the records are late: absent proves nothing for half a minute": Story(
        ALICE,
        [
            ("03:00:00", cuts("alice", rings=True)),
            ("03:00:00", shows_no_records(times=4)),
            DISK_FIRES,
            ("03:10:00", finds_calls(accepted=1)),
        ],
        rang=["03:00:00 alice"],
    ),
    "cut off, and nobody can tell: dialled again after reconcile_for": Story(
        ALICE,
        [
            ("03:00:00", cuts("alice", rings=True)),
            ("03:00:00", refuses_look_ups()),
            DISK_FIRES,
            ("03:10:00", finds_calls(accepted=1)),
        ],
        rang=["03:00:00 alice", "03:01:30 alice"],
    ),
    "cut off in the call that took the news along: the news' own call waits for a look-up": Story(
        SOON_AGAIN,
        [*CUT_OFF_WITH_THE_NEWS, ("03:01:20", mends), ("03:10:00", finds_calls(**ONE_OF_TWO))],
        rang=["03:00:30 alice"],
    ),
    "the same, and there is other news by then: that does not wait": Story(
        SOON_AGAIN,
        [
            *CUT_OFF_WITH_THE_NEWS,
            ("03:00:50", posts(firing("NetDown"))),
            ("03:01:20", mends),
            ("03:10:00", finds_calls(accepted=2)),
        ],
        rang=["03:00:30 alice", "03:01:00 alice (new alerts)"],
    ),
}

RESTARTS = {
    "killed before the call was due: made in time by the next process": Story(
        rings("alice", route={"group_wait": "5m"}),
        [
            DISK_FIRES,
            ("03:01:00", kills),
            ("03:04:00", restarts),
            until("03:10:00"),
        ],
        rang=["03:05:00 alice"],
    ),
    "killed while a call was due: made at the next start": Story(
        rings("alice", route={"group_wait": "5m"}),
        [
            DISK_FIRES,
            ("03:01:00", kills),
            ("03:07:00", restarts),
            until("03:10:00"),
        ],
        rang=["03:07:00 alice"],
    ),
    "killed while the phone rang: looked up, and not dialled again": Story(
        ALICE,
        [
            ("03:00:00", stays_silent("alice", rings=True)),
            DISK_FIRES,
            ("03:00:10", restarts),
            ("03:10:00", finds_calls(accepted=1)),
        ],
        rang=["03:00:00 alice"],
    ),
    "a page survives: no second first call": Story(
        ALICE,
        [
            DISK_FIRES,
            ("03:01:00", restarts),
            ("03:02:00", posts(firing("DiskFull"))),
            until("03:10:00"),
        ],
        rang=["03:00:00 alice"],
    ),
    "reloaded: who is called by then counts": Story(
        ALICE,
        [
            DISK_FIRES,
            ("03:01:00", reloads(rings("bob"))),
            ("03:02:00", posts(firing("CpuHot"))),
            until("03:10:00"),
        ],
        rang=["03:00:00 alice", "03:02:00 bob (new alerts)"],
    ),
}

TABLES = (PAGES, LIMITS, VENDOR, RESTARTS)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_phones_ring_just_then(story, database, tmp_path):
    came = run(told(story, tmp_path))
    assert came.rang == list(story.rang), "\n".join(("the vendor was asked:", *came.asked))
    if story.asked is not None:
        assert came.asked == list(story.asked)


@pytest.mark.parametrize(
    ("database", "looked_up_at"),
    [("sqlite", "03:00:15"), ("postgresql", "03:01:05")],
    indirect=["database"],
)
def test_a_start_waits_for_the_lease_where_others_may_share_the_database(
    database, looked_up_at, tmp_path
):
    """Another replica may still be sending what this one finds under way."""
    acts = [
        ("03:00:00", stays_silent("alice", rings=True)),
        DISK_FIRES,
        ("03:00:10", restarts),
        ("03:10:00", finds_calls(accepted=1)),
    ]
    came = run(told(Story(ALICE, acts, rang=["03:00:00 alice"]), tmp_path))
    assert came.rang == ["03:00:00 alice"]
    assert came.asked == ["03:00:00 call alice: no answer", f"{looked_up_at} look-up alice: 0"]


# --- the harness itself -------------------------------------------------------------------------


def test_receipts_are_pushed_in_virtual_time_and_again_where_they_are_not_taken(tmp_path):
    """A receipt that is late and doubled meets a service that is down, then one that refuses."""

    async def main() -> list[tuple[str, int | None]]:
        async with clocked_world(tmp_path) as world:
            world.receipts.url = f"{OWN_URL}/nowhere"
            await answers("alice", seconds=1, after=90, copies=2)(world)
            await posts(firing())(world)
            await world.at("03:01:00")
            await kills(world)
            await world.at("03:01:33.5")
            await restarts(world)
            await world.at("03:02:00")
            return [(shown(push.time), push.status) for push in world.receipts.pushes]

    down = [(f"03:01:{second}", None) for second in (30, 31, 32, 33)]
    # What the second copy's tries are: the service is up again from 03:01:33.5 on.
    again = [("03:01:33", None), *((f"03:01:{second}", 404) for second in (34, 35, 36))]
    assert run(main()) == down + again


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (finds_calls(accepted=2), "calls: {'accepted': 1}, and not {'accepted': 2}"),
        (finds_pages(closed=1), "pages: {'open': 1}, and not {'closed': 1}"),
        (reloads({}), "failed to reload config"),
    ],
)
def test_a_story_that_is_wrong_says_where(act, said, tmp_path):
    story = Story(ALICE, [DISK_FIRES, ("03:00:01", act)], rang=["03:00:00 alice"])
    with pytest.raises(AssertionError, match=re.escape(said)):
        run(told(story, tmp_path))
