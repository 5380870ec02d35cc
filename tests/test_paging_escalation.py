"""When a page's escalation goes on, who is called then, and what ends it: each rule as a night.

Alerts go to alice, then bob, then carol: each step waits 5m for an answer, and then nobody was
reached, which a webhook is told. What an escalation does without anybody's act is `BY_ITSELF`.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from paging_nights import (
    BY_ITSELF,
    answers,
    dials,
    does_not_answer,
    fires,
    follows,
    gives_up,
    hangs_up,
    limited,
    on_duty,
    posts,
    reloads,
    resolves,
    somebody_acknowledges,
    tell,
    turns_out,
    unreported,
)
from paging_world import BOTH, FALLBACK, HOUR, MINUTE, OFTEN, PATIENT, escalates

from adapter.model import Acknowledgement

CHAIN = escalates("alice", "bob", "carol", fallback_webhook=FALLBACK)
ONE = escalates("alice", fallback_webhook=FALLBACK)
ALONE = escalates("alice")
TWO = escalates("alice", "bob", fallback_webhook=FALLBACK)
TEAM_FIRST = escalates("alice bob", "carol", fallback_webhook=FALLBACK)
ALICE_TWICE_IN_A_ROW = escalates("alice", "alice bob", fallback_webhook=FALLBACK)
BY_HAND = escalates("alice", "bob", acknowledgement=Acknowledgement.BY_HAND)
AGAIN = escalates("alice", "bob", repeat=2, fallback_webhook=FALLBACK)
ON_DUTY = escalates("@primary", "@secondary", "carol", fallback_webhook=FALLBACK)

SLOW_THEN_FAST = replace(
    CHAIN,
    escalation=tuple(
        replace(step, wait=minutes * MINUTE)
        for step, minutes in zip(CHAIN.escalation, (10, 1, 5), strict=True)
    ),
)
BOTH_OR_TOLD = escalates("alice bob", fallback_webhook=FALLBACK)
CALLS_BACK = escalates("alice", "bob", send_resolved=True)


def disk(to=CHAIN, **how):
    return posts(fires("disk", to=to, **how))


def cpu(to=CHAIN, since="10:01", **how):
    return posts(fires("cpu", to=to, since=since, **how))


DISK_FIRES = ("10:00", disk(), "disk: first; opens; alice first 10:00")
ALICE_HEARS = ("10:00", dials("alice"), "alice hears disk")
BOB_IS_NEXT = ("10:05", BY_ITSELF, "step 2 of 3; bob escalation")


GOING_ON = {
    "unanswered: the next step at once": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:40", does_not_answer("alice"), "step 2 of 3; bob escalation"),
        ("10:00:40", dials("bob"), "bob hears disk"),
    ],
    "no receipt: the next step when the wait is over": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:04:59", BY_ITSELF, "nothing"),
        BOB_IS_NEXT,
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "step 3 of 3; carol escalation"),
        ("10:10", dials("carol"), "carol hears disk"),
        ("10:15", BY_ITSELF, "exhausted; fallback"),
    ],
    "unreported: nobody knows, so the wait goes on": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:40", unreported("alice"), ""),
        BOB_IS_NEXT,
    ],
    "refused: the next step at once": [
        DISK_FIRES,
        ("10:00", dials("alice", "refused"), "alice hears disk; step 2 of 3; bob escalation"),
        ("10:00", dials("bob"), "bob hears disk"),
    ],
    "given up: the next step at once": [
        DISK_FIRES,
        ("10:00", dials("alice", "waiting"), "alice hears disk"),
        ("10:03", gives_up("alice"), "step 2 of 3; bob escalation"),
    ],
    "not placed yet, and tried again soon: the step waits": [
        DISK_FIRES,
        ("10:00", dials("alice", "waiting"), "alice hears disk"),
        ("10:01", dials("alice"), "alice hears disk"),
        BOB_IS_NEXT,
    ],
    "still being sent, or of unknown outcome, when the wait is over: the next step": [
        DISK_FIRES,
        ("10:00", dials("alice", "unknown"), "alice hears disk"),
        BOB_IS_NEXT,
        ("10:06", turns_out("alice", "accepted"), ""),
        ("10:06:30", answers("alice"), "taken by alice; bob escalation cancelled"),
    ],
    "limited beyond the wait: the next step at once, and the call still rings": [
        DISK_FIRES,
        ("10:00", limited("alice", "10:05"), "step 2 of 3; bob escalation"),
        ("10:00", dials("bob", "refused"), "bob hears disk; step 3 of 3; carol escalation"),
        ("10:05", BY_ITSELF, "exhausted; fallback"),
        ("10:05", dials("alice"), "alice hears disk"),
        ("10:05:30", answers("alice"), "taken by alice; carol escalation cancelled"),
    ],
    "limited beyond the wait: not rung any more once somebody has the page": [
        DISK_FIRES,
        ("10:00", limited("alice", "10:30"), "step 2 of 3; bob escalation"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:00:30", answers("bob"), "taken by bob; alice first cancelled"),
        ("10:30", dials("alice"), "nothing due for alice"),
    ],
    "limited within the wait: the step waits for its call": [
        DISK_FIRES,
        ("10:00", limited("alice", "10:04:59"), ""),
        ("10:04:59", dials("alice"), "alice hears disk"),
        BOB_IS_NEXT,
    ],
    "hung up after a second: reached nobody": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:20", hangs_up("alice"), "step 2 of 3; bob escalation"),
    ],
    "group_wait: the step waits from when its call is due": [
        ("10:00", disk(timing=PATIENT), "disk: first; opens; alice first 10:01"),
        ("10:01", dials("alice"), "alice hears disk"),
        ("10:05:59", BY_ITSELF, "nothing"),
        ("10:06", BY_ITSELF, "step 2 of 3; bob escalation"),
    ],
    "each step's own wait": [
        ("10:00", disk(to=SLOW_THEN_FAST), "disk: first; opens; alice first 10:00"),
        ("10:10", BY_ITSELF, "step 2 of 3; bob escalation"),
        ("10:11", BY_ITSELF, "step 3 of 3; carol escalation"),
    ],
    "the next step hears of all that fires, also of what joined since": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:04", cpu(), "cpu: new_alerts; alice new_alerts 10:05"),
        BOB_IS_NEXT,
        ("10:05", dials("bob"), "bob hears disk, cpu"),
        ("10:05", dials("alice"), "alice hears cpu"),
    ],
    "a call that nobody made when the wait was over: the next step, and both ring": [
        DISK_FIRES,
        BOB_IS_NEXT,
        ("10:06", dials("alice"), "alice hears disk"),
        ("10:06", dials("bob"), "bob hears disk"),
    ],
}

SOMEBODY_HAS_IT = {
    "answered: the page is taken, and nobody else is called": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:30", answers("alice"), "taken by alice"),
        ("10:20", BY_ITSELF, "nothing"),
        ("14:30", disk(), "disk: acknowledged"),
    ],
    "answered for just as long as it takes": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:30", answers("alice", 5), "taken by alice"),
    ],
    "answered for a second less": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:30", answers("alice", 4), "step 2 of 3; bob escalation"),
    ],
    "answered by the first after the second was called: the second's call is cancelled": [
        DISK_FIRES,
        ALICE_HEARS,
        BOB_IS_NEXT,
        ("10:05:01", answers("alice"), "taken by alice; bob escalation cancelled"),
        ("10:05:02", dials("bob"), "nothing due for bob"),
    ],
    "answered while the second's call is under way: it rings, and ends nothing": [
        DISK_FIRES,
        ALICE_HEARS,
        BOB_IS_NEXT,
        ("10:05", dials("bob", "sending"), "bob hears disk"),
        ("10:05:01", answers("alice"), "taken by alice"),
        ("10:05:02", turns_out("bob", "accepted"), ""),
        ("10:05:40", does_not_answer("bob"), ""),
    ],
    "answered twice: the first to be heard of counts": [
        ("10:00", disk(to=TEAM_FIRST), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ALICE_HEARS,
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:00:30", answers("bob"), "taken by bob"),
        ("10:00:31", answers("alice"), ""),
        ("10:01", disk(to=TEAM_FIRST), "disk: acknowledged"),
    ],
    "acknowledged by hand: it ends, and waiting calls are cancelled": [
        DISK_FIRES,
        ("10:00", limited("alice", "10:30"), "step 2 of 3; bob escalation"),
        ("10:00:30", somebody_acknowledges, "alice first cancelled; bob escalation cancelled"),
        ("10:30", BY_ITSELF, "nothing"),
    ],
    "by_hand: an answer does not take the page, and the step waits for a human": [
        ("10:00", disk(to=BY_HAND), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:00:30", answers("alice"), ""),
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:06", somebody_acknowledges, "bob escalation cancelled"),
    ],
    "answered, and the carrier had said before that nobody did: answered": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:30", does_not_answer("alice"), "step 2 of 3; bob escalation"),
        ("10:00:40", answers("alice"), "taken by alice; bob escalation cancelled"),
    ],
    "answered after the page was resolved: nothing more happens": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", posts(resolves("disk", to=CHAIN)), "disk: resolved; closes"),
        ("10:01:30", answers("alice"), ""),
    ],
}

NEWS = {
    "joined after the answered call was dialled: it is told, and the step waits for that call": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", cpu(), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:01:30", answers("alice"), ""),
        ("10:05", dials("alice"), "alice hears cpu"),
        ("10:06", BY_ITSELF, "nothing"),
        ("10:09:59", BY_ITSELF, "nothing"),
        ("10:10", BY_ITSELF, "step 2 of 3; bob escalation"),
    ],
    "joined after the answered call was dialled, and told by a second that was answered: taken": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", cpu(), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:01:30", answers("alice"), ""),
        ("10:05", dials("alice"), "alice hears cpu"),
        ("10:05:30", answers("alice"), "taken by alice"),
    ],
    "joined after the answered call was dialled, and the second was missed: the next step": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", cpu(), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:01:30", answers("alice"), ""),
        ("10:05", dials("alice"), "alice hears cpu"),
        ("10:05:30", does_not_answer("alice"), "step 2 of 3; bob escalation"),
    ],
    "the alert that joined resolves: what was answered is all that fires": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", cpu(), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:01:30", answers("alice"), ""),
        ("10:02", posts(resolves("cpu", to=CHAIN)), "cpu: resolved"),
        ("10:05", dials("alice"), "nothing to tell alice; taken by alice"),
    ],
    "joined in the second step: who was called for it hears, and not the first step": [
        DISK_FIRES,
        ALICE_HEARS,
        BOB_IS_NEXT,
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:06", cpu(), "cpu: new_alerts; bob new_alerts 10:10"),
        ("10:10", BY_ITSELF, "step 3 of 3; carol escalation"),
        ("10:10", dials("bob"), "bob hears cpu"),
        ("10:10", dials("carol"), "carol hears disk, cpu"),
    ],
    "a storm of alerts during an escalation does not begin it again": [
        DISK_FIRES,
        ALICE_HEARS,
        (
            "10:01",
            posts(fires("ram1", to=CHAIN, since="10:01")),
            "ram1: new_alerts; alice new_alerts 10:05",
        ),
        ("10:02", posts(fires("ram2", to=CHAIN, since="10:01")), "ram2: new_alerts"),
        ("10:03", posts(fires("ram3", to=CHAIN, since="10:01")), "ram3: new_alerts"),
        ("10:04", posts(fires("ram4", to=CHAIN, since="10:01")), "ram4: new_alerts"),
        BOB_IS_NEXT,
        ("10:05", dials("alice"), "alice hears ram1, ram2, ram3, ram4"),
        ("10:05", dials("bob"), "bob hears disk, ram1, ram2, ram3, ram4"),
        (
            "10:06",
            posts(fires("net", to=CHAIN, since="10:01")),
            "net: new_alerts; bob new_alerts 10:10",
        ),
        ("10:10", BY_ITSELF, "step 3 of 3; carol escalation"),
    ],
    "a taken page and a new alert: it begins again, about the new alert": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00:30", answers("alice"), "taken by alice"),
        ("10:03", cpu(), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:05", dials("alice"), "alice hears cpu"),
        ("10:05:30", does_not_answer("alice"), "step 2 of 3; bob escalation"),
        ("10:05:30", dials("bob"), "bob hears disk, cpu"),
        ("10:06", answers("bob"), "taken by bob"),
    ],
    "taken: what joins a minute later counts from its own call": [
        ("10:00", disk(to=TWO), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:00:30", answers("alice"), "taken by alice"),
        ("10:01", cpu(to=TWO), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:05", dials("alice"), "alice hears cpu"),
        ("10:09:59", BY_ITSELF, "nothing"),
        ("10:10", BY_ITSELF, "step 2 of 2; bob escalation"),
    ],
    "two pages of one receiver: each has its own": [
        (
            "10:00",
            posts(fires("disk", to=CHAIN, group="a"), fires("cpu", to=CHAIN, group="b")),
            "disk: first; cpu: first; opens; opens; alice first 10:00; alice first 10:00",
        ),
        ALICE_HEARS,
        ("10:00:40", does_not_answer("alice"), "step 2 of 3; bob escalation"),
        ("10:01", dials("alice"), "alice hears cpu"),
        ("10:01:30", answers("alice"), "taken by alice"),
        ("10:05:40", BY_ITSELF, "step 3 of 3; carol escalation"),
    ],
}

SEVERAL_AT_ONCE = {
    "one of them answers": [
        ("10:00", disk(to=TEAM_FIRST), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ALICE_HEARS,
        ("10:00", dials("bob", "sending"), "bob hears disk"),
        ("10:00:30", answers("alice"), "taken by alice"),
        ("10:00:31", turns_out("bob", "accepted"), ""),
    ],
    "one of them answers before the other is called": [
        ("10:00", disk(to=TEAM_FIRST), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ALICE_HEARS,
        ("10:00:30", answers("alice"), "taken by alice; bob first cancelled"),
        ("10:00:31", dials("bob"), "nothing due for bob"),
    ],
    "all of them fail: the next step at once": [
        ("10:00", disk(to=TEAM_FIRST), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:01", does_not_answer("bob"), "step 2 of 2; carol escalation"),
    ],
    "one fails and one may still answer: the step waits": [
        ("10:00", disk(to=TEAM_FIRST), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:05", BY_ITSELF, "step 2 of 2; carol escalation"),
    ],
    "one hangs up and one is limited beyond the wait": [
        ("10:00", disk(to=TEAM_FIRST), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ("10:00", limited("bob", "11:00"), ""),
        ALICE_HEARS,
        ("10:00:20", hangs_up("alice"), "step 2 of 2; carol escalation"),
    ],
    "a person and a schedule that names the same phone: one call": [
        ("10:00", on_duty(primary="alice"), ""),
        ("10:00", disk(to=escalates("alice @primary")), "disk: first; opens; alice first 10:00"),
    ],
}

THE_SAME_PERSON = {
    "in two steps in a row: called once, and the step is skipped": [
        (
            "10:00",
            disk(to=escalates("alice", "alice", "bob")),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        (
            "10:05",
            BY_ITSELF,
            "skips step 2: the same people as in the step before; step 3 of 3; bob escalation",
        ),
    ],
    "in two steps in a row, beside another: only the other is called": [
        ("10:00", disk(to=ALICE_TWICE_IN_A_ROW), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; called by the step before: alice; bob escalation"),
    ],
    "their call is still open: it serves the next step, and is waited for again": [
        (
            "10:00",
            disk(to=escalates("alice", "alice", "bob")),
            "disk: first; opens; alice first 10:00",
        ),
        ("10:00", dials("alice", "unknown"), "alice hears disk"),
        ("10:05", BY_ITSELF, "step 2 of 3; alice first moves"),
        ("10:06", turns_out("alice", "refused"), "step 3 of 3; bob escalation"),
    ],
    "their call is still open, beside another person's": [
        ("10:00", disk(to=ALICE_TWICE_IN_A_ROW), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "sending"), "alice hears disk"),
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation; alice first moves"),
        ("10:05:30", turns_out("alice", "accepted"), ""),
        ("10:05:40", answers("alice"), "taken by alice; bob escalation cancelled"),
    ],
    "in the first step and in the third: called again, and hears all": [
        (
            "10:00",
            disk(to=escalates("alice", "bob", "alice")),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        ("10:01", does_not_answer("alice"), "step 2 of 3; bob escalation"),
        ("10:01", dials("bob", "refused"), "bob hears disk; step 3 of 3; alice escalation"),
        ("10:01", dials("alice"), "alice hears disk"),
    ],
    "in the first step and in the third: called again though they heard it": [
        (
            "10:00",
            disk(to=escalates("alice", "bob", "alice")),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        BOB_IS_NEXT,
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "step 3 of 3; alice escalation"),
        ("10:10", dials("alice"), "alice hears disk"),
        ("10:10:30", answers("alice"), "taken by alice"),
    ],
    "limited in the first step, and asked for in the third: one call": [
        (
            "10:00",
            disk(to=escalates("alice", "bob", "alice")),
            "disk: first; opens; alice first 10:00",
        ),
        ("10:00", limited("alice", "10:06"), "step 2 of 3; bob escalation"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:05", BY_ITSELF, "step 3 of 3; alice first moves"),
        ("10:06", dials("alice"), "alice hears disk"),
        ("10:06:30", answers("alice"), "taken by alice"),
    ],
    "everybody in every step: nobody is rung twice in a row": [
        (
            "10:00",
            disk(to=escalates("alice bob", "bob alice")),
            "disk: first; opens; alice first 10:00; bob first 10:00",
        ),
        ALICE_HEARS,
        ("10:00", dials("bob"), "bob hears disk"),
        (
            "10:05",
            BY_ITSELF,
            "skips step 2: the same people as in the step before; exhausted",
        ),
    ],
}

SCHEDULES = {
    "whom the schedule names is asked when the step begins": [
        ("10:00", on_duty(primary="alice", secondary="bob"), ""),
        ("10:00", disk(to=ON_DUTY), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:03", on_duty(primary="dave", secondary="dave"), ""),
        ("10:05", BY_ITSELF, "step 2 of 3; dave escalation"),
    ],
    "handed over in mid-step: news goes to who is on call now": [
        ("10:00", on_duty(primary="alice", secondary="bob"), ""),
        ("10:00", disk(to=ON_DUTY), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:01", on_duty(primary="dave"), ""),
        ("10:02", cpu(to=ON_DUTY), "cpu: new_alerts; dave new_alerts 10:02"),
        ("10:02", dials("dave"), "dave hears disk, cpu"),
        ("10:02:30", does_not_answer("dave"), ""),
        ("10:05", BY_ITSELF, "step 2 of 3; bob escalation"),
    ],
    "handed over in mid-step to nobody: news goes to who was called": [
        ("10:00", on_duty(primary="alice", secondary="bob"), ""),
        ("10:00", disk(to=ON_DUTY), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:01", on_duty(primary=""), ""),
        ("10:02", cpu(to=ON_DUTY), "cpu: new_alerts; alice new_alerts 10:05"),
    ],
    "handed over after the step: news begins with who is on call now": [
        ("10:00", on_duty(primary="alice", secondary="bob"), ""),
        ("10:00", disk(to=ON_DUTY), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:00:30", answers("alice"), "taken by alice"),
        ("10:01", on_duty(primary="dave"), ""),
        ("10:02", cpu(to=ON_DUTY), "cpu: new_alerts; dave new_alerts 10:02"),
        ("10:02", dials("dave"), "dave hears disk, cpu"),
    ],
    "a hole in the first step: skipped": [
        ("10:00", on_duty(secondary="bob"), ""),
        (
            "10:00",
            disk(to=ON_DUTY),
            "disk: first; opens; skips step 1: nobody is on call; bob first 10:00",
        ),
        ("10:00", dials("bob", "refused"), "bob hears disk; step 3 of 3; carol escalation"),
    ],
    "a hole in the second step: skipped": [
        ("10:00", on_duty(primary="alice"), ""),
        ("10:00", disk(to=ON_DUTY), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        (
            "10:01",
            does_not_answer("alice"),
            "skips step 2: nobody is on call; step 3 of 3; carol escalation",
        ),
    ],
    "the hole is filled after its step was skipped: an escalation never goes back": [
        ("10:00", on_duty(secondary="bob"), ""),
        (
            "10:00",
            disk(to=ON_DUTY),
            "disk: first; opens; skips step 1: nobody is on call; bob first 10:00",
        ),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:01", on_duty(primary="alice"), ""),
        ("10:02", cpu(to=ON_DUTY), "cpu: new_alerts; bob new_alerts 10:05"),
        ("10:05", BY_ITSELF, "step 3 of 3; carol escalation"),
        ("10:05", dials("bob"), "bob hears cpu"),
        ("10:06", BY_ITSELF, "nothing"),
    ],
    "nobody in any step: told at once": [
        (
            "10:00",
            disk(to=escalates("@primary", "@secondary", fallback_webhook=FALLBACK)),
            "disk: nobody_on_call; opens; skips step 1: nobody is on call; "
            "skips step 2: nobody is on call; exhausted; fallback",
        ),
        (
            "10:01",
            disk(to=escalates("@primary", "@secondary", fallback_webhook=FALLBACK)),
            "disk: nobody_on_call",
        ),
    ],
    "nobody in any step, and not by the next repeat either: told again": [
        (
            "10:00",
            disk(to=escalates("@primary", fallback_webhook=FALLBACK)),
            "disk: nobody_on_call; opens; skips step 1: nobody is on call; exhausted; fallback",
        ),
        (
            "13:54",
            disk(to=escalates("@primary", fallback_webhook=FALLBACK)),
            "disk: nobody_on_call",
        ),
        (
            "13:55",
            disk(to=escalates("@primary", fallback_webhook=FALLBACK)),
            "disk: nobody_on_call; skips step 1: nobody is on call; exhausted; fallback",
        ),
    ],
    "nobody in any step, and somebody later: called with the next webhook": [
        (
            "10:00",
            disk(to=escalates("@primary", fallback_webhook=FALLBACK)),
            "disk: nobody_on_call; opens; skips step 1: nobody is on call; exhausted; fallback",
        ),
        ("10:10", on_duty(primary="alice"), ""),
        (
            "10:15",
            disk(to=escalates("@primary", fallback_webhook=FALLBACK)),
            "disk: repeat; alice first 10:15",
        ),
        ("10:15", dials("alice"), "alice hears disk"),
    ],
    "nobody in any step, and a new alert: told again": [
        (
            "10:00",
            disk(to=escalates("@primary", fallback_webhook=FALLBACK)),
            "disk: nobody_on_call; opens; skips step 1: nobody is on call; exhausted; fallback",
        ),
        (
            "10:02",
            cpu(to=escalates("@primary", fallback_webhook=FALLBACK)),
            "cpu: nobody_on_call; skips step 1: nobody is on call; exhausted; fallback",
        ),
    ],
    "nobody left in the last step: exhausted": [
        ("10:00", on_duty(primary="alice"), ""),
        (
            "10:00",
            disk(to=escalates("@primary", "@secondary")),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "skips step 2: nobody is on call; exhausted"),
    ],
    "who is on after them": [
        ("10:00", on_duty(primary="alice", primary_next="bob"), ""),
        (
            "10:00",
            disk(to=escalates("@primary", "@primary:next")),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
    ],
    "who is on after them is the same person": [
        ("10:00", on_duty(primary="alice", primary_next="alice"), ""),
        (
            "10:00",
            disk(to=escalates("@primary", "@primary:next")),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        (
            "10:05",
            BY_ITSELF,
            "skips step 2: the same people as in the step before; exhausted",
        ),
    ],
    "several are on call: all at once": [
        ("10:00", on_duty(primary="alice bob"), ""),
        (
            "10:00",
            disk(to=escalates("@primary")),
            "disk: first; opens; alice first 10:00; bob first 10:00",
        ),
    ],
}

REPEATING = {
    "repeat: twice more from the first step, and then it is exhausted, once": [
        ("10:00", disk(to=AGAIN), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "run 2; step 1 of 2; alice escalation"),
        ("10:10", dials("alice"), "alice hears disk"),
        ("10:15", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:15", dials("bob"), "bob hears disk"),
        ("10:20", BY_ITSELF, "run 3; step 1 of 2; alice escalation"),
        ("10:20", dials("alice"), "alice hears disk"),
        ("10:25", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:25", dials("bob"), "bob hears disk"),
        ("10:30", BY_ITSELF, "exhausted; fallback"),
        ("11:00", BY_ITSELF, "nothing"),
    ],
    "repeat: not before the last step's wait is over": [
        ("10:00", disk(to=AGAIN), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk; step 2 of 2; bob escalation"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:00:40", does_not_answer("bob"), ""),
        ("10:04:59", BY_ITSELF, "nothing"),
        ("10:05", BY_ITSELF, "run 2; step 1 of 2; alice escalation"),
    ],
    "repeat with one step: rung again when its wait is over": [
        ("10:00", disk(to=escalates("alice", repeat=1)), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:00:40", does_not_answer("alice"), ""),
        ("10:05", BY_ITSELF, "run 2; step 1 of 1; alice escalation"),
        ("10:05", dials("alice"), "alice hears disk"),
        ("10:05:40", does_not_answer("alice"), "exhausted"),
    ],
    "repeat: a call that is limited for long serves every run": [
        ("10:00", disk(to=escalates("alice", repeat=2)), "disk: first; opens; alice first 10:00"),
        ("10:00", limited("alice", "10:40"), ""),
        ("10:05", BY_ITSELF, "run 2; step 1 of 1; alice first moves"),
        ("10:10", BY_ITSELF, "run 3; step 1 of 1; exhausted; alice first moves"),
        ("10:40", dials("alice"), "alice hears disk"),
    ],
    "repeat: answered in the second run": [
        ("10:00", disk(to=AGAIN), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "run 2; step 1 of 2; alice escalation"),
        ("10:10", dials("alice"), "alice hears disk"),
        ("10:10:30", answers("alice"), "taken by alice"),
    ],
    "repeat: an answer in the first run comes in the second": [
        ("10:00", disk(to=AGAIN), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "run 2; step 1 of 2; alice escalation"),
        ("10:10:30", answers("bob"), "taken by bob; alice escalation cancelled"),
    ],
    "repeat: nobody is on call any more": [
        ("10:00", on_duty(primary="alice"), ""),
        (
            "10:00",
            disk(to=escalates("@primary", repeat=3)),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        ("10:01", on_duty(primary=""), ""),
        ("10:05", BY_ITSELF, "run 2; skips step 1: nobody is on call; exhausted"),
    ],
    "repeat: the first step is a hole now": [
        ("10:00", on_duty(primary="alice"), ""),
        (
            "10:00",
            disk(to=escalates("@primary", "bob", repeat=1)),
            "disk: first; opens; alice first 10:00",
        ),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:06", on_duty(primary=""), ""),
        (
            "10:10",
            BY_ITSELF,
            "run 2; skips step 1: nobody is on call; step 2 of 2; bob escalation",
        ),
    ],
}

ENDING = {
    "one step, and no fallback": [
        ("10:00", disk(to=ALONE), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk; exhausted"),
        ("10:01", BY_ITSELF, "nothing"),
    ],
    "exhausted and still firing: quiet until repeat_interval, then it begins again": [
        ("10:00", disk(to=TWO), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "exhausted; fallback"),
        ("10:20", disk(to=TWO), "disk: duplicate"),
        ("14:00", disk(to=TWO), "disk: repeat; alice repeat 14:00"),
        ("14:00", dials("alice"), "alice hears disk"),
        ("14:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("14:05", dials("bob"), "bob hears disk"),
        ("14:10", BY_ITSELF, "exhausted; fallback"),
    ],
    "exhausted and a new alert: it begins again": [
        ("10:00", disk(to=TWO), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "exhausted; fallback"),
        ("10:12", cpu(to=TWO), "cpu: new_alerts; alice new_alerts 10:12"),
        ("10:12", dials("alice"), "alice hears cpu"),
        ("10:17", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:17", dials("bob"), "bob hears disk, cpu"),
    ],
    "exhausted, and somebody answers late: taken": [
        ("10:00", disk(to=TWO), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:10", BY_ITSELF, "exhausted; fallback"),
        ("10:11", answers("bob"), "taken by bob"),
        ("10:12", disk(to=TWO), "disk: acknowledged"),
    ],
    "exhausted, and a late call is not answered": [
        ("10:00", disk(to=ONE), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "unknown"), "alice hears disk"),
        ("10:05", BY_ITSELF, "exhausted; fallback"),
        ("10:06", turns_out("alice", "accepted"), ""),
        ("10:07", does_not_answer("alice"), ""),
    ],
    "exhausted while a call is limited: it rings, and its answer takes the page": [
        ("10:00", disk(to=ONE), "disk: first; opens; alice first 10:00"),
        ("10:00", limited("alice", "10:30"), "exhausted; fallback"),
        ("10:30", dials("alice"), "alice hears disk"),
        ("10:30:30", answers("alice"), "taken by alice"),
    ],
    "exhausted while a call is limited, and a new alert: that call serves the new run": [
        ("10:00", disk(to=ONE), "disk: first; opens; alice first 10:00"),
        ("10:00", limited("alice", "10:30"), "exhausted; fallback"),
        ("10:03", disk(to=ONE), "disk: duplicate"),
        ("10:10", cpu(to=ONE), "cpu: new_alerts; alice first moves"),
        ("10:15", BY_ITSELF, "exhausted; fallback"),
        ("10:30", dials("alice"), "alice hears disk, cpu"),
    ],
    "a dead number in the only step: tried again with the next webhooks": [
        ("10:00", disk(to=ONE), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk; exhausted; fallback"),
        ("10:04", disk(to=ONE), "disk: repeat; alice first 10:05"),
        ("10:05", dials("alice"), "alice hears disk"),
    ],
    "still firing while it goes on: nothing begins anew": [
        ("10:00", disk(to=TEAM_FIRST), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:01", disk(to=TEAM_FIRST), "disk: duplicate"),
        ("10:05", BY_ITSELF, "step 2 of 2; carol escalation"),
        ("10:06", disk(to=TEAM_FIRST), "disk: duplicate"),
    ],
    "still firing while it goes on, longer than repeat_interval: nothing begins anew": [
        ("10:00", disk(to=TWO, timing=OFTEN), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:09", disk(to=TWO, timing=OFTEN), "disk: duplicate"),
        ("10:10", BY_ITSELF, "exhausted; fallback"),
        ("10:10", disk(to=TWO, timing=OFTEN), "disk: repeat; alice repeat 10:10"),
    ],
    "one step, and nothing after it: who could not be told need not wait for the others": [
        ("10:00", disk(to=BOTH), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:01", disk(to=BOTH), "disk: repeat; alice first 10:05"),
        ("10:05", BY_ITSELF, "exhausted"),
        ("10:05", dials("alice"), "alice hears disk"),
        ("10:10", BY_ITSELF, "nothing"),
    ],
    "one step, and a fallback after it: who could not be told waits for the others": [
        ("10:00", disk(to=BOTH_OR_TOLD), "disk: first; opens; alice first 10:00; bob first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:01", disk(to=BOTH_OR_TOLD), "disk: duplicate"),
        ("10:05", BY_ITSELF, "exhausted; fallback"),
        ("10:06", disk(to=BOTH_OR_TOLD), "disk: repeat; alice first 10:06"),
    ],
    "a dead number in the first step: tried again alone, since others were told": [
        ("10:00", disk(to=TWO), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk; step 2 of 2; bob escalation"),
        ("10:00", dials("bob"), "bob hears disk"),
        ("10:05", BY_ITSELF, "exhausted; fallback"),
        ("10:10", disk(to=TWO), "disk: repeat; alice first 10:10"),
        ("10:10", dials("alice", "refused"), "alice hears disk"),
        ("10:15", BY_ITSELF, "nothing"),
        ("10:20", disk(to=TWO), "disk: repeat; alice first 10:20"),
    ],
    "resolved: it ends, and waiting calls are cancelled": [
        DISK_FIRES,
        ALICE_HEARS,
        BOB_IS_NEXT,
        (
            "10:06",
            posts(resolves("disk", to=CHAIN)),
            "disk: resolved; closes; bob escalation cancelled",
        ),
        ("10:20", BY_ITSELF, "nothing"),
    ],
    "resolved while a call is under way: what it comes to moves nothing": [
        DISK_FIRES,
        ("10:00", dials("alice", "sending"), "alice hears disk"),
        ("10:01", posts(resolves("disk", to=CHAIN)), "disk: resolved; closes"),
        ("10:01:05", turns_out("alice", "refused"), ""),
        ("10:20", BY_ITSELF, "nothing"),
    ],
    "resolved, and fires again within group_interval: it begins anew": [
        ("10:00", disk(to=TWO), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:06", posts(resolves("disk", to=TWO)), "disk: resolved; closes"),
        ("10:07", disk(to=TWO, since="10:07"), "disk: new_alerts; reopens; alice new_alerts 10:07"),
        ("10:07", dials("alice"), "alice hears disk"),
        ("10:12", BY_ITSELF, "step 2 of 2; bob escalation"),
    ],
    "exhausted, resolved and firing again: it begins anew": [
        ("10:00", disk(to=ONE), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk; exhausted; fallback"),
        ("10:01", posts(resolves("disk", to=ONE)), "disk: resolved; closes"),
        ("10:02", disk(to=ONE, since="10:02"), "disk: new_alerts; reopens; alice new_alerts 10:05"),
    ],
    "resolved: who surely missed the call is not called back": [
        ("10:00", disk(to=CALLS_BACK), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:01", does_not_answer("alice"), "step 2 of 2; bob escalation"),
        ("10:01", dials("bob"), "bob hears disk"),
        (
            "10:02",
            posts(resolves("disk", to=CALLS_BACK)),
            "disk: resolved; closes; bob resolved 10:02",
        ),
    ],
    "resolved: who hung up is not called back, who said nothing is": [
        ("10:00", disk(to=CALLS_BACK), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:01", hangs_up("alice"), "step 2 of 2; bob escalation"),
        ("10:01", dials("bob"), "bob hears disk"),
        ("10:01:30", unreported("bob"), ""),
        (
            "10:02",
            posts(resolves("disk", to=CALLS_BACK)),
            "disk: resolved; closes; bob resolved 10:02",
        ),
        ("10:02", dials("bob"), "bob hears disk"),
    ],
    "resolved: who answered is called back": [
        ("10:00", disk(to=CALLS_BACK), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:01", answers("alice"), "taken by alice"),
        (
            "10:02",
            posts(resolves("disk", to=CALLS_BACK)),
            "disk: resolved; closes; alice resolved 10:02",
        ),
        ("10:02", dials("alice"), "alice hears disk"),
    ],
}

CHANGES = {
    "a step was added while it was under way": [
        ("10:00", disk(to=ONE), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:01", reloads(TWO), ""),
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
    ],
    "steps were taken away while a later one was under way": [
        DISK_FIRES,
        ALICE_HEARS,
        BOB_IS_NEXT,
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:06", reloads(ONE), ""),
        ("10:07", does_not_answer("bob"), "exhausted; fallback"),
    ],
    "steps were taken away, and the rest is repeated": [
        ("10:00", disk(to=AGAIN), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:06", reloads(escalates("carol", repeat=2)), ""),
        ("10:07", does_not_answer("bob"), ""),
        ("10:10", BY_ITSELF, "run 2; step 1 of 1; carol escalation"),
    ],
    "the receiver calls no one any more": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", reloads(escalates(fallback_webhook=FALLBACK)), ""),
        ("10:05", BY_ITSELF, "exhausted; fallback"),
        ("10:06", answers("alice"), "taken by alice"),
    ],
    "the receiver calls no one any more, and who answered is still to hear more": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", cpu(), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:01:20", reloads(escalates()), ""),
        ("10:01:30", answers("alice"), "exhausted"),
        ("10:05", dials("alice"), "alice hears cpu"),
    ],
    "the people of the step under way were changed: news goes to who they are now": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", reloads(escalates("dave", "bob")), ""),
        ("10:02", cpu(to=escalates("dave", "bob")), "cpu: new_alerts; dave new_alerts 10:02"),
    ],
    "the step under way was taken away: news goes to who was called": [
        DISK_FIRES,
        ALICE_HEARS,
        BOB_IS_NEXT,
        ("10:05", dials("bob"), "bob hears disk"),
        ("10:06", cpu(to=ONE), "cpu: new_alerts; bob new_alerts 10:10"),
    ],
    "by_hand from now on: the answer does not count": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", reloads(BY_HAND), ""),
        ("10:01:30", answers("alice"), ""),
    ],
    "a longer wait from now on: the step under way keeps its own": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", reloads(escalates("alice", "bob", wait=HOUR)), ""),
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:10", BY_ITSELF, "nothing"),
    ],
    "a clock that was set back an hour: results still move it": [
        DISK_FIRES,
        ALICE_HEARS,
        ("09:01", does_not_answer("alice"), "step 2 of 3; bob escalation"),
        ("09:01", dials("bob"), "bob hears disk"),
        ("09:06", BY_ITSELF, "step 3 of 3; carol escalation"),
    ],
    "a clock that was set back an hour: the wait is over when the clock has caught up": [
        DISK_FIRES,
        ALICE_HEARS,
        ("09:06", BY_ITSELF, "nothing"),
        ("10:04:59", BY_ITSELF, "nothing"),
        BOB_IS_NEXT,
    ],
    "a clock that was set back an hour: an answer takes the page": [
        DISK_FIRES,
        ALICE_HEARS,
        ("09:01", answers("alice"), "taken by alice"),
    ],
    "a clock that jumped ahead: every step is begun, one after the other": [
        DISK_FIRES,
        ALICE_HEARS,
        BOB_IS_NEXT,
        ("10:10", BY_ITSELF, "step 3 of 3; carol escalation"),
        ("10:15", BY_ITSELF, "exhausted; fallback"),
    ],
    "shadowed calls: each step waits, and nobody answers": [
        ("10:00", disk(to=TWO), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "shadowed"), "alice hears disk"),
        ("10:05", BY_ITSELF, "step 2 of 2; bob escalation"),
        ("10:05", dials("bob", "shadowed"), "bob hears disk"),
        ("10:10", BY_ITSELF, "exhausted; fallback"),
        ("10:11", disk(to=TWO), "disk: duplicate"),
    ],
}

NIGHTS = (
    GOING_ON
    | SOMEBODY_HAS_IT
    | NEWS
    | SEVERAL_AT_ONCE
    | THE_SAME_PERSON
    | SCHEDULES
    | REPEATING
    | ENDING
    | CHANGES
)


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS.keys())
def test_a_night(night):
    assert tell(night) == follows(night)
