"""Frozen records that pass between Redis, the writer and Postgres."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from ledger.money import MAX_NANOS

# Users write policies: nobody may find two with the same id, with which a proxy would go on judging by the first.
_POLICY_ID_BYTES = 16

UsageSource = Literal["reported", "partial", "tokenized", "estimated", "none"]
TransactionType = Literal["topup", "usage", "bonus", "refund", "adjustment"]

# `end_reason` of a request whose proxy did not settle it: settled by the ledger at its last checkpoint, and corrected
# if the true settlement or a later recovery comes after all (ledger/corrections.py).
RECOVERED = "recovered"
COMPLETED = "completed"
# Some servers never say [DONE]; what they reported before they closed is their final word all the same.
ENDED_WITHOUT_DONE = "ended_without_done"
# The client left, and the rest was read for what it said of usage.
DRAINED = "client_left_drained"
# The server generated these to their end, whoever was there.
WHOLE = frozenset((COMPLETED, ENDED_WITHOUT_DONE, DRAINED))


def _plain(value: object) -> str:
    if isinstance(value, UUID):  # asyncpg's own subclass, which msgspec does not know
        return str(value)
    raise NotImplementedError(type(value).__name__)


_ENCODER = Encoder(enc_hook=_plain)


class EntryError(ValueError):
    """Bytes from the Stream that are not a usage entry."""


class UsageEntry(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
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
    error_message: str | None
    metadata: dict[str, Any]
    # Came later than the others. Left out where they are 0: entries written before have none, and a ledger process of
    # the version before, which may still run during an upgrade, buries an entry with a field it does not know.
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

    @property
    def all_tokens(self) -> int:
        """Of every kind. Written out, because every request asks."""
        return (
            self.input_tokens
            + self.cached_input_tokens
            + self.cache_write_tokens
            + self.audio_input_tokens
            + self.output_tokens
            + self.reasoning_tokens
            + self.audio_output_tokens
        )

    @property
    def has_rare_usage(self) -> bool:
        """Is there any beside plain input and output, which is all that most requests have?"""
        return bool(
            self.cached_input_tokens
            or self.reasoning_tokens
            or self.cache_write_tokens
            or self.audio_input_tokens
            or self.audio_output_tokens
            or self.images
            or self.audio_ms
        )

    def to_json(self) -> bytes:
        return _ENCODER.encode(self)

    @classmethod
    def from_json(cls, raw: bytes) -> "UsageEntry":
        """Raises EntryError on anything but what `to_json` wrote, in this version or the one before."""
        try:
            return _DECODER.decode(raw)
        except (DecodeError, UnicodeDecodeError) as error:
            raise EntryError(str(error)) from error


_DECODER = Decoder(UsageEntry)


class SettledEntry(Struct, frozen=True):
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


class WalletState(Struct, frozen=True):
    """A wallet as Postgres has it; `version` grows with every change."""

    wallet_id: UUID
    user_id: UUID
    balance_nanos: int
    overdraft_nanos: int
    version: int
    is_frozen: bool = False


class KeyLimits(Struct, frozen=True):
    """What only some keys have, each None where there is no such limit. Budgets: per UTC day, per UTC month, ever."""

    tokens_per_minute: int | None = None
    max_concurrent_requests: int | None = None
    budget_day_nanos: int | None = None
    budget_month_nanos: int | None = None
    budget_total_nanos: int | None = None


class KeySpent(Struct, frozen=True):
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


class KeyState(Struct, frozen=True):
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


class Transaction(Struct, frozen=True):
    """One line of a wallet's history. `seq` counts from 1 within the wallet, without gaps."""

    id: UUID
    wallet_id: UUID
    seq: int
    type: TransactionType
    amount_nanos: int
    balance_before_nanos: int
    balance_after_nanos: int
