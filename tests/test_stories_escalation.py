"""Who is called next, and when, until somebody answers: whole nights in virtual time.

A story begins at 03:00:00. Each step waits for a minute; after the last one a chat is told, as
"fallback". Nobody is limited. Unless receipts are pushed or polled, nothing is heard of any call.
"""

from __future__ import annotations

import pytest
from story_acts import (
    Story,
    acknowledges,
    answers,
    does_not_answer,
    finds_calls,
    finds_pages,
    is_not_reported,
    refuses,
    rings,
    together,
    until,
)
from story_chains import (
    CHAT,
    LINKS,
    chain,
    chat_reads,
    disk_fires,
    finds_taken_by,
    live_through,
    polled,
    pushed,
    schedules,
    takes_it_by_link,
    turns,
)

pytestmark = pytest.mark.usefixtures("database")

CHAIN = chain("alice", "bob", "carol")
TWO = chain("alice", "bob")
ONE = chain("alice")
DISK_FIRES = disk_fires()
NOBODY_ANSWERS = ("03:00:00", does_not_answer())
WENT_THROUGH = [
    "03:00:00 alice",
    "03:01:00 bob (escalation)",
    "03:02:00 carol (escalation)",
    "03:03:00 fallback phone",
]

ANSWERS = {
    "answered, pushed: the escalation ends": pushed(
        CHAIN,
        [DISK_FIRES, ("03:00:02", finds_taken_by("alice")), until("03:04:00")],
        rang=["03:00:00 alice"],
    ),
    "answered, polled: the escalation ends once we know": polled(
        CHAIN,
        [
            DISK_FIRES,
            ("03:00:14", finds_pages(open=1)),
            ("03:00:15", finds_taken_by("alice")),
            until("03:04:00"),
        ],
        rang=["03:00:00 alice"],
    ),
    "not answered, pushed: the next step at once": pushed(
        CHAIN,
        [NOBODY_ANSWERS, DISK_FIRES, ("03:04:00", finds_pages(exhausted=1))],
        rang=[
            "03:00:00 alice",
            "03:00:02 bob (escalation)",
            "03:00:04 carol (escalation)",
            "03:00:06 fallback phone",
        ],
    ),
    "not answered, polled: the next step once we know": polled(
        CHAIN,
        [NOBODY_ANSWERS, DISK_FIRES, until("03:04:00")],
        rang=[
            "03:00:00 alice",
            "03:00:15 bob (escalation)",
            "03:00:30 carol (escalation)",
            "03:00:45 fallback phone",
        ],
    ),
    "the second one answers": pushed(
        CHAIN,
        [("03:00:00", does_not_answer("alice", after=20)), DISK_FIRES, until("03:04:00")],
        rang=["03:00:00 alice", "03:00:20 bob (escalation)"],
    ),
    "nothing is heard: each step waits its time, then a chat is told": Story(
        CHAIN,
        [
            DISK_FIRES,
            ("03:02:59", finds_pages(open=1)),
            ("03:04:00", finds_pages(exhausted=1)),
        ],
        rang=WENT_THROUGH,
    ),
    "the carrier reports nothing: each step waits its time": pushed(
        CHAIN,
        [
            ("03:00:00", is_not_reported()),
            DISK_FIRES,
            (
                "03:04:00",
                chat_reads(
                    "alice: placed; the carrier reported nothing",
                    "bob: placed; the carrier reported nothing",
                    "carol: placed; the carrier reported nothing",
                ),
            ),
        ],
        rang=WENT_THROUGH,
    ),
    "hung up after a second: reached nobody": pushed(
        TWO,
        [
            ("03:00:00", answers("alice", seconds=1)),
            DISK_FIRES,
            ("03:00:04", finds_taken_by("bob")),
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)"],
    ),
    "hung up a second before minimum_answer_duration": pushed(
        TWO,
        [("03:00:00", answers("alice", seconds=4)), DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)"],
    ),
    "answered for just minimum_answer_duration": pushed(
        TWO,
        [("03:00:00", answers("alice", seconds=5)), DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice"],
    ),
    "minimum_answer_duration of the receiver's own": pushed(
        chain("alice", "bob", minimum_answer_duration="30s"),
        [
            ("03:00:00", answers("alice", seconds=29)),
            ("03:00:00", answers("bob", seconds=30)),
            DISK_FIRES,
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)"],
    ),
    "minimum_answer_duration of 0s: whoever picks up has it": pushed(
        chain("alice", "bob", minimum_answer_duration="0s"),
        [("03:00:00", answers("alice", seconds=0)), DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice"],
    ),
}

STEPS = {
    "each step has a wait of its own, and 5m is the default": Story(
        rings(
            escalation=[
                {"call": ["alice"], "wait": "2m"},
                {"call": ["bob"], "wait": "30s"},
                {"call": ["carol"]},
            ],
            fallback_webhook=CHAT,
        ),
        [DISK_FIRES, until("03:08:00")],
        rang=[
            "03:00:00 alice",
            "03:02:00 bob (escalation)",
            "03:02:30 carol (escalation)",
            "03:07:30 fallback phone",
        ],
    ),
    "call alone is an escalation of one step": Story(
        rings("alice", fallback_webhook=CHAT),
        [DISK_FIRES, until("03:06:00")],
        rang=["03:00:00 alice", "03:05:00 fallback phone"],
    ),
    "several targets: all at once; the next step when all were missed": pushed(
        chain("alice bob", "carol"),
        [
            ("03:00:00", does_not_answer("alice")),
            ("03:00:00", does_not_answer("bob", after=20)),
            DISK_FIRES,
            until("03:02:00"),
        ],
        rang=["03:00:00 alice", "03:00:00 bob", "03:00:20 carol (escalation)"],
    ),
    "several targets: one answers after another was missed": pushed(
        chain("alice bob", "carol"),
        [
            ("03:00:00", does_not_answer("alice")),
            ("03:00:00", answers("bob", after=40)),
            DISK_FIRES,
            ("03:02:00", finds_taken_by("bob")),
        ],
        rang=["03:00:00 alice", "03:00:00 bob"],
    ),
    "several targets: one is refused, the step waits for the other": Story(
        chain("alice bob", "carol"),
        [("03:00:00", refuses("alice", 230)), DISK_FIRES, until("03:01:30")],
        rang=["03:00:00 bob", "03:01:00 carol (escalation)"],
    ),
    "whoever the step before has called is not called again": Story(
        chain("alice", "alice bob", "carol"),
        [DISK_FIRES, until("03:04:00")],
        rang=WENT_THROUGH,
    ),
    "a step of the same people is passed over": Story(
        chain("alice", "alice", "bob"),
        [DISK_FIRES, until("03:03:00")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "the same phone is the same person": Story(
        chain("alice", "+8613512345678 bob"),
        [DISK_FIRES, until("03:03:00")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "one call for a person named twice in a step": Story(
        chain("alice primary", schedules=schedules(turns("alice"))),
        [DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice", "03:01:00 fallback phone"],
    ),
    "a step later the same person is called again": Story(
        chain("alice", "bob", "alice"),
        [DISK_FIRES, until("03:04:00")],
        rang=[
            "03:00:00 alice",
            "03:01:00 bob (escalation)",
            "03:02:00 alice (escalation)",
            "03:03:00 fallback phone",
        ],
    ),
    "group_wait: the step waits from when its call is due": Story(
        chain("alice", "bob", route={"group_wait": "30s"}),
        [DISK_FIRES, until("03:03:00")],
        rang=["03:00:30 alice", "03:01:30 bob (escalation)", "03:02:30 fallback phone"],
    ),
}

REFUSED = {
    "the number is refused: the next step at once": Story(
        TWO,
        [
            ("03:00:00", refuses("alice", 230, message="phone number invalid")),
            DISK_FIRES,
            until("03:02:00"),
        ],
        rang=["03:00:00 bob (escalation)", "03:01:00 fallback phone"],
        asked=["03:00:00 call alice: 230", "03:00:00 call bob: 0"],
    ),
    "everybody's number is refused: a chat is told at once": Story(
        TWO,
        [
            ("03:00:00", refuses(ret_code=230, times=None)),
            DISK_FIRES,
            ("03:01:00", finds_calls(refused=2)),
        ],
        rang=["03:00:00 fallback phone"],
    ),
    "150, dialled again within the step": Story(
        TWO,
        [("03:00:00", refuses("alice", 150, times=4)), DISK_FIRES, until("03:02:30")],
        rang=["03:00:15 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
    ),
    "150 for ever: given up, the next step at once": Story(
        chain("alice", "bob", delivery={"give_up_after": "30s"}),
        [
            ("03:00:00", refuses("alice", 150, times=None)),
            DISK_FIRES,
            ("03:02:00", finds_calls(gave_up=1, accepted=1)),
        ],
        # dialled again after 1, 2, 4, 8 and 16 seconds
        rang=["03:00:31 bob (escalation)", "03:01:31 fallback phone"],
    ),
    "150 for longer than the step: the next step in time, and the call still rings": Story(
        TWO,
        [("03:00:00", refuses("alice", 150, times=6)), DISK_FIRES, until("03:02:30")],
        rang=["03:01:00 bob (escalation)", "03:01:03 alice", "03:02:00 fallback phone"],
    ),
    "150 for longer than the step: not dialled again once somebody has the page": pushed(
        TWO,
        [
            ("03:00:00", refuses("alice", 150, times=6)),
            ("03:00:00", answers("bob", after=1)),
            DISK_FIRES,
            ("03:02:30", finds_calls(cancelled=1, accepted=1)),
        ],
        rang=["03:01:00 bob (escalation)"],
    ),
}


TAKEN = {
    "taken in the middle of a step, by the API": Story(
        CHAIN,
        [
            DISK_FIRES,
            ("03:01:30", together(acknowledges, finds_taken_by("api"))),
            ("03:04:00", finds_pages(acknowledged=1)),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "taken while a call of the step waits to be dialled again": Story(
        chain("alice bob", "carol"),
        [
            ("03:00:00", refuses("alice", 150, times=None)),
            DISK_FIRES,
            ("03:00:05", acknowledges),
            ("03:04:00", finds_calls(cancelled=1, accepted=1)),
        ],
        rang=["03:00:00 bob"],
    ),
    "taken at the very instant the step is over: the next one has begun": Story(
        CHAIN,
        [DISK_FIRES, ("03:01:00", acknowledges), until("03:04:00")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "by_hand: an answered call alone takes nothing": pushed(
        chain("alice", "bob", "carol", acknowledge="by_hand"),
        [
            DISK_FIRES,
            ("03:01:30", together(finds_pages(open=1), acknowledges)),
            until("03:04:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "by_hand: whoever does not answer is not waited for": pushed(
        chain("alice", "bob", acknowledge="by_hand"),
        [("03:00:00", does_not_answer("alice")), DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)", "03:01:02 fallback phone"],
    ),
    "by_hand: everybody answers, and nobody takes it": pushed(
        chain("alice", "bob", acknowledge="by_hand"),
        [
            DISK_FIRES,
            ("03:02:30", together(finds_pages(exhausted=1), takes_it_by_link)),
            ("03:03:00", finds_pages(acknowledged=1)),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)", "03:02:00 fallback phone"],
        environ=LINKS,
    ),
}

TABLES = (ANSWERS, STEPS, REFUSED, TAKEN)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_somebody_is_called_until_somebody_answers(story, tmp_path):
    live_through(story, tmp_path)
