"""Label matchers: what they mean, and Alertmanager's two grammars for writing them.

Meaning and grammars: https://prometheus.io/docs/alerting/latest/configuration/#label-matchers.
Error texts are those of the classic parser
(https://github.com/prometheus/alertmanager/blob/main/pkg/labels/parse.go) and of the UTF-8 parser
(https://github.com/prometheus/alertmanager/tree/main/matcher/parse), so that an operator finds
them in a search engine. Knows nothing of routes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cached_property

import msgspec
import re2

from adapter.errors import InvalidMatcher
from adapter.model import Labels, Record


class Operator(StrEnum):
    """How a matcher compares; the order is upstream's sort order."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"  # RE2, anchored at both ends
    NOT_REGEX = "!~"


_RANK = {operator: rank for rank, operator in enumerate(Operator)}


class Matcher(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One condition on one label. A label that is missing has the value "".

    Not a `Record` only because the compiled regex is kept beside the fields, where it takes no
    part in comparison. Raises InvalidMatcher for a regex that RE2 refuses.
    """

    name: str
    operator: Operator
    value: str

    def __post_init__(self) -> None:
        if not (_is_utf8(self.name) and _is_utf8(self.value)):
            shown = ascii(f"{self.name}{self.operator}{self.value}")
            raise InvalidMatcher(f"matcher not valid UTF-8: {shown}")
        self.accepts  # noqa: B018 - compiles the regex now: a bad one must not wait for an alert

    @cached_property
    def accepts(self) -> Callable[[str], bool]:
        """Tell whether a label's value fulfils the condition."""
        if self.operator is Operator.EQUAL:
            return self.value.__eq__
        if self.operator is Operator.NOT_EQUAL:
            return self.value.__ne__
        # Bytes: given a str, re2 counts characters to convert offsets that nobody asks for.
        search = _compile(f"^(?:{self.value})$").search
        if self.operator is Operator.REGEX:
            return lambda value: search(value.encode(errors="replace")) is not None
        return lambda value: search(value.encode(errors="replace")) is None

    def matches(self, labels: Labels) -> bool:
        """Tell whether these labels fulfil the condition."""
        return self.accepts(labels.get(self.name, ""))

    def __str__(self) -> str:
        if any(character in _RESERVED for character in self.name):
            return f"{quote(self.name)}{self.operator}{quote(self.value)}"
        return f'{self.name}{self.operator}"{self.value.translate(_OPENMETRICS_ESCAPES)}"'


class Parsed(Record):
    """What a text means in fallback mode."""

    matchers: tuple[Matcher, ...]
    warning: str | None = None  # None: both grammars agree, or only the newer one reads the text


def match_re(name: str, pattern: str) -> Matcher:
    """Return the matcher of one `match_re` entry; upstream shows its pattern already anchored."""
    _compile(f"^(?:{pattern})$")  # the error shows the pattern as it was written
    return Matcher(name=name, operator=Operator.REGEX, value=f"^(?:{pattern})$")


def in_order(matchers: Iterable[Matcher]) -> tuple[Matcher, ...]:
    """Return the matchers as upstream sorts them: by name, then value, then operator."""
    return tuple(sorted(matchers, key=lambda m: (m.name, m.value, _RANK[m.operator])))


def braced(matchers: Iterable[Matcher]) -> str:
    """Return the matchers as upstream prints a list of them: `{a="x",b=~"y"}`."""
    return "{" + ",".join(map(str, matchers)) + "}"


# --- names, quoting and regexes as Go has them ---------------------------------------------------

_CLASSIC_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Go's unicode.IsSpace; Python's str.isspace takes four control characters more.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_RESERVED = frozenset(_SPACE + "{}!=~,\\\"'`")
_OPENMETRICS_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_GO_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}


def is_classic_label_name(name: str) -> bool:
    """Tell whether `match`, `match_re` and Alertmanager's classic mode take the name."""
    return _CLASSIC_NAME.fullmatch(name) is not None


def is_utf8_label_name(name: str) -> bool:
    """Tell whether Alertmanager takes the name in its default mode."""
    return name != "" and _is_utf8(name)


