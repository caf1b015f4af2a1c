"""Checkout over the real SDK: exact amounts, one customer, and what is told when Stripe does not play along."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import stripe
import structlog

from accounts.errors import InvalidRequest, StripeRefused, StripeUnavailable
from accounts.stripe.checkout import Checkout
from accounts.stripe.client import StripeApi
from tests.support.fake_stripe import SECRET_KEY, Trouble
from tests.support.ledger import USD
from tests.support.till import CENT, Till, open_till


@pytest.fixture
async def till(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Till]:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.01)
    async with open_till(database_url, redis_url, success_url="https://shop.example/?paid=1") as made:
        yield made


async def remembered(till: Till, user_id: UUID) -> Any:
    query = "SELECT stripe_customer_id FROM ai_wallets WHERE user_id = $1"
    return await till.office.store.pool.fetchval(query, user_id)


def asked_for(till: Till, path: str) -> list[dict[str, Any]]:
    return [asked.params for asked in till.fake.asked if asked.path == path]


def made(till: Till, kind: str) -> list[dict[str, Any]]:
    return [thing for thing in till.fake.objects.values() if thing["object"] == kind]


async def test_a_checkout_says_who_pays_how_much_for_what(till: Till) -> None:
    user_id = uuid4()
    session = await till.checkout.create(user_id, "ada@example.org", 19 * USD + 99 * CENT)
    wallet = await till.office.store.ensure_wallet(user_id)
    (asked,) = asked_for(till, "/v1/checkout/sessions")
    metadata = {"farebox": "1", "user_id": str(user_id), "wallet_id": str(wallet.wallet_id)}
    assert (asked["metadata"], asked["payment_intent_data"]) == (metadata, {"metadata": metadata})
    price = asked["line_items"]["0"]["price_data"]
    assert (price["unit_amount"], price["currency"], asked["line_items"]["0"]["quantity"]) == ("1999", "usd", "1")
    assert (asked["mode"], asked["adaptive_pricing"]) == ("payment", {"enabled": "false"})
    assert asked["success_url"] == "https://shop.example/?paid=1"
    assert session.id in till.fake.objects and session.url == till.fake.objects[session.id]["url"]
    (customer,) = made(till, "customer")
    assert (customer["email"], customer["metadata"]) == ("ada@example.org", metadata)


async def test_a_setup_page_is_for_a_card_and_no_money(till: Till) -> None:
    user_id = uuid4()
    session = await till.checkout.save_card(user_id, None)
    wallet = await till.office.store.ensure_wallet(user_id)
    (asked,) = asked_for(till, "/v1/checkout/sessions")
    metadata = {"farebox": "1", "user_id": str(user_id), "wallet_id": str(wallet.wallet_id)}
    assert (asked["mode"], asked["allowed_payment_method_types"]) == ("setup", {"0": "card"})
    assert (asked["metadata"], asked["setup_intent_data"]) == (metadata, {"metadata": metadata})
    assert asked["success_url"] == "https://shop.example/?paid=1" and "line_items" not in asked
    assert session.url == till.fake.objects[session.id]["url"]
    assert asked["customer"] == await remembered(till, user_id)


async def test_the_customer_is_made_once_and_remembered(till: Till) -> None:
    user_id = uuid4()
    for _ in range(3):
        await till.checkout.create(user_id, "ada@example.org", USD)
    (customer,) = made(till, "customer")
    assert await remembered(till, user_id) == customer["id"]
    assert [asked["customer"] for asked in asked_for(till, "/v1/checkout/sessions")] == [customer["id"]] * 3


async def test_twenty_at_once_in_four_processes_use_one_customer(till: Till) -> None:
    user_id = uuid4()
    apis = [StripeApi(SECRET_KEY, till.fake.url) for _ in range(4)]
    # each with another address: no idempotency key can make one of them
    checkouts = [(Checkout(till.office.store, api, till.settings), f"{n}@example.org") for n, api in enumerate(apis)]
    try:
        await asyncio.gather(*(checkout.create(user_id, email, USD) for checkout, email in checkouts * 5))
    finally:
        for api in apis:
            await api.close()
    customer = await remembered(till, user_id)
    assert {asked["customer"] for asked in asked_for(till, "/v1/checkout/sessions")} == {customer}
    assert len(made(till, "checkout.session")) == 20
    assert 1 <= len(made(till, "customer")) <= 4


async def test_twenty_at_once_make_one_customer(till: Till) -> None:
    user_id = uuid4()
    await asyncio.gather(*(till.checkout.create(user_id, "ada@example.org", USD) for _ in range(20)))
    (customer,) = made(till, "customer")
    assert await remembered(till, user_id) == customer["id"]


async def test_a_customer_still_being_made_elsewhere_is_waited_for(till: Till) -> None:
    user_id = uuid4()
    till.fake.gate = asyncio.Event()
    first = asyncio.gather(till.checkout.create(user_id, None, USD), till.checkout.create(user_id, None, USD))
    while len(till.fake.asked) < 2:  # noqa: ASYNC110 - the server has no event for it; bounded by the test's timeout
        await asyncio.sleep(0.001)
    till.fake.gate.set()
    await first
    assert len(made(till, "customer")) == 1 and len(made(till, "checkout.session")) == 2


async def test_a_customer_that_is_gone_at_stripe_is_replaced(till: Till) -> None:
    user_id = uuid4()
    await till.checkout.create(user_id, None, USD)
    gone = await remembered(till, user_id)
    del till.fake.objects[gone]
    await till.checkout.create(user_id, None, USD)
    (customer,) = made(till, "customer")
    assert customer["id"] != gone
    assert await remembered(till, user_id) == customer["id"]


async def test_an_odd_address_does_not_stop_a_payment(till: Till) -> None:
    for email in ("ada@nowhere", "no address", "ada@exämple.org", "a@b\r\nX: 1"):
        await till.checkout.create(uuid4(), email, USD)
    assert [customer["email"] for customer in made(till, "customer")] == [None] * 4
    assert len(made(till, "checkout.session")) == 4


async def test_an_impossible_amount_asks_nothing_of_stripe(till: Till) -> None:
    for nanos in (0, -USD, 99 * CENT, USD + 1, USD + CENT // 2, 1000 * USD + CENT, 10**30):
        with pytest.raises(InvalidRequest, match=r"^amount: "):
            await till.checkout.create(uuid4(), None, nanos)
    assert till.fake.asked == []


async def test_the_bounds_belong_to_the_range(till: Till) -> None:
    for nanos in (USD, USD + CENT, 1000 * USD):
        session = await till.checkout.create(uuid4(), None, nanos)
        assert till.fake.objects[session.id]["amount_total"] * CENT == nanos


async def test_an_answer_that_was_lost_makes_no_second_session(till: Till) -> None:
    user_id = uuid4()
    await till.checkout.create(user_id, None, USD)
    till.fake.troubles = [Trouble(500, after=True), Trouble(503, after=True)]
    await till.checkout.create(user_id, None, USD)
    assert len(asked_for(till, "/v1/checkout/sessions")) == 4
    assert len(made(till, "checkout.session")) == 2


OUT_OF_ORDER = [
    Trouble(500),
    Trouble(429, b'{"error": {"type": "invalid_request_error", "code": "rate_limit"}}'),
    Trouble(401, b'{"error": {"type": "invalid_request_error", "message": "Invalid API Key: sk_test_farebox"}}'),
    Trouble(200, b"<html>"),
    Trouble(200, b"{}"),
    Trouble(200, b'{"id": null, "url": 7}'),
]


async def test_a_stripe_that_is_out_of_order_is_unavailable(till: Till) -> None:
    for trouble in OUT_OF_ORDER:
        till.fake.troubles = [trouble] * 3
        with structlog.testing.capture_logs() as logs, pytest.raises(StripeUnavailable) as caught:
            await till.checkout.create(uuid4(), "ada@example.org", USD)
        assert (caught.value.status, caught.value.code) == (503, "stripe_unavailable")
        for hidden in (SECRET_KEY, "ada@", "API Key"):
            assert hidden not in str(logs) + str(caught.value)
    assert made(till, "customer") == []


async def test_a_stripe_that_is_away_is_unavailable(till: Till) -> None:
    api = StripeApi(SECRET_KEY, "http://127.0.0.1:1")
    try:
        with pytest.raises(StripeUnavailable):
            await Checkout(till.office.store, api, till.settings).create(uuid4(), None, USD)
    finally:
        await api.close()


async def test_an_answer_that_never_comes_is_not_waited_for(till: Till) -> None:
    till.fake.gate = asyncio.Event()
    api = StripeApi(SECRET_KEY, till.fake.url, attempt_timeout_s=0.05)
    try:
        with pytest.raises(StripeUnavailable):
            await Checkout(till.office.store, api, till.settings).create(uuid4(), None, USD)
    finally:
        till.fake.gate.set()
        await api.close()


async def test_a_declined_card_is_told_in_stripes_words(till: Till) -> None:
    body = b'{"error": {"type": "card_error", "code": "card_declined", "message": "Your card was declined."}}'
    till.fake.troubles = [Trouble(402, body)]
    with pytest.raises(StripeRefused, match=r"^Your card was declined\.$") as caught:
        await till.checkout.create(uuid4(), None, USD)
    assert (caught.value.status, caught.value.code) == (400, "stripe_refused")


async def test_a_wrong_parameter_is_told_without_our_settings(till: Till) -> None:
    user_id = uuid4()
    await till.checkout.create(user_id, None, USD)
    body = (
        b'{"error": {"type": "invalid_request_error", "code": "url_invalid", "message": "Not a valid URL: https://x"}}'
    )
    till.fake.troubles = [Trouble(400, body)]
    with pytest.raises(StripeRefused, match=r"^Stripe refused the payment \(url_invalid\)$"):
        await till.checkout.create(user_id, None, USD)


async def test_a_client_that_was_never_used_can_be_closed() -> None:
    await StripeApi(SECRET_KEY, "http://127.0.0.1:1").close()
