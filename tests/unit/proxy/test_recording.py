"""An ended call is settled once: at once where the server reported, after counting where it did not."""

import asyncio
from typing import Any, cast

import pytest

from ledger.entries import COMPLETED, UsageEntry
from metering.admission import Limits
from metering.answer_tap import AnswerTap
from metering.settlements import Settlement
from metering.tap import StreamTap
from proxy.counting import Counting
from proxy.recording import Recorder
from proxy.settlement import Ending
from proxy.telemetry.pace import Pace
from runtime.coalesce import Overloaded
from runtime.waits import Waits
from tests.support.calls import admitted

COMPLETE, CUT = Ending(COMPLETED, 200), Ending("client_left", 499)
USED = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"12345678"}}]}\n\n'
ERROR = b'data: {"error":{"message":"out of memory"}}\n\n'


class FakeLimits:
    def __init__(self, *, is_full: bool = False) -> None:
        self.settled: list[Settlement] = []
        self.is_full = is_full

    def settle(self, settlement: Settlement) -> "asyncio.Future[int]":
        if self.is_full:
            raise Overloaded("full")
        self.settled.append(settlement)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(settlement.cost_nanos)
        return future

    @property
    def entry(self) -> UsageEntry:
        (settlement,) = self.settled
        return UsageEntry.from_json(settlement.entry)


class Tokenizer:
    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def count(self, model: str, texts: list[str]) -> int | None:
        await self.may_answer.wait()
        return 10 * len(texts)


class Rig:
    def __init__(self, **limits: Any) -> None:
        self.limits, self.tokenizer = FakeLimits(**limits), Tokenizer()
        self.recorder = Recorder(cast(Limits, self.limits), Counting(self.tokenizer))


def answer(body: bytes) -> AnswerTap:
    tap = AnswerTap()
    tap.feed(body)
    tap.finish()
    return tap


def stream(*events: bytes, trusts_counts: bool = True) -> StreamTap:
    tap = StreamTap(keeps_text=True, trusts_counts=trusts_counts)
    for event in events:
        tap.feed(event)
    tap.finish()
    return tap


async def test_what_was_reported_is_settled_at_once() -> None:
    rig = Rig()
    recording = rig.recorder.charge(admitted(), COMPLETE, answer(USED), Pace())
    entry = rig.limits.entry
    assert recording.entry is not None and recording.entry.request_id == entry.request_id
    assert (entry.input_tokens, entry.output_tokens, entry.usage_source) == (3, 2, "reported")
    assert rig.limits.settled[0].tokens == 5
    assert len(rig.recorder.tasks) == 0


async def test_what_was_not_is_counted_first_and_settled_once() -> None:
    rig = Rig()
    rig.tokenizer.may_answer.clear()
    recording = rig.recorder.charge(admitted(stream=True), CUT, stream(CHUNK), Pace())
    await asyncio.sleep(0)
    assert rig.limits.settled == [] and recording.entry is None
    rig.tokenizer.may_answer.set()
    await recording.wait(Waits(5))
    entry = rig.limits.entry
    assert (entry.output_tokens, entry.usage_source, entry.end_reason) == (10, "tokenized", "client_left")
    assert entry.input_tokens > 0


async def test_who_leaves_before_the_first_byte_pays_for_the_prompt() -> None:
    rig = Rig()
    await rig.recorder.charge(admitted(), CUT, answer(b""), Pace()).wait(Waits(5))
    entry = rig.limits.entry
    assert (entry.output_tokens, entry.usage_source) == (0, "tokenized")
    assert entry.input_tokens > 0 and entry.cost_nanos > 0


@pytest.mark.parametrize(
    ("reason", "events"), [("upstream_error", [ERROR]), ("upstream_timeout", []), ("shutdown", [])]
)
async def test_where_nothing_came_and_it_was_not_the_clients_doing_it_is_free(reason: str, events: list[bytes]) -> None:
    rig = Rig()
    await rig.recorder.charge(admitted(stream=True), Ending(reason, 200), stream(*events), Pace()).wait(Waits(5))
    assert (rig.limits.entry.cost_nanos, rig.limits.entry.usage_source) == (0, "none")


async def test_what_was_said_before_an_error_is_not() -> None:
    rig = Rig()
    await rig.recorder.charge(admitted(stream=True), Ending("upstream_error", 200), stream(CHUNK, ERROR), Pace()).wait(
        Waits(5)
    )
    assert rig.limits.entry.output_tokens == 10


async def test_nothing_sent_is_free() -> None:
    rig = Rig()
    rig.recorder.free(admitted(), Ending("upstream_error", 502, "The upstream failed."), Pace())
    assert (rig.limits.entry.cost_nanos, rig.limits.entry.error_message) == (0, "The upstream failed.")


async def test_a_client_waits_only_so_long() -> None:
    rig = Rig()
    rig.tokenizer.may_answer.clear()
    recording = rig.recorder.charge(admitted(stream=True), CUT, stream(CHUNK), Pace())
    await recording.wait(Waits(0.001))
    assert recording.entry is None
    rig.tokenizer.may_answer.set()
    assert await rig.recorder.tasks.drain(5) == 0
    assert rig.limits.entry.output_tokens == 10


async def test_a_settlement_that_nobody_takes_is_on_record() -> None:
    rig = Rig(is_full=True)
    recording = rig.recorder.charge(admitted(), COMPLETE, answer(USED), Pace())
    assert recording.entry is not None and recording.entry.cost_nanos > 0


@pytest.mark.parametrize("trusts_running", [True, False])
async def test_a_running_count_counts_if_it_is_trusted(trusts_running: bool) -> None:
    rig = Rig()
    running = [CHUNK[:-3] + b',"usage":{"prompt_tokens":3,"completion_tokens":%d}}\n\n' % n for n in (1, 2)]
    tap = stream(*running, trusts_counts=trusts_running)
    recording = rig.recorder.charge(admitted(stream=True), CUT, tap, Pace(), trusts_running=trusts_running)
    await recording.wait(Waits(5))
    entry = rig.limits.entry
    assert (entry.output_tokens, entry.usage_source) == ((2, "partial") if trusts_running else (10, "tokenized"))
