"""Heartbeats: which alerts they are, and when their silence is an alert of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.heartbeats import ALERT_NAME, GRACE, Heartbeat, Pulse, heard, heartbeat_of, news
from adapter.matchers import parse_matcher
from adapter.model import Alert, Status

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LONG_AGO = NOW - 24 * HOUR


def heartbeat(name: str = "watchdog", *, every: timedelta = 5 * MINUTE, summary: str = ""):
    matchers = parse_matcher('alertname="Watchdog"').matchers
    return Heartbeat(name=name, matchers=matchers, every=every, receiver="phone", summary=summary)


WATCHDOG = heartbeat()


def alert(status: Status = Status.FIRING, **labels: str) -> Alert:
    return Alert(fingerprint="f", status=status, labels={"alertname": "Watchdog"} | labels)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"alertname": "Watchdog"}, "watchdog"),
        ({"alertname": "Watchdog", "cluster": "c1"}, "watchdog"),
        ({"alertname": "DiskFull"}, None),
        ({}, None),
    ],
)
def test_an_alert_is_a_heartbeat_by_its_labels(labels, name):
    found = heartbeat_of((WATCHDOG,), labels)
    assert (found.name if found else None) == name


def test_every_matcher_has_to_match():
    both = Heartbeat(
        name="of c1",
        matchers=(*WATCHDOG.matchers, *parse_matcher('cluster="c1"').matchers),
        every=MINUTE,
        receiver="phone",
    )
    assert heartbeat_of((both, WATCHDOG), {"alertname": "Watchdog", "cluster": "c1"}) is both
    assert heartbeat_of((both, WATCHDOG), {"alertname": "Watchdog"}) is WATCHDOG


def test_only_one_that_fires_is_heard():
    """Alertmanager says "resolved" of a Watchdog that Prometheus sends no more."""
    assert list(heard((WATCHDOG,), [alert(), alert(alertname="DiskFull")])) == ["watchdog"]
    assert list(heard((WATCHDOG,), [alert(Status.RESOLVED)])) == []


def said(pulse: Pulse | None, *, since: datetime = LONG_AGO, now: datetime = NOW) -> list[str]:
    pulses = {} if pulse is None else {"watchdog": pulse}
    return [str(found.status) for _, found in news((WATCHDOG,), pulses, since, now)]


@pytest.mark.parametrize(
    ("pulse", "expected"),
    [
        (None, []),
        (Pulse(heard_at=NOW), []),
        (Pulse(heard_at=NOW - 5 * MINUTE), []),
        (Pulse(heard_at=NOW - 5 * MINUTE - timedelta(seconds=1)), ["firing"]),
        (Pulse(heard_at=LONG_AGO, silent_since=LONG_AGO), ["firing"]),
        (Pulse(heard_at=NOW, silent_since=NOW - HOUR), ["resolved"]),
    ],
    ids=["never waited for", "just heard", "just in time", "late", "still silent", "back"],
)
def test_silence_is_an_alert(pulse, expected):
    assert said(pulse) == expected


def test_what_could_not_be_heard_is_not_missing_at_once():
    silent = Pulse(heard_at=NOW - HOUR)
    assert said(silent, since=NOW - GRACE) == []
    assert said(silent, since=NOW - GRACE - timedelta(seconds=1)) == ["firing"]


def test_a_short_heartbeat_has_no_more_grace_than_it_is_long():
    short = heartbeat(every=MINUTE)
    since = NOW - MINUTE - timedelta(seconds=1)
    assert list(news((short,), {"watchdog": Pulse(heard_at=LONG_AGO)}, since, NOW))


def test_the_alert_says_what_is_silent_since_when():
    ((_, found),) = news((WATCHDOG,), {"watchdog": Pulse(heard_at=NOW - HOUR)}, LONG_AGO, NOW)
    assert found.labels == {
        "alertname": ALERT_NAME,
        "heartbeat": "watchdog",
        "severity": "critical",
    }
    assert found.annotations == {"summary": "monitoring is silent: no watchdog for 5m"}
    assert found.starts_at == NOW - 55 * MINUTE
    assert found.ends_at is None


def test_its_words_can_be_chosen():
    told = heartbeat(summary="监控静默")
    ((_, found),) = news((told,), {"watchdog": Pulse(heard_at=LONG_AGO)}, LONG_AGO, NOW)
    assert found.annotations == {"summary": "监控静默"}


def test_the_same_silence_is_the_same_alert_until_it_is_over():
    """Else each look would open an episode of its own."""
    silent = {"watchdog": Pulse(heard_at=LONG_AGO)}
    ((_, first),) = news((WATCHDOG,), silent, LONG_AGO, NOW)
    ((_, again),) = news((WATCHDOG,), silent, LONG_AGO, NOW + HOUR)
    back = {"watchdog": Pulse(heard_at=NOW + HOUR, silent_since=first.starts_at)}
    ((_, over),) = news((WATCHDOG,), back, LONG_AGO, NOW + HOUR)
    assert first == again
    assert (over.fingerprint, over.starts_at) == (first.fingerprint, first.starts_at)
    assert over.ends_at == NOW + HOUR


@given(st.integers(0, 600), st.integers(0, 600))
def test_one_heard_often_enough_is_never_missing(ago, up):
    pulse = Pulse(heard_at=NOW - timedelta(seconds=ago))
    found = said(pulse, since=NOW - timedelta(seconds=up))
    assert found == (["firing"] if ago > 300 and up > 120 else [])
