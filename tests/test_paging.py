"""When a phone rings: each rule as a night in which it shows, told in the domain's words.

A night is a table: when, what happens, and everything that follows from it. Unless a row says
otherwise alerts go to alice alone, with group_wait 0s, group_interval 5m, repeat_interval 4h.
All are called in one step, which is over after 5m; what follows then has tables of its own.
"""

from __future__ import annotations

import pytest
from paging_nights import (
    dials,
    fires,
    follows,
    posts,
    resolves,
    somebody_acknowledges,
    tell,
    turns_out,
)
from paging_world import BOTH, DBA, HOUR, MINUTE, NEVER, NOBODY, OFTEN, PATIENT, TELLS_RESOLVED

from adapter.model import Reason, Timing

DISK_FIRES = ("10:00", posts(fires("disk")), "disk: first; opens; alice first 10:00")
ALICE_HEARS = ("10:00", dials("alice"), "alice hears disk")
BOB_HEARS = ("10:00", dials("bob"), "bob hears disk")
DISK_FIRES_FOR_BOTH = (
    "10:00",
    posts(fires("disk", to=BOTH)),
    "disk: first; opens; alice first 10:00; bob first 10:00",
)
DISK_FIRES_FOR_CALLED_BACK = (
    "10:00",
    posts(fires("disk", to=TELLS_RESOLVED)),
    "disk: first; opens; alice first 10:00; bob first 10:00",
)
TWO_FIRE = (
    "10:00",
    posts(fires("disk"), fires("cpu")),
    "disk: first; cpu: first; opens; alice first 10:00",
)
ALICE_HEARS_BOTH = ("10:00", dials("alice"), "alice hears disk, cpu")

OPENING = {
    "first: everyone of the receiver is rung at once": [
        DISK_FIRES_FOR_BOTH,
    ],
    "group_wait holds the first call, and what joins meanwhile costs nothing": [
        ("10:00", posts(fires("disk", timing=PATIENT)), "disk: first; opens; alice first 10:01"),
        ("10:00:30", posts(fires("cpu", timing=PATIENT)), "cpu: new_alerts"),
        ("10:01", dials("alice"), "alice hears disk, cpu"),
    ],
    "alerts of one group are one page, with one call": [
        TWO_FIRE,
        ALICE_HEARS_BOTH,
    ],
    "each group has a page of its own": [
        (
            "10:00",
            posts(fires("disk", group="a"), fires("disk2", group="b"), fires("disk3", group="a")),
            "disk: first; disk3: first; disk2: first; opens; opens; alice first 10:00; "
            "alice first 10:00",
        ),
    ],
    "each receiver has a page of its own for the same alert": [
        (
            "10:00",
            posts(fires("disk"), fires("disk", to=DBA)),
            "disk: first; disk: first; opens; opens; alice first 10:00; carol first 10:00",
        ),
    ],
    "two routes send an alert to one receiver: one page, one call": [
        (
            "10:00",
            posts(fires("disk", group="a"), fires("disk", group="b")),
            "disk: first; opens; alice first 10:00",
        ),
    ],
    "two routes share a page: the shorter group_wait counts, whichever comes first": [
        (
            "10:00",
            posts(fires("disk", timing=PATIENT), fires("cpu")),
            "disk: first; cpu: first; opens; alice first 10:00",
        ),
    ],
    "two routes share a page, both with a group_wait: the shorter counts": [
        (
            "10:00",
            posts(
                fires("disk", timing=Timing(group_wait=2 * MINUTE)), fires("cpu", timing=PATIENT)
            ),
            "disk: first; cpu: first; opens; alice first 10:01",
        ),
    ],
    "the same body from two peers at the same instant: one call": [
        TWO_FIRE,
        ("10:00", posts(fires("disk"), fires("cpu")), "disk: duplicate; cpu: duplicate"),
        ALICE_HEARS_BOTH,
        ("10:00", posts(fires("disk"), fires("cpu")), "disk: duplicate; cpu: duplicate"),
    ],
    "a body that names an alert twice: firing counts": [
        (
            "10:00",
            posts(resolves("disk"), fires("disk"), fires("cpu"), resolves("cpu")),
            "disk: first; cpu: first; opens; alice first 10:00",
        ),
    ],
    "a receiver that calls no one": [
        (
            "10:00",
            posts(fires("disk", to=NOBODY), resolves("cpu", to=NOBODY)),
            "disk: no_receiver; cpu: no_receiver",
        ),
        ("10:10", posts(fires("cpu", to=NOBODY)), "cpu: no_receiver"),
    ],
}

