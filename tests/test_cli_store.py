"""`pages`, `calls`, `rejected` and `call` read and steer the store beside the service."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from cli_world import (
    BODY_WITH_NUMBERS,
    NUMBERS,
    ROUTES,
    STRANGER,
    alert,
    fill,
    reject,
    ring,
    take_in,
)
from databases import url_in
from night_world import HOUR, Night

from adapter.cli.main import run
from adapter.clock import utc_now
from adapter.model import CallState, Result
from adapter.store.store import open_store


@pytest.fixture(autouse=True)
def here(database, tmp_path, monkeypatch):
    """A database with a night in it, named by the environment; a routes.yaml; 80 columns; UTC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("UVMS_DATABASE_URL", url_in(tmp_path))
    Path("routes.yaml").write_text(ROUTES)
    with_store(fill)


def with_store(job):
    """Do something to the store as the service would, then stop."""
    store = open_store(url_in(Path.cwd()), exclusive=True)
    try:
        return job(store)
    finally:
        store.close()


def text(capsys, *args: str) -> str:
    assert run(args) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def rows(capsys, *args: str) -> list[list[str]]:
    """Return a table's rows as words, without the times."""
    return [line.split() for line in text(capsys, *args).splitlines()]


def from_json(capsys, *args: str):
    return json.loads(text(capsys, *args, "--json"))


def error(capsys, *args: str) -> str:
    assert run(args) == 1
    told = capsys.readouterr().err
    assert told.startswith("uvms-adapter: error: ")
    return told.removeprefix("uvms-adapter: error: ").rstrip("\n")


# --- pages -----------------------------------------------------------------------------------


def test_open_pages(capsys):
    heading, *found = rows(capsys, "pages", "list")
    assert heading == ["ID", "OPENED", "STATE", "FIRING", "RECEIVER", "GROUP"]
    assert sorted((row[0], *row[3:]) for row in found) == [
        ("am-1", "open", "1", "sre-phone", 'cluster="shanghai-1"'),
        ("db-1", "open", "1", "db-phone", "not", "grouped"),
    ]


def test_all_pages(capsys):
    states = {row[0]: row[3] for row in rows(capsys, "pages", "list", "--all")[1:]}
    assert states == {"am-1": "open", "db-1": "open", "old-1": "closed"}


def test_pages_as_json(capsys):
    found = from_json(capsys, "pages", "list", "--limit", "1")
    assert len(found["pages"]) == 1


def test_a_page(capsys):
    out = text(capsys, "pages", "show", "am")
    for part in (
        "page       am-1\n",
        "state      open\n",
        'group      cluster="shanghai-1"\n',
        'alert    alertname="DiskFull" cluster="shanghai-1"\n',
        "summary  DiskFull 96%\n",
    ):
        assert part in out
    assert {"am-2", "am-3"} < {line.split()[0] for line in out.splitlines() if line}
    assert from_json(capsys, "pages", "show", "am-1")["id"] == "am-1"


def test_a_page_with_very_many_alerts(capsys):
    many = [alert("Many", cluster="c", instance=str(number)) for number in range(101)]
    with_store(lambda store: take_in(store, *many, prefix="many"))
    assert "… and more alerts" in text(capsys, "pages", "show", "many")


def test_acknowledging(capsys):
    assert text(capsys, "pages", "acknowledge", "am-1").startswith("acknowledged am-1 at 20")
    assert from_json(capsys, "pages", "acknowledge", "am-1")["state"] == "acknowledged"
    assert error(capsys, "pages", "acknowledge", "old-1").startswith("page old-1 is closed since")
    assert error(capsys, "pages", "acknowledge", "zz") == "there is no page 'zz'"


# --- calls -----------------------------------------------------------------------------------


def test_calls(capsys):
    heading, *found = rows(capsys, "calls", "list")
    assert heading == ["ID", "CREATED", "STATE", "REASON", "PERSON", "NOTE"]
    by_id = {row[0]: row[3:6] for row in found if len(row) > 5 or row[0].startswith(("am", "db"))}
    assert by_id["am-2"] == ["accepted", "first", "alice"]
    assert by_id["am-3"] == ["refused", "first", "+86139****0000"]
    assert by_id["db-2"] == ["waiting", "first", "bob"]


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        (["bob"], ["db-2"]),
        (["230"], ["am-3"]),
        (["--state", "accepted", "--state", "waiting"], ["am-2", "db-2"]),
        (["--page", "am-1"], ["am-2", "am-3"]),
        (["nobody"], []),
    ],
)
def test_calls_narrowed(capsys, narrowed, expected):
    found = from_json(capsys, "calls", "list", *narrowed)["calls"]
    assert sorted(call["id"] for call in found) == expected


