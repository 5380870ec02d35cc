"""A page's escalation told by what is outside of the service: phones, store, fallback webhook.

Alice is called first, then Bob and Carol, then Dave, and all of it once more; then the fallback
webhook is told. What an `Ending` arms the vendor with decides how far that goes.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from forked_service import ForkedProgram, Kill, forked
from process_harness import API_TOKEN, Service, Vendor, http_client, new_number

from adapter.model import Call, FallbackState, Page
from adapter.simulator.faults import Kind
from adapter.store.session import Session
from adapter.store.store import Store

RECEIPT_SECRET = "receipt-secret-of-these-tests"
STEPS = (("alice",), ("bob", "carol"), ("dave",))
NAMES = [name for step in STEPS for name in step]
ONCE_MORE = (*STEPS, *STEPS)

# A placed call is in the simulator's records at once; the second is for a machine that is busy.
DELIVERY = {
    "reconcile_first": "100ms",
    "record_visible_after": "1s",
    "retry_initial": "50ms",
    "retry_cap": "200ms",
}
POLL = 0.1
SOON, NEVER = 0.3, 3600.0  # seconds from a call until the vendor knows how it went


class Ending(NamedTuple):
    """What the vendor does with calls, and what has to come of it."""

    calls: Mapping[str, Mapping[str, Any]]  # faults by name
    rings: Sequence[Sequence[str]]  # who rings in each step, in order
    end: str  # what the store says of the page in the end
    wait: str = "60s"  # of each step but the last
    last_wait: str = "2s"  # before all of it begins again

    @property
    def exhausted(self) -> bool:
        return self.end == "exhausted"


_UNANSWERED = {name: {"kind": Kind.UNANSWERED, "seconds": SOON} for name in NAMES}
_SILENT = {name: {"kind": Kind.UNREPORTED, "seconds": NEVER} for name in NAMES}
_REFUSED = {"kind": Kind.REFUSE, "ret_code": 230}
_ANSWERED = {"kind": Kind.ANSWERED, "seconds": SOON, "duration": 20}

NOBODY = Ending(_UNANSWERED, ONCE_MORE, "exhausted")
SILENCE = Ending(_SILENT, ONCE_MORE, "exhausted", wait="3s")
REFUSED = Ending(
    _UNANSWERED | {"alice": _REFUSED}, (*STEPS[1:], *STEPS[1:]), "exhausted", last_wait="1s"
)
BOB = Ending(_UNANSWERED | {"bob": _ANSWERED}, STEPS[:2], "taken by bob")
# Alice says nothing for longer than a lease lasts.
BOB_AT_LAST = Ending(
    _UNANSWERED | {"alice": _SILENT["alice"], "bob": _ANSWERED},
    STEPS[:2],
    "taken by bob",
    wait="30s",
)
_QUIET_SECOND_STEP = _SILENT | {"alice": _UNANSWERED["alice"]}
BY_HAND = Ending(_QUIET_SECOND_STEP, STEPS[:2], "taken by api")
STALE = Ending(_QUIET_SECOND_STEP, STEPS[:2], "closed")


# --- neighbours ----------------------------------------------------------------------------------


class Neighbours:
    """Who is beside the service: the fallback webhook, and the way on which receipts come in."""

    def __init__(self) -> None:
        self._told: Counter[str] = Counter()  # how often each fallback webhook was
        self._silent: dict[str, threading.Event] = {}  # until then it does not answer
        self._ways: dict[str, Chain] = {}  # by number
        self.url = ""

    def add(self, chain: Chain) -> None:
        self._ways |= dict.fromkeys(chain.numbers, chain)

    def told(self, name: str) -> int:
        return self._told[name]

    @contextmanager
    def silence(self, name: str) -> Iterator[None]:
        """Let a webhook hear, and not answer, while the context lasts."""
        over = self._silent[name] = threading.Event()
        try:
            yield
        finally:
            del self._silent[name]
            over.set()

    def post(self, path: str, body: bytes) -> int:
        """Return the status of an answer."""
        if path.startswith("/fallback/"):
            name = path.removeprefix("/fallback/")
            self._told[name] += 1
            if name in self._silent:
                self._silent[name].wait()
            return 204
        chain = self._ways.get(f"+86{json.loads(body)['Phone']}")
        return 200 if chain is None or not chain.pushed else chain.push(body)


@contextmanager
def neighbours() -> Iterator[Neighbours]:
    """Have them while the context lasts."""
    beside = Neighbours()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(beside.post(self.path, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # who asked was killed

    with Server(("127.0.0.1", 0), Handler) as server:
        beside.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield beside
        finally:
            server.shutdown()
            thread.join()


# --- one escalation ------------------------------------------------------------------------------


class Chain(Service):
    """The service of one database, and one page whose escalation is watched."""

    def __init__(
        self,
        folder: Path,
        vendor: Vendor,
        beside: Neighbours,
        ending: Ending,
        database_url: str = "",
        pushed: bool = True,
        **changes: Any,
    ) -> None:
        self.name, self.beside, self.ending, self.pushed = folder.name, beside, ending, pushed
        self.phones = {name: new_number() for name in NAMES}
        self.database_url = database_url or f"sqlite:///{folder / 'adapter.db'}"
        folder.mkdir()
        super().__init__(folder, vendor, self._tree() | changes)
        for name, fault in ending.calls.items():
            vendor.arm(**fault, number=self.phones[name])
        beside.add(self)

    @property
    def numbers(self) -> list[str]:
        return list(self.phones.values())

    def _tree(self) -> dict[str, Any]:
        waits = (self.ending.wait, self.ending.wait, self.ending.last_wait)
        return {
            "people": {name: {"phone": phone} for name, phone in self.phones.items()},
            "receivers": [
                {
                    "name": "phone",
                    "voice_template": "outage",
                    "escalation": [
                        {"call": list(step), "wait": wait}
                        for step, wait in zip(STEPS, waits, strict=True)
                    ],
                    "repeat": 1,
                    "fallback_webhook": f"{self.beside.url}/fallback/{self.name}",
                }
            ],
            "route": {"receiver": "phone"},
            "limits": {"per_person": {"min_interval": "0s"}, "requests_per_second": 100},
            "receipts": {"poll_interval": "500ms"},
            "delivery": DELIVERY,
            "uvms": {"timeouts": {"connect": "200ms", "read": "5s"}},
        }

    def environ(self) -> dict[str, str]:
        return super().environ() | {
            "UVMS_DATABASE_URL": self.database_url,
            "UVMS_RECEIPTS_SECRET": RECEIPT_SECRET,
        }

    @contextmanager
    def living(self, kill: Kill | None = None) -> Iterator[ForkedProgram]:
        """Run the service while the context lasts, if `kill` does not end it before."""
        args = ("serve", "--config", str(self.routes), "--listen", "127.0.0.1:0")
        log = self.folder / f"service-{next(self._lives)}.log"
        with forked(args, log, self.environ(), kill) as program:
            self.await_serving_or_death(program, POLL)
            yield program
        self.url = ""

    # --- what comes in ---

    def push(self, body: bytes) -> int:
        """Let the service have a receipt, be it dead just now."""
        deadline = time.monotonic() + 4  # then the vendor tries again
        while not (url := self.url) and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            with http_client(url) as client:
                return client.post(f"/v1/receipts/{RECEIPT_SECRET}", content=body).status_code
        except (httpx.TransportError, httpx.UnsupportedProtocol):
            return 502

    def acknowledge(self, page_id: str) -> None:
        with http_client(self.url, API_TOKEN) as client:
            client.post(f"/api/v1/pages/{page_id}/acknowledge").raise_for_status()

    # --- what came of it ---

    def rung(self) -> list[str]:
        """Return who has been rung so far, in this order."""
        names = {phone: name for name, phone in self.phones.items()}
        return [names[call["number"]] for call in self.vendor.rang(*self.numbers)]

    @property
    def fallbacks(self) -> int:
        return self.beside.told(self.name)


class Standing(NamedTuple):
    """What the store says of the page."""

    page: Page
    calls: Sequence[Call]
    telling: bool  # somebody is still to be told that nobody was reached

    @property
    def quiet(self) -> bool:
        """Whether no call is open."""
        return all(call.settled_at is not None for call in self.calls)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.quiet and not self.telling and self.page.step is None

    @property
    def end(self) -> str:
        if self.page.closed_at is not None:
            return "closed"
        if self.page.acknowledged_at is not None:
            return f"taken by {self.page.acknowledged_by}"
        return "exhausted" if self.page.exhausted_at is not None else "under way"

    @property
    def steps(self) -> list[tuple[str, ...]]:
        """Return whom each step has called, in order."""
        found: dict[tuple[int, int], list[str]] = {}
        for call in self.calls:
            found.setdefault((call.run, -1 if call.step is None else call.step), []).append(
                call.person
            )
        return [tuple(sorted(names)) for _, names in sorted(found.items())]


def standing(store: Store) -> Standing | None:
    """Return how the page stands; None: there is none yet."""
    return store.read_now(_standing)


def _standing(session: Session) -> Standing | None:
    pages = session.find_pages(only_open=False, limit=2)
    if not pages:
        return None
    (page,) = pages
    telling = session.fallbacks_of(page.id)
    return Standing(
        page=page,
        calls=session.find_calls(page_id=page.id, limit=100),
        telling=any(one.state is FallbackState.WAITING for one in telling),
    )


def held_against(rung: Sequence[str], steps: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return how many rings of the steps are missing, and how many are too many or out of order."""
    left, at, too_many = [set(step) for step in steps], 0, 0
    for name in rung:
        if name not in left[at] and at + 1 < len(left) and name in left[at + 1]:
            at += 1
        if name in left[at]:
            left[at].remove(name)
        else:
            too_many += 1
    return sum(map(len, left)), too_many