JOINING = {
    "joining a call that waits costs nothing": [
        DISK_FIRES,
        ("10:00:02", posts(fires("cpu")), "cpu: new_alerts"),
        ("10:00:03", dials("alice"), "alice hears disk, cpu"),
    ],
    "joining after the call: a follow-up, group_interval after it": [
        DISK_FIRES,
        ("10:00:10", dials("alice"), "alice hears disk"),
        (
            "10:01",
            posts(fires("disk"), fires("cpu")),
            "cpu: new_alerts; disk: duplicate; alice new_alerts 10:05:10",
        ),
        ("10:04", posts(fires("ram")), "ram: new_alerts"),
        ("10:05:10", dials("alice"), "alice hears cpu, ram"),
        ("10:20", posts(fires("net")), "net: new_alerts; alice new_alerts 10:20"),
    ],
    "joining while the call is being sent: it may have been rendered, so a follow-up": [
        DISK_FIRES,
        ("10:00", dials("alice", "sending"), "alice hears disk"),
        ("10:00:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:00:02", turns_out("alice", "accepted"), ""),
        ("10:05", dials("alice"), "alice hears cpu"),
    ],
    "joining while the call is being sent, which then has to be tried again: it takes all": [
        DISK_FIRES,
        ("10:00", dials("alice", "sending"), "alice hears disk"),
        ("10:00:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:00:02", turns_out("alice", "waiting"), ""),
        ("10:01:02", dials("alice"), "alice hears disk, cpu"),
        ("10:05", dials("alice"), "nothing to tell alice"),
    ],
    "joining while the outcome is unknown: a follow-up": [
        DISK_FIRES,
        ("10:00", dials("alice", "unknown"), "alice hears disk"),
        ("10:00:30", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:00:40", posts(fires("disk"), fires("cpu")), "disk: duplicate; cpu: duplicate"),
        ("10:01", turns_out("alice", "accepted"), ""),
        ("10:05", dials("alice"), "alice hears cpu"),
    ],
    "joining a call that waits for one person, while another was rung": [
        DISK_FIRES_FOR_BOTH,
        ALICE_HEARS,
        ("10:01", posts(fires("cpu", to=BOTH)), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:02", dials("bob"), "bob hears disk, cpu"),
    ],
    "the last dial counts, also when a later one came of an older call": [
        DISK_FIRES,
        ("10:00", dials("alice", "sending"), "alice hears disk"),
        ("10:00:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:00:02", turns_out("alice", "waiting"), ""),
        ("10:05", dials("alice"), "alice hears disk, cpu"),
        ("10:06", dials("alice"), "nothing to tell alice"),
        ("10:07", posts(fires("ram")), "ram: new_alerts; alice new_alerts 10:10"),
    ],
    "two routes share a page: the shorter group_interval counts": [
        DISK_FIRES,
        ALICE_HEARS,
        (
            "10:00:30",
            posts(fires("cpu"), fires("ram", timing=Timing(group_interval=MINUTE))),
            "cpu: new_alerts; ram: new_alerts; alice new_alerts 10:01",
        ),
    ],
}

REPEATING = {
    "repeat: still firing, and the last call is older than repeat_interval": [
        DISK_FIRES,
        ("10:00:10", dials("alice"), "alice hears disk"),
        ("10:05", posts(fires("disk")), "disk: duplicate"),
        ("14:05", posts(fires("disk")), "disk: repeat; alice repeat 14:05"),
        ("14:05", dials("alice"), "alice hears disk"),
        ("18:10", posts(fires("disk")), "disk: repeat; alice repeat 18:10"),
    ],
    "a repeat names all that fire, also what joined since": [
        TWO_FIRE,
        ALICE_HEARS_BOTH,
        (
            "14:00",
            posts(fires("disk"), resolves("cpu")),
            "cpu: resolved; disk: repeat; alice repeat 14:00",
        ),
        ("14:00", posts(fires("disk"), fires("ram")), "ram: new_alerts; disk: duplicate"),
        ("14:00", dials("alice"), "alice hears disk, ram"),
    ],
    "a webhook up to group_interval early schedules the repeat for its exact time": [
        DISK_FIRES,
        ("10:00:10", dials("alice"), "alice hears disk"),
        ("13:55:09", posts(fires("disk")), "disk: duplicate"),
        ("13:55:10", posts(fires("disk")), "disk: repeat; alice repeat 14:00:10"),
        ("13:58", posts(fires("disk")), "disk: duplicate"),
        ("14:00:09", dials("alice"), "nothing due for alice"),
        ("14:00:10", dials("alice"), "alice hears disk"),
    ],
    "resolved never sent: without a webhook nobody is rung again": [
        DISK_FIRES,
        ALICE_HEARS,
        ("39:00", dials("alice"), "nothing due for alice"),
        ("39:00", posts(fires("disk", since="38:59")), "disk: repeat; alice repeat 39:00"),
    ],
    "repeat_interval never: told once": [
        ("10:00", posts(fires("disk", timing=NEVER)), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("34:00", posts(fires("disk", timing=NEVER)), "disk: duplicate"),
    ],
    "two routes share a page: the shorter repeat_interval counts, and never is the longest": [
        (
            "10:00",
            posts(fires("disk", timing=NEVER), fires("cpu")),
            "disk: first; cpu: first; opens; alice first 10:00",
        ),
        ALICE_HEARS_BOTH,
        (
            "12:00",
            posts(fires("disk", timing=NEVER), fires("cpu", timing=Timing(repeat_interval=HOUR))),
            "disk: repeat; cpu: repeat; alice repeat 12:00",
        ),
    ],
    "two routes share a page, with two repeat_intervals: the shorter counts": [
        TWO_FIRE,
        ALICE_HEARS_BOTH,
        (
            "10:54",
            posts(fires("disk"), fires("cpu", timing=Timing(repeat_interval=HOUR))),
            "disk: duplicate; cpu: duplicate",
        ),
        (
            "10:55",
            posts(fires("disk"), fires("cpu", timing=Timing(repeat_interval=HOUR))),
            "disk: repeat; cpu: repeat; alice repeat 11:00",
        ),
    ],
    "two routes share a page and disagree, but neither repeats": [
        TWO_FIRE,
        ALICE_HEARS_BOTH,
        (
            "34:00",
            posts(
                fires("disk", timing=NEVER),
                fires("cpu", timing=Timing(group_wait=MINUTE, repeat_interval=None)),
            ),
            "disk: duplicate; cpu: duplicate",
        ),
    ],
    "a follow-up that had nothing to say holds back no repeat": [
        ("10:00", posts(fires("disk", timing=OFTEN)), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "sending"), "alice hears disk"),
        ("10:00:01", posts(fires("cpu", timing=OFTEN)), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:00:02", turns_out("alice", "waiting"), ""),
        ("10:01:02", dials("alice"), "alice hears disk, cpu"),
        ("10:05", dials("alice"), "nothing to tell alice"),
        ("10:07", posts(fires("disk", timing=OFTEN)), "disk: repeat; alice repeat 10:07"),
    ],
    "the call about new alerts is the latest call: no repeat at once beside it": [
        DISK_FIRES,
        ALICE_HEARS,
        (
            "14:00",
            posts(fires("disk"), fires("cpu")),
            "cpu: new_alerts; disk: duplicate; alice new_alerts 14:00",
        ),
        ("14:00", dials("alice"), "alice hears cpu"),
        ("14:05", posts(fires("disk"), fires("cpu")), "disk: duplicate; cpu: duplicate"),
    ],
    "an acknowledged page is not repeated, but its new alerts ring, and from then on it is": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", somebody_acknowledges, ""),
        ("14:05", posts(fires("disk")), "disk: acknowledged"),
        (
            "14:06",
            posts(fires("disk"), fires("cpu")),
            "cpu: new_alerts; disk: duplicate; alice new_alerts 14:06",
        ),
        ("14:06", dials("alice"), "alice hears cpu"),
        (
            "19:00",
            posts(fires("disk"), fires("cpu")),
            "disk: repeat; cpu: repeat; alice repeat 19:00",
        ),
    ],
    "startsAt that moves by seconds between two Prometheus replicas: the same episode": [
        ("10:00", posts(fires("disk", since="09:59:07")), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:05", posts(fires("disk", since="09:59:22")), "disk: duplicate"),
        ("10:10", posts(fires("disk", since="09:58:59")), "disk: duplicate"),
        ("10:15", posts(resolves("disk", ended="10:14")), "disk: resolved; closes"),
        ("10:15", posts(fires("disk", since="09:59:22")), "disk: stale"),
    ],
}

FAILING = {
    "one dead number: tried again group_interval later, and the other phone never rings again": [
        DISK_FIRES_FOR_BOTH,
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        BOB_HEARS,
        ("10:01", posts(fires("disk", to=BOTH)), "disk: repeat; alice first 10:05"),
        ("10:02", posts(fires("disk", to=BOTH)), "disk: duplicate"),
        ("10:05", dials("alice", "gave_up"), "alice hears disk"),
        ("10:06", posts(fires("disk", to=BOTH)), "disk: repeat; alice first 10:10"),
        ("10:10", dials("alice"), "alice hears disk"),
        ("10:16", posts(fires("disk", to=BOTH)), "disk: duplicate"),
        ("14:00", posts(fires("disk", to=BOTH)), "disk: repeat; bob repeat 14:00"),
        ("14:06", posts(fires("disk", to=BOTH)), "disk: repeat; alice repeat 14:10"),
    ],
    "a dead number hears of new alerts after group_interval too": [
        DISK_FIRES,
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:05", dials("alice"), "alice hears disk, cpu"),
    ],
    "told of one alert, not of the next: tried again, about the next alone": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:10", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:10"),
        ("10:10", dials("alice", "gave_up"), "alice hears cpu"),
        ("10:11", posts(fires("disk")), "disk: duplicate"),
        (
            "10:12",
            posts(fires("cpu"), fires("disk")),
            "cpu: repeat; disk: repeat; alice new_alerts 10:15",
        ),
        ("10:15", dials("alice"), "alice hears cpu"),
        ("10:20", posts(fires("disk"), fires("cpu")), "disk: duplicate; cpu: duplicate"),
    ],
    "what was told at last is not told again with what failed before": [
        DISK_FIRES,
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:05", dials("alice"), "alice hears disk, cpu"),
        ("10:11", posts(fires("disk")), "disk: duplicate"),
        ("10:12", posts(fires("cpu"), fires("disk")), "cpu: duplicate; disk: duplicate"),
    ],
    "told never to repeat, and still told what could not be told": [
        ("10:00", posts(fires("disk", timing=NEVER)), "disk: first; opens; alice first 10:00"),
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:06", posts(fires("disk", timing=NEVER)), "disk: repeat; alice first 10:06"),
        ("10:06", dials("alice"), "alice hears disk"),
        ("34:00", posts(fires("disk", timing=NEVER)), "disk: duplicate"),
    ],
    "a repeat that failed is tried again after group_interval": [
        DISK_FIRES,
        ALICE_HEARS,
        ("14:01", posts(fires("disk")), "disk: repeat; alice repeat 14:01"),
        ("14:01", dials("alice", "gave_up"), "alice hears disk"),
        ("14:03", posts(fires("disk")), "disk: repeat; alice repeat 14:06"),
        ("14:06", dials("alice"), "alice hears disk"),
        ("14:11", posts(fires("disk")), "disk: duplicate"),
    ],
    "a call under way is not doubled, whatever failed before": [
        DISK_FIRES,
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        ("10:05", posts(fires("disk")), "disk: repeat; alice first 10:05"),
        ("10:05", dials("alice", "sending"), "alice hears disk"),
        ("10:15", posts(fires("disk")), "disk: duplicate"),
    ],
    "a call of unknown outcome holds back only what it may have told": [
        DISK_FIRES,
        ("10:00", dials("alice", "unknown"), "alice hears disk"),
        ("10:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:05", dials("alice", "refused"), "alice hears disk, cpu"),
        ("10:06", posts(fires("disk")), "disk: duplicate"),
        (
            "10:07",
            posts(fires("cpu"), fires("disk")),
            "cpu: repeat; disk: repeat; alice first 10:10",
        ),
    ],
    "acknowledged: who could not be reached about it is left in peace": [
        DISK_FIRES_FOR_BOTH,
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        BOB_HEARS,
        ("10:01", somebody_acknowledges, ""),
        ("10:06", posts(fires("disk", to=BOTH)), "disk: acknowledged"),
        (
            "10:10",
            posts(fires("cpu", to=BOTH)),
            "cpu: new_alerts; alice new_alerts 10:10; bob new_alerts 10:10",
        ),
        ("10:10", dials("alice", "refused"), "alice hears disk, cpu"),
        ("10:10", dials("bob"), "bob hears cpu"),
        ("10:16", posts(fires("cpu", to=BOTH)), "cpu: repeat; alice first 10:16"),
    ],
    "acknowledged while a follow-up waits: it is not made": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        ("10:02", somebody_acknowledges, "alice new_alerts cancelled"),
        ("10:11", posts(fires("cpu")), "cpu: acknowledged"),
    ],
    "acknowledged at the instant at which an alert joined: that alert is still told": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:10", somebody_acknowledges, ""),
        ("10:10", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:10"),
        ("10:10", dials("alice", "refused"), "alice hears cpu"),
        ("10:16", posts(fires("cpu")), "cpu: repeat; alice new_alerts 10:16"),
    ],
}

