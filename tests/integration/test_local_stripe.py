"""The real SDK, our webhook and the charger against localstripe: a Stripe that was not made by us."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from accounts.stripe.auto_topup.charger import Charger
from accounts.stripe.auto_topup.plans import Plans
from accounts.stripe.auto_topup.wishes import Wish, limits_of
from accounts.stripe.book import Book, Receipt
from accounts.stripe.client import StripeApi
from accounts.stripe.decisions import EventHead, SaveCard
from accounts.stripe.events import decide, head, metadata_of
from accounts.stripe.webhook import Webhook
from ledger.audit import audit
from ledger.balances import StateMirror
from ledger.entries import WalletState
from ledger.redis_store import RedisStore
from runtime.clock import wall_ms
from runtime.settings import Stripe
from tests.support.accounts import Office, accounts_office
from tests.support.ledger import USD
from tests.support.local_stripe import (
    CAREFUL_CARD,
    DECLINED_CARD,
    GOOD_CARD,
    SIGNING_SECRET,
    LocalStripe,
    local_stripe,
    local_stripe_process,
)

SECRET_KEY = "sk_test_of_localstripe"
NOW = datetime.fromtimestamp(wall_ms() / 1000, UTC)


@dataclass
class Shop:
    office: Office
    stripe: LocalStripe
    api: StripeApi
    plans: Plans
    charger: Charger
    heard: "asyncio.Queue[tuple[str, Receipt]]" = field(default_factory=asyncio.Queue)

    async def customer(self, card: str) -> WalletState:
        """Somebody with a card and a plan. localstripe has no setup page: what its event would say is said by hand."""
        user_id = uuid4()
        wallet = await self.office.store.ensure_wallet(user_id)
        customer_id = await self.api.create_customer({"metadata": metadata_of(user_id, wallet.wallet_id)}, str(user_id))
        method_id = await self.stripe.save_card(customer_id, card)
        saved = SaveCard(user_id, wallet.wallet_id, customer_id, method_id, False, NOW)
        await Book(self.office.store.pool).enter(EventHead(f"evt_{user_id}", "x", None, False), saved)
        await self.plans.set(user_id, Wish(True, 5 * USD, 20 * USD, 100 * USD))
        return wallet

    async def hears(self, kind: str) -> Receipt:
        """The next event of this kind, and what was made of it."""
        async with asyncio.timeout(30):
            while True:
                heard, receipt = await self.heard.get()
                if heard == kind:
                    return receipt

    async def balance(self, wallet: WalletState) -> int:
        (state,) = await self.office.store.wallet_states([wallet.wallet_id])
        return state.balance_nanos


@asynccontextmanager
async def listening(shop: Shop, webhook: Webhook) -> AsyncIterator[str]:
    """An address at which events are heard as the program hears them."""

    async def hear(request: web.Request) -> web.Response:
        payload = await request.read()
        receipt = await webhook.handle(payload, request.headers.get("Stripe-Signature"))
        shop.heard.put_nowait(((await request.json())["type"], receipt))
        return web.json_response({"received": True})

    app = web.Application()
    app.router.add_post("/webhook", hear)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def peer_url() -> Iterator[str]:
    with local_stripe_process() as url:
        yield url


@pytest.fixture
async def shop(database_url: str, redis_url: str, peer_url: str) -> AsyncIterator[Shop]:
    async with accounts_office(database_url, redis_url) as office, local_stripe(peer_url, SECRET_KEY) as peer:
        api = StripeApi(SECRET_KEY, peer.url)
        limits = limits_of(Stripe())
        charger = Charger(office.store.pool, api, False, limits)
        made = Shop(office, peer, api, Plans(office.store, api, False, limits), charger)
        mirror = StateMirror(RedisStore(office.redis), office.store, database_url)
        try:
            async with listening(made, Webhook(office.store, mirror, [SIGNING_SECRET], SECRET_KEY)) as url:
                await peer.deliver_to(url)
                yield made
        finally:
            await api.close()
        report = await audit(office.store.pool)
        assert report.holds, report.violations


async def test_a_saved_card_is_charged_heard_of_and_refunded(shop: Shop) -> None:
    wallet = await shop.customer(GOOD_CARD)
    view = await shop.plans.show(wallet.user_id)
    assert view.card is not None and (view.card.brand, view.card.last4) == ("visa", "4242")
    await shop.charger.round()
    assert await shop.balance(wallet) == 20 * USD
    assert (await shop.hears("payment_intent.succeeded")).reason == "credited before"
    await shop.charger.round()
    assert await shop.balance(wallet) == 20 * USD
    intent = await shop.office.store.pool.fetchval("SELECT payment_intent_id FROM farebox_stripe_payments")
    refund: dict[str, Any] = await shop.stripe.post("/v1/refunds", payment_intent=intent, amount="500")
    # localstripe tells of no refunds: its object, told by hand
    event = {"id": "evt_refund", "type": "refund.created", "livemode": False, "data": {"object": refund}}
    receipt = await Book(shop.office.store.pool).enter(head(event), decide(event, live=False))
    assert receipt.outcome == "taken_back" and await shop.balance(wallet) == 15 * USD
    assert (await shop.plans.show(wallet.user_id)).stopped_reason == "refunded"


@pytest.mark.parametrize(
    ("card", "reason"), [(DECLINED_CARD, "card_declined"), (CAREFUL_CARD, "authentication_required")]
)
async def test_a_card_that_is_not_charged_stops_it(shop: Shop, card: str, reason: str) -> None:
    wallet = await shop.customer(card)
    for _ in range(2):
        await shop.charger.round()
    view = await shop.plans.show(wallet.user_id)
    assert (view.state, view.stopped_reason, view.charged_nanos) == ("stopped", reason, 0)
    assert await shop.balance(wallet) == 0
    if card == DECLINED_CARD:
        assert (await shop.hears("payment_intent.payment_failed")).reason == "no such attempt, or it had ended"


async def test_the_webhook_alone_credits_what_nobody_booked(shop: Shop) -> None:
    wallet = await shop.customer(GOOD_CARD)

    class Killed(BaseException):
        pass

    def dies(step: str) -> None:
        if step == "asked":
            raise Killed

    with pytest.raises(Killed):
        await Charger(shop.office.store.pool, shop.api, False, limits_of(Stripe()), dies).round()
    assert await shop.balance(wallet) == 0
    assert (await shop.hears("payment_intent.succeeded")).outcome == "credited"
    assert await shop.balance(wallet) == 20 * USD
