"""Requests that were recovered, once or twice, and truly settled as well or not, in every order: billed once.

Each is a schedule of events for one request: R recovered it, S again at a later checkpoint, T is the truth; `/` ends a
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

# of R, S and T
COSTS = [(10, 15, 25), (10, 25, 15), (15, 25, 10), (10, 10, 10), (25, 10, 15), (0, 7, 0), (0, 0, 7), (7, 0, 0)]
# Every sequence of up to three events, cut into batches in every way.
SCHEDULES = [
    "".join(event + cut for event, cut in zip(events, (*cuts, ""), strict=True))
    for length in (1, 2, 3)
    for events in product("RST", repeat=length)
    for cuts in product(("", "/"), repeat=length - 1)
]


OUTPUT_TOKENS = {"R": 3, "S": 5, "T": 20}


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url, max_size=10)
    yield Store(pool)
    await pool.close()


@dataclass
class Request:
    """One request and its settlements: what R, S and T say that it costs."""

    wallet: WalletState
    recovered_cost: int
    again_cost: int
    true_cost: int
    id: UUID = field(default_factory=lambda: new_request_id(wall_ms()))

    def event(self, kind: str, **changes: Any) -> SettledEntry:
        if kind != "T":
            ended: dict[str, Any] = {
                "end_reason": RECOVERED,
                "output_tokens": OUTPUT_TOKENS[kind],
                "usage_source": "estimated",
                "status_code": 499,
            }
            return settled(self.wallet, self.cost(kind), request_id=self.id, **(ended | changes))
        return settled(self.wallet, self.true_cost, request_id=self.id, **changes)

    def cost(self, kind: str) -> int:
        return {"R": self.recovered_cost, "S": self.again_cost, "T": self.true_cost}[kind]

    def final(self, events: str) -> str:
        """The truth; else the recovery that knows of most, of equal ones the first."""
        return "T" if "T" in events else max(events.replace("/", ""), key=self.cost)


def some_costs(chance: random.Random, end: int) -> tuple[int, int, int]:
    """Of R, S and T, each below `end`."""
    return chance.randrange(end), chance.randrange(end), chance.randrange(end)


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
async def test_in_every_order_and_batching_what_is_known_best_is_billed_once(
    store: Store, costs: tuple[int, int, int]
) -> None:
    async def one(schedule: str) -> None:
        request = Request(await funded_wallet(store, 100), *costs)
        for batch in schedule.split("/"):
            await store.post([request.event(kind) for kind in batch])
        row, final = await row_of(store, request.id), request.final(schedule)
        assert (await balance(store, request.wallet), from_decimal(row["cost"]), row["uncollected"]) == (
            100 - request.cost(final), request.cost(final), 0,
        ), schedule  # fmt: skip
        assert row["end_reason"] == ("complete" if final == "T" else RECOVERED), schedule
        assert row["output_tokens"] == OUTPUT_TOKENS[final], schedule

    await asyncio.gather(*map(one, SCHEDULES))
    await must_hold(store)


async def test_a_later_recovery_corrects_upwards_only_and_the_truth_either_way(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 10, 25, 12)
    seen = []
    for kind in "RSRST":
        outcome = await store.post([request.event(kind)])
        row = await row_of(store, request.id)
        seen.append((kind, outcome.corrected, row["end_reason"], from_decimal(row["cost"]), row["metadata"]))
        await must_hold(store)
    first, second = (
        f'{{"recovered": {{"cost": 0.0000000{cost}, "output_tokens": {n}}}}}' for cost, n in ((10, 3), (25, 5))
    )
    assert seen == [
        ("R", 0, RECOVERED, 10, "{}"),
        ("S", 1, RECOVERED, 25, first),
        ("R", 0, RECOVERED, 25, first),
        ("S", 0, RECOVERED, 25, first),
        ("T", 1, "complete", 12, second),
    ]
    lines = await store.pool.fetch("SELECT amount, corrects FROM ai_transactions WHERE type = 'usage' ORDER BY seq")
    assert [(from_decimal(line["amount"]), line["corrects"]) for line in lines] == [
        (-10, None), (-15, request.id), (13, request.id),
    ]  # fmt: skip


@pytest.mark.parametrize("schedule", ["R/T", "T/R", "RT", "TR"])
async def test_what_is_paid_does_not_hang_on_which_event_was_charged(store: Store, schedule: str) -> None:
    """The truth was settled beside what the recovery had been charged already, and so was charged little."""
    wallet = await funded_wallet(store, 30)
    request = Request(wallet, 20, 20, 30)
    charged = {"R": request.event("R"), "T": replace(request.event("T"), charge_nanos=10)}
    for batch in schedule.split("/"):
        await store.post([charged[kind] for kind in batch])
    assert ((await row_of(store, request.id))["uncollected"], await balance(store, wallet)) == (0, 0)
    await must_hold(store)


async def test_a_corrected_request_says_what_it_was(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 10, 10, 25)
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


async def test_people_see_the_truth_and_every_line_of_it(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 20, 25, 10)
    await store.post([request.event("R")])
    await store.post([request.event("S")])
    await store.post([request.event("T", model="small")])
    found = await RequestUsages(store.pool).by_request_id(wallet.user_id, request.id)
    assert found is not None
    assert (found.row.cost_nanos, found.row.end_reason, found.row.model) == (10, "complete", "small")
    statistics = await Usage(store.pool).statistics(wallet.user_id, Filter())
    assert [(by.name, by.requests, by.cost_nanos) for by in statistics.by_model] == [("small", 1, 10)]
    page = await Transactions(store.pool).page(wallet.user_id, Filter(model="small"))
    assert [(line.amount_nanos, line.request_id) for line in page.rows] == [(15, request.id)]
    csv = b"".join([part async for part in Transactions(store.pool).export(wallet.user_id, Filter())]).decode()
    assert [line.count(str(request.id)) for line in csv.splitlines()] == [0, 1, 1, 1, 0]
    assert "usage correction: small" in csv


@pytest.mark.parametrize("kind", ["S", "T"])
async def test_what_was_recovered_for_nothing_gets_an_ordinary_debit(store: Store, kind: str) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 0, 7, 7)
    await store.post([request.event("R")])
    assert (await store.post([request.event(kind)])).corrected == 1
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
@pytest.mark.parametrize("before", ["R", "S/R", "R/S"])
async def test_what_was_refunded_is_not_given_back_twice(
    store: Store, before: str, refunded: int, balance_then: int, kept: int | None
) -> None:
    wallet = await funded_wallet(store, 100)
    request = Request(wallet, 25 if before == "R" else 7, 25, 9)
    wallets = Wallets(store, NoMirror())
    for kind in before.split("/"):
        await store.post([request.event(kind)])
    with pytest.raises(RefundTooLarge):
        await wallets.refund(wallet.user_id, 26, "too much", "me", request.id)
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
    requests = [Request(chance.choice(wallets), *some_costs(chance, 30)) for _ in range(80)]
    kinds = {request.id: chance.choice(["R", "T", "RS", "RT", "RT", "RST", "RST"]) for request in requests}
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
        billed = sum(r.cost(r.final(kinds[r.id])) for r in requests if r.wallet == wallet)
        assert await balance(store, wallet) == 1_000_000 - billed
    corrections = await store.pool.fetchval("SELECT count(*) FROM ai_transactions WHERE corrects IS NOT NULL")
    assert 0 < corrections <= sum(len(kinds[request.id]) - 1 for request in requests)


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

    def post(self, batch: list[SettledEntry]) -> int:
        """New ones first, by id; then corrections: what is given back, then what is to pay. Returns their number."""
        known = set(self.rows)
        best: dict[UUID, SettledEntry] = {}
        for event in sorted(batch, key=lambda event: (event.entry.request_id, *self.rank(event))):
            best[event.entry.request_id] = event
        for request_id, event in best.items():
            if request_id not in known:
                self._insert(request_id, event.entry.cost_nanos, event.entry.end_reason == RECOVERED)
        late = [event for request_id, event in best.items() if request_id in known and self.is_better(event)]
        for gives_back in (True, False):
            for event in late:
                row = self.rows[event.entry.request_id]
                if (event.entry.cost_nanos < row.paid) == gives_back:
                    self._correct(row, event.entry.cost_nanos, event.entry.end_reason == RECOVERED)
        return len(late)

    @staticmethod
    def rank(event: SettledEntry) -> tuple[bool, int]:
        return event.entry.end_reason != RECOVERED, event.entry.cost_nanos

    def is_better(self, event: SettledEntry) -> bool:
        row = self.rows[event.entry.request_id]
        return row.is_recovered and self.rank(event) > (False, row.cost)

    def _insert(self, request_id: UUID, cost: int, is_recovered: bool) -> None:
        self.rows[request_id] = Billed(0, 0, True)
        self._correct(self.rows[request_id], cost, is_recovered)

    def _correct(self, row: Billed, cost: int, is_recovered: bool) -> None:
        more = min(cost - row.paid, self.balance)
        self.balance -= more
        row.paid, row.cost, row.is_recovered = row.paid + more, cost, is_recovered


@pytest.mark.parametrize("seed", range(8))
async def test_a_wallet_with_little_money_agrees_with_the_model(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    wallet = await funded_wallet(store, 60)
    till = Till(60)
    base_ms, corrected = wall_ms(), 0
    requests = [Request(wallet, *some_costs(chance, 20), new_request_id(base_ms + n)) for n in range(14)]
    for _ in range(40):
        batch = []
        for _ in range(chance.randrange(1, 6)):
            request, kind = chance.choice(requests), chance.choice("RRSST")
            event = request.event(kind)
            batch.append(replace(event, charge_nanos=chance.randrange(event.charge_nanos + 1)))
        outcome = await store.post(batch)
        assert outcome.corrected == till.post(batch)
        corrected += outcome.corrected
        assert await balance(store, wallet) == till.balance
    for request_id, billed in till.rows.items():
        row = await row_of(store, request_id)
        assert (from_decimal(row["cost"]), from_decimal(row["uncollected"])) == (billed.cost, billed.cost - billed.paid)
        assert (row["end_reason"] == RECOVERED) == billed.is_recovered
    await must_hold(store)
    assert corrected >= await store.pool.fetchval("SELECT count(*) FROM ai_usage_logs WHERE metadata ? 'recovered'") > 0


async def test_the_truth_about_another_wallet_is_not_believed(store: Store) -> None:
    wallet, other = await funded_wallet(store, 100), await funded_wallet(store, 100)
    request = Request(wallet, 10, 10, 25)
    await store.post([request.event("R")])
    assert (await store.post([settled(other, 3, request_id=request.id)])).duplicates == 1
    stranger = settled(other, 30, request_id=request.id, end_reason=RECOVERED)
    assert (await store.post([stranger])).duplicates == 1
    assert (await balance(store, wallet), await balance(store, other)) == (90, 100)


async def test_what_cannot_be_a_correction_is_refused(store: Store) -> None:
    wallet = await funded_wallet(store, 100)
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
