"""Requests that were recovered and truly settled as well, in every order: billed as truly settled, once.

Each is a schedule of events for one request: R recovered it, S did so again, further on; T is the truth; `/` ends a
batch.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from accounts.errors import RefundTooLarge
from accounts.filters import Filter
from accounts.request_usage import RequestUsages
from accounts.transactions import Transactions
from accounts.usage import Usage
from accounts.wallets import Wallets
from ledger.audit import audit
from ledger.entries import RECOVERED, SettledEntry, WalletState
from ledger.money import from_decimal
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import create_pool
from tests.support.ledger import funded_wallet, settled

COSTS = [(10, 25), (25, 10), (10, 10), (0, 7), (7, 0)]
# Every sequence of up to three events, cut into batches in every way.
SCHEDULES = [
    "".join(event + cut for event, cut in zip(events, (*cuts, ""), strict=True))
    for length in (1, 2, 3)
    for events in product("RST", repeat=length)
    for cuts in product(("", "/"), repeat=length - 1)
]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url, max_size=10)
    yield Store(pool)
    await pool.close()


@dataclass
class Request:
    """One request and its settlements."""

    wallet: WalletState
    recovered_cost: int
    true_cost: int
    id: UUID = field(default_factory=lambda: new_request_id(wall_ms()))

    @property
    def again_cost(self) -> int:
        return self.recovered_cost + 4

    def event(self, kind: str, **changes: Any) -> SettledEntry:
        if kind in "RS":
            ended: dict[str, Any] = {
                "end_reason": RECOVERED,
                "output_tokens": 3,
                "usage_source": "estimated",
                "status_code": 499,
            }
            cost = self.recovered_cost if kind == "R" else self.again_cost
            return settled(self.wallet, cost, request_id=self.id, **(ended | changes))
        return settled(self.wallet, self.true_cost, request_id=self.id, **changes)

    def billed(self, events: str) -> int:
        if "T" in events:
            return self.true_cost
        return self.again_cost if "S" in events else self.recovered_cost


async def row_of(store: Store, request_id: UUID) -> dict[str, Any]:
    row = await store.pool.fetchrow("SELECT * FROM ai_usage_logs WHERE id = $1", request_id)
    assert row is not None
    return dict(row)


async def balance(store: Store, wallet: WalletState) -> int:
    (found,) = await store.wallet_states([wallet.wallet_id])
    return found.balance_nanos


async def must_hold(store: Store) -> None:
    report = await audit(store.pool)
    assert report.holds, report.violations


@pytest.mark.parametrize("costs", COSTS)
async def test_in_every_order_and_batching_the_truth_is_billed_once(store: Store, costs: tuple[int, int]) -> None:
    requests = [(Request(await funded_wallet(store, 100), *costs), schedule) for schedule in SCHEDULES]
    for request, schedule in requests:
        for batch in schedule.split("/"):
            await store.post([request.event(kind) for kind in batch])
    for request, schedule in requests:
        row = await row_of(store, request.id)
        is_true = "T" in schedule
        assert (await balance(store, request.wallet), from_decimal(row["cost"]), row["uncollected"]) == (
            100 - request.billed(schedule), request.billed(schedule), 0,
        ), schedule  # fmt: skip
        assert row["end_reason"] == ("complete" if is_true else RECOVERED), schedule
        assert row["output_tokens"] == (20 if is_true else 3), schedule
    await must_hold(store)


async def test_a_corrected_request_says_what_it_was(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 10, 25)
    await store.post([request.event("R")])
    outcome = await store.post([request.event("T", metadata={"client_request_id": "mine"}, model="small")])
    assert (outcome.posted, outcome.corrected, outcome.duplicates) == (0, 1, 0)
    assert [state.balance_nanos for state in outcome.wallets] == [75]
    again = await store.post([request.event("T"), request.event("R")])
    assert (again.posted, again.corrected, again.duplicates) == (0, 0, 2)
    row = await row_of(store, request.id)
    assert row["metadata"] == ('{"recovered": {"cost": 0.000000010, "output_tokens": 3}, "client_request_id": "mine"}')
    assert (row["usage_source"], row["status_code"], row["total_tokens"]) == ("reported", 200, 40)
    line = await store.pool.fetchrow("SELECT * FROM ai_transactions WHERE corrects = $1", request.id)
    assert line is not None
    assert (line["type"], line["description"], line["request_id"]) == ("usage", "usage correction: small", None)
    assert (from_decimal(line["amount"]), line["seq"]) == (-15, 3)
    await must_hold(store)


async def test_people_see_the_truth_and_both_lines_of_it(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 25, 10)
    await store.post([request.event("R")])
    await store.post([request.event("T", model="small")])
    found = await RequestUsages(store.pool).by_request_id(wallet.user_id, request.id)
    assert found is not None
    assert (found.row.cost_nanos, found.row.end_reason, found.row.model) == (10, "complete", "small")
    statistics = await Usage(store.pool).statistics(wallet.user_id, Filter())
    assert [(by.name, by.requests, by.cost_nanos) for by in statistics.by_model] == [("small", 1, 10)]
    page = await Transactions(store.pool).page(wallet.user_id, Filter(model="small"))
    assert [(line.amount_nanos, line.request_id) for line in page.rows] == [(15, request.id)]
    csv = b"".join([part async for part in Transactions(store.pool).export(wallet.user_id, Filter())]).decode()
    assert [line.count(str(request.id)) for line in csv.splitlines()] == [0, 1, 1, 0]
    assert "usage correction: small" in csv


async def test_what_was_recovered_for_nothing_gets_an_ordinary_debit(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 0, 7)
    await store.post([request.event("R")])
    assert (await store.post([request.event("T")])).corrected == 1
    line = await store.pool.fetchrow("SELECT * FROM ai_transactions WHERE type = 'usage'")
    assert line is not None
    assert (line["request_id"], line["corrects"], line["description"]) == (request.id, None, "usage: tiny")
    await must_hold(store)


class NoMirror:
    async def push_wallets(self, wallet_ids: object) -> None:
        """Nobody asks Redis here."""


@pytest.mark.parametrize(
    ("refunded", "balance_then", "kept"), [(4, 95, None), (10, 100, 1), (22, 100, 13), (25, 100, 16)]
)
async def test_what_was_refunded_is_not_given_back_twice(
    store: Store, refunded: int, balance_then: int, kept: int | None
) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 25, 9)
    wallets = Wallets(store, NoMirror())
    await store.post([request.event("R")])
    await wallets.refund(wallet.user_id, refunded, "sorry", "me", request.id)
    await store.post([request.event("T")])
    assert await balance(store, wallet) == balance_then
    found = await store.pool.fetchval("SELECT (metadata #>> '{recovered,kept}')::numeric FROM ai_usage_logs")
    assert (None if found is None else from_decimal(found)) == kept
    await must_hold(store)
    left = max(0, 9 - refunded)
    with pytest.raises(RefundTooLarge):
        await wallets.refund(wallet.user_id, left + 1, "more", "me", request.id)
    if left:
        await wallets.refund(wallet.user_id, left, "the rest", "me", request.id)
        assert await balance(store, wallet) == 100
    await must_hold(store)


@pytest.mark.parametrize("seed", range(4))
async def test_posters_at_once_correct_each_request_once(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    wallets = [await funded_wallet(store, 1_000_000) for _ in range(5)]
    requests = [Request(chance.choice(wallets), chance.randrange(0, 30), chance.randrange(0, 30)) for _ in range(80)]
    kinds = {request.id: chance.choice(["R", "RS", "T", "RT", "RT", "RST"]) for request in requests}
    events = [request.event(kind) for request in requests for kind in kinds[request.id]]

    async def poster(number: int) -> None:
        order = random.Random(seed * 100 + number)
        mine = order.sample(events, len(events) * 3 // 4)
        while mine:
            size = order.randrange(1, 25)
            await store.post(mine[:size])
            mine = mine[size:]

    await asyncio.gather(*map(poster, range(6)))
    await store.post(events)
    await must_hold(store)
    for wallet in wallets:
        billed = sum(r.billed(kinds[r.id]) for r in requests if r.wallet == wallet)
        assert await balance(store, wallet) == 1_000_000 - billed
    corrections = await store.pool.fetchval("SELECT count(*) FROM ai_transactions WHERE corrects IS NOT NULL")
    assert corrections <= sum(len(kinds[request.id]) - 1 for request in requests)


@dataclass
class Billed:
    paid: int
    cost: int
    is_recovered: bool


class Till:
    """A wallet with little money in plain Python, and what its requests paid."""

    def __init__(self, nanos: int) -> None:
        self.balance = nanos
        self.rows: dict[UUID, Billed] = {}

    def post(self, batch: list[SettledEntry]) -> None:
        """New ones first, by id; then corrections: what is given back, then what is to pay."""
        known = set(self.rows)
        by_id: dict[UUID, list[SettledEntry]] = {}
        for event in sorted(batch, key=lambda event: event.entry.request_id):
            by_id.setdefault(event.entry.request_id, []).append(event)
        for request_id, events in by_id.items():
            if request_id not in known:
                self._insert(request_id, events)
        late = {
            request_id: event
            for request_id, events in by_id.items()
            if request_id in known and self.rows[request_id].is_recovered
            for event in events
            if event.entry.end_reason != RECOVERED
        }
        again = {
            request_id: max(events, key=lambda event: event.entry.cost_nanos)
            for request_id, events in by_id.items()
            if request_id in known and request_id not in late and self.rows[request_id].is_recovered
        }
        late |= {i: event for i, event in again.items() if event.entry.cost_nanos > self.rows[i].cost}
        for gives_back in (True, False):
            for request_id, event in sorted(late.items()):
                if (event.entry.cost_nanos < self.rows[request_id].paid) == gives_back:
                    self._correct(self.rows[request_id], event)

    def _insert(self, request_id: UUID, events: list[SettledEntry]) -> None:
        recovered = [event for event in events if event.entry.end_reason == RECOVERED]
        true = [event for event in events if event.entry.end_reason != RECOVERED]
        final = true[0] if true else max(recovered, key=lambda event: event.entry.cost_nanos)
        paid = min(final.entry.cost_nanos, self.balance)
        self.balance -= paid
        self.rows[request_id] = Billed(paid, final.entry.cost_nanos, final.entry.end_reason == RECOVERED)

    def _correct(self, row: Billed, event: SettledEntry) -> None:
        more = min(event.entry.cost_nanos - row.paid, self.balance)
        if event.entry.cost_nanos < row.paid:
            more = event.entry.cost_nanos - row.paid
        self.balance -= more
        row.paid, row.cost = row.paid + more, event.entry.cost_nanos
        row.is_recovered = event.entry.end_reason == RECOVERED


@pytest.mark.parametrize("seed", range(8))
async def test_a_wallet_with_little_money_agrees_with_the_model(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    wallet = await funded_wallet(store, 60)
    till = Till(60)
    base_ms, corrected = wall_ms(), 0
    requests = [
        Request(wallet, chance.randrange(0, 20), chance.randrange(0, 20), new_request_id(base_ms + n))
        for n in range(14)
    ]
    for _ in range(40):
        batch = []
        for _ in range(chance.randrange(1, 6)):
            request, kind = chance.choice(requests), chance.choice("RST")
            event = request.event(kind)
            batch.append(replace(event, charge_nanos=chance.randrange(event.charge_nanos + 1)))
        corrected += (await store.post(batch)).corrected
        till.post(batch)
        assert await balance(store, wallet) == till.balance
    for request_id, billed in till.rows.items():
        row = await row_of(store, request_id)
        assert (from_decimal(row["cost"]), from_decimal(row["uncollected"])) == (billed.cost, billed.cost - billed.paid)
    await must_hold(store)
    assert corrected >= await store.pool.fetchval("SELECT count(*) FROM ai_usage_logs WHERE metadata ? 'recovered'") > 0


async def test_the_truth_about_another_wallet_is_not_believed(store: Store) -> None:
    wallet, other = await funded_wallet(store, 100), await funded_wallet(store, 100)
    request = Request(wallet, 10, 25)
    await store.post([request.event("R")])
    assert (await store.post([settled(other, 3, request_id=request.id)])).duplicates == 1
    assert (await balance(store, wallet), await balance(store, other)) == (90, 100)


async def test_what_cannot_be_a_correction_is_refused(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 10, 25)
    await store.post([request.event("R")])
    await store.post([request.event("T")])
    insert = (
        "INSERT INTO ai_transactions"
        " (wallet_id, user_id, seq, type, amount, balance_before, balance_after, request_id, corrects)"
        " VALUES ($1, $2, 9, $3, $4, 0, $4, $5, $6)"
    )
    for kind, amount, request_id, corrects, constraint in (
        ("usage", 0, None, uuid4(), "sign_fits_type"),
        ("usage", 1, uuid4(), None, "sign_fits_type"),
        ("usage", -1, uuid4(), uuid4(), "usage_names_its_request"),
        ("bonus", 1, None, uuid4(), "usage_names_its_request"),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            dollars = f"{amount}::numeric"
            await store.pool.execute(
                insert.replace("$4", dollars).replace("$5", "$4").replace("$6", "$5"),
                wallet.wallet_id, wallet.user_id, kind, request_id, corrects,
            )  # fmt: skip
        assert getattr(refused.value, "constraint_name", None) == constraint
