"""Single values of the vendor's JSON: what is read, and what counts as not said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.delivery.fields import MOST, clean_message, count, identifier, instant, number, text

THEN = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text("0123456789.-+e ")
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.integers())
)

IDENTIFIERS = {
    "a text": (" d0-f7\n", "d0-f7"),
    "a number": (18512345678, "18512345678"),
    "longer than any": ("x" * 200, "x" * 128),
    "a number without end": (10**5000, ""),
    "true is none": (True, ""),
    "a fraction is none": (1.5, ""),
    "half a surrogate pair": ("a\ud800b", "ab"),
    "nothing": (None, ""),
    "a list": (["x"], ""),
}


@pytest.mark.parametrize(("said", "found"), IDENTIFIERS.values(), ids=IDENTIFIERS)
def test_identifiers(said, found):
    assert identifier(said) == found


NUMBERS = {
    "whole": (23, 23.0),
    "a fraction": (1.5, 1.5),
    "a text": (" 23 ", 23.0),
    "a text with a fraction": ("1795489200000.0", 1795489200000.0),
    "zero": (0, 0.0),
    "negative": (-1, None),
    "a negative text": ("-1", None),
    "true": (True, None),
    "words": ("many", None),
    "digits of another script": ("٣", None),
    "an empty text": ("", None),
    "not a number": (float("nan"), None),
    "infinite": (float("inf"), None),
    "without end": (10**5000, None),
    "a text without end": ("9" * 5000, None),
    "nothing": (None, None),
    "a list": ([1], None),
}


@pytest.mark.parametrize(("said", "found"), NUMBERS.values(), ids=NUMBERS)
def test_numbers(said, found):
    assert number(said) == found


def test_counts_are_whole_and_bounded():
    assert [count(said) for said in (61.9, "2", MOST, MOST + 1, -1, None)] == [61, 2, MOST, 0, 0, 0]


def test_instants_are_milliseconds_or_seconds():
    for said in (1795489200000, "1795489200000", 1795489200000.0, 1795489200, "1795489200"):
        assert instant(said) == THEN
    for said in (0, "0", -1, 1e14, True, None, "2026-11-24"):
        assert instant(said) is None


def test_texts_are_texts_alone():
    assert [text(said) for said in ("x", 1, None, ["x"])] == ["x", "", "", ""]


def test_a_message_is_one_line_without_numbers():
    assert clean_message("busy:\n+8613512345678\ud800") == "busy: +86135****5678"


@given(VALUES)
def test_anything_is_read_as_something(said):
    identifier(said).encode()
    clean_message(text(said)).encode()
    assert 0 <= count(said) <= MOST
    found = instant(said)
    assert found is None or found.tzinfo is UTC
