"""Credits by an operator: one line of history, and Redis knows before the operator does."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import orjson
import pytest

from ledger.audit import audit
from ledger.entries import WalletState
from ledger.errors import InvalidAmount
from ledger.money import MAX_NANOS
from tests.support.accounts import Office, accounts_office
from tests.support.ledger import USD


@pytest.fixture
async def office(database_url: str, redis_url: str) -> AsyncIterator[Office]:
    async with accounts_office(database_url, redis_url) as made:
        yield made
        assert (await audit(made.store.pool)).holds


async def history(office: Office, wallet: WalletState) -> list[tuple[str, int, str]]:
    query = "SELECT type::text, amount, description, metadata FROM ai_transactions WHERE wallet_id = $1 ORDER BY seq"
    rows = await office.store.pool.fetch(query, wallet.wallet_id)
    assert all(orjson.loads(row["metadata"]) == {"by": "the boss"} for row in rows)
    return [(row["type"], int(row["amount"].scaleb(9)), row["description"]) for row in rows]


async def bonus(office: Office, user_id: UUID, nanos: int) -> WalletState:
    return await office.wallets.give_bonus(user_id, nanos, "welcome", "the boss")


async def test_a_bonus_makes_the_wallet_and_says_who_gave_it(office: Office) -> None:
    user_id = uuid4()
    wallet = await bonus(office, user_id, 10 * USD + 1)
    assert (wallet.user_id, wallet.balance_nanos) == (user_id, 10 * USD + 1)
    assert await history(office, wallet) == [("bonus", 10 * USD + 1, "welcome")]


async def test_a_bonus_adds_up(office: Office) -> None:
    user_id = uuid4()
    for expected in (1, 2, 3):
        assert (await bonus(office, user_id, 1)).balance_nanos == expected


async def test_redis_knows_before_the_operator_does(office: Office) -> None:
    wallet = await bonus(office, uuid4(), 5)
    assert (await office.wallet_in_redis(wallet.wallet_id))["balance"] == 5
    await office.wallets.set_balance(wallet.user_id, 3, "corrected", "the boss")
    assert (await office.wallet_in_redis(wallet.wallet_id))["balance"] == 3


async def test_setting_a_balance_is_an_adjustment_of_the_difference(office: Office) -> None:
    user_id = uuid4()
    await bonus(office, user_id, 10)
    wallet = await office.wallets.set_balance(user_id, 4, "corrected", "the boss")
    assert wallet.balance_nanos == 4
    assert await history(office, wallet) == [("bonus", 10, "welcome"), ("adjustment", -6, "corrected")]


async def test_a_balance_that_is_so_already_leaves_no_line(office: Office) -> None:
    wallet = await office.wallets.set_balance(uuid4(), 0, "nothing", "the boss")
    assert (wallet.balance_nanos, await history(office, wallet)) == (0, [])


@pytest.mark.parametrize("nanos", [0, -1, MAX_NANOS + 1])
async def test_an_impossible_bonus_changes_nothing(office: Office, nanos: int) -> None:
    user_id = uuid4()
    with pytest.raises(InvalidAmount):
        await bonus(office, user_id, nanos)
    wallet = await office.store.ensure_wallet(user_id)
    assert (wallet.balance_nanos, await history(office, wallet)) == (0, [])
