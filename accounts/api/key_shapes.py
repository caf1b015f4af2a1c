"""What is asked for a key, and how a key is shown."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from accounts import key_lists
from accounts.api.answers import dollars
from accounts.api.fields import Body, Id, Moment, Name, PositiveAmount
from accounts.api.shapes import Answer, Dollars
from accounts.key_terms import ApiKey

# As the schema's own bounds (0001, 0008): what an operator allows may be less.
MAX_REQUESTS = 100_000_000
MAX_TOKENS_PER_MINUTE = 100_000_000
MAX_CONCURRENT_REQUESTS = 100_000
_MAX_GRACE_S = 365 * 86_400


def _list_schema(parse: Callable[[Any], Any], example: str, max_chars: int) -> WithJsonSchema:
    item = {"type": "string", "minLength": 1, "maxLength": max_chars, "examples": [example]}
    bounds = {"minItems": 1, "maxItems": key_lists.MAX_ENTRIES, "uniqueItems": True}
    description = (parse.__doc__ or "").splitlines()[0]
    return WithJsonSchema(
        {"type": "array", "items": item, "description": description, "examples": [[example]]} | bounds
    )


Models = Annotated[
    tuple[str, ...],
    BeforeValidator(key_lists.models),
    _list_schema(key_lists.models, "pipilot-1-chat", key_lists.MAX_MODEL_CHARS),
]
RoutePaths = Annotated[
    tuple[str, ...],
    BeforeValidator(key_lists.routes),
    _list_schema(key_lists.routes, "/v1/chat/completions", key_lists.MAX_ROUTE_CHARS),
]
Networks = Annotated[
    tuple[key_lists.Network, ...],
    BeforeValidator(key_lists.networks),
    _list_schema(key_lists.networks, "192.0.2.0/24", key_lists.MAX_NETWORK_CHARS),
]
Requests = Annotated[int, Field(ge=1, le=MAX_REQUESTS)]


class Restrictions(Body):
    """null: no such restriction, or as much as the configuration allows. Budgets are in dollars, by days of UTC."""

    expiresAt: Moment | None = Field(default=None, description="from then on the key is refused; ISO 8601")
    allowedModels: Models | None = None
    allowedRoutes: RoutePaths | None = None
    allowedIps: Networks | None = None
    tokensPerMinute: int | None = Field(
        default=None, ge=1, le=MAX_TOKENS_PER_MINUTE, description="tokens in and out, over all requests of the key"
    )
    maxConcurrentRequests: int | None = Field(
        default=None, ge=1, le=MAX_CONCURRENT_REQUESTS, description="requests under way at once"
    )
    budgetDaily: PositiveAmount | None = Field(default=None, description="dollars a day (UTC)")
    budgetMonthly: PositiveAmount | None = Field(default=None, description="dollars a month (UTC)")
    budgetTotal: PositiveAmount | None = Field(default=None, description="dollars, ever")


class NewKeyBody(Restrictions):
    name: Name
    rateLimitPerMinute: Requests = 60
    rateLimitPerDay: Requests = 1000

    def asked(self) -> dict[str, Any]:
        """All settings, by fields of NewKey."""
        return {field: getattr(self, name) for name, field in _FIELDS.items()}


class ChangeKeyBody(Restrictions):
    """A field that is left out stays as it is."""

    # the key, and what is to be otherwise
    model_config = ConfigDict(json_schema_extra={"minProperties": 2})

    keyId: Id
    # made by a function: a default that nobody asks for must not show in the description
    name: Name = Field(default_factory=str)
    rateLimitPerMinute: Requests = Field(default_factory=int)
    rateLimitPerDay: Requests = Field(default_factory=int)

    def asked(self) -> dict[str, Any]:
        """What was said, by fields of NewKey: null is said, absent is not."""
        return {field: getattr(self, name) for name, field in _FIELDS.items() if name in self.model_fields_set}


class RotateKeyBody(Body):
    keyId: Id
    graceSeconds: int | None = Field(
        default=None, ge=0, le=_MAX_GRACE_S, description="how long the old key stays good: an hour unless said; 0: not"
    )


class KeyIdBody(Body):
    keyId: Id


_FIELDS: Mapping[str, str] = {
    "name": "name",
    "rateLimitPerMinute": "requests_per_minute",
    "rateLimitPerDay": "requests_per_day",
    "expiresAt": "expires_at",
    "allowedModels": "allowed_models",
    "allowedRoutes": "allowed_routes",
    "allowedIps": "allowed_ips",
    "tokensPerMinute": "tokens_per_minute",
    "maxConcurrentRequests": "max_concurrent_requests",
    "budgetDaily": "budget_daily_nanos",
    "budgetMonthly": "budget_monthly_nanos",
    "budgetTotal": "budget_total_nanos",
}


class KeyAnswer(Answer):
    """A key, never the key itself. null: no such restriction. `rotated_from` is the key that this one replaces."""

    id: UUID
    key_prefix: str
    name: str
    rate_limit_per_minute: int
    rate_limit_per_day: int
    is_active: bool
    last_used_at: datetime | None
    created_at: datetime
    expires_at: datetime | None
    allowed_models: list[str] | None
    allowed_routes: list[str] | None
    allowed_ips: list[str] | None
    tokens_per_minute: int | None
    max_concurrent_requests: int | None
    budget_daily: Dollars | None
    budget_monthly: Dollars | None
    budget_total: Dollars | None
    is_frozen: bool
    rotated_from: UUID | None


class KeysAnswer(Answer):
    success: bool
    keys: list[KeyAnswer]


class NewKeyAnswer(Answer):
    success: bool
    apiKey: Annotated[str, Field(description="the whole key, shown this once")]
    keyPrefix: str
    id: UUID
    warning: str


class ChangedKeyAnswer(Answer):
    success: bool
    message: str
    key: KeyAnswer


class RotatedKeyAnswer(NewKeyAnswer):
    """The new key; the one it replaces is refused from `oldKeyEndsAt` on."""

    oldKeyId: UUID
    oldKeyEndsAt: datetime


def shown(key: ApiKey) -> dict[str, Any]:
    """The fields of a `KeyAnswer`; budgets in dollars, exact."""
    budgets = {
        "budget_daily": key.budget_daily_nanos,
        "budget_monthly": key.budget_monthly_nanos,
        "budget_total": key.budget_total_nanos,
    }
    special: dict[str, Any] = {name: None if nanos is None else dollars(nanos) for name, nanos in budgets.items()}
    ips = key.allowed_ips
    special["allowed_ips"] = None if ips is None else [key_lists.show_network(network) for network in ips]
    return {name: special[name] if name in special else getattr(key, name) for name in KeyAnswer.model_fields}
