"""The usual whole answer of OpenAI's chat and completions, parsed straight into what it says of usage.

Nothing else of the answer becomes an object: a fifth of the time of a JSON parse and `openai_usage`. Whatever differs
from the usual shape by as much as a type is left to those, and both come to the same.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from metering.reading import MAX_COUNT, Reading

_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None


class _Details(Struct):
    cached_tokens: _Count = None
    cache_write_tokens: _Count = None
    reasoning_tokens: _Count = None
    audio_tokens: _Count = None


class _Usage(Struct):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: _Count = None
    cached_tokens: _Count = None
    reasoning_tokens: _Count = None


class _Choice(Struct):
    usage: None = None  # Moonshot's


class _Answer(Struct):
    """The places where usage, or an error, can be said; None: it is not said there."""

    usage: _Usage
    choices: list[_Choice] = []
    object: str = ""
    error: None = None
    x_groq: None = None
    timings: None = None


_NO_DETAILS = _Details()
_decode = msgspec.json.Decoder(_Answer).decode


def usual_usage(body: bytes) -> Reading | None:
    """Of a good answer of the usual shape; None: look closer."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if answer.object == "error":
        return None
    usage = answer.usage
    inputs, outputs = usage.prompt_tokens_details or _NO_DETAILS, usage.completion_tokens_details or _NO_DETAILS
    return Reading(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        _first(inputs.cached_tokens, usage.prompt_cache_hit_tokens, usage.cached_tokens),
        inputs.cache_write_tokens,
        _first(outputs.reasoning_tokens, usage.reasoning_tokens),
        inputs.audio_tokens,
        outputs.audio_tokens,
    )


def _first(*said: int | None) -> int | None:
    for count in said:
        if count is not None:
            return count
    return None
