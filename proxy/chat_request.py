"""A chat completion as the client sent it: parsed once, and only what we rely on is checked.

The rest is the upstream's to judge. Numbers that a hold is made of must be counts: a float, a string or a negative
is refused here, before anything was taken.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from metering.chat import Outgoing, outgoing
from proxy.failures import invalid_request

_MAX_MODEL_CHARS = 256
# Ten million tokens is more than any model writes; beyond it a hold's arithmetic means nothing.
_MAX_OUTPUT_TOKENS = 10_000_000
_MAX_CHOICES = 128


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`raw` are the client's bytes, `fields` what they parse to, `sent` what goes upstream for them."""

    raw: bytes
    fields: dict[str, Any]
    sent: Outgoing
    model: str
    is_stream: bool


def parse(raw: bytes) -> ChatRequest:
    """Raises the `Failure` (400 `invalid_request_error`) that says what is wrong, with the parameter's name."""
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # the parser's own words: they name a place, never quote the text
        raise invalid_request(f"The body is not valid JSON: {error.msg} at byte {error.pos}.") from None
    if not isinstance(fields, dict):
        raise invalid_request("The body must be a JSON object.")
    model = fields.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= _MAX_MODEL_CHARS:
        raise invalid_request(f"`model` must be a string of 1 to {_MAX_MODEL_CHARS} characters.", "model")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid_request("`messages` must be a list with at least one message.", "messages")
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise invalid_request("`stream` must be true or false.", "stream")
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid_request("`stream_options` must be an object.", "stream_options")
    _check_count(fields, "max_tokens", _MAX_OUTPUT_TOKENS)
    _check_count(fields, "max_completion_tokens", _MAX_OUTPUT_TOKENS)
    _check_count(fields, "n", _MAX_CHOICES)
    try:
        sent = outgoing(raw, fields)
    except orjson.JSONEncodeError:
        # the parser goes deeper than the writer, which is needed where the body could be read in two ways
        raise invalid_request("The body is nested too deeply.") from None
    return ChatRequest(raw, fields, sent, model, stream is True)


def _check_count(fields: dict[str, Any], name: str, largest: int) -> None:
    value = fields.get(name)
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
        raise invalid_request(f"`{name}` must be a whole number from 1 to {largest}.", name)
