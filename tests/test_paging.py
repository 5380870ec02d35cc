"""When a phone rings: each rule as a night in which it shows, told in the domain's words.

A night is a table of steps: when, what happens, and everything that follows from it. Unless a row
says otherwise alerts go to alice alone, with group_wait 0s, group_interval 5m, repeat_interval 4h.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from paging_world import (
    ALICE,
    BOB,
    CAROL,
    HOUR,
    MINUTE,
    World,
    at,
    routed,
)

from adapter.model import (
    Call,
    CallState,
    Episode,
    Page,
    PersonLimits,
    Reason,
    Receiver,
    Status,
    Timing,
)
from adapter.paging import Changes, Known, Routed, Verdict, decide, limited_until, page_key

ON_CALL = Receiver(name="sre-phone", people=(ALICE,))
BOTH = Receiver(name="sre-phone", people=(ALICE, BOB))
TELLS_RESOLVED = Receiver(name="sre-phone", people=(ALICE, BOB), send_resolved=True)
NOBODY = Receiver(name="sre-phone")
DBA = Receiver(name="dba-phone", people=(CAROL,))

PATIENT = Timing(group_wait=MINUTE)
NEVER = Timing(repeat_interval=None)

Step = Callable[[World], str]


# --- what happens -------------------------------------------------------------------------------


def fires(name, *, since="10:00", to=ON_CALL, **how) -> Routed:
    """An alert in a webhook, firing since then; since None: the sender does not say."""
    starts_at = None if since is None else at(since)
    return routed(name, Status.FIRING, to, starts_at=starts_at, **how)


def resolves(name, *, ended=None, to=ON_CALL, **how) -> Routed:
    """An alert in a webhook, resolved; ended None: the sender does not say when."""
    ends_at = None if ended is None else at(ended)
    return routed(name, Status.RESOLVED, to, ends_at=ends_at, **how)


def posts(*items, truncated=False) -> Step:
    """A webhook: alert: reason; what the page does; person: call, its reason and when."""

    def step(world: World) -> str:
        before = dict(world.pages)
        changes = world.post(items, truncated=truncated)
        said = [f"{v.alert.fingerprint}: {v.reason}" for v in changes.verdicts]
        said += ["opens" for _ in changes.new_pages]
        for page in changes.changed_pages:
            was_open, is_open = before[page.id].closed_at is None, page.closed_at is None
            if was_open is not is_open:
                said.append("reopens" if is_open else "closes")
        for call in changes.new_calls:
            said.append(f"{call.person} {call.reason} {call.due_at:%H:%M:%S}".removesuffix(":00"))
        said += [f"{call.person} {call.reason} cancelled" for call in changes.changed_calls]
        return "; ".join(said)

    return step


def dials(person, outcome="accepted") -> Step:
    """The person's call that is due is made, with this outcome."""

    def step(world: World) -> str:
        due = [
            call
            for call in world.calls.values()
            if call.person == person
            and call.state is CallState.WAITING
            and call.due_at <= world.now
        ]
        if not due:
            return f"nothing due for {person}"
        call = min(due, key=lambda call: call.due_at)
        named = world.claim(call)
        if not named:
            return f"nothing to tell {person}"
        if outcome != "sending":
            world.settle(world.calls[call.id], CallState(outcome))
        return f"{person} hears " + ", ".join(episode.fingerprint for episode in named)

    return step


def turns_out(person, outcome) -> Step:
    """The person's call that is under way, or of unknown outcome, comes to this."""

    def step(world: World) -> str:
        (call,) = (
            call
            for call in world.calls.values()
            if call.person == person and call.state in (CallState.SENDING, CallState.UNKNOWN)
        )
        world.settle(call, CallState(outcome))
        return ""

    return step


def somebody_acknowledges(world: World) -> str:
    (page,) = (page for page in world.pages.values() if page.closed_at is None)
    world.acknowledge(page)
    return ""


