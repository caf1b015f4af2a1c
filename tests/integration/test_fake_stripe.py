"""The fake is held to what the SDK declares and to what Stripe says of idempotency keys: tests lean on it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from tests.support.fake_stripe import SECRET_KEY, SIGNING_SECRET, FakeStripe, declared_fields, fake_stripe, sign

KINDS: dict[str, type[stripe.StripeObject]] = {
    "customer": stripe.Customer,
    "checkout.session": stripe.checkout.Session,
    "payment_intent": stripe.PaymentIntent,
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


async def test_every_object_has_only_fields_that_the_sdk_declares(
    fake: FakeStripe, client: stripe.StripeClient
) -> None:
    session = await checkout(client, 500, "a")
    fake.pay(session.id)
    fake.refund(session.id, 100)
    fake.dispute(session.id, 100)
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