def quote(text: str) -> str:
    """Return the text in double quotes as Go's strconv.Quote writes it."""
    return '"' + "".join(map(_quoted_character, text)) + '"'


def _quoted_character(character: str) -> str:
    if character in _GO_ESCAPES:
        return _GO_ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


_RE2_OPTIONS = re2.Options()
_RE2_OPTIONS.log_errors = False  # else RE2 writes to stderr by itself
_RE2_OPTIONS.never_capture = True

# Where the words of RE2 in C++ differ from those of Go's regexp, which users of Alertmanager know.
_GO_REGEX_ERRORS = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}


def _compile(pattern: str) -> re2._Regexp:
    try:
        return re2.compile(pattern.encode(), _RE2_OPTIONS)
    except re2.error as error:
        kind, _, place = error.args[0].decode(errors="replace").partition(": ")
        kind = _GO_REGEX_ERRORS.get(kind, kind)
        raise InvalidMatcher(f"error parsing regexp: {kind}: `{place}`") from None


# --- the classic grammar -----------------------------------------------------------------------

_ASCII_SPACE = "\t\n\f\r "  # \s of Go's regexp
_CLASSIC_MATCHER = re.compile(
    r"[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:]*)[\t\n\f\r ]*(=~|=|!=|!~)[\t\n\f\r ]*(.*)", re.DOTALL
)
_CLASSIC_CHARACTER = re.compile(r"\\.|.", re.DOTALL)
_CLASSIC_ESCAPES = {r"\n": "\n", r"\"": '"', r"\\": "\\"}  # any other backslash is literal


def parse_classic(text: str) -> tuple[Matcher, ...]:
    """Parse a comma-separated list in the classic grammar; braces around it are optional."""
    return tuple(map(parse_classic_matcher, _split_classic(text)))


def parse_classic_matcher(text: str) -> Matcher:
    """Parse exactly one matcher in the classic grammar."""
    parts = _CLASSIC_MATCHER.fullmatch(text)
    if parts is None:
        raise InvalidMatcher(f"bad matcher format: {text}")
    name, operator, value = parts.groups()
    value = _unescape_classic(value.rstrip(_ASCII_SPACE))
    return Matcher(name=name, operator=Operator(operator), value=value)


def _split_classic(text: str) -> list[str]:
    """Split at commas outside double quotes; braces and one comma at the end are dropped."""
    tokens, token = [], ""
    quoted = escaped = False
    for character in text.removeprefix("{").removesuffix("}"):
        if character == "," and not quoted:
            tokens.append(token)
            token = ""
            continue
        if character == '"':
            quoted ^= not escaped
        if character != ",":  # like upstream: a backslash before a comma counts after it
            escaped = character == "\\" and not escaped
        token += character
    last = token.strip(_SPACE)
    return [*tokens, last] if last else tokens


def _unescape_classic(raw: str) -> str:
    characters = _CLASSIC_CHARACTER.findall(raw)
    if len(characters) > 1 and characters[0] == characters[-1] == '"':
        characters = characters[1:-1]
    if '"' in characters:
        raise InvalidMatcher(f"matcher value contains unescaped double quote: {raw}")
    return "".join(_CLASSIC_ESCAPES.get(character, character) for character in characters)


# --- the UTF-8 grammar -------------------------------------------------------------------------


class _Kind(StrEnum):
    OPEN = "open"
    CLOSE = "close"
    COMMA = "comma"
    OPERATOR = "operator"
    QUOTED = "quoted"
    UNQUOTED = "unquoted"
    UNTERMINATED = "unterminated"
    HALF_OPERATOR = "half_operator"
    STRAY = "stray"
    END = "end"


