"""A failure in the words of the API it happened on: OpenAI's shape, Anthropic's, Ollama's own."""

from collections.abc import Mapping
from enum import Enum

import orjson

from metering.formats import messages, ollama
from metering.formats.format import WireFormat
from metering.framing import Framing
from proxy.failures import Failure

# Anthropic's names by status (docs: errors); what is not here is `api_error`.
_ANTHROPIC_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ErrorShape(Enum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    OLLAMA = "ollama"


def shape_of(wire: WireFormat) -> ErrorShape:
    if wire is messages.FORMAT:
        return ErrorShape.ANTHROPIC
    return ErrorShape.OLLAMA if wire in (ollama.GENERATION, ollama.EMBEDDING) else ErrorShape.OPENAI


def body_of(failure: Failure, shape: ErrorShape) -> bytes:
    """A whole answer. Beside Anthropic's and Ollama's own fields stands our code, which tells refusals apart."""
    if shape is ErrorShape.OPENAI:
        return failure.body()
    if shape is ErrorShape.OLLAMA:
        return orjson.dumps({"error": failure.message, "code": failure.code})
    kind = _ANTHROPIC_TYPES.get(failure.status, "api_error")
    error = {"type": kind, "message": failure.message, "code": failure.code}
    if failure.details is not None:
        error["details"] = failure.details  # type: ignore[assignment]  # a JSON object of any kind
    return orjson.dumps({"type": "error", "error": error})


def last_event(failure: Failure, shape: ErrorShape, framing: Framing, *, is_between_events: bool) -> bytes:
    """The end of a stream that cannot go on. Half an event that is on its way already is ended first."""
    body = body_of(failure, shape)
    if not framing.line_ends:
        return (b"" if is_between_events else b"\n") + body + b"\n"
    name = b"event: error\n" if shape is ErrorShape.ANTHROPIC else b""
    return (b"" if is_between_events else b"\n\n") + name + b"data: " + body + b"\n\n"
