"""The ledger process's round: wallets below their threshold are charged, and what nobody knows the end of is asked for.

A process may die at any point: an attempt that was committed and not asked for, or asked for and not booked, is found
by another once its time is over (`ASKING_S`). Any number of processes may run.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog

from accounts.errors import StripeRefused, StripeUnavailable
from accounts.stripe.auto_topup.attempts import Attempt, Attempts
from accounts.stripe.auto_topup.rules import (
    Failed,
    Intent,
    Limits,
    Outcome,
    Paid,
    Unknown,
    is_given_up,
    may_ask_again,
    outcome,
    reason_word,
    wait_s,
)
from accounts.stripe.book import Book
from accounts.stripe.decisions import Credit
from accounts.stripe.events import AUTO_TOPUP_MARK, NANOS_PER_CENT, metadata_of
from ledger.errors import LedgerError
from ledger.posting import OnStep, no_step
from runtime.periodic import Job, every
from runtime.postgres import FAILED, Pool

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

    from accounts.stripe.client import StripeApi

log = structlog.get_logger("farebox.auto_topup")

# At once per process: each waits for Stripe, and holds nothing of Postgres meanwhile.
MOST_AT_ONCE = 20
# Stripe's clock and the database's may differ by so much when payments are looked for by their time.
_CLOCKS_DIFFER_S = 3600
_DAY_S = 24 * 3600


class Charger:
    """`is_live`: what our key is for; None if it does not say. `on_step` is told what has just been done."""

    def __init__(
        self, pool: Pool, api: "StripeApi", is_live: bool | None, limits: Limits, on_step: OnStep = no_step
    ) -> None:
        self._attempts = Attempts(pool, is_live, limits)
        self._book = Book(pool)
        self._api = api
        self._on_step = on_step

    def job(self, interval_s: float) -> Job:
        return every(interval_s, self.round, name="auto-topup", failures=FAILED)

    async def round(self) -> float | None:
        """Asks about at most MOST_AT_ONCE attempts. Raises runtime.postgres.UNAVAILABLE; nothing is lost then."""
        attempts = await self._attempts.take_open(MOST_AT_ONCE)
        if room := MOST_AT_ONCE - len(attempts):
            begun = await self._attempts.begin(room)
            self._on_step("begun")
            attempts += begun
        done = await asyncio.gather(*(self._pursue(attempt) for attempt in attempts), return_exceptions=True)
        for error in filter(None, done):  # each has had its turn; now the first error counts
            raise error
        return 0.0 if len(attempts) == MOST_AT_ONCE else None  # there may be more

    async def _pursue(self, attempt: Attempt) -> None:
        found = await self._ask(attempt)
        self._on_step("asked")
        match found:
            case Paid(intent_id):
                await self._credit(attempt, intent_id)
            case Failed(reason, intent_id):
                log.info("auto_topup_failed", wallet_id=str(attempt.wallet_id), reason=reason)
                await self._attempts.fail(attempt.id, intent_id, reason)
            case Unknown() if is_given_up(attempt.age_s):
                log.error("auto_topup_given_up", wallet_id=str(attempt.wallet_id), attempt=str(attempt.id))
                await self._attempts.fail(attempt.id, None, "unresolved", is_certain=False)
            case Unknown(intent_id):
                log.warning("auto_topup_unknown", wallet_id=str(attempt.wallet_id), attempt=str(attempt.id))
                await self._attempts.ask_later(attempt.id, wait_s(attempt.asked), intent_id)
        self._on_step("booked")

    async def _ask(self, attempt: Attempt) -> Outcome:
        """What has become of an attempt; charges where it is certain that this charges once."""
        try:
            intent = await self._find(attempt) if attempt.asked > 1 else None
        except (StripeUnavailable, StripeRefused):
            return Unknown()
        if intent is not None:
            return outcome(intent)
        if not may_ask_again(attempt.age_s):
            return Failed("not_charged")
        try:
            params = charge_params(attempt)
            return outcome(await self._api.charge(params, f"farebox-auto-topup-{attempt.id}"))
        except StripeUnavailable:
            return Unknown()
        except StripeRefused as refused:  # a card that is gone, a customer that was deleted: nothing was charged
            return Failed(reason_word(refused.reason, "refused"))

    async def _find(self, attempt: Attempt) -> Intent | None:
        """Its payment intent by our mark: Stripe repeats under one key even an answer that says nothing (a 500)."""
        began_s = int(attempt.created_at.timestamp())
        mark = (AUTO_TOPUP_MARK, str(attempt.id))
        span = (began_s - _CLOCKS_DIFFER_S, began_s + _DAY_S + _CLOCKS_DIFFER_S)
        return await self._api.find_intent(attempt.customer_id, mark, *span)

    async def _credit(self, attempt: Attempt, intent_id: str) -> None:
        credit = Credit(None, intent_id, attempt.user_id, attempt.wallet_id, attempt.amount_nanos, attempt.id)
        try:
            receipt = await self._book.credit(credit)
        except LedgerError as error:  # paid, and the wallet is full: it stays open, and is booked when there is room
            log.error("auto_topup_refused", wallet_id=str(attempt.wallet_id), error=type(error).__name__)
            await self._attempts.ask_later(attempt.id, wait_s(attempt.asked), intent_id)
            return
        log.info("auto_topup_paid", wallet_id=str(attempt.wallet_id), code=receipt.outcome, reason=receipt.reason)


def charge_params(attempt: Attempt) -> "PaymentIntentCreateParams":
    """Made of the attempt's row alone: with the same key it must be the same to the letter, whoever asks and when."""
    return {
        "amount": attempt.amount_nanos // NANOS_PER_CENT,
        "currency": "usd",
        "customer": attempt.customer_id,
        "payment_method": attempt.payment_method_id,
        "allowed_payment_method_types": ["card"],
        "confirm": True,
        "off_session": True,
        "metadata": metadata_of(attempt.user_id, attempt.wallet_id) | {AUTO_TOPUP_MARK: str(attempt.id)},
    }
