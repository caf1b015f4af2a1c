"""What a request may order beyond length, pace and faults: what is counted, and how it is written on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.simulator import fields
from runtime.simulator.errors import invalid
from runtime.simulator.kinds import Kind

# Far above what a test orders.
MAX_COUNT = 1_000_000_000
MAX_KEEP_ALIVES = 100_000
MAX_TOKENS_PER_CHUNK = 1_000_000
MAX_DELTAS = 1_000
PATH = "simulate."

LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
FINISH_REASONS = ("stop", "length", "content_filter", "tool_calls")
USAGE_TYPES = ("tokens", "duration")


@dataclass(frozen=True, slots=True)
class Details:
    """Counts are tokens. Of `prompt_tokens` (None: its words) the cached, cache-written, audio and image ones are
    parts; of the tokens of each choice the reasoning ones come first, then the hidden ones, which leave no text.
    Reasoning leaves none either unless `show_reasoning`. `seconds` is the length of the audio that is transcribed.
    `message_deltas` counts the events of Anthropic's that carry usage; `usage_type` None is as the kind does it.
    """

    kind: Kind | None = None
    prompt_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    reasoning_tokens: int = 0
    hidden_tokens: int = 0
    show_reasoning: bool = False
    tokens_per_chunk: int = 1
    seconds: int = 3
    usage_type: str | None = None
    finish_reason: str | None = None
    keep_alives: int | None = None
    line_end: bytes = b"\n"
    data_space: bool = True
    async_filter: bool = False
    refuse_stream_options: bool = False
    message_deltas: int = 1


DEFAULT = Details()
_COUNTS = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens", "hidden_tokens")
_FLAGS = ("show_reasoning", "async_filter", "refuse_stream_options")
FIELDS = frozenset(Details.__slots__)


def read_details(raw: Mapping[str, Any]) -> Details:
    """The details in the `simulate` object; a 400 names the field that is wrong."""
    if not FIELDS & raw.keys():
        return DEFAULT
    found: dict[str, Any] = {name: fields.whole(raw, name, 0, MAX_COUNT, path=PATH) or 0 for name in _COUNTS}
    found |= {name: fields.flag(raw, name, path=PATH) is True for name in _FLAGS}
    line_end = _one_of(raw, "line_end", tuple(LINE_ENDS))
    kind = _one_of(raw, "kind", tuple(Kind))
    seconds = fields.whole(raw, "seconds", 0, MAX_COUNT, path=PATH)
    return Details(
        kind=None if kind is None else Kind(kind),
        prompt_tokens=fields.whole(raw, "prompt_tokens", 0, MAX_COUNT, path=PATH),
        tokens_per_chunk=fields.whole(raw, "tokens_per_chunk", 1, MAX_TOKENS_PER_CHUNK, path=PATH) or 1,
        seconds=DEFAULT.seconds if seconds is None else seconds,
        usage_type=_one_of(raw, "usage_type", USAGE_TYPES),
        finish_reason=_one_of(raw, "finish_reason", FINISH_REASONS),
        keep_alives=fields.whole(raw, "keep_alives", 0, MAX_KEEP_ALIVES, path=PATH),
        line_end=DEFAULT.line_end if line_end is None else LINE_ENDS[line_end],
        data_space=fields.flag(raw, "data_space", path=PATH) is not False,
        message_deltas=fields.whole(raw, "message_deltas", 1, MAX_DELTAS, path=PATH) or 1,
        **found,
    )


def _one_of(raw: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str | None:
    value = raw.get(name)
    if value is not None and (not isinstance(value, str) or value not in allowed):
        raise invalid(f"'{PATH}{name}' must be one of {', '.join(allowed)}", PATH + name)
    return value
