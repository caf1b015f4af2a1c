"""The price rows of a real Postgres, as the sheet that requests are priced by."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from accounts.errors import InvalidRequest, PriceExists, PriceNotFound
from accounts.prices import STARTING_PRICES, Prices, offer, read_sheet
from accounts.rates import Rates
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
    assert (price.audio_input_nanos_per_1k, price.audio_output_nanos_per_1k) == (1_000_000, 2_000_000)
    assert price.image_nanos == price.audio_minute_nanos == price.request_fee_nanos == 0


async def test_every_column_reaches_its_own_field_exactly(pool: Pool) -> None:
    columns = (
        f"{BASIC}, cached_input_price_per_1k_tokens, cache_write_price_per_1k_tokens,"
        " reasoning_price_per_1k_tokens, audio_input_price_per_1k_tokens, audio_output_price_per_1k_tokens,"
        " image_price, audio_minute_price, base_request_fee"
    )
    amounts = [Decimal(n).scaleb(-9) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, MAX_NANOS)]
    await insert(pool, columns, "tiny", *amounts)
    price = await now(pool, "tiny")
    assert price is not None
    kinds = (price.input_nanos_per_1k, price.output_nanos_per_1k, price.cached_input_nanos_per_1k)
    assert (*kinds, price.cache_write_nanos_per_1k, price.reasoning_nanos_per_1k) == (1, 2, 3, 4, 5)
    assert (price.audio_input_nanos_per_1k, price.audio_output_nanos_per_1k) == (6, 7)
    assert (price.image_nanos, price.audio_minute_nanos) == (8, 9)
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


# By administrators


RATES = Rates(1_000_000, 2_000_000)
ODD = Rates(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
BY: dict[str, Any] = {"by": "cli:ana", "reason": "the supplier asks for more"}


async def acts(pool: Pool) -> list[dict[str, Any]]:
    rows = await pool.fetch("SELECT * FROM farebox_admin_log ORDER BY id")
    read = [dict(row) for row in rows]
    return [row | {side: row[side] and json.loads(row[side]) for side in ("before", "after")} for row in read]


async def test_a_price_that_is_set_is_in_force_from_now_on_and_the_one_before_stays_as_it_was(pool: Pool) -> None:
    prices = Prices(pool)
    first = await prices.set("tiny", RATES, **BY)
    second = await prices.set("tiny", ODD, **BY)
    assert [(row.rates, row.in_force, row.is_active) for row in await prices.history()] == [
        (ODD, True, True),
        (RATES, False, True),
    ]
    assert first.in_force and second.in_force  # each was when it was set
    charged = await now(pool, "tiny")
    assert charged is not None and (charged.pricing_id, charged.audio_minute_nanos) == (second.id, 9)


async def test_what_was_left_open_stays_open_and_users_are_told_what_it_comes_to(pool: Pool) -> None:
    prices = Prices(pool)
    await prices.set("tiny", RATES, **BY)
    (row,) = await prices.history("tiny")
    assert (row.rates.cached_input_nanos_per_1k, row.rates.image_nanos) == (None, None)
    (told,) = await prices.of_today(UUID(int=1))
    as_input, as_output = 1_000_000, 2_000_000
    assert told.rates.resolved() == Rates(
        as_input, as_output, as_input, as_input, as_output, as_input, as_output, image_nanos=0, audio_minute_nanos=0
    )


async def test_a_price_of_a_later_date_waits_for_it(pool: Pool) -> None:
    prices = Prices(pool)
    today = await prices.set("tiny", RATES, **BY)
    coming = await prices.set("tiny", ODD, datetime.fromtimestamp(wall_ms() / 1000, UTC) + timedelta(days=1), **BY)
    assert not coming.in_force
    assert [row.id for row in await prices.history("tiny", only_in_force=True)] == [today.id]
    sheet = await read_sheet(pool)
    for days, price_id in ((0.1, today.id), (2, coming.id)):
        charged = sheet.in_force("tiny", wall_ms() + int(days * 86_400_000))
        assert charged is not None and charged.pricing_id == price_id


async def test_rows_are_not_rewritten_and_a_price_that_would_never_apply_is_refused(pool: Pool) -> None:
    prices = Prices(pool)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    await prices.set("tiny", RATES, moment, **BY)
    with pytest.raises(PriceExists):
        await prices.set("tiny", ODD, moment, **BY)
    with pytest.raises(InvalidRequest, match="never apply"):
        await prices.set("tiny", ODD, moment - timedelta(microseconds=1), **BY)
    await prices.set("other", ODD, moment - timedelta(days=1), **BY)
    assert [row.rates for row in await prices.history("tiny")] == [RATES]
    assert len(await acts(pool)) == 2


async def test_a_price_that_is_switched_off_makes_room_for_the_one_before(pool: Pool) -> None:
    prices = Prices(pool)
    first, second = await prices.set("tiny", RATES, **BY), await prices.set("tiny", ODD, **BY)
    gone, instead = await prices.deactivate(second.id, **BY)
    assert (gone.id, gone.is_active, gone.in_force) == (second.id, False, False)
    assert instead is not None and (instead.id, instead.in_force) == (first.id, True)
    assert (await prices.deactivate(first.id, **BY))[1] is None
    assert (await prices.of_today(UUID(int=1)), await now(pool, "tiny")) == ([], None)
    with pytest.raises(PriceNotFound):
        await prices.deactivate(UUID(int=1), **BY)


async def test_every_act_is_in_the_log_and_what_changes_nothing_is_not(pool: Pool) -> None:
    prices = Prices(pool)
    first = await prices.set("tiny", RATES, **BY)
    await prices.set("tiny", ODD, **BY)
    await prices.deactivate(first.id, **BY)
    await prices.deactivate(first.id, **BY)
    made, changed, off = await acts(pool)
    assert [act["action"] for act in (made, changed, off)] == ["price.set", "price.set", "price.deactivate"]
    assert {(act["actor"], act["reason"], act["target_kind"]) for act in (made, changed, off)} == {
        ("cli:ana", "the supplier asks for more", "price")
    }
    assert (made["before"], made["target_id"], made["user_id"]) == (None, str(first.id), None)
    assert made["after"]["input_price_per_1k_tokens"] == "0.001" and "image_price" not in made["after"]
    assert changed["before"] == made["after"]
    assert changed["after"]["audio_minute_price"] == "0.000000009"
    assert (off["before"]["is_active"], off["after"]["is_active"]) == (True, False)


async def test_without_its_line_in_the_log_no_price_is_set(pool: Pool) -> None:
    with pytest.raises(InvalidRequest):
        await Prices(pool).set("tiny", RATES, by="cli:ana", reason="x" * 501)
    assert await Prices(pool).history() == []


@pytest.mark.parametrize("model", ["", "x" * 201, "a\x00b", "\ud800"])
async def test_a_model_has_a_proper_name(pool: Pool, model: str) -> None:
    with pytest.raises(InvalidRequest):
        await Prices(pool).set(model, RATES, **BY)


async def test_pages_of_prices(pool: Pool) -> None:
    prices = Prices(pool)
    for model in ("b", "a", "c"):
        await prices.set(model, RATES, **BY)
    assert [row.model for row in await prices.history(limit=2)] == ["a", "b"]
    assert [row.model for row in await prices.history(limit=2, offset=2)] == ["c"]
    assert [row.model for row in await prices.of_today(UUID(int=1))] == ["a", "b", "c"]
    with pytest.raises(InvalidRequest):
        await prices.history(limit=1001)


async def test_dates_without_end_are_shown_as_the_last_and_first_of_dates(pool: Pool) -> None:
    await pool.execute(f"INSERT INTO ai_pricing ({BASIC}, effective_from) VALUES ('tiny', 1, 1, '-infinity')")
    (row,) = await Prices(pool).history()
    assert row.in_force and row.effective_from == datetime.min.replace(tzinfo=UTC)
    assert (await Prices(pool).set("tiny", RATES, datetime(2026, 1, 1, tzinfo=UTC), **BY)).in_force
