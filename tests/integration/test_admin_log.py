"""The log of what administrators did, in a real Postgres: only ever added to, and read in pages."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import asyncpg
import pytest

from accounts import admin_log
from accounts.admin_log import MAX_REASON_CHARS, Act, AdminLog, LogFilter, record_act
from accounts.as_user import as_user
from accounts.errors import InvalidRequest
from runtime.postgres import Pool, create_pool

ANN = UUID(int=1)
FREEZE = Act("boss", "wallet.freeze", "wallet", "w-1", ANN, {"frozen": False}, {"frozen": True}, "stolen card")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await create_pool(database_url)
    yield pool
    await pool.close()


async def write(pool: Pool, *acts: Act) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for act in acts:
            await record_act(connection, act)


async def read(pool: Pool, wanted: LogFilter = LogFilter()) -> list[Act]:  # noqa: B008 -- frozen
    return [row.act for row in (await AdminLog(pool).page(wanted)).rows]


async def test_an_act_comes_back_as_it_was(pool: Pool) -> None:
    nobodys = Act("cli:root", "price.set", "price", "tiny/model", None, None, {"input": "0.5"}, "")
    await write(pool, FREEZE, nobodys)
    assert await read(pool) == [nobodys, FREEZE]
    (newest, oldest) = (await AdminLog(pool).page()).rows
    assert newest.id > oldest.id and newest.at >= oldest.at


async def test_what_json_and_postgres_cannot_hold_is_written_as_text(pool: Pool) -> None:
    facts = {"id": ANN, "at": datetime(2026, 1, 2, tzinfo=UTC), "amount": Decimal("0.000000001")}
    await write(pool, replace(FREEZE, after=facts, reason="a\x00b\ud800"))
    (act,) = await read(pool)
    assert act.after == {"id": str(ANN), "at": "2026-01-02T00:00:00+00:00", "amount": "1E-9"}
    assert act.reason == "a\ufffdb?"


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE farebox_admin_log SET reason = 'nothing'",
        "DELETE FROM farebox_admin_log",
        "TRUNCATE farebox_admin_log",
        "UPDATE farebox_request_refunds SET request_id = gen_random_uuid()",
        "DELETE FROM farebox_request_refunds",
        "TRUNCATE farebox_request_refunds",
    ],
)
async def test_lines_are_only_ever_added(pool: Pool, tampering: str) -> None:
    await write(pool, FREEZE)
    async with pool.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")  # for a refund of nothing
        await connection.execute("INSERT INTO farebox_request_refunds VALUES (gen_random_uuid(), gen_random_uuid())")
        await connection.execute("RESET session_replication_role")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await pool.execute(tampering)
    assert await read(pool) == [FREEZE]


@pytest.mark.parametrize(
    "changes",
    [
        {"actor": ""}, {"action": "freeze"}, {"action": "Wallet.Freeze"}, {"action": f"a.{'b' * 33}"},
        {"target_kind": ""}, {"target_kind": "k" * 65}, {"target_id": ""}, {"target_id": "t" * 201},
        {"before": {"x": "y" * 16_384}}, {"after": {"x": "y" * 16_384}},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
async def test_no_field_is_without_a_bound(pool: Pool, changes: dict[str, object]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await write(pool, replace(FREEZE, **changes))  # type: ignore[arg-type]  # each is of its field's type
    assert await read(pool) == []


async def test_the_longest_reason_fits_and_a_longer_one_is_refused(pool: Pool) -> None:
    longest = replace(FREEZE, reason="ü" * MAX_REASON_CHARS, actor="a" * 200)
    await write(pool, longest)
    assert await read(pool) == [longest]
    with pytest.raises(InvalidRequest, match="reason"):
        replace(FREEZE, reason="x" * (MAX_REASON_CHARS + 1))
    with pytest.raises(InvalidRequest, match="actor"):
        replace(FREEZE, actor="a" * 201)


async def test_users_see_nothing_of_it(pool: Pool) -> None:
    await write(pool, FREEZE)
    for table in ("farebox_admin_log", "farebox_request_refunds"):
        async with as_user(pool, ANN) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {table}")


async def test_filters(pool: Pool) -> None:
    bob = uuid4()
    other = Act("clerk", "key.freeze", "key", "k", bob, None, None, "x")
    await write(pool, FREEZE)
    (first,) = (await AdminLog(pool).page()).rows
    await write(pool, other)
    assert await read(pool, LogFilter(actor="boss")) == [FREEZE]
    assert await read(pool, LogFilter(action="key.freeze")) == [other]
    assert await read(pool, LogFilter(user_id=bob)) == [other]
    assert await read(pool, LogFilter(actor="boss", user_id=bob)) == []
    just_after = first.at + timedelta(microseconds=1)
    assert await read(pool, LogFilter(end=just_after)) == [FREEZE]
    assert await read(pool, LogFilter(start=just_after)) == [other]
    assert await read(pool, LogFilter(start=first.at, end=first.at)) == []


@pytest.mark.parametrize(
    "wanted",
    [{"actor": ""}, {"actor": "a\x00"}, {"actor": "a" * 201}, {"action": "\ud800"}, {"action": "a" * 66},
     {"start": datetime(2026, 1, 2, tzinfo=UTC), "end": datetime(2026, 1, 1, tzinfo=UTC)},
     {"start": datetime(2026, 1, 1)}],
    ids=repr,
)  # fmt: skip
def test_a_filter_that_no_line_could_match_is_refused(wanted: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        LogFilter(**wanted)  # type: ignore[arg-type]  # each is of its field's type


async def test_pages_show_every_line_once_also_those_of_one_moment(pool: Pool) -> None:
    acts = [replace(FREEZE, target_id=f"w-{number}") for number in range(7)]
    await write(pool, *acts)
    await pool.execute(
        "INSERT INTO farebox_admin_log (at, actor, action, target_kind, target_id, reason) "
        "SELECT '2026-01-01', 'boss', 'wallet.freeze', 'wallet', 'old-' || i, '' FROM generate_series(1, 5) i"
    )
    log, seen, cursor = AdminLog(pool), list[str](), None
    for _ in range(4):
        page = await log.page(LogFilter(actor="boss"), 3, cursor)
        seen += [row.act.target_id for row in page.rows]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == [f"w-{number}" for number in range(6, -1, -1)] + [f"old-{number}" for number in range(5, 0, -1)]


@pytest.mark.parametrize(("limit", "cursor"), [(0, None), (1001, None), (10, "x"), (10, "A" * 64)])
async def test_what_is_no_page_is_refused(pool: Pool, limit: int, cursor: str | None) -> None:
    with pytest.raises(InvalidRequest):
        await AdminLog(pool).page(LogFilter(), limit, cursor)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(LogFilter(), "farebox_admin_log_at"), (LogFilter(actor="actor-7"), "farebox_admin_log_actor"),
     (LogFilter(user_id=UUID(int=7)), "farebox_admin_log_user")],
    ids=["all", "actor", "user"],
)  # fmt: skip
async def test_a_page_is_read_from_an_index(pool: Pool, wanted: LogFilter, index: str) -> None:
    await pool.execute(
        "INSERT INTO farebox_admin_log (actor, action, target_kind, target_id, user_id, reason) "
        "SELECT 'actor-' || i % 100, 'key.freeze', 'key', 'k', lpad(to_hex(i % 100), 32, '0')::uuid, '' "
        "FROM generate_series(1, 5000) i"
    )
    await pool.execute("ANALYZE farebox_admin_log")
    bounds = (wanted.start, wanted.end, wanted.actor, wanted.action, wanted.user_id, None, None, 51)
    plan = await pool.fetch(f"EXPLAIN {admin_log._QUERIES['page']}", *bounds)
    assert any(f" {index} " in line[0] for line in plan), plan
