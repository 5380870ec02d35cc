"""Who waits how long when people are on many pages at once: a table, and what holds in each row.

The real decisions, store, claims and escalation, without a network: each call is placed at once and
nobody answers. The clock jumps to whatever is due next. `pytest -s tests/test_fairness.py` prints
the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml
from databases import url_in
from msgspec.structs import replace

from adapter.config.load import load
from adapter.config.policy import Policy
from adapter.intake import decide_and_record, route_alerts
from adapter.model import Alert, Call, CallState, Notification, Source, Status
from adapter.on_call import no_feeds
from adapter.store.session import Session
from adapter.store.store import open_store
from adapter.worker.claiming import Ready, claim
from adapter.worker.escalating import escalate
from adapter.worker.pace import Pace

pytestmark = pytest.mark.usefixtures("database")

BEGAN = datetime(2026, 11, 24, 3, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
LONG_ENOUGH = 3 * DAY  # after this, whoever still waits is starving

# A second between two requests: everybody's calls queue for the one line.
LIMITS = {
    "per_person": {"min_interval": "1m", "per_hour": 10, "per_day": 50},
    "requests_per_second": 1,
}
WINDOWS = ((1, MINUTE), (10, HOUR), (50, DAY))  # the same limits, for what rang
QUEUE = 3 * SECOND  # all others that the line may have to take first, at a call a second
UNLIMITED = {
    "per_person": {"min_interval": "0s", "per_hour": 1000, "per_day": 1000},
    "requests_per_second": 1,
}
PEOPLE = ("alice", "bob", "carol", "dave", "erin")


# --- the night ----------------------------------------------------------------------------------


Receivers = Mapping[str, Sequence[str]]


def routes(receivers: Receivers, limits: Mapping[str, Any]) -> Policy:
    """Each receiver gets the alerts of its team, and calls one person after the other."""
    template = {
        "id": "UVVT1",
        "text": "{1}告警，请处理。",
        "params": ["{{ alert.labels.alertname }}"],
    }
    file = {
        "people": {name: {"phone": f"+86135123456{i:02d}"} for i, name in enumerate(PEOPLE)},
        "voice_templates": {"outage": template},
        "receivers": [
            {
                "name": name,
                "voice_template": "outage",
                "escalation": [{"call": [person], "wait": "5m"} for person in people],
            }
            for name, people in receivers.items()
        ],
        "route": {
            "receiver": next(iter(receivers)),
            "group_by": ["cluster"],
            "routes": [{"receiver": name, "matchers": [f'team="{name}"']} for name in receivers],
        },
        "limits": limits,
    }
    return load(yaml.safe_dump(file))


class Night:
    """A store and a clock; what rang when is written down."""

    def __init__(
        self, directory: Path, receivers: Receivers, limits: Mapping[str, Any] = LIMITS
    ) -> None:
        self.policy = routes(receivers, limits)
        self.now = BEGAN
        self.rang: list[tuple[datetime, str]] = []
        self.found: Sequence[Call] = ()  # what the store had in the end
        self.overtaken: list[str] = []  # who had not been called, and waited behind who had
        self._ids = count()
        self._pace = Pace()
        self._store = open_store(url_in(directory), exclusive=True)

    def close(self) -> None:
        """Look at the calls that there were, and let go of the store."""
        self.found = self._store.read_now(lambda session: session.find_calls(limit=1_000))
        self._store.close()

    def fires(self, *alerts: tuple[str, str]) -> None:
        """One webhook with an alert for each (team, cluster)."""
        taken = tuple(
            Alert(
                fingerprint=f"{team}-{cluster}",
                status=Status.FIRING,
                labels={"alertname": "DiskFull", "team": team, "cluster": cluster},
                starts_at=self.now,
            )
            for team, cluster in alerts
        )
        told = Notification(source=Source.ALERTMANAGER, receiver="uvms", alerts=taken)
        routed = route_alerts(self.policy, taken, self.now)
        self._store.write_now(
            lambda session: decide_and_record(
                session, self.policy, told, routed, now=self.now, new_id=self._new_id
            )
        )

    def lives_until(self, end: datetime) -> None:
        """Make every call that is due by then, at the times at which they may be made."""
        while (due := self._next()) is not None and due <= end:
            self.now = max(self.now, due)
            self._store.write_now(self._escalate)
            self._call()
        self.now = max(self.now, end)

    def _next(self) -> datetime | None:
        due = self._store.read_now(Session.due).first
        if due is None:
            return None
        at, rate = self._at(), self.policy.requests_per_second
        if due <= self.now and self._pace.free(rate, at) < 1:
            return self.now + timedelta(seconds=self._pace.pause(rate, at))
        return due

    def _escalate(self, session: Session) -> None:
        escalate(session, self.policy, no_feeds, self.now, self._new_id)

    def _call(self) -> None:
        """Claim as the worker does, as far as the line is free."""
        free = self._pace.free(self.policy.requests_per_second, self._at())
        while free:
            ready, moved = self._store.write_now(partial(self._claim, slots=free))
            self._pace.take(len(ready), self._at())
            self.rang += [(self.now, each.call.person) for each in ready]
            free -= len(ready)
            if not moved:
                break

    def _claim(self, session: Session, slots: int) -> tuple[Sequence[Ready], bool]:
        waiting = {due.phone for due in session.due_phones(self.now)}
        claimed = claim(session, self.policy, slots, lambda: self.now, self._new_id)
        called = {ready.call.phone for ready in claimed.ready}
        heard = {self.policy.people[name].phone for _, name in self.rang}
        if called & heard:
            self.overtaken += sorted(map(str, waiting - called - heard))
        for ready in claimed.ready:
            session.settle(ready.attempt.id, CallState.ACCEPTED, now=self.now, due_at=None, note="")
            session.finish_attempt(_accepted(ready, self.now))
        return claimed.ready, claimed.moved

    def _at(self) -> float:
        return (self.now - BEGAN).total_seconds()

    def _new_id(self) -> str:
        return f"{next(self._ids):032d}"


def _accepted(ready: Ready, now: datetime) -> Any:
    return replace(ready.attempt, finished_at=now, outcome="accepted", ret_code=0)


# --- the rows -----------------------------------------------------------------------------------


def one_receiver(pages: int) -> tuple[Receivers, Sequence[tuple[str, str]]]:
    """So many pages of one receiver, whose calls can be made as one."""
    return {"storm": ["alice", "bob"]}, [("storm", f"cluster-{page}") for page in range(pages)]


def many_receivers(pages: int) -> tuple[Receivers, Sequence[tuple[str, str]]]:
    """A page of each of so many receivers: no two calls can be made as one."""
    names = [f"storm-{page}" for page in range(pages)]
    return {name: ["alice", "bob"] for name in names}, [(name, "any") for name in names]


BYSTANDERS = {"single": ["carol"], "late": ["dave"]}


def lived(directory: Path, receivers: Receivers, storm: Any) -> Night:
    """A storm for alice, then bob; carol is on one page, and ten minutes later dave on another."""
    night = Night(directory, {**receivers, **BYSTANDERS})
    try:
        night.fires(*storm, ("single", "any"))
        night.lives_until(BEGAN + 10 * MINUTE + SECOND / 2)
        night.fires(("late", "any"))
        night.lives_until(BEGAN + LONG_ENOUGH)
    finally:
        night.close()
    return night


@pytest.fixture(scope="module")
def table() -> Any:
    """Rows to be printed once all are there."""
    rows: list[tuple[Any, ...]] = []
    yield rows
    head = ("pages", "of", "person", "calls owed", "phone rang", "longest wait", "median wait")
    shown = [head, *(tuple(map(str, row)) for row in sorted(rows))]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    print()
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


@pytest.mark.parametrize("pages", [2, 5, 50])
@pytest.mark.parametrize("receivers", [one_receiver, many_receivers])
def test_everybody_is_called_in_time_however_many_pages_there_are(
    pages, receivers, tmp_path, table
):
    night = lived(tmp_path, *receivers(pages))
    add_rows(table, pages, receivers.__name__.replace("_", " "), night)
    waits = waits_of(night.found)
    assert {person: len(each) for person, each in waits.items()} == {
        "alice": pages,
        "bob": pages,
        "carol": 1,
        "dave": 1,
    }
    assert not night.overtaken
    assert waits["carol"] <= [SECOND]  # the one call that was before hers in the line
    assert waits["dave"] <= [SECOND]
    within_limits(night.rang)
    no_longer_than_limits_demand(night)


def waits_of(calls: Sequence[Call]) -> Mapping[str, list[timedelta]]:
    """Return how long each person's calls waited, from being owed to being dialled."""
    found = defaultdict(list)
    for call in calls:
        assert call.state is CallState.ACCEPTED, f"{call.person} was never called: {call.state}"
        found[call.person].append(call.dialled_at - call.created_at)
    return found


