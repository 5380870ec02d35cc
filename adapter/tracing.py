"""Traces by OpenTelemetry: what led to a call, and what became of it, as one trace.

Only the standard variables `OTEL_*` set it up; where they do not, or the extra `otel` is not
installed, nothing is imported and nothing recorded. Knows neither calls nor webhooks. A parent is
always named, never found in the context: between a webhook and its call lie a database, hours, and
perhaps another process. https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Thread
from typing import TYPE_CHECKING

from adapter import __version__
from adapter.logs import logger

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

_log = logger(__name__)

_SERVICE = "uvms-adapter"
_FLUSH_SECONDS = 2.0  # when we stop: a collector that is away must not keep us
_PREFIX = "uvms."  # of all attributes
_EXPORTER = "otlp"
_PROTOCOL = "http/protobuf"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

Value = str | int | float | bool | None  # None: not known, and left out


class Span:
    """Something under way. This one is not recorded."""

    @property
    def traceparent(self) -> str:
        """What makes others its children; "": it is not recorded."""
        return ""

    def set(self, **attributes: Value) -> None:
        """Add what is known by now. Never a phone number, and nothing secret."""

    def fail(self, why: str) -> None:
        """Mark it as gone wrong."""


class Tracer:
    """Opens spans. This one records none."""

    def span(
        self, name: str, parent: str = "", **attributes: Value
    ) -> AbstractContextManager[Span]:
        """Record what happens inside; a parent that cannot be read begins a trace of its own."""
        return nullcontext(_UNRECORDED)

    def close(self) -> None:
        """Send what has not been sent yet, for a short while."""


_UNRECORDED = Span()
NO_TRACES = Tracer()


def open_tracer() -> Tracer:
    """Return a tracer as the environment sets it up."""
    if not _wanted(os.environ):
        return NO_TRACES
    try:
        provider = _provider()
    except ImportError as error:
        return _none(f"pip install 'uvms-adapter[otel]': {error}")
    except Exception as error:  # a slip in a variable must not keep phones from ringing
        return _none(repr(error))
    return _Recording(provider)


def _none(why: str) -> Tracer:
    """Say why there are none though they are asked for."""
    _log.error("no traces are sent", why=why)
    return NO_TRACES


def _wanted(environ: Mapping[str, str]) -> bool:
    """Whether traces are asked for, and in a way that we can send them."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    asked = exporter or any(environ.get(name) for name in _ENDPOINTS)
    if disabled or not asked or exporter == "none":
        return False
    if exporter not in ("", _EXPORTER):
        _none(f"OTEL_TRACES_EXPORTER: found {exporter[:40]!r}, and only otlp is known")
        return False
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), _PROTOCOL)
    if protocol != _PROTOCOL:
        _log.warning("traces are sent as http/protobuf, whatever OTEL_* says", protocol=protocol)
    return True


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = {"service.name": _SERVICE, "service.version": __version__}
    resource = Resource.create(ours | dict(OTELResourceDetector().detect().attributes))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class _Recorded(Span):
    """A span that a collector gets."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def set(self, **attributes: Value) -> None:
        self._span.set_attributes(_named(attributes))

    def fail(self, why: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_status(Status(StatusCode.ERROR, why))


class _Recording(Tracer):
    """Sends spans in batches, from a thread of its own; what it cannot send it drops."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("adapter", __version__)
        self._extract = TraceContextTextMapPropagator().extract
        # How backends tell what comes in and what goes out.
        self._kinds = {
            "webhook": SpanKind.SERVER,
            "attempt": SpanKind.CLIENT,
            "look-up": SpanKind.CLIENT,
        }
        self._inside = SpanKind.INTERNAL

    @contextmanager
    def span(self, name: str, parent: str = "", **attributes: Value) -> Iterator[Span]:
        from opentelemetry.context import Context

        span = self._tracer.start_span(
            name,
            self._extract({"traceparent": parent}, Context()),
            self._kinds.get(name, self._inside),
            _named(attributes),
        )
        recorded = _Recorded(span)
        try:
            yield recorded
        except BaseException as error:
            recorded.fail(type(error).__name__)  # its text may hold what a webhook held
            raise
        finally:
            span.end()

    def close(self) -> None:
        # The exporter goes on trying for longer than we may wait.
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_FLUSH_SECONDS)


def _named(attributes: Mapping[str, Value]) -> dict[str, str | int | float | bool]:
    """Return the attributes that are known under their full names, enums as plain text."""
    return {
        _PREFIX + name: str(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if value is not None
    }
