"""Runs the command line with a clock that is wrong by as many seconds as a file says.

python -m faults.clocked FILE serve --config …
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

from adapter import clock

_right = clock.utc_now
_offset = Path(sys.argv[1]) if len(sys.argv) > 1 else None


def _wrong() -> datetime:
    assert _offset is not None
    return _right() + timedelta(seconds=float(_offset.read_text() or 0))


if __name__ == "__main__":
    clock.utc_now = _wrong  # before anybody takes it by name

    from adapter.cli.main import run

    sys.exit(run(sys.argv[2:]))
