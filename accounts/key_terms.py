"""What a key is: as it is wanted, as it is kept, and whether it may still be changed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.errors import KeyExpired, KeyFrozen, KeyReplaced, KeyRevoked
from accounts.key_lists import Network
from ledger.money import format_dollars, from_decimal, to_decimal

_LISTS = ("allowed_models", "allowed_routes", "allowed_ips")
_BUDGETS = ("budget_daily", "budget_monthly", "budget_total")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is wanted: limits in requests and tokens, budgets in nano-dollars; None: no such restriction."""

    user_id: UUID
    name: str
    requests_per_minute: int = 60
    requests_per_day: int = 1000
    expires_at: datetime | None = None
    allowed_models: tuple[str, ...] | None = None
    allowed_routes: tuple[str, ...] | None = None
    allowed_ips: tuple[Network, ...] | None = None
    tokens_per_minute: int | None = None
    max_concurrent_requests: int | None = None
    budget_daily_nanos: int | None = None
    budget_monthly_nanos: int | None = None
    budget_total_nanos: int | None = None


# A list of many models is told by its beginning: the log bounds what it takes of one act.
_MAX_FACT_CHARS = 500

# Fields of NewKey by name, and what they are to be. A field that is absent stays; None takes a restriction away.
Changes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key, without its hash. `rotated_from` is the key it replaces, `is_replaced`: another replaces it."""

    id: UUID
    key_prefix: str
    name: str
    rate_limit_per_minute: int
    rate_limit_per_day: int
    is_active: bool
    last_used_at: datetime | None
    created_at: datetime
    expires_at: datetime | None
    allowed_models: tuple[str, ...] | None = None
    allowed_routes: tuple[str, ...] | None = None
    allowed_ips: tuple[Network, ...] | None = None
    tokens_per_minute: int | None = None
    max_concurrent_requests: int | None = None
    budget_daily_nanos: int | None = None
    budget_monthly_nanos: int | None = None
    budget_total_nanos: int | None = None
    is_frozen: bool = False
    rotated_from: UUID | None = None
    is_replaced: bool = False
    is_expired: bool = False


def api_key(row: Any) -> ApiKey:
    """From the columns of `of_user` in sql/keys.sql."""
    fields = dict(row)
    for name in _LISTS:
        fields[name] = None if fields[name] is None else tuple(fields[name])
    for name in _BUDGETS:
        dollars: Decimal | None = fields.pop(name)
        fields[f"{name}_nanos"] = None if dollars is None else from_decimal(dollars)
    return ApiKey(**fields)


def wanted_again(key: ApiKey, user_id: UUID) -> NewKey:
    """A key with the settings of this one."""
    return NewKey(
        user_id=user_id,
        name=key.name,
        requests_per_minute=key.rate_limit_per_minute,
        requests_per_day=key.rate_limit_per_day,
        expires_at=key.expires_at,
        allowed_models=key.allowed_models,
        allowed_routes=key.allowed_routes,
        allowed_ips=key.allowed_ips,
        tokens_per_minute=key.tokens_per_minute,
        max_concurrent_requests=key.max_concurrent_requests,
        budget_daily_nanos=key.budget_daily_nanos,
        budget_monthly_nanos=key.budget_monthly_nanos,
        budget_total_nanos=key.budget_total_nanos,
    )


def columns(wanted: NewKey) -> tuple[Any, ...]:
    """The settings as `insert` and `change` in sql/keys.sql take them, in their order."""
    budgets = (wanted.budget_daily_nanos, wanted.budget_monthly_nanos, wanted.budget_total_nanos)
    return (
        wanted.name,
        wanted.requests_per_minute,
        wanted.requests_per_day,
        wanted.expires_at,
        wanted.allowed_models,
        wanted.allowed_routes,
        wanted.allowed_ips,
        wanted.tokens_per_minute,
        wanted.max_concurrent_requests,
        *(None if nanos is None else to_decimal(nanos) for nanos in budgets),
    )


def difference(before: NewKey, after: NewKey) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is not the same, as it was and as it is: for the log of acts; budgets as decimal text of dollars."""
    was, now = _facts(before), _facts(after)
    names = [name for name in was if was[name] != now[name]]
    return {name: was[name] for name in names}, {name: now[name] for name in names}


def _facts(key: NewKey) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, value in asdict(key).items():
        if value is not None and name.endswith("_nanos"):
            value = format_dollars(value)
        elif isinstance(value, tuple):
            value = ", ".join(map(str, value))[:_MAX_FACT_CHARS]
        facts[name.removesuffix("_nanos")] = value
    return facts


def require_changeable(key: ApiKey) -> None:
    """Only a key in force is changed or rotated. Raises KeyRevoked, KeyReplaced, KeyExpired, KeyFrozen.

    Revoked and expired are for good, or whoever has lost a key could have it come alive again; one that was replaced
    only waits for its end.
    """
    if not key.is_active:
        raise KeyRevoked("the key is revoked, for good: make a new one")
    if key.is_replaced:
        raise KeyReplaced("the key was rotated already: change or rotate the key that replaced it")
    if key.is_expired:
        raise KeyExpired("the key has expired, for good: make a new one")
    if key.is_frozen:
        raise KeyFrozen("the key is frozen: an administrator must let it go first")
