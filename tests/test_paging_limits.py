"""How often one phone may ring."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paging_world import HOUR, MINUTE, at

from adapter.model import PersonLimits
from adapter.paging import limited_until

LIMITS = PersonLimits(min_interval=MINUTE, per_hour=3, per_day=5)

WAITS = {
    "never rung": ([], None),
    "rung within min_interval": (["09:59:01"], "10:00:01"),
    "rung min_interval ago to the second": (["09:59"], None),
    "per_hour not reached": (["09:10", "09:20"], None),
    "per_hour reached": (["09:00:01", "09:20", "09:30"], "10:00:01"),
    "per_hour reached an hour ago to the second": (["09:00", "09:20", "09:30"], None),
    "only the last per_hour calls count": (["08:00", "09:10", "09:20", "09:30"], "10:10"),
    "per_day reached": (["01:00", "02:00", "03:00", "04:00", "05:00"], "25:00"),
    "per_day reached a day ago to the second": (
        ["-14:00", "02:00", "03:00", "04:00", "05:00"],
        None,
    ),
    "only the last per_day calls count": (
        ["00:00", "01:00", "02:00", "03:00", "04:00", "05:00"],
        "25:00",
    ),
    "a clock that was set back: what lies ahead does not count": (["09:58", "10:30"], None),
    "a clock that was set back: what lies behind still counts": (["09:59:30", "10:30"], "10:00:30"),
    "rung at this instant": (["10:00"], "10:01"),
    "of several limits the longest wait counts": (["09:10", "09:20", "09:59:30"], "10:10"),
    "of several limits the longest wait counts, whichever it is": (
        ["09:00:10", "09:20", "09:59:30"],
        "10:00:30",
    ),
}


@pytest.mark.parametrize(("dialled", "until"), WAITS.values(), ids=WAITS.keys())
def test_a_phone_may_ring_again(dialled, until):
    dialled = [at(text) for text in dialled]
    assert limited_until(dialled, LIMITS, at("10:00")) == (None if until is None else at(until))


def test_without_min_interval_a_phone_may_ring_again_at_once():
    limits = PersonLimits(min_interval=timedelta(0), per_hour=1, per_day=1)
    assert limited_until([], limits, at("10:00")) is None
    assert (
        limited_until([at("10:00")], PersonLimits(min_interval=timedelta(0)), at("10:00")) is None
    )


INSTANTS = st.integers(0, 3 * 24 * 60).map(lambda minutes: at("00:00") + minutes * MINUTE)
SOME_LIMITS = st.builds(
    PersonLimits,
    min_interval=st.integers(0, 120).map(lambda minutes: minutes * MINUTE),
    per_hour=st.integers(1, 5),
    per_day=st.integers(1, 8),
)


@given(st.lists(INSTANTS, max_size=30).map(sorted), SOME_LIMITS)
def test_whoever_obeys_never_rings_more_often_than_allowed(wanted, limits):
    """Calls that wait as long as they are told to keep every limit, and all are made."""
    rung = []
    for instant in wanted:
        now = max([instant, *rung[-1:]])
        while (until := limited_until(rung, limits, now)) is not None:
            assert until > now
            now = until
        rung.append(now)
    assert len(rung) == len(wanted)
    for earlier, later in pairwise(rung):
        assert later - earlier >= limits.min_interval
    for window, most in ((HOUR, limits.per_hour), (24 * HOUR, limits.per_day)):
        for start in rung:
            assert len([t for t in rung if start <= t < start + window]) <= most
