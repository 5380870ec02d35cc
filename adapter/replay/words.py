"""A replay's values as the short texts that tables for people are made of."""

from __future__ import annotations

from datetime import datetime, timedelta

from adapter.durations import format_duration
from adapter.replay.comparing import DifferenceKind
from adapter.replay.report import Json

_ALERTS_NAMED = 3  # of one call, in a cell
_NAME = "alertname"


def totals(config: Json) -> list[tuple[str, str]]:
    """Return the counts of one replay, with their names."""
    calls = config["calls"]
    shadowed = sum(call["shadow"] for call in calls)
    told = sum(each["fallback_told"] for each in config["exhausted"])
    return [
        ("alerts", str(config["alerts"])),
        ("alerts that ring nobody", str(len(config["silent_alerts"]))),
        ("pages", str(config["pages"])),
        ("pages acknowledged", str(config["acknowledged"])),
        ("escalations exhausted", str(len(config["exhausted"]))),
        ("fallback webhooks told", str(told)),
        ("calls", str(len(calls) - shadowed)),
        ("calls in shadow mode", str(shadowed)),
        ("calls held back by a limit", str(sum(call["limited"] for call in calls))),
        ("people called", str(len(config["people"]))),
    ]


def why(call: Json) -> str:
    """Return a call's reason, its step and what held it back."""
    said = [call["reason"]]
    if call["step"] is not None:
        said.append(f"step {call['step']}")
    said += [word for word in ("limited", "shadow") if call[word]]
    return ", ".join(said)


def alerts(call: Json) -> str:
    """Return the first alerts that a call names, and how many more."""
    named = [alert(labels) for labels in call["alerts"][:_ALERTS_NAMED]]
    more = call["alerts_in_all"] - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def alert(labels: Json) -> str:
    """Return an alert by its name and its other labels."""
    others = [f"{name}={value}" for name, value in sorted(labels.items()) if name != _NAME]
    inner = f"{{{', '.join(others)}}}" if others else ""
    return f"{labels.get(_NAME, '')}{inner}"


def reasons(fate: Json) -> str:
    """Return why an alert rang nobody, or what became of it."""
    return ", ".join(f"{reason} ×{count}" for reason, count in fate["reasons"].items())


def change(difference: Json) -> str:
    """Return what is different about a call."""
    a, b = difference["a"], difference["b"]
    match difference["kind"]:
        case DifferenceKind.MOVED:
            return _moved(a, b)
        case DifferenceKind.OTHER_PERSON:
            return f"{a['person']} → {b['person']}"
        case DifferenceKind.REWORDED:
            return f"“{a['words']}” → “{b['words']}”"
        case kind:
            return str(kind)


def _moved(a: Json, b: Json) -> str:
    by = datetime.fromisoformat(b["at"]) - datetime.fromisoformat(a["at"])
    how = "later" if by > timedelta(0) else "earlier"
    said = f"{format_duration(_whole(abs(by)))} {how}" if by else "same time"
    return said if a["alerts"] == b["alerts"] else f"{said}, other alerts"


def _whole(duration: timedelta) -> timedelta:
    """Return a duration in whole seconds, but never none at all."""
    return max(timedelta(seconds=round(duration.total_seconds())), timedelta(seconds=1))


def supposed(report: Json) -> str:
    """Return what people are supposed to do."""
    names = report["answered_by"]
    return f"answered after 20 s by {', '.join(names)}" if names else "nobody answers"


def dated(report: Json) -> str:
    """Return where the times of the recordings are from."""
    return ", ".join(f"{count} by {how}" for how, count in report["dated_by"].items())
