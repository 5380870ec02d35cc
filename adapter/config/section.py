"""What the sections of routes.yaml are made of: their base, and the scalars that mean something.

Knows no section. A field that is `None` is not set (as is a key without a value).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Final
from zoneinfo import ZoneInfo

from msgspec import Meta

from adapter.config.clocks import MOMENT_PATTERN, WALL_TIME_PATTERN
from adapter.model import PhoneNumber, Record, Secret
from adapter.routing import Repeat

ALERTMANAGER: Final = "it belongs into alertmanager.yml; here stands only who is called"

Name = Annotated[str, Meta(min_length=1)]
Phone = Annotated[PhoneNumber, Meta(examples=["+8613512345678"])]
TimeZone = ZoneInfo  # an IANA name
WebUrl = Secret  # http or https; with many a webhook the URL is the password
Count = Annotated[int, Meta(ge=1)]

# A Prometheus duration. `extra` bounds it: `above`, `least` and `most` are durations too.
Duration = timedelta
PositiveDuration = Annotated[timedelta, Meta(extra={"above": timedelta(0)})]

# On the clock of a place that is said elsewhere; the other may have an offset of its own.
WallTime = Annotated[datetime, Meta(tz=False, extra_json_schema={"pattern": WALL_TIME_PATTERN})]
Moment = Annotated[datetime, Meta(extra_json_schema={"pattern": MOMENT_PATTERN})]


class DurationOrNever:
    """A duration above 0, or `never`."""

    INSTEAD_OF_0: ClassVar[str]  # what to write who means 0

    __slots__ = ("value",)

    def __init__(self, value: timedelta | Repeat) -> None:
        self.value = value


class RepeatInterval(DurationOrNever):
    """How long after its last call a page is called about again."""

    INSTEAD_OF_0 = "write never to call but once"


class PollInterval(DurationOrNever):
    """How often the vendor is asked what became of calls."""

    INSTEAD_OF_0 = "write never if receipts are pushed"


class Section(Record):
    """A mapping of routes.yaml; other keys than its fields are refused."""

    # What to do about keys that are no fields here, but which somebody may well try.
    ELSEWHERE: ClassVar[dict[str, str]] = {}


def advise(keys: str, hint: str) -> dict[str, str]:
    """Return what to do about each of these keys, which are set apart by blanks."""
    return dict.fromkeys(keys.split(), hint)
