"""Which requests count as having run between two moments."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ledger.billed import Billed, Window, billed_between
from ledger.entries import SettledEntry
from ledger.postgres import Store
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from runtime.postgres import Pool, create_pool
from tests.support.ledger import funded_wallet, usage_entry

NOW_MS = wall_ms() - 3_600_000
FIRST, SECOND = Window(NOW_MS, NOW_MS + 10), Window(NOW_MS + 1000, NOW_MS + 1010)
OURS = {"upstream": "main"}


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


async def post(pool: Pool, begun_ms: int, took_ms: int, **changes: Any) -> None:
    store = Store(pool)
    wallet = await funded_wallet(store)
    fields: dict[str, Any] = {"metadata": OURS, "end_reason": "completed"} | changes
    request_id = new_request_id(NOW_MS + begun_ms)
    entry = usage_entry(wallet, 1, request_id=request_id, response_time_ms=took_ms, **fields)
    await store.post([SettledEntry("1-1", entry, 1)])


async def found(pool: Pool) -> list[Billed]:
    return await billed_between(pool, "main", FIRST, SECOND)


@pytest.mark.parametrize(
    ("begun_ms", "took_ms", "is_inside"),
    [
        (10, 990, True),
        (500, 0, True),
        (9, 10, False),  # began while the first was read
        (-50, 50, False),  # ended just as it began to be
        (-5000, 9000, False),  # ran all along
        (990, 11, False),
        (1010, 0, False),
        (-50, 49, None),
        (1011, 5, None),
    ],
)
async def test_inside_at_an_edge_or_outside(pool: Pool, begun_ms: int, took_ms: int, is_inside: bool | None) -> None:
    await post(pool, begun_ms, took_ms)
    assert [group.is_inside for group in await found(pool)] == ([] if is_inside is None else [is_inside])


async def test_all_tokens_in_and_out_are_summed_up_by_what_became_of_them(pool: Pool) -> None:
    for _ in range(2):
        await post(pool, 500, 1, audio_input_tokens=100, audio_output_tokens=200)
    await post(pool, 500, 1, model="other", end_reason="client_left", output_tokens=0, reasoning_tokens=0)
    await post(pool, 500, 1, metadata={"upstream": "another"})
    assert await found(pool) == [
        Billed("other", "client_left", "reported", True, False, 1, 15, 3, 0),
        Billed("tiny", "completed", "reported", True, True, 2, 2 * 115, 6, 2 * 225),
    ]
