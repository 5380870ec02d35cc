"""Durations: Prometheus's grammar, its errors with a hint, and its way to print them."""

import json
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.durations import UNITS, format_duration, parse_duration
from adapter.errors import InvalidDuration

VECTORS = Path(__file__).parents[1] / "../shared/vectors/config_validation.json"

HINT = "write whole numbers with the units y, w, d, h, m, s, ms, the largest first: 30s, 5m, 1h30m"
LONGEST_MS = (2**63 - 1) // 10**6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0", timedelta(0), id="zero needs no unit"),
        pytest.param("0s", timedelta(0), id="zero seconds"),
        pytest.param("324ms", timedelta(milliseconds=324), id="milliseconds"),
        pytest.param("3s", timedelta(seconds=3), id="seconds"),
        pytest.param("5m", timedelta(minutes=5), id="minutes"),
        pytest.param("1h", timedelta(hours=1), id="hours"),
        pytest.param("4d", timedelta(days=4), id="days"),
        pytest.param("3w", timedelta(weeks=3), id="weeks"),
        pytest.param("10y", timedelta(days=3650), id="a year has 365 days"),
        pytest.param("4d1h", timedelta(days=4, hours=1), id="two units"),
        pytest.param(
            "1y2w3d4h5m6s7ms",
            timedelta(days=365 + 14 + 3, hours=4, minutes=5, seconds=6, milliseconds=7),
            id="every unit once",
        ),
        pytest.param("90m", timedelta(minutes=90), id="an amount may exceed the next unit"),
        pytest.param("007m", timedelta(minutes=7), id="leading zeros"),
        pytest.param("0" * 5000 + "1s", timedelta(seconds=1), id="very many leading zeros"),
        pytest.param(f"{LONGEST_MS}ms", timedelta(milliseconds=LONGEST_MS), id="the longest"),
    ],
)
def test_a_duration_is_read(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("", f"empty duration string: {HINT}", id="empty"),
        *(
            pytest.param(text, f'not a valid duration string: "{text}": {HINT}', id=why)
            for why, text in {
                "no unit": "1",
                "no unit at the end": "1h30",
                "no amount": "m",
                "smaller unit first": "1m1d",
                "same unit twice": "1m1m",
                "negative": "-1w",
                "digits of another script": "٣m",
                "space in front": " 5m",
                "more than 64 bits": "99999999999999999999ms",
                "far more than 64 bits": "9" * 5000 + "s",
            }.items()
        ),
        *(
            pytest.param(
                text, f'unknown unit "{unit}" in duration "{text}": {HINT}', id=f"unit {unit}"
            )
            for text, unit in {
                "1.5d": ".",
                "5M": "M",
                "5 m": " m",
                "5min": "min",
                "5m ": "m ",
                "1h-30m": "h-",
                "5分": "分",
            }.items()
        ),
        pytest.param(
            '5"', rf'unknown unit "\"" in duration "5\"": {HINT}', id="a quote is escaped"
        ),
        pytest.param(
            "294y", 'duration out of range: "294y" is more than 292 years', id="out of range"
        ),
        pytest.param(
            f"{LONGEST_MS + 1}ms",
            f'duration out of range: "{LONGEST_MS + 1}ms" is more than 292 years',
            id="one millisecond out of range",
        ),
        pytest.param(
            "292y365d",
            'duration out of range: "292y365d" is more than 292 years',
            id="out of range as a sum",
        ),
    ],
)
def test_what_is_no_duration_is_refused_with_a_hint(text, error):
    with pytest.raises(InvalidDuration, match=f"^{re.escape(error)}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        pytest.param(timedelta(0), "0s", id="zero"),
        pytest.param(timedelta(microseconds=999), "0s", id="less than a millisecond"),
        pytest.param(-timedelta(microseconds=999), "0s", id="hardly negative"),
        pytest.param(timedelta(minutes=5), "5m", id="five minutes"),
        pytest.param(timedelta(minutes=90), "1h30m", id="an hour and a half"),
        pytest.param(-timedelta(minutes=90), "-1h30m", id="negative"),
        pytest.param(timedelta(hours=24), "1d", id="a day"),
        pytest.param(timedelta(days=14), "2w", id="whole weeks"),
        pytest.param(timedelta(days=90), "90d", id="days that are no whole weeks"),
        pytest.param(timedelta(days=730), "2y", id="whole years"),
        pytest.param(timedelta(days=366), "366d", id="days that are no whole years"),
        pytest.param(timedelta(days=365 + 7), "372d", id="a year and a week are no whole years"),
        pytest.param(timedelta(seconds=1, milliseconds=7), "1s7ms", id="milliseconds"),
    ],
)
def test_a_duration_is_printed_as_prometheus_prints_it(duration, expected):
    assert format_duration(duration) == expected


@given(st.integers(min_value=0, max_value=LONGEST_MS).map(lambda ms: timedelta(milliseconds=ms)))
def test_what_is_printed_is_read_back(duration):
    assert parse_duration(format_duration(duration)) == duration


@given(st.lists(st.integers(min_value=0, max_value=10), min_size=7, max_size=7))
def test_a_duration_is_the_sum_of_its_parts(amounts):
    parts = dict(zip(UNITS, amounts, strict=True))
    text = "".join(f"{amount}{unit}" for unit, amount in parts.items())
    expected = sum(amount * UNITS[unit] for unit, amount in parts.items())
    assert parse_duration(text) == timedelta(milliseconds=expected)


@given(st.one_of(st.text(), st.text(alphabet="0123456789ywdhms- .")))
def test_no_text_does_worse_than_an_invalid_duration(text):
    with suppress(InvalidDuration):
        assert parse_duration(text) >= timedelta(0)


def _zero_durations():
    if not VECTORS.exists():
        skipped = pytest.mark.skip(reason=f"no {VECTORS.name} beside the project")
        return [pytest.param("", id="vectors", marks=skipped)]
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    return [
        pytest.param(case["yaml"], id=case["id"])
        for case in cases
        if (case["error"] or "").endswith("cannot be zero")
    ]


@pytest.mark.parametrize("yaml", _zero_durations())
def test_what_upstream_refuses_as_zero_is_read_as_zero(yaml):
    """Zero is a duration; whether a setting takes it is for the setting to say."""
    texts = re.findall(r"(?:group|repeat)_interval: *(\S+)", yaml)
    assert [parse_duration(text) for text in texts] == [timedelta(0)]