# --- the nights ---------------------------------------------------------------------------------

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
        ("39:00", posts(fires("disk", since="38:59")), "disk: repeat; alice repeat 15:00"),
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
    "an acknowledged page is not repeated, but its new alerts ring": [
        DISK_FIRES,
        ALICE_HEARS,
        ("10:01", somebody_acknowledges, ""),
        ("14:05", posts(fires("disk")), "disk: acknowledged"),
        (
            "14:06",
            posts(fires("disk"), fires("cpu")),
            "cpu: new_alerts; disk: acknowledged; alice new_alerts 14:06",
        ),
        ("14:06", dials("alice"), "alice hears cpu"),
        ("19:00", posts(fires("disk"), fires("cpu")), "disk: acknowledged; cpu: acknowledged"),
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
    "late news about the page beside an alert that fires: the reopens": [
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
    "the reopens before the call back: it is cancelled, and made when it closes again": [
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
            "ram: new_alerts; reopens; bob new_alerts 10:10",
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
    world = World(at(night[0][0]))
    said = []
    for when, step, _ in night:
        world.now = at(when)
        said.append((when, step(world)))
    assert said == [(when, expected) for when, _, expected in night]


def test_every_reason_shows_in_a_night():
    told = " ".join(expected for night in NIGHTS.values() for _, _, expected in night)
    # A test call is somebody's wish, and who is on call is found out before anything is decided.
    elsewhere = {Reason.TEST, Reason.NOBODY_ON_CALL}
    assert {reason for reason in Reason if f": {reason}" not in told} == elsewhere


# --- what is written down ------------------------------------------------------------------------

DISK = fires("disk", since="09:58", group="a", summary="90% full")


def told_of_disk() -> World:
    """Alice was told of an alert of one page at 10:00."""
    world = World(at("10:00"))
    world.post([DISK])
    dials("alice")(world)
    return world


def only(items):
    (item,) = items
    return item


def test_first_is_written_down_whole():
    changes = World(at("10:00")).post([DISK], truncated=True)
    page = Page(
        id="1.0",
        receiver="sre-phone",
        group_labels={"cluster": "a"},
        opened_at=at("10:00"),
        confirmed_at=at("10:00"),
        truncated=True,
    )
    episode = Episode(
        id=0,
        receiver="sre-phone",
        fingerprint="disk",
        page_id="1.0",
        firing=True,
        starts_at=at("09:58"),
        ends_at=None,
        labels={"alertname": "disk"},
        annotations={"summary": "90% full"},
    )
    call = Call(
        id="1.1",
        page_id="1.0",
        receiver="sre-phone",
        person="alice",
        phone=ALICE.phone,
        reason=Reason.FIRST,
        state=CallState.WAITING,
        created_at=at("10:00"),
        due_at=at("10:00"),
        due_since=at("10:00"),
    )
    verdict = Verdict(
        alert=DISK.alert,
        receiver="sre-phone",
        reason=Reason.FIRST,
        page_id="1.0",
        detail="call due at 2026-11-24T10:00:00+00:00",
    )
    assert changes == Changes(
        new_pages=(page,), new_episodes=(episode,), new_calls=(call,), verdicts=(verdict,)
    )


def test_a_call_that_has_to_wait_is_due_then_and_can_give_up_only_from_then():
    call = only(World(at("10:00")).post([fires("disk", timing=PATIENT)]).new_calls)
    assert (call.created_at, call.due_at, call.due_since) == (at("10:00"), at("10:01"), at("10:01"))


def test_resolved_closes_the_page_and_ends_the_episode_and_the_call():
    world = World(at("10:00"))
    opened = world.post([DISK])
    world.now = at("10:05")
    changes = world.post([resolves("disk", ended="10:04")])
    assert changes == Changes(
        changed_pages=(
            replace(opened.new_pages[0], confirmed_at=at("10:05"), closed_at=at("10:05")),
        ),
        changed_episodes=(
            replace(opened.new_episodes[0], id=1, firing=False, ends_at=at("10:04")),
        ),
        changed_calls=(
            replace(
                opened.new_calls[0],
                state=CallState.CANCELLED,
                settled_at=at("10:05"),
                note="its alerts resolved",
            ),
        ),
        verdicts=changes.verdicts,
    )


def test_resolved_of_an_unknown_alert_is_kept_without_a_page():
    changes = World(at("10:00")).post([resolves("disk", ended="09:59")])
    episode = only(changes.new_episodes)
    assert (episode.page_id, episode.firing, episode.ends_at) == (None, False, at("09:59"))
    assert episode.starts_at == at("10:00")
    assert not changes.new_pages


def test_a_call_back_that_is_cancelled_says_why():
    world = World(at("10:00"))
    world.post([fires("disk", to=TELLS_RESOLVED)])
    dials("alice")(world)
    world.now = at("10:01")
    world.post([resolves("disk", to=TELLS_RESOLVED)])
    world.now = at("10:02")
    changes = world.post([fires("disk", since="10:02", to=TELLS_RESOLVED)])
    call = only(changes.changed_calls)
    assert (call.reason, call.state) == (Reason.RESOLVED, CallState.CANCELLED)
    assert (call.settled_at, call.note) == (at("10:02"), "the page opened again")


def test_a_call_back_goes_to_the_person_who_was_called_and_is_due_at_once():
    world = World(at("10:00"))
    world.post([fires("disk", to=TELLS_RESOLVED)])
    dials("bob")(world)
    world.now = at("10:01")
    call = only(world.post([resolves("disk", to=TELLS_RESOLVED)]).new_calls)
    assert (call.person, call.phone, call.receiver) == ("bob", BOB.phone, "sre-phone")
    assert (call.due_at, call.created_at) == (at("10:01"), at("10:01"))


CONFIRMATIONS = {
    "still firing": (DISK, False),
    "still firing, muted": (replace(DISK, muted_by=("weekend",)), False),
    "another alert of the group": (fires("cpu", group="a"), False),
    "resolved, while another fires": (resolves("ram", group="a"), False),
    "some alerts were left out": (DISK, True),
    "resolved, and some alerts were left out": (resolves("disk", group="a"), True),
}


@pytest.mark.parametrize(("item", "truncated"), CONFIRMATIONS.values(), ids=CONFIRMATIONS.keys())
def test_every_webhook_that_names_an_alert_of_an_open_page_confirms_it(item, truncated):
    world = World(at("10:00"))
    page = only(world.post([DISK, fires("ram", group="a")]).new_pages)
    world.now = at("10:07")
    changes = world.post([item], truncated=truncated)
    assert changes.changed_pages == (replace(page, confirmed_at=at("10:07"), truncated=truncated),)


def test_nothing_left_out_any_more_is_noted_too():
    world = World(at("10:00"))
    world.post([DISK], truncated=True)
    assert only(world.post([DISK]).changed_pages).truncated is False


def test_held_open_the_page_is_marked_and_closed_it_is_not():
    world = World(at("10:00"))
    world.post([DISK])
    held = only(world.post([resolves("disk")], truncated=True).changed_pages)
    assert (held.truncated, held.closed_at) == (True, None)
    closed = only(world.post([resolves("disk")]).changed_pages)
    assert (closed.truncated, closed.closed_at) == (False, at("10:00"))


LATE_NEWS_OF_A_CLOSED_PAGE = {
    "firing": (fires("disk", group="a"), False),
    "resolved": (resolves("disk", ended="10:04", group="a"), False),
    "resolved, and some alerts were left out": (resolves("disk", ended="10:04"), True),
}


@pytest.mark.parametrize(
    ("item", "truncated"),
    LATE_NEWS_OF_A_CLOSED_PAGE.values(),
    ids=LATE_NEWS_OF_A_CLOSED_PAGE.keys(),
)
def test_late_news_about_a_closed_page_writes_nothing(item, truncated):
    world = told_of_disk()
    world.now = at("10:05")
    world.post([resolves("disk", ended="10:04")])
    world.now = at("10:06")
    changes = world.post([item], truncated=truncated)
    assert changes == Changes(verdicts=changes.verdicts)


WORDS = {
    "labels": {"alertname": "disk", "severity": "critical"},
    "annotations": {"summary": "95% full"},
    "values": {"A": 95.0},
    "generator_url": "https://prometheus.example/graph",
}


@pytest.mark.parametrize("muted", [False, True], ids=["unmuted", "muted"])
@pytest.mark.parametrize("field", WORDS)
def test_the_newest_words_of_a_firing_alert_are_kept(field, muted):
    world = told_of_disk()
    newer = replace(DISK.alert, **{field: WORDS[field]})
    changes = world.post([replace(DISK, alert=newer, muted_by=("weekend",) if muted else ())])
    assert changes.changed_episodes == (replace(known_episode(world), **{field: WORDS[field]}),)


def known_episode(world):
    return only(world.episodes.values())


def test_unchanged_words_are_not_written_again():
    world = told_of_disk()
    world.now = at("10:05")
    moved = replace(DISK, alert=replace(DISK.alert, starts_at=at("09:59")))
    assert not world.post([moved]).changed_episodes


def test_a_new_episode_has_all_the_words_of_its_alert():
    alert = replace(DISK.alert, **WORDS)
    episode = only(World(at("10:00")).post([replace(DISK, alert=alert)]).new_episodes)
    assert {field: getattr(episode, field) for field in WORDS} == WORDS


CLOCKS = {
    "the sender's times": ("09:58", "09:59", "09:58", "09:59"),
    "a sender whose clock is ahead": ("10:20", "10:25", "10:00", "10:05"),
    "a sender that gives no times": (None, None, "10:00", "10:05"),
}


@pytest.mark.parametrize(
    ("since", "ended", "starts_at", "ends_at"), CLOCKS.values(), ids=CLOCKS.keys()
)
def test_an_episode_never_lies_in_the_future(since, ended, starts_at, ends_at):
    world = World(at("10:00"))
    world.post([fires("disk", since=since)])
    world.now = at("10:05")
    episode = only(world.post([resolves("disk", ended=ended)]).changed_episodes)
    assert (episode.starts_at, episode.ends_at) == (at(starts_at), at(ends_at))


def test_resolved_again_moves_the_end_only_forward():
    world = told_of_disk()
    world.now = at("10:10")
    world.post([resolves("disk", ended="10:05")])
    assert not world.post([resolves("disk", ended="10:05")]).changed_episodes
    assert not world.post([resolves("disk", ended="10:04")]).changed_episodes
    later = only(world.post([resolves("disk", ended="10:06")]).changed_episodes)
    assert later == replace(known_episode(world), ends_at=at("10:06"))


def test_an_open_page_is_found_even_where_a_closed_one_is_younger():
    """Two replicas whose clocks disagree can open pages out of order."""
    key = {"cluster": "a"}
    opened = Page(
        id="open",
        receiver="sre-phone",
        group_labels=key,
        opened_at=at("09:50"),
        confirmed_at=at("09:50"),
    )
    closed = replace(opened, id="closed", opened_at=at("09:55"), closed_at=at("09:52"))
    for pages in ((opened, closed), (closed, opened)):
        known = Known(pages={page.id: page for page in pages})
        changes = decide([DISK], known, truncated=False, now=at("10:00"), new_id=lambda: "c")
        assert only(changes.new_episodes).page_id == "open"


def test_an_alert_without_an_end_that_does_not_fire_is_never_late_news():
    """The store writes no such row; should one be found, the alert is told."""
    world = told_of_disk()
    world.now = at("10:01")
    world.post([resolves("disk", ended="10:01")])
    world.episodes[1] = replace(known_episode(world), ends_at=None)
    assert only(world.post([DISK]).verdicts).reason is Reason.NEW_ALERTS
    world.episodes = {1: replace(world.episodes[1], ends_at=None)}
    assert only(world.post([resolves("disk", ended="10:00")]).changed_episodes).ends_at == at(
        "10:00"
    )


# --- what is said --------------------------------------------------------------------------------


def verdict_of(*items, world, when="10:00", **how):
    world.now = at(when)
    verdict = world.post(items, **how).verdicts[-1]
    return verdict.reason, verdict.page_id, verdict.detail


def test_each_verdict_says_why_and_names_the_page():
    world = World(at("10:00"))
    due = "call due at 2026-11-24T"
    night = [
        ("10:00", DISK, Reason.FIRST, "1.0", f"{due}10:00:00+00:00"),
        ("10:01", DISK, Reason.DUPLICATE, "1.0", "known to fire, and not yet due again"),
        ("10:02", fires("cpu", group="a"), Reason.NEW_ALERTS, "1.0", f"{due}10:00:00+00:00"),
        ("10:03", replace(DISK, muted_by=("weekend", "night")), Reason.MUTED, "1.0", "by time interval weekend, night"),
        ("10:04", fires("ram", muted=True), Reason.MUTED, None, "by time interval weekend"),
        ("10:05", resolves("disk", ended="09:57"), Reason.STALE, "1.0", "ended at 2026-11-24 09:57:00+00:00, before this episode began"),
        ("10:06", resolves("disk", ended="10:06"), Reason.RESOLVED, "1.0", ""),
        ("10:07", resolves("disk", ended="10:06"), Reason.DUPLICATE, "1.0", "had resolved before"),
        ("10:08", DISK, Reason.STALE, "1.0", "its episode ended at 2026-11-24 10:06:00+00:00"),
        ("10:09", resolves("net", ended="10:00"), Reason.RESOLVED, None, "was not known to fire"),
        ("10:10", resolves("net", ended="10:00"), Reason.DUPLICATE, None, "had resolved before"),
        ("10:11", fires("net", since="09:00"), Reason.STALE, None, "its episode ended at 2026-11-24 10:00:00+00:00"),
        ("10:12", fires("x", to=NOBODY), Reason.NO_RECEIVER, None, "the receiver calls no one"),
    ]  # fmt: skip
    for when, item, *expected in night:
        assert verdict_of(item, world=world, when=when) == tuple(expected)
        verdict_alert = world.post([item]).verdicts[0]
        assert (verdict_alert.alert, verdict_alert.receiver) == (item.alert, "sre-phone")


def test_a_repeat_and_an_acknowledgement_say_when():
    world = told_of_disk()
    assert verdict_of(DISK, world=world, when="13:57") == (
        Reason.REPEAT,
        "1.0",
        "call due at 2026-11-24T14:00:00+00:00",
    )
    world = told_of_disk()
    world.now = at("10:03")
    somebody_acknowledges(world)
    assert verdict_of(DISK, world=world, when="15:00") == (
        Reason.ACKNOWLEDGED,
        "1.0",
        "acknowledged at 2026-11-24T10:03:00+00:00",
    )


def test_of_several_calls_the_first_to_be_made_is_said():
    world = told_of_disk()
    both = replace(fires("cpu", group="a"), receiver=BOTH)
    assert verdict_of(both, world=world, when="10:01")[2] == "call due at 2026-11-24T10:01:00+00:00"


def test_two_routes_to_one_receiver_the_first_counts_where_neither_outweighs_the_other():
    first, second = fires("disk", summary="first"), fires("disk", summary="second")
    assert only(World(at("10:00")).post([first, second]).verdicts).alert == first.alert


def test_the_order_of_labels_makes_no_other_group():
    assert page_key("r", {"a": "1", "b": "2"}) == page_key("r", {"b": "2", "a": "1"})
    assert page_key("r", {"a": "1"}) != page_key("s", {"a": "1"})
    assert page_key("r", {"a": "1"}) != page_key("r", {"a": "2"})


# --- limits --------------------------------------------------------------------------------------

LIMITS = PersonLimits(min_interval=MINUTE, per_hour=3, per_day=5)

WAITS = {
    "never rung": ([], None),
    "rung just now": (["10:00"], "10:01"),
    "rung within min_interval": (["09:59:01"], "10:00:01"),
    "rung min_interval ago to the second": (["09:59"], None),
    "per_hour not reached": (["09:10", "09:20"], None),
    "per_hour reached": (["09:00:01", "09:20", "09:30"], "10:00:01"),
    "per_hour reached an hour ago to the second": (["09:00", "09:20", "09:30"], None),
    "only the last per_hour calls count": (["08:00", "09:10", "09:20", "09:30"], "10:10"),
    "per_day reached": (["01:00", "02:00", "03:00", "04:00", "05:00"], "25:00"),
    "per_day reached a day ago to the second": (["-14:00", "02:00", "03:00", "04:00", "05:00"], None),
    "only the last per_day calls count": (["00:00", "01:00", "02:00", "03:00", "04:00", "05:00"], "25:00"),
    "of several limits the longest wait counts": (["09:10", "09:20", "09:59:30"], "10:10"),
    "of several limits the longest wait counts, whichever it is": (["09:00:10", "09:20", "09:59:30"], "10:00:30"),
}  # fmt: skip


@pytest.mark.parametrize(("dialled", "until"), WAITS.values(), ids=WAITS.keys())
def test_a_phone_may_ring_again(dialled, until):
    dialled = [at(text) for text in dialled]
    assert limited_until(dialled, LIMITS, at("10:00")) == (None if until is None else at(until))


def test_a_limit_longer_than_the_call_was_ever_made_does_not_hold_it():
    limits = PersonLimits(min_interval=timedelta(0), per_hour=1, per_day=1)
    assert limited_until([], limits, at("10:00")) is None
    assert (
        limited_until([at("10:00")], PersonLimits(min_interval=timedelta(0)), at("10:00")) is None
    )


INSTANTS = st.integers(0, 3 * 24 * 60).map(lambda minutes: at("00:00") + minutes * MINUTE)
SOME_LIMITS = st.builds(
    PersonLimits,
    min_interval=st.integers(0, 120).map(lambda minutes: minutes * MINUTE),
    per_hour=st.integers(1, 5),
    per_day=st.integers(1, 8),
)


@given(st.lists(INSTANTS, max_size=30).map(sorted), SOME_LIMITS)
def test_whoever_obeys_never_rings_more_often_than_allowed(wanted, limits):
    """Calls that wait as long as they are told to keep every limit, and all are made."""
    rung = []
    for instant in wanted:
        now = max([instant, *rung[-1:]])
        while (until := limited_until(rung, limits, now)) is not None:
            assert until > now
            now = until
        rung.append(now)
    assert len(rung) == len(wanted)
    for earlier, later in zip(rung, rung[1:], strict=False):
        assert later - earlier >= limits.min_interval
    for window, most in ((HOUR, limits.per_hour), (24 * HOUR, limits.per_day)):
        for start in rung:
            assert len([t for t in rung if start <= t < start + window]) <= most