_RESERVED_CLASS = re.escape("".join(sorted(_RESERVED)))
_TOKEN = re.compile(
    rf"""[{re.escape(_SPACE)}]*+(?:
        (?P<open>\{{) | (?P<close>\}}) | (?P<comma>,)
        | (?P<operator>=~|=|!=|!~)
        | (?P<quoted>"(?:[^"\\]|\\.)*+") | (?P<unterminated>".*)
        | (?P<unquoted>[^{_RESERVED_CLASS}]++)
        | (?P<half_operator>!) | (?P<stray>.) | (?P<end>)
    )""",
    re.DOTALL | re.VERBOSE,
)
_GO_ESCAPE = (
    rb'\\(?:(?P<simple>[abfnrtv\\"])|x(?P<byte>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})'
    rb"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"
)
_GO_ESCAPED = re.compile(_GO_ESCAPE)
_GO_STRING = re.compile(rb"(?:[^\\\n\"]|" + re.sub(rb"\?P<\w+>", b"?:", _GO_ESCAPE) + rb")*+")
_GO_UNESCAPES = {escape[1:].encode(): plain.encode() for plain, escape in _GO_ESCAPES.items()}


class _Token(Record):
    kind: _Kind
    text: str
    start: int  # columns, as upstream counts them: in characters, from 0
    end: int

    def __str__(self) -> str:
        return f"{self.start}:{self.end}: {self.text}"


def parse_utf8(text: str) -> tuple[Matcher, ...]:
    """Parse a comma-separated list in the UTF-8 grammar; braces around it are optional."""
    return _Utf8Parser(text).matchers()


def parse_utf8_matcher(text: str) -> Matcher:
    """Parse exactly one matcher in the UTF-8 grammar."""
    matchers = parse_utf8(text)
    if not matchers:
        raise InvalidMatcher("no matchers")
    if len(matchers) > 1:
        raise InvalidMatcher(f"expected 1 matcher, found {len(matchers)}")
    return matchers[0]


class _Utf8Parser:
    """Reads one text from left to right; `column` is where the last token taken ends."""

    def __init__(self, text: str) -> None:
        self.text, self.column = text, 0

    def matchers(self) -> tuple[Matcher, ...]:
        found: list[Matcher] = []
        opened = self._peek().kind is _Kind.OPEN
        if opened:
            self._take(self._peek())
        following = self._peek()
        while following.kind not in (_Kind.CLOSE, _Kind.END):
            found.append(self._matcher())
            following = self._after_matcher()
        self._close(following, opened=opened)
        return tuple(found)

    def _matcher(self) -> Matcher:
        name = self._expect("expected label name", _Kind.QUOTED, _Kind.UNQUOTED)
        plain_name = _unquoted(self._take(name))
        operator = self._expect(
            "expected an operator such as '=', '!=', '=~' or '!~'", _Kind.OPERATOR
        )
        self._take(operator)
        value = self._expect("expected label value", _Kind.QUOTED, _Kind.UNQUOTED)
        plain_value = _unquoted(self._take(value))
        try:
            return Matcher(name=plain_name, operator=Operator(operator.text), value=plain_value)
        except InvalidMatcher as error:
            raise InvalidMatcher(f"failed to create matcher: {error}") from None

    def _after_matcher(self) -> _Token:
        """Step over a comma, and return the token that comes next."""
        ends = (_Kind.CLOSE, _Kind.END)
        token = self._expect("expected a comma or close brace", _Kind.COMMA, *ends)
        if token.kind is not _Kind.COMMA:
            return token
        self._take(token)
        expected = "expected a matcher or close brace after comma"
        return self._expect(expected, _Kind.QUOTED, _Kind.UNQUOTED, *ends)

    def _close(self, token: _Token, *, opened: bool) -> None:
        closed = token.kind is _Kind.CLOSE
        if opened and not closed:
            raise InvalidMatcher(f"0:{self.column}: end of input: expected close brace")
        if closed:
            self._take(token)
        if closed and not opened:
            raise InvalidMatcher(f"0:{self.column}: }}: expected opening brace")
        rest = self._peek(expected="expected end of input")
        if rest.kind is not _Kind.END:
            raise InvalidMatcher(f"{rest}: expected end of input")

    def _expect(self, expected: str, *kinds: _Kind) -> _Token:
        """Return the next token if it is of one of these kinds, without taking it."""
        token = self._peek(expected=expected)
        if token.kind in kinds:
            return token
        if token.kind is _Kind.END:
            raise InvalidMatcher(f"end of input: {expected}")
        raise InvalidMatcher(f"{token.start}:{token.end}: unexpected {token.text}: {expected}")

    def _take(self, token: _Token) -> _Token:
        self.column = token.end
        return token

    def _peek(self, *, expected: str | None = None) -> _Token:
        """Return the next token; raise InvalidMatcher where no token can be made out."""
        found = _TOKEN.match(self.text, self.column)
        assert found is not None  # noqa: S101 - the alternative `end` matches anywhere
        assert found.lastgroup is not None  # noqa: S101 - each alternative is a group
        kind = _Kind(found.lastgroup)
        start, end = found.span(kind)
        token = _Token(kind=kind, text=found[kind], start=start, end=end)
        problem = _lexical_problem(token, at_end=end == len(self.text))
        if problem is not None:
            raise InvalidMatcher(problem if expected is None else f"{problem}: {expected}")
        return token


