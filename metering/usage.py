"""Usage in disjoint buckets, and the readings it is made from.

A server may say what it used several times, in parts and in shapes that overlap. A `Reading` keeps what was said, field
by field, the latest non-null value winning and nothing ever added up; `Usage` is what it comes to in buckets that
do not overlap, which is what prices apply to.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

# No server generates or reads this much in one answer; a number beyond it is a fault, not usage.
_MAX_TOKENS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, and what is not counted in tokens: images made or read, and milliseconds of audio.

    `input` excludes cached reads, cache writes and audio; `output` excludes reasoning and audio.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0
    audio_ms: int = 0

    @property
    def total_tokens(self) -> int:
        return (
            self.input_tokens
            + self.cached_input_tokens
            + self.cache_write_tokens
            + self.output_tokens
            + self.reasoning_tokens
            + self.audio_input_tokens
            + self.audio_output_tokens
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server has said so far, in its own overlapping terms. None: it did not say; 0: it said none."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def updated(self, later: "Reading") -> "Reading":
        """The later value of each field wins where there is one: usage is cumulative, never summed."""
        said = {f.name: v for f in fields(later) if (v := getattr(later, f.name)) is not None}
        return replace(self, **said)

    @property
    def is_empty(self) -> bool:
        return self.prompt is None and self.completion is None


def normalise(reading: Reading) -> Usage:
    """OpenAI-style overlap taken apart: cached and written input are inside `prompt`, reasoning inside `completion`.

    Where `total - prompt - completion` equals the reasoning tokens, reasoning stands outside (xAI, Gemini).
    """
    prompt = reading.prompt or 0
    completion = reading.completion or 0
    cached = min(reading.cached or 0, prompt)
    written = min(reading.cache_write or 0, prompt - cached)
    reasoning = reading.reasoning or 0
    outside = reasoning > 0 and reading.total == prompt + completion + reasoning
    if not outside:
        reasoning = min(reasoning, completion)
    return Usage(
        input_tokens=prompt - cached - written,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion if outside else completion - reasoning,
        reasoning_tokens=reasoning,
    )


def read_openai_usage(usage: Any) -> Reading:
    """A `usage` object of the OpenAI shape; anything that is not a count of tokens is as if it were not there."""
    if not isinstance(usage, dict):
        return Reading()
    inputs = _object(usage.get("prompt_tokens_details"))
    outputs = _object(usage.get("completion_tokens_details"))
    return Reading(
        prompt=_count(usage.get("prompt_tokens")),
        completion=_count(usage.get("completion_tokens")),
        total=_count(usage.get("total_tokens")),
        cached=_count(inputs.get("cached_tokens")),
        cache_write=_count(inputs.get("cache_write_tokens")),
        reasoning=_count(outputs.get("reasoning_tokens")),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    # bool is an int in Python and not a count in any dialect
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS:
        return value
    return None
