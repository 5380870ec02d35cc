"""The short form of the fault matrix: nothing accepted is lost, and nothing rings twice needlessly.

The whole matrix is `make faults`; see docs/guarantees.md.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from faults.faults import FAULTS, SHORT
from faults.ledger import Ledger, Ring, Rings
from faults.running import run_row
from faults.table import HEADINGS, Row, heading, line
from faults.world import POSTGRESQL, STORES
from process_harness import Vendor, http_client, simulated_vendor

SEED = int(os.environ.get("RANDOM_SEED", "1"))
SHORTER = SHORT._replace(seconds=3, kills=4, outage=3)

# Others are covered by tests of their own; these are the ones that need many processes at once.
TELLING = (
    ("SIGKILL at any instant", STORES),
    ("SIGSTOP past the lease, then SIGCONT", (POSTGRESQL,)),
    ("same webhook from two Alertmanagers at one instant", (POSTGRESQL,)),
    ("vendor: placed without an answer, no records", ("sqlite",)),
    ("database restarted twice, once as in a crash", (POSTGRESQL,)),
)
ROWS = [(name, store) for name, stores in TELLING for store in stores]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def vendor(folder: Path) -> Iterator[Vendor]:
    with simulated_vendor(folder) as started:
        yield started


@pytest.mark.process
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "store"), ROWS, ids=[f"{name}, {store}" for name, store in ROWS])
def test_fault(
    name: str, store: str, vendor: Vendor, folder: Path, request: pytest.FixtureRequest
) -> None:
    [fault] = [fault for fault in FAULTS if fault.name == name]
    server = request.getfixturevalue("postgres") if store == POSTGRESQL else None
    place = folder / f"{FAULTS.index(fault)}-{store}"
    row = run_row(fault, store, vendor, server, place, SHORTER, SEED)
    assert row.verdict is not None
    assert row.verdict.owed > 0
    assert row.good, (line(row), row.verdict.lost, row.verdict.doubled)


@pytest.mark.process
def test_the_vendor_does_not_mind_who_goes_away_in_the_middle(vendor: Vendor, folder: Path) -> None:
    """The service is killed while it writes a request."""
    address = urlsplit(vendor.url)
    with socket.create_connection((address.hostname, address.port)) as half:
        half.sendall(b"POST / HTTP/1.1\r\nHost: vendor\r\nContent-Length: 100\r\n\r\nAction=")
    with http_client(vendor.url) as client:
        assert client.get("/_simulator/requests").is_success
    assert "Exception" not in (folder / "simulator.log").read_text(encoding="utf-8")


# --- the account itself --------------------------------------------------------------------------


def ledger() -> Ledger:
    """Two people were owed a call about `a`, and about `b`."""
    found = Ledger()
    found.posting(["a", "b"])
    found.taken(["a", "b"], ["+861", "+862"])
    return found


def ring(number: str, *names: str, attempt: str = "first") -> Ring:
    return Ring(number, names, 0.0, attempt)


BOTH = (ring("+861", "a", "b"), ring("+862", "a", "b"))
ACCOUNTS = {
    "nobody rang": ((), 4, 0),
    "one person heard of one": ((ring("+861", "a"),), 3, 0),
    "each heard of both": (BOTH, 0, 0),
    "each in calls of their own": (
        (*BOTH[:1], ring("+862", "a"), ring("+862", "b")),
        0,
        0,
    ),
    "one was named again beside news": (
        (ring("+861", "a"), ring("+861", "a", "b"), *BOTH[1:]),
        0,
        0,
    ),
    "one was rung again": ((*BOTH, ring("+861", "b", attempt="again")), 0, 1),
    "one was rung twice more": ((*BOTH, *[ring("+861", "b")] * 2), 0, 2),
    "somebody else was rung": ((*BOTH[:1], ring("+863", "a", "b")), 2, 0),
}


@pytest.mark.parametrize(("rings", "lost", "doubled"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_account(rings: tuple[Ring, ...], lost: int, doubled: int) -> None:
    verdict = ledger().judge(rings)
    assert (len(verdict.lost), len(verdict.doubled)) == (lost, doubled)


def test_the_attempt_that_had_told_it_is_named() -> None:
    again = ring("+861", "b", attempt="again")
    assert ledger().judge((*BOTH, again)).doubled == ((again, BOTH[0]),)


def test_what_was_named_again_beside_news_is_counted() -> None:
    assert ledger().judge((ring("+861", "a"), ring("+861", "a", "b"))).again == 1


def test_nobody_is_owed_what_a_dead_phone_is() -> None:
    assert ledger().judge(BOTH[:1], nobody={"+862"}).lost == ()


def test_what_was_posted_and_not_taken_is_not_owed() -> None:
    found = Ledger()
    found.posting(["a"])
    found.failed()
    assert found.judge(()).owed == 0


def test_a_line_that_is_not_finished_is_read_later(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    call = '{"number": "+861", "time": "2026-11-23T05:00:00Z", "params": ["a，b"], "user_id": "u"}'
    file.write_text(f"{call}\n{call[:30]}", encoding="utf-8")
    rings = Rings(file, ["+861"])
    assert len(rings.all()) == 1
    with file.open("a", encoding="utf-8") as more:
        more.write(f"{call[30:]}\n")
    assert len(rings.all()) == 2
    assert rings.heard() == {("a", "+861"), ("b", "+861")}


def test_table() -> None:
    row = Row(fault="f", store="sqlite", verdict=ledger().judge(BOTH), note="n")
    skipped = Row(fault="f", store="sqlite", verdict=None, note="not here")
    assert row.good
    assert skipped.good
    for text in (*heading().splitlines(), line(row), line(skipped)):
        assert text.count("|") == len(HEADINGS) + 1
