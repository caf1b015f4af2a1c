"""Wallets that become low or empty are announced once, whoever looks, however often, and whoever dies."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

import orjson
import pytest

from accounts.notices import watch as module
from accounts.notices.outbox import announce
from accounts.notices.watch import BalanceWatch
from ledger.entries import WalletState
from ledger.postgres import Store
from runtime.postgres import create_pool
from tests.support.ledger import USD, funded_wallet, settled

THRESHOLD = Decimal(5)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


def watch(store: Store) -> BalanceWatch:
    return BalanceWatch(store.pool, THRESHOLD)


async def told(store: Store, wallet: WalletState) -> list[str]:
    rows = await store.pool.fetch("SELECT kind FROM farebox_events WHERE user_id = $1 ORDER BY number", wallet.user_id)
    return [row["kind"] for row in rows]


async def spend(store: Store, wallet: WalletState, dollars: int) -> None:
    assert (await store.post([settled(wallet, dollars * USD)])).posted == 1


async def test_low_then_empty_each_once(store: Store) -> None:
    wallet, looker = await funded_wallet(store), watch(store)
    for dollars, expected in (
        (0, []),
        (5, []),
        (1, ["balance.low"]),
        (1, ["balance.low"]),
        (9, ["balance.low", "balance.empty"]),
    ):
        if dollars:
            await spend(store, wallet, dollars)
        await looker.look()
        await looker.look()
        assert await told(store, wallet) == expected
    row = await store.pool.fetchrow("SELECT * FROM farebox_events WHERE kind = 'balance.low'")
    assert row is not None
    assert orjson.loads(row["facts"]) == {
        "wallet_id": str(wallet.wallet_id), "balance": "4", "threshold": "5", "currency": "USD",
    }  # fmt: skip


async def test_a_wallet_that_never_had_money_is_not_told_that_it_is_empty(store: Store) -> None:
    wallet = await funded_wallet(store, 0)
    await watch(store).look()
    assert await told(store, wallet) == []
    await store.record(wallet.wallet_id, "bonus", 10 * USD, "welcome")
    await spend(store, wallet, 10)
    await watch(store).look()
    assert await told(store, wallet) == ["balance.empty"]


async def test_a_top_up_makes_the_next_fall_news_also_where_nobody_looked_in_between(store: Store) -> None:
    wallet, looker = await funded_wallet(store), watch(store)
    await spend(store, wallet, 6)
    await looker.look()
    await store.record(wallet.wallet_id, "topup", USD, "paid")  # 5: the threshold, not a quarter more
    await spend(store, wallet, 2)
    await looker.look()
    assert await told(store, wallet) == ["balance.low", "balance.low"]


async def test_a_bonus_that_does_not_lift_it_well_above_does_not(store: Store) -> None:
    wallet, looker = await funded_wallet(store), watch(store)
    await spend(store, wallet, 6)
    for bonus_nanos, expected in ((2 * USD, 1), (5 * USD, 2)):  # to 6, then to 7
        await looker.look()
        await store.record(wallet.wallet_id, "bonus", bonus_nanos, "given")
        await looker.look()
        (state,) = await store.wallet_states([wallet.wallet_id])
        await spend(store, wallet, state.balance_nanos // USD - 2)
        await looker.look()
        assert await told(store, wallet) == ["balance.low"] * expected


async def set_threshold(store: Store, wallet: WalletState, dollars: str | None) -> None:
    await store.pool.execute(
        "INSERT INTO farebox_notice_settings (user_id, low_balance_threshold) VALUES ($1, $2)"
        " ON CONFLICT (user_id) DO UPDATE SET low_balance_threshold = EXCLUDED.low_balance_threshold",
        wallet.user_id,
        None if dollars is None else Decimal(dollars),
    )  # fmt: skip


async def test_a_users_own_threshold_counts_from_the_moment_it_is_set(store: Store) -> None:
    wallet, other, looker = await funded_wallet(store), await funded_wallet(store), watch(store)
    await looker.look()
    await set_threshold(store, wallet, "10.000000001")
    await looker.look()
    assert await told(store, wallet) == ["balance.low"]
    await set_threshold(store, wallet, "0")
    await spend(store, wallet, 9)
    await spend(store, other, 9)
    await looker.look()
    assert (await told(store, wallet), await told(store, other)) == (["balance.low"], ["balance.low"])
    await spend(store, wallet, 1)
    await looker.look()
    assert await told(store, wallet) == ["balance.low", "balance.empty"]


async def test_a_new_process_finds_what_the_one_before_did_not_come_to(store: Store) -> None:
    wallet = await funded_wallet(store)
    await watch(store).look()
    await spend(store, wallet, 6)
    await watch(store).look()
    assert await told(store, wallet) == ["balance.low"]
    await watch(store).look()
    assert await told(store, wallet) == ["balance.low"]


async def test_one_that_dies_while_it_announces_leaves_nothing_half_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallets = [await funded_wallet(store) for _ in range(3)]
    looker = watch(store)
    await looker.look()
    for wallet in wallets:
        await spend(store, wallet, 6)

    async def dies_at_the_second(
        connection: object, kind: object, user_id: UUID, *rest: object, **more: object
    ) -> None:
        if user_id != min(wallets, key=lambda wallet: wallet.wallet_id).user_id:
            raise ConnectionError
        await announce(connection, kind, user_id, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(module, "announce", dies_at_the_second)
        with pytest.raises(ConnectionError):
            await looker.look()
    assert [await told(store, wallet) for wallet in wallets] == [[], [], []]
    await looker.look()
    assert [await told(store, wallet) for wallet in wallets] == [["balance.low"]] * 3


async def test_several_processes_announce_each_fall_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 7)
    wallets = [await funded_wallet(store) for _ in range(25)]
    lookers = [watch(store) for _ in range(3)]
    await asyncio.gather(*(looker.look() for looker in lookers))
    for dollars in (6, 4):
        for wallet in wallets:
            await spend(store, wallet, dollars)
        await asyncio.gather(*(looker.look() for looker in lookers))
    assert [await told(store, wallet) for wallet in wallets] == [["balance.low", "balance.empty"]] * 25


async def test_wallets_from_before_the_upgrade_are_not_told_of_old_news(store: Store) -> None:
    """As the migration leaves them: told, whatever they have; the first look finds out who is well."""
    rich, low, empty = await funded_wallet(store), await funded_wallet(store, 2 * USD), await funded_wallet(store, 0)
    for wallet, level in ((rich, "low"), (low, "low"), (empty, "empty")):
        await store.pool.execute(
            "INSERT INTO farebox_balance_watch (wallet_id, level, seen_seq)"
            " SELECT id, $2, transaction_count FROM ai_wallets WHERE id = $1",
            wallet.wallet_id,
            level,
        )  # fmt: skip
    looker = watch(store)
    await looker.look()
    assert [await told(store, wallet) for wallet in (rich, low, empty)] == [[], [], []]
    await spend(store, rich, 6)
    await looker.look()
    assert [await told(store, wallet) for wallet in (rich, low, empty)] == [["balance.low"], [], []]


async def test_only_what_changed_is_looked_at_and_everything_once_an_hour(store: Store) -> None:
    wallet, looker = await funded_wallet(store), watch(store)
    await looker.look()
    await spend(store, wallet, 6)
    # as if committed by a transaction that took longer than the overlap
    await store.pool.execute("ALTER TABLE ai_wallets DISABLE TRIGGER next_version")
    await store.pool.execute("UPDATE ai_wallets SET updated_at = updated_at - interval '1 hour'")
    await looker.look()
    assert await told(store, wallet) == []
    looker._completed_at -= module.COMPLETE_EVERY
    await looker.look()
    assert await told(store, wallet) == ["balance.low"]
