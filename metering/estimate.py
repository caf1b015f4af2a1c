"""How much a request may use, before it has: for the hold, and for billing where nobody reports.

Nothing in a request is ever fetched to find out. The bound is not a promise: what is really used beyond the hold
is charged as far as the wallet has it, and the rest is recorded as uncollected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Tokenizers of today give 3-4 bytes of English and 2.5-3 of Chinese or Japanese to a token; 2 leaves a margin.
_BOUND_BYTES_PER_TOKEN = 2
_LIKELY_BYTES_PER_TOKEN = 4
# Three tokens frame a message and three prime the reply (OpenAI cookbook); chat templates of open models use up to 8.
_MESSAGE_TOKENS = 8
# The dearest image rule known that is not per byte: gpt-4o-mini's tiles, 2833 + 8 x 5667 (2048x768 pixels).
_IMAGE_TOKENS = 48_169
# Ten tokens a second of audio; the leanest common encoding, 8 kbit/s, is 1,000 bytes a second of base64 x 4/3.
_AUDIO_BYTES_PER_TOKEN = 100


@dataclass(frozen=True, slots=True)
class Bound:
    """Tokens that a request may use at most, as far as can be told."""

    input_tokens: int
    output_tokens: int


def bound(request: dict[str, Any], default_output_tokens: int) -> Bound:
    """`request` is a validated chat completion; without a limit of its own, the model's default applies."""
    limit = request.get("max_completion_tokens")
    if limit is None:
        limit = request.get("max_tokens")
    choices = request.get("n") or 1
    per_choice = default_output_tokens if limit is None else limit
    return Bound(_input_tokens(request, _BOUND_BYTES_PER_TOKEN), per_choice * choices)


def likely_input_tokens(request: dict[str, Any]) -> int:
    """What the prompt probably came to, where the server never said; billed as `estimated`."""
    return _input_tokens(request, _LIKELY_BYTES_PER_TOKEN)


def likely_tokens(value: Any) -> int:
    """What the text in a JSON value probably comes to."""
    return likely_tokens_in(_text_bytes(value))


def likely_tokens_in(text_bytes: int) -> int:
    """What so many bytes of text probably come to."""
    return -(-text_bytes // _LIKELY_BYTES_PER_TOKEN)


def _input_tokens(request: dict[str, Any], bytes_per_token: int) -> int:
    messages = request["messages"]
    text_bytes = 0
    tokens = _MESSAGE_TOKENS * len(messages)
    for part in _parts(messages):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            tokens += _IMAGE_TOKENS
        elif kind == "input_audio":
            tokens += _text_bytes(part) // _AUDIO_BYTES_PER_TOKEN
        else:
            text_bytes += _text_bytes(part)
    for name in ("tools", "functions", "response_format", "prediction"):
        text_bytes += _text_bytes(request.get(name))
    return tokens + -(-text_bytes // bytes_per_token)


def _parts(messages: list[Any]) -> Iterator[Any]:
    for message in messages:
        if not isinstance(message, dict):
            continue
        for name, value in message.items():
            if name == "content" and isinstance(value, list):
                yield from value
            else:
                yield value


def _text_bytes(value: Any) -> int:
    """Bytes of all the text in a JSON value, names included; depth is bounded by the JSON parser's own limit."""
    total = 0
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            total += len(item.encode())
        elif isinstance(item, dict):
            left.extend(item.keys())
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
        elif item is not None:
            total += len(str(item))
    return total
