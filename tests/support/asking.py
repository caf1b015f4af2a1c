"""Servers that answer simply, and the few verbs that tests of the pool repeat."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import UpstreamPool, UpstreamRequest
from tests.support.scripted_server import Peer, RecordingSink, Script, ok

REQUEST = UpstreamRequest("POST", "/chat/completions", [(b"content-type", b"application/json")], b"{}")
MEGABYTE = 1 << 20

T = TypeVar("T")


async def echo_forever(peer: Peer) -> None:
    """Answers each request with the number of the connection and the request's body."""
    while True:
        _, body = await peer.read_request()
        await peer.send(ok(b"%d:" % peer.number + body))


def echo_after(go: asyncio.Event) -> Script:
    """The same, but not before `go`."""

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.read_request()
            await go.wait()
            await peer.send(ok(b"%d:" % peer.number + body))

    return script


async def never_answer(peer: Peer) -> None:
    await peer.read_request()
    await peer.closed_by_client()


async def ask(pool: UpstreamPool, body: bytes = b"{}") -> bytes:
    """One whole request; its body."""
    sink = RecordingSink()
    await pool.send(UpstreamRequest("POST", "/", [], body), sink)
    return (await sink.end()).body


def begin(coroutine: Coroutine[None, None, T]) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(coroutine)


def open_connections(pool: UpstreamPool) -> list[UpstreamConnection]:
    return list(pool._connections)
