"""A payment page for a user. Their Stripe customer is made once and remembered, however many ask at once."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID, uuid4

from accounts.errors import InvalidRequest, StripeRefused
from accounts.stripe.events import NANOS_PER_CENT, metadata_of
from ledger.money import format_dollars, to_decimal
from ledger.postgres import Store
from runtime.settings import Stripe
from runtime.sql import load_queries

if TYPE_CHECKING:
    from stripe.params import CustomerCreateParams
    from stripe.params.checkout import SessionCreateParams

    from accounts.stripe.client import StripeApi

# What a page asks for, given the customer and our metadata.
Page: TypeAlias = "Callable[[str, dict[str, str]], SessionCreateParams]"

_QUERIES = load_queries("accounts", "sql/stripe.sql")
# Only so that a claim of a token that is no address does not stop a payment; Stripe knows better.
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,255}")


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """Stripe's id of the session, and the address to send the user to."""

    id: str
    url: str


class Checkout:
    """Raises InvalidRequest, StripeUnavailable, StripeRefused; runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, store: Store, api: "StripeApi", settings: Stripe) -> None:
        self._store = store
        self._api = api
        self._settings = settings

    async def create(self, user_id: UUID, email: str | None, amount_nanos: int) -> CheckoutSession:
        """A page on which this amount can be paid; the user's wallet is made if there is none."""
        cents = self._cents(amount_nanos)
        return await self._open(user_id, email, lambda customer, about: self._payment(customer, cents, about))

    async def save_card(self, user_id: UUID, email: str | None) -> CheckoutSession:
        """A page on which a card can be left, to be charged later without its owner."""
        return await self._open(user_id, email, self._setup)

    async def _open(self, user_id: UUID, email: str | None, page: Page) -> CheckoutSession:
        wallet = await self._store.ensure_wallet(user_id)
        metadata = metadata_of(user_id, wallet.wallet_id)
        # of this page only: a second page is another payment
        key = f"farebox-checkout-{uuid4()}"
        known: str | None = await self._store.pool.fetchval(_QUERIES["customer"], wallet.wallet_id)
        customer = known or await self._make_customer(user_id, wallet.wallet_id, email, instead_of=None)
        try:
            return CheckoutSession(*await self._api.create_session(page(customer, metadata), key))
        except StripeRefused as refused:
            if refused.param != "customer" or refused.reason != "resource_missing":
                raise
        # Deleted at Stripe, or made with a key for test payments.
        customer = await self._make_customer(user_id, wallet.wallet_id, email, instead_of=customer)
        return CheckoutSession(*await self._api.create_session(page(customer, metadata), f"{key}-again"))

    def _cents(self, amount_nanos: int) -> int:
        cents, rest = divmod(amount_nanos, NANOS_PER_CENT)
        if rest:
            raise InvalidRequest("amount: must be whole cents")
        if not self._settings.min_amount <= to_decimal(amount_nanos) <= self._settings.max_amount:
            raise InvalidRequest(
                f"amount: must be from {self._settings.min_amount:f} to {self._settings.max_amount:f} dollars"
            )
        return cents

    async def _make_customer(self, user_id: UUID, wallet_id: UUID, email: str | None, instead_of: str | None) -> str:
        """The wallet's customer: ours, or that of whoever remembered theirs before us."""
        params: CustomerCreateParams = {"metadata": metadata_of(user_id, wallet_id)}
        if email is not None and _EMAIL.fullmatch(email):
            params["email"] = email
        try:
            made = await self._api.create_customer(params, _customer_key(wallet_id, params.get("email"), instead_of))
        except StripeRefused as refused:
            if refused.param != "email":
                raise
            del params["email"]
            made = await self._api.create_customer(params, _customer_key(wallet_id, None, instead_of))
        pool = self._store.pool
        remembered: str | None = await pool.fetchval(_QUERIES["remember_customer"], wallet_id, made, instead_of)
        return remembered or await pool.fetchval(_QUERIES["customer"], wallet_id) or made

    def _payment(self, customer: str, cents: int, metadata: dict[str, str]) -> "SessionCreateParams":
        product = f"{self._settings.product_name} ({format_dollars(cents * NANOS_PER_CENT)} USD)"
        return {
            "mode": "payment",
            "customer": customer,
            "client_reference_id": metadata["user_id"],
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "usd", "unit_amount": cents, "product_data": {"name": product}},
                }
            ],
            # in dollars whatever the payer's card is in: the session's amount is what is credited
            "adaptive_pricing": {"enabled": False},
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
            "success_url": self._settings.success_url,
            "cancel_url": self._settings.cancel_url,
        }

    def _setup(self, customer: str, metadata: dict[str, str]) -> "SessionCreateParams":
        return {
            "mode": "setup",
            "customer": customer,
            "client_reference_id": metadata["user_id"],
            # only cards say at once whether they were charged
            "allowed_payment_method_types": ["card"],
            "metadata": metadata,
            "setup_intent_data": {"metadata": metadata},
            "success_url": self._settings.success_url,
            "cancel_url": self._settings.cancel_url,
        }


def _customer_key(wallet_id: UUID, email: str | None, instead_of: str | None) -> str:
    """The same for all who ask for the same: Stripe refuses a key that comes again with other parameters."""
    asked_for = hashlib.sha256(f"{email}\n{instead_of}".encode()).hexdigest()[:16]
    return f"farebox-customer-{wallet_id}-{asked_for}"
