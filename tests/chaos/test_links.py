"""The proxy between two parts does to bytes what it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.chaos.links import Link, Mode, Pace, open_link

# For what must not come: long enough for a loop that is busy, and it costs the suite.
A_MOMENT_S = 0.2
OPEN: list[asyncio.StreamWriter] = []
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo_through_link() -> AsyncIterator[tuple[Link, "asyncio.Queue[bytes]"]]:
    """A link to a server that says everything twice; the queue has what it heard."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    serving: list[asyncio.Task[None] | None] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        try:
            while data := await reader.read(1000):
                heard.put_nowait(data)
                writer.write(data * 2)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        async with open_link("a>b", server.sockets[0].getsockname()[:2]) as link:
            yield link, heard
    finally:
        server.close()
        await asyncio.gather(*(task for task in serving if task is not None))


async def connect(link: Link) -> Ends:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    OPEN.append(writer)
    return reader, writer


@pytest.fixture(autouse=True)
async def close_what_was_opened() -> AsyncIterator[None]:
    yield
    for writer in OPEN:
        writer.transport.abort()
    OPEN.clear()


async def says(ends: Ends, text: bytes) -> bytes:
    ends[1].write(text)
    return await ends[0].readexactly(2 * len(text))


async def is_silent(ends: Ends) -> bool:
    try:
        async with asyncio.timeout(A_MOMENT_S):
            await ends[0].read(1)
        return False
    except TimeoutError:
        return True


async def is_reset(ends: Ends) -> bool:
    try:
        await ends[0].read(1)
        return False
    except ConnectionResetError:
        return True


async def test_it_passes_bytes_and_the_end_of_them() -> None:
    async with echo_through_link() as (link, _):
        ends = await connect(link)
        assert await says(ends, b"hello") == b"hellohello"
        ends[1].write_eof()
        assert await ends[0].read() == b""


async def test_a_cut_resets_what_is_open_and_what_comes_and_then_it_passes_again() -> None:
    async with echo_through_link() as (link, _):
        ends = await connect(link)
        await says(ends, b"x")
        link.set(Mode.CUT)
        assert await is_reset(ends)
        assert await is_reset(await connect(link))
        link.set(Mode.PASS)
        assert await says(await connect(link), b"y") == b"yy"


async def test_where_nobody_listens_it_resets() -> None:
    async with open_link("a>b", None) as link:
        assert await is_reset(await connect(link))


async def test_what_is_sent_into_a_hanging_link_arrives_when_it_passes_again() -> None:
    async with echo_through_link() as (link, heard):
        ends = await connect(link)
        link.set(Mode.HANG)
        ends[1].write(b"late")
        assert await is_silent(ends) and heard.empty()
        link.set(Mode.PASS)
        assert await ends[0].readexactly(8) == b"latelate"


async def test_what_is_swallowed_is_gone_and_its_connection_is_reset_in_the_end() -> None:
    async with echo_through_link() as (link, heard):
        ends, untouched = await connect(link), await connect(link)
        await says(untouched, b"x")
        heard.get_nowait()
        link.set(Mode.SWALLOW)
        ends[1].write(b"gone")
        assert await is_silent(ends) and heard.empty()
        link.set(Mode.PASS)
        assert await is_reset(ends)
        assert await says(untouched, b"y") == b"yy"


async def test_half_open_the_server_hears_and_is_not_heard() -> None:
    async with echo_through_link() as (link, heard):
        ends = await connect(link)
        link.set(Mode.HALF_OPEN)
        ends[1].write(b"hello?")
        assert await heard.get() == b"hello?"
        assert await is_silent(ends)
        link.set(Mode.PASS)
        assert await is_reset(ends)


async def test_a_slow_link_is_late_but_loses_nothing() -> None:
    async with echo_through_link() as (link, _):
        ends = await connect(link)
        link.set(Mode.SLOW, Pace(latency_s=A_MOMENT_S, bytes_per_s=100_000))
        ends[1].write(b"x")
        assert await is_silent(ends)
        assert await ends[0].readexactly(2) == b"xx"


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.PASS])
async def test_closing_ends_whatever_is_going_on(mode: Mode) -> None:
    async with echo_through_link() as (link, _):
        ends = await connect(link)
        await says(ends, b"x")
        link.set(mode)
        ends[1].write(b"y")
    async with asyncio.timeout(10):
        try:
            await ends[0].read()
        except ConnectionResetError:
            pass
