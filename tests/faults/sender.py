"""Two Alertmanagers that hold the same groups of alerts, and a world in which alerts come and go.

Each posts its groups until they are taken: after a 5xx, or whatever goes wrong on the way, again
with growing pauses, the same body for the length of a flush, then the group as it is by then. Half
of the groups are posted once and never again, for a repeat would hide a loss; the others grow, are
repeated, resolve once they were heard of, and fire again.
Source: https://github.com/prometheus/alertmanager/blob/main/notify/notify.go
"""

from __future__ import annotations

import heapq
import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from process_harness import WEBHOOK_TOKEN, webhook

from adapter.clock import utc_now
from faults.ledger import Ledger, Owed

PEERS = 2
_TIMEOUT_SECONDS = 6.0
_TRIES_A_FLUSH = 6
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0
_ALERTS_A_GROUP = 5
_NEVER = "0001-01-01T00:00:00Z"


class Load(NamedTuple):
    """How much is sent, and how."""

    alerts_per_second: float = 5.0
    repeat_seconds: float = 1.5  # until an Alertmanager posts a group again that has not changed
    peer_seconds: float = 0.3  # the second one posts up to so much later than the first
    growing: int = 4  # groups that grow at a time
    threads: int = 16


class Team(NamedTuple):
    """A receiver's name, and whom it calls."""

    name: str
    numbers: tuple[str, ...]


class Alert:
    """One alert, in one of its episodes."""

    def __init__(self, label: str, episode: int = 1) -> None:
        self.label, self.episode = label, episode
        self.name = label if episode == 1 else f"{label}e{episode}"
        self.starts_at, self.ends_at = _now(), _NEVER
        self.known_to_be_over = False  # a webhook that says so got its 2xx

    @property
    def firing(self) -> bool:
        return self.ends_at == _NEVER

    def body(self, team: str, group: str) -> dict[str, Any]:
        return {
            "status": "firing" if self.firing else "resolved",
            "labels": {"alertname": self.label, "team": team, "group": group},
            "annotations": {"summary": self.name},
            "startsAt": self.starts_at,
            "endsAt": self.ends_at,
            "generatorURL": "",
        }


class Group:
    """Alerts that are posted together."""

    def __init__(self, name: str, team: Team, *, repeated: bool) -> None:
        self.name, self.team = name, team
        self.repeated = repeated  # it has a life: it grows, is repeated, is mended, breaks again
        self.growing = repeated
        self.alerts: list[Alert] = []
        self.version = 0
        self.lanes = tuple(Lane(self, peer) for peer in range(PEERS))


class Lane:
    """What one Alertmanager is about with one group."""

    def __init__(self, group: Group, peer: int) -> None:
        self.group, self.peer = group, peer
        self.turn = 0  # which address is next
        self.tries = 0
        self.version = -1  # of the group, as it was posted last
        self.idle = True
        self.body: bytes | None = None  # of the flush under way
        self.names: tuple[str, ...] = ()  # of what fires in it
        self.over: tuple[Alert, ...] = ()  # what it says is over