RESOLVING = {
    "resolved: the page closes, and the call that waits is cancelled": [
        ("10:00", posts(fires("disk", timing=PATIENT)), "disk: first; opens; alice first 10:01"),
        ("10:00:30", posts(resolves("disk")), "disk: resolved; closes; alice first cancelled"),
        ("10:01", dials("alice"), "nothing due for alice"),
    ],
    "a follow-up and a repeat that wait are cancelled too": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", posts(fires("cpu")), "cpu: new_alerts; alice new_alerts 10:05"),
        (
            "10:02",
            posts(resolves("cpu"), resolves("disk")),
            "cpu: resolved; disk: resolved; closes; alice new_alerts cancelled",
        ),
        ("11:00", posts(fires("disk", since="11:00")), "disk: first; opens; alice first 11:00"),
        ("11:00", dials("alice"), "alice hears disk"),
        ("14:57", posts(fires("disk", since="11:00")), "disk: repeat; alice repeat 15:00"),
        ("14:58", posts(resolves("disk")), "disk: resolved; closes; alice repeat cancelled"),
    ],
    "a call under way is not cancelled": [
        DISK_FIRES,
        ("10:00", dials("alice", "sending"), "alice hears disk"),
        ("10:01", posts(resolves("disk")), "disk: resolved; closes"),
    ],
    "two pages close at once: the calls of both are cancelled": [
        (
            "10:00",
            posts(fires("disk", group="a"), fires("cpu", group="b")),
            "disk: first; cpu: first; opens; opens; alice first 10:00; alice first 10:00",
        ),
        (
            "10:01",
            posts(resolves("disk", group="a"), resolves("cpu", group="b")),
            "disk: resolved; cpu: resolved; closes; closes; "
            "alice first cancelled; alice first cancelled",
        ),
    ],
    "one of two resolves: the page stays, the call waits and names the other": [
        TWO_FIRE,
        ("10:01", posts(resolves("disk")), "disk: resolved"),
        ("10:02", dials("alice"), "alice hears cpu"),
    ],
    "one resolves and another fires in one body, in either order: the page stays": [
        DISK_FIRES,
        ALICE_HEARS,
        (
            "10:10",
            posts(resolves("disk"), fires("cpu")),
            "disk: resolved; cpu: new_alerts; alice new_alerts 10:10",
        ),
        ("10:10", dials("alice"), "alice hears cpu"),
        (
            "10:20",
            posts(fires("ram"), resolves("cpu")),
            "cpu: resolved; ram: new_alerts; alice new_alerts 10:20",
        ),
    ],
    "resolved twice: nothing more happens": [
        DISK_FIRES,
        (
            "10:05",
            posts(resolves("disk", ended="10:04")),
            "disk: resolved; closes; alice first cancelled",
        ),
        ("10:05", posts(resolves("disk", ended="10:04")), "disk: duplicate"),
    ],
    "resolved of an alert that nobody knew to fire": [
        ("10:00", posts(resolves("disk", ended="09:59")), "disk: resolved"),
        ("10:01", posts(resolves("disk", ended="09:59")), "disk: duplicate"),
    ],
    "resolved of an earlier episode: the alert still fires": [
        ("10:00", posts(fires("disk", since="09:58")), "disk: first; opens; alice first 10:00"),
        ("10:01", posts(resolves("disk", ended="09:57:59")), "disk: stale"),
        ("10:02", posts(fires("disk", since="09:58")), "disk: duplicate"),
        (
            "10:03",
            posts(resolves("disk", ended="09:58")),
            "disk: resolved; closes; alice first cancelled",
        ),
    ],
    "a sender whose clock is ahead can still resolve": [
        ("10:00", posts(fires("disk", since="10:20")), "disk: first; opens; alice first 10:00"),
        (
            "10:05",
            posts(resolves("disk", ended="10:25")),
            "disk: resolved; closes; alice first cancelled",
        ),
        ("10:15", posts(fires("disk", since="10:06")), "disk: first; opens; alice first 10:15"),
    ],
    "all known alerts resolved, but some were left out: the page is held open": [
        ("10:00", posts(fires("disk"), truncated=True), "disk: first; opens; alice first 10:00"),
        ("10:05", posts(resolves("disk"), truncated=True), "disk: resolved"),
        ("10:06", dials("alice"), "alice hears disk"),
        ("10:07", posts(fires("cpu"), truncated=True), "cpu: new_alerts; alice new_alerts 10:11"),
        ("10:08", posts(resolves("cpu"), truncated=True), "cpu: resolved"),
        (
            "10:09",
            posts(resolves("disk"), resolves("cpu")),
            "disk: duplicate; cpu: duplicate; closes; alice new_alerts cancelled",
        ),
    ],
    "some were left out, then nothing was: the page closes with its last known alert": [
        ("10:00", posts(fires("disk"), truncated=True), "disk: first; opens; alice first 10:00"),
        ("10:05", posts(resolves("disk")), "disk: resolved; closes; alice first cancelled"),
    ],
}

