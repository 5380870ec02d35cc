"""What is wrong with routes.yaml: where, what was found, what was expected, how to mend it.

Knows nothing of YAML or of what the settings mean. No text of a problem holds a full phone number.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable

from adapter.errors import AdapterError
from adapter.model import Record, mask_number

Path = tuple[str | int, ...]

# Anything with at least nine digits, however they are set apart, may be somebody's number.
_NUMBER = re.compile(r"\+?\d(?:[\s().-]{0,3}\d){8,}")
_LONGEST_QUOTE = 60  # characters of a found value that are shown
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_USER_OF_URL = re.compile(r"(?<=://)[^\s/@]*@")


class Position(Record):
    """Where something stands, counted from 1; both 0 means the file as a whole."""

    line: int = 0
    column: int = 0


class Problem(Record):
    """One thing to mend, or (as a warning) to look at."""

    file: str
    line: int  # 0: the file as a whole
    column: int
    path: str  # `$.route.routes[2].receiver`; `$` is the file
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        where = [self.file] + [str(n) for n in (self.line, self.column) if n]
        path = self.path.removeprefix("$").removeprefix(".")
        text = f"{':'.join(where)}: {path + ': ' if path else ''}found {self.found}"
        text += f", expected {self.expected}" if self.expected else ""
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(AdapterError):
    """routes.yaml cannot be used; `problems` holds all that is wrong with it, by position."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_by_position))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Report:
    """Collects the problems and warnings of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings by position."""
        return tuple(sorted(self._warnings, key=_by_position))

    def problem(self, at: Position, path: Path, found: str, expected: str, hint: str = "") -> None:
        """Note something that makes the file unusable."""
        self._problems.append(self._make(at, path, found, expected, hint))

    def warning(
        self, at: Position, path: Path, found: str, expected: str = "", hint: str = ""
    ) -> None:
        """Note something that works but is hardly meant."""
        self._warnings.append(self._make(at, path, found, expected, hint))

    def error(self) -> ConfigError:
        """Return all problems as one error."""
        return ConfigError(self._problems)

    def raise_problems(self) -> None:
        """Raise all that was noted, if anything was."""
        if self._problems:
            raise self.error()

    def _make(self, at: Position, path: Path, found: str, expected: str, hint: str) -> Problem:
        return Problem(
            file=self.file,
            line=at.line,
            column=at.column,
            path=masked(spell(path)),
            found=masked(found),
            expected=expected,
            hint=masked(hint),
        )


def spell(path: Path) -> str:
    """Write a path as `$.receivers[0].name`, other than plain keys in quotes."""
    return "$" + "".join(
        f"[{part}]"
        if isinstance(part, int)
        else f".{part}"
        if _PLAIN_KEY.fullmatch(part)
        else f"[{quote(part)}]"
        for part in path
    )


def quote(text: str) -> str:
    """Show a found text in quotes, on one line and not at full length."""
    text = masked(text)  # before it is cut: half of a number is a number no more
    shown = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
    escaped = json.dumps(shown, ensure_ascii=False)
    if '"' in shown and "'" not in shown:
        return f"'{escaped[1:-1]}'".replace('\\"', '"')
    return escaped


def masked(text: str) -> str:
    """Hide the middle of whatever may be a phone number, and the user of a URL."""
    text = _USER_OF_URL.sub("***@", text)
    return _NUMBER.sub(lambda match: mask_number(match.group()), text)


def listed(names: Iterable[str]) -> str:
    """Write names as `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean "…"?` when a known name is near, else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {quote(by_lower[near[0]])}?" if near else ""


def _by_position(problem: Problem) -> tuple[int, int, str]:
    return problem.line, problem.column, problem.path
