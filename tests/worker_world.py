"""A worker with a real store, a vendor that answers as it is told, and a clock that a test moves.

Webhooks come in through the real intake. Only what lies behind the I/O seam is scripted.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from store_world import opened

from adapter.config.load import load
from adapter.config.policy import Policy
from adapter.delivery.outcomes import Answer, Failure
from adapter.delivery.records import CallRecord, Records
from adapter.intake import Intake, Taken
from adapter.metrics import Metrics
from adapter.model import Call, CallState, PhoneNumber, Source
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.uvms.wire import RecordQuery, SendRequest
from adapter.worker.worker import Worker

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
PHONES = {
    "alice": "+8613512345678",
    "bob": "+8613512345679",
    "carol": "+8613512345670",
    "dave": "+8613512345671",
}
NAMES = {number: name for name, number in PHONES.items()}

TAKEN = Answer(http_status=200, ret_code=0, session_no="s", req_uuid="r")
NO_CONNECTION = Answer(failure=Failure.CONNECT)
NO_ANSWER = Answer(failure=Failure.TIMEOUT)
NOT_THERE = Records(answer=Answer(http_status=200, ret_code=0), complete=True)


def ret_code(code: int) -> Answer:
    """Return a readable answer with this RetCode."""
    return Answer(http_status=200, ret_code=code, message="said the vendor")


def routes(*receivers: Mapping[str, Any], **sections: Any) -> Policy:
    """Load a routes.yaml with these receivers, of which the first is the root route's."""
    chosen = receivers or (receiver("phone", "alice"),)
    people = {person: {"phone": number} for person, number in PHONES.items()}
    template = {"id": "UVVT1", "text": "{1}，共{2}条。", "params": _PARAMS}
    file = {
        "people": people,
        "voice_templates": {"outage": template, "over": template | {"id": "UVVT2"}},
        "receivers": list(chosen),
        "route": {"receiver": chosen[0]["name"]},
    }
    return load(yaml.safe_dump(file | sections, allow_unicode=True))


_PARAMS = ["{{ alert.labels.alertname | default('test') }}", "{{ alerts | length }}"]


def receiver(name: str, *people: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "voice_template": "outage", "call": list(people)} | more


def limits(**per_person: Any) -> dict[str, Any]:
    """Return limits that hold nobody back, but for those given."""
    none: dict[str, Any] = {"min_interval": "0s", "per_hour": 1000, "per_day": 1000}
    return {"per_person": none | per_person, "requests_per_second": 1000}


class Vendor:
    """Behind the I/O seam: answers what the test said, and remembers what it was asked."""

    def __init__(self) -> None:
        self.sent: list[SendRequest] = []
        self.asked: list[RecordQuery] = []
        self.answers: dict[str, deque[Answer | Exception]] = {}  # by person; else `answer`
        self.answer: Answer | Exception = TAKEN
        self.records: Records | Exception = NOT_THERE
        self.gate = asyncio.Event()  # while it is clear, requests to place a call hang
        self.record_gate = asyncio.Event()  # the same of look-ups
        self.under_way = self.most_under_way = self.looking = self.most_looking = 0
        self.gate.set()
        self.record_gate.set()

    @property
    def rang(self) -> list[str]:
        """Return whom the requests were for, in order."""
        return [NAMES[request.called.e164] for request in self.sent]

    def will(self, person: str, *answers: Answer | Exception) -> None:
        """Answer the next requests for this person so."""
        self.answers.setdefault(person, deque()).extend(answers)

    async def send(self, request: SendRequest) -> Answer:
        self.sent.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        own = self.answers.get(NAMES[request.called.e164])
        answer = own.popleft() if own else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def find(self, query: RecordQuery) -> Records:
        self.asked.append(query)
        self.looking += 1
        self.most_looking = max(self.most_looking, self.looking)
        try:
            await self.record_gate.wait()
        finally:
            self.looking -= 1
        if isinstance(self.records, Exception):
            raise self.records
        return self.records

    def has_record_of(self, person: str, placed_at: datetime) -> None:
        record = CallRecord(task_no="t1", phone=PhoneNumber(PHONES[person]), placed_at=placed_at)
        self.records = Records(answer=TAKEN, records=(record,), complete=True)


