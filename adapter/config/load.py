"""routes.yaml into a `Policy`, or into an error that tells all that is wrong with it.

`load` is pure; `load_file` only reads. After either nothing in a policy can be invalid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adapter.config.decode import decode
from adapter.config.draft import Draft
from adapter.config.policy import Policy
from adapter.config.problems import Position, Report, quote
from adapter.config.receivers import build_people, build_receivers
from adapter.config.route_tree import build_route, build_time_intervals, routes_of
from adapter.config.schema import (
    DeliverySection,
    LimitsSection,
    PersonLimitsSection,
    RoutesFile,
    Section,
    TimeoutsSection,
    UvmsSection,
)
from adapter.config.voices import build_voice_templates
from adapter.config.yaml_tree import parse
from adapter.delivery.policy import DeliveryPolicy, UvmsSettings
from adapter.model import PersonLimits, Receiver
from adapter.routing import RouteSpec, build

MOST_BYTES = 10 * 1024 * 1024  # of a file; ten thousand routes have one or two MB
DEFAULT_CONCURRENT_CALLS = 16
DEFAULT_REQUESTS_PER_SECOND = 10.0
DEFAULT_RETENTION = timedelta(days=30)
DEFAULT_STALE_AFTER = timedelta(hours=24)

# The vendor's own endpoint inside its network speaks only http.
_MAY_SPEAK_HTTP = frozenset({"localhost", "127.0.0.1", "[::1]", "api.service.ucloud.cn"})


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
    receivers = build_receivers(file.receivers, people, file.voice_templates or {}, draft)
    intervals = build_time_intervals(
        file.time_intervals or (), file.mute_time_intervals or (), draft
    )
    spec = build_route(file.route, receivers, intervals, draft)
    limits, uvms = file.limits or LimitsSection(), file.uvms or UvmsSection()
    _warn_of_http(uvms, draft)
    report.raise_problems()

    routes = tuple(routes_of(spec))
    _warn_of_unused(file, receivers, routes, draft)
    return Policy(
        people=people,
        voice_templates=voice_templates,
        receivers=receivers,
        route=build(spec),
        time_intervals=intervals,
        limits=PersonLimits(**_given(limits.per_person or PersonLimitsSection())),
        concurrent_calls=limits.concurrent_calls or DEFAULT_CONCURRENT_CALLS,
        requests_per_second=limits.requests_per_second or DEFAULT_REQUESTS_PER_SECOND,
        uvms=_uvms_settings(uvms),
        delivery=_delivery_policy(file.delivery or DeliverySection(), uvms),
        retention=file.retention or DEFAULT_RETENTION,
        stale_after=file.stale_after or DEFAULT_STALE_AFTER,
        warnings=report.warnings,
        found={
            "people": len(people),
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


def _warn_of_http(uvms: UvmsSection, draft: Draft) -> None:
    endpoint = urlsplit(uvms.endpoint or "")
    if endpoint.scheme == "http" and endpoint.hostname not in _MAY_SPEAK_HTTP:
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
    spoken = set(_spoken(receivers))
    for name in file.voice_templates or {}:
        if name not in spoken:
            draft.warning(("voice_templates", name), "a voice template that no receiver uses")


def _spoken(receivers: Mapping[str, Receiver]) -> Iterator[str]:
    for receiver in receivers.values():
        yield from (receiver.voice_template, receiver.resolved_template)
