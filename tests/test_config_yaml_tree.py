"""YAML as a tree with positions: what it keeps, and what it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.config.nodes import Node, Scalar, Sequence, Table, describe, place
from adapter.config.problems import ConfigError, Position, Report
from adapter.config.yaml_tree import MOST_LEVELS, parse


def tree(text: str | bytes) -> Node:
    report = Report("f.yaml")
    root = parse(text, report)
    report.raise_problems()
    return root


def plain(node: Node) -> object:
    if isinstance(node, Table):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.text


def scalar(text: str) -> Scalar:
    node = tree(text)
    assert isinstance(node, Scalar)
    return node


YAML_1_1_TRAPS = [
    "+8613512345678",
    "22:30",
    "no",
    "on",
    "y",
    "0777",
    "1_000",
    "2026-11-22",
    "=",
    "<<",
]


@pytest.mark.parametrize("text", YAML_1_1_TRAPS)
def test_a_scalar_stays_the_text_it_is(text: str) -> None:
    assert scalar(text).text == text


@pytest.mark.parametrize(
    ("text", "boolean", "integer", "number", "is_null"),
    [
        ("true", True, None, None, False),
        ("FALSE", False, None, None, False),
        ("yes", None, None, None, False),
        ("12", None, 12, 12, False),
        ("-12", None, -12, -12, False),
        ("0777", None, 777, 777, False),
        ("0o17", None, 15, 15, False),
        ("0x1F", None, 31, 31, False),
        ("0.5", None, None, 0.5, False),
        ("1e3", None, None, 1000, False),
        (".5", None, None, 0.5, False),
        ("22:30", None, None, None, False),
        ("1_000", None, None, None, False),
        (".inf", None, None, None, False),
        ("9" * 31, None, None, 1e31, False),
        ("~", None, None, None, True),
        ("null", None, None, None, True),
        ('"true"', None, None, None, False),
        ("'12'", None, None, None, False),
        ('""', None, None, None, False),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(
    text: str, boolean: bool | None, integer: int | None, number: float | None, is_null: bool
) -> None:
    node = scalar(text)

    assert (node.boolean, node.integer, node.is_null) == (boolean, integer, is_null)
    assert node.number == (None if number is None else pytest.approx(number))


def test_every_node_knows_where_it_stands() -> None:
    root = tree("people:\n  王小丽: {phone: x}\nroutes:\n  - a\n  - b: c\n")

    assert place(root, ("people", "王小丽", "phone")) == Position(line=2, column=16)
    assert place(root, ("people", "王小丽", "phone"), of_key=True) == Position(line=2, column=9)
    assert place(root, ("routes", 1, "b")) == Position(line=5, column=8)
    assert place(root, ()) == Position(line=1, column=1)


def test_what_is_not_there_stands_where_it_would_be_missed() -> None:
    root = tree("a:\n  - b: c\n")

    assert place(root, ("a", 0, "missing", 3)) == Position(line=2, column=5)
    assert place(root, ("a", 7)) == Position(line=2, column=3)
    assert place(root, ("a", 0, "b", "c")) == Position(line=2, column=8)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_is_a_null(text: str) -> None:
    assert scalar(text).is_null


def test_a_byte_order_mark_is_no_content() -> None:
    assert plain(tree(b"\xef\xbb\xbfa: b")) == {"a": "b"}


def test_an_alias_stands_for_its_anchor() -> None:
    assert plain(tree("a: &x [1, 2]\nb: *x\n")) == {"a": ["1", "2"], "b": ["1", "2"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n", {"k": "1", "l": "3"}),
        ("a: &x {k: 1}\nb: {k: 3, <<: *x}\n", {"k": "3"}),
        ("a: [&x {k: 1}, &y {k: 2, m: 4}]\nb: {<<: [*x, *y]}\n", {"k": "1", "m": "4"}),
        ("b: {'<<': x}\n", {"<<": "x"}),
    ],
)
def test_merge_keys_add_what_is_not_there(text: str, expected: object) -> None:
    root = plain(tree(text))

    assert isinstance(root, dict)
    assert root["b"] == expected


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)

REFUSED = {
    "a key that stands twice": (
        "a: 1\nb:\n  c: 1\n  c: 2\n",
        'f.yaml:4:3: b.c: found the key "c" again, expected it once; '
        "it stands at 3:3 already; remove one of the two",
    ),
    "two documents": (
        "a: 1\n---\nb: 1\n",
        'f.yaml:2:1: found a second document, expected one document; delete the "---" '
        "and put all into one",
    ),
    "a tag": (
        "a: !env HOME\n",
        'f.yaml:1:4: a: found the tag "!env", expected no tag; write the plain value',
    ),
    "a standard tag": (
        "a: !!int '5'\n",
        'f.yaml:1:4: a: found the tag "tag:yaml.org,2002:int", expected no tag; '
        "write the plain value",
    ),
    "an alias of nothing": (
        "a: *example\n",
        'f.yaml:1:4: a: found an alias of nothing: "*example", expected an anchor '
        '"&example" before it; quote a text that begins with a star',
    ),
    "a value that begins with a star": (
        "a: *.example.com\n",
        'f.yaml:1:4: found a value that begins with "*", expected a quoted text; '
        "put the value in double quotes",
    ),
    "a template without quotes": (
        "params:\n  - {{ alerts | length }}\n",
        "f.yaml:2:6: params[0]: found a mapping as a key, expected a text; "
        "put a text that begins with { or [ in quotes",
    ),
    "an approved text without quotes": (
        "text: {1}告警，{2}\n",
        'f.yaml:1:10: found "告", expected YAML; while parsing a block mapping: did not find '
        "expected key; put the whole text in quotes",
    ),
    "an alias of itself": (
        "a: &x [*x]\n",
        'f.yaml:1:8: a[0]: found an alias of itself: "*x", expected an anchor "&x" before it; '
        "write the value out",
    ),
    "a list as a key": (
        "? [a, b]\n: c\n",
        "f.yaml:1:3: found a list as a key, expected a text; "
        "put a text that begins with { or [ in quotes",
    ),
    "a merge of a text": (
        "a: {<<: b}\n",
        'f.yaml:1:9: a["<<"]: found "b", expected an alias of a mapping, or a list of them',
    ),
    "a billion laughs": (
        LAUGHS,
        "f.yaml:7:5: a6: found 3111111 nodes, expected at most 500000 nodes; use fewer aliases",
    ),
    "too deep": (
        "[" * (MOST_LEVELS + 1),
        "f.yaml:1:101: " + "[0]" * 100 + ": found one more level of nesting, expected "
        "at most 100 levels; unfold it",
    ),
    "a tab as indentation": (
        "a:\n\tb: 1\n",
        "f.yaml:2:1: found a tab, expected spaces; YAML is indented with spaces only",
    ),
    "a value that begins with @": (
        "a: @b\n",
        'f.yaml:1:4: found a value that begins with "@", expected a quoted text; '
        "put the value in double quotes",
    ),
    "a colon in a plain text": (
        "a: b: c\n",
        'f.yaml:1:5: found ":", expected YAML; mapping values are not allowed in this context; '
        'put a text that holds ": " in quotes, or mend the indentation',
    ),
    "a quote that does not end": (
        "a: 1\nb: 'x\nc: 1\n",
        "f.yaml:4:1: found the end of the line, expected YAML; while scanning a quoted scalar: "
        "found unexpected end of stream (it began at line 2)",
    ),
    "a bracket that does not end": (
        "a: [b, c\nd: 1\n",
        'f.yaml:2:2: found ":", expected YAML; while parsing a flow sequence: did not find '
        "expected ',' or ']' (it began at line 1)",
    ),
    "a control character": (
        "a: 1\nb: x\x07\n",
        "f.yaml:2:5: found the control character U+0007, expected text; delete it",
    ),
    "a lone surrogate": (
        "a: \ud800",
        "f.yaml:1:4: found the control character U+D800, expected text; delete it",
    ),
    "not UTF-8": (
        "a: 1\nb: 王\n".encode("gbk"),
        "f.yaml:2:4: found the byte 0xcd, expected UTF-8; save the file as UTF-8",
    ),
    "UTF-16": (
        "a: 1".encode("utf-16"),
        "f.yaml: found UTF-16, expected UTF-8; save the file as UTF-8",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_place_in_a_configuration_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        tree(text)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", '"a"'),
        ("'a'", '"a"'),
        ("''", "an empty text"),
        ("", "nothing"),
        ("[]", "an empty list"),
        ("[a]", "a list"),
        ("{}", "an empty mapping"),
        ("{a: b}", "a mapping"),
        ("+8613512345678", '"+86135****5678"'),
        ("x" * 80, '"' + "x" * 59 + '…"'),
    ],
)
def test_what_stands_there_is_told_in_few_words(text: str, words: str) -> None:
    assert describe(tree(text)) == words


@given(st.one_of(st.text(), st.binary(), st.text("{}[]:,-&*!|>'\"%@`#?\n\t <ab1", max_size=60)))
def test_any_text_is_a_tree_or_a_config_error(text: str | bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert tree(text).at.line >= 1