LATE = {
    "firing after its resolved is late news": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:06", posts(resolves("disk", ended="10:05")), "disk: resolved; closes"),
        ("10:06:01", posts(fires("disk")), "disk: stale"),
        ("10:06:02", posts(fires("disk", since="10:05")), "disk: stale"),
        (
            "10:06:03",
            posts(fires("disk", since="10:05:01")),
            "disk: new_alerts; reopens; alice new_alerts 10:06:03",
        ),
    ],
    "firing that arrives only after its resolved, of an alert that nobody knew": [
        ("10:06", posts(resolves("disk", ended="10:05")), "disk: resolved"),
        ("10:07", posts(fires("disk")), "disk: stale"),
        ("10:08", posts(fires("disk", since="10:07:30")), "disk: first; opens; alice first 10:08"),
        ("10:08", dials("alice"), "alice hears disk"),
    ],
    "still posted with its old startsAt an hour after: it fires": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:06", posts(resolves("disk", ended="10:05")), "disk: resolved; closes"),
        ("11:04:59", posts(fires("disk")), "disk: stale"),
        ("11:05", posts(fires("disk")), "disk: first; opens; alice first 11:05"),
        (
            "11:06",
            posts(resolves("disk", ended="11:06")),
            "disk: resolved; closes; alice first cancelled",
        ),
        ("17:00", posts(fires("disk")), "disk: first; opens; alice first 17:00"),
    ],
    "resolved again, later: what fired before that is late news": [
        DISK_FIRES,
        (
            "10:06",
            posts(resolves("disk", ended="10:05")),
            "disk: resolved; closes; alice first cancelled",
        ),
        ("10:20", posts(resolves("disk", ended="10:19")), "disk: duplicate"),
        ("10:21", posts(fires("disk", since="10:18")), "disk: stale"),
        ("10:22", posts(resolves("disk", ended="10:05")), "disk: duplicate"),
        ("10:23", posts(fires("disk", since="10:18")), "disk: stale"),
    ],
    "a sender that gives no startsAt: firing after resolved is a new episode": [
        ("10:00", posts(fires("disk", since=None)), "disk: first; opens; alice first 10:00"),
        ALICE_HEARS,
        ("10:06", posts(resolves("disk")), "disk: resolved; closes"),
        ("10:20", posts(fires("disk", since=None)), "disk: first; opens; alice first 10:20"),
    ],
    "late news about a page of long ago, beside an alert that fires: a new page": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:06", posts(resolves("disk", ended="10:05")), "disk: resolved; closes"),
        (
            "12:00",
            posts(resolves("disk", ended="10:05"), fires("cpu", since="12:00")),
            "disk: duplicate; cpu: first; opens; alice first 12:00",
        ),
    ],
}

