"""The sections of routes.yaml about who is called, with which words."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from adapter.config.clocks import HOURS_PATTERN
from adapter.config.section import (
    ALERTMANAGER,
    Duration,
    Name,
    Phone,
    PositiveDuration,
    Section,
    TimeZone,
    WebUrl,
    advise,
)
from adapter.model import Acknowledgement, Mode
from adapter.rendering.linting import DEFAULT_PARAM_LENGTH, SHORTEST_PARAM_LENGTH
from adapter.rendering.repairs import MAX_WORDS
from adapter.rendering.speech import Language

# More than a night of the shortest useful chain; it ends before `stale_after` closes the page.
MOST_REPEATS = 100

_INTEGRATIONS = (
    "discord email jira mattermost msteams msteamsv2 opsgenie pagerduty pushover rocketchat slack "
    "sns telegram victorops webex webhook wechat"
)
_CALL = "list people and schedules under call"
_STEPS = "write escalation: a list of steps, each with call and wait"
_WAIT = "write wait: how long this step is given before the next one is taken"
_HOURS = "the hours in which words may be spoken stand in their voice template"


class PersonSection(Section):
    """Somebody with a phone."""

    phone: Annotated[Phone, Meta(description="The number in E.164 form: +, country code, number.")]
    name: Annotated[
        Name | None, Meta(description="What templates say: {{ person.name }}. Default: the key.")
    ] = None


class VoiceTemplateSection(Section):
    """An approved UVMS voice template and what is put into it."""

    ELSEWHERE: ClassVar[dict[str, str]] = advise("timezone tz location", "write time_zone")

    id: Annotated[Name, Meta(description="The template's id in UCloud's console: UVVT…")]
    text: Annotated[
        Name | None,
        Meta(description="The approved text, {1} {2} …: for the preview, and to check `params`."),
    ] = None
    params: Annotated[
        list[str] | None,
        Meta(description="A Jinja2 template for each variable of the text, in order."),
    ] = None
    max_param_length: Annotated[
        Annotated[int, Meta(ge=SHORTEST_PARAM_LENGTH, le=MAX_WORDS)] | None,
        Meta(description=f"Longer params are cut. Default: {DEFAULT_PARAM_LENGTH} characters."),
    ] = None
    language: Annotated[
        Language | None, Meta(description="In which repairs are worded. Default: the text's.")
    ] = None
    hours: Annotated[
        Annotated[str, Meta(min_length=1, extra_json_schema={"pattern": HOURS_PATTERN})] | None,
        Meta(description='When UVMS may speak it: "08:00-20:00". Default: always.'),
    ] = None
    time_zone: Annotated[
        TimeZone | None, Meta(description="Time zone of its hours. Default: Asia/Shanghai.")
    ] = None
    outside_hours: Annotated[
        Name | None,
        Meta(description="Name of the voice template that is spoken outside of its hours."),
    ] = None


class StepSection(Section):
    """One step of an escalation."""

    ELSEWHERE: ClassVar[dict[str, str]] = (
        advise("delay delay_minutes escalation_delay_in_minutes timeout after for", _WAIT)
        | advise(
            "actions notify on_call oncall people person rotation schedule targets users", _CALL
        )
        | advise("repeat mode", "it stands beside escalation, for the whole of it")
        | {"hours": _HOURS}
    )

    call: Annotated[
        Annotated[list[Name], Meta(min_length=1)],
        Meta(
            description="Who is called, all at once: people, schedules (or primary:next, who is on "
            "after), numbers in E.164 form."
        ),
    ]
    wait: Annotated[
        PositiveDuration | None,
        Meta(description="For an answer, before the next step is taken. Default: 5m."),
    ] = None


class ReceiverSection(Section):
    """Who is called with which words. Without `call` or `escalation`: nobody, on purpose."""

    ELSEWHERE: ClassVar[dict[str, str]] = (
        {f"{name}_configs": ALERTMANAGER for name in _INTEGRATIONS.split()}
        | {"labels": ALERTMANAGER}
        | advise("on_call oncall people rotation schedule schedules targets users", _CALL)
        | advise(
            "delay escalation_policies escalation_policy escalation_rules rules steps timeout wait",
            _STEPS,
        )
        | advise(
            "group_by group_interval group_wait repeat_interval",
            "it belongs to a route; repeat is how often the escalation is gone through again",
        )
        | advise("num_loops loops repeats", "write repeat")
        | advise("fallback fallback_url webhook", "write fallback_webhook")
        | advise("dry_run shadow", "write mode: shadow")
        | advise("ack acknowledgement", "write acknowledge")
        | {"hours": _HOURS}
    )

    name: Annotated[Name, Meta(description="What routes call it.")]
    voice_template: Annotated[
        Name | None, Meta(description="Name of the voice template of its calls.")
    ] = None
    call: Annotated[
        list[Name] | None,
        Meta(description="The short form of an escalation of one step: who is called."),
    ] = None
    escalation: Annotated[
        Annotated[list[StepSection], Meta(min_length=1)] | None,
        Meta(description="Steps: the next one is taken when nobody of this one answered in time."),
    ] = None
    repeat: Annotated[
        Annotated[int, Meta(ge=0, le=MOST_REPEATS)] | None,
        Meta(description="How often the whole escalation is gone through again. Default: 0."),
    ] = None
    fallback_webhook: Annotated[
        WebUrl | None, Meta(description="URL that is told when nobody was reached.")
    ] = None
    fallback_webhook_file: Annotated[
        Name | None,
        Meta(description="File that holds this URL, beside routes.yaml unless its path is full."),
    ] = None
    acknowledge: Annotated[
        Acknowledgement | None,
        Meta(
            description="What acknowledges a page: an answered call, or only a human by_hand. "
            "Default: answered."
        ),
    ] = None
    minimum_answer_duration: Annotated[
        Annotated[Duration, Meta(extra={"most": timedelta(hours=1)})] | None,
        Meta(description="A shorter talk reached nobody. Default: 5s."),
    ] = None
    mode: Annotated[
        Mode | None,
        Meta(description="shadow: decide, record and explain, but dial nobody. Default: live."),
    ] = None
    send_resolved: Annotated[
        bool | None, Meta(description="Call those who were called once it is over. Default: false.")
    ] = None
    resolved_template: Annotated[
        Name | None, Meta(description="Name of the voice template of the resolved call.")
    ] = None
    from_number: Annotated[
        Name | None, Meta(description="FromNumber of its calls, in place of that under uvms.")
    ] = None
    group_type: Annotated[
        Literal[1, 2] | None, Meta(description="GroupType of its calls: 1 random, 2 exclusive.")
    ] = None
    dispatch_rule: Annotated[
        Literal[0, 1] | None,
        Meta(description="DispatchRule of its calls: 0 the callee's region first, 1 random."),
    ] = None
