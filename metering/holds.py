"""How much to hold for a request, and when to hold more. Pure; money in nano-dollars.

An answer that comes at once holds its worst case, lowered to what there is: then its limit is lowered with it. A
stream holds a first step, and more ahead of need while it runs; where nothing more is to be had it is cut as soon as
what was delivered has used up what is held. Either way nobody is locked out by a worst case that hardly ever comes
true, and nobody gets what cannot be paid.
"""

from msgspec import Struct
from msgspec.structs import replace

from ledger.money import MAX_NANOS
from metering.estimate.bound import Bound
from metering.pricing import Price, worst_cost_nanos, worst_text_nanos
from runtime.settings import Holds

_DEFAULTS = Holds()
# A server that sent a token in so many bytes may pack them this much tighter before the next look.
_PACKING = 4


class HoldPlan(Struct, frozen=True):
    """What a request may come to. `answers` are generated side by side, each of at most `limit` tokens; fewer than
    `least_output` make no sense. `is_stepwise`: held step by step; else `may_lower` says if the limit may be lowered.
    """

    bound: Bound
    price: Price
    answers: int = 1
    limit: int = 0
    least_output: int = 1
    is_stepwise: bool = False
    may_lower: bool = False
    step_tokens: int = _DEFAULTS.step_tokens

    @property
    def worst_nanos(self) -> int:
        return self.nanos_for(self.all_output)

    @property
    def first_nanos(self) -> int:
        """What to ask for at admission."""
        return self.nanos_for(self._output_at(self.step_tokens)) if self.is_stepwise else self.worst_nanos

    @property
    def least_nanos(self) -> int:
        """What must be there at least; of a stream, whose limit stays as it is, any first token will do."""
        if not (self.is_stepwise or self.may_lower):
            return self.worst_nanos
        return self.nanos_for(self._output_at(1 if self.is_stepwise else self.least_output))

    @property
    def all_output(self) -> int:
        return self.bound.output_tokens + self.bound.audio_output_tokens

    def _output_at(self, limit: int) -> int:
        """Output tokens in all, if each answer stopped there."""
        return self.all_output - self.answers * max(0, self.limit - limit)

    def nanos_for(self, output_tokens: int) -> int:
        """What the request costs at most with so many tokens of output in all; never more than a wallet can hold."""
        bound = self.bound
        if not (bound.audio_input_tokens or bound.audio_output_tokens or bound.images or bound.audio_ms):
            return min(worst_text_nanos(bound.input_tokens, output_tokens, self.price), MAX_NANOS)
        worst = worst_cost_nanos(
            bound.input_tokens,
            0 if bound.audio_output_tokens else output_tokens,
            self.price,
            audio_input_tokens=bound.audio_input_tokens,
            audio_output_tokens=output_tokens if bound.audio_output_tokens else 0,
            images=bound.images,
            audio_ms=bound.audio_ms,
        )
        return min(worst, MAX_NANOS)

    def tokens_for(self, nanos: int) -> int | None:
        """How many tokens of output so much certainly pays, 0 or more; None: they cost nothing."""
        price = self.price
        dearest = max(price.output_nanos_per_1k, price.reasoning_nanos_per_1k)
        if self.bound.audio_output_tokens:
            dearest = max(dearest, price.audio_output_nanos_per_1k)
        if dearest == 0:
            return None
        return max(0, (nanos - self.nanos_for(0)) * 1000 // dearest)

    def lowered_limit(self, held_nanos: int) -> int | None:
        """The limit that goes with a hold that was lowered; None: it was not."""
        if self.is_stepwise or held_nanos >= self.worst_nanos:
            return None
        paid = self.tokens_for(held_nanos)
        if paid is None:
            return None
        missing = max(0, self.all_output - paid)
        return max(self.least_output, self.limit - -(-missing // self.answers))

    def with_input(self, tokens: int) -> "HoldPlan":
        """The server has said how long the prompt is."""
        return replace(self, bound=replace(self.bound, input_tokens=tokens))


class StreamFunds(Struct):
    """What a stream has used of what it holds: when to look, how much more to ask for, when it is over."""

    plan: HoldPlan
    held_nanos: int
    look_at_bytes: int = 0

    def __post_init__(self) -> None:
        self.plan_look(tokens=0, passed_bytes=0)

    def left(self, tokens: int) -> int | None:
        """How many more tokens are paid for after `tokens`; 0 or less: none. None: as many as there can be."""
        if tokens <= self.plan.all_output and self.held_nanos >= self.plan.worst_nanos:
            return None
        paid = self.plan.tokens_for(self.held_nanos)
        return None if paid is None else paid - tokens

    def is_spent(self, tokens: int) -> bool:
        left = self.left(tokens)
        return left is not None and left <= 0

    def wanted_nanos(self, tokens: int) -> int:
        """How much more to hold; 0: enough for now. Asked for when half a step is left."""
        left, step = self.left(tokens), self._step(tokens)
        if left is None or left > step // 2:
            return 0
        return max(0, self.plan.nanos_for(tokens + step) - self.held_nanos)

    def _step(self, tokens: int) -> int:
        """Longer steps for longer streams: they ask less often, and stop no later than half of what they were."""
        step = max(self.plan.step_tokens, tokens // 2)
        rest = self.plan.all_output - tokens
        return min(step, rest) if rest > 0 else self.plan.step_tokens

    def plan_look(self, tokens: int, passed_bytes: int) -> None:
        """The next look is due when half of what is left may have been used."""
        left = self.left(tokens)
        if left is None:
            left = self.plan.step_tokens
        bytes_per_token = max(1, passed_bytes // (_PACKING * tokens) if tokens else 1)
        self.look_at_bytes = passed_bytes + max(1, max(0, left) * bytes_per_token // 2)
