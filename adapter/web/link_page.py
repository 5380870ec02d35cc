"""The page behind an acknowledgement link: what is shown, in English and Chinese.

It stands alone: no script, nothing loaded from anywhere. Labels come from senders and are hostile.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum

from jinja2 import Environment, StrictUndefined

from adapter.model import Page, Record

_LONGEST = 200  # characters of a name or value


class Said(Enum):
    """What the page says first: English, Chinese, and the status it comes with."""

    ASKS = "Acknowledge this page?", "确认收到这组告警吗？", 200
    TAKEN = (
        "Acknowledged. Nobody else will be called about it.",
        "已确认，不会再为此呼叫其他人。",
        200,
    )
    TAKEN_BEFORE = "Somebody has already acknowledged this page.", "已经有人确认了这组告警。", 200
    CLOSED = "This page is over: nothing is left to acknowledge.", "这组告警已结束，无需确认。", 410
    EXPIRED = "This link has expired.", "此链接已过期。", 410
    NOT_OURS = "This is no valid link.", "此链接无效。", 404
    NOT_NOW = "This cannot be saved now. Try again.", "暂时无法保存，请重试。", 503

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.value[2]


class Shown(Record):
    """What a page is about."""

    page: Page
    firing: int
    alertnames: Sequence[tuple[str, int]]  # those shown, with how many alerts fire under each
    more_alertnames: int = 0


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.3em } dt { font-weight: bold } dd { margin: 0 0 .5em; overflow-wrap: anywhere }
button { font-size: 1.1em; padding: .6em 1.2em }
"""

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{{ english }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<h1>{{ english }}<br><span lang="zh">{{ chinese }}</span></h1>
{% if shown -%}
<dl>
<dt>Receiver · <span lang="zh">接收组</span></dt><dd>{{ shown.page.receiver | short }}</dd>
{% for name, value in shown.page.group_labels | dictsort -%}
<dt>{{ name | short }}</dt><dd>{{ value | short }}</dd>
{% endfor -%}
<dt>Firing · <span lang="zh">告警中</span></dt><dd>{{ shown.firing }}
{%- for name, count in shown.alertnames %}<br>{{ name | short }} × {{ count }}{% endfor %}
{%- if shown.more_alertnames %}<br>… + {{ shown.more_alertnames }}{% endif %}</dd>
<dt>Opened · <span lang="zh">开始于</span></dt><dd>{{ shown.page.opened_at | moment }}</dd>
{% if shown.page.acknowledged_at -%}
<dt>Acknowledged · <span lang="zh">确认于</span></dt>
<dd>{{ shown.page.acknowledged_at | moment }} ({{ shown.page.acknowledged_by | short }})</dd>
{% endif -%}
</dl>
{% endif -%}
{% if asks -%}
<form method="post"><button>Acknowledge · <span lang="zh">确认收到</span></button></form>
{% endif -%}
</body>
</html>
"""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _moment(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


_environment = Environment(autoescape=True, undefined=StrictUndefined)
_environment.filters |= {"short": _short, "moment": _moment}
_page = _environment.from_string(_TEMPLATE)

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# Nothing may be loaded or framed, nothing kept or indexed, and nobody told of the address.
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}


def render(said: Said, shown: Shown | None = None) -> str:
    """Return the HTML."""
    english, chinese, _status = said.value
    return _page.render(
        english=english,
        chinese=chinese,
        shown=shown,
        asks=said is Said.ASKS,
        style=_STYLE,
    )
