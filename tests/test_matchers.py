"""Label matchers: both grammars, Alertmanager's fallback between them, and what they match."""

import json
import re
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidMatcher
from adapter.matchers import (
    Matcher,
    Operator,
    braced,
    in_order,
    is_classic_label_name,
    is_utf8_label_name,
    match_re,
    parse_classic,
    parse_classic_matcher,
    parse_matcher,
    parse_matchers,
    parse_utf8,
    parse_utf8_matcher,
    quote,
)

VECTORS = Path(__file__).parents[1] / "../shared/vectors/matchers.json"


def matcher(name, operator, value):
    return Matcher(name=name, operator=Operator(operator), value=value)


equal = partial(matcher, "foo", "=")
OPERATOR = ": expected an operator such as '=', '!=', '=~' or '!~'"


# --- upstream's own tables -------------------------------------------------------------------


def vectors(*sections):
    """Return (section, case) of each section, or one skipped row where the tables are absent."""
    if not VECTORS.exists():
        skipped = pytest.mark.skip(reason=f"no {VECTORS.name} beside the project")
        return [pytest.param("", {}, id="vectors", marks=skipped)]
    content = json.loads(VECTORS.read_text(encoding="utf-8"))
    return [
        pytest.param(section, case, id=case["id"])
        for section in sections
        for case in content[section]
    ]


PARSERS = {
    "classic": parse_classic,
    "utf8": parse_utf8,
    "fallback": lambda text: parse_matchers(text).matchers,
    "utf8_single": lambda text: (parse_utf8_matcher(text),),
    "fallback_single": lambda text: parse_matcher(text).matchers,
}


def check(parse, text, expected):
    if expected["ok"]:
        wanted = tuple(matcher(m["name"], m["op"], m["value"]) for m in expected["matchers"])
        assert parse(text) == wanted
    else:
        with pytest.raises(InvalidMatcher) as refused:
            parse(text)
        assert str(refused.value) == expected["error"]


@pytest.mark.parametrize(("section", "case"), vectors(*PARSERS))
def test_upstream_parsing(section, case):
    check(PARSERS[section], case["input"], case)


@pytest.mark.parametrize(("section", "case"), vectors("compliance"))
def test_upstream_compliance_of_both_grammars(section, case):
    check(parse_classic, case["input"], case["classic"])
    check(parse_utf8, case["input"], case["utf8"])


@pytest.mark.parametrize(("section", "case"), vectors("match"))
def test_upstream_matching(section, case):
    found = matcher("x", case["op"], case["pattern"]).matches({"x": case["value"]})
    assert found is case["match"]


@pytest.mark.parametrize(("section", "case"), vectors("label_name_classic", "label_name_utf8"))
def test_upstream_label_names(section, case):
    names = {"label_name_classic": is_classic_label_name, "label_name_utf8": is_utf8_label_name}
    assert names[section](case["input"]) is case["valid"]


# --- meaning ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "value", "labels", "expected"),
    [
        pytest.param("=", "", {}, True, id="a missing label equals nothing"),
        pytest.param("!=", "", {}, False, id="a missing label does not differ from nothing"),
        pytest.param("=~", "x?", {}, True, id="a missing label is matched as nothing"),
        pytest.param("!~", ".+", {}, True, id="a missing label does not match something"),
        pytest.param("=~", "a|b", {"foo": "ab"}, False, id="alternatives are anchored together"),
        pytest.param("=~", "a", {"foo": "a\n"}, False, id="a line break at the end counts"),
        pytest.param("=~", "a$", {"foo": "a\n"}, False, id="a dollar is the very end"),
        pytest.param("=~", ".*", {"foo": "a\nb"}, False, id="a dot is no line break"),
        pytest.param("!~", ".*", {"foo": "a\nb"}, True, id="negated: a dot is no line break"),
        pytest.param("=~", r"\d", {"foo": "٣"}, False, id="a digit is ASCII"),
        pytest.param("=~", "..", {"foo": "火警"}, True, id="a dot is a character, not a byte"),
        pytest.param("=~", "(?i)CRITICAL", {"foo": "Critical"}, True, id="flags"),
        pytest.param("=~", "", {"foo": ""}, True, id="the empty pattern matches nothing"),
        pytest.param("=~", "", {"foo": "a"}, False, id="the empty pattern matches only that"),
        pytest.param("=~", "a.", {"foo": "a\ud800"}, True, id="half a surrogate pair in a label"),
        pytest.param(
            "=~", "(a*)*b", {"foo": "a" * 5000}, False, id="hostile input takes linear time"
        ),
    ],
)
def test_meaning(operator, value, labels, expected):
    assert matcher("foo", operator, value).matches(labels) is expected


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("a(", "missing closing ): `^(?:a()$`"),
        ("a)", "unexpected ): `^(?:a))$`"),
        ("[a", "missing closing ]: `[a)$`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        ("(?P<>a)", "invalid named capture: `(?P<>`"),
        ("[z-a]", "invalid character class range: `z-a`"),
    ],
)
@pytest.mark.parametrize("operator", ["=~", "!~"])
def test_a_bad_regex_is_refused_at_once_in_the_words_of_go(capfd, operator, pattern, error):
    with pytest.raises(InvalidMatcher) as refused:
        matcher("foo", operator, pattern)
    assert str(refused.value) == f"error parsing regexp: {error}"
    assert capfd.readouterr() == ("", ""), "RE2 must not write to stderr by itself"


