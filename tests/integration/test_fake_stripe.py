"""The fake is held to what the SDK declares and to what Stripe says of idempotency keys: tests lean on it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from tests.support.fake_stripe import (
    KEYS_LIVE_S,
    SECRET_KEY,
    SIGNING_SECRET,
    FakeStripe,
    declared_fields,
    fake_stripe,
    sign,
)

KINDS: dict[str, type[stripe.StripeObject]] = {
    "customer": stripe.Customer,
    "checkout.session": stripe.checkout.Session,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "setup_intent": stripe.SetupIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    async with fake_stripe() as made:
        yield made


@pytest.fixture
async def client(fake: FakeStripe) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.AIOHTTPClient()
    yield stripe.StripeClient(SECRET_KEY, base_addresses={"api": fake.url}, http_client=http)
    await http.close_async()  # type: ignore[no-untyped-call]  # the SDK's gap


async def checkout(client: stripe.StripeClient, cents: int, key: str) -> Any:
    customer = await client.v1.customers.create_async({}, {"idempotency_key": "customer"})
    price: Any = {"currency": "usd", "unit_amount": cents, "product_data": {"name": "x"}}
    params: Any = {
        "mode": "payment",
        "customer": customer.id,
        "client_reference_id": "7",
        "line_items": [{"quantity": 1, "price_data": price}],
        "metadata": {"a": "b"},
    }
    return await client.v1.checkout.sessions.create_async(params, {"idempotency_key": key})


async def saved_card(fake: FakeStripe, client: stripe.StripeClient) -> str:
    customer = await client.v1.customers.create_async({}, {"idempotency_key": "customer"})
    params: Any = {"mode": "setup", "customer": customer.id, "client_reference_id": "7", "metadata": {"a": "b"}}
    session = await client.v1.checkout.sessions.create_async(params, {"idempotency_key": "setup"})
    method_id: str = fake.leave_card(session.id)[0]["data"]["object"]["payment_method"]
    return method_id


async def charge(fake: FakeStripe, client: stripe.StripeClient, method_id: str, key: str, cents: int = 500) -> Any:
    customer_id = fake.objects[method_id]["customer"]
    params: Any = {"amount": cents, "currency": "usd", "customer": customer_id, "payment_method": method_id}
    params |= {"confirm": True, "off_session": True, "metadata": {"a": "b"}}
    return await client.v1.payment_intents.create_async(params, {"idempotency_key": key})


async def test_a_saved_card_is_charged_once_per_key_for_a_day(fake: FakeStripe, client: stripe.StripeClient) -> None:
    method_id = await saved_card(fake, client)
    first, again = await charge(fake, client, method_id, "a"), await charge(fake, client, method_id, "a")
    assert first.id == again.id and (first.status, first.amount_received) == ("succeeded", 500)
    with pytest.raises(stripe.IdempotencyError):
        await charge(fake, client, method_id, "a", cents=600)
    fake.later_s = KEYS_LIVE_S + 1
    assert (await charge(fake, client, method_id, "a")).id != first.id


async def test_a_decline_is_kept_like_any_answer(fake: FakeStripe, client: stripe.StripeClient) -> None:
    method_id = await saved_card(fake, client)
    fake.declines[method_id] = "insufficient_funds"
    told = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            await charge(fake, client, method_id, "a")
        assert caught.value.error is not None and caught.value.error.payment_intent is not None
        told.append((caught.value.code, caught.value.error.payment_intent.id))
        fake.declines.clear()  # which the key does not know of
    assert told[0] == told[1] and len(fake.intents()) == 1


async def test_every_object_has_only_fields_that_the_sdk_declares(
    fake: FakeStripe, client: stripe.StripeClient
) -> None:
    session = await checkout(client, 500, "a")
    fake.pay(session.id)
    fake.refund(session.id, 100)
    fake.dispute(session.id, 100)
    method_id = await saved_card(fake, client)
    await charge(fake, client, method_id, "b")
    fake.declines[method_id] = "card_declined"
    with pytest.raises(stripe.CardError):
        await charge(fake, client, method_id, "c")
    assert {made["object"] for made in fake.objects.values()} == KINDS.keys()
    for made in fake.objects.values():
        assert made.keys() <= declared_fields(KINDS[made["object"]]), made["object"]


async def test_a_delivery_is_one_that_the_sdk_takes(fake: FakeStripe, client: stripe.StripeClient) -> None:
    session = await checkout(client, 500, "a")
    payload, header = sign(fake.pay(session.id))
    event = client.construct_event(payload, header, SIGNING_SECRET, tolerance=0)  # however long ago it was signed
    assert event.type == "checkout.session.completed" and event.data.object["amount_total"] == 500


async def test_the_same_key_makes_the_same_object(fake: FakeStripe, client: stripe.StripeClient) -> None:
    first, again = await checkout(client, 500, "a"), await checkout(client, 500, "a")
    other = await checkout(client, 500, "b")
    assert first.id == again.id != other.id
    assert first.to_dict() == again.to_dict()


async def test_the_same_key_with_other_parameters_is_refused(fake: FakeStripe, client: stripe.StripeClient) -> None:
    await checkout(client, 500, "a")
    with pytest.raises(stripe.IdempotencyError):
        await checkout(client, 600, "a")
    assert sum(made["object"] == "checkout.session" for made in fake.objects.values()) == 1


async def test_another_secret_key_is_refused(fake: FakeStripe) -> None:
    http = stripe.AIOHTTPClient()
    client = stripe.StripeClient("sk_test_other", base_addresses={"api": fake.url}, http_client=http)
    with pytest.raises(stripe.AuthenticationError):
        await client.v1.customers.create_async({})
    await http.close_async()  # type: ignore[no-untyped-call]  # the SDK's gap
    assert fake.objects == {}