def add_rows(table: list[tuple[Any, ...]], pages: int, of: str, night: Night) -> None:
    for person, waits in waits_of(night.found).items():
        rang = sum(name == person for _, name in night.rang)
        longest, middle = (str(wait).split(".")[0] for wait in (max(waits), median(waits)))
        table.append((pages, of, person, len(waits), rang, longest, middle))


def times_of(rang: Sequence[tuple[datetime, str]]) -> Mapping[str, list[datetime]]:
    found = defaultdict(list)
    for at, person in rang:
        found[person].append(at)
    return found


def within_limits(rang: Sequence[tuple[datetime, str]]) -> None:
    """No phone rings more often than it may in any minute, hour or day."""
    for person, times in times_of(rang).items():
        for most, window in WINDOWS:
            for first, beyond in zip(times, times[most:], strict=False):
                assert beyond - first >= window, f"{person}: {most + 1} calls since {first}"


def no_longer_than_limits_demand(night: Night) -> None:
    """Whoever waits is called as soon as limits allow, but for the queue at the line."""
    for person, times in times_of(night.rang).items():
        for number, at in enumerate(times):
            owed = (each.created_at for each in night.found if each.person == person)
            still = [each.dialled_at for each in night.found if each.person == person]
            waiting = min(o for o, d in zip(owed, still, strict=True) if d >= at)
            ends = [times[number - most] + window for most, window in WINDOWS if number >= most]
            allowed = max([waiting, *ends])
            assert at - allowed <= QUEUE, f"{person}: call {number + 1} came {at - allowed} late"


