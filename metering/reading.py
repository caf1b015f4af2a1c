"""What a server says it used, in its own overlapping terms, until it is taken apart into disjoint `Usage`.

A server may say it several times, in parts, for each choice or for all of them. A `Reading` keeps what was said field
by field, the latest value that is there winning and nothing ever added up; a `Tally` knows of whom it was said.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from metering.usage import Usage

# No server generates or reads this much in one answer; a number beyond it is a fault, not usage.
MAX_COUNT = 1_000_000_000
# OpenAI's limit for `n`, times a generous list of prompts. What claims to be beyond is counted as the first.
_MAX_CHOICES = 4096


class Reading(Struct, frozen=True):
    """None: the server did not say; 0: it said none.

    `cached` and `cache_write` are inside `prompt`, or, where `is_cache_outside`, beside it (Anthropic). `reasoning` is
    inside `completion` unless the total says otherwise. Audio and images are inside `prompt` and `completion`.
    """

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    images: int | None = None
    audio_ms: int | None = None
    is_cache_outside: bool = False

    def updated(self, later: "Reading") -> "Reading":
        """The later value of each field wins where there is one: usage is cumulative, never summed."""
        if self is NOTHING:
            return later
        said = {name: value for name in _COUNTS if (value := getattr(later, name)) is not None}
        return replace(self, **said, is_cache_outside=self.is_cache_outside or later.is_cache_outside)

    @property
    def is_empty(self) -> bool:
        """Parts and totals alone say nothing that could be billed."""
        return self.prompt is None and self.completion is None and self.images is None and self.audio_ms is None

    @property
    def is_zero(self) -> bool:
        """Zeros and nothing else: what some servers write before they know."""
        return not self.is_empty and not any(getattr(self, name) for name in _COUNTS)


_COUNTS = tuple(name for name in Reading.__struct_fields__ if name != "is_cache_outside")
NOTHING = Reading()


class Tally(Struct):
    """All that was said of usage in one answer to `prompts`, each of which gets `candidates` (`n`).

    A reading of one choice is of that choice alone (vLLM's, SGLang's and TensorRT-LLM's running counts): completions
    are added up over the choices, a prompt is counted once. A reading of the whole answer goes before all of those.
    """

    candidates: int = 1
    prompts: int = 1
    notes_of_choices: int = 0
    whole: Reading = NOTHING
    by_choice: dict[int, Reading] = field(default_factory=dict)

    def note(self, reading: Reading, choice: int | None = None) -> None:
        if reading == NOTHING:
            return
        if choice is None:
            self.whole = self.whole.updated(reading)
            return
        self.notes_of_choices += not reading.is_zero  # zeros are written by servers that do not know yet
        index = choice if choice in self.by_choice or len(self.by_choice) < _MAX_CHOICES else 0
        self.by_choice[index] = self.by_choice.get(index, NOTHING).updated(reading)

    @property
    def is_single(self) -> bool:
        """Is there one choice only, so that its latest count is all there is to know?"""
        return self.candidates * self.prompts == 1

    @property
    def counts_along(self) -> bool:
        """Did the server say it again and again, so that what it said last is what was generated so far?"""
        return self.notes_of_choices > len(self.by_choice)

    @property
    def reading(self) -> Reading:
        """What it comes to so far; zeros that were only said of choices are placeholders, and no reading."""
        if not self.whole.is_empty or not self.by_choice:
            return self.whole
        if len(self.by_choice) == 1:
            (only,) = self.by_choice.values()
        else:
            only = self._summed()
        return NOTHING if only.is_zero else only

    def _summed(self) -> Reading:
        """Over choices what was generated, over prompts what was read; no totals, which would be of one choice."""
        by_prompt: dict[int, Reading] = {}
        for choice, reading in self.by_choice.items():
            prompt = choice // max(1, self.candidates)
            by_prompt[prompt] = by_prompt.get(prompt, NOTHING).updated(reading)
        choices, prompts = self.by_choice.values(), by_prompt.values()
        return Reading(
            prompt=_sum(r.prompt for r in prompts),
            completion=_sum(r.completion for r in choices),
            cached=_sum(r.cached for r in prompts),
            cache_write=_sum(r.cache_write for r in prompts),
            reasoning=_sum(r.reasoning for r in choices),
            audio_input=_sum(r.audio_input for r in prompts),
            audio_output=_sum(r.audio_output for r in choices),
        )


def _sum(values: Iterable[int | None]) -> int | None:
    said = [value for value in values if value is not None]
    return sum(said) if said else None


def normalise(reading: Reading) -> Usage:
    """The overlap taken apart. Where two parts claim the same tokens, the rarer kind goes first: audio, then cache."""
    if not (reading.cached or reading.cache_write or reading.reasoning or reading.audio_input or reading.audio_output):
        return Usage(  # nothing overlaps, as with most answers
            input_tokens=reading.prompt or 0,
            output_tokens=reading.completion or 0,
            images=reading.images or 0,
            audio_ms=reading.audio_ms or 0,
        )
    prompt, written, cached = _input(reading)
    audio_input = min(reading.audio_input or 0, prompt)
    output, reasoning = _output(reading)
    audio_output = min(reading.audio_output or 0, output)
    return Usage(
        input_tokens=prompt - audio_input,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output - audio_output,
        reasoning_tokens=reasoning,
        audio_input_tokens=audio_input,
        audio_output_tokens=audio_output,
        images=reading.images or 0,
        audio_ms=reading.audio_ms or 0,
    )


def all_input_tokens(reading: Reading) -> int:
    """Whatever kind they are of; 0 where none was told."""
    return sum(_input(reading))


def _input(reading: Reading) -> tuple[int, int, int]:
    """Fresh input, cache writes, cache reads."""
    prompt, cached, written = reading.prompt or 0, reading.cached or 0, reading.cache_write or 0
    if reading.is_cache_outside:
        return prompt, written, cached
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    return prompt - cached - written, written, cached


def _output(reading: Reading) -> tuple[int, int]:
    """Output without reasoning, reasoning.

    Where `total - prompt - completion` equals the reasoning tokens, reasoning stands outside (xAI, Gemini).
    """
    prompt, completion, reasoning = reading.prompt or 0, reading.completion or 0, reading.reasoning or 0
    if reasoning > 0 and reading.total == prompt + completion + reasoning:
        return completion, reasoning
    reasoning = min(reasoning, completion)
    return completion - reasoning, reasoning


def count(value: Any) -> int | None:
    """A count of something in a server's JSON; anything else is as if it were not there."""
    # bool is an int in Python and not a count in any dialect
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
        return value
    return None


def first_count(*values: Any) -> int | None:
    """The first of several fields that holds a count: dialects name one thing in several ways."""
    for value in values:
        if (found := count(value)) is not None:
            return found
    return None


def object_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
