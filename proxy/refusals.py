"""What other parts report, as the failure that the client is to see. Pure."""

import orjson

from ledger.money import MAX_NANOS, format_dollars
from metering.admission import Decision, LimitsUnavailable
from metering.bucket import Bucket
from metering.model import Outcome
from proxy.failures import Failure, invalid_api_key, retry_after
from proxy.upstream.errors import UpstreamBusy, UpstreamError, UpstreamTimeout

_NOT_AGAIN = {"x-should-retry": "false"}
_UPSTREAM_RETRY_MS = 1_000
# The upstream refuses Farebox, not the client; and such an answer may quote the credential it was given.
_ABOUT_OUR_CREDENTIAL = frozenset((401, 407))


def of_decision(decision: Decision, hold_nanos: int) -> Failure:
    """Admission said no: why."""
    match decision.outcome:
        case Outcome.OVER_MINUTE:
            return _over(decision.minute, "minute")
        case Outcome.OVER_DAY:
            return _over(decision.day, "day")
        case Outcome.NO_FUNDS:
            return _no_funds(max(0, decision.available_nanos), hold_nanos)
        case _:
            return invalid_api_key()


def _over(bucket: Bucket, period: str) -> Failure:
    return Failure(
        "rate_limit_exceeded",
        f"Rate limit reached: {bucket.capacity} requests per {period}.",
        headers=retry_after(bucket.token_in_ms),
    )


def _no_funds(available_nanos: int, hold_nanos: int) -> Failure:
    required = "more than a wallet can hold" if hold_nanos >= MAX_NANOS else f"${format_dollars(hold_nanos)}"
    return Failure(
        "insufficient_balance",
        f"This request may cost {required}; ${format_dollars(available_nanos)} is available. "
        "Top up, or ask for fewer tokens (max_tokens).",
        details={"balance": _json_dollars(available_nanos), "required": _json_dollars(hold_nanos)},
        headers=_NOT_AGAIN,
    )


def _json_dollars(nanos: int) -> orjson.Fragment:
    """A JSON number exact to nine decimals, which no float is."""
    return orjson.Fragment(format_dollars(nanos))


def of_limits(error: LimitsUnavailable) -> Failure:
    return Failure("limits_unavailable", "The limits store is away.", headers=retry_after(error.retry_after_ms))


def of_upstream(error: UpstreamError) -> Failure:
    """Ours to word: the upstream's address and state are not the client's business."""
    if isinstance(error, UpstreamTimeout):
        return Failure("upstream_timeout", "The upstream did not answer in time.")
    if isinstance(error, UpstreamBusy):
        return Failure("overloaded", "The upstream is at its limit.", headers=retry_after(_UPSTREAM_RETRY_MS))
    return Failure("upstream_error", "The upstream failed.")


def passes_on(status: int) -> bool:
    """Is this refusal of the upstream's for the client to see as it is?"""
    return 400 <= status < 500 and status not in _ABOUT_OUR_CREDENTIAL


def of_status(status: int) -> Failure:
    if status in _ABOUT_OUR_CREDENTIAL:
        return Failure("upstream_error", "The upstream refused Farebox's credential.")
    return Failure("upstream_error", f"The upstream answered with status {status}.")
