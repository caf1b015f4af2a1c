"""Ways to an LLM server: names with several addresses, Unix sockets, proxies."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.upstream.dialing import MAX_ADDRESSES, Dialer
from proxy.upstream.errors import UpstreamConnectError
from proxy.upstream.pool import PoolLimits, UpstreamPool
from proxy.upstream.request import ForwardProxy, Origin
from tests.support.asking import MEGABYTE, REQUEST, ask, echo_forever
from tests.support.both_loops import BOTH_LOOPS, LoopFactory, run_on
from tests.support.scripted_server import RecordingSink, ScriptedServer, serve

AUTHORIZATION = "Basic dXNlcjpwYXNz"


@BOTH_LOOPS
def test_a_unix_socket(loop_factory: LoopFactory, tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ScriptedServer(echo_forever, "http")
        path = str(tmp_path / "llm.sock")
        listener = await asyncio.start_unix_server(server.converse, path)
        pool = UpstreamPool(Origin("http", "llm", 80, "/v1", unix_socket=path), PoolLimits())
        body = b"x" * MEGABYTE
        assert await ask(pool, b"a") == b"0:a"
        assert await ask(pool, body) == b"0:" + body
        assert pool.idle == 1
        await pool.close()
        listener.close()
        await server.finish()
        gone = UpstreamPool(Origin("http", "llm", 80, unix_socket=path + ".gone"), PoolLimits())
        with pytest.raises(UpstreamConnectError):
            await gone.send(REQUEST, RecordingSink())
        await gone.close()

    run_on(loop_factory, scenario)


class FakeProxy:
    """An HTTP proxy: a pipe for CONNECT, and else an echo, as if it had asked the server itself."""

    def __init__(self, reply: bytes = b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n") -> None:
        self.reply = reply
        self.heads: list[bytes] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if not head.startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                await reader.read()
            else:
                writer.write(self.reply)
                if b" 200 " in self.reply and self.reply.endswith(b"\r\n\r\n"):
                    await self._pipe(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _pipe(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = head.split(b" ")[1].rpartition(b":")
        there, back = await asyncio.open_connection(host.decode(), int(port))

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                target.write(data)
            target.close()

        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)
        back.close()


@asynccontextmanager
async def proxied(proxy: FakeProxy) -> AsyncIterator[ForwardProxy]:
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield ForwardProxy("127.0.0.1", listener.sockets[0].getsockname()[1], AUTHORIZATION)
    finally:
        listener.close()


@BOTH_LOOPS
def test_a_plain_request_is_handed_to_the_proxy(loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        proxy = FakeProxy()
        async with proxied(proxy) as where:
            pool = UpstreamPool(Origin("http", "llm.invalid", 8000, "/v1", proxy=where), PoolLimits())
            assert await ask(pool) == b"hi"
            await pool.close()
        (head,) = proxy.heads
        assert head.startswith(b"POST http://llm.invalid:8000/v1/ HTTP/1.1\r\nhost: llm.invalid:8000\r\n")
        assert f"\r\nproxy-authorization: {AUTHORIZATION}\r\n".encode() in head

    run_on(loop_factory, scenario)


@BOTH_LOOPS
def test_a_tls_connection_goes_through_the_proxy_as_through_a_pipe(
    loop_factory: LoopFactory, certificate: tuple[Path, Path]
) -> None:
    async def scenario() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        proxy = FakeProxy()
        async with serve(echo_forever, tls=context) as server, proxied(proxy) as where:
            trusted = ssl.create_default_context(cafile=certificate[0])
            pool = UpstreamPool(replace(server.origin, proxy=where), PoolLimits(), tls=trusted)
            body = b"x" * MEGABYTE
            assert await ask(pool, b"a") == b"0:a"
            assert await ask(pool, body) == b"0:" + body
            await pool.close()
            port = server.origin.port
        (head,) = proxy.heads
        assert head.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n".encode())
        assert f"\r\nproxy-authorization: {AUTHORIZATION}\r\n".encode() in head

    run_on(loop_factory, scenario)


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"", b"x" * 20_000, b"HTTP/1.1 200 half\r\n"], ids=range(4)
)
@BOTH_LOOPS
def test_a_proxy_that_does_not_let_us_through_is_a_server_that_is_not_reached(
    loop_factory: LoopFactory, reply: bytes
) -> None:
    async def scenario() -> None:
        async with proxied(FakeProxy(reply)) as where:
            pool = UpstreamPool(Origin("https", "llm.invalid", 443, proxy=where), PoolLimits(connect_s=0.2))
            with pytest.raises(Exception, match=r"the proxy|timed out") as caught:
                await pool.send(REQUEST, RecordingSink())
            assert not getattr(caught.value, "request_sent", True)
            assert pool.active == 0
            await pool.close()

    run_on(loop_factory, scenario)


class Names:
    """A name service in the place of the loop's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
        self.addresses = list(addresses)
        self.asked = 0
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._look_up)

    async def _look_up(self, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked += 1
        if not self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]


async def dialled(dialer: Dialer, port: int = 1) -> tuple[str, int]:
    """Where a connection to a name ends up."""
    found: list[tuple[str, int]] = []

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            found.append(transport.get_extra_info("peername"))
            transport.close()

    await dialer(Noting, Origin("http", "llm.example", port), None)
    return found[0]


@asynccontextmanager
async def listening(count: int) -> AsyncIterator[list[tuple[str, int]]]:
    def shut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    servers = [await asyncio.start_server(shut, "127.0.0.1", 0) for _ in range(count)]
    try:
        yield [server.sockets[0].getsockname() for server in servers]
    finally:
        for server in servers:
            server.close()


async def test_the_addresses_of_a_name_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(3) as addresses:
        names, dialer = Names(monkeypatch, *addresses), Dialer(5)
        found = [await dialled(dialer) for _ in range(6)]
        assert sorted(found[:3]) == sorted(found[3:]) == sorted(addresses)
        assert names.asked == 6, "a name is looked up anew for every connection"


async def test_an_address_that_takes_no_connection_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and nobody listens
        async with listening(1) as (address,):
            Names(monkeypatch, held.getsockname(), address)
            dialer = Dialer(5)
            assert [await dialled(dialer) for _ in range(3)] == [address] * 3


async def test_a_server_that_moved_is_followed_and_kept_while_names_are_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(2) as (old, new):
        names, dialer = Names(monkeypatch, old), Dialer(5)
        assert await dialled(dialer) == old
        names.addresses = [new]
        assert await dialled(dialer) == new
        names.addresses = []
        assert await dialled(dialer) == new


async def test_a_name_that_was_never_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch)
    with pytest.raises(socket.gaierror):
        await dialled(Dialer(5))


async def test_so_many_addresses_are_tried_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    async def refuse(_: socket.socket, address: object) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
    Names(monkeypatch, *((f"10.0.0.{number}", 1) for number in range(2 * MAX_ADDRESSES)))
    with pytest.raises(ConnectionRefusedError):
        await dialled(Dialer(5))
    assert len(set(tried)) == len(tried) == MAX_ADDRESSES
