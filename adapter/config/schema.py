"""The shape of routes.yaml: every key with its type and meaning, and the JSON Schema of it.

`decode` reads the file by these classes; an editor checks it by the JSON Schema made from them. A
field that is `None` is not set (as is a key without a value). Must not know how keys refer to each
other, nor what becomes of them: see `load`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from adapter.delivery.outcomes import Outcome
from adapter.model import PhoneNumber, Record
from adapter.rendering.linting import DEFAULT_PARAM_LENGTH, SHORTEST_PARAM_LENGTH
from adapter.rendering.repairs import MAX_WORDS
from adapter.rendering.speech import Language
from adapter.routing import Repeat

_DURATION_UNITS = "".join(f"([0-9]+{unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms"))
DURATION_PATTERN = f"^(0|{_DURATION_UNITS})$"
PHONE_PATTERN = r"^\+[1-9][0-9]{6,14}$"

Name = Annotated[str, Meta(min_length=1)]
Phone = Annotated[PhoneNumber, Meta(examples=["+8613512345678"])]
# A Prometheus duration; the positive one may not be 0.
Duration = timedelta
PositiveDuration = Annotated[timedelta, Meta(extra={"positive": True})]
Count = Annotated[int, Meta(ge=1)]


class RepeatInterval:
    """A positive duration, or `never`."""

    __slots__ = ("value",)

    def __init__(self, value: timedelta | Repeat) -> None:
        self.value = value


class Section(Record):
    """A mapping of routes.yaml; other keys than its fields are refused."""

    # What to do about keys that are no fields here, but which somebody may well try.
    ELSEWHERE: ClassVar[dict[str, str]] = {}


_LATER = "this version rings everybody of a receiver at once: list them under call"
_SECRETS = "secrets stand in the environment: UVMS_PUBLIC_KEY and UVMS_PRIVATE_KEY"
_INTEGRATIONS = (
    "discord email jira mattermost msteams msteamsv2 opsgenie pagerduty pushover rocketchat slack "
    "sns telegram victorops webex webhook wechat"
)
_ALERTMANAGER = "it belongs into alertmanager.yml; here stands only who is called"


class PersonSection(Section):
    """Somebody with a phone."""

    phone: Annotated[Phone, Meta(description="The number in E.164 form: +, country code, number.")]
    name: Annotated[
        Name | None, Meta(description="What templates say: {{ person.name }}. Default: the key.")
    ] = None


class VoiceTemplateSection(Section):
    """An approved UVMS voice template and what is put into it."""

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


class StepSection(Section):
    """One step of an escalation."""

    ELSEWHERE: ClassVar[dict[str, str]] = {
        key: f"{key} is not available in this version; {_LATER}"
        for key in ("wait", "schedules", "mode", "hours")
    }

    call: Annotated[list[Name], Meta(description="Names of people, or numbers in E.164 form.")]


class ReceiverSection(Section):
    """Who is called with which words. Without `call`: nobody, on purpose."""

    ELSEWHERE: ClassVar[dict[str, str]] = {
        key: f"{key} is not available in this version; {_LATER}"
        for key in ("fallback_webhook", "schedules", "mode", "hours")
    } | dict.fromkeys(
        ("labels", *(f"{name}_configs" for name in _INTEGRATIONS.split())), _ALERTMANAGER
    )

    name: Annotated[Name, Meta(description="What routes call it.")]
    voice_template: Annotated[
        Name | None, Meta(description="Name of the voice template of its calls.")
    ] = None
    call: Annotated[
        list[Name] | None,
        Meta(description="Who is called: names of people, or numbers in E.164 form."),
    ] = None
    escalation: Annotated[
        Annotated[list[StepSection], Meta(min_length=1, max_length=1)] | None,
        Meta(description="The long form of `call`: one step."),
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


class RouteSection(Section):
    """A node of the routing tree, with Alertmanager's meaning."""

    ELSEWHERE: ClassVar[dict[str, str]] = {"labels": _ALERTMANAGER}

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


class PersonLimitsSection(Section):
    """How often one phone may ring. A call over a limit waits; it is never dropped."""

    min_interval: Annotated[
        Duration | None, Meta(description="Least time between two calls. Default: 1m.")
    ] = None
    per_hour: Annotated[Count | None, Meta(description="Most calls an hour. Default: 10.")] = None
    per_day: Annotated[Count | None, Meta(description="Most calls a day. Default: 50.")] = None
    bundle_above: Annotated[
        Count | None,
        Meta(description="More waiting calls of a receiver than this become one. Default: 3."),
    ] = None


class LimitsSection(Section):
    """How much is called at once."""

    per_person: PersonLimitsSection | None = None
    concurrent_calls: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="Most requests to UVMS under way at once. Default: 16."),
    ] = None
    requests_per_second: Annotated[
        Annotated[float, Meta(gt=0, le=1000)] | None,
        Meta(description="Most requests to UVMS a second. Default: 10."),
    ] = None


class TimeoutsSection(Section):
    """How long one request may take."""

    connect: Annotated[PositiveDuration | None, Meta(description="Until connected.")] = None
    read: Annotated[PositiveDuration | None, Meta(description="Until the answer is read.")] = None


