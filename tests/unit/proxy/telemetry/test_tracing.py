"""A span for a request, and what the upstream is told of it."""

import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from proxy.process.starting import StartError
from proxy.telemetry.tracing import Tracing, end_span, open_tracing, with_context
from runtime.settings import Traces
from tests.support.gateway import GOOD, JSON, Rig

CLIENTS = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLIENTS_TRACE = CLIENTS[3:35]
SAMPLED = 1
HEADERS = [(b"traceparent", CLIENTS), (b"tracestate", b"theirs=1"), (b"accept", b"*/*")]


class Sent(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
async def tracing(sent: Sent) -> AsyncIterator[Tracing]:
    async with open_tracing(settings(), sent) as opened:
        assert opened is not None
        yield opened


def settings(**fields: Any) -> Traces:
    return Traces(endpoint="http://127.0.0.1:9/v1/traces", **({"sample": 1.0} | fields))


def parent_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    (parent,) = [value for name, value in headers if name == b"traceparent"]
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", parent)
    return parent


async def test_switched_off_there_is_none() -> None:
    async with open_tracing(None) as tracing:
        assert tracing is None


async def test_what_a_client_says_of_its_trace_is_not_believed(tracing: Tracing) -> None:
    told = with_context(HEADERS, tracing.begin(HEADERS))
    assert CLIENTS_TRACE not in parent_of(told)
    assert [name for name, _ in told] == [b"accept", b"traceparent"]


async def test_unless_clients_are_followed(sent: Sent) -> None:
    async with open_tracing(settings(follow_clients=True, sample=1e-9), sent) as tracing:
        assert tracing is not None
        span = tracing.begin(HEADERS)
        told = with_context(HEADERS, span)
        assert parent_of(told).startswith(b"00-" + CLIENTS_TRACE)
        assert (b"tracestate", b"theirs=1") in told
        assert parent_of(told) != CLIENTS
        assert int(parent_of(told)[-2:], 16) & SAMPLED
        end_span(span, "chat tiny", {}, 200)  # sampled, for the client is traced
    assert [span.name for span in sent.spans] == ["chat tiny"]


async def test_what_is_not_sampled_is_not_sent_and_says_so(sent: Sent) -> None:
    async with open_tracing(settings(sample=1e-9), sent) as tracing:
        assert tracing is not None
        span = tracing.begin([])
        assert int(parent_of(with_context([], span))[-2:], 16) & SAMPLED == 0
        end_span(span, "chat", {}, 200)
    assert sent.spans == []


async def test_without_the_extra_a_start_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartError, match=r"farebox\[otel\]"):
        async with open_tracing(settings()):
            pass


async def test_a_request_and_a_refusal_are_spans(sent: Sent) -> None:
    async with open_tracing(settings(), sent) as tracing:
        rig = Rig()
        rig.tracing = tracing
        async with rig.serving():
            sink = await rig.begin(f"Traceparent: {CLIENTS.decode()}")
            told = parent_of(rig.pool.sent[0].headers)
            sink.on_headers(500, JSON)
            sink.on_body(GOOD)
            sink.on_end()
            await rig.whole()
            rig.client.transport.written.clear()
            await rig.ask(model="made-up")
    failed, refused = sent.spans
    assert failed.context is not None
    assert told.split(b"-")[1].decode() == f"{failed.context.trace_id:032x}"
    assert (failed.name, failed.status.status_code) == ("chat tiny", StatusCode.ERROR)
    assert (refused.name, refused.status.status_code) == ("chat", StatusCode.UNSET)
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "status 500"
    assert refused.attributes is not None
    assert "made-up" not in str(dict(refused.attributes))