def _lexical_problem(token: _Token, *, at_end: bool) -> str | None:
    if token.kind is _Kind.STRAY:
        return f"{token}: invalid input"
    if token.kind is _Kind.UNTERMINATED:
        return f'{token}: missing end "'
    if token.kind is not _Kind.HALF_OPERATOR:
        return None
    # "=~" is upstream's way to say: one of these two characters.
    if at_end:
        return f"{token.start}:{token.end}: unexpected end of input, expected one of '=~'"
    return f"{token}: expected one of '=~'"


def _unquoted(token: _Token) -> str:
    if token.kind is _Kind.UNQUOTED:
        return token.text
    try:
        return _unquote(token.text)
    except ValueError:
        raise InvalidMatcher(f"{token}: invalid input") from None


def _unquote(text: str) -> str:
    """Undo `quote`, and read every other escape of Go; raise ValueError if Go would refuse it."""
    body = text[1:-1].encode()
    if _GO_STRING.fullmatch(body) is None:
        raise ValueError(text)
    return _GO_ESCAPED.sub(_unescaped_bytes, body).decode()


def _unescaped_bytes(escape: re.Match[bytes]) -> bytes:
    if escape["simple"]:
        return _GO_UNESCAPES[escape["simple"]]
    if escape["byte"] or escape["octal"]:
        return bytes([int(escape["byte"] or escape["octal"], 16 if escape["byte"] else 8)])
    return chr(int(escape["short"] or escape["long"], 16)).encode()


# --- both: Alertmanager's default mode ------------------------------------------------------------


def parse_matchers(text: str) -> Parsed:
    """Parse a list as Alertmanager does by default.

    The UTF-8 grammar is used, unless it refuses the text or reads it differently than the classic
    one: then the classic reading counts, with a warning. If both refuse it, the classic error is
    raised.
    """
    return _fall_back(text, parse_utf8, parse_classic)


def parse_matcher(text: str) -> Parsed:
    """Parse exactly one matcher, without braces, as Alertmanager does by default."""
    if text.startswith("{") or text.endswith("}"):
        raise InvalidMatcher(f"unexpected open or close brace: {text}")
    return _fall_back(
        text,
        lambda one: (parse_utf8_matcher(one),),
        lambda one: (parse_classic_matcher(one),),
    )


_Grammar = Callable[[str], tuple[Matcher, ...]]


def _fall_back(text: str, utf8: _Grammar, classic: _Grammar) -> Parsed:
    try:
        new, refusal = utf8(text), None
    except InvalidMatcher as error:
        new, refusal = (), error
    try:
        old = classic(text)
    except InvalidMatcher:
        if refusal is not None:
            raise
        return Parsed(matchers=new)
    if refusal is None and new == old:
        return Parsed(matchers=new)
    why = f"({refusal})" if refusal else "(it reads it differently)"
    better = ",".join(map(str, old))
    return Parsed(
        matchers=old,
        warning=f"{text} is read by the classic matcher grammar, not by the UTF-8 one {why}: "
        f"write {better} to mean the same in both",
    )
