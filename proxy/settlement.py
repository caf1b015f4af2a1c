"""What an ended call is recorded as. Pure: facts in, usage entry out."""

from typing import Any
from uuid import UUID

from msgspec import Struct

from ledger.entries import COMPLETED, ENDED_WITHOUT_DONE, RECOVERED, WHOLE, UsageEntry, UsageSource
from ledger.money import MAX_NANOS
from metering.holds import HoldPlan
from metering.pricing import Price, cost_nanos
from metering.progress import Progress, tokens_so_far
from metering.reading import Reading, normalise
from metering.tap import StreamTap, Tap
from metering.usage import Usage
from proxy.asking import Asked
from proxy.keys.verifier import Identity
from proxy.routing import Fleet, Route
from proxy.upstream.attempts import Attempts

CLIENT_LEFT = "client_left"
# Nothing more could be held for a stream, and what was held is used up.
FUNDS_ENDED = "funds_ended"


class Admitted(Struct, frozen=True):
    """Everything that was decided before the upstream was asked.

    `lowered_limit`: the limit that goes upstream where the wallet does not pay for the client's own, else None.
    """

    request_id: UUID
    identity: Identity
    asked: Asked
    endpoint: str
    fleet: Fleet
    attempts: Attempts[Route]
    price: Price
    client_request_id: str | None
    plan: HoldPlan
    held_nanos: int
    lowered_limit: int | None

    @property
    def route(self) -> Route:
        """The upstream that has the request, or had it last."""
        return self.attempts.current


class Ending(Struct, frozen=True):
    """Why a call ended and the status that its client saw; `message` where there was a fault.

    `fault` is the kind of it, for the log: of which words the client hears nothing.
    """

    reason: str
    status: int
    message: str | None = None
    fault: str | None = None

    @property
    def is_clients_doing(self) -> bool:
        return self.reason == CLIENT_LEFT

    @property
    def is_complete(self) -> bool:
        """Did all come that there was to come?"""
        return self.reason in WHOLE


def ended_how(tap: Tap) -> str:
    """Why an answer that came to its end did so."""
    if tap.has_error:
        return "upstream_error"
    if isinstance(tap, StreamTap) and not tap.is_done:
        return ENDED_WITHOUT_DONE
    return COMPLETED


def charged_entry(
    admitted: Admitted, ending: Ending, usage: Usage, source: UsageSource, duration_ms: int
) -> UsageEntry:
    """Something was used: at the price in force at admission. Nothing was: recorded, and free."""
    cost = 0 if source == "none" else min(cost_nanos(usage, admitted.price), MAX_NANOS)
    return _entry(admitted, ending, usage, source, cost, duration_ms)


def free_entry(admitted: Admitted, ending: Ending, duration_ms: int) -> UsageEntry:
    """Nothing was sent, or nothing came of it: recorded, and free."""
    return _entry(admitted, ending, Usage(), "none", 0, duration_ms)


def checkpoint_entry(
    admitted: Admitted, progress: Progress, prompt_tokens: int, status: int, duration_ms: int
) -> UsageEntry:
    """What is owed if nobody ever tells more: by the server's running count, else by what was delivered so far.

    `prompt_tokens` is our own count, for where the server has not told.
    """
    reading = progress.reading
    lacks_prompt, lacks_output = reading.prompt is None, not progress.is_counted and admitted.asked.ask.generates
    own = Reading(
        prompt=prompt_tokens if lacks_prompt else None,
        completion=tokens_so_far(progress) if lacks_output else None,
    )
    source: UsageSource = "partial" if progress.is_counted and not lacks_prompt else "estimated"
    usage = normalise(reading.updated(own))
    return charged_entry(admitted, Ending(RECOVERED, status), usage, source, duration_ms)


def _entry(
    admitted: Admitted, ending: Ending, usage: Usage, source: UsageSource, cost: int, duration_ms: int
) -> UsageEntry:
    metadata: dict[str, Any] = {"stream": admitted.asked.ask.is_stream, "upstream": admitted.route.settings.name}
    if before := admitted.attempts.before:
        metadata["failed_over"] = [route.settings.name for route in before]
    if admitted.client_request_id is not None:
        metadata["client_request_id"] = admitted.client_request_id
    return UsageEntry(
        request_id=admitted.request_id,
        user_id=admitted.identity.user_id,
        wallet_id=admitted.identity.wallet_id,
        api_key_id=admitted.identity.key_id,
        pricing_id=admitted.price.pricing_id,
        model=admitted.asked.ask.model,
        endpoint=admitted.endpoint,
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        audio_input_tokens=usage.audio_input_tokens,
        audio_output_tokens=usage.audio_output_tokens,
        images=usage.images,
        audio_ms=usage.audio_ms,
        cost_nanos=cost,
        usage_source=source,
        end_reason=ending.reason,
        status_code=ending.status,
        response_time_ms=duration_ms,
        error_message=ending.message,
        metadata=metadata,
    )
