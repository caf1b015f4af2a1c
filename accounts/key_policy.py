"""How far users may go with their own keys: what an operator configured, held against what is asked."""

from collections.abc import Mapping
from typing import Any

from accounts.errors import InvalidRequest
from accounts.key_terms import Changes
from ledger.rows import to_ms
from runtime.settings import KeyPolicy

# Unless said otherwise: long enough to bring a new key to where the old one is used.
DEFAULT_GRACE_S = 3_600
# field of NewKey -> what people call it, and the setting that bounds it
_BOUNDS = {
    "requests_per_minute": ("rateLimitPerMinute", "max_requests_per_minute"),
    "requests_per_day": ("rateLimitPerDay", "max_requests_per_day"),
    "tokens_per_minute": ("tokensPerMinute", "max_tokens_per_minute"),
    "max_concurrent_requests": ("maxConcurrentRequests", "max_concurrent_requests"),
}


def within(asked: Changes, policy: KeyPolicy, now_ms: int) -> dict[str, Any]:
    """What a user asks for, by fields of NewKey; where no limit is asked for and there is a most, that.

    Raises InvalidRequest for more than the most, and for an end that is not in the future.
    """
    allowed = dict(asked)
    for field, (name, setting) in _BOUNDS.items():
        most: int | None = getattr(policy, setting)
        if field not in asked or most is None:
            continue
        if asked[field] is None:
            allowed[field] = most
        elif asked[field] > most:
            raise InvalidRequest(f"{name}: at most {most}")
    _check_end(asked, now_ms)
    return allowed


def _check_end(asked: Mapping[str, Any], now_ms: int) -> None:
    end = asked.get("expires_at")
    if end is not None and to_ms(end) <= now_ms:
        raise InvalidRequest("expiresAt: must be in the future")


def grace_s(asked_s: int | None, policy: KeyPolicy) -> int:
    """How long the old key stays good; None: not said. Raises InvalidRequest for longer than the policy allows."""
    if asked_s is None:
        return min(DEFAULT_GRACE_S, policy.max_rotation_grace_s)
    if asked_s > policy.max_rotation_grace_s:
        raise InvalidRequest(f"graceSeconds: at most {policy.max_rotation_grace_s}")
    return asked_s