FLAPPING = {
    "inside group_interval: the same page, and a follow-up no sooner than group_interval": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", posts(resolves("disk")), "disk: resolved; closes"),
        (
            "10:02",
            posts(fires("disk", since="10:02")),
            "disk: new_alerts; reopens; alice new_alerts 10:05",
        ),
        ("10:03", posts(resolves("disk")), "disk: resolved; closes; alice new_alerts cancelled"),
        (
            "10:04",
            posts(fires("disk", since="10:04")),
            "disk: new_alerts; reopens; alice new_alerts 10:05",
        ),
        ("10:05", dials("alice"), "alice hears disk"),
    ],
    "just inside, and just outside group_interval": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", posts(resolves("disk")), "disk: resolved; closes"),
        (
            "10:05:59",
            posts(fires("disk", since="10:05")),
            "disk: new_alerts; reopens; alice new_alerts 10:05:59",
        ),
        ("10:05:59", dials("alice"), "alice hears disk"),
        ("10:06", posts(resolves("disk")), "disk: resolved; closes"),
        ("10:11", posts(fires("disk", since="10:10")), "disk: first; opens; alice first 10:11"),
    ],
    "late news about the page beside an alert that fires: it reopens": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", posts(resolves("disk", ended="10:01")), "disk: resolved; closes"),
        (
            "10:02",
            posts(resolves("disk", ended="10:01"), fires("cpu", since="10:02")),
            "disk: duplicate; cpu: new_alerts; reopens; alice new_alerts 10:05",
        ),
        ("10:03", posts(resolves("cpu")), "cpu: resolved; closes; alice new_alerts cancelled"),
    ],
    "two alerts reopen it: once": [
        DISK_FIRES,
        ("10:01", posts(resolves("disk")), "disk: resolved; closes; alice first cancelled"),
        (
            "10:02",
            posts(fires("cpu", timing=PATIENT), fires("ram", timing=PATIENT)),
            "cpu: new_alerts; ram: new_alerts; reopens; alice new_alerts 10:03",
        ),
    ],
    "who acknowledged the page before it closed has not acknowledged it now": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:00", somebody_acknowledges, ""),
        ("10:01", posts(resolves("disk")), "disk: resolved; closes"),
        (
            "10:02",
            posts(fires("disk", since="10:02")),
            "disk: new_alerts; reopens; alice new_alerts 10:05",
        ),
        ("10:05", dials("alice"), "alice hears disk"),
        ("14:05", posts(fires("disk", since="10:02")), "disk: repeat; alice repeat 14:05"),
    ],
    "a flapping alert of a page that stays open": [
        TWO_FIRE,
        ALICE_HEARS_BOTH,
        ("10:02", posts(resolves("disk")), "disk: resolved"),
        ("10:03", posts(fires("disk", since="10:03")), "disk: new_alerts; alice new_alerts 10:05"),
        ("10:05", dials("alice"), "alice hears disk"),
    ],
}

