"""Deliveries: twice, at once, in any order; each payment is credited once, and what goes back goes back once."""

import asyncio
import hmac
import random
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.exceptions import RedisError

from accounts.errors import BadSignature, InvalidRequest, TooLarge
from accounts.stripe.webhook import MAX_PAYLOAD_BYTES, Webhook
from ledger.audit import audit
from ledger.money import MAX_NANOS
from ledger.postgres import Store
from runtime.postgres import UNAVAILABLE, create_pool
from runtime.tasks import TaskSet
from tests.support.fake_stripe import CREATED_S, SECRET_KEY, SIGNING_SECRET, sign
from tests.support.ledger import until
from tests.support.till import CENT, Till, now_ms, open_till


@pytest.fixture
async def till(database_url: str, redis_url: str) -> AsyncIterator[Till]:
    async with open_till(database_url, redis_url) as made:
        yield made
        report = await audit(made.office.store.pool)
        assert report.holds, report.violations


async def events_kept(till: Till) -> list[tuple[str, str, str]]:
    query = "SELECT type, outcome, reason FROM farebox_stripe_events ORDER BY received_at"
    return [(row["type"], row["outcome"], row["reason"]) for row in await till.office.store.pool.fetch(query)]


async def spend(till: Till, wallet_id: UUID, cents: int) -> None:
    await till.office.store.record(wallet_id, "adjustment", -cents * CENT, "spent")


def signature_of(payload: bytes) -> str:
    signed = b"%d.%s" % (CREATED_S, payload)
    return f"t={CREATED_S},v1={hmac.digest(SIGNING_SECRET.encode(), signed, 'sha256').hex()}"


class NoMirror:
    async def push_wallets(self, wallet_ids: Iterable[UUID]) -> None:
        raise RedisError


async def test_a_paid_checkout_is_credited_and_redis_knows(till: Till) -> None:
    session_id, wallet = await till.open_session(1999)
    receipt = await till.deliver(till.fake.pay(session_id))
    assert (receipt.outcome, receipt.reason, receipt.wallet_id) == ("credited", "19.99 credited", wallet.wallet_id)
    assert await till.history_cents(wallet) == [("topup", 1999)]
    assert (await till.office.wallet_in_redis(wallet.wallet_id))["balance"] == 1999 * CENT
    assert await events_kept(till) == [("checkout.session.completed", "credited", "19.99 credited")]