# --- more rows, of one thing each ---------------------------------------------------------------


def test_calls_of_one_receiver_are_made_as_one_and_of_others_are_not(tmp_path):
    """The phone rings once for twenty pages, and twenty times for those of twenty receivers."""
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one = lived(tmp_path / "one", *one_receiver(20))
    many = lived(tmp_path / "many", *many_receivers(20))
    assert [sum(name == "alice" for _, name in night.rang) for night in (one, many)] == [1, 20]
    bundled = [sum(call.bundled_into is not None for call in night.found) for night in (one, many)]
    assert bundled == [38, 0]  # all but one of alice's, and all but one of bob's


@pytest.mark.parametrize("pages", [2, 5, 50])
def test_everybody_is_called_once_before_anybody_is_called_again(pages, tmp_path, table):
    """Alice on so many pages, then the others on as many: the line goes round, whoever was first.

    No limit holds anybody back, so that the order of the calls alone decides.
    """
    receivers = {f"{person}-{page}": [person] for person in PEOPLE for page in range(pages)}
    hers = [(name, "any") for name in receivers if name.startswith("alice")]
    others = [(name, "any") for name in receivers if not name.startswith("alice")]
    night = Night(tmp_path, receivers, UNLIMITED)
    night.fires(*hers)
    night.lives_until(BEGAN)
    night.fires(*others)
    night.lives_until(BEGAN + 10 * MINUTE)
    night.close()

    add_rows(table, pages, "receivers each", night)
    assert [at for at, _ in night.rang] == [BEGAN + n * SECOND for n in range(len(receivers))]
    rounds = [night.rang[n : n + len(PEOPLE)] for n in range(0, len(night.rang), len(PEOPLE))]
    for each in rounds:
        assert sorted(person for _, person in each) == sorted(PEOPLE)
    assert not night.overtaken
