"""How much Python a request and a chunk take, and what they leave behind: counted in calls, not in time.

The bounds are there for an accident, such as a second parse or a cycle. `make bench` has the times.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

import orjson
import pytest

from ledger.entries import KeyState, WalletState
from metering.admission import Limits
from proxy import redis_client
from proxy.upstream.connection import ResponseHandle, ResponseSink, UpstreamConnection
from proxy.upstream.pool import UpstreamRequest
from proxy.upstream.request import encode_head, parse_origin
from proxy.upstream.turns import PoolLimits
from tests.support.calls import IDENTITY, chat_body
from tests.support.gateway import KEY as PRESENTED
from tests.support.gateway import PATH, Rig
from tests.support.limits import TIMEOUT_S, Postgres
from tests.support.memory_http import MemoryTransport, post
from tests.support.waiting import until

ROOMS = tuple(str(Path(__file__).parents[2] / room) for room in ("proxy", "metering", "ledger", "accounts", "runtime"))
WARM, COUNTED, CHUNKS = 10, 30, 500
# On Python 3.11, which counts a comprehension as a call, a request makes 327 and a chunk 10.3.
MOST_CALLS_A_REQUEST = 390
MOST_CALLS_A_CHUNK = 14
# Objects that only the garbage collector frees; a cycle is of a dozen or more.
MOST_LEFT_BY_A_REQUEST = 1

WALLET = WalletState(IDENTITY.wallet_id, IDENTITY.user_id, 10**15, 0, 1)
KEY = KeyState(IDENTITY.key_id, WALLET.wallet_id, WALLET.user_id, True, 0, 10**8, 10**8, 1)
ANSWER = orjson.dumps(
    {"choices": [{"message": {"content": "word " * 20}}], "usage": {"prompt_tokens": 7, "completion_tokens": 20}}
)
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
BEGIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream:
    """A pool of one connection, on which the test says what comes."""

    def __init__(self) -> None:
        self._origin = parse_origin("http://upstream.invalid/v1")
        self._connection = UpstreamConnection(self, PoolLimits(), asyncio.get_running_loop().time)
        self._connection.connection_made(MemoryTransport())
        self.is_asked = False

    def send_at_once(self, request: UpstreamRequest, sink: ResponseSink) -> ResponseHandle:
        self.is_asked = True
        return self._connection.begin(encode_head(request, self._origin), request.body, sink)

    def says(self, data: bytes) -> None:
        self._connection.data_received(data)

    def exchange_over(self, connection: UpstreamConnection, reusable: bool) -> None: ...
    def unused_broken(self, connection: UpstreamConnection) -> None: ...
    def connection_lost(self, connection: UpstreamConnection) -> None: ...


@dataclass
class Scene:
    rig: Rig
    upstream: Upstream = field(default_factory=Upstream)

    async def whole(self) -> None:
        """A request, its answer, its settlement."""
        await self._asked()
        self.upstream.says(WHOLE)
        await until(lambda: self.rig.client.answer().is_complete)
        assert self.rig.client.answer().status == 200

    async def begun(self) -> None:
        """A stream that flows."""
        await self._asked(stream=True)
        self.upstream.says(BEGIN)
        await until(lambda: self.rig.client.answer().status == 200)

    async def ended(self) -> None:
        self.upstream.says(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await until(lambda: self.rig.client.answer().is_complete)

    async def _asked(self, **body: Any) -> None:
        self.upstream.is_asked = False
        self.rig.client.transport.written.clear()
        self.rig.client.send(
            post(PATH, chat_body(max_tokens=4000, **body), PRESENTED, "Content-Type: application/json")
        )
        await until(lambda: self.upstream.is_asked)


@pytest.fixture
async def scene(redis_url: str) -> AsyncIterator[Scene]:
    redis = redis_client.connect(redis_url, TIMEOUT_S)
    loader = Postgres(redis, [WALLET], [KEY])
    rig = Rig()
    limits = Limits(redis, loader)
    rig.limits, upstream = cast(Any, limits), Upstream()
    rig.pool = cast(Any, upstream)
    async with rig.serving():
        yield Scene(rig, upstream)
    assert await limits.drain(TIMEOUT_S) == 0
    await redis.aclose()


@contextmanager
def counted() -> Iterator[list[int]]:
    """The calls of functions of ours, in this thread, meanwhile."""
    calls = [0]

    def note(frame: FrameType, event: str, _: object) -> None:
        calls[0] += event == "call" and frame.f_code.co_filename.startswith(ROOMS)

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def test_calls_a_request(scene: Scene) -> None:
    for _ in range(WARM):
        await scene.whole()
    with counted() as calls:
        for _ in range(COUNTED):
            await scene.whole()
    assert 100 < calls[0] / COUNTED <= MOST_CALLS_A_REQUEST, calls[0] / COUNTED


async def test_calls_a_chunk(scene: Scene) -> None:
    await scene.begun()
    for _ in range(WARM):
        scene.upstream.says(chunk(EVENT))
    with counted() as calls:
        for _ in range(CHUNKS):
            scene.upstream.says(chunk(EVENT))
    assert 5 < calls[0] / CHUNKS <= MOST_CALLS_A_CHUNK, calls[0] / CHUNKS
    await scene.ended()


@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_a_request_leaves_to_the_garbage_collector(scene: Scene, is_stream: bool) -> None:
    async def once() -> None:
        if not is_stream:
            await scene.whole()
            return
        await scene.begun()
        scene.upstream.says(chunk(EVENT) * 5)
        await scene.ended()

    for _ in range(WARM):
        await once()
    gc.collect()
    gc.disable()
    try:
        for _ in range(COUNTED):
            await once()
        left = gc.collect()
    finally:
        gc.enable()
    assert left / COUNTED <= MOST_LEFT_BY_A_REQUEST
