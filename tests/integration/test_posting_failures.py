"""What Postgres may answer to a batch, each by its SQLSTATE from a real server.

Only what the data is to blame for is set aside. All else is tried again, less and less often, and loudly where it does
not pass by itself.
"""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import structlog
from redis.asyncio import Redis
from structlog.testing import capture_logs

from ledger.audit import audit
from ledger.postgres import Store
from ledger.posting import BAD_DATA
from ledger.writer import PASSING, LedgerWriter
from runtime.postgres import FAILED, UNAVAILABLE, create_pool
from runtime.tasks import TaskSet
from tests.support.ledger import (
    USD,
    cache_wallet,
    everything_posted,
    funded_wallet,
    left_on_stream,
    settle,
    settled,
    until,
)

PASSES = {
    "40001": "serialization_failure",
    "40P01": "deadlock_detected",
    "08006": "connection_failure",
    "08003": "connection_does_not_exist",
    "57P01": "admin_shutdown",
    "57P02": "crash_shutdown",
    "57P03": "cannot_connect_now",
    "57014": "statement timeout",
    "55P03": "lock_not_available",
    "25P03": "idle_in_transaction_session_timeout",
    "25006": "read_only_sql_transaction",
    "53100": "disk_full",
    "53200": "out_of_memory",
    "53300": "too_many_connections",
}
NOT_OURS_TO_BURY = {
    "42703": "undefined_column",
    "42P01": "undefined_table",
    "42883": "undefined_function",
    "42501": "insufficient_privilege",
    "28P01": "invalid_password",
    "3D000": "invalid_catalog_name",
    "0A000": "feature_not_supported",
    "25P02": "in_failed_sql_transaction",
    "26000": "invalid_sql_statement_name",
    "58030": "io_error",
    "P0001": "raise_exception, by somebody's own trigger",
    "XX000": "internal_error",
    "XX001": "data_corrupted",
    "ZZ999": "one that nobody knows",
}
DATA = {
    "22003": "numeric_value_out_of_range",
    "22P02": "invalid_text_representation",
    "22P05": "untranslatable_character",
    "22021": "character_not_in_repertoire",
    "23502": "not_null_violation",
    "23503": "foreign_key_violation",
    "23505": "unique_violation",
    "23514": "check_violation",
    "54000": "program_limit_exceeded",
}
FAILURES = {**PASSES, **NOT_OURS_TO_BURY, **DATA}


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def fail_with(store: Store, sqlstate: str) -> None:
    """From now on Postgres answers so to every usage row."""
    await store.pool.execute(
        "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'as was asked' USING ERRCODE = '{sqlstate}'; END $$;"
        "CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON ai_usage_logs FOR EACH ROW EXECUTE FUNCTION fail()"
    )


async def mend(store: Store) -> None:
    await store.pool.execute("DROP TRIGGER fail ON ai_usage_logs")


async def test_each_failure_is_of_one_kind(store: Store) -> None:
    wallet = await funded_wallet(store)
    for sqlstate, name in FAILURES.items():
        await fail_with(store, sqlstate)
        with pytest.raises(asyncpg.PostgresError) as raised:
            await store.pool.execute(
                "INSERT INTO ai_usage_logs (id, user_id, wallet_id, api_key_id, model, endpoint, total_tokens, cost,"
                " status_code, response_time_ms, created_at) SELECT id, $1, $2, id, '', '', 0, 0, 200, 1,"
                " farebox_uuid7_time(id) FROM gen_random_uuid() AS id",
                wallet.user_id, wallet.wallet_id,
            )  # fmt: skip
        error = raised.value
        assert getattr(error, "sqlstate", None) == sqlstate
        kinds = isinstance(error, UNAVAILABLE), isinstance(error, BAD_DATA)
        assert kinds == (sqlstate in PASSES, sqlstate in DATA), name
        assert isinstance(error, FAILED)


@pytest.mark.parametrize(
    "error", [ConnectionResetError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError]
)
def test_what_happens_on_the_way_passes(error: type[Exception]) -> None:
    assert issubclass(error, UNAVAILABLE) and not issubclass(error, BAD_DATA)


async def test_only_what_the_data_is_to_blame_for_is_set_aside(store: Store) -> None:
    wallet = await funded_wallet(store)
    for place, (sqlstate, name) in enumerate(FAILURES.items()):
        batch = [settled(wallet, 1), settled(wallet, 1)]
        await fail_with(store, sqlstate)
        if sqlstate in DATA:
            assert (await store.post(batch)).buried == 2, name
            await mend(store)
            continue
        with pytest.raises(asyncpg.PostgresError):
            await store.post(batch)
        await mend(store)
        assert (await store.post(batch)).posted == 2, (place, name)
    report = await audit(store.pool)
    assert report.broken == {"no_usage_was_set_aside": 2 * len(DATA)}


@pytest.mark.parametrize(("sqlstate", "level"), [("40001", "warning"), ("53100", "warning"), ("42703", "error")])
async def test_a_writer_waits_for_what_is_not_the_datas_fault(
    store: Store, redis: Redis, sqlstate: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await funded_wallet(store)
    await cache_wallet(redis, wallet)
    waits: list[float] = []
    is_mended = asyncio.Event()

    async def pause(stop: asyncio.Event, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 5:
            await is_mended.wait()
        return stop.is_set()

    monkeypatch.setattr("ledger.writer.pause", pause)
    monkeypatch.setattr("ledger.writer.log", structlog.get_logger("farebox.writer"))  # one that was not used before
    await fail_with(store, sqlstate)
    await settle(redis, settled(wallet, 30))
    stop, tasks = asyncio.Event(), TaskSet()

    async def has_tried_five_times() -> bool:
        return len(waits) >= 5

    with capture_logs() as logs:
        running = tasks.spawn(LedgerWriter(redis, store, 0, "one").run(stop), name="writer")
        await until(has_tried_five_times)
        assert await left_on_stream(redis) == (1, 1)
        await mend(store)
        is_mended.set()
        await everything_posted(redis)
        stop.set()
        await running
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6]
    failed = [line["log_level"] for line in logs if line["event"] == "ledger_step_failed"]
    assert failed == [level] * 5
    (state,) = await store.wallet_states([wallet.wallet_id])
    assert state.balance_nanos == 10 * USD - 30
    assert (await audit(store.pool)).holds


def test_what_redis_says_passes_too() -> None:
    assert set(UNAVAILABLE) < set(PASSING)
