"""What parameter templates see: `{alert, alerts, page, receiver, person, reason, now}`.

Views show what can be said and hide what must not be: a phone number is in none of them. They are
made on demand: ten thousand alerts cost nothing unless a template walks through them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import overload

from adapter.model import Episode, Labels, Page, Person, Reason, Record, Status
from adapter.rendering.speech import Language


class RenderContext(Record):
    """What one call is about."""

    alerts: Sequence[Episode]  # those this call names, oldest first; empty only in a test call
    page: Page | None  # None: a test call
    receiver: str
    person: Person
    reason: Reason
    now: datetime


class AlertView(Record):
    """`alert`, and each of `alerts`."""

    status: Status
    labels: Labels
    annotations: Labels
    values: Mapping[str, float | None]
    starts_at: datetime
    ends_at: datetime | None
    fingerprint: str
    generator_url: str


class PageView(Record):
    """`page`."""

    id: str
    group_labels: Labels
    opened_at: datetime


class PersonView(Record):
    """`person`."""

    name: str


class AlertsView(Sequence[AlertView]):
    """`alerts`: `alerts | length`, `alerts[:3]`, `for a in alerts`."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes = episodes

    def __len__(self) -> int:
        return len(self._episodes)

    @overload
    def __getitem__(self, index: int) -> AlertView: ...
    @overload
    def __getitem__(self, index: slice) -> AlertsView: ...
    def __getitem__(self, index: int | slice) -> AlertView | AlertsView:
        if isinstance(index, slice):
            return AlertsView(self._episodes[index])
        return _alert(self._episodes[index])


# The names a template may use; those with attributes, which ones.
NAMES: dict[str, tuple[str, ...]] = {
    "alert": AlertView.__struct_fields__,
    "alerts": (),
    "page": PageView.__struct_fields__,
    "receiver": (),
    "person": PersonView.__struct_fields__,
    "reason": (),
    "now": (),
}

_ON_CALL = {Language.ZH: "值班人员", Language.EN: "on-call engineer"}


def names(context: RenderContext, language: Language) -> dict[str, object]:
    """Return what the templates of one call see; `language` besides, for the filters.

    A test call has an empty alert and an empty page: `| default(…)` works there as everywhere.
    """
    alerts = AlertsView(context.alerts)
    return {
        "alert": alerts[0] if alerts else _no_alert(context.now),
        "alerts": alerts,
        "page": _page(context.page, context.now),
        "receiver": context.receiver,
        "person": _person(context.person, language),
        "reason": context.reason,
        "now": context.now,
        "language": language,
    }


def _alert(episode: Episode) -> AlertView:
    return AlertView(
        status=Status.FIRING if episode.firing else Status.RESOLVED,
        labels=episode.labels,
        annotations=episode.annotations,
        values=episode.values,
        starts_at=episode.starts_at,
        ends_at=episode.ends_at,
        fingerprint=episode.fingerprint,
        generator_url=episode.generator_url,
    )


def _no_alert(now: datetime) -> AlertView:
    return AlertView(
        status=Status.FIRING,
        labels={},
        annotations={},
        values={},
        starts_at=now,
        ends_at=None,
        fingerprint="",
        generator_url="",
    )


def _page(page: Page | None, now: datetime) -> PageView:
    if page is None:
        return PageView(id="", group_labels={}, opened_at=now)
    return PageView(id=page.id, group_labels=page.group_labels, opened_at=page.opened_at)


def _person(person: Person, language: Language) -> PersonView:
    """A bare number's name is the number, masked: nothing that one would say."""
    name = _ON_CALL[language] if person.name == str(person.phone) else person.name
    return PersonView(name=person.spoken_name or name)