def test_a_matcher_that_is_no_utf8_is_refused():
    with pytest.raises(InvalidMatcher, match=r"^matcher not valid UTF-8: 'foo=\\ud800'$"):
        equal("\ud800")
    with pytest.raises(InvalidMatcher, match=r"^matcher not valid UTF-8: '\\ud800=x'$"):
        matcher("\ud800", "=", "x")


def test_matchers_are_compared_and_replaced_by_their_fields():
    one, same = matcher("foo", "=~", "a|b"), matcher("foo", "=~", "a|b")
    assert one == same
    assert hash(one) == hash(same)
    changed = msgspec.structs.replace(one, value="c")
    assert changed.matches({"foo": "c"})
    assert not changed.matches({"foo": "a"})


@pytest.mark.parametrize(
    ("name", "classic", "utf8"),
    [
        pytest.param("team_1", True, True, id="plain"),
        pytest.param("1team", False, True, id="a digit leads"),
        pytest.param("a:b", False, True, id="a colon, which a classic matcher takes"),
        pytest.param("team\n", False, True, id="a line break at the end"),
        pytest.param("团队", False, True, id="other scripts"),
        pytest.param("", False, False, id="nothing"),
        pytest.param("\ud800", False, False, id="half a surrogate pair"),
    ],
)
def test_label_names(name, classic, utf8):
    assert is_classic_label_name(name) is classic
    assert is_utf8_label_name(name) is utf8


# --- printing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (equal("bar"), 'foo="bar"'),
        (matcher("foo", "!~", "a|b"), 'foo!~"a|b"'),
        (equal('a"b\\c\nd\te'), 'foo="a\\"b\\\\c\\nd\te"'),
        (matcher("火", "=", "é"), '火="é"'),
        (matcher("foo bar", "=", "a\tb"), '"foo bar"="a\\tb"'),
        (matcher("foo\u3000", "!=", "x"), '"foo\\u3000"!="x"'),
        (matcher('"', "=", ""), '"\\""=""'),
        (match_re("foo", "a|b"), 'foo=~"^(?:a|b)$"'),
    ],
)
def test_a_matcher_is_printed_as_upstream_prints_it(one, expected):
    assert str(one) == expected


def test_a_bad_match_re_is_shown_as_it_was_written():
    with pytest.raises(InvalidMatcher) as refused:
        match_re("foo", "a)")
    assert str(refused.value) == "error parsing regexp: unexpected ): `^(?:a))$`"


def test_matchers_are_sorted_by_name_then_value_then_operator():
    rows = [("b", "=", "1"), ("a", "!~", "1"), ("a", "=", "2"), ("a", "=~", "1"), ("a", "!=", "1")]
    ordered = in_order(matcher(*row) for row in rows)
    assert braced(ordered) == '{a!="1",a=~"1",a!~"1",a="2",b="1"}'
    assert braced(()) == "{}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '""'),
        ("plain 火 é", '"plain 火 é"'),
        ('"\\', r'"\"\\"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\0\x1f\x7f", r'"\x00\x1f\x7f"'),
        ("\x80\xa0\u200b\u2028", r'"\u0080\u00a0\u200b\u2028"'),
        ("\U0001f642\U000e0001", '"\U0001f642\\U000e0001"'),
    ],
)
def test_text_is_quoted_as_go_quotes_it(text, expected):
    assert quote(text) == expected


