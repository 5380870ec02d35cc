"""Each alert of the chart, on series over time: when it fires, and when it must not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_promtool import OURS, Case, check, promtool, series
from helm_tools import CHART, Helm, ci

pytest_plugins = ["helm_fixtures"]


def ours(name: str, **labels: str) -> str:
    return series(f"uvms_adapter_{name}", **labels)


def case(
    alert: str,
    name: str,
    given: dict[str, str],
    at: str = "10m",
    fires: dict[str, str] | None = None,
    summary: str = "",
    every: str = "1m",
) -> Case:
    return Case(
        name=name,
        alert=f"UvmsAdapter{alert}",
        series=given,
        at=at,
        every=every,
        fires=fires,
        summary=summary,
    )


UP_A, UP_B = series("up", instance="a"), series("up", instance="b")
AGE = "pages_oldest_unacknowledged_seconds"
DUE = "calls_oldest_due_seconds"

CASES = (
    case("Down", "nobody can be scraped", {UP_A: "1x3 0x20", UP_B: "0x20"}, fires=OURS),
    case("Down", "nothing is known of it", {}, fires=OURS),
    case("Down", "another service is there", {'up{job="other"}': "1x20"}, fires=OURS),
    case("Down", "one scrape fails", {UP_A: "1x9 0x9"}),
    case("Down", "one replica of two is away", {UP_A: "0x20", UP_B: "1x20"}),
    case(
        "ReplicaDown",
        "one of two is away",
        {UP_A: "0x30", UP_B: "1x30"},
        at="20m",
        fires=OURS | {"instance": "a"},
        summary="The replica a is not there; the others make its calls.",
    ),
    case("ReplicaDown", "it is replaced", {UP_A: "1x5 0x10 1x20", UP_B: "1x40"}, at="18m"),
    case("ReplicaDown", "all are away", {UP_A: "0x30", UP_B: "0x30"}, at="20m"),
    case(
        "NoPhoneRings",
        "the account is refused",
        {ours("account_trouble", trouble="refused"): "0x5 1x20"},
        fires=OURS,
    ),
    case(
        "NoPhoneRings",
        "it is throttled only",
        {
            ours("account_trouble", trouble="refused"): "0x20",
            ours("account_trouble", trouble="throttled"): "1x20",
        },
    ),
    case(
        "CallsWait",
        "all replicas see the same call",
        {ours(DUE, instance="a"): "0x5 121x20", ours(DUE, instance="b"): "0x5 121x20"},
        fires=OURS,
        summary="A call has been due for 2m 1s and was not made.",
    ),
    case("CallsWait", "it is about to be made", {ours(DUE): "120x20"}),
    case(
        "PersonNotReached",
        "the vendor will never take the call",
        {ours("calls_total", outcome="refused"): "0x5 1x20"},
        fires=OURS | {"outcome": "refused"},
        summary="A call failed for good (refused): somebody was not reached.",
    ),
    case(
        "PersonNotReached",
        "it was given up",
        {ours("calls_total", outcome="gave_up"): "0x5 1x20"},
        fires=OURS | {"outcome": "gave_up"},
        summary="A call failed for good (gave_up): somebody was not reached.",
    ),
    case(
        "PersonNotReached",
        "calls are made",
        {
            ours("calls_total", outcome="accepted"): "0+1x20",
            ours("calls_total", outcome="cancelled"): "0+1x20",
            ours("calls_total", outcome="refused"): "7x20",
        },
    ),
    case(
        "PageUnacknowledged",
        "for a quarter of an hour",
        {ours(AGE): "0+60x20"},
        at="16m",
        fires=OURS,
        summary="A page has been open for 16m 0s and nobody has taken it.",
    ),
    case("PageUnacknowledged", "for less", {ours(AGE): "0+60x20"}, at="15m"),
    case(
        "PageExhausted",
        "of one page, seen by two replicas",
        {
            ours("pages_exhausted", instance="a"): "1x20",
            ours("pages_exhausted", instance="b"): "1x20",
        },
        fires=OURS,
        summary="1 open pages went through their whole escalation and reached nobody.",
    ),
    case("PageExhausted", "of none", {ours("pages_exhausted"): "1x5 0x20"}),
    case(
        "FallbackFails",
        "again and again",
        {ours("fallbacks_total", outcome="retry"): "0+1x20"},
        fires=OURS,
    ),
    case(
        "FallbackFails",
        "once, and then it is told",
        {
            ours("fallbacks_total", outcome="retry"): "0x5 1x20",
            ours("fallbacks_total", outcome="sent"): "0x6 1x20",
        },
    ),
    case(
        "NobodyOnCall",
        "there is a hole",
        {ours("schedule_uncovered_seconds", schedule="sre"): "3600x20"},
        fires=OURS | {"schedule": "sre"},
        summary="Nobody is on call by sre for 1h 0m 0s of the coming 24 hours.",
    ),
    case(
        "NobodyOnCall",
        "it was mended",
        {ours("schedule_uncovered_seconds", schedule="sre"): "3600x3 0x20"},
    ),
    case(
        "CalendarStale",
        "for an hour",
        {ours("calendar_refresh_failures_total", schedule="sre"): "0+1x90"},
        at="1h",
        fires=OURS | {"schedule": "sre"},
        summary="The calendar of sre cannot be fetched or read; its last good copy counts.",
    ),
    case(
        "CalendarStale",
        "now and then",
        {ours("calendar_refresh_failures_total", schedule="sre"): "0x30 1 2 3 4 5x60"},
        at="1h",
    ),
    case("StoreFails", "commits fail", {ours("store_failures_total"): "0x5 1x20"}, fires=OURS),
    case("StoreFails", "they failed once, long ago", {ours("store_failures_total"): "1x20"}),
    case(
        "ConfigBad",
        "on one replica",
        {
            ours("config_last_reload_successful", instance="a"): "1x20",
            ours("config_last_reload_successful", instance="b"): "1x2 0x20",
        },
        fires=OURS | {"instance": "b"},
        summary="The new routes.yaml is wrong and not in force on b; the old one is.",
    ),
    case("ConfigBad", "mended", {ours("config_last_reload_successful"): "1x4 0x3 1x20"}),
    case(
        "WebhooksRefused",
        "by two replicas",
        {
            ours(
                "notifications_invalid_total",
                instance=replica,
                reason="unauthorized",
                source=source,
            ): "0x5 1x20"
            for replica, source in (("a", "alertmanager"), ("b", "grafana"))
        },
        fires=OURS | {"reason": "unauthorized"},
        summary="Webhooks are refused: unauthorized.",
    ),
    case(
        "WebhooksRefused",
        "not now",
        {ours("notifications_invalid_total", reason="unauthorized", source="grafana"): "3x20"},
    ),
    case(
        "HeartbeatMissing",
        "of one cluster, and the replica that has just started does not know yet",
        {
            ours("heartbeat_missing", heartbeat="prod", instance="a"): "0x5 1x20",
            ours("heartbeat_missing", heartbeat="prod", instance="b"): "_x5 0x20",
            ours("heartbeat_missing", heartbeat="staging", instance="a"): "0x20",
        },
        fires=OURS | {"heartbeat": "prod"},
        summary="Monitoring is silent: prod is not heard of any more.",
    ),
    case(
        "HeartbeatMissing",
        "it is heard again",
        {ours("heartbeat_missing", heartbeat="prod"): "1x5 0x20"},
    ),
    case(
        "NoWebhooks",
        "for a day",
        {ours("notifications_received_total", source="alertmanager"): "0 5 9x400"},
        at="25h",
        every="5m",
        fires=OURS,
    ),
    case(
        "NoWebhooks",
        "by one sender, but by the other",
        {
            ours("notifications_received_total", source="alertmanager"): "9x400",
            ours("notifications_received_total", source="grafana"): "0+1x400",
        },
        at="25h",
        every="5m",
    ),
    case(
        "NoWebhooks",
        "on a quiet night",
        {ours("notifications_received_total", source="alertmanager"): "0+1x6 6x140 7+1x300"},
        at="20h",
        every="5m",
    ),
    case(
        "ReceiptPollsFail",
        "all of them",
        {
            ours("receipt_polls_total", outcome="failed"): "0+1x40",
            ours("receipt_polls_total", outcome="ok"): "5x40",
        },
        at="30m",
        fires=OURS,
    ),
    case(
        "ReceiptPollsFail",
        "some of them",
        {
            ours("receipt_polls_total", outcome="failed"): "0+1x40",
            ours("receipt_polls_total", outcome="ok"): "0+1x40",
        },
        at="30m",
    ),
    case(
        "MayRingTwice",
        "of unknown outcome",
        {ours("redials_total", reason="cannot_tell"): "0+1x20"},
        fires=OURS,
    ),
    case(
        "MayRingTwice",
        "known not to have rung",
        {ours("redials_total", reason="absent"): "0+1x20"},
    ),
    case("TemplateErrors", "a new one", {ours("template_errors_total"): "0x5 1x20"}, fires=OURS),
    case("TemplateErrors", "none", {ours("template_errors_total"): "4x20"}),
)


@pytest.fixture(scope="module")
def spec(helms: Mapping[str, Helm]) -> Any:
    """Every alert, with those that are off by default."""
    *_older, newest = helms.values()
    manifests = newest.rendered(
        *("--values", ci("monitoring")),
        *("--set", "prometheusRule.alerts.UvmsAdapterNoWebhooks.enabled=true"),
    )
    return manifests.one("PrometheusRule")["spec"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alert(spec: Any, case: Case, tmp_path: Path) -> None:
    check(spec, case, tmp_path)


def test_every_alert_is_seen_firing_and_silent(spec: Any) -> None:
    alerts = {rule["alert"] for group in spec["groups"] for rule in group["rules"]}

    assert {one.alert for one in CASES if one.fires is not None} == alerts
    assert {one.alert for one in CASES if one.fires is None} == alerts


def test_promtool_takes_the_alerts_as_they_are_without_helm() -> None:
    file = CHART / "files" / "alerts.yaml"

    checked = promtool("check", "rules", file)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    (group,) = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    assert f"{len(group['rules'])} rules found" in checked.stdout
