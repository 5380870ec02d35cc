"""What the vendor can do to a call, and what becomes of it: nobody lost, nobody rung twice.

Lost: the phone did not ring for an alert that was accepted, when all was over. Doubled: how often
it rang too often. Both are zero but where a row says so, and there the reason is in the metrics.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from databases import ON_SQLITE
from service_harness import (
    PEOPLE,
    World,
    as_operator,
    firing,
    milliseconds,
    receiver,
    routes,
    service_of,
    short,
    story,
    until,
    world_without_service,
)

from adapter.delivery.policy import DeliveryPolicy
from adapter.model import Record
from adapter.simulator.faults import ANY, LOOK_UP, Fault, Kind
from adapter.simulator.server import listen, url_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]

BRIEF = "1500ms"  # how long an answer may take where a row makes it take longer
LONG = 30.0  # seconds: longer than any row waits


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


class Row(Record):
    """One kind of trouble, and all that follows from it for one call."""

    faults: tuple[Fault, ...]
    outcomes: Mapping[str, int]  # of the requests to place the call, in the adapter's words
    state: str = "accepted"  # the call's, when all is over
    lost: int = 0
    doubled: int = 0
    redials: str = ""  # "absent", "cannot_tell"; "": nothing unknown was dialled again
    delivery: DeliveryPolicy = short()
    read: str = "5s"


def once(kind: Kind, **more: Any) -> tuple[Fault, ...]:
    """A fault that strikes one request, and then all is well."""
    return (Fault(kind=kind, times=1, **more),)


def ever(kind: Kind, **more: Any) -> tuple[Fault, ...]:
    return (Fault(kind=kind, **more),)


def refused(ret_code: int, **more: Any) -> tuple[Fault, ...]:
    return once(Kind.REFUSE, ret_code=ret_code, **more)


RETRIED = {"retry": 1, "accepted": 1}
FOUND = {"unknown": 1}  # one request, and the records say that the phone rang
REDIALLED = {"unknown": 1, "accepted": 1}
THROTTLED = {"throttled": 1, "accepted": 1}
ACCOUNT_REFUSED = {"account_refused": 1, "accepted": 1}
WELL = {"accepted": 1}

NO_RECORDS = Fault(kind=Kind.HTTP_STATUS, status=500, action=LOOK_UP)
IMPATIENT = short(reconcile_for=milliseconds(30))
GIVES_UP = short(give_up_after=milliseconds(150))

HTTP_5XX = {
    f"HTTP {status}, {'placed' if place else 'not placed'}": Row(
        faults=once(Kind.HTTP_STATUS, status=status, place=place),
        outcomes=FOUND if place else REDIALLED,
        redials="" if place else "absent",
    )
    for status in (500, 502, 503, 504)
    for place in (True, False)
}
UNLISTED = 12345

ROWS: Mapping[str, Row] = {
    "no trouble": Row(faults=(), outcomes=WELL),
    # --- refused with a RetCode ---
    "130 gateway failing": Row(faults=refused(130), outcomes=RETRIED),
    "150 unavailable": Row(faults=refused(150), outcomes=RETRIED),
    "151 cache failing": Row(faults=refused(151), outcomes=RETRIED),
    "200 service unavailable": Row(faults=refused(200), outcomes=RETRIED),
    "150 for good": Row(
        faults=ever(Kind.REFUSE, ret_code=150),
        outcomes={},  # how many fit into give_up_after depends on the machine
        state="gave_up",
        lost=1,
        delivery=GIVES_UP,
    ),
    "110 timeout behind the gateway, placed": Row(faults=refused(110, place=True), outcomes=FOUND),
    "110 timeout behind the gateway, not placed": Row(
        faults=refused(110), outcomes=REDIALLED, redials="absent"
    ),
    "153 throttled": Row(faults=once(Kind.THROTTLE), outcomes=THROTTLED),
    "171 wrong signature": Row(faults=refused(171), outcomes=ACCOUNT_REFUSED),
    "174 token does not exist": Row(faults=refused(174), outcomes=ACCOUNT_REFUSED),
    "292 no such project": Row(faults=refused(292), outcomes=ACCOUNT_REFUSED),
    "299 no permission": Row(faults=refused(299), outcomes=ACCOUNT_REFUSED),
    "210 parameter missing": Row(
        faults=refused(210), outcomes={"refused": 1}, state="refused", lost=1
    ),
    "230 bad number": Row(faults=refused(230), outcomes={"refused": 1}, state="refused", lost=1),
    "a RetCode nobody has heard of": Row(
        faults=refused(UNLISTED), outcomes={"refused": 1}, state="refused", lost=1
    ),
    # --- HTTP ---
    **HTTP_5XX,
    "HTTP 500 for good, placed": Row(
        faults=ever(Kind.HTTP_STATUS, status=500, place=True), outcomes=FOUND
    ),
    "HTTP 503 for good, not placed": Row(
        faults=ever(Kind.HTTP_STATUS, status=503),
        outcomes={},
        state="gave_up",
        lost=1,
        delivery=GIVES_UP,
    ),
    "HTTP 429": Row(faults=once(Kind.HTTP_STATUS, status=429), outcomes=THROTTLED),
    "HTTP 403 of a firewall": Row(
        faults=once(Kind.HTTP_STATUS, status=403), outcomes=ACCOUNT_REFUSED
    ),
    "HTTP 408 of a proxy, placed": Row(
        faults=once(Kind.HTTP_STATUS, status=408, place=True), outcomes=FOUND
    ),
    # --- no answer ---
    "stalled beyond our time-out, placed": Row(
        faults=once(Kind.STALL, seconds=LONG, place=True), outcomes=FOUND, read=BRIEF
    ),
    "stalled beyond our time-out, not placed": Row(
        faults=once(Kind.STALL, seconds=LONG), outcomes=REDIALLED, redials="absent", read=BRIEF
    ),
    "stalled, but answered in time": Row(
        faults=once(Kind.STALL, seconds=0.1, place=True), outcomes=WELL
    ),
    "cut, placed": Row(faults=once(Kind.CUT, place=True), outcomes=FOUND),
    "cut, not placed": Row(faults=once(Kind.CUT), outcomes=REDIALLED, redials="absent"),
    "stalled, then cut": Row(
        faults=once(Kind.STALL, seconds=0.05), outcomes=REDIALLED, redials="absent"
    ),
    "a body that drips beyond our time-out": Row(
        faults=once(Kind.SLOW_BODY, seconds=LONG), outcomes=FOUND, read=BRIEF
    ),
    "a body that drips, but in time": Row(faults=once(Kind.SLOW_BODY, seconds=0.1), outcomes=WELL),
    # --- odd answers ---
    "RetCode 0 as a string": Row(faults=once(Kind.STRING_RET_CODE), outcomes=WELL),
    "RetCode 150 as a string": Row(
        faults=once(Kind.STRING_RET_CODE, ret_code=150), outcomes=RETRIED
    ),
    "RetCode 153 as a string": Row(
        faults=once(Kind.STRING_RET_CODE, ret_code=153), outcomes=THROTTLED
    ),
    "garbage, placed": Row(faults=once(Kind.GARBAGE, place=True), outcomes=FOUND),
    "garbage, not placed": Row(faults=once(Kind.GARBAGE), outcomes=REDIALLED, redials="absent"),
    "an empty body, placed": Row(faults=once(Kind.GARBAGE, body="", place=True), outcomes=FOUND),
    "an empty body, not placed": Row(
        faults=once(Kind.GARBAGE, body=""), outcomes=REDIALLED, redials="absent"
    ),
    "JSON without a RetCode": Row(
        faults=once(Kind.GARBAGE, body='{"Message": "hm"}', place=True), outcomes=FOUND
    ),
    "a list in place of an object": Row(
        faults=once(Kind.GARBAGE, body="[0]"), outcomes=REDIALLED, redials="absent"
    ),
    # Said to be placed and is not: only a receipt could tell.
    "a lie": Row(faults=once(Kind.LIE), outcomes=WELL, lost=1),
    # --- looking up ---
    "cut, placed, and the vendor has lost the record": Row(
        faults=(*once(Kind.CUT, place=True), *once(Kind.NO_RECORD)),
        outcomes=REDIALLED,
        redials="absent",
        doubled=1,
    ),
    "cut, placed, and the records lie": Row(
        faults=(*once(Kind.CUT, place=True), *ever(Kind.LIE, action=LOOK_UP)),
        outcomes=REDIALLED,
        redials="absent",
        doubled=1,
    ),
    "cut, placed, and the records cannot be asked": Row(
        faults=(*once(Kind.CUT, place=True), NO_RECORDS),
        outcomes=REDIALLED,
        redials="cannot_tell",
        doubled=1,
        delivery=IMPATIENT,
    ),
    "cut, not placed, and the records cannot be asked": Row(
        faults=(*once(Kind.CUT), NO_RECORDS),
        outcomes=REDIALLED,
        redials="cannot_tell",
        delivery=IMPATIENT,
    ),
    "cut, placed, and the first look-up fails": Row(
        faults=(*once(Kind.CUT, place=True), *once(Kind.CUT, action=LOOK_UP)), outcomes=FOUND
    ),
    "everything is cut for a while": Row(
        faults=(Fault(kind=Kind.CUT, action=ANY, times=2),), outcomes=REDIALLED, redials="absent"
    ),
}

_table: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def printed_table() -> Iterator[None]:
    """Show the table of what was seen; `-s` lets it through."""
    yield
    if _table:
        print("\nfault | requests | placed | lost | doubled | state")
        print("\n".join(sorted(_table)))


@pytest.mark.parametrize("name", ROWS)
async def test_fault(tmp_path: Path, name: str) -> None:
    row = ROWS[name]
    tree = routes(uvms={"timeouts": {"connect": "5s", "read": row.read}})
    async with story(tmp_path, tree, delivery=row.delivery) as world:
        world.arm(*row.faults)
        await world.post(firing())
        await world.until_states(**{row.state: 1})
        await world.post(firing())  # said again: no reason to ring again
        await world.quiet()

        requests, rang = len(world.sent), len(world.rang)
        lost, doubled = max(0, 1 - rang), max(0, rang - 1)
        _table.append(f"{name} | {requests} | {rang} | {lost} | {doubled} | {row.state}")
        assert (lost, doubled) == (row.lost, row.doubled)
        seen = await world.metrics()
        if row.outcomes:
            assert counted(seen, "call_attempts_total", "outcome") == row.outcomes
            assert requests == sum(row.outcomes.values())
            assert set(counted(seen, "redials_total", "reason")) == {row.redials} - {""}
        assert counted(seen, "calls_total", "outcome") == {row.state: 1}
        assert all(one.user_id for one in world.sent)
        assert len({one.user_id for one in world.sent}) == requests


def counted(seen: Mapping[str, float], name: str, label: str) -> dict[str, int]:
    """Return what is not zero of a metric with one label."""
    start = f"uvms_adapter_{name}{{{label}="
    return {
        sample.removeprefix(start).rstrip("}"): int(value)
        for sample, value in seen.items()
        if sample.startswith(start) and value
    }


# --- unknown outcomes --------------------------------------------------------------------------


async def test_a_record_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """Absent proves nothing before a record can have appeared."""
    patient = short(record_visible_after=timedelta(seconds=10))
    account = {"record_after": timedelta(milliseconds=300)}
    async with story(tmp_path, delivery=patient, account=account) as world:
        world.arm(*once(Kind.CUT, place=True))
        await world.post(firing())
        await world.until_states(accepted=1)
        assert (world.rang, len(world.sent)) == (["alice"], 1)
        assert len(world.looked_up) > 1


async def test_a_call_of_unknown_outcome_takes_no_other_calls_record_for_its_own(
    tmp_path: Path,
) -> None:
    """The same phone and template, a second ago: that record is the earlier call's."""
    tree = routes(route={"group_by": ["cluster"]}, limits={"per_person": {"min_interval": "1s"}})
    wide = short(record_before=timedelta(seconds=30))
    async with story(tmp_path, tree, delivery=wide) as world:
        await world.post(firing(cluster="sh"))
        await world.quiet()
        world.arm(*once(Kind.CUT))
        await world.post(firing(cluster="bj"))
        await world.until_states(accepted=2)
        assert [words and words[:2] for words in world.said] == ["sh", "bj"]


