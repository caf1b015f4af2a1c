"""Anthropic's Messages: usage in the first event and again, cumulative, in the last but one.

`input_tokens` leaves out what was read from and written to the cache: the three stand beside each other. Ollama's and
llama.cpp's first event only guesses; the later one corrects it, field by field.
"""

from collections.abc import Iterator

import orjson

from metering.formats.format import (
    Ask,
    InvalidAsk,
    JsonObject,
    Piece,
    Said,
    WireFormat,
    deciding,
    flag,
    limit_of,
    model_of,
    strings,
)
from metering.reading import NOTHING, Reading, count, object_of

LIMITS = ("max_tokens",)


def ask(fields: JsonObject) -> Ask:
    model = model_of(fields)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidAsk("`messages` must be a list with at least one message.", "messages")
    limit = limit_of(fields, *LIMITS)
    if limit is None:
        raise InvalidAsk("`max_tokens` is required.", "max_tokens")
    return Ask(model, is_stream=flag(fields, "stream"), output_limit=limit, least_output=_more_than_thoughts(fields))


def _more_than_thoughts(fields: JsonObject) -> int:
    """`max_tokens` must be more than what may be thought (Anthropic, Extended thinking)."""
    budget = object_of(fields.get("thinking")).get("budget_tokens")
    return budget + 1 if isinstance(budget, int) and budget > 0 else 1


def read(said: JsonObject) -> Said:
    kind = said.get("type")
    usage = said.get("usage")
    if kind == "message_start":
        usage = object_of(said.get("message")).get("usage")
    return Said(
        usage=_reading(usage),
        is_error=kind == "error" or bool(said.get("error")),
        is_finish=kind == "message_delta" and bool(object_of(said.get("delta")).get("stop_reason")),
        is_end=kind in ("message_stop", "error"),
    )


def _reading(usage: object) -> Reading:
    if not isinstance(usage, dict):
        return NOTHING
    return Reading(
        prompt=count(usage.get("input_tokens")),
        completion=count(usage.get("output_tokens")),
        cached=count(usage.get("cache_read_input_tokens")),
        cache_write=count(usage.get("cache_creation_input_tokens")),
        is_cache_outside=True,
    )


def texts(said: JsonObject) -> Iterator[Piece]:
    if said.get("type") == "content_block_delta":
        delta = object_of(said.get("delta"))
        for name in ("text", "thinking", "partial_json"):
            for text in strings(delta.get(name)):
                yield f"{said.get('index')}.{name}", text
        return
    content = said.get("content")
    for index, block in enumerate(content if isinstance(content, list) else ()):
        for name in ("text", "thinking"):
            for text in strings(object_of(block).get(name)):
                yield f"{index}.{name}", text
        if called_with := object_of(object_of(block).get("input")):
            yield f"{index}.input", orjson.dumps(called_with).decode()


FORMAT = WireFormat(
    "messages",
    ask,
    read,
    texts,
    marks=(b'"usage"', b'"error"', b'"message_stop"', b'"message_delta"'),
    text_fields=("text", "thinking", "partial_json"),
    decides=deciding(*LIMITS, "messages"),
    limits=LIMITS,
)
