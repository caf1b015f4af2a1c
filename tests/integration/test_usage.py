"""Pages, statistics and exports of a user's requests, on rows posted as the ledger posts them."""

import asyncio
import csv
import io
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts import pages
from accounts.cursors import Listing, Position, encode_cursor
from accounts.errors import InvalidRequest
from accounts.filters import MAX_LIMIT, Filter
from accounts.statistics import Sums, UsageStatistics, total
from accounts.transactions import Transactions
from accounts.usage import COLUMNS, Usage, UsageRow
from ledger.audit import audit
from ledger.entries import SettledEntry, WalletState
from ledger.migrate import migrate, read_migrations
from ledger.postgres import Store
from runtime.ids import new_request_id, time_of_ms
from runtime.postgres import create_pool
from tests.support.ledger import USD, funded_wallet, settled

DAY_MS = 86_400_000
START_MS = 1_767_225_600_000  # 2026-01-01
KEYS = (UUID(int=21), UUID(int=22))
MODELS = ("=SUM(A1)", "small", "large")
EVERYTHING = Filter()


def at(days: float) -> datetime:
    return datetime.fromtimestamp((START_MS + int(days * DAY_MS)) / 1000, UTC)


@dataclass(frozen=True)
class Books:
    """A user with 120 requests over ten days, some in the same millisecond, beside another with the same."""

    store: Store
    wallet: WalletState
    entries: list[SettledEntry]
    other: WalletState

    @property
    def user_id(self) -> UUID:
        return self.wallet.user_id

    def chosen(self, wanted: Filter) -> list[SettledEntry]:
        """What a filter should leave, newest first: in plain Python."""
        return sorted(filter(lambda entry: matches(entry, wanted), self.entries), key=place, reverse=True)


def moment(settled_entry: SettledEntry) -> datetime:
    return at((time_of_ms(settled_entry.entry.request_id) - START_MS) / DAY_MS)


def place(settled_entry: SettledEntry) -> tuple[int, UUID]:
    return time_of_ms(settled_entry.entry.request_id), settled_entry.entry.request_id


def matches(settled_entry: SettledEntry, wanted: Filter) -> bool:
    entry = settled_entry.entry
    return (
        (wanted.start is None or moment(settled_entry) >= wanted.start)
        and (wanted.end is None or moment(settled_entry) < wanted.end)
        and wanted.model in (None, entry.model)
        and wanted.key_id in (None, entry.api_key_id)
    )


def some_requests(wallet: WalletState, chance: random.Random) -> list[SettledEntry]:
    times = [START_MS + chance.randrange(10 * DAY_MS) for _ in range(100)]
    times += [START_MS + DAY_MS * 5] * 15 + [START_MS + DAY_MS * 5 - 1] * 5
    return [
        settled(
            wallet,
            chance.randrange(1, 10_000),
            request_id=new_request_id(ms),
            model=chance.choice(MODELS),
            api_key_id=chance.choice(KEYS),
            input_tokens=chance.randrange(100),
        )
        for ms in times
    ]


@pytest.fixture
async def books(database_url: str) -> AsyncIterator[Books]:
    pool = await create_pool(database_url)
    store = Store(pool)
    wallet, other = [await funded_wallet(store) for _ in range(2)]
    entries = some_requests(wallet, random.Random(3))
    await store.post(entries + some_requests(other, random.Random(4)))
    yield Books(store, wallet, entries, other)
    assert (await audit(pool)).holds
    await pool.close()


FILTERS = [
    EVERYTHING,
    Filter(start=at(2.4)),
    Filter(end=at(5)),
    Filter(at(2), at(7)),
    Filter(at(2.3), at(7.9)),
    Filter(at(5), at(5)),
    Filter(at(5), at(5.3)),
    Filter(at(4.9), at(5.3)),
    Filter(at(4.2), at(4.9), model="small"),
    Filter(model="large", key_id=KEYS[0]),
    Filter(at(1), at(9), model=MODELS[0]),
    Filter(key_id=KEYS[1]),
    Filter(model="never used"),
    Filter(key_id=UUID(int=1)),
    Filter(start=at(400)),
    Filter(end=at(-400)),
    Filter(model="'; DROP TABLE ai_usage_logs; --"),
]