async def test_a_second_delivery_changes_nothing(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    event = till.fake.pay(session_id)
    assert await till.deliver_all([event, event]) == ["credited", "duplicate"]
    assert await till.history_cents(wallet) == [("topup", 500)]


async def test_ten_deliveries_at_once_are_one_credit(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    event = till.fake.pay(session_id)
    receipts = await asyncio.gather(*(till.deliver(event) for _ in range(10)))
    assert sorted(receipt.outcome for receipt in receipts) == ["credited", *["duplicate"] * 9]
    assert await till.history_cents(wallet) == [("topup", 500)]


async def test_ten_events_for_one_session_at_once_are_one_credit(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    events = [till.fake.pay(session_id)]
    events += [till.fake.event("checkout.session.completed", till.fake.objects[session_id]) for _ in range(9)]
    receipts = await asyncio.gather(*(till.deliver(event) for event in events))
    assert sorted(receipt.outcome for receipt in receipts) == ["credited", *["recorded"] * 9]
    assert await till.history_cents(wallet) == [("topup", 500)]


async def test_ten_sessions_of_one_user_at_once_are_ten_credits(till: Till) -> None:
    user_id = uuid4()
    opened = [await till.open_session(100 + n, user_id) for n in range(10)]
    receipts = await asyncio.gather(*(till.deliver(till.fake.pay(session_id)) for session_id, _ in opened))
    assert {receipt.outcome for receipt in receipts} == {"credited"}
    assert await till.balance_cents(opened[0][1]) == sum(range(100, 110))


async def test_money_that_comes_later_is_credited_when_it_has_come(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    unpaid = till.fake.pay(session_id, later=True)
    paid = till.fake.arrive(session_id)
    assert await till.deliver_all([unpaid]) == ["recorded"]
    assert await till.balance_cents(wallet) == 0
    assert await till.deliver_all([paid, unpaid]) == ["credited", "duplicate"]
    assert await till.history_cents(wallet) == [("topup", 500)]


@pytest.mark.parametrize("kind", ["checkout.session.async_payment_failed", "payment_intent.payment_failed"])
async def test_money_that_never_comes_is_recorded(till: Till, kind: str) -> None:
    session_id, wallet = await till.open_session(500)
    till.fake.pay(session_id, later=True)
    assert (await till.deliver(till.fake.event(kind, till.fake.objects[session_id]))).outcome == "recorded"
    assert await till.history_cents(wallet) == []


async def test_each_refund_takes_back_the_difference(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    assert await till.deliver_all([till.fake.pay(session_id)]) == ["credited"]
    assert await till.deliver_all(till.fake.refund(session_id, 300)) == ["taken_back", "recorded"]
    refund, charge = till.fake.refund(session_id, 200)
    assert await till.deliver_all([charge, refund, charge]) == ["taken_back", "recorded", "duplicate"]
    assert await till.history_cents(wallet) == [("topup", 1000), ("refund", -300), ("refund", -200)]
    assert (await till.office.wallet_in_redis(wallet.wallet_id))["balance"] == 500 * CENT


async def test_an_older_total_that_comes_late_gives_nothing_back(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    first, second = till.fake.pay(session_id), till.fake.refund(session_id, 300)[1]
    third = till.fake.refund(session_id, 700)[1]
    assert await till.deliver_all([first, third, second]) == ["credited", "taken_back", "recorded"]
    assert await till.balance_cents(wallet) == 0


async def test_a_refund_before_its_payment_is_taken_back_at_once(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    paid = till.fake.pay(session_id)
    assert await till.deliver_all([*till.fake.refund(session_id, 400), paid]) == ["recorded", "recorded", "credited"]
    assert await till.history_cents(wallet) == [("topup", 1000), ("refund", -400)]


HELD = """
CREATE FUNCTION hold_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$;
CREATE TRIGGER hold_back BEFORE UPDATE ON farebox_stripe_events
    FOR EACH ROW WHEN (NEW.outcome = 'credited') EXECUTE FUNCTION hold_back()"""


async def test_a_refund_while_its_payment_is_being_credited_is_not_missed(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    paid, (_, refunded) = till.fake.pay(session_id), till.fake.refund(session_id, 400)
    pool, tasks = till.office.store.pool, TaskSet()
    await pool.execute(HELD)

    async def waiting() -> int:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        found: int = await pool.fetchval(query)
        return found

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(42)")
        credit = tasks.spawn(till.deliver(paid), name="credit")
        await until(lambda: _reached(waiting(), 1))  # it has looked for claims, and has not committed
        refund = tasks.spawn(till.deliver(refunded), name="refund")
        await until(lambda: _reached(waiting(), 2, or_done=refund))
    assert [(await credit).outcome, (await refund).outcome] == ["credited", "taken_back"]
    assert await till.balance_cents(wallet) == 600


async def _reached(count: Awaitable[int], wanted: int, or_done: "asyncio.Task[Any] | None" = None) -> bool:
    return await count >= wanted or (or_done is not None and or_done.done())


async def test_a_refund_that_fails_is_given_back(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    await till.deliver(till.fake.pay(session_id))
    created, charge = till.fake.refund(session_id, 400, "pending")
    failed = till.fake.change_refund(created["data"]["object"]["id"], "failed")
    assert await till.deliver_all([created, charge, failed]) == ["taken_back", "recorded", "given_back"]
    assert await till.history_cents(wallet) == [("topup", 1000), ("refund", -400), ("refund", 400)]


async def test_a_dispute_withdraws_and_a_won_one_gives_back(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    await till.deliver(till.fake.pay(session_id))
    opened = till.fake.dispute(session_id, 1000)
    dispute_id = opened["data"]["object"]["id"]
    withdrawn = till.fake.event("charge.dispute.funds_withdrawn", till.fake.objects[dispute_id])
    assert await till.deliver_all([opened, withdrawn]) == ["taken_back", "recorded"]
    assert await till.balance_cents(wallet) == 0
    assert await till.deliver_all([till.fake.close_dispute(dispute_id, "won")]) == ["given_back"]
    assert await till.history_cents(wallet) == [("topup", 1000), ("refund", -1000), ("refund", 1000)]


async def test_a_lost_dispute_is_taken_once_whichever_event_comes(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    await till.deliver(till.fake.pay(session_id))
    opened = till.fake.dispute(session_id, 1000)
    lost = till.fake.close_dispute(opened["data"]["object"]["id"], "lost")
    assert await till.deliver_all([lost, opened]) == ["taken_back", "recorded"]
    assert await till.balance_cents(wallet) == 0


async def test_a_refund_and_a_dispute_never_take_more_than_was_credited(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    await till.office.store.record(wallet.wallet_id, "bonus", 5000 * CENT, "a present")
    await till.deliver(till.fake.pay(session_id))
    await till.deliver_all([*till.fake.refund(session_id, 700), till.fake.dispute(session_id, 1000)])
    assert await till.balance_cents(wallet) == 5000


async def test_what_was_spent_is_owed_and_taken_from_the_next_payment(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    await till.deliver(till.fake.pay(session_id))
    await spend(till, wallet.wallet_id, 800)
    receipt = await till.deliver(till.fake.refund(session_id, 1000)[1])
    assert (receipt.outcome, receipt.reason) == ("taken_back", "2 taken back, 8 owed")
    assert (await till.balance_cents(wallet), await till.owed_cents(wallet)) == (0, 800)
    second, _ = await till.open_session(500, wallet.user_id)
    await till.deliver(till.fake.pay(second))
    assert (await till.balance_cents(wallet), await till.owed_cents(wallet)) == (0, 300)
    third, _ = await till.open_session(400, wallet.user_id)
    await till.deliver(till.fake.pay(third))
    assert (await till.balance_cents(wallet), await till.owed_cents(wallet)) == (100, 0)
    assert (await till.history_cents(wallet))[-2:] == [("topup", 400), ("refund", -300)]


async def test_a_won_dispute_cancels_what_was_owed_before_it_gives_back(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    await till.deliver(till.fake.pay(session_id))
    await spend(till, wallet.wallet_id, 800)
    opened = till.fake.dispute(session_id, 1000)
    await till.deliver(opened)
    await till.deliver(till.fake.close_dispute(opened["data"]["object"]["id"], "won"))
    assert (await till.balance_cents(wallet), await till.owed_cents(wallet)) == (200, 0)


async def test_an_overdraft_is_the_floor(till: Till) -> None:
    session_id, wallet = await till.open_session(1000)
    await till.deliver(till.fake.pay(session_id))
    await till.office.store.pool.execute("UPDATE ai_wallets SET overdraft = 3 WHERE id = $1", wallet.wallet_id)
    await spend(till, wallet.wallet_id, 1000)
    await till.deliver(till.fake.refund(session_id, 1000)[1])
    assert (await till.balance_cents(wallet), await till.owed_cents(wallet)) == (-300, 700)


def story(till: Till, session_id: str) -> list[dict[str, Any]]:
    """A payment of 1000 of which in the end 700 are left: two refunds, one of which fails; a dispute that is won."""
    events = [till.fake.pay(session_id, later=True), till.fake.arrive(session_id)]
    first, total_of_one = till.fake.refund(session_id, 300)
    second, total_of_two = till.fake.refund(session_id, 200, "pending")
    failed = till.fake.change_refund(second["data"]["object"]["id"], "failed")
    opened = till.fake.dispute(session_id, 1000)
    won = till.fake.close_dispute(opened["data"]["object"]["id"], "won")
    return [*events, first, total_of_one, total_of_two, failed, opened, won]


async def test_every_order_ends_with_the_same_balance(till: Till) -> None:
    rolls = random.Random(20261122)
    for _ in range(40):
        session_id, wallet = await till.open_session(1000)
        events = story(till, session_id)
        rolls.shuffle(events)
        await till.deliver_all(events)
        order = [event["type"] for event in events]
        assert (await till.balance_cents(wallet), await till.owed_cents(wallet)) == (700, 0), order


async def test_all_at_once_end_with_the_same_balance(till: Till) -> None:
    opened = [await till.open_session(1000) for _ in range(10)]
    events = [event for session_id, _ in opened for event in story(till, session_id)]
    random.Random(20261122).shuffle(events)
    await asyncio.gather(*(till.deliver(event) for event in events + events[::-1]))
    assert [await till.balance_cents(wallet) for _, wallet in opened] == [700] * 10


ODD = "no session id, or an amount that is not whole cents in range"
NOT_OURS: list[tuple[dict[str, Any], str]] = [
    ({"currency": "jpy"}, "wrong currency"),
    ({"currency": "USD "}, "wrong currency"),
    ({"metadata": {}}, "another product's payment"),
    ({"metadata": None}, "another product's payment"),
    ({"metadata": {"farebox": "1", "user_id": str(UUID(int=1)), "wallet_id": str(UUID(int=2))}}, "unknown user"),
    ({"metadata": {"farebox": "1", "user_id": "' OR 1=1 --", "wallet_id": "\x00"}}, "unknown user"),
    ({"mode": "subscription"}, "not a single payment"),
    ({"amount_total": -500}, ODD),
    ({"amount_total": 500.0}, ODD),
    ({"amount_total": "500"}, ODD),
    ({"amount_total": 10**18}, ODD),
    ({"id": "cs\x00"}, ODD),
]


async def test_what_is_not_ours_is_recorded_and_ignored(till: Till) -> None:
    for change, reason in NOT_OURS:
        session_id, wallet = await till.open_session(500)
        event = till.fake.pay(session_id)
        event["data"]["object"] |= change
        assert (await till.deliver(event)).outcome == "ignored"
        assert await till.history_cents(wallet) == []
        assert (await events_kept(till))[-1] == ("checkout.session.completed", "ignored", reason)


async def test_a_wallet_of_another_user_is_not_credited(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    other = await till.office.store.ensure_wallet(uuid4())
    event = till.fake.pay(session_id)
    event["data"]["object"]["metadata"]["wallet_id"] = str(other.wallet_id)
    assert (await till.deliver(event)).reason == "unknown user"
    assert await till.history_cents(wallet) + await till.history_cents(other) == []


async def test_live_money_is_not_credited_by_a_test_key_nor_the_reverse(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    event = till.fake.pay(session_id)
    live = Webhook(till.office.store, NoMirror(), [SIGNING_SECRET], "sk_live_x", now_ms)
    assert (await live.handle(*sign(event))).reason == "test and live mode do not match"
    event |= {"id": "evt_live", "livemode": True}
    assert (await till.deliver(event)).reason == "test and live mode do not match"
    assert await till.history_cents(wallet) == []


async def test_an_event_of_another_version_and_shape_is_survived(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    event = till.fake.pay(session_id)
    event |= {"api_version": "2031-01-01.oak", "new": [{}]}
    event["data"]["object"]["payment_intent"] = {"id": event["data"]["object"]["payment_intent"], "object": "?"}
    event["data"]["object"]["amount_subtotal"] = {"value": "5.00"}
    assert (await till.deliver(event)).outcome == "credited"
    assert await till.deliver_all([till.fake.refund(session_id, 500)[0]]) == ["taken_back"]
    assert await till.balance_cents(wallet) == 0


async def test_a_forged_delivery_leaves_no_trace(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    event = till.fake.pay(session_id)
    payload, good = sign(event)
    forged = [None, "", "v1=", "t=1", good.replace("v1=", "v0="), good[:-1] + "é", sign(event, "whsec_other")[1]]
    for header in [*forged, sign(event, at_s=CREATED_S - 301)[1], sign({**event, "id": "evt_2"})[1]]:
        with pytest.raises(BadSignature) as caught:
            await till.webhook.handle(payload, header)
        assert (caught.value.status, caught.value.code) == (400, "invalid_signature")
    assert await events_kept(till) == [] and await till.history_cents(wallet) == []


async def test_two_secrets_are_good_while_one_is_being_replaced(till: Till) -> None:
    webhook = Webhook(till.office.store, NoMirror(), ["whsec_old", "whsec_new"], SECRET_KEY, now_ms)
    for secret in ("whsec_old", "whsec_new"):
        session_id, wallet = await till.open_session(500)
        assert (await webhook.handle(*sign(till.fake.pay(session_id), secret))).outcome == "credited"
        assert await till.balance_cents(wallet) == 500


async def test_a_redis_that_is_away_is_no_error_for_stripe(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    webhook = Webhook(till.office.store, NoMirror(), [SIGNING_SECRET], SECRET_KEY, now_ms)
    assert (await webhook.handle(*sign(till.fake.pay(session_id)))).outcome == "credited"
    assert await till.balance_cents(wallet) == 500


async def test_a_database_that_is_away_is_an_error_for_stripe(till: Till) -> None:
    pool = await create_pool("postgresql://nobody@127.0.0.1:1/none")
    try:
        webhook = Webhook(Store(pool), NoMirror(), [SIGNING_SECRET], SECRET_KEY, now_ms)
        with pytest.raises(UNAVAILABLE):
            await webhook.handle(*sign(till.fake.event("charge.refunded", {})))
    finally:
        await pool.close()


async def test_what_fails_halfway_is_undone_and_done_by_the_next_delivery(till: Till, database_url: str) -> None:
    session_id, wallet = await till.open_session(500)
    event = till.fake.pay(session_id)
    impatient = await create_pool(database_url, command_timeout_s=0.2)
    try:
        webhook = Webhook(Store(impatient), NoMirror(), [SIGNING_SECRET], SECRET_KEY, now_ms)
        async with till.office.store.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT FROM ai_wallets WHERE id = $1 FOR UPDATE", wallet.wallet_id)
            with pytest.raises(UNAVAILABLE):
                await webhook.handle(*sign(event))
    finally:
        await impatient.close()
    assert await events_kept(till) == []
    assert await till.deliver_all([event, event]) == ["credited", "duplicate"]


async def test_a_wallet_that_is_full_says_so_to_the_operator(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    await till.office.store.record(wallet.wallet_id, "bonus", MAX_NANOS - CENT, "nearly all there is")
    receipt = await till.deliver(till.fake.pay(session_id))
    assert receipt.outcome == "refused" and receipt.wallet_id is None
    assert len(await till.history_cents(wallet)) == 1
    assert [outcome for _, outcome, _ in await events_kept(till)] == ["refused"]


NO_EVENTS = [b"", b"{", b"[]", b"null", b'"\xff"', b"{}", b'{"id": "evt_1"}', b'{"id": 7, "type": "a"}']


async def test_a_signed_body_that_is_no_event_is_refused(till: Till) -> None:
    for payload in NO_EVENTS:
        with pytest.raises(InvalidRequest):
            await till.webhook.handle(payload, signature_of(payload))
    assert await events_kept(till) == []


async def test_a_body_that_is_too_long_is_not_even_verified(till: Till) -> None:
    with pytest.raises(TooLarge):
        await till.webhook.handle(b" " * (MAX_PAYLOAD_BYTES + 1), None)
