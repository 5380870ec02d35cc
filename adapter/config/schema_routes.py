"""The sections of routes.yaml about where an alert goes, and when: routes and time intervals.

With Alertmanager's words and meaning:
https://prometheus.io/docs/alerting/latest/configuration/.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from adapter.config.section import (
    ALERTMANAGER,
    Duration,
    Name,
    PositiveDuration,
    RepeatInterval,
    Section,
    advise,
)


class RouteSection(Section):
    """A node of the routing tree, with Alertmanager's meaning."""

    ELSEWHERE: ClassVar[dict[str, str]] = {"labels": ALERTMANAGER} | advise(
        "call escalation people schedule repeat fallback_webhook",
        "it belongs to a receiver, which the route names",
    )

    receiver: Annotated[
        Name | None, Meta(description="Name of a receiver. Default: the parent route's.")
    ] = None
    matchers: Annotated[
        list[str] | None, Meta(description='All must match: severity="critical", team=~"a|b".')
    ] = None
    match: Annotated[
        dict[str, str] | None, Meta(description="Old form of matchers: labels with their values.")
    ] = None
    match_re: Annotated[
        dict[str, str] | None,
        Meta(description="Old form of matchers: labels with anchored RE2 regexes."),
    ] = None
    continue_: Annotated[
        bool | None, Meta(description="Go on with the next sibling. Default: false.")
    ] = msgspec.field(name="continue", default=None)
    routes: Annotated[
        list[RouteSection] | None, Meta(description="Child routes; the first that matches wins.")
    ] = None
    group_by: Annotated[
        list[Name] | None,
        Meta(description="Labels that make a page. []: one page per receiver; ['...']: per alert."),
    ] = None
    group_wait: Annotated[
        Duration | None, Meta(description="Wait before a page's first call. Default: 0s.")
    ] = None
    group_interval: Annotated[
        PositiveDuration | None,
        Meta(description="Least time between calls about new alerts of a page. Default: 5m."),
    ] = None
    repeat_interval: Annotated[
        RepeatInterval | None,
        Meta(description="Call again about what still fires after this time. Default: 4h."),
    ] = None
    mute_time_intervals: Annotated[
        list[Name] | None, Meta(description="Names of time intervals in which nobody is called.")
    ] = None
    active_time_intervals: Annotated[
        list[Name] | None, Meta(description="Names of the only time intervals with calls.")
    ] = None


class TimesSection(Section):
    """A part of the day."""

    start_time: Annotated[Name, Meta(description='From this minute on: "09:00".')]
    end_time: Annotated[Name, Meta(description='Up to, not including, this minute: "17:00".')]


class TimeSpecSection(Section):
    """Times that match all that is given; what is left out always matches."""

    times: Annotated[
        list[TimesSection] | None, Meta(description="Parts of the day; none over midnight.")
    ] = None
    weekdays: Annotated[
        list[Name] | None,
        Meta(description="saturday, or monday:friday; the week begins on sunday."),
    ] = None
    days_of_month: Annotated[
        list[Name] | None, Meta(description="1, 5:10, or -3:-1 counted from the end.")
    ] = None
    months: Annotated[list[Name] | None, Meta(description="january, or 1, or 5:august.")] = None
    years: Annotated[list[Name] | None, Meta(description="2026, or 2026:2028.")] = None
    location: Annotated[str | None, Meta(description="Time zone: Asia/Shanghai. Default: UTC.")] = (
        None
    )


class TimeIntervalSection(Section):
    """A named time interval: any of its specs."""

    name: Annotated[Name, Meta(description="What routes call it.")]
    time_intervals: Annotated[
        list[TimeSpecSection] | None, Meta(description="It is inside when any of these matches.")
    ] = None


class HeartbeatSection(Section):
    """An alert that fires for as long as monitoring lives, such as Prometheus' Watchdog."""

    name: Annotated[Name, Meta(description="What it is called in logs, metrics and calls.")]
    matchers: Annotated[
        Annotated[list[str], Meta(min_length=1)],
        Meta(description='Which alert it is: alertname="Watchdog". All must match.'),
    ]
    every: Annotated[
        PositiveDuration,
        Meta(
            description="Somebody is called when it has not come for so long: longer than the "
            "sender's repeat_interval."
        ),
    ]
    receiver: Annotated[Name, Meta(description="Who is called then.")]
    summary: Annotated[
        Name | None, Meta(description="The annotation summary of the alert that is made of it.")
    ] = None
