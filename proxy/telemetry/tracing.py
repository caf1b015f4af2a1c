"""Traces (OpenTelemetry, an optional extra): a span for a request, and its context for the upstream.

Off, which is the default, nothing of it is imported, and a request pays three comparisons. On, spans are sent in
batches by a thread of the SDK's, which drops what it cannot send.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from proxy.process.starting import StartError
from proxy.telemetry.span_attributes import Attributes
from runtime.settings import Traces
from runtime.version import farebox_version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

RawHeaders = list[tuple[bytes, bytes]]

_CONTEXT_HEADERS = (b"traceparent", b"tracestate")
_SERVER_ERRORS = 500
# For one batch, with all its tries. A collector that is away also keeps a process from its end for so long, not longer.
_EXPORT_TIMEOUT_S = 2.0


class Tracing:
    """`follows_clients`: a client's `traceparent` is continued, and its word on sampling taken."""

    def __init__(self, provider: "TracerProvider", *, follows_clients: bool) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("farebox", farebox_version())
        self._propagator = TraceContextTextMapPropagator()
        self._follows_clients = follows_clients

    def begin(self, raw_headers: Sequence[tuple[bytes, bytes]]) -> "Span":
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        context = Context()  # and not what happens to be current in this task
        if self._follows_clients:
            told = {name.decode(): value.decode("latin-1") for name, value in raw_headers if name in _CONTEXT_HEADERS}
            context = self._propagator.extract(told, context)
        return self._tracer.start_span("request", context, kind=SpanKind.SERVER)

    async def close(self) -> None:
        """What is left is sent, if somebody takes it."""
        await asyncio.to_thread(self._provider.shutdown)


@asynccontextmanager
async def open_tracing(
    settings: Traces | None, exporter: "SpanExporter | None" = None
) -> AsyncIterator[Tracing | None]:
    """None where it is off. Raises StartError where the extra is not installed."""
    if settings is None:
        yield None
        return
    tracing = Tracing(_provider(settings, exporter), follows_clients=settings.follow_clients)
    try:
        yield tracing
    finally:
        await tracing.close()


def _provider(settings: Traces, exporter: "SpanExporter | None") -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise StartError("traces: needs `pip install farebox[otel]`") from None
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    sampler = ParentBased(TraceIdRatioBased(settings.sample))
    resource = Resource.create({"service.name": settings.service_name, "service.version": farebox_version()})
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    if exporter is None:
        exporter = OTLPSpanExporter(settings.endpoint, headers=headers, timeout=_EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def with_context(headers: RawHeaders, span: "Span") -> RawHeaders:
    """What goes upstream, with this span as what called it, in W3C's words; whatever the client said of it is gone."""
    context = span.get_span_context()
    state = context.trace_state.to_header()
    kept = [header for header in headers if header[0] not in _CONTEXT_HEADERS]
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    kept.append((b"traceparent", parent.encode()))
    return [*kept, (b"tracestate", state.encode())] if state else kept


def end_span(span: "Span", name: str, attributes: Attributes, status: int) -> None:
    """It is sent, if it was sampled."""
    if span.is_recording():
        from opentelemetry.trace import StatusCode

        span.update_name(name)
        span.set_attributes(attributes)
        if status >= _SERVER_ERRORS:
            span.set_status(StatusCode.ERROR)
    span.end()
