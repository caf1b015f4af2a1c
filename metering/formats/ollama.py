"""Ollama's own: JSON lines, streamed unless asked not to; the line with `done` says what was used.

`prompt_eval_count` is left out where it would be 0, and was, in some versions, where the prompt came from a cache.
"""

from collections.abc import Iterator

from metering.formats.format import (
    Ask,
    JsonObject,
    Piece,
    Said,
    WireFormat,
    deciding,
    flag,
    model_of,
    strings,
    whole_number,
)
from metering.reading import Reading, count, object_of

_FOREVER = (-1, -2)  # until the model stops; until its context is full


def ask_generation(fields: JsonObject) -> Ask:
    options = object_of(fields.get("options"))
    limit = options.get("num_predict")
    bounded = None if limit in _FOREVER else whole_number(options, "num_predict", least=0)
    return Ask(model_of(fields), is_stream=flag(fields, "stream", default=True), output_limit=bounded)


def ask_embedding(fields: JsonObject) -> Ask:
    return Ask(model_of(fields), generates=False)


def read(line: JsonObject) -> Said:
    is_done = line.get("done") is True
    return Said(
        usage=Reading(prompt=count(line.get("prompt_eval_count")), completion=count(line.get("eval_count"))),
        is_error=bool(line.get("error")),
        is_finish=is_done,
        is_end=is_done,
    )


def texts(line: JsonObject) -> Iterator[Piece]:
    message = object_of(line.get("message"))
    for name, value in (
        ("response", line.get("response")),
        ("thinking", line.get("thinking") or message.get("thinking")),
        ("content", message.get("content")),
    ):
        for text in strings(value):
            yield name, text
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = object_of(object_of(call).get("function"))
        yield "tool", f"{function.get('name')} {function.get('arguments')}"


_MARKS = (b'"done":true', b'"done": true', b'"eval_count"', b'"prompt_eval_count"', b'"error"')
GENERATION = WireFormat(
    "ollama",
    ask_generation,
    read,
    texts,
    marks=_MARKS,
    decides=deciding("messages", "prompt", "options", "num_predict"),
    limits=("num_predict",),
    limits_in="options",
)
EMBEDDING = WireFormat(
    "ollama-embed",
    ask_embedding,
    read,
    lambda _: iter(()),
    marks=_MARKS,
    decides=deciding("input", "options"),
)
