"""OpenAI's chat completions, which every server speaks with an accent."""

from collections.abc import Iterator

from metering.formats.format import (
    MAX_CANDIDATES,
    STREAM_OPTIONS,
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
    whole_number,
)
from metering.formats.openai_usage import choice_of, is_error, is_finish, is_usage_only, usage_of
from metering.formats.usual_answer import usual_usage
from metering.reading import object_of

LIMITS = ("max_completion_tokens", "max_tokens")


def ask(fields: JsonObject) -> Ask:
    model = model_of(fields)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidAsk("`messages` must be a list with at least one message.", "messages")
    check_stream_options(fields)
    return Ask(
        model,
        is_stream=flag(fields, "stream"),
        output_limit=limit_of(fields, *LIMITS),
        candidates=whole_number(fields, "n", MAX_CANDIDATES) or 1,
    )


def check_stream_options(fields: JsonObject) -> None:
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidAsk("`stream_options` must be an object.", "stream_options")


def read(chunk: JsonObject) -> Said:
    return Said(
        usage=usage_of(chunk),
        choice=choice_of(chunk),
        is_usage_only=is_usage_only(chunk),
        is_error=is_error(chunk),
        is_finish=is_finish(chunk),
    )


def texts(chunk: JsonObject) -> Iterator[Piece]:
    """What was generated, of a chunk's `delta` or an answer's `message`. Names of fields: see usage-carrying servers.

    Not output, and left out: log-probabilities, token ids, annotations, obfuscation.
    """
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            said = choice.get("delta") or choice.get("message")
            yield from _pieces(str(choice.get("index")), object_of(said))


def _pieces(index: str, said: JsonObject) -> Iterator[Piece]:
    for name in ("reasoning_content", "reasoning", "content", "refusal"):
        for text in strings(said.get(name)):
            yield f"{index}.{name}", text
    for text in strings(object_of(said.get("audio")).get("transcript")):
        yield f"{index}.audio", text
    calls = said.get("tool_calls")
    for call in [*(calls if isinstance(calls, list) else ()), {"function": said.get("function_call")}]:
        yield from _call(index, object_of(call))


def _call(index: str, call: JsonObject) -> Iterator[Piece]:
    function = object_of(call.get("function"))
    for name in ("name", "arguments"):
        for text in strings(function.get(name)):
            yield f"{index}.{call.get('index')}.{name}", text


FORMAT = WireFormat(
    "chat",
    ask,
    read,
    texts,
    marks=(b'"usage"', b'"error"', b'"timings"', b'"finish_reason":"', b'"finish_reason": "'),
    text_fields=("content", "reasoning_content", "reasoning", "refusal", "arguments", "name", "transcript"),
    decides=deciding(*STREAM_OPTIONS, *LIMITS, "messages", "n"),
    limits=LIMITS,
    usual_usage=usual_usage,
)
