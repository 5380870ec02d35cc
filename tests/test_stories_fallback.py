"""When every step was tried: the whole escalation again, and then a chat is told.

A story begins at 03:00:00. Each step waits for a minute; after the last one a chat is told, as
"fallback". Unless receipts are pushed, nothing is heard of any call.
"""

from __future__ import annotations

import pytest
from story_acts import (
    Story,
    acknowledges,
    answers,
    does_not_answer,
    finds_pages,
    refuses,
    resolves,
    together,
    until,
)
from story_chains import (
    LINKS,
    chain,
    chat_answers,
    chat_reads,
    disk_fires,
    finds_taken_by,
    hours,
    live_through,
    opens_the_link,
    pushed,
    schedules,
    takes_it_by_link,
    turns,
)

pytestmark = pytest.mark.usefixtures("database")

CHAIN = chain("alice", "bob", "carol")
ONE = chain("alice")
DISK_FIRES = disk_fires()
NOBODY_ANSWERS = ("03:00:00", does_not_answer())
BY_DAY = turns("alice", hours=hours("08:00", "20:00"))

AGAIN = {
    "repeat: 2, the whole escalation two more times": Story(
        chain("alice", "bob", repeat=2),
        [DISK_FIRES, until("03:07:00")],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:02:00 alice (escalation)",
            "03:03:00 bob (escalation)",
            "03:04:00 alice (escalation)",
            "03:05:00 bob (escalation)",
            "03:06:00 fallback phone",
        ],
    ),
    "repeat: before it begins again, the last step's time passes": pushed(
        chain("alice", "bob", repeat=1),
        [NOBODY_ANSWERS, DISK_FIRES, until("03:03:00")],
        rang=[
            "03:00:00 alice",
            "03:00:02 bob (escalation)",
            "03:01:02 alice (escalation)",
            "03:01:04 bob (escalation)",
            "03:01:06 fallback phone",
        ],
    ),
    "repeat: of one step, the same person is called again": Story(
        chain("alice", repeat=1),
        [DISK_FIRES, until("03:03:00")],
        rang=["03:00:00 alice", "03:01:00 alice (escalation)", "03:02:00 fallback phone"],
    ),
    "repeat: somebody answers the second time": pushed(
        chain("alice", "bob", repeat=2),
        [
            ("03:00:00", does_not_answer("alice", times=1)),
            ("03:00:00", does_not_answer("bob", times=1)),
            DISK_FIRES,
            until("03:03:00"),
        ],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)", "03:01:02 alice (escalation)"],
    ),
    "repeat: nobody is on call, so there is nothing to repeat": Story(
        chain("primary", repeat=3, schedules=schedules(BY_DAY)),
        [DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 fallback phone"],
    ),
    "repeat: whoever is refused is asked for once in a while": Story(
        chain("alice", repeat=1),
        [("03:00:00", refuses(ret_code=230, times=None)), DISK_FIRES, until("03:02:00")],
        rang=["03:01:00 fallback phone"],
        asked=["03:00:00 call alice: 230", "03:01:00 call alice: 230"],
    ),
}

FALLBACK = {
    "the chat fails: told again after 3, then 6 seconds, until it listens": Story(
        ONE,
        [("03:00:00", chat_answers(500, 503)), DISK_FIRES, until("03:02:00")],
        rang=[
            "03:00:00 alice",
            "03:01:00 fallback phone",
            "03:01:03 fallback phone",
            "03:01:09 fallback phone",
        ],
    ),
    "the page resolves before the chat listens: told no more": Story(
        ONE,
        [
            ("03:00:00", chat_answers(500, 500)),
            DISK_FIRES,
            ("03:01:05", resolves()),
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 fallback phone", "03:01:03 fallback phone"],
    ),
    "somebody takes the page before the chat listens: told no more": Story(
        ONE,
        [
            ("03:00:00", chat_answers(500, 500)),
            DISK_FIRES,
            ("03:01:05", acknowledges),
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 fallback phone", "03:01:03 fallback phone"],
    ),
    "the link in the message takes the page, and is the end of it": Story(
        chain("alice", "bob", route={"repeat_interval": "4m", "group_interval": "1m"}),
        [
            DISK_FIRES,
            ("03:02:10", together(opens_the_link, finds_pages(exhausted=1))),
            ("03:02:20", together(takes_it_by_link, finds_taken_by("link"))),
            ("03:02:30", takes_it_by_link),
            disk_fires("03:06:00"),
            ("03:08:00", finds_pages(acknowledged=1)),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
        environ=LINKS,
    ),
    "nobody is to be told": Story(
        chain("alice", fallback_webhook=None),
        [DISK_FIRES, ("03:02:00", finds_pages(exhausted=1))],
        rang=["03:00:00 alice"],
    ),
    "what was tried is told": pushed(
        CHAIN,
        [
            ("03:00:00", refuses("alice", 230, message="phone number invalid")),
            ("03:00:00", answers("bob", seconds=1)),
            ("03:00:00", does_not_answer("carol")),
            DISK_FIRES,
            (
                "03:01:00",
                chat_reads(
                    "alice: refused: RetCode 230: a parameter is not acceptable: check number and "
                    "template [phone number invalid]",
                    "bob: answered, but hung up too soon to count",
                    "carol: not answered",
                ),
            ),
        ],
        rang=[
            "03:00:00 bob (escalation)",
            "03:00:02 carol (escalation)",
            "03:00:04 fallback phone",
        ],
    ),
}

TABLES = (AGAIN, FALLBACK)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_nobody_was_reached(story, tmp_path):
    live_through(story, tmp_path)
