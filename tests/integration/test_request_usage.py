"""One request by our id or by the client's: its owner's only, the newest of an id that was used twice."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from accounts.request_usage import _QUERIES, RequestUsages
from ledger.entries import SettledEntry, WalletState
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import Pool, create_pool
from tests.support.ledger import USD, funded_wallet, settled

DAY_MS = 86_400_000


def entry(wallet: WalletState, client_id: str | None, days_ago: int = 0, **changes: Any) -> SettledEntry:
    metadata = {"stream": False} if client_id is None else {"stream": False, "client_request_id": client_id}
    changes.setdefault("cost_nanos", 1000)
    return settled(wallet, request_id=new_request_id(wall_ms() - days_ago * DAY_MS), metadata=metadata, **changes)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


async def test_both_ids_lead_to_what_was_counted_and_charged(pool: Pool) -> None:
    wallet = await funded_wallet(Store(pool), USD)
    posted = entry(wallet, "mine/1", cost_nanos=2 * USD)
    await Store(pool).post([posted])
    await Store(pool).post([entry(wallet, None), entry(wallet, "mine/2")])
    usages = RequestUsages(pool)
    found = await usages.by_request_id(wallet.user_id, posted.entry.request_id)
    assert found is not None and found == await usages.by_client_request_id(wallet.user_id, "mine/1")
    assert (found.row.id, found.client_request_id) == (posted.entry.request_id, "mine/1")
    assert (found.row.cost_nanos, found.row.uncollected_nanos) == (2 * USD, USD)
    assert (found.row.end_reason, found.row.usage_source) == ("complete", "reported")


async def test_of_an_id_that_was_used_again_the_newest_also_from_another_month(pool: Pool) -> None:
    wallet = await funded_wallet(Store(pool))
    ages = [40, 3, 75, 3]
    entries = [entry(wallet, "again", days_ago) for days_ago in ages]
    await Store(pool).post(entries)
    found = await RequestUsages(pool).by_client_request_id(wallet.user_id, "again")
    assert found is not None
    assert found.row.id == max(posted.entry.request_id for posted in entries)


async def test_what_is_somebody_elses_is_not_there(pool: Pool) -> None:
    ana, bob = [await funded_wallet(Store(pool)) for _ in range(2)]
    hers = entry(ana, "mine")
    await Store(pool).post([hers])
    usages = RequestUsages(pool)
    assert await usages.by_request_id(bob.user_id, hers.entry.request_id) is None
    assert await usages.by_client_request_id(bob.user_id, "mine") is None
    for nobodys in (UUID(int=0), UUID(int=2**128 - 1), new_request_id(wall_ms())):
        assert await usages.by_request_id(ana.user_id, nobodys) is None
    for text in ("", "MINE", "%", "'; DROP TABLE ai_usage_logs; --", "x" * 128, "\U0010ffff"):
        assert await usages.by_client_request_id(ana.user_id, text) is None


def nodes(plan: Any) -> list[Any]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


async def test_no_look_up_reads_through_a_users_requests(pool: Pool) -> None:
    """One user with many requests, few of them with an id of the client's: an index leads to both."""
    wallet = await funded_wallet(Store(pool))
    await Store(pool).post([entry(wallet, f"c{number}" if number % 50 == 0 else None) for number in range(2000)])
    await pool.execute("ANALYZE ai_usage_logs")
    filled = await pool.fetchval("SELECT tableoid::regclass::text FROM ai_usage_logs LIMIT 1")
    for query, wanted in (("by_request_id", new_request_id(wall_ms())), ("by_client_request_id", "c50")):
        text = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {_QUERIES[query]}", wallet.user_id, wanted)
        scans = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == filled]
        condition = "client_request_id" if query == "by_client_request_id" else "id = "
        assert scans and all(condition in node.get("Index Cond", "") for node in scans), scans
