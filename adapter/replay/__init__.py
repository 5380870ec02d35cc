"""A recorded night once more, in virtual time: whom a routes.yaml would have rung, and when.

recordings -> for each in its time: what is due before it, then parse, route, decide, record
           -> a `Night` of calls -> compared with another -> values, Markdown

The functions that decide are the service's own; the store is a private one that is thrown away.
Must not know the service that runs, and never reaches the vendor.
"""

from adapter.replay.comparing import Comparison, Difference, DifferenceKind, compare
from adapter.replay.engine import EVERYBODY, replay
from adapter.replay.night import AlertFate, Exhausted, Night, Ring
from adapter.replay.recordings import (
    DatedBy,
    InvalidRecording,
    Recording,
    Recordings,
    of_webhooks,
    read_paths,
    write_line,
)

__all__ = [
    "EVERYBODY",
    "AlertFate",
    "Comparison",
    "DatedBy",
    "Difference",
    "DifferenceKind",
    "Exhausted",
    "InvalidRecording",
    "Night",
    "Recording",
    "Recordings",
    "Ring",
    "compare",
    "of_webhooks",
    "read_paths",
    "replay",
    "write_line",
]
