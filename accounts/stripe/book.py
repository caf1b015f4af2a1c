"""Events, payments and credits, in one Postgres transaction each.

Locks are always taken in this order: the event's id, the payment intent, the wallet, then what auto top-up has. So
nobody waits in a circle, and what is read of a payment under its wallet's lock stays so until the end of the
transaction.
"""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import structlog

from accounts.notices.outbox import announce
from accounts.stripe.auto_topup import attempts
from accounts.stripe.decisions import (
    Credit,
    Decision,
    Declined,
    EventHead,
    GiveBack,
    Ignored,
    NotPaid,
    Recorded,
    SaveCard,
    TakeBack,
)
from accounts.stripe.payments import Claim, Payment, collect, due_back, settle
from ledger import credits, rows
from ledger.entries import WalletState
from ledger.errors import LedgerError
from ledger.money import format_dollars, from_decimal, to_decimal
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

Outcome = Literal["credited", "taken_back", "given_back", "recorded", "ignored", "refused", "duplicate"]

log = structlog.get_logger("farebox.stripe")

_QUERIES = load_queries("accounts", "sql/stripe.sql")
# The class of our advisory locks: only has to be no other program's. "fbst" in ASCII.
_LOCK_CLASS = 0x66627374


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event; `wallet_id` is the wallet whose balance it changed."""

    outcome: Outcome
    reason: str
    wallet_id: UUID | None = None


class Book:
    """Raises runtime.postgres.UNAVAILABLE while Postgres is away; then nothing was kept, not even the event."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def enter(self, event: EventHead, decision: Decision) -> Receipt:
        """Does what was decided, once for this event's id, and keeps what became of it."""
        async with self._pool.acquire() as connection, connection.transaction():
            known = await connection.fetchval(
                _QUERIES["enter_event"], event.id, event.type, event.api_version, event.livemode
            )
            if known is None:
                return Receipt("duplicate", "")
            receipt = await _carry_out(connection, event.id, decision)
            await connection.execute(_QUERIES["close_event"], event.id, receipt.outcome, receipt.reason)
            return receipt

    async def credit(self, credit: Credit) -> Receipt:
        """What Stripe answered at once, without an event; the event that tells the same changes nothing, or came first.

        Raises LedgerError where the wallet cannot take it.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            return await _credit(connection, None, credit)


async def _carry_out(connection: Connection, event_id: str, decision: Decision) -> Receipt:
    try:
        async with connection.transaction():  # what the ledger refuses leaves the event, with the reason
            return await _act(connection, event_id, decision)
    except LedgerError as error:
        log.error("stripe_event_refused", data=event_id, error=type(error).__name__)
        return Receipt("refused", f"{type(error).__name__}: {error}")


async def _act(connection: Connection, event_id: str, decision: Decision) -> Receipt:
    match decision:
        case Credit():
            return await _credit(connection, event_id, decision)
        case NotPaid():
            return await _not_paid(connection, decision)
        case Declined(attempt_id, intent, reason):
            ended = await attempts.fail(connection, attempt_id, intent, reason)
            return Receipt("recorded", "auto top-up stopped" if ended else "no such attempt, or it had ended")
        case SaveCard():
            return await _save_card(connection, decision)
        case TakeBack(claim):
            return await _claim(connection, event_id, claim)
        case GiveBack(claim):
            return await _claim(connection, event_id, claim, is_dropped=True)
        case Recorded(reason):
            return Receipt("recorded", reason)
        case Ignored(reason):
            return Receipt("ignored", reason)


async def _credit(connection: Connection, event_id: str | None, credit: Credit) -> Receipt:
    if credit.payment_intent_id is not None:
        await _lock_intent(connection, credit.payment_intent_id)
    wallet = await _lock_wallet(connection, credit.wallet_id)
    if wallet is None or wallet.user_id != credit.user_id:
        return Receipt("ignored", "unknown user")
    if credit.attempt_id is not None and credit.payment_intent_id is not None:
        await attempts.succeed(connection, credit.attempt_id, credit.wallet_id, credit.payment_intent_id)
    if await _payment(connection, credit.session_id, credit.payment_intent_id) is not None:
        return Receipt("recorded", "credited before")
    about = {
        "stripe_session_id": credit.session_id,
        "stripe_payment_intent_id": credit.payment_intent_id,
        "stripe_event_id": event_id,
    }
    amount = credit.amount_nanos
    source = "checkout" if credit.attempt_id is None else "auto_topup"
    description = "Stripe payment" if credit.attempt_id is None else "Automatic Stripe payment"
    line = await credits.record(connection, wallet.wallet_id, "topup", amount, description, about)
    row = await connection.fetchrow(
        _QUERIES["keep_payment"],
        credit.session_id,
        credit.payment_intent_id,
        wallet.wallet_id,
        wallet.user_id,
        to_decimal(amount),
        line.id,
    )
    assert row is not None, "it was just inserted"
    facts = {"amount": format_dollars(amount), "balance": format_dollars(line.balance_after_nanos), "source": source}
    await announce(connection, "topup.succeeded", wallet.user_id, facts, once=f"stripe-payment-{row['id']}")
    await _settle(connection, event_id, _as_payment(row), credit.payment_intent_id)
    return Receipt("credited", f"{format_dollars(amount)} credited", wallet.wallet_id)


async def _not_paid(connection: Connection, failure: NotPaid) -> Receipt:
    wallet = await _lock_wallet(connection, failure.wallet_id)
    if wallet is None or wallet.user_id != failure.user_id:
        return Receipt("ignored", "unknown user")
    facts = {"amount": format_dollars(failure.amount_nanos), "source": "checkout", "reason": "payment_failed"}
    await announce(connection, "topup.failed", wallet.user_id, facts, once=f"stripe-failed-{failure.session_id}")
    return Receipt("recorded", "the payment failed")


async def _save_card(connection: Connection, card: SaveCard) -> Receipt:
    wallet = await _lock_wallet(connection, card.wallet_id)
    if wallet is None or wallet.user_id != card.user_id:
        return Receipt("ignored", "unknown user")
    about = (card.customer_id, card.payment_method_id, card.is_live, card.saved_at)
    saved = await connection.fetchval(attempts.QUERIES["save_card"], card.wallet_id, card.user_id, *about)
    return Receipt("recorded", "a later card is known" if saved is None else "a card was saved")


async def _claim(connection: Connection, event_id: str, claim: Claim, *, is_dropped: bool = False) -> Receipt:
    intent = claim.payment_intent_id
    await _lock_intent(connection, intent)
    amount = to_decimal(claim.amount_nanos)
    await connection.execute(_QUERIES["keep_claim"], claim.id, claim.kind, intent, amount, is_dropped)
    found = await _payment(connection, None, intent)
    if found is None:
        return Receipt("recorded", "no payment of ours, or not yet")
    await _lock_wallet(connection, found.wallet_id)
    before = await _payment(connection, None, intent)
    assert before is not None, "payments are not deleted"
    await _settle(connection, event_id, before, intent)
    after = await _payment(connection, None, intent)
    assert after is not None, "payments are not deleted"
    return _what_moved(before, after)


def _what_moved(before: Payment, after: Payment) -> Receipt:
    difference = after.taken_back_nanos - before.taken_back_nanos
    owed = f", {format_dollars(after.owed_nanos)} owed" if after.owed_nanos else ""
    if difference > 0:
        return Receipt("taken_back", f"{format_dollars(difference)} taken back{owed}", before.wallet_id)
    if difference < 0:
        return Receipt("given_back", f"{format_dollars(-difference)} given back{owed}", before.wallet_id)
    return Receipt("recorded", f"nothing to move{owed}")


async def _settle(connection: Connection, event_id: str | None, payment: Payment, intent: str | None) -> None:
    """Brings a payment in line with what is claimed of it, then takes what its wallet can pay of all it owes."""
    claims = [_as_claim(row) for row in await connection.fetch(_QUERIES["claims"], intent)]
    give_back, owed = settle(payment, due_back(payment.credited_nanos, claims))
    if owed > payment.owed_nanos:
        await _stop_auto_topup(connection, payment, claims)
    if give_back:
        await _record(connection, event_id, payment, give_back, "Stripe refund failed or dispute won")
    await _move(connection, payment, payment.taken_back_nanos - give_back, owed)
    wallet = await _lock_wallet(connection, payment.wallet_id)
    assert wallet is not None, "it is locked by us"
    owing = [_as_payment(row) for row in await connection.fetch(_QUERIES["owing"], payment.wallet_id)]
    for owed_payment, amount in collect(owing, wallet.balance_nanos + wallet.overdraft_nanos):
        await _record(connection, event_id, owed_payment, -amount, "Stripe payment refunded or disputed")
        taken_back = owed_payment.taken_back_nanos + amount
        await _move(connection, owed_payment, taken_back, owed_payment.owed_nanos - amount)


async def _stop_auto_topup(connection: Connection, payment: Payment, claims: list[Claim]) -> None:
    """Whoever has a bank take a payment back, or is given an automatic one back, is not charged again unasked."""
    if any(claim.kind == "dispute" and not claim.is_dropped for claim in claims):
        await attempts.stop(connection, payment.wallet_id, "disputed")
    elif any([await attempts.is_auto_topup(connection, claim.payment_intent_id) for claim in claims]):
        await attempts.stop(connection, payment.wallet_id, "refunded")


async def _record(connection: Connection, event_id: str | None, payment: Payment, amount_nanos: int, why: str) -> None:
    about = {"stripe_payment": str(payment.id), "stripe_event_id": event_id}
    await credits.record(connection, payment.wallet_id, "refund", amount_nanos, why, about)


async def _move(connection: Connection, payment: Payment, taken_back_nanos: int, owed_nanos: int) -> None:
    await connection.execute(_QUERIES["move"], payment.id, to_decimal(taken_back_nanos), to_decimal(owed_nanos))


async def _lock_intent(connection: Connection, intent: str) -> None:
    """Neither may a claim miss a payment that is just being credited, nor the payment the claim."""
    await connection.execute(_QUERIES["lock_intent"], _LOCK_CLASS, intent)


async def _lock_wallet(connection: Connection, wallet_id: UUID) -> WalletState | None:
    row = await connection.fetchrow(_QUERIES["lock_wallet"], wallet_id)
    return None if row is None else rows.wallet_state(row)


async def _payment(connection: Connection, session_id: str | None, intent: str | None) -> Payment | None:
    row = await connection.fetchrow(_QUERIES["payment"], session_id, intent)
    return None if row is None else _as_payment(row)


def _as_payment(row: Any) -> Payment:
    return Payment(
        id=row["id"],
        wallet_id=row["wallet_id"],
        credited_nanos=from_decimal(row["credited"]),
        taken_back_nanos=from_decimal(row["taken_back"]),
        owed_nanos=from_decimal(row["owed"]),
    )


def _as_claim(row: Any) -> Claim:
    amount = from_decimal(row["amount"])
    return Claim(row["id"], row["kind"], row["payment_intent_id"], amount, row["is_dropped"])
