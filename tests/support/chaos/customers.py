"""Wallets of every kind: with plenty, with almost nothing, with an overdraft, with budgets, and two keys on one."""

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import uuid4

import asyncpg

from accounts.keys import NewKey
from runtime.postgres import Pool
from tests.support.chaos.visits import MODELS
from tests.support.ledger import USD
from tests.support.office import Customer, Office, Rate

RATE = Rate(1_234_567, 2_345_679, fee=13)
FEE_NANOS = 1_000
PLENTY = 10 * USD
# A stream of a hundred tokens costs 0.24 million, and twice that is held for it: a handful, and then nothing.
ALMOST_NOTHING = 1_500_000
OVERDRAFT = 1_000_000
BUDGET = 2_000_000
_INSERT = """
INSERT INTO ai_pricing (model, input_price_per_1k_tokens, output_price_per_1k_tokens, base_request_fee, effective_from)
VALUES ($1, $2, $3, $4, now() - interval '1 day')"""


@dataclass(frozen=True, slots=True)
class Account:
    """`label` says what is special about it."""

    label: str
    customer: Customer
    overdraft_nanos: int = 0


async def set_prices(database_url: str) -> None:
    """Of the rig's models: token prices of odd numbers, and one with a request fee alone."""
    rates = dict.fromkeys(MODELS, RATE) | {"fee-only": Rate(0, 0, FEE_NANOS)}
    connection = await asyncpg.connect(database_url)
    try:
        for model, rate in rates.items():
            dollars = [Decimal(nanos) / USD for nanos in (rate.input, rate.output, rate.fee)]
            await connection.execute(_INSERT, model, *dollars)
    finally:
        await connection.close()


async def insert_price(pool: Pool, model: str, *, fee_nanos: int) -> None:
    """A request fee alone; a model that has a price keeps it."""
    if not await pool.fetchval("SELECT true FROM ai_pricing WHERE model = $1", model):
        await pool.execute(_INSERT, model, Decimal(0), Decimal(0), Decimal(fee_nanos) / USD)


async def make_accounts(office: Office) -> tuple[Account, ...]:
    """Of one schedule; visits name them by number."""
    rich, second, poor, poorer, owing, limited = await asyncio.gather(
        _account(office, "plenty", PLENTY),
        _account(office, "plenty", PLENTY),
        _account(office, "almost nothing", ALMOST_NOTHING),
        _account(office, "almost nothing", ALMOST_NOTHING // 2),
        _account(office, "overdraft", ALMOST_NOTHING // 2, overdraft=OVERDRAFT),
        _account(office, "budget", PLENTY, budget=BUDGET),
    )
    return (rich, second, await _same_wallet(office, second), poor, poorer, owing, limited)


async def _account(office: Office, label: str, nanos: int, *, overdraft: int = 0, budget: int | None = None) -> Account:
    user_id = uuid4()
    await office.wallets.give_bonus(user_id, nanos, "to start with", "a test")
    if overdraft:
        await office.wallets.set_overdraft(user_id, overdraft, "trusted", "a test")
    wallet = await office.store.ensure_wallet(user_id)
    wanted = NewKey(user_id, label, 100_000, 1_000_000, budget_daily_nanos=budget)
    key, row = await office.keys.create(wanted)
    return Account(label, Customer(user_id, wallet.wallet_id, row.id, key, nanos), overdraft)


async def _same_wallet(office: Office, other: Account) -> Account:
    wanted = NewKey(other.customer.user_id, "a second key", 100_000, 1_000_000)
    key, row = await office.keys.create(wanted)
    return replace(other, label="plenty, second key", customer=replace(other.customer, key_id=row.id, key=key))
