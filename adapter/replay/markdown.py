"""A replay as Markdown: what a reviewer reads in a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from adapter.replay import words
from adapter.replay.report import Json

_LIST_MOST = 50  # rows of a list: a comment in a pull request has its limit


def markdown(report: Json, zone: tzinfo | None = None) -> str:
    """Return what a reviewer reads in a pull request; `zone`: None is this machine's."""
    return "\n".join(_Page(report, zone).lines()) + "\n"


class _Page:
    def __init__(self, report: Json, zone: tzinfo | None) -> None:
        self._report, self._zone = report, zone

    def lines(self) -> Iterator[str]:
        report = self._report
        yield "### Replay of recorded notifications"
        yield ""
        began = f"{self._time(report['from'])} to {self._time(report['until'])}"
        yield f"{report['notifications']} notifications, {began}; {words.supposed(report)}."
        if report["skipped"]:
            yield f"Left out, as they could not be read: {len(report['skipped'])}."
        yield ""
        yield from self._totals()
        if report["comparison"] is None:
            yield from self._people(report["configs"][0])
            yield from self._silent("Alerts that ring nobody", report["configs"][0])
            yield from self._calls(report["configs"][0]["calls"])
        else:
            yield from self._differences(report["comparison"])

    def _totals(self) -> Iterator[str]:
        configs = self._report["configs"]
        names = ("A", "B") if len(configs) > 1 else ("",)
        heads = [
            f"{name} {_code(each['config'])}".strip()
            for name, each in zip(names, configs, strict=True)
        ]
        rows = [[name] for name, _ in words.totals(configs[0])]
        for config in configs:
            for row, (_, count) in zip(rows, words.totals(config), strict=True):
                row.append(count)
        yield from _table(["", *heads], [*rows, *self._verdicts(configs)])

    def _verdicts(self, configs: Sequence[Json]) -> Iterator[list[str]]:
        names = dict.fromkeys(reason for config in configs for reason in config["verdicts"])
        for name in names:
            counts = [str(config["verdicts"].get(name, 0)) for config in configs]
            yield [f"verdict {name}", *counts]

    def _differences(self, comparison: Json) -> Iterator[str]:
        if not comparison["differs"]:
            yield f"**No difference**: {comparison['same']} calls are the same."
            return
        if comparison["silenced"]:
            count = len(comparison["silenced"])
            yield f"> **Warning: alerts that ring somebody in A ring nobody in B: {count}**"
            yield ""
            yield from self._fates(comparison["silenced"])
        if comparison["heard"]:
            yield f"**Alerts that ring somebody in B only: {len(comparison['heard'])}**"
            yield ""
            yield from self._fates(comparison["heard"])
        counts = ", ".join(f"{n} {kind}" for kind, n in comparison["counts"].items() if n)
        yield f"**Calls: {counts or 'none differs'}**; {comparison['same']} the same"
        yield ""
        yield from self._changes(comparison["differences"])

    def _changes(self, differences: Sequence[Json]) -> Iterator[str]:
        rows = []
        for difference in differences[:_LIST_MOST]:
            call = difference["a"] or difference["b"]
            rows.append(
                [
                    self._time(call["at"]),
                    words.change(difference),
                    call["person"],
                    call["receiver"],
                    words.why(call),
                    words.alerts(call),
                ]
            )
        yield from _table(["time", "change", "person", "receiver", "why", "alerts"], rows)
        yield from _left_out(differences)

    def _people(self, config: Json) -> Iterator[str]:
        rows = [
            [
                each["person"],
                str(each["calls"]),
                self._time(each["first"]),
                self._time(each["last"]),
            ]
            for each in config["people"]
        ]
        if rows:
            yield from _table(["person", "calls", "first", "last"], rows)

    def _silent(self, title: str, config: Json) -> Iterator[str]:
        if config["silent_alerts"]:
            yield f"**{title}**"
            yield ""
            yield from self._fates(config["silent_alerts"])

    def _fates(self, fates: Sequence[Json]) -> Iterator[str]:
        rows = [
            [self._time(fate["first_at"]), words.alert(fate["labels"]), words.reasons(fate)]
            for fate in fates[:_LIST_MOST]
        ]
        yield from _table(["first", "alert", "why"], rows)
        yield from _left_out(fates)

    def _calls(self, calls: Sequence[Json]) -> Iterator[str]:
        rows = [
            [
                self._time(call["at"]),
                call["person"],
                call["receiver"],
                words.why(call),
                words.alerts(call),
            ]
            for call in calls[:_LIST_MOST]
        ]
        if rows:
            yield from _table(["time", "person", "receiver", "why", "alerts"], rows)
            yield from _left_out(calls)

    def _time(self, instant: str | None) -> str:
        if instant is None:
            return "never"
        return f"{datetime.fromisoformat(instant).astimezone(self._zone):%Y-%m-%d %H:%M:%S %Z}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row(heads)
    yield _row(["---"] * len(heads))
    for row in rows:
        yield _row([_cell(text) for text in row])
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """Return a text as code, of which nothing ends the code or its cell."""
    return f"`{text.translate({ord('`'): None, ord('|'): None})}`"


def _cell(text: str) -> str:
    """Return a text that neither ends its cell nor means anything to Markdown or HTML."""
    folded = " ".join(text.split())
    for special in "\\|<>*_[]`":
        folded = folded.replace(special, f"\\{special}")
    return folded


def _left_out(rows: Sequence[object]) -> Iterator[str]:
    if len(rows) > _LIST_MOST:
        yield f"… and {len(rows) - _LIST_MOST} more"
        yield ""
