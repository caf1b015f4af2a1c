"""What of a payment has to go back: computed from all that is known of it, so that the order of events does not matter.

A claim is what somebody wants back of a payment: the total that a charge says was refunded, one refund, or one dispute.
A refund that failed and a dispute that was won are dropped, for good.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

ClaimKind = Literal["charge", "refund", "dispute"]


@dataclass(frozen=True, slots=True)
class Claim:
    """`id` is Stripe's, of the charge, refund or dispute; a charge's amount is the total of its refunds."""

    id: str
    kind: ClaimKind
    payment_intent_id: str
    amount_nanos: int
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class Payment:
    """What was credited for it, what went back, and what should have gone back while the wallet was empty."""

    id: UUID
    wallet_id: UUID
    credited_nanos: int
    taken_back_nanos: int
    owed_nanos: int


def due_back(credited_nanos: int, claims: Iterable[Claim]) -> int:
    """How much of the credit has to be gone when all is done: never more than was credited."""
    known = list(claims)
    disputed = sum(claim.amount_nanos for claim in known if claim.kind == "dispute" and not claim.is_dropped)
    return min(credited_nanos, _refunded(known) + disputed)


def _refunded(claims: list[Claim]) -> int:
    """A charge's total and its single refunds tell of the same money, whichever of them arrived.

    The total may be from before one of them failed.
    """
    total = sum(claim.amount_nanos for claim in claims if claim.kind == "charge")
    failed = sum(claim.amount_nanos for claim in claims if claim.kind == "refund" and claim.is_dropped)
    single = sum(claim.amount_nanos for claim in claims if claim.kind == "refund" and not claim.is_dropped)
    return max(total - failed, single)


def settle(payment: Payment, due_nanos: int) -> tuple[int, int]:
    """What to give back at once, and what is owed then: one of the two is 0."""
    difference = due_nanos - payment.taken_back_nanos
    return max(0, -difference), max(0, difference)


def collect(owing: Iterable[Payment], room_nanos: int) -> list[tuple[Payment, int]]:
    """What to take for each of these payments, in their order, where the wallet can give `room_nanos` in all."""
    taken = []
    for payment in owing:
        amount = min(payment.owed_nanos, room_nanos)
        if amount > 0:
            taken.append((payment, amount))
            room_nanos -= amount
    return taken
