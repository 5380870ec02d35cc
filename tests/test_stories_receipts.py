"""What the vendor reports of calls: late, doubled, in any order, pushed, polled or lost.

A story begins at 03:00:00: alice is called, after a minute bob, after another one carol, and after
a third a chat is told, as "fallback". Receipts are pushed two seconds after a call.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from story_acts import (
    Story,
    answers,
    cuts,
    does_not_answer,
    finds_calls,
    finds_pages,
    firing,
    gets_no_receipt,
    kills,
    mends,
    posts,
    refuses_look_ups,
    restarts,
    shows_no_records,
    stays_silent,
    until,
)
from story_chains import (
    answered,
    chain,
    disk_fires,
    finds_taken_by,
    live_through,
    polled,
    pushed,
    pushed_and_polled,
    reports,
    reports_of_others,
    unanswered,
)

from adapter.simulator.calls import Result

pytestmark = pytest.mark.usefixtures("database")

CHAIN = chain("alice", "bob", "carol")
DISK_FIRES = disk_fires()
ALL_SILENT = ("03:00:00", gets_no_receipt())
ALICE_ANSWERS_LATE = ("03:00:00", answers("alice", after=90))
OTHERS_SILENT = [("03:00:00", gets_no_receipt("bob")), ("03:00:00", gets_no_receipt("carol"))]
ALICE_ALONE = ["03:00:00 alice"]
WENT_THROUGH = [
    "03:00:00 alice",
    "03:01:00 bob (escalation)",
    "03:02:00 carol (escalation)",
    "03:03:00 fallback phone",
]

LATE = {
    "answered, after the step is over: the escalation ends then": pushed(
        CHAIN,
        [
            ALICE_ANSWERS_LATE,
            *OTHERS_SILENT,
            DISK_FIRES,
            ("03:01:31", finds_taken_by("alice")),
            until("03:04:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "unanswered, after the step is over: the one under way keeps its time": pushed(
        CHAIN,
        [
            ("03:00:00", does_not_answer("alice", after=90)),
            *OTHERS_SILENT,
            DISK_FIRES,
            until("03:04:00"),
        ],
        rang=WENT_THROUGH,
    ),
    "answered, after everything was tried: taken all the same": pushed(
        CHAIN,
        [
            ("03:00:00", answers("alice", after=200)),
            *OTHERS_SILENT,
            DISK_FIRES,
            ("03:03:19", finds_pages(exhausted=1)),
            ("03:03:20", finds_taken_by("alice")),
            until("03:05:00"),
        ],
        rang=WENT_THROUGH,
    ),
    "unanswered, after everything was tried: nothing follows": pushed(
        CHAIN,
        [
            ("03:00:00", does_not_answer("alice", after=200)),
            *OTHERS_SILENT,
            DISK_FIRES,
            ("03:05:00", finds_pages(exhausted=1)),
        ],
        rang=WENT_THROUGH,
    ),
}

SEVERAL = {
    "answered three times over": pushed(
        CHAIN,
        [("03:00:00", answers(copies=3)), DISK_FIRES, until("03:04:00")],
        rang=ALICE_ALONE,
    ),
    "unanswered three times over: one step, not three": pushed(
        CHAIN,
        [
            ("03:00:00", does_not_answer("alice", copies=3)),
            *OTHERS_SILENT,
            DISK_FIRES,
            until("03:01:00"),
        ],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)"],
    ),
    "unanswered, and then answered: the better news counts": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", unanswered("alice")),
            ("03:00:20", answered("alice")),
            ("03:04:00", finds_taken_by("alice")),
        ],
        rang=["03:00:00 alice", "03:00:10 bob (escalation)"],
    ),
    "answered, and then unanswered: the better news counts": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", answered("alice")),
            ("03:00:20", unanswered("alice")),
            ("03:04:00", finds_taken_by("alice")),
        ],
        rang=ALICE_ALONE,
    ),
    "unreported, and then unanswered: the next step then": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", reports("alice", Result.UNREPORTED)),
            ("03:00:20", unanswered("alice")),
            until("03:01:00"),
        ],
        rang=["03:00:00 alice", "03:00:20 bob (escalation)"],
    ),
    "hung up, and then a longer talk: the longer one counts": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", answered("alice", Duration=1)),
            ("03:00:20", answered("alice", Duration=23)),
            ("03:04:00", finds_taken_by("alice")),
        ],
        rang=["03:00:00 alice", "03:00:10 bob (escalation)"],
    ),
    "a result that nobody has heard of: the step waits its time": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", answered("alice", ReceiptResult=7)),
            until("03:01:00"),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
}

EARLY = {
    "answered, before our request was: not looked up": pushed(
        CHAIN,
        [
            ("03:00:00", stays_silent("alice", rings=True, seconds=20)),
            DISK_FIRES,
            ("03:00:02", finds_taken_by("alice")),
            until("03:04:00"),
        ],
        rang=ALICE_ALONE,
        asked=["03:00:00 call alice: no answer"],
    ),
    "unanswered, before our request was answered: the next step at once": pushed(
        CHAIN,
        [
            ("03:00:00", stays_silent("alice", rings=True, seconds=20)),
            ("03:00:00", does_not_answer("alice")),
            DISK_FIRES,
            until("03:01:30"),
        ],
        rang=["03:00:00 alice", "03:00:02 bob (escalation)"],
    ),
    "the connection broke: its receipt says that the phone rang": pushed(
        CHAIN,
        [("03:00:00", cuts("alice", rings=True)), DISK_FIRES, until("03:04:00")],
        rang=ALICE_ALONE,
        asked=["03:00:00 call alice: no answer"],
    ),
    "no answer in time: a receipt comes before the look-up": pushed(
        CHAIN,
        [
            ("03:00:00", stays_silent("alice", rings=True)),
            ("03:00:00", answers("alice", after=32)),
            DISK_FIRES,
            until("03:04:00"),
        ],
        rang=ALICE_ALONE,
        asked=["03:00:00 call alice: no answer"],
    ),
    "no answer in time: looked up, and then a receipt": pushed(
        CHAIN,
        [
            ("03:00:00", stays_silent("alice", rings=True)),
            ("03:00:00", answers("alice", after=40)),
            DISK_FIRES,
            until("03:04:00"),
        ],
        rang=ALICE_ALONE,
        asked=["03:00:00 call alice: no answer", "03:00:35 look-up alice: 0"],
    ),
    "dialled again, as no record was found: the first call's receipt counts": pushed(
        CHAIN,
        [
            ("03:00:00", cuts("alice", rings=True)),
            ("03:00:00", answers("alice", after=40, times=1)),
            ("03:00:00", shows_no_records()),
            DISK_FIRES,
            ("03:00:31", gets_no_receipt("alice")),
            ("03:00:41", finds_taken_by("alice")),
            until("03:04:00"),
        ],
        rang=["03:00:00 alice", "03:00:30 alice"],
    ),
}

WAYS = {
    "pushed and polled, answered": pushed_and_polled(
        CHAIN, [DISK_FIRES, ("03:04:00", finds_pages(acknowledged=1))], rang=ALICE_ALONE
    ),
    "pushed and polled, unanswered: each step once": pushed_and_polled(
        CHAIN,
        [("03:00:00", does_not_answer()), DISK_FIRES, until("03:01:00")],
        rang=[
            "03:00:00 alice",
            "03:00:02 bob (escalation)",
            "03:00:04 carol (escalation)",
            "03:00:06 fallback phone",
        ],
    ),
    "pushed while the service was down, then polled": pushed_and_polled(
        CHAIN,
        [
            DISK_FIRES,
            ("03:00:01", kills),
            ("03:00:20", restarts),
            ("03:00:34", finds_pages(open=1)),
            ("03:00:35", finds_taken_by("alice")),
            until("03:04:00"),
        ],
        rang=ALICE_ALONE,
    ),
    "pushed while the service was down, and not polled: the wait is over": pushed(
        CHAIN,
        [DISK_FIRES, ("03:00:01", kills), ("03:00:20", restarts), until("03:01:30")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "pushed again a second later, as the service was down": pushed(
        CHAIN,
        [
            DISK_FIRES,
            ("03:00:01", kills),
            ("03:00:03.5", restarts),
            ("03:00:04", finds_taken_by("alice")),
            until("03:04:00"),
        ],
        rang=ALICE_ALONE,
    ),
    "our id is lost, the vendor's is not": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", answered("alice", without="UserId")),
            ("03:04:00", finds_taken_by("alice")),
        ],
        rang=ALICE_ALONE,
    ),
    "the vendor's id is lost, ours is not": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", answered("alice", without="SessionNo")),
            ("03:04:00", finds_taken_by("alice")),
        ],
        rang=ALICE_ALONE,
    ),
    "the number with its country code, among things that are no receipts": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", answered("alice", in_array=True, Phone="+8613512345678")),
            ("03:04:00", finds_taken_by("alice")),
        ],
        rang=ALICE_ALONE,
    ),
    "of somebody else's call: not ours to act on": pushed(
        CHAIN,
        [ALL_SILENT, DISK_FIRES, ("03:00:10", reports_of_others), until("03:01:30")],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "of our call, and another phone: not believed": pushed(
        CHAIN,
        [
            ALL_SILENT,
            DISK_FIRES,
            ("03:00:10", answered("alice", Phone="13900000009")),
            until("03:01:30"),
        ],
        rang=["03:00:00 alice", "03:01:00 bob (escalation)"],
    ),
    "polling fails for minutes: the steps go on, and it is made up for": polled(
        CHAIN,
        [
            ("03:00:00", refuses_look_ups()),
            DISK_FIRES,
            ("03:02:30", mends),
            ("03:02:44", finds_pages(open=1)),
            ("03:02:45", finds_taken_by("carol")),
            ("03:04:00", finds_calls(accepted=3)),
        ],
        rang=WENT_THROUGH[:3],
    ),
    "polled, and the records are late": polled(
        CHAIN,
        [("03:00:00", does_not_answer("alice")), DISK_FIRES, until("03:02:00")],
        rang=["03:00:00 alice", "03:00:30 bob (escalation)"],
        account={"record_after": timedelta(seconds=20)},
    ),
    "polled: two calls of one phone are told apart": polled(
        chain("alice", "bob", route={"group_by": ["cluster"]}),
        [
            ("03:00:00", does_not_answer("alice", times=1)),
            ("03:00:00", posts(firing(cluster="bj"))),
            ("03:00:10", posts(firing(cluster="sh"))),
            ("03:00:16", finds_pages(open=1, acknowledged=1)),
            ("03:02:00", finds_taken_by("alice", "bob")),
        ],
        rang=["03:00:00 alice", "03:00:10 alice", "03:00:15 bob (escalation)"],
    ),
    "nobody pushes, nobody polls: each step waits its time": Story(
        CHAIN, [DISK_FIRES, until("03:04:00")], rang=WENT_THROUGH
    ),
}

TABLES = (LATE, SEVERAL, EARLY, WAYS)


@pytest.mark.parametrize(
    "story", [pytest.param(story, id=name) for table in TABLES for name, story in table.items()]
)
def test_what_is_reported_of_a_call_decides_who_is_called_next(story, tmp_path):
    live_through(story, tmp_path)