async def all_pages(books: Books, wanted: Filter, limit: int) -> list[UsageRow]:
    found: list[UsageRow] = []
    cursor: str | None = None
    while True:
        page = await Usage(books.store.pool).page(books.user_id, wanted, limit, cursor)
        assert len(page.rows) <= limit
        found += page.rows
        if page.next_cursor is None:
            return found
        assert len(page.rows) == limit
        cursor = page.next_cursor


@pytest.mark.parametrize("wanted", FILTERS)
async def test_pages_hold_every_row_of_the_filter_once_newest_first(books: Books, wanted: Filter) -> None:
    expected = [entry.entry.request_id for entry in books.chosen(wanted)]
    for limit in (7, 40, MAX_LIMIT):
        assert [row.id for row in await all_pages(books, wanted, limit)] == expected


@pytest.mark.parametrize("wanted", FILTERS)
async def test_statistics_are_what_the_rows_add_up_to(books: Books, wanted: Filter) -> None:
    sums: dict[str, Sums] = {}
    for chosen in books.chosen(wanted):
        entry = chosen.entry
        known = sums.get(entry.model, Sums(entry.model, 0, 0, 0))
        tokens = entry.input_tokens + 3 + 2 + 20 + 5
        sums[entry.model] = replace(
            known,
            requests=known.requests + 1,
            tokens=known.tokens + tokens,
            cost_nanos=known.cost_nanos + entry.cost_nanos,
        )
    expected = total([sums[model] for model in sorted(sums)])
    assert await Usage(books.store.pool).statistics(books.user_id, wanted) == expected


def sums_by(chosen: list[SettledEntry], name_of: Callable[[SettledEntry], str]) -> dict[str, Sums]:
    """In plain Python, in no order."""
    sums: dict[str, Sums] = {}
    for settled_entry in chosen:
        name = name_of(settled_entry)
        known = sums.get(name, Sums(name, 0, 0, 0))
        tokens = known.tokens + settled_entry.entry.input_tokens + 3 + 2 + 20 + 5
        cost_nanos = known.cost_nanos + settled_entry.entry.cost_nanos
        sums[name] = Sums(name, known.requests + 1, tokens, cost_nanos)
    return sums


@pytest.mark.parametrize("wanted", FILTERS)
async def test_a_breakdown_is_what_the_rows_add_up_to(books: Books, wanted: Filter) -> None:
    chosen = books.chosen(wanted)
    found = await Usage(books.store.pool).breakdown(books.user_id, wanted)
    models = sums_by(chosen, lambda settled_entry: settled_entry.entry.model)
    keys = sums_by(chosen, lambda settled_entry: str(settled_entry.entry.api_key_id))
    days = sums_by(chosen, lambda settled_entry: moment(settled_entry).date().isoformat())
    for groups, expected in ((found.total.by_model, models), (found.by_key, keys)):
        assert {group.name: group for group in groups} == expected
        assert [group.cost_nanos for group in groups] == sorted((s.cost_nanos for s in expected.values()), reverse=True)
    assert list(found.by_day) == [days[day] for day in sorted(days, reverse=True)]
    assert replace(found.total, by_model=()) == replace(total(list(models.values())), by_model=())


