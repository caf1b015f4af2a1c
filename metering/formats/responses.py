"""OpenAI's Responses: usage comes unasked, inside `response` of the last event, whichever of the three that is.

A gateway that read only `response.completed` billed every incomplete answer zero.
"""

from collections.abc import Iterator

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
from metering.formats.openai_usage import is_error
from metering.reading import NOTHING, Reading, count, object_of

LIMITS = ("max_output_tokens",)
_LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_DELTAS = (
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.delta",
    "response.audio.transcript.delta",
)


def ask(fields: JsonObject) -> Ask:
    if flag(fields, "background"):
        # answered before anything was used, and fetched by a route that nothing would meter
        raise InvalidAsk("`background` is not supported here.", "background")
    return Ask(model_of(fields), is_stream=flag(fields, "stream"), output_limit=limit_of(fields, *LIMITS))


def read(said: JsonObject) -> Said:
    """An event of a stream, or a whole answer, which has no `type` of its own."""
    kind = said.get("type")
    response = object_of(said.get("response")) if isinstance(kind, str) else said
    status = response.get("status")
    is_last = kind in _LAST
    return Said(
        usage=read_usage(response.get("usage")),
        is_error=is_error(said) or bool(response.get("error")) or kind == "error" or status == "failed",
        is_finish=is_last,
        is_end=is_last or kind == "error",
    )


def read_usage(usage: object) -> Reading:
    """`input_tokens` and `output_tokens`, with their parts inside. Also of transcriptions and images."""
    if not isinstance(usage, dict):
        return NOTHING
    inputs, outputs = object_of(usage.get("input_tokens_details")), object_of(usage.get("output_tokens_details"))
    return Reading(
        prompt=count(usage.get("input_tokens")),
        completion=count(usage.get("output_tokens")),
        total=count(usage.get("total_tokens")),
        cached=count(inputs.get("cached_tokens")),
        cache_write=count(inputs.get("cache_write_tokens")),
        reasoning=count(outputs.get("reasoning_tokens")),
        audio_input=count(inputs.get("audio_tokens")),
        audio_output=count(outputs.get("audio_tokens")),
    )


def texts(said: JsonObject) -> Iterator[Piece]:
    kind = said.get("type")
    if kind in _DELTAS:
        where = f"{said.get('output_index')}.{said.get('content_index')}.{kind}"
        for text in strings(said.get("delta")):
            yield where, text
    elif not isinstance(kind, str):
        yield from _whole(said)


def _whole(answer: JsonObject) -> Iterator[Piece]:
    output = answer.get("output")
    for index, item in enumerate(output if isinstance(output, list) else ()):
        for name in ("content", "summary", "arguments", "input"):
            for part, text in enumerate(strings(object_of(item).get(name))):
                yield f"{index}.{name}.{part}", text


FORMAT = WireFormat(
    "responses",
    ask,
    read,
    texts,
    marks=(b'"usage"', b'"error"', *(f'"{kind}"'.encode() for kind in _LAST)),
    text_fields=("delta",),
    decides=deciding(*LIMITS, "input"),
    ends_long=True,
    limits=LIMITS,
)
