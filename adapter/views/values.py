"""Single values as they are shown: times with their zone, texts without phone numbers."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from adapter.model import mask_number

Json = dict[str, Any]

# A number as E.164 has it, or a mainland mobile number as people write it.
_PHONE = re.compile(
    r"(?<![0-9A-Za-z_+])(?<![0-9]\.)(?:\+[1-9][0-9]{6,14}|1[3-9][0-9]{9})(?!\.?[0-9A-Za-z_])"
)


def shown(instant: datetime) -> str:
    """Return an instant as every answer has it."""
    return instant.isoformat(timespec="milliseconds")


def maybe_shown(instant: datetime | None) -> str | None:
    """Return an instant, or nothing for none."""
    return None if instant is None else shown(instant)


def mask_phones(text: str) -> str:
    """Hide the middle of what looks like somebody's phone number."""
    return _PHONE.sub(lambda found: mask_number(found[0]), text)
