"""Each rule of the audit is broken by hand, with the guards switched off, and must be named."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from ledger.audit import SHOWN_PER_RULE, AuditReport, audit
from ledger.entries import RECOVERED
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import create_pool
from tests.support.ledger import USD, funded_wallet, settled

LATER = datetime.fromtimestamp(wall_ms() / 1000, UTC) + timedelta(days=1)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


async def some_history(store: Store) -> tuple[UUID, UUID]:
    """A wallet and the id of the second of its three requests."""
    wallet = await funded_wallet(store, USD)
    entries = [settled(wallet, cost) for cost in (10, 20, 30)]
    for entry in entries:
        await store.post([entry])
    await store.record(wallet.wallet_id, "topup", 5, "")
    return wallet.wallet_id, entries[1].entry.request_id


async def break_by_hand(store: Store, statement: str) -> None:
    """As a superuser can: without triggers, foreign keys and the checks in the way."""
    async with store.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement)


def named(report: AuditReport) -> dict[str, set[UUID | None]]:
    return {
        rule: {violation.wallet_id for violation in report.violations if violation.rule == rule}
        for rule in report.broken
    }


async def test_an_untouched_ledger_holds(store: Store) -> None:
    await some_history(store)
    report = await audit(store.pool)
    assert report.holds and report.violations == () and len(report.rules) == 16
    async with store.pool.acquire() as connection:
        assert (await audit(connection, since=datetime(2020, 1, 1, tzinfo=UTC))).holds


BALANCE = "balance_is_the_sum_of_transactions"
COUNT = "transaction_count_is_the_number_of_transactions"
CHAIN = "each_transaction_continues_the_one_before"
DEBITED = "each_request_was_debited"
ADDS_UP = "usage_adds_up_to_usage_transactions"
CORRECTION = "each_correction_has_its_recovered_request"
PAID = "each_stripe_payment_was_credited_once"
AUTO = "each_auto_topup_was_credited_once"
REFUNDED = "no_request_was_refunded_beyond_its_debit"
DAILY = "daily_sums_are_those_of_the_requests"
BREAKS = [
    ("UPDATE ai_wallets SET balance = balance + 1", {BALANCE}),
    ("UPDATE ai_wallets SET transaction_count = 9", {COUNT}),
    ("UPDATE ai_transactions SET seq = 9 WHERE seq = 5", {CHAIN}),
    ("DELETE FROM ai_transactions WHERE seq = 1", {BALANCE, COUNT, CHAIN}),
    ("UPDATE ai_transactions SET balance_before = balance_before + 1, balance_after = balance_after + 1 WHERE seq = 5",
     {CHAIN}),
    ("UPDATE ai_transactions SET balance_before = 1, balance_after = amount + 1 WHERE seq = 1", {CHAIN}),
    ("UPDATE ai_usage_logs SET cost = cost + 1 WHERE cost = 0.00000002", {DEBITED, DAILY, ADDS_UP}),
    ("UPDATE ai_usage_logs SET uncollected = cost WHERE cost = 0.00000002", {DEBITED, DAILY, ADDS_UP}),
    ("DELETE FROM ai_transactions WHERE seq = 5", {BALANCE, COUNT}),
    ("DELETE FROM ai_transactions WHERE seq = 4", {BALANCE, COUNT, CHAIN, DEBITED, ADDS_UP}),
    ("DELETE FROM ai_usage_logs WHERE cost = 0.00000002", {"each_debit_has_its_request", DAILY, ADDS_UP}),
    ("UPDATE ai_usage_daily SET requests = requests + 1", {DAILY}),
    ("UPDATE ai_usage_daily SET cost = cost + 0.000000001", {DAILY}),
    ("UPDATE ai_usage_daily SET uncollected = uncollected + 1", {DAILY}),
    ("UPDATE ai_usage_daily SET total_tokens = 0", {DAILY}),
    ("DELETE FROM ai_usage_daily", {DAILY}),
    ("INSERT INTO farebox_stripe_payments (session_id, wallet_id, user_id, credited, transaction_id)"
     " SELECT 'cs_1', wallet_id, user_id, 5, id FROM ai_transactions WHERE type <> 'topup' LIMIT 1", {PAID}),
    ("INSERT INTO farebox_auto_topup_attempts (wallet_id, user_id, amount, customer_id, payment_method_id, is_live,"
     " status, payment_intent_id, ended_at)"
     " SELECT id, user_id, 5, 'cus_1', 'pm_1', false, 'succeeded', 'pi_1', now() FROM ai_wallets LIMIT 1", {AUTO}),
    ("INSERT INTO farebox_request_refunds SELECT (SELECT id FROM ai_transactions WHERE seq = 1), request_id"
     " FROM ai_transactions WHERE type = 'usage' LIMIT 1", {REFUNDED}),
    ("UPDATE ai_usage_daily SET model = 'another'", {DAILY}),
    ("ALTER TABLE ai_wallets DROP CONSTRAINT balance_in_range; UPDATE ai_wallets SET balance = -1",
     {BALANCE, "no_wallet_below_its_overdraft"}),
    ("ALTER TABLE ai_transactions DROP CONSTRAINT balance_follows;"
     "UPDATE ai_transactions SET balance_after = 0 WHERE seq = 5", {CHAIN}),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "rules"), BREAKS)
async def test_a_broken_rule_is_named_with_its_wallet(store: Store, statement: str, rules: set[str]) -> None:
    wallet_id, _ = await some_history(store)
    await break_by_hand(store, statement)
    report = await audit(store.pool)
    assert not report.holds
    assert named(report) == {rule: {wallet_id} for rule in rules}


async def test_a_correction_of_what_was_never_recovered_is_named(store: Store) -> None:
    wallet_id, request_id = await some_history(store)
    correct = (
        "INSERT INTO ai_transactions (wallet_id, user_id, seq, type, amount, balance_before, balance_after, corrects)"
        " SELECT id, user_id, transaction_count + 1, 'usage', 0.000000001, balance, balance + 0.000000001, '{}'"
        " FROM ai_wallets;"
        "UPDATE ai_wallets SET transaction_count = transaction_count + 1, balance = balance + 0.000000001"
    )
    await break_by_hand(store, correct.format(request_id))
    assert named(await audit(store.pool)) == {rule: {wallet_id} for rule in (CORRECTION, DEBITED, ADDS_UP)}
    nowhere = new_request_id(wall_ms())
    await break_by_hand(store, f"UPDATE ai_transactions SET corrects = '{nowhere}' WHERE corrects IS NOT NULL")
    (violation,) = [found for found in (await audit(store.pool)).violations if found.rule == CORRECTION]
    assert (violation.request_id, violation.detail) == (nowhere, "seq 6 corrects by 0.000000001: no such usage row")


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        ("SELECT", set()),
        ("UPDATE ai_usage_logs SET end_reason = 'recovered'", {CORRECTION}),
        ("UPDATE ai_usage_logs SET metadata = '{}'", {CORRECTION}),
        ("DELETE FROM ai_transactions WHERE seq = 3", {BALANCE, COUNT, CHAIN, DEBITED, ADDS_UP}),
        ("DELETE FROM ai_transactions WHERE seq = 4", {BALANCE, COUNT, DEBITED, ADDS_UP}),
        ("UPDATE ai_transactions SET wallet_id = gen_random_uuid() WHERE seq = 3",
         {BALANCE, COUNT, CHAIN, DEBITED, ADDS_UP}),
        ("INSERT INTO farebox_request_refunds"
         " SELECT (SELECT id FROM ai_transactions WHERE seq = 1), id FROM ai_usage_logs", {REFUNDED}),
    ],
)  # fmt: skip
async def test_several_corrections_of_a_request_are_each_looked_at(
    store: Store, statement: str, rules: set[str]
) -> None:
    wallet, request_id = await funded_wallet(store, 100), new_request_id(wall_ms())
    for cost, end_reason in ((10, RECOVERED), (25, RECOVERED), (20, "complete")):
        assert (await audit(store.pool)).holds
        await store.post([settled(wallet, cost, request_id=request_id, end_reason=end_reason)])
    await break_by_hand(store, statement)
    assert (await audit(store.pool)).broken.keys() == rules


async def test_a_request_that_appears_twice_is_named(store: Store) -> None:
    wallet_id, request_id = await some_history(store)
    await break_by_hand(
        store,
        "ALTER TABLE ai_usage_logs DROP CONSTRAINT created_when_its_id_was;"
        "INSERT INTO ai_usage_logs (id, user_id, wallet_id, api_key_id, model, endpoint, total_tokens, cost,"
        " status_code, response_time_ms, created_at)"
        " SELECT id, user_id, wallet_id, api_key_id, model, endpoint, 0, cost, 200, 1, created_at - interval '40 days'"
        f" FROM ai_usage_logs WHERE id = '{request_id}'",
    )
    report = await audit(store.pool)
    assert report.broken == {"each_request_appears_once": 1, DAILY: 1, ADDS_UP: 1}
    (violation,) = [found for found in report.violations if found.rule == "each_request_appears_once"]
    assert (violation.wallet_id, violation.request_id, violation.detail) == (wallet_id, request_id, "2 usage rows")


async def test_a_request_is_named_by_its_id(store: Store) -> None:
    _, request_id = await some_history(store)
    await break_by_hand(store, f"UPDATE ai_usage_logs SET uncollected = 0.00000001 WHERE id = '{request_id}'")
    (violation,) = [found for found in (await audit(store.pool)).violations if found.rule == DEBITED]
    assert violation.request_id == request_id
    assert violation.detail == "collected 0.000000010, debited 0.000000020"


async def test_a_debit_from_another_wallet_is_named(store: Store) -> None:
    wallet_id, request_id = await some_history(store)
    other = await funded_wallet(store, USD)
    move = f"UPDATE ai_usage_logs SET wallet_id = '{other.wallet_id}', user_id = '{other.user_id}'"
    await break_by_hand(store, f"{move} WHERE id = '{request_id}'")
    assert wallet_id != other.wallet_id
    assert named(await audit(store.pool)) == {
        DEBITED: {other.wallet_id},
        DAILY: {wallet_id, other.wallet_id},
        ADDS_UP: {wallet_id, other.wallet_id},
    }


async def test_a_refund_to_another_wallet_is_named(store: Store) -> None:
    wallet_id, request_id = await some_history(store)
    other = await funded_wallet(store, USD)
    line = await store.record(other.wallet_id, "refund", 1, "")
    await store.pool.execute("INSERT INTO farebox_request_refunds VALUES ($1, $2)", line.id, request_id)
    assert named(await audit(store.pool)) == {REFUNDED: {wallet_id}}


async def test_events_set_aside_are_reported(store: Store) -> None:
    wallet = await funded_wallet(store)
    await store.post([replace(settled(wallet, output_tokens=-1), event_id="7-7")])
    report = await audit(store.pool)
    assert report.broken == {"no_usage_was_set_aside": 1}
    assert "7-7" in report.violations[0].detail


async def test_only_what_changed_since_is_looked_at(store: Store) -> None:
    await some_history(store)
    await break_by_hand(store, "UPDATE ai_wallets SET balance = balance + 1")
    assert (await audit(store.pool, since=LATER)).holds
    assert not (await audit(store.pool, since=LATER - timedelta(days=2))).holds
    assert not (await audit(store.pool, until=LATER)).holds
    assert (await audit(store.pool, until=LATER - timedelta(days=2))).holds
    assert not (await audit(store.pool, LATER - timedelta(days=2), LATER)).holds


async def test_what_is_outside_of_the_time_is_not_looked_at(store: Store) -> None:
    """Three requests, each an hour after the other; the second's row is wrong."""
    wallet = await funded_wallet(store, USD)
    times = [wall_ms() - hours * 3_600_000 for hours in (3, 2, 1)]
    entries = [settled(wallet, 10 + ms % 7, request_id=new_request_id(ms)) for ms in times]
    await store.post(entries)
    wrong = entries[1].entry.request_id
    await break_by_hand(store, f"UPDATE ai_usage_logs SET cost = 0 WHERE id = '{wrong}'")
    first, second, third = (datetime.fromtimestamp(ms / 1000, UTC) for ms in times)
    assert (await audit(store.pool, second, third)).broken[DEBITED] == 1
    for since, until in ((first, second), (third, None), (third, LATER)):
        assert DEBITED not in (await audit(store.pool, since, until)).broken
    # a whole history, of a wallet that changed since then
    assert named(await audit(store.pool, third))[ADDS_UP] == {wallet.wallet_id}
    broken = (await audit(store.pool, until=third)).broken  # the wallet is younger than that
    assert DEBITED in broken and ADDS_UP not in broken


async def test_many_violations_are_counted_and_some_are_shown(store: Store) -> None:
    many = SHOWN_PER_RULE + 20
    await break_by_hand(
        store, f"INSERT INTO ai_wallets (user_id, balance) SELECT gen_random_uuid(), 1 FROM generate_series(1, {many})"
    )
    report = await audit(store.pool)
    assert report.broken == {BALANCE: many}
    assert len(report.violations) == SHOWN_PER_RULE
