"""How a problem is worded, and what it never shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.config.problems import (
    ConfigError,
    Path,
    Position,
    Problem,
    Report,
    listed,
    masked,
    quote,
    spell,
    suggest,
)


def test_a_problem_says_where_what_was_found_what_was_expected_and_how_to_mend_it() -> None:
    report = Report("routes.yaml")
    report.problem(
        Position(line=14, column=7),
        ("route", "routes", 2, "receiver"),
        quote("sre-phon"),
        "the name of a receiver",
        'did you mean "sre-phone"?',
    )

    (problem,) = report.error().problems
    assert problem.path == "$.route.routes[2].receiver"
    assert str(problem) == (
        'routes.yaml:14:7: route.routes[2].receiver: found "sre-phon", '
        'expected the name of a receiver; did you mean "sre-phone"?'
    )


def test_a_problem_of_the_file_as_a_whole_names_no_line() -> None:
    report = Report("routes.yaml")
    report.problem(Position(), (), "UTF-16", "UTF-8")

    assert str(report.error()) == "routes.yaml: found UTF-16, expected UTF-8"


def test_problems_come_by_position() -> None:
    report = Report("f")
    for line, column in [(2, 1), (1, 9), (10, 1), (1, 2)]:
        report.problem(Position(line=line, column=column), (), "x", "y")

    places = [(problem.line, problem.column) for problem in report.error().problems]
    assert places == [(1, 2), (1, 9), (2, 1), (10, 1)]


def test_warnings_stop_nothing() -> None:
    report = Report("f")
    report.warning(Position(line=2, column=1), ("b",), "b")
    report.warning(Position(line=1, column=1), ("a",), "a", hint="hm")

    report.raise_problems()

    assert [str(warning) for warning in report.warnings] == [
        "f:1:1: a: found a; hm",
        "f:2:1: b: found b",
    ]


def test_all_problems_are_raised_as_one() -> None:
    report = Report("f")
    report.problem(Position(line=1, column=1), ("a",), "x", "y")
    report.problem(Position(line=2, column=1), ("b",), "x", "y")

    with pytest.raises(ConfigError) as raised:
        report.raise_problems()

    assert len(raised.value.problems) == 2
    assert str(raised.value) == "f:1:1: a: found x, expected y\nf:2:1: b: found x, expected y"


@pytest.mark.parametrize(
    ("path", "spelt"),
    [
        ((), "$"),
        (("a", 0, "b-c"), "$.a[0].b-c"),
        (("people", "王小丽"), '$.people["王小丽"]'),
        (("match", "a b"), '$.match["a b"]'),
        (("ret_codes", "153"), "$.ret_codes.153"),
    ],
)
def test_paths_are_spelt_as_in_json(path: Path, spelt: str) -> None:
    assert spell(path) == spelt


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a", '"a"'),
        ('a="b"', "'a=\"b\"'"),
        ('it\'s "a"', '"it\'s \\"a\\""'),
        ("two\nlines", '"two\\nlines"'),
        ("王小丽", '"王小丽"'),
        ("x" * 61, '"' + "x" * 59 + '…"'),
    ],
)
def test_a_found_text_is_quoted_on_one_line(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+8613512345678", "+86135****5678"),
        ("call +86 135-1234-5678 now", "call +86 13****5678 now"),
        ("https://user:word@host/path", "https://***@host/path"),
        ("2026-11-22", "2026-11-22"),
        ("UVVT20221122ABCD", "UVVT20221122ABCD"),
    ],
)
def test_numbers_and_users_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(
    st.from_regex(r"\+?[1-9][0-9]{8,14}", fullmatch=True),
    st.text("ab +-\n", max_size=3),
    st.text("ab +-\n", max_size=70),
)
def test_no_problem_holds_a_full_number(number: str, before: str, after: str) -> None:
    text = before + number + after
    report = Report("f")
    report.problem(Position(), (text,), quote(text), "y", text)

    assert number.removeprefix("+") not in str(report.error())


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("sre-phon", ["sre-phone", "db"], 'did you mean "sre-phone"?'),
        ("SRE-Phone", ["sre-phone"], 'did you mean "sre-phone"?'),
        ("zzz", ["sre-phone"], ""),
        ("zzz", [], ""),
    ],
)
def test_a_near_name_is_suggested(name: str, known: list[str], hint: str) -> None:
    assert suggest(name, known) == hint


@pytest.mark.parametrize(
    ("names", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_names_are_listed(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_problems_can_be_compared() -> None:
    one = Problem(file="f", line=1, column=1, path="$", found="a", expected="b")

    assert one == Problem(file="f", line=1, column=1, path="$", found="a", expected="b")