# --- the grammars, beyond upstream's tables -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("foo=a b  ", [equal("a b")], id="spaces inside a value stay"),
        pytest.param("\v\xa0foo=a,\xa0", InvalidMatcher, id="a no-break space leads"),
        pytest.param("foo=a,\xa0", [equal("a")], id="a no-break space after the last comma"),
        pytest.param('foo="', InvalidMatcher, id="a lone quote"),
        pytest.param('foo=""', [equal("")], id="nothing in quotes"),
        pytest.param(r'foo="a\"', InvalidMatcher, id="the closing quote is escaped"),
        pytest.param(r'foo="a\\"', [equal("a\\")], id="the backslash is escaped, not the quote"),
        pytest.param('foo="a\nb"', [equal("a\nb")], id="a line break"),
        pytest.param('foo="a","b=c"', InvalidMatcher, id="a name in quotes"),
        pytest.param("a:b=c", [matcher("a:b", "=", "c")], id="a colon in a name"),
        pytest.param(
            r'foo="a\,",bar=b', InvalidMatcher, id="a backslash before a comma counts after it"
        ),
    ],
)
def test_classic_grammar(text, expected):
    if expected is InvalidMatcher:
        with pytest.raises(InvalidMatcher):
            parse_classic(text)
    else:
        assert parse_classic(text) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("foo!", "3:4: unexpected end of input, expected one of '=~'" + OPERATOR),
        ("foo!bar", "3:4: !: expected one of '=~'" + OPERATOR),
        ("foo", "end of input" + OPERATOR),
        ("foo bar", "4:7: unexpected bar" + OPERATOR),
        ("!=bar", "0:2: unexpected !=: expected label name"),
        ("'foo", "0:1: ': invalid input"),
        ("{'foo", "1:2: ': invalid input"),
        ("foo=bar,'", "8:9: ': invalid input: expected a matcher or close brace after comma"),
        ("foo=bar,,", "8:9: unexpected ,: expected a matcher or close brace after comma"),
        ("foo=bar,{", "8:9: unexpected {: expected a matcher or close brace after comma"),
        ("foo=bar,}", "0:9: }: expected opening brace"),
        ("{foo=bar,", "0:9: end of input: expected close brace"),
        ("{foo=bar  ", "0:8: end of input: expected close brace"),
        ("{foo=bar} ~", "10:11: ~: invalid input: expected end of input"),
        ("{火=bar} x", "8:9: x: expected end of input"),
        ('"\\d"=x', '0:4: "\\d": invalid input'),
        ('foo="a\nb"', '4:9: "a\nb": invalid input'),
        (r'foo="\ud800"', r'4:12: "\ud800": invalid input'),
        (r'foo="\U00110000"', r'4:16: "\U00110000": invalid input'),
        (r'foo="\400"', r'4:10: "\400": invalid input'),
        (r'foo="\x4"', r'4:9: "\x4": invalid input'),
        (r'foo="\'"', r"""4:8: "\'": invalid input"""),
        ("foo=\ud800", "failed to create matcher: matcher not valid UTF-8: 'foo=\\ud800'"),
    ],
)
def test_utf8_grammar_says_where_it_stopped(text, error):
    with pytest.raises(InvalidMatcher) as refused:
        parse_utf8(text)
    assert str(refused.value) == error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(" { foo = bar , } ", [equal("bar")], id="space between tokens"),
        pytest.param("foo\u3000=\x85bar\u2028", [equal("bar")], id="every space Go knows"),
        pytest.param("foo=a\x1cb", [equal("a\x1cb")], id="a control character is no space"),
        pytest.param(r'foo="\101\x42\u0043\U00000044"', [equal("ABCD")], id="numeric escapes"),
        pytest.param(r'foo="\a\b\f\n\r\t\v"', [equal("\a\b\f\n\r\t\v")], id="short escapes"),
        pytest.param('"foo"="火\\xe8\\xad\\xa6"', [equal("火警")], id="bytes of a character"),
    ],
)
def test_utf8_grammar(text, expected):
    assert parse_utf8(text) == tuple(expected)


