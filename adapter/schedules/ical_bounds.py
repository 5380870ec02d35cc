"""What it would cost to work an iCalendar feed out, judged before anybody tries.

A feed comes from outside, and one line of it (`RRULE:FREQ=SECONDLY`, or a rule that never comes
true) can keep a recurrence library busy for hours. So every rule's cost is estimated from its text:
how many candidates have to be looked at up to `HORIZON`, or up to the year 9999 where the rule may
run dry, as the search for its next occurrence ends only there.
https://www.rfc-editor.org/rfc/rfc5545#section-3.3.10

Knows RRULE lines, and no library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from adapter.errors import InvalidCalendar

HORIZON = 2100  # the year from which on nobody is on call
MOST_COST = 5_000_000  # about ten seconds of looking at candidates
EVENT_COST = 100
DATE_COST = 20
LONGEST_REPEATED = timedelta(days=366)  # longer ones would overlap themselves hundreds of times
MOST_TIME_ZONE_RULES = 200

Rule = Mapping[str, tuple[str, ...]]

_LAST_YEAR = 9999
# Candidates a year, weighted with what looking at one of them costs.
_A_YEAR = {
    "SECONDLY": 31_622_400,
    "MINUTELY": 527_040,
    "HOURLY": 8_784,
    "DAILY": 366,
    "WEEKLY": 106,
    "MONTHLY": 36,
    "YEARLY": 20,
}
_OF_THE_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")
_PACE = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"})
_TIME_ZONE_PARTS = _PACE | {"BYMONTH", "BYDAY", "BYMONTHDAY"}
_PART = re.compile(r"([A-Z-]+)=([^;=]+)", re.IGNORECASE)
_ORDINAL = re.compile(r"([+-]?\d+)?(?:MO|TU|WE|TH|FR|SA|SU)", re.ASCII)


def read_rule(text: str) -> Rule | None:
    """Return a rule's parts, in capitals; None: it is not one that can be followed."""
    parts = [_PART.fullmatch(part) for part in text.upper().strip(";").split(";")]
    rule = {part[1]: tuple(part[2].split(",")) for part in parts if part is not None}
    numbers = (_number(rule, name, 1) for name in ("INTERVAL", "COUNT"))
    if len(rule) < len(parts) or any(number < 1 for number in numbers):
        return None
    return rule if _one(rule, "FREQ") in _A_YEAR else None


def cost_of_rule(rule: Rule, start: datetime) -> int:
    """Return how many candidates have to be looked at, at most, for a rule that begins then."""
    until = _one(rule, "UNTIL")[:4]
    last = min(HORIZON, int(until) + 1) if until.isdecimal() else HORIZON
    years = max(last - start.year, 1)
    a_year = _A_YEAR[_one(rule, "FREQ")] / _number(rule, "INTERVAL", 1)
    times = 1
    for name in _OF_THE_DAY:
        times *= len(rule.get(name, ("",)))
    if not _never_dry(rule):
        found = 366 * times * years
        return int(max(a_year * (_LAST_YEAR - start.year), found))
    return int(min(a_year * times * years, _number(rule, "COUNT", _LAST_YEAR**2) * 366))


def check_time_zones(lines: Iterable[str]) -> None:
    """Refuse rules in a VTIMEZONE that no time zone needs: they are followed while reading.

    Raises InvalidCalendar.
    """
    inside, rules = 0, 0
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.partition(";")[0].strip().upper(), value.strip()
        if value.upper() == "VTIMEZONE" and name in ("BEGIN", "END"):
            inside += 1 if name == "BEGIN" else -1
        if inside > 0 and name in ("RRULE", "EXRULE"):
            rules += 1
            _check_time_zone_rule(value)
    if rules > MOST_TIME_ZONE_RULES:
        raise InvalidCalendar(f"its time zones have {rules} rules; {MOST_TIME_ZONE_RULES} at most")


def _check_time_zone_rule(text: str) -> None:
    rule = read_rule(text)
    if rule is None or _one(rule, "FREQ") != "YEARLY" or not rule.keys() <= _TIME_ZONE_PARTS:
        raise InvalidCalendar(f"a time zone changes by a rule we do not follow: {text[:80]!r}")


def _never_dry(rule: Rule) -> bool:
    """Tell whether the next occurrence is surely near; a false no costs nothing but caution."""
    by = set(rule) - _PACE
    frequency = _one(rule, "FREQ")
    by_day = frequency in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
    if by_day:
        by -= set(_OF_THE_DAY)
    if not by:
        return True
    if frequency == "DAILY":
        return by == {"BYDAY"} and _number(rule, "INTERVAL", 1) == 1
    if frequency == "WEEKLY":
        return by == {"BYDAY"}
    if frequency == "YEARLY":
        by -= {"BYMONTH"}
    return by_day and by in ({"BYDAY"}, {"BYMONTHDAY"}) and _in_every_month(rule)


def _in_every_month(rule: Rule) -> bool:
    days = [int(day) for day in rule.get("BYMONTHDAY", ()) if day.lstrip("+-").isdecimal()]
    found = [_ORDINAL.fullmatch(day) for day in rule.get("BYDAY", ())]
    weeks = [int(match[1] or 1) for match in found if match is not None]
    return all(abs(day) <= 28 for day in days) and all(abs(week) <= 4 for week in weeks)


def _one(rule: Rule, name: str) -> str:
    return rule.get(name, ("",))[0]


def _number(rule: Rule, name: str, default: int) -> int:
    """Return a part's number; 0 where it is none."""
    if name not in rule:
        return default
    text = _one(rule, name)
    return int(text) if text.isdecimal() and len(text) < 10 else 0
