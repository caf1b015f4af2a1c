"""The gateway on an HTTP server without a socket: the upstream, the limits and the key verifier are played."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import orjson
from msgspec.structs import replace

from ledger.entries import UsageEntry
from metering import endpoints
from metering.admission import Admission, Decision, Limits
from metering.bucket import DAY_MS, MINUTE_MS, Bucket
from metering.leases import Lease
from metering.pricing import PriceSheet, cost_nanos
from metering.settlements import Settlement
from metering.usage import Usage
from metering.verdict import Outcome
from proxy.admitting import Desk
from proxy.counting import Counting
from proxy.drain import Drain
from proxy.failures import invalid_api_key
from proxy.gateway import Gateway
from proxy.keys.verifier import Identity
from proxy.prices import PriceBook
from proxy.recording import SETTLE_WAIT_S, Recorder
from proxy.routing import Route, Routes
from proxy.telemetry.tracing import Tracing
from proxy.upstream.balance import Room
from proxy.upstream.connection import ResponseHandle, ResponseSink
from proxy.upstream.errors import UpstreamClosed, UpstreamError
from proxy.upstream.pool import UpstreamRequest
from runtime.coalesce import Overloaded
from runtime.settings import Listen, ModelAdditions
from runtime.waits import Waits
from tests.support.calls import IDENTITY, chat_body, door_of, price, route
from tests.support.memory_http import Answer, MemoryClient, connected, post
from tests.support.waiting import until

PATH = "/v1/chat/completions"
KEY = "Authorization: Bearer pp_live-x"
JSON = [(b"content-type", b"application/json"), (b"x-theirs", b"1"), (b"x-ratelimit-limit-requests", b"9")]
EVENTS = [(b"content-type", b"text/event-stream")]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
COST = cost_nanos(Usage(input_tokens=3, output_tokens=2), price())
GOOD = orjson.dumps({"choices": [{"message": {"content": "hi"}}], "usage": USAGE})
CHUNK = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
USAGE_CHUNK = b'data: {"choices":[],"usage":%b}\n\n' % orjson.dumps(USAGE)
DONE = b"data: [DONE]\n\n"
FIRST_STEP = 512
# what a token of output costs at most; and the rest of a hold for the prompt of `chat_body`, as it is bounded
A_TOKEN = price().reasoning_nanos_per_1k // 1000
PROMPT_AND_FEE = 66 * price().cache_write_nanos_per_1k // 1000 + price().request_fee_nanos
CUT = UpstreamClosed("the upstream at 10.1.2.3 closed the connection", headers_received=True)


class Handle(ResponseHandle):
    def __init__(self) -> None:
        self.log: list[str] = []

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")

    def abort(self) -> None:
        self.log.append("abort")


class Pool:
    """Takes one request at a time; the test answers it through `sink`."""

    busy = 0
    room = Room.FREE

    def __init__(self) -> None:
        self.tries = 0
        self.is_reached = asyncio.Event()
        self.is_reached.set()
        self.sent: list[UpstreamRequest] = []
        self.handle = Handle()
        self.error: UpstreamError | None = None
        self.sink: ResponseSink

    def send_at_once(self, request: UpstreamRequest, sink: ResponseSink) -> ResponseHandle | None:
        return None

    async def send(self, request: UpstreamRequest, sink: ResponseSink) -> ResponseHandle:
        self.tries += 1
        await self.is_reached.wait()
        if self.error is not None:
            raise self.error
        self.sink = sink
        self.sent.append(request)
        return self.handle


class FakeLeases:
    """Grants what is asked for as far as `left` goes, or all of it; or fails."""

    def __init__(self) -> None:
        self.opened: list[Lease] = []
        self.left: int | None = None
        self.error: Exception | None = None
        self.extensions = 0

    def open(self, lease: Lease) -> None:
        self.opened.append(lease)

    async def extend(self, lease: Lease, more_nanos: int) -> int:
        self.extensions += 1
        if self.error is not None:
            raise self.error
        lease.held_nanos += more_nanos if self.left is None else min(more_nanos, self.left)
        return lease.held_nanos


class FakeLimits:
    def __init__(self) -> None:
        self.leases = FakeLeases()
        self.decision: Decision | Exception = Decision(
            Outcome.ADMITTED, Bucket(60, MINUTE_MS, 59 * MINUTE_MS), Bucket.full(1000, DAY_MS), 10**9
        )
        self.admissions: list[Admission] = []
        self.settlements: list[Settlement] = []
        self.is_slow = False
        self.is_full = False
        self.held: int | None = None
        self.admitting = asyncio.Event()
        self.admitting.set()

    async def admit(self, request: Admission) -> Decision:
        self.admissions.append(request)
        await self.admitting.wait()
        if isinstance(self.decision, Exception):
            raise self.decision
        return replace(self.decision, held_nanos=request.hold_nanos if self.held is None else self.held)

    def settle(self, settlement: Settlement) -> asyncio.Future[int]:
        if self.is_full:
            raise Overloaded("full")
        self.settlements.append(settlement)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if not self.is_slow:
            future.set_result(settlement.cost_nanos)
        return future

    @property
    def entry(self) -> UsageEntry:
        """What the one settlement says; the law is that there is one."""
        (settlement,) = self.settlements
        entry = UsageEntry.from_json(settlement.entry)
        assert (settlement.request_id, settlement.wallet_id) == (entry.request_id, entry.wallet_id)
        assert settlement.cost_nanos == entry.cost_nanos
        assert settlement.request_id == self.admissions[0].request_id
        return entry


class NoTokenizer:
    async def count(self, model: str, texts: list[str]) -> int | None:
        return None


class Verifier:
    def __init__(self) -> None:
        self.is_bad = False

    def known(self, key: str) -> Identity | None:
        return None

    async def verify(self, key: str) -> Identity:
        if self.is_bad:
            raise invalid_api_key()
        return IDENTITY


class Rig:
    def __init__(self, upstream: dict[str, Any] | None = None, **listen: float) -> None:
        self.upstream = upstream or {}
        self.listen = Listen(**{"max_body_bytes": 4096, **cast(Any, listen)})
        self.pool = Pool()
        self.others: list[Route] = []
        self.additions: list[ModelAdditions] = []
        self.limits = FakeLimits()
        self.verifier = Verifier()
        self.client: MemoryClient
        self.tracing: Tracing | None = None
        self.waits = Waits(SETTLE_WAIT_S)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Rig"]:
        async def read() -> PriceSheet:
            return PriceSheet([price(), price(model="unserved")])

        prices = PriceBook(read)
        await prices.refresh()
        settings = route(models=("tiny", "unpriced"), api_key="sk-upstream", **self.upstream).settings
        routes = Routes([Route(settings, cast(Any, self.pool)), *self.others], self.additions)
        limits = cast(Limits, self.limits)
        desk = Desk(door_of(self.verifier), limits, prices, routes, self.listen)
        recorder = Recorder(limits, Counting(NoTokenizer()), tracing=self.tracing, waits=self.waits)
        served = Gateway(desk, recorder, self.listen, Drain())
        table = {("POST", each.name): partial(served.serve, each) for each in (*endpoints.OPENAI, *endpoints.OLLAMA)}
        async with connected(table) as self.client:
            yield self
        await served.tasks.cancel()

    async def ask(self, *headers: str, **body: Any) -> Answer:
        """A request that is answered without the upstream's doing."""
        return await self.client.ask(post(PATH, chat_body(**body), KEY, *headers))

    async def begin(self, *headers: str, path: str = PATH, **body: Any) -> ResponseSink:
        """A request that has reached the upstream, whose part the test plays."""
        self.client.send(post(path, chat_body(**body), KEY, *headers))
        await until(lambda: bool(self.pool.sent))
        return self.pool.sink

    async def whole(self) -> Answer:
        await until(lambda: self.client.answer().is_complete or self.client.transport.is_closed)
        return self.client.answer()

    async def has_begun(self) -> None:
        await until(lambda: self.client.answer().status != 0)