class Sender:
    """Sends while its context lasts."""

    def __init__(
        self,
        ledger: Ledger,
        teams: Sequence[Team],
        addresses: Callable[[], Sequence[str]],
        heard: Callable[[], set[Owed]],
        chance: random.Random,
        load: Load,
        nobody: frozenset[str] = frozenset(),
    ) -> None:
        self._ledger, self._teams, self._addresses = ledger, teams, addresses
        self._heard, self._chance, self._load, self._nobody = heard, chance, load, nobody
        self._due: list[tuple[float, int, Lane]] = []
        self._changed = threading.Condition()
        self._counter = itertools.count()
        self._labels = (f"a{number}" for number in itertools.count())
        self._growing: list[Group] = []
        self._all: list[Group] = []
        self._adding = True
        self._stopping = False
        self._threads = [
            threading.Thread(target=run, name="sender")
            for run in (self._add_alerts, self._mend_alerts, *[self._post_lanes] * load.threads)
        ]

    @contextmanager
    def sending(self) -> Iterator[Sender]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            with self._changed:
                self._stopping, self._adding = True, False
                self._changed.notify_all()
            for thread in self._threads:
                thread.join()

    def no_more_alerts(self) -> None:
        """Let nothing new fire or resolve; what was not taken is still posted, and repeated."""
        self._adding = False
        for thread in self._threads[:2]:
            thread.join()

    def all_taken(self) -> bool:
        """Whether both have posted every group as it is now, and got a 2xx."""
        with self._changed:
            return all(
                lane.version == group.version and lane.body is None
                for group in self._all
                for lane in group.lanes
            )

    def repeat_all(self) -> None:
        """Have both post every group once more."""
        with self._changed:
            for group in self._all:
                self._change(group)

    # --- alerts ---

    def _add_alerts(self) -> None:
        started = time.monotonic()
        for number in itertools.count():
            pause = started + number / self._load.alerts_per_second - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            if not self._adding:
                return
            with self._changed:
                self._fire(Alert(next(self._labels)))

    def _fire(self, alert: Alert) -> None:
        group = self._group()
        group.alerts.append(alert)
        self._change(group)

    def _group(self) -> Group:
        """Return a new group of one alert, or one that grows, by turns of chance."""
        for group in self._growing:
            group.growing = len(group.alerts) < _ALERTS_A_GROUP
        self._growing = [group for group in self._growing if group.growing]
        if self._chance.random() < 0.5 and len(self._growing) >= self._load.growing:
            return self._chance.choice(self._growing)
        repeated = len(self._growing) < self._load.growing and self._chance.random() < 0.5
        name, team = f"g{next(self._counter)}", self._chance.choice(self._teams)
        group = Group(name, team, repeated=repeated)
        self._all.append(group)
        if repeated:
            self._growing.append(group)
        return group

    def _mend_alerts(self) -> None:
        """Somebody mends what everybody has heard of; some of it breaks again."""
        while self._adding:
            time.sleep(0.5)
            heard = self._heard()
            with self._changed:
                for group in self._all:
                    if group.repeated and self._chance.random() < 0.3:
                        self._mend(group, heard)

    def _mend(self, group: Group, heard: set[Owed]) -> None:
        place = self._chance.randrange(len(group.alerts))
        alert = group.alerts[place]
        people = [number for number in group.team.numbers if number not in self._nobody]
        if alert.known_to_be_over:
            group.alerts[place] = Alert(alert.label, alert.episode + 1)
        elif alert.firing and all((alert.name, number) in heard for number in people):
            alert.ends_at = _now()
        else:
            return
        self._change(group)

    def _change(self, group: Group) -> None:
        """Have both Alertmanagers post the group; those who are posting it now see to it after."""
        group.version += 1
        late = self._chance.uniform(0, self._load.peer_seconds)
        for lane in group.lanes:
            if lane.idle:
                self._schedule(lane, late if lane.peer else 0.0)

    # --- posting ---

    def _schedule(self, lane: Lane, pause: float) -> None:
        lane.idle = False
        heapq.heappush(self._due, (time.monotonic() + pause, next(self._counter), lane))
        self._changed.notify()

    def _post_lanes(self) -> None:
        connections: dict[str, http.client.HTTPConnection] = {}
        while (lane := self._next()) is not None:
            self._post(lane, connections)
        for connection in connections.values():
            connection.close()

    def _next(self) -> Lane | None:
        with self._changed:
            while not self._stopping:
                pause = self._due[0][0] - time.monotonic() if self._due else 1.0
                if pause <= 0:
                    lane = heapq.heappop(self._due)[2]
                    self._open_flush(lane)
                    return lane
                self._changed.wait(pause)
        return None

    def _open_flush(self, lane: Lane) -> None:
        if lane.body is not None:
            return
        group, lane.version = lane.group, lane.group.version
        alerts = [alert.body(group.team.name, group.name) for alert in group.alerts]
        lane.body = json.dumps(webhook(*alerts)).encode()
        lane.names = tuple(alert.name for alert in group.alerts if alert.firing)
        lane.over = tuple(alert for alert in group.alerts if not alert.firing)

    def _post(self, lane: Lane, connections: dict[str, http.client.HTTPConnection]) -> None:
        assert lane.body is not None
        addresses = self._addresses()
        address = addresses[(lane.turn + lane.peer) % len(addresses)]
        lane.turn += 1
        self._ledger.posting(lane.names)
        status, text = _post(connections, address, lane.body)
        if 200 <= status < 300:
            self._ledger.taken(lane.names, lane.group.team.numbers)
        else:
            self._ledger.failed(None if status >= 500 else f"{status}: {text}")
        with self._changed:
            self._close_flush(lane, taken=status < 300)

    def _close_flush(self, lane: Lane, *, taken: bool) -> None:
        """Decide when the lane is next; a flush that failed for long ends, and another begins."""
        lane.idle = True
        if not taken:
            pause = min(_FIRST_PAUSE_SECONDS * 1.5**lane.tries, _LONGEST_PAUSE_SECONDS)
            lane.tries += 1
            if lane.tries % _TRIES_A_FLUSH == 0:
                lane.body = None
            self._schedule(lane, pause * self._chance.uniform(0.5, 1))
            return
        lane.tries, lane.body = 0, None
        for alert in lane.over:
            alert.known_to_be_over = True
        if lane.version != lane.group.version:
            self._schedule(lane, 0.0)
        elif lane.group.growing and self._adding:
            self._schedule(lane, self._load.repeat_seconds)


def _post(
    connections: dict[str, http.client.HTTPConnection], address: str, body: bytes
) -> tuple[int, str]:
    """Post on a kept connection; return the status, 599 for whatever goes wrong on the way.

    One that the server has closed meanwhile is no failure to Go's client, nor here.
    """
    if address not in connections:
        netloc = urlsplit(address).netloc
        connections[address] = http.client.HTTPConnection(netloc, timeout=_TIMEOUT_SECONDS)
    connection = connections[address]
    headers = {
        "Authorization": f"Bearer {WEBHOOK_TOKEN}",
        "Content-Type": "application/json",
        "User-Agent": "Alertmanager/0.28.0",
    }
    failure = ""
    for kept in (connection.sock is not None, False):
        try:
            connection.request("POST", "/v1/alertmanager", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            failure = repr(error)
            if not kept or isinstance(error, TimeoutError):
                break
    return 599, failure


def _now() -> str:
    return utc_now().isoformat()