async def test_of_many_groups_the_latest_days_and_the_dearest_of_the_others(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Usage(books.store.pool)
    whole = await usage.breakdown(books.user_id, EVERYTHING)
    assert len(whole.by_day) == 10
    monkeypatch.setattr("accounts.statistics.MAX_GROUPS", 1)
    cut = await usage.breakdown(books.user_id, EVERYTHING)
    assert (cut.total.by_model, cut.by_key, cut.by_day) == (
        whole.total.by_model[:1],
        whole.by_key[:1],
        whole.by_day[:1],
    )
    assert cut.total.requests == whole.total.requests == 120


async def test_a_row_says_what_was_used_and_what_it_cost(books: Books) -> None:
    entry = books.chosen(EVERYTHING)[0].entry
    (row,) = (await Usage(books.store.pool).page(books.user_id, EVERYTHING, 1)).rows
    assert (row.id, row.model, row.api_key_id) == (entry.request_id, entry.model, entry.api_key_id)
    assert (row.input_tokens, row.output_tokens, row.total_tokens) == (entry.input_tokens, 20, entry.input_tokens + 30)
    assert (row.cost_nanos, row.uncollected_nanos, row.status_code) == (entry.cost_nanos, 0, 200)


async def test_rows_that_arrive_between_two_pages_shift_nothing(books: Books) -> None:
    usage = Usage(books.store.pool)
    first = await usage.page(books.user_id, EVERYTHING, 50)
    await books.store.post([settled(books.wallet, request_id=new_request_id(START_MS + 30 * DAY_MS))])
    second = await usage.page(books.user_id, EVERYTHING, MAX_LIMIT, first.next_cursor)
    expected = [entry.entry.request_id for entry in books.chosen(EVERYTHING)]
    assert [row.id for row in first.rows + second.rows] == expected


async def test_a_user_without_a_wallet_has_used_nothing(books: Books) -> None:
    usage = Usage(books.store.pool)
    assert await usage.statistics(uuid4(), EVERYTHING) == UsageStatistics(0, 0, 0, ())
    page = await usage.page(uuid4(), EVERYTHING)
    assert (page.rows, page.next_cursor) == ((), None)


async def exported(export: AsyncIterator[bytes]) -> list[list[str]]:
    chunks = [chunk async for chunk in export]
    return list(csv.reader(io.StringIO(b"".join(chunks).decode(), newline="")))


@pytest.mark.parametrize("size", [1, 7, 120, 2000])
@pytest.mark.parametrize("wanted", [EVERYTHING, Filter(at(2), at(7), model="small"), Filter(model="never used")])
async def test_an_export_is_every_row_once(
    books: Books, wanted: Filter, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "EXPORT_PAGE", size)
    head, *rows = await exported(Usage(books.store.pool).export(books.user_id, wanted))
    assert head == list(COLUMNS)
    assert [row[1] for row in rows] == [str(entry.entry.request_id) for entry in books.chosen(wanted)]


async def test_an_export_is_exact_and_starts_no_formula(books: Books) -> None:
    await books.store.post(
        [
            settled(
                books.wallet,
                1_234_567_891,
                request_id=new_request_id(START_MS + 20 * DAY_MS + 7),
                model="=HYPERLINK()",
                error_message='-1, "cut"\r\n',
                images=3,
                audio_ms=61_001,
            )
        ]
    )
    _, newest, *_ = await exported(Usage(books.store.pool).export(books.user_id, EVERYTHING))
    row = dict(zip(COLUMNS, newest, strict=True))
    assert (row["created_at"], row["model"]) == ("2026-01-21T00:00:00.007000Z", "'=HYPERLINK()")
    assert (row["cost"], row["uncollected"], row["total_tokens"]) == ("1.234567891", "0", "40")
    assert (row["audio_output_tokens"], row["images"], row["audio_ms"]) == ("0", "3", "61001")
    assert row["error_message"] == '\'-1, "cut"\r\n'


async def test_a_reader_who_stops_in_the_middle_of_an_export_holds_no_connection(books: Books) -> None:
    pool = books.store.pool
    readers = [Usage(pool).export(books.user_id, EVERYTHING) for _ in range(pool.get_max_size() + 1)]
    for reader in readers:
        assert await anext(reader) and await anext(reader)
    assert await asyncio.wait_for(pool.fetchval("SELECT 1"), 10) == 1
    assert pool.get_idle_size() == pool.get_size()


async def test_lines_are_paged_and_exported_as_usage_is(books: Books) -> None:
    transactions = Transactions(books.store.pool)
    wanted = Filter(model="small", key_id=KEYS[0])
    page = await transactions.page(books.user_id, wanted, MAX_LIMIT)
    assert {row.request_id for row in page.rows} == {entry.entry.request_id for entry in books.chosen(wanted)}
    first = await transactions.page(books.user_id, EVERYTHING, 100)
    rest = await transactions.page(books.user_id, EVERYTHING, 100, first.next_cursor)
    lines = first.rows + rest.rows
    assert (len(lines), rest.next_cursor) == (121, None)
    assert [line.seq for line in lines] == list(range(121, 0, -1))
    head, *rows = await exported(transactions.export(books.user_id, EVERYTHING))
    assert head[:4] == ["created_at", "id", "type", "amount"]
    assert [row[1] for row in rows] == [str(line.id) for line in lines]
    assert rows[-1][2:4] == ["bonus", "10"]
    assert rows[0][3].startswith("-0.00000")


BOUNDLESS: dict[str, Any] = {"limit": MAX_LIMIT + 1}


@pytest.mark.parametrize("bad", [BOUNDLESS, {"limit": 0}, {"limit": -5}, {"limit": float("nan")}, {"cursor": "x"}])
async def test_bad_pages_are_refused(books: Books, bad: dict[str, Any]) -> None:
    for listed in (Usage(books.store.pool), Transactions(books.store.pool)):
        with pytest.raises(InvalidRequest):
            await listed.page(books.user_id, EVERYTHING, **bad)


async def test_cursors_of_others_and_of_other_lists_are_refused(books: Books) -> None:
    position = Position(at(3), 3)
    for owner, listing in ((books.other.user_id, Listing.USAGE), (books.user_id, Listing.TRANSACTIONS)):
        with pytest.raises(InvalidRequest):
            await Usage(books.store.pool).page(books.user_id, EVERYTHING, 5, encode_cursor(listing, owner, position))


async def test_a_cursor_made_by_hand_is_a_place_like_any_other(books: Books) -> None:
    for year, number in ((1, 0), (9999, 2**128 - 1)):
        position = Position(datetime(year, 6, 1, tzinfo=UTC), number)
        for listing, listed in ((Listing.USAGE, Usage), (Listing.TRANSACTIONS, Transactions)):
            cursor = encode_cursor(listing, books.user_id, position)
            page = await listed(books.store.pool).page(books.user_id, EVERYTHING, 5, cursor)
            assert len(page.rows) == (5 if year == 9999 else 0)


async def test_the_daily_sums_know_rows_from_before_and_from_older_writers(database_url: str) -> None:
    """The migration counts what is there; its trigger counts whoever posts, whatever their version."""
    pool = await create_pool(database_url)
    try:
        store = Store(pool)
        wallet = await funded_wallet(store)
        await store.post([settled(wallet, USD), settled(wallet, 1, model="b")])
        (daily,) = [migration for migration in read_migrations() if migration.name == "0006_usage_daily"]
        undo = "DROP TABLE ai_usage_daily; DROP FUNCTION farebox_sum_up_usage CASCADE"
        await pool.execute(undo)
        await pool.execute(f"BEGIN; {daily.sql} COMMIT;")
        assert (await audit(pool)).holds
        await store.post([settled(wallet, 7), settled(wallet, 8)])
        assert (await audit(pool)).holds
        assert (await Usage(pool).statistics(wallet.user_id, EVERYTHING)).cost_nanos == USD + 16
        assert await migrate(database_url) == []
    finally:
        await pool.close()


async def test_sums_beyond_64_bits_do_not_keep_a_request_from_being_posted(database_url: str) -> None:
    pool = await create_pool(database_url)
    try:
        store = Store(pool)
        wallet = await funded_wallet(store)
        none = {"cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0}
        outcome = await store.post([settled(wallet, 1, input_tokens=2**63 - 1, **none) for _ in range(3)])
        assert (outcome.posted, outcome.buried) == (3, 0)
        assert (await Usage(pool).statistics(wallet.user_id, EVERYTHING)).tokens == 3 * (2**63 - 1)
    finally:
        await pool.close()
