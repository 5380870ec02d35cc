"""`drill`: everyone of a schedule is rung on a plan, and who answered is told."""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from databases import url_in
from msgspec.structs import replace
from replay_world import PHONES, receiver, text
from store_world import begun

from adapter.cli.drill import _withdrawn_untouched
from adapter.cli.main import run
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.delivery.receipts import Reported
from adapter.model import (
    CallState,
    Person,
    PhoneNumber,
    Reason,
    Receipt,
    Result,
    StoredOverride,
)
from adapter.receipts import record_reports
from adapter.rendering.render import render
from adapter.rendering.templates import compile_template
from adapter.rendering.views import RenderContext
from adapter.store.session import Session
from adapter.store.store import Store, open_store
from adapter.worker.claiming import claim

ROTATION = {"people": ["alice", "bob"], "start": "2026-11-02T10:00", "every": "1w"}
SHADOW = receiver("shadow", {"call": ["alice"]}, mode="shadow")
NOBODY = {"name": "nobody"}
UNLIMITED = {"per_person": {"min_interval": "0s"}}


@pytest.fixture(autouse=True)
def here(database, tmp_path, monkeypatch):
    """A routes.yaml with a schedule, an empty store, 100 columns, UTC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("UVMS_DATABASE_URL", url_in(tmp_path))
    sre = receiver("sre", {"call": ["primary"]})
    Path("routes.yaml").write_text(
        text(sre, SHADOW, NOBODY, schedules=schedules(), limits=UNLIMITED)
    )
    with stored():
        pass


def schedules() -> Mapping[str, Any]:
    later = {"people": ["carol"], "start": "2026-01-01T00:00", "end": "2026-01-02T00:00"}
    return {
        "primary": {"time_zone": "UTC", "rotations": [ROTATION]},
        "once": {"time_zone": "UTC", "rotations": [later]},
    }


@contextmanager
def stored() -> Iterator[Store]:
    """The service's store, as the service opens it."""
    store = open_store(url_in(Path.cwd()), exclusive=True)
    try:
        yield store
    finally:
        store.close()


class Service:
    """Claims what is due, has the vendor take it, and hears how each person's call went."""

    def __init__(self, **results: tuple[Result, int] | None) -> None:
        self._results = results  # None: nothing is heard
        self.dialled: list[str] = []  # people whose call is in the store as dialled
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Service:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        store = open_store(url_in(Path.cwd()))
        try:
            while not self._stopped.wait(0.01):
                self.dialled += store.write_now(self._round)
        finally:
            store.close()

    def _round(self, session: Session) -> list[str]:
        policy, now = load_file("routes.yaml"), utc_now()
        claimed = claim(session, policy, 9, utc_now, lambda: uuid.uuid4().hex).ready
        for ready in claimed:
            session.finish_attempt(replace(ready.attempt, finished_at=now, outcome="accepted"))
            session.settle(
                ready.attempt.id, CallState.ACCEPTED, now=now, due_at=None, note="RetCode 0"
            )
            heard = self._results.get(ready.call.person)
            if heard is not None:
                receipt = Receipt(result=heard[0], received_at=now, talk_seconds=heard[1])
                record_reports(session, policy, [_reported(ready.attempt.id, receipt)], now)
        return [ready.call.person for ready in claimed]


def _reported(attempt_id: str, receipt: Receipt) -> Reported:
    return Reported(user_id=attempt_id, session_no="", phone=PhoneNumber(""), receipt=receipt)


def drill(*args: str) -> int:
    return run(["drill", *args])


def output(capsys, *args: str) -> str:
    assert drill(*args) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def error(capsys, *args: str) -> str:
    assert drill(*args) == 1
    return capsys.readouterr().err.rstrip("\n").rpartition("error: ")[2]


START = ("primary", "--receiver", "sre")
NOW = (*START, "--every", "0s", "--yes")


# --- the plan ----------------------------------------------------------------------------------


