"""The wire format of OpenAI's chat completions: where usage is, and what we add to a request to be told.

A stream carries usage only if asked (`stream_options.include_usage`), in one extra chunk with empty `choices`.
Servers that are asked may also put `"usage": null` on every other chunk. What we asked for and the client did not
is taken out again: the extra chunk whole, the nulls by their bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from metering.sse import data_of
from metering.usage import Reading, read_openai_usage

_INCLUDE_USAGE = b',"stream_options":{"include_usage":true}}'
# What decides who serves a request and what it may cost: no two parsers may read it in two ways.
_DECIDING = frozenset(
    ("model", "messages", "stream", "stream_options", "include_usage", "max_tokens", "max_completion_tokens", "n")
)
_QUOTED = {name: f'"{name}"'.encode() for name in _DECIDING}

# JSON's white space, also where one value goes over several `data` lines of an event
_SPACE = rb"(?:[ \t]|(?:\r\n|\n|\r)data:)*+"
_NULL_USAGE = re.compile(rb',%(s)b"usage"%(s)b:%(s)bnull|"usage"%(s)b:%(s)bnull%(s)b(?:,%(s)b)?' % {b"s": _SPACE})
# Each place that may be the chunk's own `usage` costs a parse; real chunks have one.
_MAX_PLACES = 8


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request body as it goes upstream, and whether we asked for usage that the client had not asked for."""

    body: bytes
    usage_injected: bool


def outgoing(raw: bytes, request: dict[str, Any]) -> Outgoing:
    """The body to send upstream for `raw`, which parsed to `request`.

    The client's bytes go as they came, with our option spliced in, unless another parser could read them
    differently from ours: then what we read, priced and held is what is sent.
    """
    options = request.get("stream_options")
    if not isinstance(options, dict):
        options = {}
    inject = request.get("stream") is True and options.get("include_usage") is not True
    if _could_be_read_otherwise(raw, request, options):
        return Outgoing(orjson.dumps(_plain(request, options, inject)), inject)
    if not inject:
        return Outgoing(raw, False)
    if "stream_options" in request:
        return Outgoing(orjson.dumps(_plain(request, options, inject)), True)
    return Outgoing(raw.rstrip()[:-1] + _INCLUDE_USAGE, True)


def _could_be_read_otherwise(raw: bytes, request: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    # A doubled key is legal JSON and parsers differ on which one counts; an escape (`"mod\u0065l"`) can hide it.
    if b"\\u00" in raw or any(map(_is_lookalike, request)) or any(map(_is_lookalike, options)):
        return True
    return any(raw.count(key) > (name in request or name in options) for name, key in _QUOTED.items())


def _is_lookalike(name: str) -> bool:
    """Go's parser, and so Ollama, ignores case: to it `Model` is a second `model`, and the last one counts."""
    return name not in _DECIDING and name.casefold() in _DECIDING


def _plain(request: Mapping[str, Any], options: Mapping[str, Any], inject: bool) -> dict[str, Any]:
    """The request with no key that could be taken for another; `inject`: and with usage asked for."""
    plain = {name: value for name, value in request.items() if not _is_lookalike(name)}
    if options or inject:
        asked = {"include_usage": True} if inject else {}
        plain["stream_options"] = {n: v for n, v in options.items() if not _is_lookalike(n)} | asked
    return plain


@dataclass(frozen=True, slots=True)
class ChunkReading:
    """What one chunk of a stream, or a whole answer, says to the meter."""

    usage: Reading
    is_usage_only: bool
    is_error: bool
    has_null_usage: bool
    choices: Any


def read_answer(data: bytes) -> ChunkReading | None:
    """Read one JSON object; None if it is not one (`[DONE]`, a comment, another tongue)."""
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(chunk, dict):
        return None
    usage = chunk.get("usage")
    # `{"object": "error", ...}` is how vLLM and its kin said it before they took over OpenAI's shape
    is_error = bool(chunk.get("error")) or chunk.get("object") == "error"
    return ChunkReading(
        usage=read_openai_usage(usage),
        is_usage_only=isinstance(usage, dict) and chunk.get("choices") == [] and not is_error,
        is_error=is_error,
        has_null_usage="usage" in chunk and usage is None,
        choices=chunk.get("choices"),
    )


def without_null_usage(event: bytes) -> bytes:
    """The event without its chunk's own `"usage":null`, every other byte as it was.

    Call it only where `has_null_usage` holds. Each place that could be it is tried, and what is left must parse to
    the same chunk without `usage`; where none does, the event is left alone.
    """
    wanted = orjson.loads(data_of(event))
    del wanted["usage"]
    for place in islice(_NULL_USAGE.finditer(event), _MAX_PLACES):
        left = event[: place.start()] + event[place.end() :]
        if _parses_to(wanted, left):
            return left
    return event


def _parses_to(wanted: Any, event: bytes) -> bool:
    try:
        return bool(orjson.loads(data_of(event)) == wanted)
    except orjson.JSONDecodeError:
        return False