def test_a_call_explained(capsys):
    out = text(capsys, "calls", "explain", "req-am-3")
    for part in (
        "call      am-3\n",
        "person    +86139****0000\n",
        "state     refused\n",
        "note      RetCode 230: Params not available\n",
        "page      am-1\n",
        '  firing  alertname="DiskFull" cluster="shanghai-1"\n',
        "refused  RetCode 230 Params not available\n",
        "  ReqUuid   req-am-3\n",
        "  RetCode   230\n",
        "  {2}       磁盘满\n",
    ):
        assert part in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_call_that_waits_for_a_limit(capsys):
    def limit(store):
        waiting = store.read_now(lambda s: s.find_calls(text="db-2", limit=1))[0]
        later = utc_now().replace(year=2036)
        store.write_now(lambda s: s.limit(waiting.phone, utc_now().replace(year=2035), later))

    with_store(limit)
    out = text(capsys, "calls", "explain", "db-2")
    assert "limited   until 2036-" in out
    assert "due       2036-" in out
    assert "held back: its person's limit" in out


def test_what_was_reported_of_calls(capsys):
    def night(store):
        store = Night(store)
        store.now += HOUR  # alice was called just now
        store.post()
        store.hears("alice", Result.UNANSWERED)
        store.answers("carol")
        return store.calls("carol")[0].id

    call = with_store(night)
    listed = [row for row in rows(capsys, "calls", "list") if row[0].startswith("id-")]
    notes = {row[5]: row[6:] for row in listed}
    assert (notes["carol"], notes["alice"]) == (["answered"], ["unanswered"])
    out = text(capsys, "calls", "explain", call)
    assert "result    answered\n" in out
    assert "step      2 of run 1\n" in out
    assert "  receipt   answered for 23 s\n" in out


def test_where_the_escalation_of_a_page_stands(capsys):
    def night(store):
        store = Night(store)
        store.post()

    with_store(night)
    assert "step       1, until 2026-11-24 03:05:00 UTC\n" in text(capsys, "pages", "show", "id-1")


def test_retrying(capsys):
    assert text(capsys, "calls", "retry", "am-3") == "call am-3 to +86139****0000 is due now\n"
    assert from_json(capsys, "calls", "explain", "am-3")["state"] == "waiting"
    assert error(capsys, "calls", "retry", "am-3").startswith("call am-3 is waiting; only one that")
    assert error(capsys, "calls", "explain", "zz") == "there is no call 'zz'"


def test_retrying_as_json(capsys):
    assert from_json(capsys, "calls", "retry", "am-3")["state"] == "waiting"


# --- rejected ----------------------------------------------------------------------------------


def test_refused_bodies(capsys):
    heading, found = rows(capsys, "rejected", "list")
    assert heading == ["ID", "RECEIVED", "SOURCE", "BYTES", "ERROR"]
    assert (found[0], *found[3:]) == ("1", "grafana", str(len(BODY_WITH_NUMBERS)), "$.alerts:", "…")
    assert len(from_json(capsys, "rejected", "list")["rejected"]) == 1


def test_a_refused_body(capsys):
    out = text(capsys, "rejected", "show", "1")
    assert out.endswith('{"to": "+86135****5678", "or": "1351****679", "id": 1732300000000}\n')
    assert from_json(capsys, "rejected", "show", "1")["source"] == "grafana"
    assert error(capsys, "rejected", "show", "7") == "there is no refused body 7"


def test_a_refused_body_raw(capfdbinary):
    with_store(lambda store: reject(store, b"\xff\x1b[31m"))
    assert run(["rejected", "show", "2", "--raw"]) == 0
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == b"\xff\x1b[31m"


def test_a_long_refused_body_steers_no_terminal(capsys):
    with_store(lambda store: reject(store, b"\x1b[31m" + b"x" * 70_000))
    out = text(capsys, "rejected", "show", "2")
    assert "bytes     70005, the first 65536 kept" in out
    assert "\\x1b[31mxxx" in out
    assert "\x1b" not in out


# --- the store itself ----------------------------------------------------------------------------

READING = (
    ("pages", "list"),
    ("pages", "show", "am-1"),
    ("calls", "list"),
    ("calls", "explain", "am-2"),
    ("rejected", "list"),
    ("rejected", "show", "1"),
)


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_without_a_database(capsys, tmp_path, args):
    missing = f"sqlite:///{tmp_path}/none.db"
    assert error(capsys, *args, "--database", missing) == (
        f"there is no database {tmp_path}/none.db; name the service's own with --database or "
        "UVMS_DATABASE_URL"
    )
    assert not (tmp_path / "none.db").exists()


