"""JSON from strangers: what is read, what counts as not given, what is refused and how."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidNotification, NotJson
from adapter.sources import fields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


# --- decode ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "it is empty", id="nothing"),
        pytest.param(b"{", "Input data was truncated", id="cut short"),
        pytest.param(
            b"alerts=1",
            "JSON is malformed: invalid character",
            id="a form",
        ),
        pytest.param(
            b"{} {}",
            "JSON is malformed: trailing characters",
            id="two objects",
        ),
        pytest.param(b'{"a": NaN}', "JSON is malformed: invalid character", id="not a number"),
        pytest.param(b'{"a": Infinity}', "JSON is malformed: invalid character", id="infinity"),
        pytest.param(
            b'{"a": "\x01"}',
            "JSON is malformed: invalid character",
            id="a raw control character",
        ),
        pytest.param(b'{"a": "\xff"}', "it is not UTF-8", id="a byte that is not UTF-8"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', "it is not UTF-8", id="a surrogate in UTF-8"),
        pytest.param(
            '{"a": 1}'.encode("utf-16"),
            "JSON is malformed: invalid character",
            id="UTF-16",
        ),
        pytest.param(b"[" * 200_000, "it is nested too deeply", id="200,000 lists"),
        pytest.param(b'{"a":' * 200_000, "it is nested too deeply", id="200,000 objects"),
        pytest.param(
            b'{"alerts":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            "it is nested too deeply",
            id="deep, and well-formed",
        ),
    ],
)
def test_bytes_that_are_no_json(body, message):
    with pytest.raises(NotJson) as caught:
        fields.decode(body)
    assert str(caught.value).startswith(f"the body is not JSON: {message}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"null", "$: expected an object, found nothing", id="null"),
        pytest.param(b"[]", "$: expected an object, found a list", id="a list"),
        pytest.param(b'"+8613512345678"', "$: expected an object, found a scalar", id="a string"),
        pytest.param(b"1.5", "$: expected an object, found a scalar", id="a number"),
        pytest.param(
            b'{"groupKey": ' + b"9" * 5_000 + b"}",
            "$: expected numbers of a sane size, found a larger one",
            id="an integer of 5,000 digits",
        ),
    ],
)
def test_json_that_is_no_object(body, message):
    with pytest.raises(InvalidNotification) as caught:
        fields.decode(body)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b' {"a": "b"}\r\n', {"a": "b"}, id="blanks around"),
        pytest.param(b'\xef\xbb\xbf{"a": "b"}', {"a": "b"}, id="a byte order mark"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="of a duplicate key the last one"),
        pytest.param(b'{"a": 1.10}', {"a": "1.10"}, id="a fraction stays as written"),
        pytest.param(b'{"a": 1e999}', {"a": "1e999"}, id="a number beyond any float"),
        pytest.param(
            b'{"a": 18446744073709551616}', {"a": 2**64}, id="an integer beyond 64 bits is exact"
        ),
        pytest.param(b'{"a": "\\u0000\\u001b"}', {"a": "\0\x1b"}, id="control characters"),
        pytest.param(b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}, id="a whole surrogate pair"),
        pytest.param(b'{"a": "\\ud83d!"}', {"a": "\ufffd!"}, id="a lone high surrogate"),
        pytest.param(b'{"a": "\\uDE00"}', {"a": "\ufffd"}, id="a lone low surrogate"),
        pytest.param(b'{"\\ud83d": 1}', {"\ufffd": 1}, id="a lone surrogate in a name"),
        pytest.param(
            b'{"a": "\\ud83d\\ud83d\\ude00"}', {"a": "\ufffd😀"}, id="a lone one before a pair"
        ),
        pytest.param(
            b'{"a": "\\\\ud83d \\ud83d \\\\\\ud83d \\n"}',
            {"a": "\\ud83d \ufffd \\\ufffd \n"},
            id="an escaped backslash begins no surrogate",
        ),
    ],
)
def test_what_is_decoded(body, expected):
    assert fields.decode(body) == expected


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_decoding_refuses_in_two_ways_only(body):
    try:
        decoded = fields.decode(body)
    except (NotJson, InvalidNotification):
        return
    assert isinstance(decoded, dict)


FRAGMENTS = st.sampled_from(
    ["\\ud83d", "\\uDE00", "\\u0041", "\\\\", "\\n", "\\", "u", "d83d", "火"]
)


@given(st.lists(FRAGMENTS).map("".join))
def test_texts_are_those_of_the_standard_library_without_lone_surrogates(inside):
    body = f'{{"a": "{inside}"}}'
    try:
        expected = json.loads(body)["a"]
    except json.JSONDecodeError:
        with pytest.raises(NotJson):
            fields.decode(body.encode())
    else:
        whole = re.sub("[\ud800-\udfff]", "\ufffd", expected)
        assert fields.decode(body.encode()) == {"a": whole}


def utc(*fields_of_time: int) -> datetime:
    return datetime(*fields_of_time, tzinfo=UTC)


# --- single fields -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("a", "a", id="a text"),
        pytest.param(18446744073709551615, "18446744073709551615", id="an integer"),
        pytest.param(True, "true", id="true, as JSON writes it"),
        pytest.param(False, "false", id="false, as JSON writes it"),
        pytest.param(None, "", id="null"),
        pytest.param(["a"], "", id="a list"),
        pytest.param({"a": "b"}, "", id="an object"),
    ],
)
def test_text(value, expected):
    assert fields.text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, {}, id="null"),
        pytest.param({}, {}, id="none"),
        pytest.param({"a": "b", "c": ""}, {"a": "b"}, id="an empty value is no label"),
        pytest.param({"a": None, "b": "c"}, {"b": "c"}, id="null is an empty value"),
        pytest.param(
            {"a": 5, "b": True, "c": "1.10"}, {"a": "5", "b": "true", "c": "1.10"}, id="scalars"
        ),
        pytest.param(
            {"": "a", "b c": "d", 'e"f': "g", "主机": "h", "\n": "i"},
            {"": "a", "b c": "d", 'e"f': "g", "主机": "h", "\n": "i"},
            id="odd names are names",
        ),
        pytest.param({"a": "x" * 1_000_000}, {"a": "x" * 1_000_000}, id="1 MB is kept whole"),
        pytest.param(
            {"a": "{{ 7 * 7 }}", "b": "'; --", "c": "\0\x1b[2J"},
            {"a": "{{ 7 * 7 }}", "b": "'; --", "c": "\0\x1b[2J"},
            id="templates, quotes and control characters are texts like any other",
        ),
    ],
)
def test_labels(value, expected):
    assert fields.labels(value, "$.labels") == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(
            ["a"], "$.labels: expected an object of names and values, found a list", id="a list"
        ),
        pytest.param(
            "a=b", "$.labels: expected an object of names and values, found a scalar", id="a text"
        ),
        pytest.param(
            {"a": "b", "pod": {"name": "x"}},
            '$.labels["pod"]: expected a string, found an object',
            id="an object inside",
        ),
        pytest.param(
            {'quo"te': []},
            '$.labels["quo\\"te"]: expected a string, found a list',
            id="a list inside",
        ),
        pytest.param(
            {"n" * 1_000_000: []},
            f'$.labels["{"n" * 39}…"]: expected a string, found a list',
            id="a name of 1 MB is cut in the message",
        ),
    ],
)
def test_labels_that_cannot_be_read(value, message):
    with pytest.raises(InvalidNotification) as caught:
        fields.labels(value, "$.labels")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"a": "", "b": "c"}, {"a": "", "b": "c"}, id="empty ones are kept"),
        pytest.param({"a": 5, "b": None}, {"a": "5", "b": ""}, id="scalars and null"),
        pytest.param({"a": {"b": "c"}, "d": ["e"], "f": "g"}, {"f": "g"}, id="no scalars"),
        pytest.param(None, {}, id="null"),
        pytest.param("text", {}, id="a text"),
    ],
)
def test_texts(value, expected):
    assert fields.texts(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"B": "22.1", "C": 1}, {"B": 22.1, "C": 1.0}, id="numbers"),
        pytest.param({"B": None}, {"B": None}, id="no value for this query"),
        pytest.param({"B": "1e999", "C": "NaN"}, {"B": None, "C": None}, id="not finite"),
        pytest.param({"B": 10**400}, {"B": None}, id="beyond any float"),
        pytest.param({"B": "much", "C": []}, {"B": None, "C": None}, id="no numbers"),
        pytest.param(None, {}, id="null, as for NoData"),
        pytest.param([1], {}, id="a list"),
    ],
)
def test_numbers(value, expected):
    assert fields.numbers(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(3, 3, id="a number"),
        pytest.param("3", 3, id="a number as text"),
        pytest.param(2**64 - 1, 2**64 - 1, id="the largest that Go counts to"),
        pytest.param(-1, 0, id="negative"),
        pytest.param("1.5", 0, id="a fraction"),
        pytest.param(True, 0, id="a boolean"),
        pytest.param(10**30, 0, id="beyond what anybody counts"),
        pytest.param("٣", 0, id="digits of another script"),
        pytest.param(None, 0, id="null"),
        pytest.param([3], 0, id="a list"),
    ],
)
def test_count(value, expected):
    assert fields.count(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-11-20T14:04:05Z", utc(2026, 11, 20, 14, 4, 5), id="no fraction"),
        pytest.param(
            "2026-11-20T14:04:05.1Z", utc(2026, 11, 20, 14, 4, 5, 100_000), id="one digit"
        ),
        pytest.param(
            "2026-11-20T14:04:05.123456999Z",
            utc(2026, 11, 20, 14, 4, 5, 123_456),
            id="nine digits, cut and not rounded",
        ),
        pytest.param(
            "2026-11-20T14:04:05+08:00", utc(2026, 11, 20, 6, 4, 5), id="east of Greenwich"
        ),
        pytest.param(
            "2026-11-20T23:34:05-00:30", utc(2026, 11, 21, 0, 4, 5), id="west of Greenwich"
        ),
        pytest.param("2026-11-20t14:04:05z", utc(2026, 11, 20, 14, 4, 5), id="small letters"),
        pytest.param(
            "2026-11-20 14:04:05 +0000 UTC", utc(2026, 11, 20, 14, 4, 5), id="Go's String()"
        ),
        pytest.param(
            "2026-11-20 14:04:05.5 +0800 CST m=+0.25",
            utc(2026, 11, 20, 6, 4, 5, 500_000),
            id="Go's String() with its monotonic clock",
        ),
        pytest.param(
            "2026-11-20 14:04:05 -0330 -0330",
            utc(2026, 11, 20, 17, 34, 5),
            id="Go's String() in a zone without a name",
        ),
        pytest.param("2028-02-29T00:00:00Z", utc(2028, 2, 29), id="a leap day"),
        pytest.param("9999-12-31T23:59:59Z", utc(9999, 12, 31, 23, 59, 59), id="the last second"),
    ],
)
def test_instants(text, expected):
    assert fields.instant(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("0001-01-01T00:00:00Z", id="Go's zero time"),
        pytest.param("0001-01-01 00:00:00 +0000 UTC", id="Go's zero time printed"),
        pytest.param("0001-01-01T00:00:00+08:00", id="before the first day"),
        pytest.param("1970-01-01T00:00:00Z", id="the Unix epoch"),
        pytest.param("9999-12-31T23:59:59-08:00", id="after the last day"),
        pytest.param("0000-01-01T00:00:00Z", id="year 0"),
        pytest.param("2026-13-01T00:00:00Z", id="month 13"),
        pytest.param("2027-02-29T00:00:00Z", id="no leap day"),
        pytest.param("2026-11-20T24:00:00Z", id="hour 24"),
        pytest.param("2026-11-20T14:04:60Z", id="second 60"),
        pytest.param("2026-11-20T14:04:05+25:00", id="an offset of 25 hours"),
        pytest.param("2026-11-20T14:04:05", id="no offset"),
        pytest.param("2026-11-20T14:04:05Z\n", id="a line break after it"),
        pytest.param("２０２６-11-20T14:04:05Z", id="digits of another script"),
        pytest.param("not-a-valid-timestamp", id="a word"),
        pytest.param("", id="an empty text"),
        pytest.param(1795183200, id="a number"),
        pytest.param(None, id="null"),
        pytest.param(["2026-11-20T14:04:05Z"], id="a list"),
    ],
)
def test_what_is_no_instant(value):
    assert fields.instant(value) is None


@given(
    st.datetimes(
        utc(1980, 1, 1).replace(tzinfo=None),
        utc(2200, 1, 1).replace(tzinfo=None),
        timezones=st.integers(-18 * 60, 18 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_an_instant_is_read_at_any_offset(when):
    found = fields.instant(when.isoformat())
    assert found == when
    assert found.tzinfo is UTC


@given(JSON)
def test_every_value_can_be_asked_for_anything(value):
    for reader in (fields.text, fields.texts, fields.numbers, fields.count, fields.instant):
        reader(value)


@given(st.dictionaries(st.text(), JSON) | JSON)
def test_labels_are_read_or_refused(value):
    refusable = not isinstance(value, dict | None) or any(
        isinstance(item, dict | list) for item in (value or {}).values()
    )
    if refusable:
        with pytest.raises(InvalidNotification) as caught:
            fields.labels(value, "$")
        assert len(caught.value.found) <= 60
    else:
        assert all(fields.labels(value, "$").values())
