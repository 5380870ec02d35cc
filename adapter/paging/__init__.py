"""When a phone rings: the decisions about alerts, pages and calls, as pure functions.

`records`: what goes in and comes out. `decisions`: one notification's alerts -> pages open, stay or
close, and what is said of each alert. `episodes`: one alert from firing to resolved. `owing`: the
calls about a page so far -> which one its people are owed, and when. `escalation`: what those calls
came to -> the next step, or the end; `ladder`: the moves it can make. `limits`: when a phone may
ring again.

Nothing here does I/O, reads a clock or makes up an id: `now` and `new_id` come in.
"""

from adapter.paging.decisions import decide
from adapter.paging.episodes import LATE_NEWS
from adapter.paging.escalation import look, persons_only
from adapter.paging.ladder import Moves, OnCall
from adapter.paging.limits import limited_until
from adapter.paging.owing import wait_for_look_up
from adapter.paging.records import (
    AlertKey,
    Changes,
    Known,
    MaybeTold,
    PageKey,
    Routed,
    Verdict,
    page_key,
)

__all__ = [
    "LATE_NEWS",
    "AlertKey",
    "Changes",
    "Known",
    "MaybeTold",
    "Moves",
    "OnCall",
    "PageKey",
    "Routed",
    "Verdict",
    "decide",
    "limited_until",
    "look",
    "page_key",
    "persons_only",
    "wait_for_look_up",
]
