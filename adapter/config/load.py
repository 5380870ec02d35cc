"""routes.yaml into a `Policy`, or into an error that tells all that is wrong with it.

`load` is pure but for the files that `fallback_webhook_file` names; `load_file` only reads. After
either nothing in a policy can be invalid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from adapter.config.decode import decode
from adapter.config.draft import Draft
from adapter.config.heartbeats import build_heartbeats
from adapter.config.policy import Policy
from adapter.config.problems import Path as KeyPath
from adapter.config.problems import Position, Report, quote
from adapter.config.receivers import apply_mode, build_people, build_receivers, warn_of_uncalled
from adapter.config.route_tree import build_route, build_time_intervals, routes_of
from adapter.config.schedules import build_schedules
from adapter.config.schema import (
    DeliverySection,
    LimitsSection,
    PersonLimitsSection,
    ReceiptsSection,
    RoutesFile,
    TimeoutsSection,
    UvmsSection,
)
from adapter.config.section import Section
from adapter.config.targets import Targets
from adapter.config.urls import can_be_read_on_the_way
from adapter.config.voices import build_voice_templates, warn_of_silence
from adapter.config.yaml_tree import parse
from adapter.delivery.policy import DeliveryPolicy, ReceiptPolicy, UvmsSettings
from adapter.durations import format_duration
from adapter.model import Acknowledgement, PersonLimits, Receiver
from adapter.routing import Repeat, RouteSpec, build

MOST_BYTES = 10 * 1024 * 1024  # of a file; ten thousand routes have one or two MB
DEFAULT_CONCURRENT_CALLS = 16
DEFAULT_REQUESTS_PER_SECOND = 10.0
DEFAULT_RETENTION = timedelta(days=30)
DEFAULT_STALE_AFTER = timedelta(hours=24)
DEFAULT_KEEP_WEBHOOKS = timedelta(days=7)

# The vendor's own endpoint inside its network speaks only http.
_MAY_SPEAK_HTTP = frozenset({"api.service.ucloud.cn"})


def load_file(path: str | Path) -> Policy:
    """Read and load a file.

    Raises:
        ConfigError: the file cannot be read or is wrong.
    """
    report = Report(str(path))
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        report.problem(Position(), (), "no file to read", "a YAML file", why)
        raise report.error() from None
    return load(raw, str(path))


def load(text: str | bytes, filename: str = "routes.yaml") -> Policy:
    """Load the text of a file; `filename` is for messages only.

    Raises:
        ConfigError: something is wrong; it carries every problem that was found.
    """
    report = Report(filename)
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(raw) > MOST_BYTES:
        most = f"at most {MOST_BYTES} bytes"
        report.problem(Position(), (), f"more than {MOST_BYTES} bytes", most)
        raise report.error()
    root = parse(text, report)
    file = decode(root, RoutesFile, report)
    return _policy(file, Draft(root, report), report, raw)


def _policy(file: RoutesFile, draft: Draft, report: Report, raw: bytes) -> Policy:
    people = build_people(file.people or {}, draft)
    voice_templates = build_voice_templates(file.voice_templates or {}, draft)
    directory = Path(report.file).parent
    schedules = build_schedules(file.schedules or {}, people, directory, draft)
    targets = Targets(people, schedules, draft)
    receivers = build_receivers(
        file.receivers, targets, file.voice_templates or {}, directory, draft
    )
    receivers = apply_mode(file.mode, file.receivers, receivers, draft)
    intervals = build_time_intervals(
        file.time_intervals or (), file.mute_time_intervals or (), draft
    )
    spec = build_route(file.route, receivers, intervals, draft)
    heartbeats = build_heartbeats(file.heartbeats or (), receivers, draft)
    limits, uvms = file.limits or LimitsSection(), file.uvms or UvmsSection()
    _warn_of_http(uvms, draft)
    receipts = _receipt_policy(file.receipts or ReceiptsSection(), receivers, draft)
    report.raise_problems()

    routes = tuple(routes_of(spec))
    _warn_of_unused(file, receivers, routes, draft)
    warn_of_uncalled(people, schedules, receivers, draft)
    warn_of_silence(voice_templates, receivers, draft)
    return Policy(
        people=people,
        schedules=schedules,
        voice_templates=voice_templates,
        receivers=receivers,
        route=build(spec),
        time_intervals=intervals,
        heartbeats=heartbeats,
        limits=PersonLimits(**_given(limits.per_person or PersonLimitsSection())),
        concurrent_calls=limits.concurrent_calls or DEFAULT_CONCURRENT_CALLS,
        requests_per_second=limits.requests_per_second or DEFAULT_REQUESTS_PER_SECOND,
        uvms=_uvms_settings(uvms),
        delivery=_delivery_policy(file.delivery or DeliverySection(), uvms),
        receipts=receipts,
        retention=file.retention or DEFAULT_RETENTION,
        stale_after=file.stale_after or DEFAULT_STALE_AFTER,
        keep_webhooks=DEFAULT_KEEP_WEBHOOKS if file.keep_webhooks is None else file.keep_webhooks,
        file=report.file,
        places=_places(file, draft),
        warnings=report.warnings,
        found={
            "people": len(people),
            "schedules": len(schedules),
            "voice templates": len(voice_templates),
            "receivers": len(receivers),
            "routes": len(routes),
            "time intervals": len(intervals),
        },
        hash=int.from_bytes(hashlib.sha256(raw).digest()[:6], "big"),
    )


def _given(section: Section) -> dict[str, Any]:
    """Return the fields that the file sets; the others keep the default of what they become."""
    return {
        name: value
        for name in section.__struct_fields__
        if (value := getattr(section, name)) is not None
    }


def _uvms_settings(section: UvmsSection) -> UvmsSettings:
    timeouts = section.timeouts or TimeoutsSection()
    waits = {f"{name}_timeout": wait for name, wait in _given(timeouts).items()}
    same = {k: v for k, v in _given(section).items() if k not in ("timeouts", "ret_codes")}
    return UvmsSettings(**same, **waits)


def _delivery_policy(section: DeliverySection, uvms: UvmsSection) -> DeliveryPolicy:
    return DeliveryPolicy(**_given(section), overrides=uvms.ret_codes or {})


def _receipt_policy(
    section: ReceiptsSection, receivers: Mapping[str, Receiver], draft: Draft
) -> ReceiptPolicy:
    policy = ReceiptPolicy()
    if section.poll_for is not None:
        policy = replace(policy, poll_for=section.poll_for)
    if section.poll_interval is not None:
        never = section.poll_interval.value is Repeat.NEVER
        policy = replace(policy, poll_interval=None if never else section.poll_interval.value)
    here = ("receipts", "poll_interval")
    if policy.poll_interval is None:
        if any(map(_hears_answers, receivers.values())):
            hint = "unless receipts are pushed, no answer is heard of and every step is taken"
            draft.warning(here, "never, where answers end escalations", hint=hint)
    elif policy.poll_interval > policy.poll_for:
        found = f"{format_duration(policy.poll_interval)}, longer than poll_for"
        draft.warning(here, found, hint="no call is ever asked about")
    return policy


def _hears_answers(receiver: Receiver) -> bool:
    """Tell whether it matters to a receiver which calls are answered."""
    goes_on = len(receiver.escalation) > 1 or receiver.repeat > 0
    return goes_on and receiver.acknowledgement is Acknowledgement.ANSWERED


def _places(file: RoutesFile, draft: Draft) -> dict[KeyPath, Position]:
    """Return where those keys stand that are looked at again later, as time goes by."""
    paths: list[KeyPath] = [("receivers", index) for index, _ in enumerate(file.receivers)]
    for name, section in (file.schedules or {}).items():
        here = ("schedules", name)
        paths.append(here)
        for key, parts in (("rotations", section.rotations), ("overrides", section.overrides)):
            paths += [(*here, key, index) for index, _ in enumerate(parts or ())]
    return {path: draft.position(path) for path in paths}


def _warn_of_http(uvms: UvmsSection, draft: Draft) -> None:
    if can_be_read_on_the_way(uvms.endpoint or "", but=_MAY_SPEAK_HTTP):
        hint = "numbers and signatures can be read on the way"
        found = quote(uvms.endpoint or "")
        draft.warning(("uvms", "endpoint"), found, "https://", hint)


def _warn_of_unused(
    file: RoutesFile,
    receivers: Mapping[str, Receiver],
    routes: tuple[RouteSpec, ...],
    draft: Draft,
) -> None:
    chosen = {route.receiver for route in routes}
    for index, name in enumerate(receivers):
        if name not in chosen:
            draft.warning(("receivers", index, "name"), f"{quote(name)}, which no route chooses")
    spoken = set(_spoken(file, receivers))
    for name in file.voice_templates or {}:
        if name not in spoken:
            draft.warning(("voice_templates", name), "a voice template that no receiver uses")


def _spoken(file: RoutesFile, receivers: Mapping[str, Receiver]) -> Iterator[str]:
    for receiver in receivers.values():
        yield from (receiver.voice_template, receiver.resolved_template)
    for section in (file.voice_templates or {}).values():
        yield section.outside_hours or ""
