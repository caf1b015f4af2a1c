"""What an ended request comes to: its usage, and who counted it."""

from typing import Any

from ledger.entries import UsageSource
from metering.estimate import likely_input_tokens, likely_tokens, likely_tokens_in
from metering.tap import AnswerTap, Tap
from metering.usage import Usage, normalise

# The first chunk of a stream carries the role and no token.
_CHUNKS_WITHOUT_TOKEN = 1


def resolve(request: dict[str, Any], tap: Tap, *, is_complete: bool) -> tuple[Usage, UsageSource]:
    """The server's own count where there is one; else what passed, counted by us and marked `estimated`.

    An answer of which nothing was seen, or only an error, used nothing that can be known.
    """
    if not tap.reading.is_empty:
        return normalise(tap.reading), "reported" if is_complete else "partial"
    output_tokens = _seen_tokens(tap)
    if output_tokens == 0:
        return Usage(), "none"
    return Usage(input_tokens=likely_input_tokens(request), output_tokens=output_tokens), "estimated"


def _seen_tokens(tap: Tap) -> int:
    if isinstance(tap, AnswerTap):
        return 0 if tap.has_error else likely_tokens(tap.choices) + likely_tokens_in(tap.text_bytes)
    return max(0, tap.chunks_seen - _CHUNKS_WITHOUT_TOKEN)