async def test_an_outcome_is_kept_and_found_by_any_of_its_ids(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        world.arm(*refused(230, message="Params [CalledNumber] not available"))
        await world.post(firing())
        await world.until_states(refused=1)
        [call] = await world.calls()
        [sent] = world.sent
        for told in (sent.user_id, sent.req_uuid):
            assert (await world.api(f"/calls/{told}"))["id"] == call["id"]
        [attempt] = (await world.api(f"/calls/{call['id']}"))["attempts_made"]
        assert attempt["ret_code"] == 230
        assert attempt["message"] == "Params [CalledNumber] not available"
        assert await world.metric("ret_codes_total", ret_code="230") == 1


# --- other people ------------------------------------------------------------------------------


async def test_one_dead_number_costs_nobody_else_a_call(tmp_path: Path) -> None:
    """Webhooks go on repeating; bob is tried again and again, alice is rung just once."""
    tree = routes(receiver("phone", "alice", "bob"), route={"group_interval": "10ms"})
    async with story(tmp_path, tree) as world:
        world.arm(Fault(kind=Kind.REFUSE, ret_code=230, number=PEOPLE["bob"]))
        for _ in range(5):
            await world.post(firing())
            await world.quiet()
        assert world.rang == ["alice"]
        assert [one.number for one in world.sent].count(PEOPLE["bob"]) > 1
        assert await world.metric("calls_total", outcome="accepted") == 1
        world.vendor.faults.clear()
        await until(lambda: _posts_and_finds(world, "bob"), "bob is reached")
        assert Counter(world.rang) == {"alice": 1, "bob": 1}


async def _posts_and_finds(world: World, person: str) -> bool:
    await world.post(firing())
    await world.quiet()
    return person in world.rang


async def test_a_stalled_call_to_one_person_holds_up_nobody_else(tmp_path: Path) -> None:
    tree = routes(receiver("phone", "alice", "bob", "carol"), uvms={"timeouts": {"read": "2s"}})
    async with story(tmp_path, tree) as world:
        world.arm(Fault(kind=Kind.STALL, seconds=LONG, number=PEOPLE["alice"], times=1))
        await world.post(firing())
        await world.until_states(accepted=3)
        assert Counter(world.rang) == {"alice": 1, "bob": 1, "carol": 1}
        assert world.rang[-1] == "alice"


# --- the whole account -------------------------------------------------------------------------


async def test_a_refused_account_keeps_the_calls_until_it_is_mended(tmp_path: Path) -> None:
    """No restart: a probe finds out. Patience is not used up while nobody could be called."""
    tree = routes(receiver("phone", "alice", "bob", "carol"))
    async with story(tmp_path, tree, delivery=GIVES_UP) as world:
        world.arm(*ever(Kind.REFUSE, ret_code=171))
        await world.post(firing())
        await until(lambda: len(world.sent) >= 6, "probes")
        assert set(await world.states()) <= {"waiting", "sending"}
        assert await world.metric("account_trouble", trouble="refused") == 1
        world.vendor.faults.clear()
        await world.until_states(accepted=3)
        assert Counter(world.rang) == {"alice": 1, "bob": 1, "carol": 1}
        assert await world.metric("account_trouble", trouble="refused") == 0


async def test_a_private_key_that_is_wrong_is_mended_in_its_file(tmp_path: Path) -> None:
    key = tmp_path / "private-key"
    key.write_text("a wrong one\n")
    environ = {"UVMS_PRIVATE_KEY": "", "UVMS_PRIVATE_KEY_FILE": str(key)}
    async with story(tmp_path, environ=environ) as world:
        await world.post(firing())
        await until(lambda: len(world.sent) >= 2, "probes")
        assert {one.ret_code for one in world.sent} == {171}
        assert world.rang == []
        key.write_text("private-key-of-this-story\n")
        await world.until_states(accepted=1)
        assert world.rang == ["alice"]


async def test_a_throttled_account_is_probed_one_request_at_a_time(tmp_path: Path) -> None:
    """Whoever is throttled, all of the account backs off; then everybody is called, once."""
    at_once = 4
    people = {f"person-{number}": f"+86136000000{number:02}" for number in range(12)}
    tree = routes(
        receiver("phone", *people.values()),
        limits={"concurrent_calls": at_once, "requests_per_second": 100},
    )
    pause = milliseconds(600)
    slow = short(throttle_initial=pause, throttle_cap=pause, give_up_after=milliseconds(100))
    async with story(tmp_path, tree, delivery=slow) as world:
        world.arm(*ever(Kind.THROTTLE))
        await world.post(firing())
        await until(lambda: len(world.sent) >= 7, "probes")
        times = [one.time for one in world.sent]
        # Those that were under way when the first answer came, and then one at a time.
        gaps = [after - before for before, after in pairwise(times[at_once - 1 :])]
        assert min(gaps) >= pause / 4, "a pause, though one was slow to arrive"
        assert await world.metric("account_trouble", trouble="throttled") == 1
        world.vendor.faults.clear()
        await world.until_states(accepted=12)
        assert set(Counter(world.rang).values()) == {1}
        assert len(world.rang) == 12
        assert await world.metric("account_trouble", trouble="throttled") == 0


# --- no vendor at all --------------------------------------------------------------------------


async def test_nobody_listens_at_the_endpoint_until_it_is_mended_by_a_reload(
    tmp_path: Path,
) -> None:
    with listen() as taken:
        dead = url_of(taken)
    async with story(tmp_path, routes(uvms={"endpoint": dead})) as world:
        await world.post(firing())
        await until(lambda: _attempted(world, 3), "three attempts")
        assert set(await world.states()) <= {"waiting", "sending"}
        world.write_routes(routes())
        assert (await world.reload()).status_code == 200
        await world.until_states(accepted=1)
        assert world.rang == ["alice"]


async def _attempted(world: World, count: int) -> bool:
    return await world.metric("call_attempts_total", outcome="retry") >= count


async def test_a_vendor_that_is_down_stops_no_webhook(tmp_path: Path) -> None:
    async with world_without_service(tmp_path) as world:
        world.arm(Fault(kind=Kind.STALL, seconds=LONG, action=ANY))
        async with service_of(world, stop_within=0.05):
            answers = await asyncio.gather(*(world.post(firing(f"Alert{n}")) for n in range(30)))
            assert {answer.status_code for answer in answers} == {200}
            assert (await world.client.get("/-/ready")).status_code == 200


@ON_SQLITE  # others may share PostgreSQL: a start waits for the lease there, see test_stories
async def test_a_process_that_stopped_in_the_middle_of_a_call_looks_it_up(tmp_path: Path) -> None:
    for place, requests in ((True, 1), (False, 2)):
        directory = tmp_path / f"placed-{place}"
        directory.mkdir()
        async with world_without_service(directory) as world:
            world.arm(Fault(kind=Kind.STALL, seconds=LONG, times=1, place=place))
            async with service_of(world, stop_within=0.05):
                await world.post(firing())
                await until(lambda world=world: len(world.sent) == 1, "the request is out")
            async with service_of(world):
                await world.until_states(accepted=1)
                assert (world.rang, len(world.sent)) == (["alice"], requests)


# --- after giving up ---------------------------------------------------------------------------


async def test_a_call_that_was_given_up_is_made_when_a_webhook_says_so(tmp_path: Path) -> None:
    tree = routes(route={"group_interval": "10ms"})
    async with story(tmp_path, tree, delivery=GIVES_UP) as world:
        world.arm(*ever(Kind.REFUSE, ret_code=150))
        await world.post(firing())
        await world.until_states(gave_up=1)
        assert await world.metric("calls_total", outcome="gave_up") == 1
        world.vendor.faults.clear()
        await until(lambda: _posts_and_finds(world, "alice"), "alice is reached")
        assert world.rang == ["alice"]


async def test_a_call_that_was_refused_is_made_when_somebody_asks_for_it(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        world.arm(*refused(UNLISTED))
        await world.post(firing())
        await world.until_states(refused=1)
        [call] = await world.calls()
        asked = await world.client.post(
            f"/api/v1/calls/{call['id']}/retry",
            headers=as_operator(),
        )
        assert asked.status_code == 200
        await world.until_states(accepted=1)
        assert world.rang == ["alice"]
