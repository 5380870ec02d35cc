"""What happens to an escalation while calls cannot be made, or routes.yaml changes under it.

Reloads, a vendor that refuses or is away, and deaths of our own process. A story begins at
03:00:00. Each step waits for a minute; after the last one a chat is told, as "fallback". Unless
receipts are pushed, nothing is heard of any call.
"""

from __future__ import annotations

import pytest
from service_harness import receiver, routes
from story_acts import (
    Story,
    finds_calls,
    finds_pages,
    kills,
    mends,
    refuses,
    refuses_look_ups,
    reloads,
    restarts,
    rings,
    stays_silent,
    until,
)
from story_chains import (
    chain,
    chat_answers,
    disk_fires,
    live_through,
    pushed,
    vendor_comes_back,
    vendor_goes_down,
)

pytestmark = pytest.mark.usefixtures("database")

CHAIN = chain("alice", "bob", "carol")
TWO = chain("alice", "bob")
DISK_FIRES = disk_fires()
WENT_THROUGH = [
    "03:00:00 alice",
    "03:01:00 bob (escalation)",
    "03:02:00 carol (escalation)",
    "03:03:00 fallback phone",
]
TWO_WENT_THROUGH = [
    "03:00:00 alice",
    "03:01:00 bob (escalation)",
    "03:02:00 fallback phone",
]
RELOADED = {
    "steps are taken away: told when the one under way is over": Story(
        CHAIN,
        [DISK_FIRES, ("03:00:30", reloads(chain("alice"))), until("03:03:00")],
        rang=["03:00:00 alice", "03:01:00 fallback phone"],
    ),
    "the step under way is taken away": Story(
        CHAIN,
        [DISK_FIRES, ("03:01:30", reloads(chain("alice"))), until("03:04:00")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "steps are added: they are taken": Story(
        chain("alice"),
        [DISK_FIRES, ("03:00:30", reloads(TWO)), until("03:03:00")],
        rang=TWO_WENT_THROUGH,
    ),
    "steps are added after everything was tried: too late for this page": Story(
        chain("alice"),
        [DISK_FIRES, ("03:01:30", reloads(TWO)), until("03:03:00")],
        rang=["03:00:00 alice", "03:01:00 fallback phone"],
    ),
    "a longer wait: from the next step on": Story(
        TWO,
        [DISK_FIRES, ("03:00:30", reloads(chain("alice", "bob", wait="2m"))), until("03:04:00")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:03:00 fallback phone"],
    ),
    "the receiver is removed: nobody else is called, there is nobody to tell": Story(
        CHAIN,
        [
            DISK_FIRES,
            ("03:00:30", reloads(routes(receiver("others", "bob")))),
            ("03:04:00", finds_pages(exhausted=1)),
        ],
        rang=["03:00:00 alice"],
    ),
    "the receiver is removed: its alerts are the next one's": Story(
        CHAIN,
        [
            DISK_FIRES,
            ("03:00:30", reloads(routes(receiver("others", "bob")))),
            disk_fires("03:02:00"),
            until("03:03:00"),
        ],
        rang=["03:00:00 alice", "03:02:00 bob"],
    ),
    "the fallback webhook is removed before the chat listens: told no more": Story(
        chain("alice"),
        [
            ("03:00:00", chat_answers(500, 500)),
            DISK_FIRES,
            ("03:01:05", reloads(rings("alice"))),
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 fallback phone", "03:01:03 fallback phone"],
    ),
}

VENDOR = {
    # The vendor is asked once a minute; of several calls the one due for longest goes first.
    "the account is refused in the middle of it: told in time, called once it is mended": Story(
        CHAIN,
        [
            DISK_FIRES,
            ("03:00:30", refuses(ret_code=299, times=None)),
            ("03:03:30", mends),
            until("03:05:00"),
        ],
        rang=[
            "03:00:00 alice",
            "03:03:00 fallback phone",
            "03:04:00 bob (escalation)",
            "03:04:00 carol (escalation)",
        ],
    ),
    "the account is refused from the start: told in time, called once it is mended": Story(
        TWO,
        [
            ("03:00:00", refuses(ret_code=299, times=None)),
            DISK_FIRES,
            ("03:02:30", mends),
            until("03:04:00"),
        ],
        rang=[
            "03:02:00 fallback phone",
            "03:03:00 alice",
            "03:03:00 bob (escalation)",
        ],
    ),
    "the vendor is away for ten minutes: told in time, everybody called when it is back": pushed(
        CHAIN,
        [
            ("03:00:00", vendor_goes_down),
            DISK_FIRES,
            ("03:10:00", vendor_comes_back),
            ("03:12:00", finds_pages(acknowledged=1)),
        ],
        rang=[
            "03:03:00 fallback phone",
            "03:10:03 alice",
            "03:10:03 bob (escalation)",
            "03:10:03 carol (escalation)",
        ],
    ),
    "the vendor is away for half a minute: the step's people are called in time": pushed(
        TWO,
        [
            ("03:00:00", vendor_goes_down),
            DISK_FIRES,
            ("03:00:30", vendor_comes_back),
            until("03:02:00"),
        ],
        rang=["03:00:31 alice"],
    ),
    "no answer of the vendor, nothing in its records: dialled again within the step": Story(
        TWO,
        [
            ("03:00:00", stays_silent("alice", rings=False)),
            DISK_FIRES,
            until("03:03:00"),
        ],
        rang=["03:00:35 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "no answer of the vendor, and nobody can tell: the next step does not wait for that": Story(
        TWO,
        [
            ("03:00:00", stays_silent("alice", rings=True)),
            ("03:00:00", refuses_look_ups()),
            DISK_FIRES,
            until("03:03:00"),
        ],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:01:30 alice",
            "03:02:00 fallback phone",
        ],
    ),
}

KILLED = {
    "killed in the middle of a step: it goes on in time": Story(
        CHAIN,
        [DISK_FIRES, ("03:00:30", kills), ("03:00:40", restarts), until("03:04:00")],
        rang=WENT_THROUGH,
    ),
    "down while a step's time passed: the next one at once, with all of its own": Story(
        CHAIN,
        [DISK_FIRES, ("03:00:30", kills), ("03:02:40", restarts), until("03:05:00")],
        rang=[
            "03:00:00 alice",
            "03:02:40 bob (escalation)",
            "03:03:40 carol (escalation)",
            "03:04:40 fallback phone",
        ],
    ),
    "killed while the second phone rang: looked up, not rung again, and it goes on": Story(
        CHAIN,
        [
            ("03:00:00", stays_silent("bob", rings=True)),
            DISK_FIRES,
            ("03:01:10", restarts),
            ("03:04:00", finds_calls(accepted=3)),
        ],
        rang=WENT_THROUGH,
    ),
    "killed at each step": Story(
        CHAIN,
        [
            DISK_FIRES,
            *((f"03:0{minute}:30", restarts) for minute in range(4)),
            ("03:05:00", finds_pages(exhausted=1)),
        ],
        rang=WENT_THROUGH,
    ),
    "killed at the instant at which each step begins": Story(
        CHAIN,
        [
            DISK_FIRES,
            *((f"03:0{minute}:00", restarts) for minute in range(4)),
            ("03:05:00", finds_pages(exhausted=1)),
        ],
        rang=WENT_THROUGH,
    ),
    "killed in the second run: the repeats left are known": Story(
        chain("alice", "bob", repeat=1),
        [DISK_FIRES, ("03:02:30", kills), ("03:02:40", restarts), until("03:06:00")],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:02:00 alice (escalation)",
            "03:03:00 bob (escalation)",
            "03:04:00 fallback phone",
        ],
    ),
    "killed while the chat fails: told by the next process": Story(
        chain("alice"),
        [
            ("03:00:00", chat_answers(500)),
            DISK_FIRES,
            ("03:01:01", kills),
            ("03:01:20", restarts),
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 fallback phone", "03:01:20 fallback phone"],
    ),
    "killed after it was told: not told again": Story(
        chain("alice"),
        [DISK_FIRES, ("03:01:01", kills), ("03:01:20", restarts), until("03:03:00")],
        rang=["03:00:00 alice", "03:01:00 fallback phone"],
    ),
}

TABLES = (RELOADED, VENDOR, KILLED)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_an_escalation_goes_on_through_trouble(story, tmp_path):
    live_through(story, tmp_path)
