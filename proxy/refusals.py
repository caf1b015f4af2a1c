"""What other parts report, as the failure that the client is to see. Pure."""

import orjson

from ledger.money import MAX_NANOS, format_dollars
from metering.admission import Decision, LimitsUnavailable
from metering.bucket import Bucket
from metering.policy import Refused
from metering.verdict import Outcome
from proxy.failures import Failure, invalid_api_key, retry_after
from proxy.upstream.errors import UpstreamBusy, UpstreamError, UpstreamTimeout

_NOT_AGAIN = {"x-should-retry": "false"}
_UPSTREAM_RETRY_MS = 1_000
_BACKLOG_RETRY_MS = 5_000
# When one of the key's own requests ends, nobody can tell.
_OPEN_RETRY_MS = 1_000
_BUDGETS = {
    Outcome.OVER_BUDGET_DAY: "daily",
    Outcome.OVER_BUDGET_MONTH: "monthly",
    Outcome.OVER_BUDGET_TOTAL: "total",
}
# The upstream refuses Farebox, not the client; and such an answer may quote the credential it was given.
_ABOUT_OUR_CREDENTIAL = frozenset((401, 407))


def of_decision(decision: Decision, hold_nanos: int, tokens: int = 0) -> Failure:
    """Admission said no: why, for a request that holds so much and may use so many tokens."""
    failure = _of_decision(decision, hold_nanos, tokens)
    failure.reason = decision.outcome.name.lower()  # several have the same code
    return failure


def _of_decision(decision: Decision, hold_nanos: int, tokens: int) -> Failure:
    match decision.outcome:
        case Outcome.KEY_FROZEN:
            return key_frozen()
        case Outcome.WALLET_FROZEN:
            return Failure("wallet_frozen", "This account's wallet is frozen. Ask who runs this service.")
        case Outcome.POLICY_REFUSED:
            assert decision.refused is not None
            return of_policy(decision.refused)
        case Outcome.BACKLOGGED:
            return _backlogged()
        case Outcome.NO_FUNDS:
            return _no_funds(max(0, decision.available_nanos), hold_nanos)
        case Outcome.OVER_BUDGET_DAY | Outcome.OVER_BUDGET_MONTH | Outcome.OVER_BUDGET_TOTAL as outcome:
            return _over_budget(_BUDGETS[outcome], max(0, decision.available_nanos), hold_nanos)
        case _:
            return _of_rates(decision, tokens)


def is_about_the_key(decision: Decision) -> bool:
    """Is the key no good? Then nothing is told of what it may do."""
    return decision.outcome in (Outcome.UNKNOWN_KEY, Outcome.KEY_REFUSED)


def _of_rates(decision: Decision, tokens: int) -> Failure:
    match decision.outcome:
        case Outcome.OVER_MINUTE:
            return _over(decision.minute, "requests per minute")
        case Outcome.OVER_DAY:
            return _over(decision.day, "requests per day")
        case Outcome.OVER_TOKENS:
            assert decision.tokens is not None
            return _over(decision.tokens, "tokens per minute", tokens)
        case Outcome.TOO_MANY_OPEN:
            message = f"Rate limit reached: {decision.max_concurrent_requests} requests at the same time."
            return Failure("rate_limit_exceeded", message, headers=retry_after(_OPEN_RETRY_MS))
        case _:
            return invalid_api_key()


def key_frozen() -> Failure:
    return Failure("key_frozen", "This API key is frozen. Ask who runs this service.")


def of_policy(refused: Refused) -> Failure:
    """What the key's own allow-lists do not have; they are not quoted."""
    match refused:
        case Refused.IP:
            return Failure("ip_not_allowed", "This API key may not be used from this address.")
        case Refused.ROUTE:
            return Failure("route_not_allowed", "This API key may not be used on this route.")
        case Refused.MODEL:
            return Failure("model_not_allowed", "This API key may not use this model.", "model")


def _over(bucket: Bucket, limit: str, tokens: int = 1) -> Failure:
    message = f"Rate limit reached: {bucket.capacity} {limit}."
    return Failure("rate_limit_exceeded", message, headers=retry_after(bucket.has_in_ms(tokens)))


def _over_budget(which: str, left_nanos: int, hold_nanos: int) -> Failure:
    return Failure(
        "budget_exceeded",
        f"This may cost {_worded(hold_nanos)}; the key has ${format_dollars(left_nanos)} left of its {which} budget.",
        details={"budget": which, "left": _json_dollars(left_nanos), "required": _json_dollars(hold_nanos)},
        headers=_NOT_AGAIN,
    )


def _worded(hold_nanos: int) -> str:
    return "more than a wallet can hold" if hold_nanos >= MAX_NANOS else f"${format_dollars(hold_nanos)}"


def funds_ended() -> Failure:
    """For a stream that is cut in the middle: neither the wallet nor the key's budgets can pay for more of it."""
    return Failure(
        "insufficient_balance",
        "The answer was cut: the balance, or the key's budget, does not pay for more of it.",
        headers=_NOT_AGAIN,
    )


def _no_funds(available_nanos: int, hold_nanos: int) -> Failure:
    return Failure(
        "insufficient_balance",
        f"This request may cost {_worded(hold_nanos)}; ${format_dollars(available_nanos)} is available. "
        "Top up, or ask for fewer tokens (max_tokens).",
        details={"balance": _json_dollars(available_nanos), "required": _json_dollars(hold_nanos)},
        headers=_NOT_AGAIN,
    )


def _json_dollars(nanos: int) -> orjson.Fragment:
    """A JSON number exact to nine decimals, which no float is."""
    return orjson.Fragment(format_dollars(nanos))


def _backlogged() -> Failure:
    """More requests ended than Postgres could take in; what is admitted now could be lost."""
    return Failure(
        "limits_unavailable", "Too many requests wait to be recorded.", headers=retry_after(_BACKLOG_RETRY_MS)
    )


def of_limits(error: LimitsUnavailable) -> Failure:
    return Failure("limits_unavailable", "The limits store is away.", headers=retry_after(error.retry_after_ms))


def of_upstream(error: UpstreamError) -> Failure:
    """Ours to word: the upstream's address and state are not the client's business."""
    if isinstance(error, UpstreamTimeout):
        return Failure("upstream_timeout", "The upstream did not answer in time.")
    if isinstance(error, UpstreamBusy):
        return Failure("overloaded", "The upstream is at its limit.", headers=retry_after(_UPSTREAM_RETRY_MS))
    return Failure("upstream_error", "The upstream failed.")


def nobody_to_ask(retry_after_ms: int) -> Failure:
    """Every upstream of the model is known to be away, and is left alone for a while."""
    wait_ms = retry_after_ms or _UPSTREAM_RETRY_MS
    return Failure("upstream_error", "No upstream is available.", headers=retry_after(wait_ms))


def passes_on(status: int) -> bool:
    """Is this refusal of the upstream's for the client to see as it is?"""
    return 400 <= status < 500 and status not in _ABOUT_OUR_CREDENTIAL


def of_status(status: int) -> Failure:
    if status in _ABOUT_OUR_CREDENTIAL:
        return Failure("upstream_error", "The upstream refused Farebox's credential.")
    return Failure("upstream_error", f"The upstream answered with status {status}.")
