"""Traces and log lines, and what may stand in them. OpenTelemetry and structlog are set up here and nowhere else.

Both are read by more people than the data is, so both pass an allow-list: an attribute or key that is not on it is
dropped, whoever wrote it. Ids of persons and free texts are not on it. Exceptions are reported by type and place, never
with their arguments, since these may quote what somebody wrote.
Trace context is W3C `traceparent`; it crosses RPC in the signed call context and messages in their header.
"""

import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ATTRIBUTES = frozenset(
    {
        "agency",
        "attempt",
        "callee",
        "caller",
        "category",
        "code",
        "count",
        "delay",
        "error",
        "event",
        "host",
        "http.method",
        "http.route",
        "http.status",
        "legal_domain",
        "logger",
        "loop",
        "message_id",
        "message_type",
        "method",
        "place",
        "port",
        "position",
        "projection",
        "purpose",
        "queue",
        "role",
        "service",
        "stream_version",
        "trace_id",
        "variable",
    }
)
_LOG_FRAME = frozenset({"timestamp", "level"})
_W3C = TraceContextTextMapPropagator()
_set_up = threading.Lock()
_provider: TracerProvider | None = None


class JsonLines(SpanExporter):
    """Appends each finished span as one line of JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(json.dumps(_span_record(span), sort_keys=True) + "\n" for span in spans)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(lines)
        return SpanExportResult.SUCCESS


def set_up(service: str, *, log_level: str = "info", spans: Path | None = None) -> None:
    """Once per process: where log lines and spans go. OTLP is used when `OTEL_EXPORTER_OTLP_ENDPOINT` is set."""
    _set_up_logs(log_level)
    exporters: list[Any] = []
    if spans is not None:
        exporters.append(SimpleSpanProcessor(JsonLines(spans)))
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        exporters.append(BatchSpanProcessor(OTLPSpanExporter()))
    provider = _tracer_provider(service)
    for exporter in exporters:
        provider.add_span_processor(exporter)


def shut_down() -> None:
    """Send what is still held back."""
    if _provider is not None:
        _provider.force_flush(2000)


@contextmanager
def span(name: str, **attributes: object) -> Iterator[None]:
    """A span around the block; a failure marks it with the type of the error and its code."""
    tracer = _tracer_provider("handschlag").get_tracer("handschlag")
    with tracer.start_as_current_span(
        name, attributes=_allowed(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, getattr(error, "code", type(error).__name__)))
            raise


@contextmanager
def continue_trace(traceparent: str, name: str, **attributes: object) -> Iterator[None]:
    """A span that belongs to the trace which `traceparent` names; without one, where we stand."""
    if not traceparent:
        with span(name, **attributes):
            yield
        return
    token = otel_context.attach(_W3C.extract({"traceparent": traceparent}))
    try:
        with span(name, **attributes):
            yield
    finally:
        otel_context.detach(token)


def current_traceparent() -> str:
    """Where we stand, as a W3C `traceparent`; empty outside of any span."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent", "")


def current_trace_id() -> str:
    """The trace id in hexadecimal, for problem documents and log lines; empty outside of any span."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""


def logger(name: str) -> Any:
    """A structured logger: `logger("outbox").info("relayed", count=3)`."""
    return structlog.get_logger().bind(logger=name)


def describe(error: BaseException) -> dict[str, str]:
    """An error for the log: its type, its code when it has one, and where it arose; never its arguments."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else ""
    code = str(getattr(error, "code", ""))
    described = {"error": type(error).__name__, "place": place}
    return {**described, "code": code} if code and "." in code else described


def _tracer_provider(service: str) -> TracerProvider:
    global _provider  # noqa: PLW0603
    with _set_up:
        if _provider is None:
            _provider = TracerProvider(resource=Resource.create({"service.name": service}))
            propagate.set_global_textmap(_W3C)
            trace.set_tracer_provider(_provider)
        return _provider


def _allowed(attributes: Mapping[str, object]) -> dict[str, str | int | bool]:
    return {
        key: item if isinstance(item, (str, int, bool)) else str(item)
        for key, item in attributes.items()
        if key in ATTRIBUTES and item is not None
    }


def _span_record(span: ReadableSpan) -> dict[str, object]:
    found = span.get_span_context()
    return {
        "name": span.name,
        "trace_id": f"{found.trace_id:032x}" if found else "",
        "span_id": f"{found.span_id:016x}" if found else "",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "attributes": dict(span.attributes or {}),
        "status": span.status.status_code.name,
        "reason": span.status.description or "",
        "start_unix_nano": span.start_time or 0,
        "nanoseconds": (span.end_time or 0) - (span.start_time or 0),
    }


def _set_up_logs(level: str) -> None:
    number = logging.getLevelName(level.upper())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_trace,
            _only_allowed,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = _Foreign()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


class _Foreign(logging.Handler):
    """Log lines of libraries: the template and the place, without what was filled in."""

    def emit(self, record: logging.LogRecord) -> None:
        template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        error = record.exc_info[1] if record.exc_info else None
        fields = {"logger": record.name, "place": f"{record.module}:{record.lineno}"}
        fields |= describe(error) if error else {}
        structlog.get_logger().log(record.levelno, template.splitlines()[0] if template else "", **fields)


def _only_allowed(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: item for key, item in line.items() if key in ATTRIBUTES or key in _LOG_FRAME}


def _with_trace(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace_id = current_trace_id()
    return {**line, "trace_id": trace_id} if trace_id else line
