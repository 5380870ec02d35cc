"""What would happen: asks the very functions that take a webhook in and make its calls.

`alerts`: which phones an alert would ring, when, with which words, and why, or why none. `samples`:
voice templates filled in. Reads no store and changes nothing; must not know who asks.
"""

from adapter.preview.alerts import Lead, Preview, RosterAt, Said, StepPreview, preview
from adapter.preview.samples import SAMPLE_PERSON, Sample, sample, sample_alerts

__all__ = [
    "SAMPLE_PERSON",
    "Lead",
    "Preview",
    "RosterAt",
    "Said",
    "Sample",
    "StepPreview",
    "preview",
    "sample",
    "sample_alerts",
]
