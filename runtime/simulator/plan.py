"""Request body -> plan: which model, how many tokens, streamed or not. Counts are the simulator's own.

A prompt token is a whitespace-separated word; each message costs `TOKENS_PER_MESSAGE` more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.simulator import fields
from runtime.simulator.errors import Refused, invalid
from runtime.simulator.orders import MAX_CONTENT_BYTES, MAX_TOKENS, Orders, read_orders
from runtime.simulator.settings import SimulatorSettings

TOKENS_PER_MESSAGE = 4
MAX_CHOICES = 128  # OpenAI's own limit for `n`
MAX_ASKED_TOKENS = 1_000_000_000  # a caller may ask for more than any model gives


@dataclass(frozen=True, slots=True)
class Plan:
    """`tokens` is per choice; `completion_tokens` over all of them."""

    model: str
    prompt_tokens: int
    tokens: int
    choices: int
    finish_reason: str
    streamed: bool
    include_usage: bool
    orders: Orders

    @property
    def completion_tokens(self) -> int:
        return self.tokens * self.choices


def read_chat(body: bytes, settings: SimulatorSettings) -> Plan:
    """The plan for the body of a chat completion; raises Refused (400, or 404 for a model it does not serve)."""
    return plan_chat(read_object(body), settings)


def plan_chat(raw: Mapping[str, Any], settings: SimulatorSettings) -> Plan:
    """The same for a body that is parsed."""
    streamed = fields.flag(raw, "stream") is True
    include_usage = _read_include_usage(raw.get("stream_options"), streamed=streamed)
    prompt_tokens = count_messages(raw.get("messages"))
    cap = _read_cap(raw)
    choices = fields.whole(raw, "n", 1, MAX_CHOICES) or 1
    model = read_model(raw.get("model"), settings.models)
    orders = read_orders(raw.get("simulate"), settings, streamed=streamed)
    tokens = orders.tokens if cap is None else min(cap, orders.tokens)
    if tokens * choices > MAX_TOKENS or (orders.content_bytes or 0) * choices > MAX_CONTENT_BYTES:
        raise invalid("'n' times what is ordered is more than this server gives", "n")
    return Plan(
        model=model,
        prompt_tokens=prompt_tokens,
        tokens=tokens,
        choices=choices,
        finish_reason="length" if tokens < orders.tokens else "stop",
        streamed=streamed,
        include_usage=include_usage and orders.usage,
        orders=orders,
    )


def read_object(body: bytes) -> dict[str, Any]:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid("the body is not valid JSON") from error
    if not isinstance(raw, dict):
        raise invalid("the body must be a JSON object")
    return raw


def read_model(model: object, models: tuple[str, ...]) -> str:
    if not isinstance(model, str):
        raise invalid("'model' must be a string", "model")
    if model not in models:
        raise Refused(404, f"The model '{model}' does not exist", code="model_not_found", param="model")
    return model


def _read_include_usage(options: object, *, streamed: bool) -> bool:
    if options is None:
        return False
    if not streamed:  # vLLM refuses it in the same way
        raise invalid("'stream_options' may only be given when 'stream' is true", "stream_options")
    if not isinstance(options, dict):
        raise invalid("'stream_options' must be an object", "stream_options")
    return fields.flag(options, "include_usage", path="stream_options.") is True


def _read_cap(raw: Mapping[str, Any]) -> int | None:
    given = [fields.whole(raw, name, 1, MAX_ASKED_TOKENS) for name in ("max_tokens", "max_completion_tokens")]
    return min((cap for cap in given if cap is not None), default=None)


def count_messages(messages: object) -> int:
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a list with at least one message", "messages")
    return sum(_count_message(message, at) for at, message in enumerate(messages))


def _count_message(message: object, at: int) -> int:
    if not isinstance(message, dict):
        raise invalid(f"'messages[{at}]' must be an object", f"messages[{at}]")
    content = message.get("content")
    if isinstance(content, str):
        return TOKENS_PER_MESSAGE + len(content.split())
    if content is None:  # an assistant's message that only calls tools
        return TOKENS_PER_MESSAGE
    if not isinstance(content, list):
        raise invalid(f"'messages[{at}].content' must be a string or a list", f"messages[{at}].content")
    return TOKENS_PER_MESSAGE + sum(_count_part(part) for part in content)


def _count_part(part: object) -> int:
    text = part.get("text") if isinstance(part, dict) else None
    return len(text.split()) if isinstance(text, str) else 0
