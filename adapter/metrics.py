"""What the service tells Prometheus about itself. Alertmanager's own metrics are the model.

Labels are bounded: receivers, people, numbers and messages never become one. Every series exists
at zero from the start, so that `rate()` sees the first failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from adapter import __version__
from adapter.model import CallState, Reason, Result, Source

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)

OUTCOMES = ("accepted", "retry", "throttled", "unknown", "refused", "account_refused")
ENDED = (
    CallState.ACCEPTED,
    CallState.REFUSED,
    CallState.GAVE_UP,
    CallState.CANCELLED,
    CallState.SHADOWED,
)
HEARD_FROM = ("push", "poll")  # how a receipt came
ACKNOWLEDGED_BY = ("call", "api", "command", "link")
FALLBACK_OUTCOMES = ("sent", "retry", "gave_up", "shadowed")
INVALID = (
    "unauthorized",
    "too_large",
    "unreadable",
    "not_json",
    "no_notification",
    "store_unavailable",
)
# No webhook's alert ever gets these.
NOT_OF_ALERTS = (Reason.TEST, Reason.DRILL, Reason.ESCALATION)
REDIALS = ("absent", "cannot_tell")
TROUBLES = ("throttled", "refused")


class Metrics:
    """All series of one process; takes its registry, so that tests have one each."""

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        ret_codes: Iterable[int] = (),
        repairs: Iterable[str] = (),
    ) -> None:
        # They would double the number of series, and nobody asks for them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self._ret_codes = frozenset(ret_codes)
        self._intake()
        self._calls(repairs)
        self._reaching()
        self._process()
        ProcessCollector(registry=self.registry)  # memory, processor, file descriptors, start time

    def _intake(self) -> None:
        self.notifications_received = self._counter(
            "notifications_received", "Webhooks that were accepted, by sender.", source=Source
        )
        self.notifications_invalid = self._counter(
            "notifications_invalid",
            "Webhooks that were refused, by sender and cause.",
            source=Source,
            reason=INVALID,
        )
        self.alerts_received = self._counter(
            "alerts_received",
            "Alerts of accepted webhooks, once for each receiver they were routed to, by what "
            "became of them.",
            reason=[reason for reason in Reason if reason not in NOT_OF_ALERTS],
        )
        self.http_request_duration = Histogram(
            "uvms_adapter_http_request_duration_seconds",
            "Time to answer HTTP requests.",
            ["handler", "method", "code"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def _calls(self, repairs: Iterable[str]) -> None:
        self.attempts = self._counter(
            "call_attempts", "Requests to place a call, by outcome.", outcome=OUTCOMES
        )
        self.ret_codes = self._counter(
            "ret_codes",
            "Answers of the vendor by RetCode; codes not in our table are 'other'.",
            ret_code=[*map(str, sorted(self._ret_codes)), "other", "none"],
        )
        self.calls = self._counter("calls", "Calls that ended, by how.", outcome=ENDED)
        self.calls_limited = self._counter("calls_limited", "Times a call had to wait for a limit.")
        self.redials = self._counter(
            "redials",
            "Calls dialled again after an unknown outcome, by what the look-up said; 'cannot_tell' "
            "may have rung twice.",
            reason=REDIALS,
        )
        self.template_errors = self._counter(
            "template_errors", "Template parameters that did not render and were replaced."
        )
        self.template_repairs = self._counter(
            "template_repairs",
            "Repairs to template parameters that the vendor would have refused, by kind.",
            kind=sorted(repairs),
        )
        self.alert_to_wire = Histogram(
            "uvms_adapter_alert_to_wire_seconds",
            "From deciding on a call to its first request leaving.",
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )
        self.vendor_request_duration = Histogram(
            "uvms_adapter_vendor_request_duration_seconds",
            "Time the vendor took to answer.",
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )
        self.account_trouble = self._gauge(
            "account_trouble",
            "Whether the whole account is throttled or refused (1) and calls wait.",
            trouble=TROUBLES,
        )
        self.calls_open = self._gauge(
            "calls_open",
            "Calls that may still ring a phone.",
            state=(CallState.WAITING, CallState.SENDING, CallState.UNKNOWN),
        )
        self.oldest_due = self._gauge(
            "calls_oldest_due_seconds", "For how long the call that waits longest has been due."
        )
        self.pages_open = self._gauge("pages_open", "Pages with firing alerts.")

    def _reaching(self) -> None:
        self.receipts = self._counter(
            "receipts",
            "Calls that something was reported of, by how it came and what it says.",
            source=HEARD_FROM,
            result=Result,
        )
        self.receipts_unmatched = self._counter(
            "receipts_unmatched", "Pushed receipts of calls that are not ours."
        )
        self.receipts_invalid = self._counter(
            "receipts_invalid", "Pushed bodies that are no receipts."
        )
        self.receipt_polls = self._counter(
            "receipt_polls", "Look-ups of receipts, by how they went.", outcome=("ok", "failed")
        )
        self.billed = self._counter(
            "billed", "What the vendor billed for, in pieces or minutes, as receipts say."
        )
        self.acknowledgements = self._counter(
            "acknowledgements", "Pages that somebody took, by how.", by=ACKNOWLEDGED_BY
        )
        self.escalations = self._counter(
            "escalations", "Steps that were taken because the step before reached nobody."
        )
        self.escalations_exhausted = self._counter(
            "escalations_exhausted", "Escalations that ended and reached nobody."
        )
        self.nobody_on_call = self._counter(
            "nobody_on_call", "Steps that were passed over because nobody was on call."
        )
        self.fallbacks = self._counter(
            "fallbacks", "Requests to fallback webhooks, by outcome.", outcome=FALLBACK_OUTCOMES
        )
        self.pages_unacknowledged = self._gauge(
            "pages_unacknowledged", "Open pages that nobody has taken."
        )
        self.pages_exhausted = self._gauge(
            "pages_exhausted", "Open pages whose escalation ended and reached nobody."
        )
        self.oldest_unacknowledged = self._gauge(
            "pages_oldest_unacknowledged_seconds",
            "Age of the open page that has waited longest for somebody to take it.",
        )

        self._schedules()

    def _schedules(self) -> None:
        """Here alone names of routes.yaml are labels: there are few, and each is for itself."""
        self.heartbeat_missing = Gauge(
            "uvms_adapter_heartbeat_missing",
            "Whether a heartbeat has not been heard for too long (1).",
            ["heartbeat"],
            registry=self.registry,
        )
        self.schedule_uncovered = Gauge(
            "uvms_adapter_schedule_uncovered_seconds",
            "For how much of the coming 24 hours nobody is on call.",
            ["schedule"],
            registry=self.registry,
        )
        self.calendar_success_time = Gauge(
            "uvms_adapter_calendar_last_success_timestamp_seconds",
            "When the calendar of a schedule was last fetched and understood.",
            ["schedule"],
            registry=self.registry,
        )
        self.calendar_failures = Counter(
            "uvms_adapter_calendar_refresh_failures",
            "Times the calendar of a schedule could not be fetched or understood.",
            ["schedule"],
            registry=self.registry,
        )

    def _process(self) -> None:
        self.config_successful = self._gauge(
            "config_last_reload_successful", "Whether the last load of routes.yaml succeeded."
        )
        self.config_success_time = self._gauge(
            "config_last_reload_success_timestamp_seconds",
            "When routes.yaml was last loaded with success.",
        )
        self.config_hash = self._gauge("config_hash", "Hash of the loaded routes.yaml.")
        self.store_commit_duration = Histogram(
            "uvms_adapter_store_commit_duration_seconds",
            "Time of one transaction, all its jobs and the fsync included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.store_failures = self._counter("store_failures", "Transactions that failed.")
        info = Gauge("uvms_adapter_build_info", "The version.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)

    def calendar_refreshed(self, schedule: str, at: datetime) -> None:
        """Take note that a good copy of the schedule's calendar is from this time."""
        self.calendar_failures.labels(schedule)
        self.calendar_success_time.labels(schedule).set(at.timestamp())

    def calendar_failed(self, schedule: str) -> None:
        """Take note that a refresh of the schedule's calendar failed."""
        self.calendar_failures.labels(schedule).inc()

    def ret_code(self, code: int | None) -> None:
        """Count an answer's RetCode, under a label of a bounded set."""
        shown = "none" if code is None else str(code) if code in self._ret_codes else "other"
        self.ret_codes.labels(shown).inc()

    def render(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help_text: str, **labels: Iterable[str]) -> Counter:
        counter = Counter(f"uvms_adapter_{name}", help_text, list(labels), registry=self.registry)
        for values in _combinations(labels):
            counter.labels(*values)
        return counter

    def _gauge(self, name: str, help_text: str, **labels: Iterable[str]) -> Gauge:
        gauge = Gauge(f"uvms_adapter_{name}", help_text, list(labels), registry=self.registry)
        for values in _combinations(labels):
            gauge.labels(*values)
        return gauge


def _combinations(labels: dict[str, Iterable[str]]) -> list[tuple[str, ...]]:
    if not labels:
        return []
    found: list[tuple[str, ...]] = [()]
    for values in labels.values():
        found = [(*have, str(value)) for value in values for have in found]
    return found
