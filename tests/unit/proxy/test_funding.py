"""The money of one request while it runs: when more is asked for, what is noted, when it is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson
import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError

from ledger.entries import RECOVERED, UsageEntry
from metering.answer_tap import AnswerTap
from metering.estimate.bound import Bound
from metering.formats import chat, messages
from metering.formats.format import WireFormat
from metering.framing import SSE
from metering.holds import HoldPlan
from metering.leases import Lease, Leases
from metering.tap import StreamTap
from proxy.funding import Funding
from proxy.relay import Relay, Signal
from proxy.upstream.connection import ResponseHandle
from runtime.coalesce import Overloaded
from runtime.http.stream import AnswerStream
from runtime.tasks import TaskSet
from tests.support.calls import admitted, price
from tests.support.waiting import until

STEP = 16
PLAN = HoldPlan(Bound(10, 1_000), price(), limit=1_000, is_stepwise=True, step_tokens=STEP)
EVENTS = [(b"content-type", b"text/event-stream")]


def chunk(text: str = "hi") -> bytes:
    """One token, by the piece."""
    return b"data: " + orjson.dumps({"choices": [{"delta": {"content": text}}]}) + b"\n\n"


def counted(completion: int, prompt: int = 10) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {"content": "hi"}}], "usage": usage}) + b"\n\n"


class Client(AnswerStream):
    def __init__(self) -> None:
        self.received = b""

    def write(self, data: bytes) -> None:
        self.received += data

    @property
    def is_congested(self) -> bool:
        return False


class Upstream(ResponseHandle):
    def __init__(self) -> None:
        self.was_aborted = False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.was_aborted = True


class FakeLeases:
    """Grants what `left` has; or fails; waits for `may_answer` where there is one."""

    def __init__(self) -> None:
        self.left = 0
        self.error: Exception | None = None
        self.is_emptied = False
        self.may_answer: asyncio.Event | None = None
        self.wanted: list[int] = []
        self.lease: Lease

    def open(self, lease: Lease) -> None:
        self.lease = lease

    async def extend(self, lease: Lease, more_nanos: int) -> int | None:
        assert lease is self.lease
        self.wanted.append(more_nanos)
        if self.may_answer is not None:
            await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        if self.is_emptied:
            return None
        granted = min(more_nanos, self.left)
        self.left -= granted
        lease.held_nanos += granted
        return lease.held_nanos


class Rig:
    """A stream of which the first step is held."""

    def __init__(self, plan: HoldPlan = PLAN, held: int | None = None, wire: WireFormat = chat.FORMAT) -> None:
        self.leases, self.tasks, self.now_ms = FakeLeases(), TaskSet(), 5_000
        self.admitted = replace(admitted(stream=True), plan=plan, held_nanos=plan.first_nanos if held is None else held)
        leases = cast(Leases, self.leases)
        self.funding = Funding(self.admitted, leases, self.tasks, began_ms=4_988, clock_ms=lambda: self.now_ms)
        self.relay = Relay(lambda _, framing: AnswerTap() if framing is None else StreamTap(wire, keeps_text=True))
        self.relay.upstream = self.upstream = Upstream()
        self.client = Client()

    def begin(self) -> None:
        self.relay.on_headers(200, EVENTS)
        self.funding.follow(self.relay)
        self.relay.attach(self.client)
        self.funding.delivering()

    async def say(self, *chunks: bytes) -> None:
        """What was asked for meanwhile is answered after each, if it is answered."""
        for each in chunks:
            if self.relay.upstream is None:
                return
            self.relay.on_body(each)
            await self.settle()

    async def settle(self) -> None:
        if self.leases.may_answer is None:
            while self.tasks:  # noqa: ASYNC110 - what runs are tasks of the funding's own
                await asyncio.sleep(0)

    def checkpoint(self) -> UsageEntry:
        return UsageEntry.from_json(self.leases.lease.checkpoint())

    @property
    def delivered(self) -> int:
        return self.client.received.count(b"data: ")


@asynccontextmanager
async def running(*args: Any, **named: Any) -> AsyncIterator[Rig]:
    rig = Rig(*args, **named)
    yield rig
    await rig.tasks.cancel()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as made:
        made.begin()
        yield made


async def test_a_lease_is_opened_with_what_was_held(rig: Rig) -> None:
    lease, identity = rig.leases.lease, rig.admitted.identity
    assert (lease.request_id, lease.key_id, lease.wallet_id) == (
        rig.admitted.request_id, identity.key_id, identity.wallet_id,
    )  # fmt: skip
    assert lease.held_nanos == rig.admitted.held_nanos


async def test_before_anything_is_delivered_nothing_is_noted() -> None:
    async with running() as rig:
        assert rig.leases.lease.checkpoint() == b""
        rig.relay.on_headers(200, EVENTS)
        rig.funding.follow(rig.relay)
        rig.relay.on_body(chunk() * 100)
        assert rig.leases.lease.checkpoint() == b"" and not rig.leases.lease.is_due
        assert rig.leases.wanted == [], "nor is more held for it"


async def test_an_answer_that_begins_is_noted_at_once(rig: Rig) -> None:
    assert rig.leases.lease.is_due
    await rig.say(*[chunk()] * 3)
    entry = rig.checkpoint()
    assert (entry.end_reason, entry.usage_source, entry.status_code) == (RECOVERED, "estimated", 200)
    assert (entry.output_tokens, entry.response_time_ms) == (3, 12)
    assert entry.input_tokens > 0 and entry.cost_nanos > 0
    assert entry.request_id == rig.admitted.request_id


async def test_a_stream_whose_wallet_has_enough_is_never_cut_and_asks_seldom(rig: Rig) -> None:
    rig.leases.left = PLAN.worst_nanos
    await rig.say(*[chunk()] * 1_000)
    assert (rig.delivered, rig.upstream.was_aborted) == (1_000, False)
    assert 2 < len(rig.leases.wanted) < 40
    assert rig.leases.lease.held_nanos == PLAN.worst_nanos


async def test_a_stream_is_cut_when_what_is_held_is_used_up_and_nothing_more_is_to_be_had(rig: Rig) -> None:
    rig.leases.left = PLAN.nanos_for(50) - PLAN.first_nanos
    await rig.say(*[chunk()] * 100)
    assert (rig.delivered, rig.upstream.was_aborted) == (50, True)
    assert [await rig.relay.next_signal() for _ in range(2)] == [Signal.BEGIN, Signal.SPENT]


async def test_while_redis_is_away_a_stream_goes_on_and_does_not_ask_with_every_chunk(rig: Rig) -> None:
    for error in (RedisConnectionError("away"), TimeoutError(), Overloaded("full")):
        rig.leases.error = error
        await rig.say(*[chunk()] * 50)
    assert (rig.delivered, rig.upstream.was_aborted) == (150, False)
    assert 3 <= len(rig.leases.wanted) <= 1 + 150 // STEP
    rig.leases.error = None
    await rig.say(*[chunk()] * (STEP + 1))
    assert rig.upstream.was_aborted, "it is back, and has nothing"


async def test_where_redis_was_emptied_nobody_is_cut_for_it(rig: Rig) -> None:
    rig.leases.is_emptied = True
    await rig.say(*[chunk()] * 100)
    assert (rig.delivered, rig.upstream.was_aborted) == (100, False)


async def test_a_stream_that_is_faster_than_redis_asks_again(rig: Rig) -> None:
    """It has used up meanwhile what it is granted, in full: that is no refusal."""
    rig.leases.left, rig.leases.may_answer = PLAN.worst_nanos, asyncio.Event()
    await rig.say(*[chunk()] * 300)
    assert len(rig.tasks) == 1, "one question at a time"
    rig.leases.may_answer.set()
    await until(lambda: not rig.tasks)
    assert (len(rig.leases.wanted), rig.upstream.was_aborted) == (2, False)
    assert rig.leases.lease.held_nanos > PLAN.nanos_for(300)


async def test_a_renewal_looks_at_the_funds_too(rig: Rig) -> None:
    """Of a server that says much in few bytes."""
    rig.relay.look_at_bytes = 10**9
    await rig.say(counted(1), counted(15))
    assert rig.leases.wanted == []
    rig.checkpoint()
    await rig.settle()
    assert len(rig.leases.wanted) == 1


async def test_a_count_goes_before_an_estimate(rig: Rig) -> None:
    rig.leases.left = PLAN.nanos_for(100) - PLAN.first_nanos
    await rig.say(*[counted(n) for n in range(1, 150)])
    assert rig.upstream.was_aborted and rig.delivered == 100
    entry = rig.checkpoint()
    assert (entry.usage_source, entry.output_tokens, entry.input_tokens) == ("partial", 100, 10)


async def test_a_shorter_prompt_leaves_more_for_the_answer(rig: Rig) -> None:
    """The hold was for ten tokens at the dearest price of a prompt; one came, at that of fresh input."""
    more = PLAN.with_input(1).tokens_for(PLAN.first_nanos)
    assert more is not None and more > STEP
    await rig.say(*[counted(n, prompt=1) for n in range(1, 40)])
    assert rig.delivered == more


async def test_a_prompt_that_came_from_the_cache_is_part_of_the_prompt() -> None:
    """Anthropic counts it beside `input_tokens`."""
    usage = {"input_tokens": 1, "cache_read_input_tokens": 9, "output_tokens": 1}
    start = b"data: " + orjson.dumps({"type": "message_start", "message": {"usage": usage}}) + b"\n\n"
    piece = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n'
    async with running(wire=messages.FORMAT) as rig:
        rig.begin()
        await rig.say(start, *[piece] * 50)
        assert rig.upstream.was_aborted
        assert rig.delivered - 1 == PLAN.tokens_for(PLAN.first_nanos) == STEP


async def test_a_prompt_of_none_is_one_that_is_not_known_yet() -> None:
    async with running() as rig:
        rig.begin()
        await rig.say(*[counted(n, prompt=0) for n in range(1, 40)])
        assert rig.delivered == STEP


@pytest.mark.parametrize("is_counted", [False, True])
async def test_what_is_paid_to_its_limit_is_delivered_to_its_end(is_counted: bool) -> None:
    """Long words are taken for more tokens than they are, and the last token of an answer is not its last event."""
    plan = replace(PLAN, bound=Bound(10, 40), limit=40)
    async with running(plan, plan.worst_nanos) as rig:
        rig.begin()
        said = [counted(n) for n in range(1, 41)] if is_counted else [chunk("internationally ")] * 40
        await rig.say(*said, b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\n', b"data: [DONE]\n\n")
        assert (rig.delivered, rig.upstream.was_aborted, rig.leases.wanted) == (42, False, [])


async def test_a_server_that_does_not_keep_the_limit_is_cut() -> None:
    plan = replace(PLAN, bound=Bound(10, 40), limit=40)
    async with running(plan, plan.worst_nanos) as rig:
        rig.begin()
        await rig.say(*[counted(n) for n in range(1, 2_000)])
        assert rig.upstream.was_aborted and 40 < rig.delivered < 2_000


async def test_what_holds_its_worst_case_is_not_watched() -> None:
    async with running(replace(PLAN, is_stepwise=False)) as rig:
        rig.begin()
        await rig.say(*[counted(n) for n in range(1, 3_000)])
        assert (rig.leases.wanted, rig.upstream.was_aborted) == ([], False)
        assert rig.checkpoint().output_tokens == 2_999


async def test_what_is_read_on_without_a_client_has_to_be_paid_too() -> None:
    """The client left before the first byte, and its upstream bills the answer in full."""
    async with running() as rig:
        rig.relay.on_headers(200, EVENTS)
        rig.funding.follow(rig.relay)
        rig.relay.read_on()
        rig.leases.left = PLAN.nanos_for(30) - PLAN.first_nanos
        await rig.say(*[chunk()] * 20)
        assert rig.checkpoint().output_tokens == 20
        await rig.say(*[chunk()] * 200)
        assert rig.upstream.was_aborted and rig.checkpoint().output_tokens == 30


async def test_a_request_that_is_sent_again_is_followed_anew(rig: Rig) -> None:
    await rig.say(*[chunk()] * 4)
    again = Relay(lambda _, __: StreamTap(framing=SSE, keeps_text=True))
    again.upstream = Upstream()
    again.on_headers(200, EVENTS)
    rig.funding.follow(again)
    assert rig.leases.lease.checkpoint() == b"", "nothing of this one was delivered"
    again.attach(rig.client)
    again.on_body(chunk())
    assert rig.checkpoint().output_tokens == 1
