"""One port or two, on real sockets: each with its own paths, both closed together."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from structlog.testing import capture_logs

from proxy import listeners
from proxy.drain import Drain
from proxy.http.answers import json_response
from proxy.listeners import listen
from proxy.process.starting import StartError
from runtime.http.request import Reply, Request
from runtime.settings import AdminListen, Listen
from tests.support.asking import begin
from tests.support.waiting import until

ONE = Listen(port=0)
TWO = Listen(port=0, admin=AdminListen(port=0))
TWO_PATHS = ("public", "admin")


class Rooms:
    """Two tables, `/public` and `/admin`; `/slow` of both waits for `go`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = 0
        self.drain = Drain()
        self.public = {("GET", "/public"): self.hello, ("GET", "/slow"): self.slow}
        self.admin = {("GET", "/admin"): self.hello, ("GET", "/slow"): self.slow}

    async def hello(self, _request: Request) -> Reply:
        return json_response(200, [], b'"hello"')

    async def slow(self, request: Request) -> Reply:
        self.waiting += 1
        await self.go.wait()
        return await self.hello(request)

    async def open(self, stack: AsyncExitStack, settings: Listen) -> tuple[str, str]:
        """The two addresses; the second is empty where there is one."""
        with capture_logs() as logs:
            listeners = await listen(stack, settings, self.public, self.admin, self.drain, reuse_port=False)
        return listeners.address, next((line["address"] for line in logs if line["event"] == "serving_admin"), "")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


async def status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as answer:
        return answer.status


async def test_each_path_is_at_its_port(http: aiohttp.ClientSession) -> None:
    async with AsyncExitStack() as stack:
        public, admin = await Rooms().open(stack, TWO)
        found = {
            url: await status(http, url) for port in (public, admin) for url in (f"{port}/public", f"{port}/admin")
        }
    assert found == {f"{public}/public": 200, f"{public}/admin": 404, f"{admin}/public": 404, f"{admin}/admin": 200}


async def test_without_a_second_port_nobody_listens_for_administrators(http: aiohttp.ClientSession) -> None:
    async with AsyncExitStack() as stack:
        public, admin = await Rooms().open(stack, ONE)
        assert (await status(http, f"{public}/public"), admin) == (200, "")


async def test_both_stop_taking_requests_at_once_and_finish_what_they_have(http: aiohttp.ClientSession) -> None:
    rooms, stack = Rooms(), AsyncExitStack()
    public, admin = await rooms.open(stack, TWO)
    running = [begin(status(http, f"{port}/slow")) for port in (public, admin)]
    await until(lambda: rooms.waiting == 2)
    closing = begin(stack.aclose())
    await until(lambda: rooms.drain.is_draining)
    for port in (public, admin):
        with pytest.raises(aiohttp.ClientConnectorError):
            async with aiohttp.ClientSession() as newcomer:
                await status(newcomer, f"{port}/slow")
    assert not closing.done() and not any(task.done() for task in running)
    rooms.go.set()
    assert await asyncio.gather(*running) == [200, 200]
    await closing


async def test_for_a_while_all_are_still_answered_and_told_to_go_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever deals out requests has not looked at `/readyz` yet."""
    rooms, over, asked_s = Rooms(), asyncio.Event(), list[float]()

    async def sleep(seconds: float) -> None:
        asked_s.append(seconds)
        await over.wait()

    monkeypatch.setattr(listeners, "sleep", sleep)
    stack = AsyncExitStack()
    ports = await rooms.open(stack, TWO.model_copy(update={"shutdown_delay_s": 5.0}))
    async with aiohttp.ClientSession() as kept:
        assert [await status(kept, f"{port}/{path}") for port, path in zip(ports, TWO_PATHS, strict=True)] == [200, 200]
        rooms.drain.is_draining = True
        closing = begin(stack.aclose())
        await until(lambda: asked_s == [5.0])
        for client in (kept, aiohttp.ClientSession()):  # the second comes only now
            async with client:
                for port, path in zip(ports, TWO_PATHS, strict=True):
                    async with client.get(f"{port}/{path}") as answer:
                        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert not closing.done()
        over.set()
        await closing
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as newcomer:
            await status(newcomer, f"{ports[0]}/public")


async def test_a_start_that_fails_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody was sent here yet."""

    async def sleep(_: float) -> None:
        raise AssertionError("nobody is waited for")

    monkeypatch.setattr(listeners, "sleep", sleep)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Listen(port=taken.getsockname()[1], admin=AdminListen(port=0), shutdown_delay_s=5)
        async with AsyncExitStack() as stack:
            with pytest.raises(StartError):
                await Rooms().open(stack, settings)


@pytest.mark.parametrize("which", ["listen", "listen.admin"])
async def test_a_port_that_is_taken_is_said_by_its_setting(which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Listen(port=port) if which == "listen" else Listen(port=0, admin=AdminListen(port=port))
        async with AsyncExitStack() as stack:
            with pytest.raises(StartError, match=rf"^{which}: cannot listen on 127\.0\.0\.1 port {port} "):
                await Rooms().open(stack, settings)