class UvmsSection(Section):
    """The vendor's API and the parameters of every request."""

    ELSEWHERE: ClassVar[dict[str, str]] = dict.fromkeys(
        ("public_key", "private_key", "publickey", "privatekey", "PublicKey", "PrivateKey"),
        _SECRETS,
    )

    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] | None,
        Meta(description="Default: https://api.ucloud.cn"),
    ] = None
    project_id: Annotated[
        Name | None, Meta(description="ProjectId: required for a sub-account.")
    ] = None
    region: Annotated[Name | None, Meta(description="Region: sent and signed when set.")] = None
    zone: Annotated[Name | None, Meta(description="Zone: sent and signed when set.")] = None
    from_number: Annotated[
        Name | None, Meta(description="FromNumber: an exclusive number. Default: a random one.")
    ] = None
    group_type: Annotated[
        Literal[1, 2] | None, Meta(description="GroupType: 1 random, 2 exclusive numbers.")
    ] = None
    dispatch_rule: Annotated[
        Literal[0, 1] | None,
        Meta(description="DispatchRule: 0 the callee's region first, 1 random."),
    ] = None
    timeouts: TimeoutsSection | None = None
    ret_codes: Annotated[
        dict[int, Outcome] | None,
        Meta(description="What a RetCode means, before the table the adapter brings along."),
    ] = None


class DeliverySection(Section):
    """How patiently a call is tried."""

    give_up_after: Annotated[
        PositiveDuration | None, Meta(description="Stop trying one call. Default: 30m.")
    ] = None
    reconcile_for: Annotated[
        PositiveDuration | None,
        Meta(description="Look up a call that may have rung, then dial again. Default: 90s."),
    ] = None
    reconcile_first: Annotated[
        PositiveDuration | None,
        Meta(description="Until the first look-up of a call that may have rung. Default: 5s."),
    ] = None
    record_visible_after: Annotated[
        PositiveDuration | None,
        Meta(
            description="So long a placed call may take to appear in the vendor's records: one "
            "that is absent earlier may have rung all the same. Default: 30s."
        ),
    ] = None
    retry_initial: Annotated[
        PositiveDuration | None,
        Meta(description="Pause after the first failed attempt, doubled after each. Default: 2s."),
    ] = None
    retry_cap: Annotated[
        PositiveDuration | None, Meta(description="Longest such pause. Default: 2m.")
    ] = None
    account_probe_interval: Annotated[
        PositiveDuration | None,
        Meta(
            description="While the vendor refuses the whole account, one call is tried so often. "
            "Default: 1m."
        ),
    ] = None


class RoutesFile(Section):
    """Who is called about which alert, with which words."""

    ELSEWHERE: ClassVar[dict[str, str]] = {
        "schedules": f"schedules are not available in this version; {_LATER}",
    } | dict.fromkeys(("global", "inhibit_rules", "templates", "tracing"), _ALERTMANAGER)

    route: Annotated[RouteSection, Meta(description="The root of the routing tree.")]
    receivers: Annotated[list[ReceiverSection], Meta(description="Who is called.")]
    people: Annotated[
        dict[Name, PersonSection] | None, Meta(description="Names with their phones.")
    ] = None
    voice_templates: Annotated[
        dict[Name, VoiceTemplateSection] | None, Meta(description="Names with what is said.")
    ] = None
    time_intervals: Annotated[
        list[TimeIntervalSection] | None, Meta(description="Times that routes can name.")
    ] = None
    mute_time_intervals: Annotated[
        list[TimeIntervalSection] | None, Meta(description="Deprecated: use time_intervals.")
    ] = None
    limits: LimitsSection | None = None
    uvms: UvmsSection | None = None
    delivery: DeliverySection | None = None
    retention: Annotated[
        PositiveDuration | None,
        Meta(description="Keep closed pages and their calls for so long. Default: 30d."),
    ] = None
    stale_after: Annotated[
        PositiveDuration | None,
        Meta(description="Close a page that no webhook has confirmed for so long. Default: 24h."),
    ] = None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of routes.yaml, for editors."""
    made: dict[str, Any] = _tidy(msgspec.json.schema(RoutesFile, schema_hook=_custom_schema))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "routes.yaml of uvms-adapter",
        **made,
    }


def render_json_schema() -> str:
    """Return the JSON Schema as the text of the file in the repository."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _custom_schema(type_: type) -> dict[str, Any]:
    patterns = {
        PhoneNumber: PHONE_PATTERN,
        RepeatInterval: DURATION_PATTERN.replace("^(0|", "^(never|"),
    }
    return {"type": "string", "minLength": 1, "pattern": patterns[type_]}


def _tidy(part: Any) -> Any:
    """Say what the loader takes: any scalar as a text, and durations as Prometheus writes them."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    tidied = {key: _tidy(value) for key, value in part.items() if value is not None}
    if "properties" in part or "enum" in part:
        tidied.pop("title", None)  # the name of a class
    if "properties" in part:
        tidied["additionalProperties"] = False
    if part.get("format") == "duration":
        del tidied["format"]
        # A bare 0 is a number to YAML, and a duration to Prometheus.
        tidied |= {"type": ["string", "integer"], "minLength": 1, "pattern": DURATION_PATTERN}
        tidied |= {"minimum": 0, "maximum": 0}
    elif part.get("type") == "string" and "pattern" not in part:
        tidied["type"] = ["string", "number", "boolean"]
    return tidied
