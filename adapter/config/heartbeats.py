"""Heartbeats: alerts that have to come, and who is called when they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapter.config.draft import Draft
from adapter.config.problems import Path, quote
from adapter.config.route_tree import read_matchers
from adapter.config.schema_routes import HeartbeatSection
from adapter.heartbeats import Heartbeat
from adapter.model import Receiver


def build_heartbeats(
    sections: Sequence[HeartbeatSection], receivers: Mapping[str, Receiver], draft: Draft
) -> tuple[Heartbeat, ...]:
    """Return the heartbeats in their order."""
    places = [(section.name, ("heartbeats", i, "name")) for i, section in enumerate(sections)]
    draft.no_repeats(places, "a name of its own for each heartbeat", "rename one of the two")
    return tuple(
        _heartbeat(section, ("heartbeats", index), receivers, draft)
        for index, section in enumerate(sections)
    )


def _heartbeat(
    section: HeartbeatSection, path: Path, receivers: Mapping[str, Receiver], draft: Draft
) -> Heartbeat:
    here = (*path, "receiver")
    draft.knows(section.receiver, receivers, here, "the name of a receiver")
    called = receivers.get(section.receiver)
    if called is not None and not called.escalation:
        expected = "a receiver that calls somebody"
        draft.problem(here, quote(section.receiver), expected, "choose another one")
    return Heartbeat(
        name=section.name,
        matchers=tuple(read_matchers(section.matchers, path, draft)),
        every=section.every,
        receiver=section.receiver,
        summary=section.summary or "",
    )