# --- fallback --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected", "warning"),
    [
        pytest.param("{foo=bar}", [equal("bar")], None, id="both agree"),
        pytest.param("", [], None, id="both see nothing"),
        pytest.param("{foo🙂=bar}", [matcher("foo🙂", "=", "bar")], None, id="only UTF-8 reads it"),
        pytest.param(
            r"{foo=!bar,foo=baz\n}",
            [equal("!bar"), equal("baz\n")],
            r"{foo=!bar,foo=baz\n} is read by the classic matcher grammar, not by the UTF-8 one "
            "(5:6: !: expected one of '=~': expected label value): "
            r'write foo="!bar",foo="baz\n" to mean the same in both',
            id="only classic reads it",
        ),
        pytest.param(
            r'foo="\x41"',
            [equal(r"\x41")],
            r'foo="\x41" is read by the classic matcher grammar, not by the UTF-8 one '
            r'(it reads it differently): write foo="\\x41" to mean the same in both',
            id="they disagree",
        ),
    ],
)
def test_fallback_says_when_the_older_grammar_was_needed(text, expected, warning):
    parsed = parse_matchers(text)
    assert parsed.matchers == tuple(expected)
    assert parsed.warning == warning


@pytest.mark.parametrize("text", ["{foo=bar}", "{foo=bar", "foo=bar}"])
def test_a_single_matcher_has_no_braces(text):
    expected = f"^unexpected open or close brace: {re.escape(text)}$"
    with pytest.raises(InvalidMatcher, match=expected):
        parse_matcher(text)


def test_a_comma_belongs_to_the_value_of_a_single_classic_matcher():
    assert parse_classic_matcher("foo=a,b=c") == equal("a,b=c")
    assert parse_matcher("foo=a,b=c").matchers == (equal("a,b=c"),)
    with pytest.raises(InvalidMatcher, match=r"^expected 1 matcher, found 2$"):
        parse_utf8_matcher("foo=a,b=c")


# --- properties ------------------------------------------------------------------------------

# Mostly what the grammars give a meaning, so that the parsers get further than the first token.
TEXTS = st.one_of(
    st.text(alphabet=st.sampled_from("ab:_=!~{},\"'\\ \n\t\xa0nux0418()[]*🙂\ud800"), max_size=30),
    st.text(alphabet=st.characters(), max_size=30),
)
PLAIN = st.text(max_size=10)


@pytest.mark.parametrize("parse", [*PARSERS.values(), parse_classic_matcher])
@given(text=TEXTS)
def test_no_text_does_worse_than_an_invalid_matcher(parse, text):
    with suppress(InvalidMatcher):
        assert parse(text) is not None


@given(TEXTS)
def test_what_was_parsed_is_parsed_again_from_its_print(text):
    try:
        parsed = parse_matchers(text).matchers
    except InvalidMatcher:
        return
    if all(one.name for one in parsed):  # upstream too prints `""="x"` as `="x"`
        assert parse_utf8(braced(parsed)) == parsed


@given(PLAIN.filter(bool), st.sampled_from([Operator.EQUAL, Operator.NOT_EQUAL]), PLAIN)
def test_every_printed_matcher_means_the_same_in_every_grammar_that_reads_its_name(name, op, value):
    one = matcher(name, op, value)
    assert parse_utf8_matcher(str(one)) == one
    if is_classic_label_name(name):
        assert parse_classic_matcher(str(one)) == one
        assert parse_matchers(str(one)).warning is None


@given(PLAIN)
def test_what_is_quoted_is_read_back(text):
    assert parse_utf8_matcher(f"foo={quote(text)}") == equal(text)


@given(PLAIN, PLAIN)
def test_negation_is_the_opposite(value, label):
    literal = re.sub(r"([^\w\s])", r"\\\1", value, flags=re.ASCII)
    labels = {"foo": label}
    assert equal(value).matches(labels) is (value == label)
    assert matcher("foo", "!=", value).matches(labels) is (value != label)
    if value.isascii() and "\0" not in value:
        assert matcher("foo", "=~", literal).matches(labels) is (value == label)
        assert matcher("foo", "!~", literal).matches(labels) is (value != label)
