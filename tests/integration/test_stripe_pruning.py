"""Old events about which nothing was done are forgotten, in bounded batches; what money depends on is not."""

from collections.abc import AsyncIterator

import pytest

from accounts.stripe import pruning
from accounts.stripe.pruning import Pruning
from tests.support.till import Till, open_till

OUTCOMES = ("received", "credited", "taken_back", "given_back", "recorded", "ignored", "refused")


@pytest.fixture
async def till(database_url: str, redis_url: str) -> AsyncIterator[Till]:
    async with open_till(database_url, redis_url) as made:
        yield made


async def age(till: Till, table: str, column: str, days: int) -> None:
    await till.office.store.pool.execute(f"UPDATE {table} SET {column} = {column} - make_interval(days => {days})")


async def outcomes(till: Till) -> list[str]:
    return [row[0] for row in await till.office.store.pool.fetch("SELECT outcome FROM farebox_stripe_events")]


@pytest.mark.parametrize(("days", "left"), [(89, set(OUTCOMES)), (91, set(OUTCOMES) - {"recorded", "ignored"})])
async def test_only_old_events_without_consequence_are_forgotten(till: Till, days: int, left: set[str]) -> None:
    await till.office.store.pool.execute(
        "INSERT INTO farebox_stripe_events (id, type, outcome) SELECT o, 'x', o FROM unnest($1::text[]) o", OUTCOMES
    )
    await age(till, "farebox_stripe_events", "received_at", days)
    assert await Pruning(till.office.store.pool, 90).round() is None
    assert set(await outcomes(till)) == left


async def test_a_batch_is_bounded_and_the_next_comes_at_once(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 10)
    await till.office.store.pool.execute(
        "INSERT INTO farebox_stripe_events (id, type, outcome, received_at)"
        " SELECT n::text, 'x', 'ignored', now() - interval '1 year' FROM generate_series(1, 25) n"
    )
    waits = [await Pruning(till.office.store.pool, 90).round() for _ in range(3)]
    assert waits == [0.0, 0.0, None] and await outcomes(till) == []


async def test_a_forgotten_event_delivered_again_moves_no_money(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    unpaid, paid = till.fake.pay(session_id, later=True), till.fake.arrive(session_id)
    refund, charge = till.fake.refund(session_id, 300)
    await till.deliver_all([unpaid, paid, refund, charge])
    await age(till, "farebox_stripe_events", "received_at", 91)
    await age(till, "farebox_stripe_claims", "updated_at", 91)
    await Pruning(till.office.store.pool, 90).round()
    assert sorted(await outcomes(till)) == ["credited", "taken_back"]
    assert await till.deliver_all([unpaid, paid, refund, charge]) == ["recorded", "duplicate", "duplicate", "recorded"]
    assert await till.balance_cents(wallet) == 700


async def test_claims_on_payments_that_never_came_are_forgotten(till: Till) -> None:
    session_id, _ = await till.open_session(1000)
    await till.deliver_all([till.fake.pay(session_id), *till.fake.refund(session_id, 300)])
    foreign = till.fake.refund(session_id, 100)[0]
    foreign["data"]["object"] |= {"id": "re_foreign", "payment_intent": "pi_foreign"}
    await till.deliver(foreign)
    await age(till, "farebox_stripe_claims", "updated_at", 91)
    await Pruning(till.office.store.pool, 90).round()
    left = {row[0] for row in await till.office.store.pool.fetch("SELECT id FROM farebox_stripe_claims")}
    assert len(left) == 2 and "re_foreign" not in left
