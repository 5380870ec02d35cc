"""The route tree and the time intervals, with the rules Alertmanager has for them.

Source: https://prometheus.io/docs/alerting/latest/configuration/, and what that page leaves out:
https://github.com/prometheus/alertmanager/blob/main/config/config.go. Knows nothing of people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec import to_builtins

from adapter.config.draft import Draft
from adapter.config.problems import Path, quote
from adapter.config.schema_routes import RouteSection, TimeIntervalSection, TimeSpecSection
from adapter.errors import InvalidMatcher, InvalidTimeInterval
from adapter.matchers import (
    Matcher,
    Operator,
    is_classic_label_name,
    match_re,
    parse_matchers,
)
from adapter.routing import ALL_LABELS, RouteSpec
from adapter.time_intervals import TimeInterval, TimeIntervalSpec, parse_spec

ROOT: Path = ("route",)
_TIME_WORDS = {
    "times": 'start_time and end_time such as "09:00" and "17:00"',
    "weekdays": "a weekday or a range such as monday:friday",
    "days_of_month": "a day from 1 to 31 or -31 to -1, or a range of them",
    "months": "a month or a range such as january:march",
    "years": "a year or a range such as 2026:2028",
    "location": "a time zone such as Asia/Shanghai",
}
_MATCHER = 'a matcher such as severity="critical"'


def build_route(
    root: RouteSection, receivers: Collection[str], intervals: Collection[str], draft: Draft
) -> RouteSpec:
    """Return the tree as the file says it, before inheritance."""
    _check_root(root, draft)
    return _Routes(receivers, intervals, draft).spec(root, ROOT)


def routes_of(spec: RouteSpec) -> Iterator[RouteSpec]:
    """Give the route and all below it."""
    yield spec
    for child in spec.routes:
        yield from routes_of(child)


def _check_root(root: RouteSection, draft: Draft) -> None:
    if root.receiver is None and draft.has(ROOT):
        hint = "the root names the receiver of all that no child route takes"
        draft.problem((*ROOT, "receiver"), "nothing", "the name of a receiver", hint)
    refused = {
        "matchers": root.matchers,
        "match": root.match,
        "match_re": root.match_re,
        "continue": root.continue_,
        "mute_time_intervals": root.mute_time_intervals,
        "active_time_intervals": root.active_time_intervals,
    }
    for key, value in refused.items():
        if value:
            hint = "the root takes every alert: move this to a child route"
            draft.key_problem((*ROOT, key), key, "none in the root route", hint)


class _Routes:
    def __init__(
        self, receivers: Collection[str], intervals: Collection[str], draft: Draft
    ) -> None:
        self._receivers, self._intervals, self._draft = receivers, intervals, draft

    def spec(self, section: RouteSection, path: Path) -> RouteSpec:
        receiver = "the name of a receiver"
        self._draft.knows(section.receiver or "", self._receivers, (*path, "receiver"), receiver)
        for key, names in (
            ("mute_time_intervals", section.mute_time_intervals),
            ("active_time_intervals", section.active_time_intervals),
        ):
            for index, name in enumerate(names or ()):
                here = (*path, key, index)
                self._draft.knows(name, self._intervals, here, "the name of a time interval")
        repeat = section.repeat_interval
        return RouteSpec(
            receiver=section.receiver,
            matchers=(
                *self._old_matchers(section, path),
                *read_matchers(section.matchers or (), path, self._draft),
            ),
            continue_=bool(section.continue_),
            group_by=self._group_by(section.group_by, (*path, "group_by")),
            group_wait=section.group_wait,
            group_interval=section.group_interval,
            repeat_interval=None if repeat is None else repeat.value,
            mute_time_intervals=tuple(section.mute_time_intervals or ()),
            active_time_intervals=tuple(section.active_time_intervals or ()),
            routes=tuple(
                self.spec(child, (*path, "routes", index))
                for index, child in enumerate(section.routes or ())
            ),
        )

    def _old_matchers(self, section: RouteSection, path: Path) -> Iterator[Matcher]:
        for name, value in (section.match or {}).items():
            if self._is_label(name, (*path, "match", name)):
                yield Matcher(name=name, operator=Operator.EQUAL, value=value)
        for name, pattern in (section.match_re or {}).items():
            here = (*path, "match_re", name)
            if self._is_label(name, here):
                try:
                    yield match_re(name, pattern)
                except InvalidMatcher as error:
                    self._draft.problem(here, quote(pattern), "an RE2 regex", str(error))

    def _is_label(self, name: str, path: Path) -> bool:
        is_label = is_classic_label_name(name)
        if not is_label:
            expected = "a label name of letters, digits and _"
            hint = "write it as a matcher if the label is really called so"
            self._draft.key_problem(path, quote(name), expected, hint)
        return is_label

    def _group_by(self, names: Sequence[str] | None, path: Path) -> tuple[str, ...] | None:
        if names is None:
            return None
        places = [(name, (*path, index)) for index, name in enumerate(names)]
        self._draft.no_repeats(places, "each label once", "remove one of the two")
        if ALL_LABELS[0] in names and len(set(names)) > 1:
            hint = "it means every label: remove it or the others"
            self._draft.problem(path, '"..." beside other labels', "one or the other", hint)
        for name, here in places:
            if not name or name in ALL_LABELS:
                continue
            if not is_classic_label_name(name):
                hint = "only senders with UTF-8 label names have such a label"
                self._draft.warning(here, quote(name), hint=hint)
        return tuple(names)


# --- time intervals ----------------------------------------------------------------------------


def build_time_intervals(
    sections: Sequence[TimeIntervalSection],
    deprecated: Sequence[TimeIntervalSection],
    draft: Draft,
) -> dict[str, TimeInterval]:
    """Return the intervals by name; those of the deprecated top-level key count too."""
    if deprecated:
        draft.warning(("mute_time_intervals",), "a deprecated key", hint="use time_intervals")
    places: list[tuple[TimeIntervalSection, Path]] = [
        (section, (key, index))
        for key, listed in (("time_intervals", sections), ("mute_time_intervals", deprecated))
        for index, section in enumerate(listed)
    ]
    names = [(section.name, (*path, "name")) for section, path in places]
    draft.no_repeats(names, "a name of its own for each time interval", "rename one of the two")
    return {section.name: _interval(section, path, draft) for section, path in places}


def _interval(section: TimeIntervalSection, path: Path, draft: Draft) -> TimeInterval:
    specs = [
        _spec(spec, (*path, "time_intervals", index), draft)
        for index, spec in enumerate(section.time_intervals or ())
    ]
    return TimeInterval(name=section.name, specs=tuple(specs))


def _spec(section: TimeSpecSection, path: Path, draft: Draft) -> TimeIntervalSpec:
    """Parse one spec; item by item, so that nothing hides what is wrong with another."""
    times = section.times
    lists: dict[str, Sequence[str | dict[str, str]] | None] = {
        "times": None if times is None else [to_builtins(time) for time in times],
        "weekdays": section.weekdays,
        "days_of_month": section.days_of_month,
        "months": section.months,
        "years": section.years,
    }
    good: dict[str, object] = {
        field: [
            item
            for index, item in enumerate(items)
            if _is_right(field, item, (*path, field, index), draft)
        ]
        for field, items in lists.items()
        if items is not None
    }
    location = section.location
    if location is not None and _is_right("location", location, (*path, "location"), draft):
        good["location"] = location
    return parse_spec(good)


def _is_right(field: str, item: str | dict[str, str], path: Path, draft: Draft) -> bool:
    """Tell whether a spec of this alone is one; a blank has been noted already."""
    words = [item] if isinstance(item, str) else list(item.values())
    if field != "location" and "" in words:
        return False
    try:
        parse_spec({field: item if field == "location" else [item]})
    except InvalidTimeInterval as error:
        draft.problem(path, " to ".join(map(quote, words)), _TIME_WORDS[field], str(error))
        return False
    return True


def read_matchers(texts: Sequence[str], path: Path, draft: Draft) -> Iterator[Matcher]:
    """Return the matchers of a list of texts; what cannot be read is reported."""
    for index, text in enumerate(texts):
        here = (*path, "matchers", index)
        try:
            parsed = parse_matchers(text)
        except InvalidMatcher as error:
            draft.problem(here, quote(text), _MATCHER, str(error))
            continue
        if parsed.warning is not None:
            draft.warning(here, quote(text), hint=parsed.warning)
        yield from parsed.matchers