def test_the_plan_is_shown_and_put_into_the_store(capsys):
    at = (utc_now() + timedelta(hours=1)).isoformat(timespec="seconds")
    out = output(capsys, *START, "--at", at, "--every", "5m", "--yes")
    rows = [row.split() for row in out.splitlines()]
    assert rows[0] == ["AT", "PERSON", "PHONE", "RECEIVER"]
    assert [row[3:] for row in rows[1:3]] == [
        ["alice", "+86135****5678", "sre"],
        ["bob", "+86135****5679", "sre"],
    ]
    assert out.splitlines()[-1].startswith("drill ")
    with stored() as store:
        [drill_id] = store.read_now(lambda s: s.find_drills(limit=9))
        calls = store.read_now(lambda s: s.calls_of_drill(drill_id))
    assert [call.person for call in calls] == ["alice", "bob"]
    assert calls[1].due_at - calls[0].due_at == timedelta(minutes=5)
    assert calls[0].due_at.isoformat() == at
    assert out.splitlines()[-1] == f"drill {drill_id}"


def test_nobody_is_rung_before_somebody_says_yes(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert drill(*START) == 130
    with stored() as store:
        assert store.read_now(lambda s: s.find_drills(limit=9)) == []
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert drill(*START) == 0
    assert "Ring 2 phones?" in capsys.readouterr().out


def test_some_people_of_a_schedule(capsys):
    found = json.loads(output(capsys, *NOW, "--people", "bob", "--json"))
    assert [call["person"] for call in found["calls"]] == ["bob"]
    assert PHONES["bob"][3:] not in json.dumps(found)


def test_who_stands_in_belongs_to_the_schedule(capsys):
    now = utc_now()
    standing_in = StoredOverride(
        id="o1",
        schedule="primary",
        person="carol",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        created_at=now,
        created_by="bob",
    )
    with stored() as store:
        store.write_now(lambda session: session.add_override(standing_in))
    found = json.loads(output(capsys, *NOW, "--json"))
    assert [call["person"] for call in found["calls"]] == ["alice", "bob", "carol"]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("zz", "--receiver", "sre"), "there is no schedule 'zz'; there is: once, primary"),
        (("primary",), "Missing option '--receiver', try --help"),
        (
            ("primary", "--receiver", "nobody"),
            "no receiver 'nobody' has a voice template; there is: shadow, sre",
        ),
        (
            ("primary", "--receiver", "shadow"),
            "receiver 'shadow' is in shadow mode: nobody would be rung",
        ),
        (
            (*START, "--people", "carol"),
            "'carol' is not in schedule 'primary'; there is: alice, bob",
        ),
        ((*START, "--people", ","), "schedule 'primary' names nobody, so there is nobody to ring"),
        (
            (*START, "--at", "2026-01-01T00:00:00Z"),
            "Invalid value for --at: 2026-01-01 00:00:00 UTC is over, try --help",
        ),
    ],
)
def test_a_drill_that_cannot_be(capsys, args, why):
    assert error(capsys, *args, "--yes") == why


# --- what became of it -------------------------------------------------------------------------


def test_everybody_answers(capsys):
    with Service(alice=(Result.ANSWERED, 12), bob=(Result.ANSWERED, 30)):
        out = output(capsys, *NOW, "--watch")
    assert "alice: answered" in out
    assert "reached  2 of 2" in out
    rows = [row.split() for row in out.splitlines() if row.startswith(("alice ", "bob "))]
    assert [(row[0], row[1], row[2], row[-2:]) for row in rows] == [
        ("alice", "accepted", "answered", ["12", "s"]),
        ("bob", "accepted", "answered", ["30", "s"]),
    ]
    assert output(capsys, "report").startswith("drill    ")


def test_somebody_is_not_reached(capsys):
    with Service(alice=(Result.ANSWERED, 1), bob=(Result.UNANSWERED, 0)):
        told = error(capsys, *NOW, "--watch")
    assert told == "not reached: alice (hung_up), bob (unanswered)"
    assert error(capsys, "report") == told


