"""The price rows of a real Postgres, as the sheet that requests are priced by."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from accounts.prices import STARTING_PRICES, offer, read_sheet
from ledger.money import MAX_NANOS
from metering.pricing import Price
from runtime.clock import wall_ms
from runtime.postgres import Pool, create_pool


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = await create_pool(database_url)
    yield made
    await made.close()


async def now(pool: Pool, model: str) -> Price | None:
    # the row's date is Postgres's own clock: a minute on, it has come
    return (await read_sheet(pool)).in_force(model, wall_ms() + 60_000)


async def insert(pool: Pool, columns: str, *values: object) -> None:
    names = ", ".join(f"${place}" for place in range(1, len(values) + 1))
    await pool.execute(f"INSERT INTO ai_pricing ({columns}) VALUES ({names})", *values)


BASIC = "model, input_price_per_1k_tokens, output_price_per_1k_tokens"


async def test_the_starting_prices(pool: Pool) -> None:
    await offer(pool, STARTING_PRICES)
    found = {model: await now(pool, model) for model in STARTING_PRICES}
    nanos = {model: price.input_nanos_per_1k for model, price in found.items() if price is not None}
    assert nanos == {
        "pipilot-1-chat": 25_000_000,
        "pipilot-1-thinking": 25_000_000,
        "pipilot-1-vision": 40_000_000,
        "pipilot-1-code": 20_000_000,
    }
    assert all(price and price.output_nanos_per_1k == price.input_nanos_per_1k for price in found.values())


async def test_offering_again_changes_nothing(pool: Pool) -> None:
    await offer(pool, {"tiny": Decimal("0.1")})
    await offer(pool, {"tiny": Decimal("0.2"), "large": Decimal("0.3")})
    tiny, large = await now(pool, "tiny"), await now(pool, "large")
    assert tiny is not None and tiny.input_nanos_per_1k == 100_000_000
    assert large is not None and large.input_nanos_per_1k == 300_000_000


async def test_a_price_that_an_operator_took_away_does_not_come_back(pool: Pool) -> None:
    await offer(pool, {"tiny": Decimal("0.1")})
    await pool.execute("UPDATE ai_pricing SET is_active = false")
    await offer(pool, {"tiny": Decimal("0.2")})
    assert await now(pool, "tiny") is None


async def test_what_has_no_price_of_its_own_costs_as_input_or_output(pool: Pool) -> None:
    await insert(pool, BASIC, "tiny", Decimal("0.001"), Decimal("0.002"))
    price = await now(pool, "tiny")
    assert price is not None
    assert price.input_nanos_per_1k == price.cached_input_nanos_per_1k == price.cache_write_nanos_per_1k == 1_000_000
    assert price.output_nanos_per_1k == price.reasoning_nanos_per_1k == 2_000_000
    assert price.request_fee_nanos == 0


async def test_every_column_reaches_its_own_field_exactly(pool: Pool) -> None:
    columns = (
        f"{BASIC}, cached_input_price_per_1k_tokens, cache_write_price_per_1k_tokens,"
        " reasoning_price_per_1k_tokens, base_request_fee"
    )
    amounts = [Decimal(n).scaleb(-9) for n in (1, 2, 3, 4, 5, MAX_NANOS)]
    await insert(pool, columns, "tiny", *amounts)
    price = await now(pool, "tiny")
    assert price is not None
    kinds = (price.input_nanos_per_1k, price.output_nanos_per_1k, price.cached_input_nanos_per_1k)
    assert (*kinds, price.cache_write_nanos_per_1k, price.reasoning_nanos_per_1k) == (1, 2, 3, 4, 5)
    assert price.request_fee_nanos == MAX_NANOS


async def test_free_is_a_price(pool: Pool) -> None:
    await insert(pool, f"{BASIC}, cached_input_price_per_1k_tokens", "free", Decimal(0), Decimal(0), Decimal(0))
    price = await now(pool, "free")
    assert price is not None and price.input_nanos_per_1k == price.cached_input_nanos_per_1k == 0


@pytest.mark.parametrize(("moment", "comes_first"), [("'1969-12-31 23:59:59.9995+00'", -1), ("'1970-01-01+00'", 0)])
async def test_the_date_of_a_price_in_whole_milliseconds(pool: Pool, moment: str, comes_first: int) -> None:
    await pool.execute(f"INSERT INTO ai_pricing ({BASIC}, effective_from) VALUES ('tiny', 1, 1, {moment})")
    sheet = await read_sheet(pool)
    assert sheet.in_force("tiny", comes_first) is not None
    assert sheet.in_force("tiny", comes_first - 1) is None


async def test_a_later_price_takes_over_and_an_operators_update_is_read(pool: Pool) -> None:
    await pool.execute(f"INSERT INTO ai_pricing ({BASIC}, effective_from) VALUES ('tiny', 1, 1, '2020-01-01')")
    await pool.execute(f"INSERT INTO ai_pricing ({BASIC}, effective_from) VALUES ('tiny', 2, 2, '2021-01-01')")
    price = await now(pool, "tiny")
    assert price is not None and price.input_nanos_per_1k == 2_000_000_000
    await pool.execute("UPDATE ai_pricing SET input_price_per_1k_tokens = 3 WHERE effective_from = '2021-01-01'")
    price = await now(pool, "tiny")
    assert price is not None and price.input_nanos_per_1k == 3_000_000_000


async def test_a_price_that_always_was_and_one_that_never_comes(pool: Pool) -> None:
    await pool.execute(f"INSERT INTO ai_pricing ({BASIC}, effective_from) VALUES ('tiny', 1, 1, '-infinity')")
    await pool.execute(f"INSERT INTO ai_pricing ({BASIC}, effective_from) VALUES ('large', 1, 1, 'infinity')")
    assert await now(pool, "tiny") is not None
    assert await now(pool, "large") is None
