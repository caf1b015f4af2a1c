"""Frozen records that pass between Redis, the writer and Postgres."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

import orjson

from ledger.money import MAX_NANOS

# Users write policies: nobody may find two with the same id, with which a proxy would go on judging by the first.
_POLICY_ID_BYTES = 16

UsageSource = Literal["reported", "partial", "tokenized", "estimated", "none"]
TransactionType = Literal["topup", "usage", "bonus", "refund", "adjustment"]

# `end_reason` of a request whose proxy did not settle it: settled by the ledger at its last checkpoint, and corrected
# if the true settlement or a later recovery comes after all (ledger/corrections.py).
RECOVERED = "recovered"

_TEXTS = ("model", "endpoint", "usage_source", "end_reason")
_COUNTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nanos",
    "status_code",
    "response_time_ms",
    "audio_input_tokens",
    "audio_output_tokens",
    "images",
    "audio_ms",
)
# Came later than the other fields. Left out where they are 0: entries written before have none, and a ledger process of
# the version before, which may still run during an upgrade, buries an entry with a field it does not know.
_LEFT_OUT_AT_0 = ("audio_input_tokens", "audio_output_tokens", "images", "audio_ms")


def _plain(value: object) -> str:
    if isinstance(value, UUID):  # asyncpg's own subclass, which orjson does not know
        return str(value)
    raise TypeError(type(value).__name__)


class EntryError(ValueError):
    """Bytes from the Stream that are not a usage entry."""


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """One admitted request, finished: what was used, what it costs, why it ended.

    `request_id` is the idempotency key and carries the time (UUID version 7).
    `cost_nanos` is usage times price. What is collected is this, or as much of it as the wallet has when it is posted.
    Token buckets are disjoint: `input_tokens` excludes cached and audio ones, `output_tokens` reasoning and audio ones.
    """

    request_id: UUID
    user_id: UUID
    wallet_id: UUID
    api_key_id: UUID
    pricing_id: UUID | None
    model: str
    endpoint: str
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nanos: int
    usage_source: UsageSource
    end_reason: str
    status_code: int
    response_time_ms: int
    error_message: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0
    audio_ms: int = 0

    @property
    def all_input_tokens(self) -> int:
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens + self.audio_input_tokens

    @property
    def all_output_tokens(self) -> int:
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens

    def to_json(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__}
        for name in _LEFT_OUT_AT_0:
            if fields[name] == 0:
                del fields[name]
        return orjson.dumps(fields, default=_plain)

    @classmethod
    def from_json(cls, raw: bytes) -> "UsageEntry":
        """Raises EntryError on anything but what `to_json` wrote, in this version or the one before."""
        try:
            fields = orjson.loads(raw)
            for name in ("request_id", "user_id", "wallet_id", "api_key_id"):
                fields[name] = UUID(fields[name])
            if fields["pricing_id"] is not None:
                fields["pricing_id"] = UUID(fields["pricing_id"])
            return cls(**fields)._checked()
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise EntryError(str(error)) from error

    def _checked(self) -> "UsageEntry":
        """What JSON says of its types, before Postgres sees it: `true` is not 1, and 1.0 tokens are not 1."""
        for name in _COUNTS:
            if type(getattr(self, name)) is not int:
                raise TypeError(f"{name} is not an integer")
        for name in _TEXTS:
            if type(getattr(self, name)) is not str:
                raise TypeError(f"{name} is not a text")
        if type(self.error_message) not in (str, type(None)) or type(self.metadata) is not dict:
            raise TypeError("error_message is not a text or metadata not an object")
        return self


@dataclass(frozen=True, slots=True)
class SettledEntry:
    """A usage entry as settlement put it on the Stream.

    `charge_nanos` was added to the wallet's *unposted* money in Redis when the event was added and leaves it at
    acknowledgement; it does not say what is collected. It is the cost, or as much of it as hold or wallet had there:
    too little, through nobody's fault, where a settlement was sent twice, or recovered and sent, or Redis knew less
    than Postgres.
    """

    event_id: str
    entry: UsageEntry
    charge_nanos: int

    @classmethod
    def from_event(cls, event_id: str, fields: Mapping[bytes, bytes]) -> "SettledEntry":
        """What settlement added to the Stream. Raises EntryError on anything else."""
        charge = fields.get(b"charge", b"")
        if not charge.isdigit() or int(charge) > MAX_NANOS:
            raise EntryError(f"not a charge: {charge[:20]!r}")
        return cls(event_id, UsageEntry.from_json(fields.get(b"entry", b"")), int(charge))


@dataclass(frozen=True, slots=True)
class WalletState:
    """A wallet as Postgres has it; `version` grows with every change."""

    wallet_id: UUID
    user_id: UUID
    balance_nanos: int
    overdraft_nanos: int
    version: int
    is_frozen: bool = False


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What only some keys have, each None where there is no such limit. Budgets: per UTC day, per UTC month, ever."""

    tokens_per_minute: int | None = None
    max_concurrent_requests: int | None = None
    budget_day_nanos: int | None = None
    budget_month_nanos: int | None = None
    budget_total_nanos: int | None = None


@dataclass(frozen=True, slots=True)
class KeySpent:
    """What was posted for a key: in that UTC day and month, and ever.

    `day` counts from 1970-01-01, `month` is the year times twelve plus the month (1 to 12).
    """

    day: int = 0
    month: int = 0
    day_nanos: int = 0
    month_nanos: int = 0
    total_nanos: int = 0


NO_LIMITS = KeyLimits()
NOTHING_SPENT = KeySpent()


@dataclass(frozen=True, slots=True)
class KeyState:
    """What admission asks about a key; `version` grows with every change. `expires_ms` 0 = never.

    `policy` is what the key may be used for, as JSON (metering/policy.py); empty: for anything.
    """

    key_id: UUID
    wallet_id: UUID
    user_id: UUID
    is_active: bool
    expires_ms: int
    requests_per_minute: int
    requests_per_day: int
    version: int
    is_frozen: bool = False
    policy: str = ""
    limits: KeyLimits = NO_LIMITS
    spent: KeySpent = NOTHING_SPENT

    @property
    def policy_id(self) -> str:
        """Short, and another one for another policy; empty for none."""
        return blake2b(self.policy.encode(), digest_size=_POLICY_ID_BYTES).hexdigest() if self.policy else ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One line of a wallet's history. `seq` counts from 1 within the wallet, without gaps."""

    id: UUID
    wallet_id: UUID
    seq: int
    type: TransactionType
    amount_nanos: int
    balance_before_nanos: int
    balance_after_nanos: int
