"""What an event says, in our words."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from accounts.stripe.payments import Claim


@dataclass(frozen=True, slots=True)
class EventHead:
    """What is kept of every event, whatever else is in it."""

    id: str
    type: str
    api_version: str | None
    livemode: bool | None


@dataclass(frozen=True, slots=True)
class Credit:
    """A checkout was paid, or a saved card was charged: `attempt_id` says for which attempt."""

    session_id: str | None
    payment_intent_id: str | None
    user_id: UUID
    wallet_id: UUID
    amount_nanos: int
    attempt_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NotPaid:
    """A checkout's money was on its way, and will not come."""

    session_id: str
    user_id: UUID
    wallet_id: UUID
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class Declined:
    """A saved card was not charged."""

    attempt_id: UUID
    payment_intent_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SaveCard:
    """A card may be charged from now on without its owner being there."""

    user_id: UUID
    wallet_id: UUID
    customer_id: str
    payment_method_id: str
    is_live: bool
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Money goes back to the payer, or is about to."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class GiveBack:
    """It does not, after all."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Recorded:
    """Ours, and nothing is to be done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Not ours, or not as it should be."""

    reason: str


Decision: TypeAlias = Credit | NotPaid | Declined | SaveCard | TakeBack | GiveBack | Recorded | Ignored
