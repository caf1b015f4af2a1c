"""Stripe's payments against what was credited: the real SDK, a fake Stripe, real books."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from click.testing import CliRunner

from accounts.errors import InvalidRequest, StripeRefused, StripeUnavailable
from accounts.stripe import reconciling
from accounts.stripe.client import StripeApi
from accounts.stripe.comparison import Difference
from accounts.stripe.reconciling import Comparison, StripeReconciler
from proxy.cli.reconcile import reconcile
from runtime.clock import wall_ms
from tests.support.fake_stripe import CREATED_S, SECRET_KEY, Trouble
from tests.support.till import CENT, Till, open_till

SINCE = datetime.fromtimestamp(CREATED_S - 3600, UTC)


@pytest.fixture
async def till(database_url: str, redis_url: str) -> AsyncIterator[Till]:
    async with open_till(database_url, redis_url) as till:
        yield till


def now() -> datetime:
    return datetime.fromtimestamp(wall_ms() / 1000, UTC)


async def compare(till: Till, since: datetime = SINCE, until: datetime | None = None) -> Comparison:
    end = until or now() + timedelta(seconds=5)
    return await StripeReconciler(till.office.store.pool, till.api, now()).compare(since, end)


async def pay(till: Till, cents: int) -> tuple[str, str]:
    """A payment that is credited: its session and its intent."""
    session, _ = await till.open_session(cents)
    assert (await till.deliver(till.fake.pay(session))).outcome == "credited"
    return session, till.fake.objects[session]["payment_intent"]


def told(found: Comparison) -> list[tuple[str, str, int | None, int | None]]:
    """Kind, payment, cents at Stripe, cents here."""

    def cents(nanos: int | None) -> int | None:
        return None if nanos is None else nanos // CENT

    return [(one.kind, one.payment, cents(one.there_nanos), cents(one.here_nanos)) for one in found.differences]


async def test_what_is_credited_is_what_was_paid_page_by_page(till: Till) -> None:
    till.fake.most_per_page = 2
    paid = [await pay(till, 1000 + number) for number in range(5)]
    await till.auto_topup()
    await till.charger().round()
    await till.deliver_all(till.fake.refund(paid[0][0], 300))
    await till.deliver_all(till.fake.refund(paid[1][0], 100, status="failed"))
    await till.deliver(till.fake.dispute(paid[2][0], 1002))
    lost = till.fake.dispute(paid[3][0], 1003)
    await till.deliver_all([lost, till.fake.close_dispute(lost["data"]["object"]["id"], "won")])
    found = await compare(till)
    assert told(found) == []
    assert (found.payments, found.looked_at) == (6, 6)
    assert found.paid_nanos == found.credited_nanos == (5010 + 2000) * CENT
    assert [asked.path for asked in till.fake.asked].count("/v1/payment_intents") >= 3


async def test_a_payment_whose_webhook_never_came_is_missing_here(till: Till) -> None:
    session, wallet = await till.open_session(1234)
    till.fake.pay(session)
    unpaid, _ = await till.open_session(999)
    till.fake.pay(unpaid, later=True)
    found = await compare(till)
    intent = till.fake.objects[session]["payment_intent"]
    assert found.differences == [Difference("missing_here", intent, str(wallet.user_id), 1234 * CENT, None)]


async def test_anothers_payment_is_none_of_ours(till: Till) -> None:
    session, _ = await till.open_session(1234)
    till.fake.pay(session)
    till.fake.objects[till.fake.objects[session]["payment_intent"]]["metadata"] = {"shop": "1"}
    assert (await compare(till)).payments == 0


@pytest.mark.parametrize("how", ["gone", "not paid", "anothers"])
async def test_a_credit_without_a_payment_is_missing_there(till: Till, how: str) -> None:
    _, intent = await pay(till, 500)
    if how == "gone":
        del till.fake.objects[intent]
    else:
        change: dict[str, Any] = {"status": "canceled"} if how == "not paid" else {"metadata": {}}
        till.fake.objects[intent] |= change
    assert told(await compare(till)) == [("missing_there", intent, None, 500)]


async def test_other_amounts_and_other_refunds(till: Till) -> None:
    (_, dearer), (refunded, unheard), (_, foreign) = [await pay(till, cents) for cents in (500, 600, 700)]
    till.fake.objects[dearer]["amount_received"] = 501
    till.fake.refund(refunded, 250)  # and its webhook never comes
    till.fake.objects[foreign]["currency"] = "eur"
    assert set(told(await compare(till))) == {
        ("amount", dearer, 501, 500),
        ("amount", foreign, None, 700),
        ("refund", unheard, 250, 0),
    }


async def test_a_refund_of_just_now_may_be_on_its_way(till: Till) -> None:
    session, _ = await pay(till, 500)
    event, _ = till.fake.refund(session, 200)
    till.fake.objects[event["data"]["object"]["id"]]["created"] = wall_ms() // 1000
    assert told(await compare(till)) == []


async def test_a_refund_that_an_empty_wallet_owes_agrees(till: Till) -> None:
    session, _ = await pay(till, 500)
    wallet = await till.office.store.ensure_wallet(_payer(till, session))
    await till.office.store.set_balance(wallet.wallet_id, 0, "spent")
    await till.deliver_all(till.fake.refund(session, 200))
    assert await till.owed_cents(wallet) == 200
    assert told(await compare(till)) == []


def _payer(till: Till, session: str) -> Any:
    return UUID(till.fake.objects[session]["metadata"]["user_id"])


async def test_an_older_payment_refunded_in_the_time_is_looked_up(till: Till) -> None:
    """Begun before the time, credited in it: with what went back of it before the time."""
    session, intent = await pay(till, 500)
    await till.deliver_all(till.fake.refund(session, 200))
    till.fake.objects[intent]["created"] = CREATED_S - 7200
    for event in till.fake.refund(session, 100):
        if event["type"] == "refund.created":
            till.fake.objects[event["data"]["object"]["id"]]["created"] = CREATED_S + 10_000
        await till.deliver(event)
    found = await compare(till, datetime.fromtimestamp(CREATED_S + 5000, UTC))
    assert (told(found), found.payments, found.looked_at) == ([], 0, 1)


async def test_a_wallets_history_that_says_otherwise(till: Till) -> None:
    _, intent = await pay(till, 500)
    pool = till.office.store.pool
    await pool.execute("UPDATE farebox_stripe_payments SET taken_back = 1")
    assert told(await compare(till)) == [("history", intent, 400, 500), ("refund", intent, 0, 100)]


async def test_a_payment_known_by_its_session_only(till: Till) -> None:
    session, intent = await pay(till, 500)
    await till.office.store.pool.execute("UPDATE farebox_stripe_payments SET payment_intent_id = NULL")
    del till.fake.objects[intent]
    assert told(await compare(till)) == []
    till.fake.objects[session]["amount_total"] = 499
    assert told(await compare(till)) == [("amount", session, 499, 500)]


async def test_a_page_that_fails_is_asked_for_again(till: Till) -> None:
    await pay(till, 500)
    till.fake.troubles = [Trouble(500)]
    assert told(await compare(till)) == []


async def test_stripe_away_or_a_list_without_end(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    await pay(till, 500)
    await pay(till, 500)
    till.fake.most_per_page = 1
    monkeypatch.setattr(reconciling, "MAX_PAGES", 1)
    with pytest.raises(InvalidRequest, match="shorter time"):
        await compare(till)
    monkeypatch.setattr(reconciling, "MAX_LOOK_UPS", 0)
    with pytest.raises(InvalidRequest, match="earlier one"):
        await compare(till, now() - timedelta(minutes=1))
    wrong = StripeApi("sk_test_wrong", till.fake.url, attempt_timeout_s=5)
    try:
        with pytest.raises((StripeUnavailable, StripeRefused)):
            await StripeReconciler(till.office.store.pool, wrong, now()).compare(SINCE, now())
    finally:
        await wrong.close()
    assert await till.api.look_up("sessions", f"cs_{uuid4()}") is None


async def test_the_command_says_it_and_ends_with_1(till: Till, database_url: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    stripe = {"secret_key": SECRET_KEY, "api_base": till.fake.url}
    config.write_text(yaml.safe_dump({"database": {"url": database_url}, "stripe": stripe}))

    async def typed(*arguments: str) -> tuple[int, str]:
        since = ("--stripe", "--since", SINCE.isoformat(), "--config", str(config))
        ended = await asyncio.to_thread(CliRunner().invoke, reconcile, [*since, *arguments])
        return ended.exit_code, ended.output

    await pay(till, 500)
    code, said = await typed()
    assert code == 0 and said.endswith("they agree\n")
    session, _ = await till.open_session(700)
    till.fake.pay(session)
    code, said = await typed("--json")
    assert (code, json.loads(said)["differences"][0]["kind"]) == (1, "missing_here")