def test_nothing_is_heard_of_a_call(capsys, monkeypatch):
    service = Service(alice=(Result.ANSWERED, 9), bob=None)

    def time_is_over_once_both_are_dialled() -> datetime:
        return utc_now() + (timedelta(hours=2) if len(service.dialled) == 2 else timedelta(0))

    monkeypatch.setattr("adapter.cli.drill.utc_now", time_is_over_once_both_are_dialled)
    with service:
        assert drill(*NOW, "--watch", "--timeout", "1h", "--json") == 1
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert [call["result"] for call in found["calls"]] == ["answered", "submitted"]
    assert (found["reached"], found["under_way"]) == (1, 1)
    assert found["calls"][0]["talk_seconds"] == 9
    assert "not reached: bob (submitted), and the drill is still under way" in told.err


def test_a_drill_that_no_service_takes_up_is_withdrawn(capsys):
    told = error(capsys, *NOW, "--watch", "--timeout", "1ms")
    assert told == (
        "no service took the drill up within 0.001 s, so it was withdrawn: is one running on this "
        "database? Start it with uvms-adapter serve"
    )
    assert error(capsys, "report") == "not reached: alice (cancelled), bob (cancelled)"


def test_a_drill_that_a_service_has_just_begun_with_goes_on(capsys):
    """Between our look and our withdrawal."""
    at = (utc_now() + timedelta(hours=1)).isoformat()
    drill_id = output(capsys, *START, "--at", at, "--yes").split()[-1]
    with stored() as store:
        [first, _] = store.read_now(lambda s: s.calls_of_drill(drill_id))
        store.write_now(lambda s: begun(s, first))
        assert not _withdrawn_untouched(store, drill_id)
        calls = store.read_now(lambda s: s.calls_of_drill(drill_id))
    assert [call.state for call in calls] == [CallState.SENDING, CallState.WAITING]


def test_a_drill_is_cancelled(capsys):
    at = (utc_now() + timedelta(hours=1)).isoformat()
    drill_id = output(capsys, *START, "--at", at, "--yes").split()[-1]
    assert output(capsys, "cancel", drill_id[:8]) == "withdrew 2 of 2 calls\n"
    assert error(capsys, "report", drill_id) == "not reached: alice (cancelled), bob (cancelled)"
    found = json.loads(output(capsys, "cancel", drill_id, "--json"))
    assert {call["note"] for call in found["calls"]} == {"the drill was cancelled"}


def test_what_was_dialled_is_not_withdrawn(capsys):
    with Service(alice=(Result.ANSWERED, 9)):
        output(capsys, *NOW, "--people", "alice", "--watch")
    with stored() as store:
        [drill_id] = store.read_now(lambda s: s.find_drills(limit=9))
    assert output(capsys, "cancel", drill_id) == "withdrew 0 of 1 calls\n"
    assert "answered" in output(capsys, "report", drill_id)


def test_the_latest_drill_is_reported(capsys):
    for people in ("alice", "bob"):
        output(capsys, *NOW, "--people", people)
    told = error(capsys, "report")
    assert told == "not reached: bob (waiting), and the drill is still under way"


def test_no_such_drill(capsys):
    assert error(capsys, "report") == "there is no drill yet"
    assert error(capsys, "cancel", "zz") == "there is no drill 'zz'"
    for _ in range(17):  # two of them begin with the same character
        output(capsys, *NOW)
    with stored() as store:
        ids = store.read_now(lambda s: s.find_drills(limit=20))
    twice = next(each[0] for each in ids if sum(id_[0] == each[0] for id_ in ids) > 1)
    wanted = f"more than one drill begins with {twice!r}: give more of its id"
    assert error(capsys, "report", twice) == wanted


def test_help_and_the_long_form(capsys):
    assert "report" in output(capsys, "--help")
    assert output(capsys, "start", *NOW).splitlines()[-1].startswith("drill ")


def test_a_drill_s_words_need_no_alert():
    """As those of a test call: what says nothing without an alert says what the call is for."""
    template = compile_template(
        name="t", template_id="UVVT1", text="{1}，请处理。", params=["{{ alert.labels.alertname }}"]
    )
    context = RenderContext(
        alerts=(),
        page=None,
        receiver="sre",
        person=Person(name="alice", phone=PhoneNumber(PHONES["alice"])),
        reason=Reason.DRILL,
        now=utc_now(),
    )
    said = render(template, context).words
    assert said == render(template, replace(context, reason=Reason.TEST)).words == "测试，请处理。"