MUTING = {
    "muted on arrival: nobody is rung, until a webhook finds it unmuted": [
        ("10:00", posts(fires("disk", muted=True)), "disk: muted"),
        ("14:00", posts(fires("disk")), "disk: first; opens; alice first 14:00"),
    ],
    "muted while known: no repeat, and a repeat when it is unmuted": [
        DISK_FIRES,
        ALICE_HEARS,
        ("15:00", posts(fires("disk", muted=True)), "disk: muted"),
        ("15:01", posts(fires("disk")), "disk: repeat; alice repeat 15:01"),
    ],
    "muted while known: what could not be told is told when it is unmuted": [
        TWO_FIRE,
        ("10:00", dials("alice", "gave_up"), "alice hears disk, cpu"),
        (
            "15:00",
            posts(fires("disk", muted=True), fires("cpu", muted=True)),
            "disk: muted; cpu: muted",
        ),
        (
            "15:01",
            posts(fires("disk"), fires("cpu", muted=True)),
            "cpu: muted; disk: repeat; alice first 15:01",
        ),
    ],
    "late news is late news, muted or not": [
        ("10:00", posts(resolves("disk", ended="09:59", muted=True)), "disk: resolved"),
        ("10:01", posts(fires("disk", since="09:50", muted=True)), "disk: stale"),
        ("10:02", posts(fires("disk", muted=True)), "disk: muted"),
    ],
    "resolved while muted: the page closes all the same": [
        DISK_FIRES,
        (
            "10:01",
            posts(resolves("disk", muted=True)),
            "disk: resolved; closes; alice first cancelled",
        ),
    ],
    "two routes to one receiver, one of them muted: rung": [
        (
            "10:00",
            posts(fires("disk", muted=True, group="a"), fires("disk")),
            "disk: first; opens; alice first 10:00",
        ),
        ("10:00", posts(fires("cpu"), fires("cpu", muted=True, group="a")), "cpu: new_alerts"),
    ],
    "two routes to one receiver, both muted": [
        (
            "10:00",
            posts(fires("disk", muted=True), fires("disk", muted=True, group="a")),
            "disk: muted",
        ),
    ],
    "firing under a muted route outweighs resolved under another": [
        ("10:00", posts(resolves("disk"), fires("disk", muted=True)), "disk: muted"),
    ],
}

