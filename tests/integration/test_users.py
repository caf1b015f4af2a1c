"""The list of users in a real Postgres: by balance, by what was spent, page by page."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from accounts.errors import InvalidRequest
from accounts.users import Order, SortBy, UserRow, Users
from ledger.entries import WalletState
from ledger.errors import WalletNotFound
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import create_pool
from tests.support.ledger import funded_wallet, settled

LONG_AGO = date(2001, 1, 1)
DAY_MS = 86_400_000


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


async def use(store: Store, wallet: WalletState, nanos: int, *, days_ago: int = 0) -> None:
    at_ms = wall_ms() - days_ago * DAY_MS
    await store.post([settled(wallet, nanos, request_id=new_request_id(at_ms))])


async def everybody(store: Store, sort: SortBy, order: Order, since: date = LONG_AGO, limit: int = 2) -> list[UserRow]:
    """All of the list, a few at a time."""
    rows, cursor = list[UserRow](), None
    while True:
        page = await Users(store.pool).page(sort, order, since, limit, cursor)
        assert len(page.rows) <= limit
        rows += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return rows


async def test_by_balance_and_by_spend_up_and_down(store: Store) -> None:
    rich, poor, busy = [await funded_wallet(store, nanos) for nanos in (300, 1, 200)]
    await use(store, busy, 50)
    await use(store, busy, 20)
    await use(store, rich, 10)

    async def order(sort: SortBy, order: Order) -> list[UUID]:
        return [row.user_id for row in await everybody(store, sort, order)]

    assert await order("balance", "desc") == [rich.user_id, busy.user_id, poor.user_id]
    assert await order("balance", "asc") == [poor.user_id, busy.user_id, rich.user_id]
    assert await order("spend", "desc") == [busy.user_id, rich.user_id, poor.user_id]
    assert await order("spend", "asc") == [poor.user_id, rich.user_id, busy.user_id]


@pytest.mark.parametrize("sort", ["balance", "spend"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_equal_users_are_each_shown_once(store: Store, sort: SortBy, order: Order) -> None:
    wallets = [await funded_wallet(store, nanos) for nanos in (5, 5, 5, 0, 0)]
    for wallet in wallets[:2]:
        await use(store, wallet, 1)
    rows = await everybody(store, sort, order)
    assert sorted(row.user_id for row in rows) == sorted(wallet.user_id for wallet in wallets)


async def test_a_row_says_what_was_debited_in_the_period(store: Store) -> None:
    wallet = await funded_wallet(store, 133)
    await store.pool.execute("UPDATE ai_wallets SET overdraft = 0.000000007, is_frozen = true")
    await store.pool.executemany(
        "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name, last_used_at) VALUES ($1, 'p', '-', 'x', $2)",
        [(wallet.user_id, datetime(2026, month, 1, tzinfo=UTC)) for month in (3, 5, 4)],
    )
    await use(store, wallet, 100, days_ago=3)
    await use(store, wallet, 30)
    await use(store, wallet, 30)  # of which 10 could be collected
    today = datetime.fromtimestamp(wall_ms() / 1000, UTC).date()
    for sort in ("balance", "spend"):
        (row,) = await everybody(store, sort, "desc")
        assert (row.spent_nanos, row.requests, row.balance_nanos) == (140, 3, -7)
        assert (row.user_id, row.wallet_id) == (wallet.user_id, wallet.wallet_id)
        assert (row.overdraft_nanos, row.is_frozen) == (7, True)
        assert row.last_used_at == datetime(2026, 5, 1, tzinfo=UTC)
        (recent,) = await everybody(store, sort, "desc", today - timedelta(days=2))
        assert (recent.spent_nanos, recent.requests, recent.balance_nanos) == (40, 2, -7)


async def test_a_debt_is_less_than_nothing(store: Store) -> None:
    owing, empty = await funded_wallet(store, 5), await funded_wallet(store, 0)
    await store.pool.execute("UPDATE ai_wallets SET overdraft = 1 WHERE id = $1", owing.wallet_id)
    await use(store, owing, 12)
    assert [row.balance_nanos for row in await everybody(store, "balance", "asc", limit=1)] == [-7, 0]
    assert [row.user_id for row in await everybody(store, "balance", "desc", limit=1)] == [empty.user_id, owing.user_id]


async def test_nobody(store: Store) -> None:
    assert await everybody(store, "spend", "desc") == await everybody(store, "balance", "asc") == []


async def test_a_cursor_of_another_order_is_refused(store: Store) -> None:
    for _ in range(3):
        await funded_wallet(store, 1)
    listed = Users(store.pool)
    cursor = (await listed.page("balance", "desc", LONG_AGO, 1)).next_cursor
    for wrong in (cursor, "x"):
        with pytest.raises(InvalidRequest):
            await listed.page("spend", "desc", LONG_AGO, 1, wrong)
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest):
            await listed.page("spend", "desc", LONG_AGO, limit)


async def test_an_account_shows_its_keys_and_no_wallet_is_made_for_nobody(store: Store) -> None:
    wallet = await funded_wallet(store, 1)
    for name in ("one", "two"):
        await store.pool.execute(
            "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'p', '-', $2)",
            wallet.user_id,
            name,
        )
    account = await Users(store.pool).account(wallet.user_id)
    assert [key.name for key in account.keys] == ["two", "one"] and not account.is_frozen
    with pytest.raises(WalletNotFound):
        await Users(store.pool).account(uuid4())
    assert await store.pool.fetchval("SELECT count(*) FROM ai_wallets") == 1
