"""What is to be generated for one request, and how far it is after so many events."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from runtime.simulator.chat import WORDS
from runtime.simulator.kinds import TRAITS, Format, Kind, Traits
from runtime.simulator.orders import Orders


class Counts(NamedTuple):
    """Tokens. All but `prompt` and `completion` are parts: of the completion `reasoning`, of the prompt the others."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio: int = 0
    image: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion


@dataclass(frozen=True)
class Job:
    """`prompts`: the tokens of each prompt. `tokens` is per candidate, of which there are `candidates` per prompt; `n`
    of them are returned as choices, those of the first prompt first. `answer_id` is 32 hex digits, `created` in
    seconds. `raw` is the request itself, for what only one format looks at.
    """

    kind: Kind
    format: Format
    model: str
    prompts: tuple[int, ...]
    tokens: int
    n: int
    candidates: int
    finish_reason: str
    streamed: bool
    include_usage: bool
    running: bool
    orders: Orders
    raw: Mapping[str, Any]
    answer_id: str
    created: int

    @property
    def traits(self) -> Traits:
        return TRAITS[self.kind]

    @property
    def choices(self) -> int:
        return self.n * len(self.prompts)

    @property
    def prompt_tokens(self) -> int:
        return sum(self.prompts)

    @property
    def completion_tokens(self) -> int:
        return self.tokens * self.candidates * len(self.prompts)

    @cached_property
    def reasoning(self) -> int:
        """Tokens of each candidate that are reasoning; they are its first."""
        return min(self.tokens, self.orders.details.reasoning_tokens)

    @cached_property
    def hidden(self) -> int:
        """Tokens of each choice that leave nothing to see."""
        details = self.orders.details
        hidden = min(self.tokens - self.reasoning, details.hidden_tokens)
        return hidden if details.show_reasoning else hidden + self.reasoning

    @property
    def pieces(self) -> int:
        """How many events the visible tokens of each choice take."""
        return -(-(self.tokens - self.hidden) // self.orders.details.tokens_per_chunk)

    def tokens_after(self, pieces: int) -> int:
        """How many tokens a choice has used once it showed so many pieces."""
        if not pieces:
            return 0
        return min(self.tokens, self.hidden + pieces * self.orders.details.tokens_per_chunk)

    def tokens_after_words(self, events: int) -> int:
        """The same over all choices, which take turns."""
        if events >= self.pieces * self.choices:
            return self.completion_tokens
        rounds, rest = divmod(events, self.choices)
        return (self.choices - rest) * self.tokens_after(rounds) + rest * self.tokens_after(rounds + 1)

    def piece(self, number: int) -> tuple[str, str]:
        """The reasoning and the text that a choice shows in its event `number`."""
        step = self.orders.details.tokens_per_chunk
        shown = self.reasoning if self.orders.details.show_reasoning else 0
        start, stop = number * step, min((number + 1) * step, self.tokens - self.hidden)
        return _words(min(start, shown), min(stop, shown)), _words(max(start - shown, 0), max(stop - shown, 0))

    def whole(self) -> tuple[str, str]:
        """All the reasoning and all the text that a choice shows."""
        shown = self.reasoning if self.orders.details.show_reasoning else 0
        if self.orders.content_bytes is not None:
            return _words(0, shown), "x" * self.orders.content_bytes
        return _words(0, shown), _words(0, self.tokens - self.hidden - shown)

    def counts(self) -> Counts:
        """Of the whole answer."""
        return self._counts(self.prompts, self.completion_tokens, self.reasoning * self.candidates * len(self.prompts))

    def counts_of_choice(self, index: int, pieces: int) -> Counts:
        """Of one choice that has shown so many pieces."""
        return self.counts_of_prompt(index // self.n, self.tokens_after(pieces))

    def counts_of_prompt(self, number: int, completion: int) -> Counts:
        return self._counts((self.prompts[number],), completion, min(completion, self.reasoning))

    def counts_after_words(self, events: int) -> Counts:
        """Of the whole answer, were it to end after so many of its words' events."""
        completion = self.tokens_after_words(events)
        return self._counts(self.prompts, completion, min(completion, self.reasoning * self.choices))

    def _counts(self, prompts: tuple[int, ...], completion: int, reasoning: int) -> Counts:
        details = self.orders.details
        return Counts(
            sum(prompts),
            completion,
            sum(min(prompt, details.cached_tokens) for prompt in prompts),
            sum(min(max(prompt - details.cached_tokens, 0), details.cache_write_tokens) for prompt in prompts),
            reasoning,
            sum(min(prompt, details.audio_tokens) for prompt in prompts),
            sum(min(prompt, details.image_tokens) for prompt in prompts),
        )


def _words(start: int, stop: int) -> str:
    return b"".join(WORDS[number % len(WORDS)] for number in range(start, stop)).decode()
