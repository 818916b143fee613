"""Traces: one for each job, from the request that submitted it over its worker to its runner.

Names and variables are OpenTelemetry's own. Nothing is recorded unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``) says where to, and the extra ``hposvc[otel]`` is installed. The context of a
request that carries one is passed on in any case.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hposvc import __version__
from hposvc.copyable import Copyable

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_SECONDS = 2.0  # at the end of a process; a collector that does not answer must not hold up a job for long
KINDS = {"consumer": SpanKind.CONSUMER, "internal": SpanKind.INTERNAL}

T = TypeVar("T")

_PROPAGATOR = TraceContextTextMapPropagator()


class MissingExtraError(Copyable, ImportError):
    """An endpoint is set, and what would send to it is not installed."""

    def __init__(self) -> None:
        super().__init__(
            f"{' or '.join(ENDPOINTS)} is set, but OpenTelemetry is not installed: "
            "pip install 'hposvc[otel]', or unset it"
        )


def start(service: Literal["api", "worker", "runner"]) -> Callable[[], None]:
    """Record the traces of this process, if an endpoint is set; returns what to call before the process ends.

    Raises MissingExtraError.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED") == "true":
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtraError from error
    name = os.environ.get("OTEL_SERVICE_NAME") or f"hposvc-{service}"
    resource = Resource.create({"service.name": name, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    processor = BatchSpanProcessor(OTLPSpanExporter())
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)

    def stop() -> None:
        # force_flush has no limit of its own while the exporter tries again
        flush = threading.Thread(target=processor.force_flush, name="last-spans", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)

    return stop


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    kind: Literal["consumer", "internal"] = "internal",
    **attributes: Any,
) -> Iterator[Span]:
    """A stretch of work. ``parent``: a W3C traceparent; otherwise the current span.

    An exception that leaves the block marks the span as failed. Attributes have their dots written as two underscores.
    """
    context = None if parent is None else _PROPAGATOR.extract({"traceparent": parent}, context=Context())
    values = {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
    tracer = trace.get_tracer("hposvc", __version__)
    with tracer.start_as_current_span(name, context=context, kind=KINDS[kind], attributes=values) as current:
        yield current


def traced(name: str, items: Iterable[T]) -> Iterator[T]:
    """The items, in a span from the first to the last that is asked for."""
    with span(name):
        yield from items


def fail(current: Span, why: str) -> None:
    """Mark a span as failed that no exception leaves."""
    current.set_status(Status(StatusCode.ERROR, why))


def traceparent() -> str | None:
    """The current span, as others continue it; None when nothing is traced."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def ids() -> dict[str, str]:
    """The current trace and span, for a log line; empty when nothing is traced."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
