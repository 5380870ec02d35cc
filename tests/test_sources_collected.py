"""Bodies collected from the public, beside this project: each is read, or refused with a reason."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.errors import InvalidNotification
from adapter.sources import alertmanager, grafana

COLLECTED = Path(__file__).parents[1] / "../shared/payloads"
NOW = datetime(2026, 11, 20, 14, 10, tzinfo=UTC)
BODIES = sorted(COLLECTED.glob("*.json"))

# Neither a label nor a fingerprint: two such alerts could not be told apart, so the second would
# never ring. Alertmanager takes no alert without labels either.
UNLABELLED = "$.alerts[0].labels: expected at least one label, or a fingerprint, found none"
REFUSED = {
    "alertmanager--promtotwilio--format-test-10.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-11.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-12.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-2.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-3.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-4.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-5.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-7.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-8.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test-9.json": UNLABELLED,
    "alertmanager--promtotwilio--format-test.json": UNLABELLED,
    "alertmanager--promtotwilio--readme-2.json": UNLABELLED,
    "alertmanager--promtotwilio--readme.json": UNLABELLED,
    # Made without a state on purpose: whether to ring or to close cannot be known.
    "grafana-legacy--iris--test-webhook-grafana-2.json": (
        "$.state: expected one of alerting, no_data, ok, paused, pending, unknown, found nothing"
    ),
}
# What carries no alert, and is a notification all the same.
EMPTY = {"alertmanager--promgen--heartbeat.json"}


def parser_for(path: Path):
    # Grafana's rules that went through an Alertmanager arrive as that Alertmanager's.
    through_alertmanager = path.name.startswith(("alertmanager--", "grafana-am-export--"))
    return alertmanager.parse if through_alertmanager else grafana.parse


def test_there_are_collected_bodies():
    if not BODIES:
        pytest.skip(f"no collected bodies at {COLLECTED}")
    assert {path.name for path in BODIES} >= REFUSED.keys() | EMPTY


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in BODIES])
def test_a_collected_body_is_read_or_refused_by_name(path):
    parse = parser_for(path)
    if path.name in REFUSED:
        with pytest.raises(InvalidNotification) as caught:
            parse(path.read_bytes(), NOW)
        assert str(caught.value) == REFUSED[path.name]
    else:
        assert bool(parse(path.read_bytes(), NOW).alerts) == (path.name not in EMPTY)
