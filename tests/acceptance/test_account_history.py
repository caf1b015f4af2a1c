"""A person's lines and requests over HTTP: paged, added up, as a file; and nobody else's."""

import csv
import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from accounts.api.history_shapes import TransactionsAnswer, UsagePageAnswer, UsageStatisticsAnswer
from accounts.api.wallet import WalletAnswer
from accounts.identity import mint_token
from ledger.entries import WalletState
from runtime.clock import wall_ms
from runtime.ids import new_request_id
from tests.support.ledger import USD, funded_wallet, settled
from tests.support.office import Office
from tests.support.program import JWT_SECRET, Program

BASE = "/api/ai-api"
KEYS = (UUID(int=21), UUID(int=22))
COUNT = 45
DAY_MS = 86_400_000


class Reader:
    """What one person sees."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, wallet: WalletState) -> None:
        self._http = http
        self._base_url = base_url + BASE
        self.wallet = wallet
        self.auth = {"authorization": f"Bearer {mint_token(wallet.user_id, JWT_SECRET, now_ms=wall_ms())}"}

    async def raw(self, path: str, **query: str) -> tuple[int, Any, bytes]:
        async with self._http.get(self._base_url + path, params=query, headers=self.auth) as answer:
            return answer.status, answer.headers, await answer.read()

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        status, _, body = await self.raw(path, **query)
        return status, json.loads(body, parse_float=Decimal)


@pytest.fixture
async def ana(office: Office, program: Program, http: aiohttp.ClientSession) -> AsyncIterator[Reader]:
    """45 requests over three days, by two keys, of two models, one of which is called 007; and a bonus."""
    wallet = await funded_wallet(office.store)
    now_ms = wall_ms()
    await office.store.post(
        [
            settled(
                wallet,
                1000 + number,
                request_id=new_request_id(now_ms - number % 3 * DAY_MS),
                model=("007", "=large")[number % 2],
                api_key_id=KEYS[number % 5 == 0],
            )
            for number in range(COUNT)
        ]
    )
    yield Reader(http, program.base_url, wallet)


@pytest.mark.parametrize(
    ("path", "name", "expected"), [("/usage", "usage", COUNT), ("/transactions", "transactions", COUNT + 1)]
)
async def test_pages_lead_to_every_row_once(ana: Reader, path: str, name: str, expected: int) -> None:
    seen: list[Any] = []
    query = {"limit": "20"}
    while True:
        status, page = await ana.get(path, **query)
        assert status == 200 and page["success"] is True and len(page[name]) <= 20
        (TransactionsAnswer if name == "transactions" else UsagePageAnswer).model_validate(page)
        seen += page[name]
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]
    assert len({row["id"] for row in seen}) == len(seen) == expected
    assert [row["created_at"] for row in seen] == sorted((row["created_at"] for row in seen), reverse=True)


async def test_rows_by_model_key_and_day(ana: Reader) -> None:
    async def count(**query: str) -> int:
        return len((await ana.get("/usage", **query))[1]["usage"])

    assert await count(model="007") == 23 and await count(model="7") == 0
    assert await count(keyId=str(KEYS[1])) == 9
    assert await count(model="007", keyId=str(KEYS[1])) == 5
    assert await count(startDate="2999-01-01") == 0 and await count(endDate="2001-01-01") == 0
    lines = (await ana.get("/transactions", keyId=str(KEYS[1])))[1]["transactions"]
    assert len(lines) == 9 and {line["type"] for line in lines} == {"usage"}


async def test_what_it_comes_to_by_model_key_and_day(ana: Reader) -> None:
    status, answer = await ana.get("/usage/statistics")
    assert status == 200
    UsageStatisticsAnswer.model_validate(answer)
    stats = answer["usageStats"]
    total = sum(1000 + number for number in range(COUNT))
    assert (stats["totalRequests"], stats["totalCost"] * USD) == (COUNT, total)
    assert stats["byKey"][str(KEYS[1])]["requests"] == 9
    assert [day["requests"] for day in stats["byDay"].values()] == [15, 15, 15]
    assert list(stats["byDay"]) == sorted(stats["byDay"], reverse=True)
    for groups in ("byModel", "byKey", "byDay"):
        assert sum(group["cost"] for group in stats[groups].values()) == stats["totalCost"]
    (_, of_key) = await ana.get("/usage/statistics", keyId=str(KEYS[0]))
    assert (of_key["usageStats"]["totalRequests"], list(of_key["usageStats"]["byKey"])) == (36, [str(KEYS[0])])


async def test_the_wallet_takes_the_same_filters_and_names_its_owner(ana: Reader) -> None:
    status, answer = await ana.get("/wallet", keyId=str(KEYS[1]), limit="3")
    assert status == 200
    WalletAnswer.model_validate(answer)
    assert answer["wallet"]["userId"] == str(ana.wallet.user_id)
    assert (len(answer["transactions"]), answer["usageStats"]["totalRequests"]) == (3, 9)


@pytest.mark.parametrize(("name", "expected"), [("usage", COUNT), ("transactions", COUNT + 1)])
async def test_all_of_it_as_a_file(ana: Reader, name: str, expected: int) -> None:
    status, headers, body = await ana.raw(f"/{name}.csv")
    assert status == 200 and headers["content-type"].startswith("text/csv") and headers["x-request-id"]
    assert headers["content-disposition"] == f'attachment; filename="farebox-{name}.csv"'
    head, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
    assert head[:2] == ["created_at", "id"] and len(rows) == expected
    page = (await ana.get(f"/{name}", limit="1000"))[1][name]
    assert [row[1] for row in rows] == [row["id"] for row in page]
    assert (await ana.raw(f"/{name}.csv", model="=large"))[2].count(b"\r\n") == 1 + 22
    assert (await ana.raw(f"/{name}.csv", startDate="2999-01-01"))[2].count(b"\r\n") == 1


PATHS = ("/usage", "/transactions", "/usage.csv", "/transactions.csv", "/usage/statistics", "/wallet")


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_somebody_elses_is_not_there(
    ana: Reader, office: Office, program: Program, http: aiohttp.ClientSession, path: str
) -> None:
    bob = Reader(http, program.base_url, await office.store.ensure_wallet(UUID(int=5)))
    status, _, body = await bob.raw(path)
    assert status == 200
    for hers in (str(KEYS[0]), str(KEYS[1]), "007", str(ana.wallet.wallet_id)):
        assert hers.encode() not in body
    assert (await bob.raw(path, keyId=str(KEYS[0])))[0] == 200
    bob.auth = {}
    status, _, body = await bob.raw(path)
    assert (status, json.loads(body)["code"]) == (401, "invalid_token")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "query",
    [
        {"startDate": "x"}, {"endDate": "0"}, {"startDate": "2026-01-02", "endDate": "2025-01-01"},
        {"startDate": "0001-01-01"}, {"endDate": "9999-12-31"}, {"keyId": "x"}, {"keyId": ""}, {"model": ""},
        {"model": "\x00"}, {"model": "m" * 513}, {"colour": "red"}, {"limit": "0"}, {"limit": "NaN"}, {"cursor": "x"},
        {"cursor": "A" * 64}, {"limit": "1e3"},
    ],
    ids=repr,
)  # fmt: skip
async def test_a_bad_query_is_refused(ana: Reader, path: str, query: dict[str, str]) -> None:
    status, refused = await ana.get(path, **query)
    assert status == 400 and set(refused) == {"error", "code"}


async def test_a_cursor_is_good_for_one_list_of_one_person(
    ana: Reader, office: Office, program: Program, http: aiohttp.ClientSession
) -> None:
    cursor = (await ana.get("/usage", limit="1"))[1]["nextCursor"]
    bob = Reader(http, program.base_url, await funded_wallet(office.store))
    assert (await ana.get("/transactions", cursor=cursor))[0] == 400
    assert (await bob.get("/usage", cursor=cursor))[0] == 400
