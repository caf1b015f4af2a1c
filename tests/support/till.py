"""Checkout and webhook over real servers and a fake Stripe, as the program puts them together."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson

from accounts.stripe.auto_topup.charger import Charger
from accounts.stripe.auto_topup.plans import Plans
from accounts.stripe.auto_topup.wishes import Wish, limits_of
from accounts.stripe.book import Receipt
from accounts.stripe.checkout import Checkout
from accounts.stripe.client import StripeApi
from accounts.stripe.webhook import Webhook
from ledger.balances import StateMirror
from ledger.entries import WalletState
from ledger.posting import OnStep, no_step
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
    plans: Plans

    def charger(self, on_step: OnStep = no_step) -> Charger:
        """Of one ledger process."""
        return Charger(self.office.store.pool, self.api, False, limits_of(self.settings), on_step)

    async def save_card(self, user_id: UUID | None = None, *, declines: str | None = None) -> WalletState:
        """A user who has left a card; no plan yet."""
        user_id = user_id or uuid4()
        session = await self.checkout.save_card(user_id, None)
        await self.deliver_all(self.fake.leave_card(session.id, declines=declines))
        return await self.office.store.ensure_wallet(user_id)

    async def auto_topup(
        self, threshold: int = 500, amount: int = 2000, cap: int = 10_000, *, declines: str | None = None
    ) -> WalletState:
        """A user with a card and a plan, in cents, and nothing in the wallet."""
        wallet = await self.save_card(declines=declines)
        await self.plans.set(wallet.user_id, Wish(True, threshold * CENT, amount * CENT, cap * CENT))
        return wallet

    async def attempts(self, wallet: WalletState) -> list[tuple[str, str | None]]:
        query = "SELECT status, failure FROM farebox_auto_topup_attempts WHERE wallet_id = $1 ORDER BY created_at"
        return [(row[0], row[1]) for row in await self.office.store.pool.fetch(query, wallet.wallet_id)]

    async def time_passes(self, hours: float) -> None:
        """For open attempts, and at Stripe."""
        query = """UPDATE farebox_auto_topup_attempts
            SET created_at = created_at - $1 * interval '1 hour', ask_after = ask_after - $1 * interval '1 hour'"""
        await self.office.store.pool.execute(query, float(hours))
        self.fake.later_s += int(hours * 3600)
        for intent in self.fake.intents():
            intent["created"] -= int(hours * 3600)

    async def announced(self, wallet: WalletState) -> list[tuple[str, dict[str, Any]]]:
        query = "SELECT kind, facts FROM farebox_events WHERE user_id = $1 AND kind LIKE 'topup%' ORDER BY number"
        found = await self.office.store.pool.fetch(query, wallet.user_id)
        return [(row[0], orjson.loads(row[1])) for row in found]

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
            plans = Plans(office.store, api, False, limits_of(chosen))
            yield Till(office, fake, api, chosen, checkout, webhook, plans)
        finally:
            await api.close()
