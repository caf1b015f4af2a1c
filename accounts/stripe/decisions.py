"""What an event says, in our words."""

from dataclasses import dataclass
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
    """A checkout was paid."""

    session_id: str
    payment_intent_id: str | None
    user_id: UUID
    wallet_id: UUID
    amount_nanos: int


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


Decision: TypeAlias = Credit | TakeBack | GiveBack | Recorded | Ignored
