"""Finds what is wrong with a voice template at load: all of it, so that none waits for the night.

Knows nothing of routes.yaml; who loads that adds the positions.

Source of the text's rules: https://github.com/UCloudDoc-Team/uvms (criteria/SDK/template.md).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from jinja2 import TemplateSyntaxError, meta, nodes

from adapter.model import Record
from adapter.rendering.environment import ENVIRONMENT
from adapter.rendering.repairs import MAX_WORDS
from adapter.rendering.speech import SPOKEN
from adapter.rendering.views import NAMES

# About 20 s of Chinese or 6 s of English. The vendor states no limit for a variable (only 1,000
# characters in all), but bills by the started minute: three of these and the text fit into one.
DEFAULT_PARAM_LENGTH = 80
SHORTEST_PARAM_LENGTH = 10  # an alert's name must still be told from another's

VARIABLE = re.compile(r"\{([1-9][0-9]{0,2})\}")
_SIDE_BY_SIDE = re.compile(rf"{VARIABLE.pattern}\s*{VARIABLE.pattern}")


class TemplateProblem(Record):
    """One mistake in a voice template."""

    param: int | None  # from 0; None: the text, or the template as a whole
    line: int  # within the parameter, from 1; 0: no single line
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        where = "" if self.param is None else f"params[{self.param}]: "
        where += f"line {self.line}: " if self.line > 1 else ""
        text = f"{where}found {self.found}, expected {self.expected}"
        return f"{text}; {self.hint}" if self.hint else text


def lint(
    *, text: str, params: Sequence[str], max_param_length: int = DEFAULT_PARAM_LENGTH
) -> tuple[TemplateProblem, ...]:
    """Return every mistake in a voice template; without a text, only the rest is checked."""
    problems = list(_lint_text(text, len(params)) if text else ())
    if not SHORTEST_PARAM_LENGTH <= max_param_length <= MAX_WORDS:
        expected = f"{SHORTEST_PARAM_LENGTH} to {MAX_WORDS} characters"
        problems.append(_whole(f"max_param_length {max_param_length}", expected))
    for index, source in enumerate(params):
        problems += lint_param(index, source)
    return tuple(problems)


# --- the text ----------------------------------------------------------------------------------


def _lint_text(text: str, params: int) -> Iterator[TemplateProblem]:
    copy = "copy the text from UCloud's console as it was approved"
    words = VARIABLE.sub("", text)
    numbers = {int(number) for number in VARIABLE.findall(text)}
    missing = set(range(1, max(numbers, default=0))) - numbers
    if len(text) > MAX_WORDS:
        yield _whole(f"a text of {len(text)} characters", f"at most {MAX_WORDS}", copy)
    if signs := sorted(set(text) & set("%&@")):
        yield _whole(f"{' '.join(signs)} in the text", "words instead", copy)
    if stray := re.search(r"\{[^{}]*\}?|\}", words):
        yield _whole(f"{stray[0]!r} in the text", "variables written {1}, {2}, …", copy)
    if missing:
        expected = f"numbers without gaps: {_numbered(missing)} missing"
        yield _whole(f"the variables {_numbered(numbers)}", expected, copy)
    if _SIDE_BY_SIDE.search(text):
        yield _whole("variables side by side", "words between them that say what they are", copy)
    if not SPOKEN.search(words):
        yield _whole("a text without words", "words around the variables", copy)
    if len(numbers) != params:
        found = f"{_count(params, 'parameter')} for {_count(len(numbers), 'variable')} of the text"
        yield _whole(found, "one for each", "the vendor refuses any other number")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _numbered(numbers: Iterable[int]) -> str:
    return ", ".join(f"{{{number}}}" for number in sorted(numbers))


def _whole(found: str, expected: str, hint: str = "") -> TemplateProblem:
    return TemplateProblem(param=None, line=0, found=found, expected=expected, hint=hint)


# --- the parameters ----------------------------------------------------------------------------

_GO = re.compile(r"\{\{-?[^}]*?(?:^|[\s(])[.$][A-Za-z]")
_GO_HINT = "this is Jinja2, not Go: write {{ alert.labels.alertname }} or {{ page.group_labels.x }}"

_Finding = tuple[int, str, str, str]  # line, found, expected, hint


def lint_param(index: int, source: str) -> tuple[TemplateProblem, ...]:
    """Return all that is wrong with one parameter; nothing means that it compiles."""
    return tuple(
        TemplateProblem(param=index, line=line, found=found, expected=expected, hint=hint)
        for line, found, expected, hint in _findings(source)
    )


def _findings(source: str) -> list[_Finding]:
    try:
        tree = ENVIRONMENT.parse(source)
        findings = [
            *_functions(tree),
            *_loads(tree),
            *_attributes(tree),
            *_method_calls(tree),
            *_whole_records(tree),
        ]
        if not findings:  # with an unknown filter, neither of these two gets to its end
            findings += _undeclared(tree)
            ENVIRONMENT.compile(source)
    except TemplateSyntaxError as error:
        hint = _GO_HINT if _GO.search(source) else ""
        return [(error.lineno, _quote(source), f"a Jinja2 template ({error.message})", hint)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # What Python says of too deep or too large expressions, Jinja2 lets through.
        return [(0, _quote(source), f"a simpler template ({error})", "")]
    return findings


_EXISTING = "one that exists"


def _functions(tree: nodes.Template) -> Iterator[_Finding]:
    """Unknown filters and tests; inside an `if`, Jinja2 itself finds them only when it runs."""
    for filtering in tree.find_all(nodes.Filter):
        if filtering.name not in ENVIRONMENT.filters:
            hint = _like(filtering.name, ENVIRONMENT.filters)
            yield filtering.lineno, f"the unknown filter {filtering.name!r}", _EXISTING, hint
    for testing in tree.find_all(nodes.Test):
        if testing.name not in ENVIRONMENT.tests:
            hint = _like(testing.name, ENVIRONMENT.tests)
            yield testing.lineno, f"the unknown test {testing.name!r}", _EXISTING, hint


def _loads(tree: nodes.Template) -> Iterator[_Finding]:
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        yield node.lineno, "another template", "one that stands by itself", "write its text here"


def _attributes(tree: nodes.Template) -> Iterator[_Finding]:
    """`alert.label.x`: the slip that would turn up only at night."""
    known = dict(NAMES)
    for loop in tree.find_all(nodes.For):
        if isinstance(loop.target, nodes.Name) and _is_alerts(loop.iter):
            known[loop.target.name] = NAMES["alert"]
    for node in tree.find_all(nodes.Getattr):
        name = node.node.name if isinstance(node.node, nodes.Name) else ""
        fields = known.get(name)
        if fields and node.attr not in fields:
            wrong, right = f"{name}.{node.attr}", _dotted(name, fields)
            yield node.lineno, f"the unknown name {wrong!r}", _one_of(right), _like(wrong, right)


def _dotted(name: str, fields: Iterable[str]) -> list[str]:
    return [f"{name}.{field}" for field in fields]


def _is_alerts(node: nodes.Node) -> bool:
    """Whether this is `alerts` or a slice of it."""
    node = node.node if isinstance(node, nodes.Getitem) else node
    return isinstance(node, nodes.Name) and node.name == "alerts"


_INSTEAD_OF = {
    "get": "use x.name | default('…')",
    "items": "use x | items",
    "keys": "use x | list",
    "values": "use x | items",
}


def _method_calls(tree: nodes.Template) -> Iterator[_Finding]:
    """`labels.get('x')`: labels have no methods, because a label may be called `get`."""
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in _INSTEAD_OF:
            method = call.node.attr
            yield call.lineno, f"a call of .{method}()", "labels by name", _INSTEAD_OF[method]


_SAID_IN_PART = {name: _dotted(name, fields) for name, fields in NAMES.items() if fields}
_SAID_IN_PART["alerts"] = ["alerts | length", "alerts[0].labels"]


def _whole_records(tree: nodes.Template) -> Iterator[_Finding]:
    """`{{ person }}`: nobody wants to hear all of it."""
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            if isinstance(node, nodes.Name) and node.name in _SAID_IN_PART:
                expected = _one_of(_SAID_IN_PART[node.name])
                yield node.lineno, f"all of {node.name!r}", expected, ""


def _undeclared(tree: nodes.Template) -> Iterator[_Finding]:
    unknown = meta.find_undeclared_variables(tree) - NAMES.keys() - ENVIRONMENT.globals.keys()
    known = [*NAMES, *(dotted for name in NAMES for dotted in _dotted(name, NAMES[name]))]
    for name in sorted(unknown):
        line = next((node.lineno for node in tree.find_all(nodes.Name) if node.name == name), 0)
        hint = f"{_like(name, known)} A label is alert.labels.{name}".lstrip()
        yield line, f"the unknown name {name!r}", _one_of(NAMES), hint


def _one_of(names: Iterable[str]) -> str:
    return f"one of {', '.join(names)}"


def _like(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
