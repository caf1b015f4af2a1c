"""One line a request: what an operator asks about when somebody complains.

Never what the client wrote: a model is named only where it has a price. A slow request and one that failed through
nobody's fault but ours or the upstream's are warnings, so that a log at that level tells of these alone.
"""

import logging
from uuid import UUID

import structlog

from ledger.entries import UsageEntry
from metering.endpoints import Endpoint
from proxy.failures import Failure
from proxy.settlement import Admitted, Ending
from proxy.telemetry.pace import Pace
from proxy.upstream.errors import UpstreamTimeout

log = structlog.get_logger("farebox.requests")

SERVER_ERRORS = 500
_US_PER_MS, _NS_PER_MS = 1_000, 1_000_000


def ended(admitted: Admitted, ending: Ending, entry: UsageEntry, pace: Pace, slow_ms: int) -> None:
    """A request that was let in is over. `slow_ms`: so long without a word to the client is slow."""
    slow = _is_slow(entry, pace, slow_ms)
    level = logging.WARNING if slow or ending.status >= SERVER_ERRORS or ending.fault is not None else logging.INFO
    if not log.is_enabled_for(level):
        return
    log.log(
        level,
        "request",
        request_id=str(entry.request_id),
        client_request_id=admitted.client_request_id,
        user_id=str(entry.user_id),
        wallet_id=str(entry.wallet_id),
        key_id=str(entry.api_key_id),
        model=entry.model,
        endpoint=entry.endpoint,
        upstream=admitted.route.settings.name,
        streamed=admitted.asked.ask.is_stream,
        status=entry.status_code,
        end_reason=entry.end_reason,
        error=ending.fault,
        usage_source=entry.usage_source,
        input_tokens=entry.all_input_tokens,
        output_tokens=entry.all_output_tokens,
        cost_nanos=entry.cost_nanos,
        duration_ms=entry.response_time_ms,
        added_ms=None if pace.added_us is None else pace.added_us / _US_PER_MS,
        uploading_ms=pace.uploading_ns // _NS_PER_MS or None,
        first_byte_ms=None if pace.first_byte_us is None else pace.first_byte_us / _US_PER_MS,
        slow=slow or None,
    )


def refused(
    request_id: UUID, endpoint: Endpoint, failure: Failure, pace: Pace, address: str | None, client_id: str | None
) -> None:
    """A request that was not let in. `address`: where it came from."""
    level = logging.WARNING if failure.status >= SERVER_ERRORS else logging.INFO
    if not log.is_enabled_for(level):
        return
    identity = pace.identity
    log.log(
        level,
        "request",
        request_id=str(request_id),
        client_request_id=client_id,
        user_id=None if identity is None else str(identity.user_id),
        key_id=None if identity is None else str(identity.key_id),
        model=pace.model,
        endpoint=endpoint.name,
        status=failure.status,
        end_reason="refused",
        code=failure.code,
        reason=failure.reason or None,
        error=fault_of(failure.__cause__),
        duration_ms=pace.duration_ms,
        uploading_ms=pace.uploading_ns // _NS_PER_MS or None,
        address=address,
    )


def fault_of(error: BaseException | None) -> str | None:
    """What went wrong, by its kind; a message could quote an address or what was sent."""
    if isinstance(error, UpstreamTimeout):
        return f"UpstreamTimeout {error.phase}"
    return None if error is None else type(error).__name__


def _is_slow(entry: UsageEntry, pace: Pace, slow_ms: int) -> bool:
    waited_ms = entry.response_time_ms - pace.uploading_ns // _NS_PER_MS
    if entry.metadata.get("stream") and pace.first_byte_us is not None:
        waited_ms = ((pace.added_us or 0) + pace.first_byte_us) // _US_PER_MS
    return waited_ms >= slow_ms
