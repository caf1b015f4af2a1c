"""A file arrives whole or is seen to be cut; who reads slowly or leaves holds nothing up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp
import pytest

from accounts.api.downloads import MAX_EXPORTS, MAX_EXPORTS_PER_USER, Downloads
from accounts.errors import ExportsBusy
from runtime.http.request import Reply, Request
from runtime.http.response import Response
from tests.support.http_server import Listening, listening
from tests.support.requests import made_request

ANA = UUID(int=1)
PAGE = b"x" * 100_000
GIVE_UP_S = 60.0


class Source:
    """Two pages, then `fault`; or pages for ever."""

    def __init__(self, fault: BaseException | None = None, *, is_endless: bool = False) -> None:
        self.fault = fault
        self.is_endless = is_endless
        self.pages = 0
        self.pages_each = 2
        self.closed = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            yield b"head\r\n"
            before = self.pages
            while self.is_endless or self.pages < before + self.pages_each:
                self.pages += 1
                yield PAGE
            if self.fault is not None:
                raise self.fault
        finally:
            self.closed.set()


@asynccontextmanager
async def serving(
    source: Source, page_timeout_s: float = GIVE_UP_S
) -> AsyncIterator[tuple[Listening, aiohttp.ClientSession]]:
    downloads = Downloads(page_timeout_s)

    async def handle(request: Request) -> Reply:
        try:
            return await downloads.send(request, ANA, "usage", source.chunks())
        except ExportsBusy:
            return Response(503, [])
        except OSError:
            return Response(500, [])

    async with (
        asyncio.timeout(GIVE_UP_S),
        listening(handle) as server,
        aiohttp.ClientSession() as http,
    ):
        yield server, http


async def by_http_1_0(server: Listening) -> bytes:
    """All that comes until the server closes, as a client without chunks reads it."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.transport.abort()


async def test_a_file_arrives_whole_and_says_what_it_is() -> None:
    async with serving(Source()) as (server, http):
        async with http.get(server.url) as answer:
            assert await answer.read() == b"head\r\n" + 2 * PAGE
            assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
            assert answer.headers["content-disposition"] == 'attachment; filename="farebox-usage.csv"'
            assert answer.headers["cache-control"] == "no-store" and answer.headers["x-request-id"]
        assert (await by_http_1_0(server)).endswith(b"head\r\n" + 2 * PAGE)


@pytest.mark.parametrize("fault", [ConnectionRefusedError(), TimeoutError(), KeyError("a fault of ours")], ids=repr)
async def test_a_file_that_cannot_go_on_does_not_look_whole(fault: Exception) -> None:
    source = Source(fault)
    async with serving(source) as (server, http):
        async with http.get(server.url) as answer:
            assert answer.status == 200
            with pytest.raises((aiohttp.ClientPayloadError, ConnectionResetError)):
                await answer.read()
        assert source.closed.is_set()
        with pytest.raises(ConnectionResetError):
            await by_http_1_0(server)


async def test_what_fails_before_the_first_page_is_an_answer_of_its_own() -> None:
    source = Source(ConnectionRefusedError())
    source.pages_each = 0
    async with serving(source) as (server, http), http.get(server.url) as answer:
        assert answer.status == 500


async def test_who_leaves_in_the_middle_frees_the_place() -> None:
    source = Source(is_endless=True)
    async with serving(source) as (server, http):
        for _ in range(MAX_EXPORTS_PER_USER + 1):
            source.closed.clear()
            answer = await http.get(server.url)
            assert answer.status == 200 and await answer.content.readexactly(len(PAGE))
            answer.close()
            await source.closed.wait()


async def test_who_does_not_read_is_not_read_for_and_is_cut_in_the_end() -> None:
    source = Source(is_endless=True)
    async with serving(source, page_timeout_s=0.2) as (server, http):
        answer = await http.get(server.url)
        await source.closed.wait()
        # what the kernel's buffers take on both sides, and no more
        assert source.pages * len(PAGE) < 64 << 20
        with pytest.raises((aiohttp.ClientPayloadError, ConnectionResetError)):
            await answer.read()


@pytest.mark.parametrize(
    ("owner_of", "places"), [(lambda _: ANA, MAX_EXPORTS_PER_USER), (lambda number: UUID(int=number), MAX_EXPORTS)]
)
async def test_only_so_many_at_once(owner_of: Callable[[int], UUID], places: int) -> None:
    downloads, go = Downloads(), asyncio.Event()

    async def waiting_source() -> AsyncIterator[bytes]:
        yield b"head\r\n"
        await go.wait()
        raise ConnectionRefusedError

    async def send(number: int) -> None:
        request = made_request()
        await downloads.send(request, owner_of(number), "usage", waiting_source())

    loop = asyncio.get_running_loop()
    running = [loop.create_task(send(number)) for number in range(places)]
    await asyncio.sleep(0)
    with pytest.raises(ExportsBusy):
        await send(places)
    go.set()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert {type(result) for result in results} == {ConnectionRefusedError}
    with pytest.raises(ConnectionRefusedError):
        await send(places)