RELOADING = {
    "a person who joins the receiver hears with the page's next repeat, or of new alerts": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:10", posts(fires("disk", to=BOTH)), "disk: duplicate"),
        (
            "13:55",
            posts(fires("disk", to=BOTH)),
            "disk: repeat; alice repeat 14:00; bob repeat 14:00",
        ),
        ("14:00", dials("bob"), "bob hears disk"),
        ("14:00", dials("alice"), "alice hears disk"),
    ],
    "a person who joins the receiver hears of all with the first new alert": [
        DISK_FIRES,
        ALICE_HEARS,
        (
            "10:01",
            posts(fires("cpu", to=BOTH)),
            "cpu: new_alerts; alice new_alerts 10:05; bob new_alerts 10:01",
        ),
        ("10:01", dials("bob"), "bob hears disk, cpu"),
    ],
    "nobody could be told, and somebody else is in the receiver now: rung at once": [
        DISK_FIRES,
        ("10:00", dials("alice", "refused"), "alice hears disk"),
        (
            "10:01",
            posts(fires("disk", to=BOTH, timing=NEVER)),
            "disk: repeat; alice first 10:05; bob first 10:01",
        ),
        ("10:01", dials("bob"), "bob hears disk"),
    ],
    "repeat_interval never: a person who joins the receiver is not rung about what was told": [
        DISK_FIRES,
        ALICE_HEARS,
        ("34:00", posts(fires("disk", to=BOTH, timing=NEVER)), "disk: duplicate"),
    ],
    "a person who left the receiver is not rung again": [
        DISK_FIRES_FOR_BOTH,
        ALICE_HEARS,
        BOB_HEARS,
        ("14:00", posts(fires("disk")), "disk: repeat; alice repeat 14:00"),
    ],
    "the receiver calls no one now: what was known can still resolve": [
        DISK_FIRES,
        ("10:01", posts(fires("disk", to=NOBODY)), "disk: no_receiver"),
        (
            "10:02",
            posts(resolves("disk", to=NOBODY)),
            "disk: resolved; closes; alice first cancelled",
        ),
    ],
    "group_by changed: an alert stays in its page, others open theirs": [
        DISK_FIRES,
        ALICE_HEARS,
        (
            "10:05",
            posts(fires("disk", group="a"), fires("cpu", group="a")),
            "disk: duplicate; cpu: first; opens; alice first 10:05",
        ),
        ("10:06", posts(resolves("disk", group="a")), "disk: resolved; closes"),
    ],
}

