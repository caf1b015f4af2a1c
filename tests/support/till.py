"""Checkout and webhook over real servers and a fake Stripe, as the program puts them together."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from accounts.stripe.book import Receipt
from accounts.stripe.checkout import Checkout
from accounts.stripe.client import StripeApi
from accounts.stripe.webhook import Webhook
from ledger.balances import StateMirror
from ledger.entries import WalletState
from ledger.redis_store import RedisStore
from runtime.settings import Stripe
from tests.support.accounts import Office, accounts_office
from tests.support.fake_stripe import CREATED_S, SECRET_KEY, SIGNING_SECRET, FakeStripe, fake_stripe, sign

CENT = 10_000_000


@dataclass(frozen=True)
class Till:
    office: Office
    fake: FakeStripe
    api: StripeApi
    settings: Stripe
    checkout: Checkout
    webhook: Webhook

    async def deliver(self, event: dict[str, Any]) -> Receipt:
        return await self.webhook.handle(*sign(event))

    async def deliver_all(self, events: Iterable[dict[str, Any]]) -> list[str]:
        """One after the other; the outcomes."""
        return [(await self.deliver(event)).outcome for event in events]

    async def open_session(self, cents: int, user_id: UUID | None = None) -> tuple[str, WalletState]:
        """A user at the checkout: the session and their wallet."""
        user_id = user_id or uuid4()
        session = await self.checkout.create(user_id, None, cents * CENT)
        return session.id, await self.office.store.ensure_wallet(user_id)

    async def balance_cents(self, wallet: WalletState) -> int:
        (state,) = await self.office.store.wallet_states([wallet.wallet_id])
        cents, rest = divmod(state.balance_nanos, CENT)
        assert rest == 0
        return cents

    async def history_cents(self, wallet: WalletState) -> list[tuple[str, int]]:
        query = "SELECT type, amount FROM ai_transactions WHERE wallet_id = $1 ORDER BY seq"
        rows = await self.office.store.pool.fetch(query, wallet.wallet_id)
        return [(row["type"], int(row["amount"] * 100)) for row in rows]

    async def owed_cents(self, wallet: WalletState) -> int:
        query = "SELECT coalesce(sum(owed), 0) FROM farebox_stripe_payments WHERE wallet_id = $1"
        return int(await self.office.store.pool.fetchval(query, wallet.wallet_id) * 100)


def now_ms() -> int:
    """The moment at which events are signed."""
    return CREATED_S * 1000


@asynccontextmanager
async def open_till(database_url: str, redis_url: str, **settings: Any) -> AsyncIterator[Till]:
    async with accounts_office(database_url, redis_url) as office, fake_stripe() as fake:
        chosen = Stripe.model_validate({"secret_key": SECRET_KEY, "api_base": fake.url, **settings})
        api = StripeApi(SECRET_KEY, fake.url, attempt_timeout_s=5)
        try:
            checkout = Checkout(office.store, api, chosen)
            mirror = StateMirror(RedisStore(office.redis), office.store, database_url)
            webhook = Webhook(office.store, mirror, [SIGNING_SECRET], SECRET_KEY, now_ms)
            yield Till(office, fake, api, chosen, checkout, webhook)
        finally:
            await api.close()
