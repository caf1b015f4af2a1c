"""Which ids are looked up how, who must wait, and what is said of what is not there."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.request_usage import RequestUsage
from accounts.usage import UsageRow
from proxy.callers import Callers
from proxy.keys.verifier import Identity
from proxy.usage_lookup import UsageLookup, as_uuid, is_client_id, not_found
from runtime.http.request import Request
from runtime.ids import new_request_id
from tests.support.calls import IDENTITY
from tests.support.memory_http import Answer, connected, get

NOW_MS = 1_790_000_000_000
OURS = new_request_id(NOW_MS, bytes(16))
NOBODYS = UUID(int=9)


def row(request_id: UUID) -> UsageRow:
    return UsageRow(
        id=request_id, created_at=datetime(2026, 11, 22, tzinfo=UTC), api_key_id=UUID(int=1), model="tiny",
        endpoint="/v1/chat/completions", input_tokens=1, cached_input_tokens=0, cache_write_tokens=0, output_tokens=2,
        reasoning_tokens=0, audio_input_tokens=0, audio_output_tokens=0, total_tokens=3, images=0, audio_ms=0,
        cost_nanos=1_000_000_001, uncollected_nanos=1, usage_source="reported", end_reason="completed",
        status_code=200, response_time_ms=4, error_message=None,
    )  # fmt: skip


class Books:
    """Knows OURS, which its client called `theirs`; asked for `slow` it waits to be let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.fault: Exception | None = None
        self.running = self.most_at_once = 0

    async def by_request_id(self, user_id: UUID, request_id: UUID) -> RequestUsage | None:
        return RequestUsage(row(OURS), "theirs") if (user_id, request_id) == (IDENTITY.user_id, OURS) else None

    async def by_client_request_id(self, user_id: UUID, client_request_id: str) -> RequestUsage | None:
        if self.fault is not None:
            raise self.fault
        if client_request_id == "slow":
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
            await self.go.wait()
            self.running -= 1
        return RequestUsage(row(OURS), "theirs") if client_request_id == "theirs" else None


class AnyCaller:
    async def identify(self, request: Request) -> Identity:
        return IDENTITY


async def ask(books: Books, wanted: str) -> Answer:
    lookup = UsageLookup(cast(Callers, AnyCaller()), books, lambda: NOW_MS)
    async with connected({("GET", "/v1/usage/{request_id}"): lookup.show}) as client:
        return await client.ask(get(f"/v1/usage/{wanted}"))


@pytest.mark.parametrize("wanted", [str(OURS), str(OURS).upper(), "theirs"])
async def test_a_request_is_found_by_either_id(wanted: str) -> None:
    answer = await ask(Books(), wanted)
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert (found["object"], found["id"], found["client_request_id"]) == ("usage", str(OURS), "theirs")
    assert b'"charged":1,' in answer.body and b'"cost":1.000000001,' in answer.body
    assert (found["usage_source"], found["end_reason"], found["uncollected"]) == ("reported", "completed", 1e-9)


@pytest.mark.parametrize("wanted", [str(NOBODYS), "nobody's", "%00", "a%2Fb", "%ff", "%ED%A0%80"])
async def test_what_is_not_there_is_404(wanted: str) -> None:
    answer = await ask(Books(), wanted)
    assert (answer.status, answer.json()["error"]["code"]) == (404, "usage_not_found")
    assert answer.headers["retry-after"] == "1"


def test_only_what_may_still_come_is_worth_asking_for_again() -> None:
    day_ms = 86_400_000
    assert "retry-after" in not_found(str(new_request_id(NOW_MS - day_ms)), NOW_MS).headers
    assert "retry-after" not in not_found(str(new_request_id(NOW_MS - day_ms - 1)), NOW_MS).headers
    assert not_found("x", NOW_MS).body() == not_found(str(new_request_id(0)), NOW_MS).body()


async def test_postgres_away() -> None:
    books = Books()
    books.fault = ConnectionRefusedError()
    answer = await ask(books, "x")
    assert (answer.status, answer.json()["error"]["code"]) == (503, "accounts_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_one_owner_cannot_have_more_than_their_share_wait_and_few_ask_postgres_at_once() -> None:
    books = Books()
    lookup = UsageLookup(cast(Callers, AnyCaller()), books, lambda: NOW_MS)
    loop = asyncio.get_running_loop()
    request: Any = None
    waiting = [loop.create_task(lookup.show(request, "slow")) for _ in range(65)]
    refused = await waiting[-1]
    assert refused.status == 503
    books.go.set()
    assert [answer.status for answer in await asyncio.gather(*waiting[:-1])] == [404] * 64
    assert books.most_at_once == 2
    assert (await lookup.show(request, "theirs")).status == 200


@given(st.uuids())
def test_a_uuid_is_read_only_as_it_is_written(value: UUID) -> None:
    assert as_uuid(str(value)) == as_uuid(str(value).upper()) == value
    for other in (value.hex, f"{{{value}}}", f"urn:uuid:{value}", f" {value}", ""):
        assert as_uuid(other) is None


@given(st.text(st.characters(), max_size=20))
def test_every_text_is_asked_for_that_postgres_can_take(text: str) -> None:
    def can_be_sent() -> bool:
        try:
            return b"\x00" not in text.encode()
        except UnicodeEncodeError:
            return False

    assert is_client_id(text) == can_be_sent()
