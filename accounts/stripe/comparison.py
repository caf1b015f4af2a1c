"""What was paid at Stripe against what was credited here: where the two differ. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from accounts.stripe.decisions import GiveBack, TakeBack
from accounts.stripe.events import OUR_MARK, decide, nanos_of_cents
from accounts.stripe.payments import Claim, due_back

DifferenceKind = Literal["missing_here", "missing_there", "amount", "refund", "history"]


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment of ours at Stripe that has succeeded. `amount_nanos` None: not dollars."""

    intent_id: str
    amount_nanos: int | None
    created_s: int
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """What is credited for a payment. `topup_nanos`, `refunds_nanos`: the lines of the wallet's history about it."""

    session_id: str | None
    intent_id: str | None
    user_id: UUID
    credited_nanos: int
    gone_back_nanos: int
    owed_nanos: int
    topup_nanos: int
    refunds_nanos: int

    @property
    def name(self) -> str:
        return self.intent_id or self.session_id or ""


@dataclass(frozen=True, slots=True)
class Difference:
    """`there_nanos` at Stripe, `here_nanos` in the books; None: nothing there or here.

    missing_here: paid and not credited. missing_there: credited, and not paid. amount: other than was paid. refund:
    what went back there is not what went back here, or is owed. history: the wallet's lines do not add up to it.
    """

    kind: DifferenceKind
    payment: str
    user_id: str | None
    there_nanos: int | None
    here_nanos: int | None


def paid_of(intent: Mapping[str, Any]) -> Paid | None:
    """A payment intent as Stripe lists it; None for another product's, and for one that has not succeeded."""
    metadata = intent.get("metadata")
    ours = isinstance(metadata, dict) and metadata.get("farebox") == OUR_MARK
    intent_id, created_s = intent.get("id"), intent.get("created")
    if not ours or intent.get("status") != "succeeded" or not isinstance(intent_id, str):
        return None
    cents = intent.get("amount_received", intent.get("amount"))
    amount = nanos_of_cents(cents) if intent.get("currency") == "usd" else None
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    return Paid(intent_id, amount, created_s if isinstance(created_s, int) else 0, user_id)


def claim_of(thing: Mapping[str, Any], kind: Literal["refunds", "disputes"]) -> Claim | None:
    """A refund or a dispute as Stripe lists it, read as its event would be; None: about no payment in dollars."""
    event = "refund.updated" if kind == "refunds" else "charge.dispute.updated"
    match decide({"id": "listed", "type": event, "data": {"object": thing}}, None):
        case TakeBack(claim):
            return claim
        case GiveBack(claim):
            return Claim(claim.id, claim.kind, claim.payment_intent_id, claim.amount_nanos, is_dropped=True)
        case _:
            return None


def compare(
    paid: Mapping[str, Paid],
    booked: Iterable[Booked],
    claims: Iterable[Claim],
    expected: Iterable[str],
    young: Collection[str] = (),
) -> list[Difference]:
    """`paid` by intent or, where there is none, session; `expected`: which of them have to be credited by now.

    `young`: ids of claims of which the webhook may still be on its way.
    """
    known = list(booked)
    here = {name for one in known for name in (one.intent_id, one.session_id)}
    wanted: dict[str, list[Claim]] = {}
    for claim in claims:
        wanted.setdefault(claim.payment_intent_id, []).append(claim)
    found = [_missing_here(paid[name]) for name in expected if name not in here]
    for one in known:
        found += _differences(one, paid.get(one.name), wanted.get(one.intent_id or "", []), young)
    return sorted(found, key=lambda difference: (difference.kind, difference.payment))


def _missing_here(one: Paid) -> Difference:
    return Difference("missing_here", one.intent_id, one.user_id, one.amount_nanos, None)


def _differences(one: Booked, there: Paid | None, claims: list[Claim], young: Collection[str]) -> Iterable[Difference]:
    user = str(one.user_id)
    if there is None:
        yield Difference("missing_there", one.name, user, None, one.credited_nanos)
    elif there.amount_nanos != one.credited_nanos:
        yield Difference("amount", one.name, user, there.amount_nanos, one.credited_nanos)
    due, gone = due_back(one.credited_nanos, claims), one.gone_back_nanos + one.owed_nanos
    if gone not in (due, due_back(one.credited_nanos, [claim for claim in claims if claim.id not in young])):
        yield Difference("refund", one.name, user, due, gone)
    if (one.topup_nanos, one.refunds_nanos) != (one.credited_nanos, one.gone_back_nanos):
        yield Difference(
            "history", one.name, user, one.credited_nanos - one.gone_back_nanos, one.topup_nanos - one.refunds_nanos
        )
