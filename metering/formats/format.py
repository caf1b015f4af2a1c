"""What the meter has to know of a wire format: how it asks, where it says what was used, where its text is.

One module describes one format by one `WireFormat`; none of them touches bytes that pass.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from msgspec import Struct

from metering.reading import NOTHING, Reading

JsonObject = Mapping[str, Any]

# Ten million tokens is more than any model writes; beyond it a hold's arithmetic means nothing.
MAX_OUTPUT_TOKENS = 10_000_000
# OpenAI's own limit of `n`.
MAX_CANDIDATES = 128
MAX_MODEL_CHARS = 256


class InvalidAsk(ValueError):
    """A request that cannot be metered: what is wrong, and with which parameter."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Ask(Struct, frozen=True):
    """What a request asks for. `output_limit`: tokens of each candidate, None where it sets none.

    `prompts` x `candidates` answers are generated; `generates` False: no tokens are (embeddings, sound, pictures).
    `images`: pictures to be made. `least_output`: a limit below makes no sense to the server.
    """

    model: str
    is_stream: bool = False
    output_limit: int | None = None
    candidates: int = 1
    prompts: int = 1
    generates: bool = True
    images: int = 0
    least_output: int = 1


class Said(Struct, frozen=True):
    """What one event of a stream, or a whole answer, says to the meter. `choice`: whose usage it is; None: of all."""

    usage: Reading = NOTHING
    choice: int | None = None
    is_usage_only: bool = False  # there for its usage alone: it goes if only we asked for it
    is_error: bool = False
    is_finish: bool = False  # generation is over, only usage can follow
    is_end: bool = False  # the format's own last event


SAYS_NOTHING = Said()
# Which of the parallel texts of an answer a piece belongs to, and the piece.
Piece = tuple[str, str]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One wire format. `read` and `texts` take one event of a stream or a whole answer.

    `marks`: an event with none of these byte strings says nothing to the meter and is not parsed. `decides`: the
    fields of a request that say who serves it and what it may cost, which no two parsers may read in two ways.
    `ends_long`: the last event holds the whole answer, media too. `text_fields`: in a stream of one answer, the fields
    whose values are its text, wherever they stand; empty where that cannot be said. `limits`: the fields that bound the
    output, in `limits_in` where they stand in an object of their own. `usual_usage`: what a whole answer of the usual
    shape reports, in less time than `read`; it says None of any other.
    """

    name: str
    ask: Callable[[JsonObject], Ask]
    read: Callable[[JsonObject], Said]
    texts: Callable[[JsonObject], Iterator[Piece]]
    marks: tuple[bytes, ...]
    decides: frozenset[str] = frozenset(("model", "stream"))
    ends_long: bool = False
    text_fields: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    limits_in: str = ""
    usual_usage: Callable[[bytes], Reading | None] | None = None


@cache
def words_of(marks: tuple[bytes, ...]) -> tuple[tuple[bytes, str], ...]:
    """Each mark, and what it is in bytes that were decoded as Latin-1."""
    return tuple((mark, mark.decode()) for mark in marks)


def json_object(data: bytes) -> dict[str, Any] | None:
    """None if it is anything else: `[DONE]`, a comment, another tongue."""
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


# What all formats with `stream_options` decide by.
STREAM_OPTIONS = ("stream_options", "include_usage", "continuous_usage_stats", "timings_per_token")


def deciding(*names: str) -> frozenset[str]:
    return frozenset(("model", "stream", *names))


def model_of(fields: JsonObject) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARS:
        raise InvalidAsk(f"`model` must be a string of 1 to {MAX_MODEL_CHARS} characters.", "model")
    return model


def whole_number(fields: JsonObject, name: str, largest: int = MAX_OUTPUT_TOKENS, least: int = 1) -> int | None:
    """A count that a hold is made of: a float, a string or a negative is refused before anything was taken."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= largest:
        raise InvalidAsk(f"`{name}` must be a whole number from {least} to {largest}.", name)
    return value


def limit_of(fields: JsonObject, *names: str) -> int | None:
    """The first of these limits that is set; each is checked."""
    first = None
    for name in names:
        limit = whole_number(fields, name)
        first = limit if first is None else first
    return first


def limited(fields: JsonObject, limit: int, names: tuple[str, ...], limits_in: str, *, new: str = "") -> dict[str, Any]:
    """The request with this limit, under each of the names that are given; a lower one stays as it is.

    Where none is given it is set under `new`, if that is one of them, or the first.
    """
    inner = fields.get(limits_in) if limits_in else fields
    inner = inner if isinstance(inner, Mapping) else {}
    given = [name for name in names if inner.get(name) is not None]
    given = given or [new if new in names else names[0]]
    within = {**inner, **{name: _lower(inner.get(name), limit) for name in given}}
    return {**fields, limits_in: within} if limits_in else within


def _lower(given: Any, limit: int) -> int:
    """Below 0 Ollama means without end."""
    return given if isinstance(given, int) and 0 <= given < limit else limit


def flag(fields: JsonObject, name: str, default: bool = False) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidAsk(f"`{name}` must be true or false.", name)
    return value


def strings(value: Any) -> Iterator[str]:
    """A text, or the texts of a list of `{"text": …}` parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