def test_a_url_that_is_none(capsys):
    assert "is no database URL" in error(capsys, "pages", "list", "--database", "here")


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_beside_a_running_service(capsys, args):
    running = open_store(url_in(Path.cwd()), exclusive=True)
    try:
        assert text(capsys, *args)
    finally:
        running.close()


def test_no_command_tells_a_full_number(capsys):
    for args in (*READING, ("pages", "list", "--all"), ("calls", "explain", "am-3")):
        for form in ((), ("--json",)):
            told = text(capsys, *args, *form)
            assert not [number for number in NUMBERS if number[3:] in told], args


# --- a test call ---------------------------------------------------------------------------------


class Worker:
    """A service that makes the first test call it finds, with this outcome."""

    def __init__(self, state: CallState, ret_code: int) -> None:
        self._state, self._ret_code = state, ret_code
        self.rung = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        store = open_store(url_in(Path.cwd()))
        try:
            while not self._stopped.wait(0.01):
                calls = store.read_now(lambda s: s.find_calls(limit=9))
                for call in calls:
                    if call.page_id is None and call.state is CallState.WAITING:
                        ring(store, call, state=self._state, ret_code=self._ret_code, now=utc_now())
                        self.rung += 1
        finally:
            store.close()


def test_a_test_call_that_the_vendor_takes(capsys):
    with Worker(CallState.ACCEPTED, 0):
        out = text(capsys, "call", "--to", "bob")
    assert out.startswith("calling bob  +86135****5679 through db-phone, call ")
    assert "reason    test\n" in out
    assert "  SessionNo  session-" in out
    assert "alerts named" not in out


def test_a_test_call_that_is_refused(capsys):
    with Worker(CallState.REFUSED, 230):
        assert run(["call", "--to", "alice", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["state"] == "refused"
    assert "calling alice  +86135****5678 through sre-phone, call " in told.err
    assert "uvms-adapter: error: the call is refused: RetCode 230" in told.err


def test_a_number_that_is_somebody_s_is_called_by_name(capsys):
    with Worker(CallState.ACCEPTED, 0):
        assert "calling bob " in text(capsys, "call", "--to", "+8613512345679")


def test_another_number_with_the_words_of_a_receiver(capsys):
    with Worker(CallState.ACCEPTED, 0):
        out = text(capsys, "call", "--to", "+8613600000001", "--receiver", "db-phone")
    assert out.startswith("calling +86136****0001 through db-phone, call ")


def test_a_number_that_a_receiver_calls(capsys):
    with Worker(CallState.ACCEPTED, 0):
        assert "through sre-phone" in text(capsys, "call", "--to", STRANGER)


def test_a_test_call_that_nobody_takes_up_is_withdrawn(capsys):
    told = error(capsys, "call", "--to", "bob", "--timeout", "1ms")
    assert told == (
        "no service took the call up within 0.001 s, so it was withdrawn: is one running on this "
        "database? Start it with uvms-adapter serve"
    )
    found = from_json(capsys, "calls", "list", "bob", "--state", "cancelled")["calls"]
    assert [call["note"] for call in found] == ["a test call that no service took up in time"]


def test_a_test_call_whose_outcome_takes_its_time(capsys, monkeypatch):
    worker = Worker(CallState.UNKNOWN, 110)
    monkeypatch.setattr("adapter.cli.call.monotonic", lambda: 7200.0 if worker.rung else 0.0)
    with worker:
        told = error(capsys, "call", "--to", "bob", "--timeout", "1h")
    assert told.startswith("the call is still unknown (RetCode 110: Send success) and goes on ")
    assert "see uvms-adapter calls explain " in told


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--to", "zoe"], "there is no person 'zoe'; there is: alice, bob"),
        (
            ["--to", "13512345678"],
            'Invalid value for --to: "1351****678" cannot be called: put +86 before a number of '
            "mainland China, try --help",
        ),
        (
            ["--to", "+8613600000001"],
            "no receiver calls +86136****0001: say whose words with --receiver, try --help",
        ),
        (
            ["--to", "bob", "--receiver", "nobody"],
            "no receiver 'nobody' has a voice template; there is: db-phone, sre-phone",
        ),
    ],
)
def test_a_test_call_that_cannot_be_made(capsys, args, expected):
    assert error(capsys, "call", *args) == expected
