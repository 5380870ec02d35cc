"""What a parameter template may see and do: a sandbox without loader, I/O, clock or chance.

Authors of templates are trusted with the phone, not with the process: a slip of theirs must not
fill its memory. Alert data is not trusted with anything: labels are values here and never become
templates, and a label called `items` is a label, not a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from jinja2 import StrictUndefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from adapter.rendering.speech import Language

_MAX_PRODUCT = 10_000  # items of a string or list times a number: more is nothing to be said
_MAX_EXPONENT = 64
_MAX_BASE = 10**18


class VoiceEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2 for words on a phone."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        # No autoescape: what is spoken is no HTML, `&lt;` would be read out.
        super().__init__(undefined=StrictUndefined, autoescape=False, finalize=_finalize)
        self.globals = {name: self.globals[name] for name in ("range", "namespace")}
        del self.filters["random"]
        self.filters |= {"since": _since, "spoken": _spoken, "short_host": _short_host}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return `labels.x`: of a mapping only its keys, never its methods."""
        if isinstance(obj, Mapping):
            return self._value(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return `labels["x"]`; `map(attribute="labels.x")` comes here too."""
        if isinstance(obj, Mapping):
            return self._value(obj, argument)
        return super().getitem(obj, argument)

    def _value(self, mapping: Mapping[Any, Any], key: Any) -> Any:
        try:
            return mapping[key]
        except (LookupError, TypeError):
            there = ", ".join(map(str, mapping)) or "nothing"
            return self.undefined(hint=f"no {key!r} here (there is: {there})", name=str(key))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse a product or power that would take the memory or the processor."""
        if operator == "**" and (abs(left) > _MAX_BASE or abs(right) > _MAX_EXPONENT):
            raise SecurityError(f"the power is too large: at most {_MAX_BASE} ** {_MAX_EXPONENT}")
        for many, times in ((left, right), (right, left)):
            if hasattr(many, "__len__") and len(many) * times > _MAX_PRODUCT:
                raise SecurityError(f"the product is too long: at most {_MAX_PRODUCT} items")
        return super().call_binop(context, operator, left, right)


def _finalize(value: Any) -> Any:
    """Return what is printed for a value: nothing for none, and numbers a listener can take in."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, float):
        return _number(value)
    return value


def _number(value: float) -> str:
    """Return two decimals, or two significant digits below 1: 95.33, 0.0042, 7."""
    rounded = Decimal(f"{value:.2f}" if abs(value) >= 1 else f"{value:.2g}")
    text = format(rounded, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# --- filters ---------------------------------------------------------------------------------

_UNITS = (  # seconds, in Chinese, in English
    (86_400, "天", "day"),
    (3_600, "小时", "hour"),
    (60, "分钟", "minute"),
    (1, "秒", "second"),
)

_SAID = {
    Language.ZH: {
        "firing": "告警中",
        "first": "新告警",
        "new_alerts": "新增告警",
        "repeat": "仍未恢复",
        "escalation": "升级告警",
        "resolved": "已恢复",
        "test": "测试",
        "drill": "演练",
    },
    Language.EN: {
        "firing": "firing",
        "first": "new alert",
        "new_alerts": "more alerts",
        "repeat": "still firing",
        "escalation": "escalated",
        "resolved": "resolved",
        "test": "test",
        "drill": "drill",
    },
}


@pass_context
def _since(context: Context, instant: datetime) -> str:
    """`alert.starts_at | since` -> "1小时5分钟", "1 hour 5 minutes": two units at most."""
    left = max(context["now"] - instant, timedelta(0)) // timedelta(seconds=1)
    counts: list[tuple[int, str, str]] = []
    for seconds, zh, en in _UNITS:
        count, left = divmod(left, seconds)
        if count or counts:
            counts.append((count, zh, en))
    said = [unit for unit in counts[:2] if unit[0]] or [(0, *_UNITS[-1][1:])]
    if context["language"] is Language.ZH:
        return "".join(f"{count}{zh}" for count, zh, _ in said)
    return " ".join(f"{count} {en}{'' if count == 1 else 's'}" for count, _, en in said)


@pass_context
def _spoken(context: Context, word: str) -> str:
    """`reason | spoken`, `alert.status | spoken` -> the word in the template's language."""
    said: str = _SAID[context["language"]].get(word, word)
    return said


def _short_host(instance: str) -> str:
    """`alert.labels.instance | short_host` -> the first name of a host; an address as it is."""
    host, _, port = instance.rpartition(":")
    without_port = (
        host if port.isdecimal() and (":" not in host or host.endswith("]")) else instance
    )
    name = without_port.partition(".")[0]
    return without_port if name.isdecimal() or not name else name


ENVIRONMENT = VoiceEnvironment()
