"""A saved card is charged when a wallet is nearly empty: once, within the cap, whoever dies and whoever tells first."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import stripe

from accounts.as_user import as_user
from accounts.errors import AutoTopupIncomplete, InvalidRequest
from accounts.stripe.auto_topup.charger import Charger
from accounts.stripe.auto_topup.rules import GIVE_UP_AFTER_S
from accounts.stripe.auto_topup.wishes import Wish, limits_of
from accounts.stripe.client import StripeApi
from ledger.audit import audit
from ledger.entries import WalletState
from ledger.money import MAX_NANOS
from tests.support.fake_stripe import SECRET_KEY, Trouble
from tests.support.till import CENT, Till, open_till

USD = 100 * CENT


@pytest.fixture
async def till(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Till]:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.01)
    async with open_till(database_url, redis_url) as made:
        yield made
        report = await audit(made.office.store.pool)
        assert report.holds, report.violations


class Killed(BaseException):
    """A process that is gone: nothing after this line runs, and nobody catches it."""


def dies_at(fatal: str) -> Callable[[str], None]:
    def on_step(step: str) -> None:
        if step == fatal:
            raise Killed

    return on_step


async def told(till: Till, kind: str = "payment_intent.succeeded") -> list[str]:
    """Stripe tells of every intent; what became of it."""
    return await till.deliver_all([till.fake.event(kind, intent) for intent in till.fake.intents()])


async def lease_ends(till: Till) -> None:
    """So much time passes that another process may ask about what is open."""
    await till.office.store.pool.execute("UPDATE farebox_auto_topup_attempts SET ask_after = now() - interval '1 s'")


async def spend_all(till: Till, wallet: WalletState) -> None:
    await till.office.store.set_balance(wallet.wallet_id, 0, "spent")


async def test_a_wallet_below_its_threshold_is_charged_once_and_credited(till: Till) -> None:
    wallet = await till.auto_topup()
    for _ in range(3):
        await till.charger().round()
    assert await till.history_cents(wallet) == [("topup", 2000)]
    (intent,) = till.fake.intents()
    assert (intent["amount"], intent["currency"], intent["status"]) == (2000, "usd", "succeeded")
    assert intent["metadata"].items() >= {"farebox": "1", "wallet_id": str(wallet.wallet_id)}.items()
    (asked,) = [asked for asked in till.fake.asked if asked.path == "/v1/payment_intents"]
    assert (asked.params["confirm"], asked.params["off_session"]) == ("true", "true")
    assert asked.idempotency_key == f"farebox-auto-topup-{intent['metadata']['auto_topup']}"
    assert await told(till) == ["recorded"]
    facts = {"amount": "20", "balance": "20", "source": "auto_topup"}
    assert await till.announced(wallet) == [("topup.succeeded", facts)]
    view = await till.plans.show(wallet.user_id)
    assert (view.state, view.charged_nanos, view.remaining_nanos) == ("on", 20 * USD, 80 * USD)
    assert view.card is not None and (view.card.brand, view.card.last4) == ("visa", "4242")


async def test_a_wallet_at_its_threshold_is_left_alone(till: Till) -> None:
    wallet = await till.auto_topup(threshold=500)
    await till.office.store.record(wallet.wallet_id, "bonus", 5 * USD, "")
    await till.charger().round()
    assert till.fake.intents() == []
    await till.office.store.record(wallet.wallet_id, "adjustment", -1, "")
    await till.charger().round()
    assert len(till.fake.intents()) == 1


async def test_ten_rounds_of_many_processes_charge_once(till: Till) -> None:
    wallets = [await till.auto_topup() for _ in range(5)]
    await asyncio.gather(*(till.charger().round() for _ in range(10)))
    assert len(till.fake.intents()) == 5
    for wallet in wallets:
        assert await till.history_cents(wallet) == [("topup", 2000)]


async def test_never_beyond_the_cap(till: Till) -> None:
    wallet = await till.auto_topup(threshold=500, amount=2000, cap=5000)
    for _ in range(5):
        await spend_all(till, wallet)
        await till.charger().round()
    assert len(till.fake.intents()) == 2
    view = await till.plans.show(wallet.user_id)
    assert (view.state, view.remaining_nanos) == ("on", 10 * USD)
    # next month
    await till.office.store.pool.execute(
        "UPDATE farebox_auto_topup_attempts SET created_at = created_at - interval '31 days'"
    )
    await till.charger().round()
    assert len(till.fake.intents()) == 3


async def test_what_may_have_been_charged_counts_towards_the_cap(till: Till) -> None:
    wallet = await till.auto_topup(amount=2000, cap=2000)
    till.fake.troubles = [Trouble(500)] * 3
    await till.charger().round()
    assert await till.attempts(wallet) == [("open", None)]
    view = await till.plans.show(wallet.user_id)
    assert (view.state, view.charged_nanos, view.remaining_nanos) == ("charging", 20 * USD, 0)
    await till.charger().round()
    assert till.fake.intents() == []


async def test_a_frozen_wallet_is_not_charged(till: Till) -> None:
    wallet = await till.auto_topup()
    await till.office.store.pool.execute("UPDATE ai_wallets SET is_frozen = true WHERE id = $1", wallet.wallet_id)
    await till.charger().round()
    assert till.fake.intents() == []


@pytest.mark.parametrize("code", ["card_declined", "authentication_required", "expired_card"])
async def test_a_failure_stops_it_until_somebody_switches_it_on(till: Till, code: str) -> None:
    wallet = await till.auto_topup(declines=code)
    for _ in range(3):
        await till.charger().round()
    assert await till.attempts(wallet) == [("failed", code)]
    view = await till.plans.show(wallet.user_id)
    assert (view.is_enabled, view.state, view.stopped_reason) == (False, "stopped", code)
    assert view.remaining_nanos == 100 * USD
    assert await told(till, "payment_intent.payment_failed") == ["recorded"]
    facts = {"amount": "20", "source": "auto_topup", "reason": code}
    assert await till.announced(wallet) == [("topup.failed", facts)]
    till.fake.declines.clear()
    view = await till.plans.set(wallet.user_id, Wish(True))
    assert (view.state, view.stopped_reason) == ("on", None)
    await till.charger().round()
    assert await till.history_cents(wallet) == [("topup", 2000)]


async def test_an_admin_switches_it_on_again_and_it_is_written_down(till: Till) -> None:
    wallet, admin = await till.auto_topup(declines="card_declined"), await till.save_card()
    await till.charger().round()
    view = await till.plans.switch(wallet.user_id, True, admin.user_id, "the bank says it is fine")
    assert view.state == "on"
    await till.plans.switch(wallet.user_id, True, admin.user_id, "which changes nothing")
    line = await till.office.store.pool.fetchrow("SELECT actor, action, user_id, before FROM farebox_admin_log")
    assert line is not None and tuple(line)[:3] == (str(admin.user_id), "auto_topup.on", wallet.user_id)
    assert "card_declined" in line["before"]
    with pytest.raises(AutoTopupIncomplete):
        await till.plans.switch(admin.user_id, True, admin.user_id, "who has no plan")
    assert await till.office.store.pool.fetchval("SELECT count(*) FROM farebox_admin_log") == 1


async def test_a_card_that_is_gone_stops_it(till: Till) -> None:
    wallet = await till.auto_topup()
    for thing in list(till.fake.objects.values()):
        if thing["object"] == "payment_method":
            thing["customer"] = None
    await till.charger().round()
    assert await till.attempts(wallet) == [("failed", "resource_missing")]


STEPS = ["begun", "asked", "booked"]


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_it_is_charged_and_credited_once(till: Till, step: str) -> None:
    wallet = await till.auto_topup()
    with pytest.raises(Killed):
        await till.charger(dies_at(step)).round()
    charged = len(till.fake.intents())
    assert charged == (0 if step == "begun" else 1)
    await till.charger().round()
    assert len(till.fake.intents()) == charged  # somebody else's, until its time is over
    await lease_ends(till)
    await asyncio.gather(*(till.charger().round() for _ in range(4)))
    assert len(till.fake.intents()) == 1
    assert await till.history_cents(wallet) == [("topup", 2000)]
    assert await till.attempts(wallet) == [("succeeded", None)]


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_a_decline_stops_it_once(till: Till, step: str) -> None:
    wallet = await till.auto_topup(declines="card_declined")
    with pytest.raises(Killed):
        await till.charger(dies_at(step)).round()
    await lease_ends(till)
    for _ in range(3):
        await till.charger().round()
    assert len(till.fake.intents()) == 1
    assert await till.attempts(wallet) == [("failed", "card_declined")]
    assert [kind for kind, _ in await till.announced(wallet)] == ["topup.failed"]


async def test_the_webhook_tells_before_the_answer_is_booked(till: Till) -> None:
    wallet = await till.auto_topup()
    with pytest.raises(Killed):
        await till.charger(dies_at("asked")).round()
    assert await told(till) == ["credited"]
    assert await till.attempts(wallet) == [("succeeded", None)]
    await lease_ends(till)
    await till.charger().round()
    assert await till.history_cents(wallet) == [("topup", 2000)]
    assert len(await till.announced(wallet)) == 1


async def test_the_answer_and_ten_deliveries_at_once_are_one_credit(till: Till) -> None:
    wallet = await till.auto_topup()
    with pytest.raises(Killed):
        await till.charger(dies_at("asked")).round()
    await lease_ends(till)
    (intent,) = till.fake.intents()
    events = [till.fake.event("payment_intent.succeeded", intent) for _ in range(5)] * 2
    await asyncio.gather(till.charger().round(), till.charger().round(), *map(till.deliver, events))
    assert await till.history_cents(wallet) == [("topup", 2000)]
    assert len(await till.announced(wallet)) == 1


TROUBLES = [
    [Trouble(500, after=True)] * 3,
    [Trouble(500, after=True, kept=True)] + [Trouble(500)] * 2,  # what Stripe repeats for this key from then on
    [Trouble(200, b"<html>", after=True)],
    [Trouble(200, b"{}", after=True)],
    [Trouble(200, b'{"id": "pi_x", "status": "a new one"}')],
    [Trouble(401)],
    [Trouble(429)],
    [Trouble(409)] * 3,
]


@pytest.mark.parametrize("troubles", TROUBLES, ids=str)
async def test_what_nobody_knows_is_found_out_without_a_second_charge(till: Till, troubles: list[Trouble]) -> None:
    wallet = await till.auto_topup()
    till.fake.troubles = list(troubles)
    await till.charger().round()
    assert await till.attempts(wallet) == [("open", None)]
    await lease_ends(till)
    await till.charger().round()
    assert len(till.fake.intents()) == 1
    assert await till.history_cents(wallet) == [("topup", 2000)]


ODD_BODIES = [
    b"[]", b"null", b'"x"', b"7", b"{}", b"", b'{"error": 7}', b'{"error": []}', b'{"data": [7], "has_more": false}',
    b'{"id": 7, "status": []}', b'{"id": "pi", "status": "new", "last_payment_error": 7, "metadata": 7}',
    b'{"data": {"a": 1}}', b'{"object": "list", "data": [{"metadata": 7}], "has_more": false}',
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 400, 402, 404, 500])
async def test_no_odd_answer_ends_the_process_or_is_money(till: Till, status: int) -> None:
    for body in ODD_BODIES:
        wallet = await till.auto_topup()
        till.fake.troubles = [Trouble(status, body)] * 200
        await till.charger().round()
        await lease_ends(till)
        await till.charger().round()
        till.fake.troubles.clear()
        assert await till.history_cents(wallet) == [], body


async def test_an_answer_that_never_comes_is_asked_for_again(till: Till) -> None:
    wallet = await till.auto_topup()
    till.fake.gate = asyncio.Event()
    api = StripeApi(SECRET_KEY, till.fake.url, attempt_timeout_s=0.05)
    try:
        await Charger(till.office.store.pool, api, False, limits_of(till.settings)).round()
    finally:
        till.fake.gate.set()
        await api.close()
    assert await till.attempts(wallet) == [("open", None)]
    await lease_ends(till)
    await till.charger().round()
    assert len(till.fake.intents()) == 1
    assert await till.history_cents(wallet) == [("topup", 2000)]


async def test_a_key_that_stripe_has_forgotten_is_not_used_again(till: Till) -> None:
    wallet = await till.auto_topup()
    till.fake.troubles = [Trouble(500, after=True)] * 3
    await till.charger().round()
    await till.time_passes(hours=25)
    await till.charger().round()
    assert len(till.fake.intents()) == 1
    assert await till.history_cents(wallet) == [("topup", 2000)]


async def test_what_stripe_never_heard_of_for_a_day_is_over(till: Till) -> None:
    wallet = await till.auto_topup()
    till.fake.troubles = [Trouble(500)] * 3
    await till.charger().round()
    await till.time_passes(hours=25)
    await till.charger().round()
    assert till.fake.intents() == []
    assert await till.attempts(wallet) == [("failed", "not_charged")]


async def test_what_nobody_ever_tells_is_given_up_and_counts(till: Till) -> None:
    wallet = await till.auto_topup(declines="processing", cap=2000)
    await till.charger().round()
    assert await till.attempts(wallet) == [("open", None)]
    await till.time_passes(hours=GIVE_UP_AFTER_S / 3600 + 1)
    await till.charger().round()
    assert await till.attempts(wallet) == [("abandoned", "unresolved")]
    till.fake.intents()[0]["status"] = "succeeded"
    till.fake.intents()[0]["amount_received"] = 2000
    assert await told(till) == ["credited"]
    assert await till.attempts(wallet) == [("succeeded", None)]


async def test_a_refund_takes_back_and_stops_it(till: Till) -> None:
    wallet = await till.auto_topup()
    await till.charger().round()
    (intent,) = till.fake.intents()
    refunded = till.fake.refund(intent["id"], 500)
    assert await till.deliver_all(refunded) == ["taken_back", "recorded"]
    assert await till.history_cents(wallet) == [("topup", 2000), ("refund", -500)]
    assert (await till.plans.show(wallet.user_id)).stopped_reason == "refunded"
    await till.plans.set(wallet.user_id, Wish(True))
    again = till.fake.event("charge.refunded", refunded[1]["data"]["object"])
    assert await till.deliver_all([again]) == ["recorded"]  # no news
    assert (await till.plans.show(wallet.user_id)).state == "on"


async def test_a_refund_told_before_the_payment_stops_it_too(till: Till) -> None:
    wallet = await till.auto_topup()
    with pytest.raises(Killed):
        await till.charger(dies_at("asked")).round()
    (intent,) = till.fake.intents()
    assert await till.deliver_all(till.fake.refund(intent["id"], 2000)) == ["recorded", "recorded"]
    assert await told(till) == ["credited"]
    assert await till.balance_cents(wallet) == 0
    assert (await till.plans.show(wallet.user_id)).stopped_reason == "refunded"
    await till.charger().round()
    assert len(till.fake.intents()) == 1


async def test_a_dispute_of_any_payment_stops_it_and_a_refund_of_a_checkout_does_not(till: Till) -> None:
    wallet = await till.auto_topup(threshold=1)
    session_id, _ = await till.open_session(1000, wallet.user_id)
    await till.deliver(till.fake.pay(session_id))
    await till.deliver_all(till.fake.refund(session_id, 100))
    assert (await till.plans.show(wallet.user_id)).state == "on"
    disputed = till.fake.dispute(session_id, 900)
    assert await till.deliver_all([disputed]) == ["taken_back"]
    assert (await till.plans.show(wallet.user_id)).stopped_reason == "disputed"
    won = till.fake.close_dispute(disputed["data"]["object"]["id"], "won")
    assert await till.deliver_all([won]) == ["given_back"]
    assert (await till.plans.show(wallet.user_id)).state == "stopped"  # a person switches it on


async def test_every_order_of_news_ends_the_same(till: Till) -> None:
    rolls = random.Random(20261122)
    for _ in range(10):
        wallet = await till.auto_topup()
        with pytest.raises(Killed):
            await till.charger(dies_at("asked")).round()
        intent = till.fake.intents()[-1]
        events = [till.fake.event("payment_intent.succeeded", intent), *till.fake.refund(intent["id"], 700)]
        disputed = till.fake.dispute(intent["id"], 1300)
        events += [disputed, till.fake.close_dispute(disputed["data"]["object"]["id"], "won")]
        rolls.shuffle(events)
        await till.deliver_all(events)
        assert await till.balance_cents(wallet) == 1300, [event["type"] for event in events]
        assert (await till.plans.show(wallet.user_id)).state == "stopped"


async def test_a_full_wallet_is_credited_when_there_is_room(till: Till) -> None:
    wallet = await till.auto_topup()
    with pytest.raises(Killed):
        await till.charger(dies_at("asked")).round()
    await till.office.store.set_balance(wallet.wallet_id, MAX_NANOS, "all there is")
    await lease_ends(till)
    await till.charger().round()
    assert await till.attempts(wallet) == [("open", None)]
    await spend_all(till, wallet)
    await lease_ends(till)
    await till.charger().round()
    assert await till.balance_cents(wallet) == 2000


async def test_a_card_of_the_other_mode_is_not_charged(till: Till) -> None:
    wallet = await till.auto_topup()
    live = Charger(till.office.store.pool, till.api, True, limits_of(till.settings))
    await live.round()
    assert till.fake.intents() == []
    await till.office.store.pool.execute("UPDATE farebox_auto_topups SET is_live = true")
    await till.charger().round()
    assert till.fake.intents() == []
    view = await till.plans.show(wallet.user_id)
    assert (view.state, view.card) == ("off", None)
    with pytest.raises(AutoTopupIncomplete):
        await till.plans.set(wallet.user_id, Wish(True))


async def test_live_news_is_nothing_for_a_test_key(till: Till) -> None:
    wallet = await till.auto_topup()
    with pytest.raises(Killed):
        await till.charger(dies_at("asked")).round()
    event = till.fake.event("payment_intent.succeeded", till.fake.intents()[0]) | {"livemode": True}
    assert (await till.deliver(event)).reason == "test and live mode do not match"
    assert await till.history_cents(wallet) == []


async def test_the_operators_bounds_hold_for_plans_that_were_made_before(till: Till) -> None:
    wallet = await till.auto_topup(amount=2000, cap=5000)
    lower = limits_of(till.settings.model_copy(update={"max_amount": Decimal(10)}))
    await Charger(till.office.store.pool, till.api, False, lower).round()
    assert till.fake.intents() == []
    assert (await till.plans.show(wallet.user_id)).stopped_reason == "amount_not_allowed"


async def test_a_plan_needs_a_card_and_amounts(till: Till) -> None:
    wallet = await till.office.store.ensure_wallet((await till.open_session(500))[1].user_id)
    whole = Wish(True, 5 * USD, 20 * USD, 100 * USD)
    with pytest.raises(AutoTopupIncomplete, match="no saved card"):
        await till.plans.set(wallet.user_id, whole)
    assert (await till.plans.show(wallet.user_id)).plan is None
    await till.plans.set(wallet.user_id, Wish(False, 5 * USD, 20 * USD, 100 * USD))
    await till.save_card(wallet.user_id)
    assert (await till.plans.set(wallet.user_id, Wish(True))).state == "on"
    with pytest.raises(InvalidRequest):
        await till.plans.set(wallet.user_id, Wish(True, monthly_cap_nanos=19 * USD))
    assert (await till.plans.show(wallet.user_id)).remaining_nanos == 100 * USD


async def test_a_forgotten_card_is_detached_and_never_charged(till: Till) -> None:
    wallet = await till.auto_topup()
    view = await till.plans.forget(wallet.user_id)
    assert (view.is_enabled, view.card, view.state) == (False, None, "off")
    (method,) = [thing for thing in till.fake.objects.values() if thing["object"] == "payment_method"]
    assert method["customer"] is None
    await till.charger().round()
    assert till.fake.intents() == []


async def test_a_card_is_forgotten_also_while_stripe_is_away(till: Till) -> None:
    wallet = await till.auto_topup()
    till.fake.troubles = [Trouble(503)] * 3
    assert (await till.plans.forget(wallet.user_id)).card is None


async def test_an_older_card_told_late_does_not_replace_the_newer(till: Till) -> None:
    wallet = await till.auto_topup()
    first = await till.checkout.save_card(wallet.user_id, None)
    late = till.fake.leave_card(first.id)[0]
    late["created"] -= 60
    before = await till.office.store.pool.fetchval("SELECT payment_method_id FROM farebox_auto_topups")
    assert (await till.deliver(late)).reason == "a later card is known"
    assert await till.office.store.pool.fetchval("SELECT payment_method_id FROM farebox_auto_topups") == before


async def test_a_card_for_somebody_elses_wallet_is_not_saved(till: Till) -> None:
    wallet, other = await till.save_card(), await till.save_card()
    session = await till.checkout.save_card(wallet.user_id, None)
    event = till.fake.leave_card(session.id)[0]
    event["data"]["object"]["metadata"]["wallet_id"] = str(other.wallet_id)
    assert (await till.deliver(event)).reason == "unknown user"


async def test_a_checkout_announces_once_what_became_of_it(till: Till) -> None:
    session_id, wallet = await till.open_session(500)
    failed = [till.fake.pay(session_id, later=True)]
    failed += [till.fake.event("checkout.session.async_payment_failed", till.fake.objects[session_id])] * 2
    failed += [till.fake.event("checkout.session.async_payment_failed", till.fake.objects[session_id])]
    assert await till.deliver_all(failed) == ["recorded", "recorded", "duplicate", "recorded"]
    second, _ = await till.open_session(700, wallet.user_id)
    await till.deliver(till.fake.pay(second))
    paid: dict[str, Any] = {"amount": "7", "balance": "7", "source": "checkout"}
    facts = {"amount": "5", "source": "checkout", "reason": "payment_failed"}
    assert await till.announced(wallet) == [("topup.failed", facts), ("topup.succeeded", paid)]


FORBIDDEN = [
    "UPDATE farebox_auto_topups SET payment_method_id = 'pm_of_another', customer_id = 'cus_of_another'",
    "UPDATE farebox_auto_topups SET is_live = false",
    "SELECT payment_method_id FROM farebox_auto_topups",
    "INSERT INTO farebox_auto_topups (wallet_id, user_id, payment_method_id) VALUES (gen_random_uuid(), $1, 'pm')",
    "UPDATE farebox_auto_topup_attempts SET status = 'succeeded'",
    "SELECT payment_intent_id FROM farebox_auto_topup_attempts",
    "DELETE FROM farebox_auto_topup_attempts",
    "DELETE FROM farebox_auto_topups",
]


async def test_as_the_users_role_nobody_elses_plan_is_seen_and_no_card_is_chosen(till: Till) -> None:
    ann, bob = await till.auto_topup(), await till.auto_topup()
    await till.charger().round()
    pool = till.office.store.pool
    for table in ("farebox_auto_topups", "farebox_auto_topup_attempts"):
        async with as_user(pool, ann.user_id) as connection:
            assert [row[0] for row in await connection.fetch(f"SELECT user_id FROM {table}")] == [ann.user_id]
    async with as_user(pool, ann.user_id) as connection:
        assert await connection.execute("UPDATE farebox_auto_topups SET is_enabled = false") == "UPDATE 1"
    assert (await till.plans.show(bob.user_id)).state == "on"
    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with as_user(pool, ann.user_id) as connection:
                await connection.execute(statement.replace("$1", f"'{ann.user_id}'"))