class World:
    """A running worker and all around it; `now` is moved by the test."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self.store, self.policy, self.now = store, policy, NOW
        self.vendor = Vendor()
        self.metrics = Metrics(ret_codes=(0, 153, 171), repairs=())
        self._ids, self._looks = count(1), 0
        self.worker = Worker(
            store,
            self.vendor,
            lambda: self.policy,
            self.metrics,
            self._clock,
            self.new_id,
            lambda: 0.5,
        )
        self.intake = Intake(
            store,
            lambda: self.policy,
            self.metrics,
            lambda: self.now,
            self.new_id,
            self.worker.wake,
        )

    def new_id(self) -> str:
        return f"{next(self._ids):032d}"

    # --- acts ---

    async def post(self, *alerts: Mapping[str, Any]) -> Taken:
        """Take in a webhook of Alertmanager's."""
        body: dict[str, Any] = {
            "version": "4",
            "status": "firing",
            "receiver": "x",
            "alerts": list(alerts),
        }
        body |= {"groupKey": "{}", "groupLabels": {}, "commonLabels": {}, "externalURL": ""}
        return await self.intake.take(Source.ALERTMANAGER, json.dumps(body).encode())

    def firing(self, name: str, **labels: str) -> dict[str, Any]:
        return {
            "status": "firing",
            "labels": {"alertname": name} | labels,
            "startsAt": self.now.isoformat(),
        }

    def resolved(self, name: str, **labels: str) -> dict[str, Any]:
        more = {"status": "resolved", "endsAt": self.now.isoformat()}
        return self.firing(name, **labels) | {"startsAt": NOW.isoformat()} | more

    async def passes(self, time: timedelta) -> None:
        """Move the clock, and let the worker see what that changes."""
        self.now += time
        await self.rest()

    async def lease_ends(self, lease: timedelta) -> None:
        """Let a dead process's lease end; where a start owns the store alone, none counts."""
        if not self.store.alone:
            before = self.states()
            await self.rest()
            assert self.states() == before, "the other process may still live"
            await self.passes(lease)

    async def rest(self) -> None:
        """Return when the worker has looked twice more: what it did not do by then, it will not."""
        enough = self._looks + 16  # it asks the clock at most six times a round

        def looked() -> bool:
            self.worker.wake()
            return self._looks >= enough

        await until(looked, "the worker looks for calls")

    def _clock(self) -> datetime:
        self._looks += 1
        return self.now

    # --- looks ---

    def read(self, job: Callable[[Session], Any]) -> Any:
        return self.store.read_now(job)

    def calls(self, *states: CallState) -> list[Call]:
        found: list[Call] = self.read(lambda s: s.find_calls(states=states, limit=100_000))
        return found

    def states(self) -> Counter[str]:
        return Counter(call.state.value for call in self.calls())

    def metric(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"uvms_adapter_{name}", labels)
        assert value is not None, f"there is no series {name} {labels}"
        return value


@asynccontextmanager
async def working(directory: Path, policy: Policy | None = None) -> AsyncIterator[World]:
    """Run a worker on the directory's store, and stop it in order."""
    with opened(directory) as store:
        world = World(store, policy or routes())
        async with running(world):
            yield world


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    """Run the world's worker, and stop it in order."""
    task = asyncio.create_task(world.worker.run())
    try:
        yield
    finally:
        world.vendor.gate.set()
        world.vendor.record_gate.set()
        world.worker.stop()
        async with asyncio.timeout(20):
            await task


async def until(condition: Callable[[], bool], what: str = "it happens") -> None:
    """Wait for it, for at most twenty seconds."""
    loop = asyncio.get_running_loop()
    patience = loop.time() + 20
    while not condition():
        assert loop.time() < patience, f"in vain: {what}"
        await asyncio.sleep(0.01)
