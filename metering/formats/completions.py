"""OpenAI's legacy completions: a prompt, or a list of them; text back.

llama.cpp and TGI put usage on the last chunk of each prompt unasked; Ollama writes zeros on every chunk before the real
one. Both are what `Tally` is for.
"""

from collections.abc import Iterator
from typing import Any

from metering.formats.chat import check_stream_options, read
from metering.formats.format import (
    MAX_CANDIDATES,
    STREAM_OPTIONS,
    Ask,
    InvalidAsk,
    JsonObject,
    Piece,
    WireFormat,
    deciding,
    flag,
    limit_of,
    model_of,
    whole_number,
)
from metering.formats.usual_answer import usual_usage

LIMITS = ("max_tokens", "max_completion_tokens")


def ask(fields: JsonObject) -> Ask:
    model = model_of(fields)
    check_stream_options(fields)
    returned = whole_number(fields, "n", MAX_CANDIDATES) or 1
    # all of `best_of` are generated, and `n` of them returned
    generated = max(returned, whole_number(fields, "best_of", MAX_CANDIDATES) or 1)
    return Ask(
        model,
        is_stream=flag(fields, "stream"),
        output_limit=limit_of(fields, *LIMITS),
        candidates=generated,
        prompts=_prompts(fields.get("prompt")),
    )


def _prompts(prompt: Any) -> int:
    """A text, a list of token ids, or a list of either; without a prompt the model starts by itself."""
    if prompt is None or isinstance(prompt, str):
        return 1
    if not isinstance(prompt, list) or not prompt:
        raise InvalidAsk("`prompt` must be a text or a list of them.", "prompt")
    return len(prompt) if isinstance(prompt[0], str | list) else 1


def texts(chunk: JsonObject) -> Iterator[Piece]:
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("text"), str):
            yield str(choice.get("index")), choice["text"]


FORMAT = WireFormat(
    "completions",
    ask,
    read,
    texts,
    marks=(b'"usage"', b'"error"', b'"timings"', b'"finish_reason":"', b'"finish_reason": "'),
    text_fields=("text",),
    decides=deciding(*STREAM_OPTIONS, *LIMITS, "prompt", "n", "best_of"),
    limits=LIMITS,
    usual_usage=usual_usage,
)
