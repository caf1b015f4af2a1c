"""What a span says of a request: OpenTelemetry's names for generative AI, all of them here. Pure.

The names are those of its semantic conventions (`gen_ai.*`), still young: a test holds them against the package that
declares them. What has no name there is called `farebox.*`. Prompts and answers are never in a span.
"""

from ledger.entries import UsageEntry
from metering.endpoints import Endpoint
from proxy.failures import Failure
from proxy.settlement import Admitted, Ending
from proxy.telemetry.pace import Pace

Attributes = dict[str, str | int | float | bool]

# Of the wire formats that have one; others go by their route.
OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/api/chat": "chat",
    "/v1/completions": "text_completion",
    "/api/generate": "text_completion",
    "/v1/embeddings": "embeddings",
    "/api/embed": "embeddings",
}
# Kind of an upstream -> the provider as the conventions call it; of a server of one's own, the kind.
PROVIDERS = {"azure": "azure.ai.openai", "mistral": "mistral_ai"}
_US_PER_S = 1_000_000
_NANOS_PER_DOLLAR = 1_000_000_000


def span_name(endpoint: str, model: str | None) -> str:
    """`chat gpt-4o`, as the conventions want it."""
    operation = OPERATIONS.get(endpoint, endpoint)
    return operation if model is None else f"{operation} {model}"


def of_ended(admitted: Admitted, ending: Ending, entry: UsageEntry, pace: Pace) -> Attributes:
    """A request that was let in is over."""
    upstream = admitted.route.settings
    found: Attributes = {
        "gen_ai.operation.name": OPERATIONS.get(entry.endpoint, entry.endpoint),
        "gen_ai.provider.name": PROVIDERS.get(upstream.kind, upstream.kind),
        "gen_ai.request.model": entry.model,
        "gen_ai.request.stream": admitted.asked.ask.is_stream,
        "gen_ai.usage.input_tokens": entry.all_input_tokens,
        "gen_ai.usage.output_tokens": entry.all_output_tokens,
        "gen_ai.usage.cache_read.input_tokens": entry.cached_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": entry.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": entry.reasoning_tokens,
        "http.request.method": "POST",
        "http.route": entry.endpoint,
        "http.response.status_code": entry.status_code,
        "farebox.request.id": str(entry.request_id),
        "farebox.key.id": str(entry.api_key_id),
        "farebox.upstream": upstream.name,
        "farebox.end_reason": entry.end_reason,
        "farebox.usage_source": entry.usage_source,
        "farebox.cost_dollars": entry.cost_nanos / _NANOS_PER_DOLLAR,
    }
    if pace.first_byte_us is not None:
        found["gen_ai.response.time_to_first_chunk"] = pace.first_byte_us / _US_PER_S
    if pace.added_us is not None:
        found["farebox.added_seconds"] = pace.added_us / _US_PER_S
    if ending.fault is not None:
        found["error.type"] = ending.fault
    return found


def of_refused(request_id: str, endpoint: Endpoint, failure: Failure, pace: Pace) -> Attributes:
    """A request that was not let in. A model is named only if it has a price."""
    found: Attributes = {
        "gen_ai.operation.name": OPERATIONS.get(endpoint.name, endpoint.name),
        "http.request.method": "POST",
        "http.route": endpoint.name,
        "http.response.status_code": failure.status,
        "error.type": failure.code,
        "farebox.request.id": request_id,
        "farebox.end_reason": "refused",
    }
    if pace.model is not None:
        found["gen_ai.request.model"] = pace.model
    if failure.reason:
        found["farebox.reason"] = failure.reason
    return found
