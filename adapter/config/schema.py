"""The shape of routes.yaml: every key with its type and meaning, and the JSON Schema of it.

`decode` reads the file by these classes; an editor checks it by the JSON Schema made from them.
Here is the file as a whole and what concerns all of it; `schema_people`, `schema_schedules` and
`schema_routes` have the rest. Must not know how keys refer to each other, nor what becomes of
them: see `load`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from adapter.config.schema_people import PersonSection, ReceiverSection, VoiceTemplateSection
from adapter.config.schema_routes import HeartbeatSection, RouteSection, TimeIntervalSection
from adapter.config.schema_schedules import ScheduleSection
from adapter.config.section import (
    ALERTMANAGER,
    Count,
    Duration,
    Name,
    PollInterval,
    PositiveDuration,
    RepeatInterval,
    Section,
    advise,
)
from adapter.delivery.outcomes import Outcome
from adapter.model import Mode, PhoneNumber, Secret

_DURATION_UNITS = "".join(f"([0-9]+{unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms"))
_DURATION = f"^(0|{_DURATION_UNITS})$"
_DURATION_OR_NEVER = _DURATION.replace("^(0|", "^(never|")
_CUSTOM = {
    PhoneNumber: {"pattern": r"^\+[1-9][0-9]{6,14}$"},
    RepeatInterval: {"pattern": _DURATION_OR_NEVER},
    PollInterval: {"pattern": _DURATION_OR_NEVER},
    ZoneInfo: {"pattern": "^[A-Za-z]"},
    Secret: {"pattern": "^https?://"},
}
# Of the vendor's call records: https://docs.ucloud.cn/uvms
RECORDS_KEPT = timedelta(days=7)

_SECRETS = "secrets stand in the environment: UVMS_PUBLIC_KEY and UVMS_PRIVATE_KEY"


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

    ELSEWHERE: ClassVar[dict[str, str]] = advise(
        "public_key private_key publickey privatekey PublicKey PrivateKey", _SECRETS
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


class ReceiptsSection(Section):
    """How the vendor is asked what became of the calls that it took."""

    poll_interval: Annotated[
        PollInterval | None,
        Meta(description="How often; never: receipts are pushed. Default: 15s."),
    ] = None
    poll_for: Annotated[
        Annotated[timedelta, Meta(extra={"above": timedelta(0), "most": RECORDS_KEPT})] | None,
        Meta(description="How long after a call. Default: 1h."),
    ] = None


class RoutesFile(Section):
    """Who is called about which alert, with which words."""

    ELSEWHERE: ClassVar[dict[str, str]] = (
        advise("global inhibit_rules templates tracing", ALERTMANAGER)
        | advise(
            "on_call oncall rotation rotations schedule",
            "write schedules: {primary: {time_zone: …, rotations: […]}}",
        )
        | advise(
            "escalation escalation_policies escalation_policy escalations",
            "an escalation stands in its receiver",
        )
        | advise("contacts users", "write people")
        | advise("dry_run shadow", "write mode: shadow")
        | {
            "overrides": "overrides stand in their schedule",
            "fallback_webhook": "it stands in each receiver",
            "repeat_interval": "it stands in a route",
            "silences": "silences are kept by Alertmanager",
        }
    )

    route: Annotated[RouteSection, Meta(description="The root of the routing tree.")]
    receivers: Annotated[list[ReceiverSection], Meta(description="Who is called.")]
    people: Annotated[
        dict[Name, PersonSection] | None, Meta(description="Names with their phones.")
    ] = None
    schedules: Annotated[
        dict[Name, ScheduleSection] | None, Meta(description="Names with who is on call when.")
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
    heartbeats: Annotated[
        list[HeartbeatSection] | None,
        Meta(description="Alerts that have to come: somebody is called when they do not."),
    ] = None
    limits: LimitsSection | None = None
    receipts: ReceiptsSection | None = None
    uvms: UvmsSection | None = None
    delivery: DeliverySection | None = None
    mode: Annotated[
        Mode | None,
        Meta(description="shadow: no receiver dials anybody. Default: what each receiver says."),
    ] = None
    retention: Annotated[
        PositiveDuration | None,
        Meta(description="Keep closed pages and their calls for so long. Default: 30d."),
    ] = None
    stale_after: Annotated[
        PositiveDuration | None,
        Meta(description="Close a page that no webhook has confirmed for so long. Default: 24h."),
    ] = None
    keep_webhooks: Annotated[
        Duration | None,
        Meta(description="Keep accepted webhooks for replay for so long; 0s: not. Default: 7d."),
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
    return {"type": "string", "minLength": 1, **_CUSTOM[type_]}


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
        tidied |= {"type": ["string", "integer"], "minLength": 1, "pattern": _DURATION}
        tidied |= {"minimum": 0, "maximum": 0}
    elif part.get("type") == "string" and "pattern" not in part:
        tidied["type"] = ["string", "number", "boolean"]
    return tidied