CALLING_BACK = {
    "send_resolved: who heard of the page is called back when it closes": [
        (
            "10:00",
            posts(fires("disk", to=TELLS_RESOLVED), fires("cpu", to=TELLS_RESOLVED)),
            "disk: first; cpu: first; opens; alice first 10:00; bob first 10:00",
        ),
        ALICE_HEARS_BOTH,
        ("10:00", dials("bob", "refused"), "bob hears disk, cpu"),
        ("10:05", posts(resolves("disk", to=TELLS_RESOLVED)), "disk: resolved"),
        (
            "10:06",
            posts(resolves("cpu", to=TELLS_RESOLVED)),
            "cpu: resolved; closes; alice resolved 10:06",
        ),
        ("10:06", dials("alice"), "alice hears disk, cpu"),
        ("10:07", posts(resolves("cpu", to=TELLS_RESOLVED)), "cpu: duplicate"),
    ],
    "who may have heard is called back too": [
        DISK_FIRES_FOR_CALLED_BACK,
        ("10:00", dials("alice", "unknown"), "alice hears disk"),
        ("10:00", dials("bob", "sending"), "bob hears disk"),
        (
            "10:01",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: resolved; closes; alice resolved 10:01; bob resolved 10:01",
        ),
    ],
    "nobody heard of it: nobody is called back": [
        DISK_FIRES_FOR_CALLED_BACK,
        (
            "10:01",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: resolved; closes; alice first cancelled; bob first cancelled",
        ),
    ],
    "held open by alerts that were left out: nobody is called back yet": [
        DISK_FIRES_FOR_CALLED_BACK,
        ALICE_HEARS,
        ("10:01", posts(resolves("disk", to=TELLS_RESOLVED), truncated=True), "disk: resolved"),
        (
            "10:02",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: duplicate; closes; alice resolved 10:02; bob first cancelled",
        ),
    ],
    "the page reopens before the call back: it is cancelled, and made when it closes again": [
        DISK_FIRES_FOR_CALLED_BACK,
        ALICE_HEARS,
        BOB_HEARS,
        (
            "10:01",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: resolved; closes; alice resolved 10:01; bob resolved 10:01",
        ),
        ("10:01", dials("bob"), "bob hears disk"),
        (
            "10:02",
            posts(fires("disk", since="10:02", to=TELLS_RESOLVED)),
            "disk: new_alerts; reopens; alice new_alerts 10:05; bob new_alerts 10:05; "
            "alice resolved cancelled",
        ),
        (
            "10:03",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: resolved; closes; alice resolved 10:03; alice new_alerts cancelled; "
            "bob new_alerts cancelled",
        ),
        ("10:03", dials("alice"), "alice hears disk"),
    ],
    "called back, rung again, and called back again": [
        DISK_FIRES_FOR_CALLED_BACK,
        ALICE_HEARS,
        (
            "10:02",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: resolved; closes; alice resolved 10:02; bob first cancelled",
        ),
        ("10:02", dials("alice", "unknown"), "alice hears disk"),
        (
            "10:06",
            posts(fires("disk", since="10:06", to=TELLS_RESOLVED)),
            "disk: new_alerts; reopens; alice new_alerts 10:06; bob new_alerts 10:06",
        ),
        ("10:06", dials("alice"), "alice hears disk"),
        (
            "10:07",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: resolved; closes; alice resolved 10:07; bob new_alerts cancelled",
        ),
    ],
    "an older call rang after the call back: called back again": [
        DISK_FIRES_FOR_CALLED_BACK,
        ALICE_HEARS,
        BOB_HEARS,
        (
            "10:05",
            posts(fires("cpu", to=TELLS_RESOLVED)),
            "cpu: new_alerts; alice new_alerts 10:05; bob new_alerts 10:05",
        ),
        ("10:05", dials("alice", "sending"), "alice hears cpu"),
        ("10:05", dials("bob"), "bob hears cpu"),
        (
            "10:06",
            posts(resolves("disk", to=TELLS_RESOLVED), resolves("cpu", to=TELLS_RESOLVED)),
            "disk: resolved; cpu: resolved; closes; alice resolved 10:06; bob resolved 10:06",
        ),
        ("10:06", dials("alice"), "alice hears disk"),
        ("10:06", dials("bob"), "bob hears disk, cpu"),
        ("10:06", turns_out("alice", "waiting"), ""),
        (
            "10:07",
            posts(fires("ram", to=TELLS_RESOLVED)),
            "ram: new_alerts; reopens; bob new_alerts 10:10; alice new_alerts moves",
        ),
        ("10:08", dials("alice"), "alice hears ram"),
        (
            "10:09",
            posts(resolves("ram", to=TELLS_RESOLVED)),
            "ram: resolved; closes; alice resolved 10:09; bob new_alerts cancelled",
        ),
    ],
    "muted when it closes: nobody is called back": [
        DISK_FIRES_FOR_CALLED_BACK,
        ALICE_HEARS,
        BOB_HEARS,
        ("10:01", posts(resolves("disk", muted=True, to=TELLS_RESOLVED)), "disk: resolved; closes"),
    ],
    "one of two routes muted when it closes: called back": [
        (
            "10:00",
            posts(fires("disk", to=TELLS_RESOLVED), fires("cpu", to=TELLS_RESOLVED)),
            "disk: first; cpu: first; opens; alice first 10:00; bob first 10:00",
        ),
        ALICE_HEARS_BOTH,
        ("10:00", dials("bob", "gave_up"), "bob hears disk, cpu"),
        (
            "10:01",
            posts(
                resolves("cpu", to=TELLS_RESOLVED), resolves("disk", muted=True, to=TELLS_RESOLVED)
            ),
            "cpu: resolved; disk: resolved; closes; alice resolved 10:01",
        ),
    ],
    "a call back is no news of a firing alert: neither a follow-up nor a repeat counts from it": [
        DISK_FIRES_FOR_CALLED_BACK,
        ALICE_HEARS,
        BOB_HEARS,
        (
            "10:09",
            posts(resolves("disk", to=TELLS_RESOLVED)),
            "disk: resolved; closes; alice resolved 10:09; bob resolved 10:09",
        ),
        ("10:09", dials("alice"), "alice hears disk"),
        ("10:09", dials("bob", "gave_up"), "bob hears disk"),
        (
            "10:10",
            posts(fires("disk", since="10:10", to=TELLS_RESOLVED)),
            "disk: new_alerts; reopens; alice new_alerts 10:10; bob new_alerts 10:10",
        ),
        ("10:10", dials("alice"), "alice hears disk"),
        ("10:10", dials("bob"), "bob hears disk"),
        ("10:15", posts(fires("disk", since="10:10", to=TELLS_RESOLVED)), "disk: duplicate"),
        (
            "14:10",
            posts(fires("disk", since="10:10", to=TELLS_RESOLVED)),
            "disk: repeat; alice repeat 14:10; bob repeat 14:10",
        ),
    ],
}

NIGHTS = (
    OPENING
    | JOINING
    | REPEATING
    | FAILING
    | RESOLVING
    | LATE
    | FLAPPING
    | MUTING
    | RELOADING
    | CALLING_BACK
)


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS.keys())
def test_a_night(night):
    assert tell(night, escalations=False) == follows(night)


def test_every_reason_shows_in_a_night():
    told = " ".join(expected for night in NIGHTS.values() for _, _, expected in night)
    # Test calls and drills are somebody's wish, heartbeats open no page; the others show in the
    # nights of escalations.
    wishes = {Reason.TEST, Reason.DRILL, Reason.HEARTBEAT}
    elsewhere = wishes | {Reason.ESCALATION, Reason.NOBODY_ON_CALL}
    assert {reason for reason in Reason if f": {reason}" not in told} == elsewhere
