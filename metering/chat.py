"""The wire format of OpenAI's chat completions: where usage is, and what we add to a request to be told.

A stream carries usage only if asked (`stream_options.include_usage`), in one extra chunk with empty `choices`.
Servers that are asked may also put `"usage": null` on every other chunk. What we asked for and the client did not
is taken out again: the extra chunk whole, the nulls by their bytes.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from metering.usage import Reading, read_openai_usage

_USAGE_KEY = b'"usage"'
_INCLUDE_USAGE = b',"stream_options":{"include_usage":true}}'
# Keys that decide who serves a request and what it may cost: two of one name must not be read in two ways.
_DECIDING_KEYS = (b'"model"', b'"stream"', b'"stream_options"', b'"max_tokens"', b'"max_completion_tokens"', b'"n"')


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
    asked = isinstance(options, dict) and options.get("include_usage") is True
    inject = request.get("stream") is True and not asked
    if _could_be_read_otherwise(raw, request):
        return Outgoing(orjson.dumps(_with_usage_asked(request) if inject else request), inject)
    if not inject:
        return Outgoing(raw, False)
    if "stream_options" in request:
        return Outgoing(orjson.dumps(_with_usage_asked(request)), True)
    return Outgoing(raw.rstrip()[:-1] + _INCLUDE_USAGE, True)


def _with_usage_asked(request: dict[str, Any]) -> dict[str, Any]:
    options = request.get("stream_options")
    return {**request, "stream_options": {**(options if isinstance(options, dict) else {}), "include_usage": True}}


def _could_be_read_otherwise(raw: bytes, request: dict[str, Any]) -> bool:
    # A doubled key is legal JSON and parsers differ on which one counts; an escape (`"mod\u0065l"`) can hide it.
    if b"\\u00" in raw:
        return True
    return any(raw.count(key) > (key[1:-1].decode() in request) for key in _DECIDING_KEYS)


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
    return ChunkReading(
        usage=read_openai_usage(usage),
        is_usage_only=isinstance(usage, dict) and chunk.get("choices") == [],
        is_error=bool(chunk.get("error")),
        has_null_usage="usage" in chunk and usage is None,
        choices=chunk.get("choices"),
    )


def without_null_usage(event: bytes) -> bytes:
    """The event without its top-level `"usage":null`, every other byte as it was.

    Call it only where `has_null_usage` holds. If the key stands in more than one place, which one is ours cannot
    be told from bytes, and the event is left alone.
    """
    at = event.find(_USAGE_KEY)
    if at < 0 or event.find(_USAGE_KEY, at + 1) >= 0:
        return event
    end = event.index(b"null", at) + len(b"null")
    before = event[:at].rstrip()
    if before.endswith(b","):
        return before[:-1] + event[end:]
    rest = event[end:].lstrip()
    return event[:at] + (rest[1:].lstrip() if rest.startswith(b",") else rest)
