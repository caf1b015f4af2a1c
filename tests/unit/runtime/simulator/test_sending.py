"""With a loop and a transport of paper: no socket, no waiting."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from runtime.simulator.script import Ending, Script
from runtime.simulator.sending import CUT_POLLS, Outlet, Playing, reset
from runtime.simulator.totals import State


class PaperHandle:
    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class PaperLoop:
    """Time passes only by `pass_time`."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waiting: list[PaperHandle] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, call: Callable[..., None], *args: Any) -> PaperHandle:
        self.waiting.append(PaperHandle(at_s, lambda: call(*args)))
        return self.waiting[-1]

    def call_later(self, delay_s: float, call: Callable[..., None], *args: Any) -> PaperHandle:
        return self.call_at(self.now_s + delay_s, call, *args)

    def call_soon(self, call: Callable[..., None], *args: Any) -> PaperHandle:
        return self.call_at(self.now_s, call, *args)

    def pass_time(self, ms: float = 0) -> None:
        """Everything due by then; what that causes at once is another turn."""
        self.now_s += ms / 1_000
        due = [handle for handle in self.waiting if handle.at_s <= self.now_s + 1e-9]
        self.waiting = [handle for handle in self.waiting if handle not in due]
        for handle in due:
            if handle.call is not None:
                handle.call()

    def pending(self) -> int:
        return sum(handle.call is not None for handle in self.waiting)


class PaperSocket:
    def __init__(self) -> None:
        self.options: list[Any] = []

    def setsockopt(self, *option: Any) -> None:
        self.options.append(option)


class PaperTransport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.buffered = 0
        self.aborted = False
        self.socket = PaperSocket()

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def get_extra_info(self, _name: str) -> PaperSocket:
        return self.socket

    def abort(self) -> None:
        self.aborted = True


class Letters:
    """A source of ten one-letter blocks, of which the last two follow the last word."""

    count = 10
    words_end = 8
    per_turn = 3

    def block(self, start: int, stop: int) -> bytes:
        return b"abcdefghij"[start:stop]

    def tokens_before(self, position: int) -> int:
        return min(position, 8)


class Stage:
    """A playing with everything around it."""

    def __init__(self, *, split_bytes: int = 0, step_ms: float = 0, first_delay_ms: float = 0) -> None:
        self.loop, self.transport = PaperLoop(), PaperTransport()
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.outlet = Outlet(loop, cast(asyncio.Transport, self.transport), split_bytes)
        self.script = Script(
            Letters(), 10, Ending.KEEP, State.FINISHED, b"<", b">", first_delay_ms=first_delay_ms, step_ms=step_ms
        )
        self.tokens = 0
        self.ends = 0
        self.playing = Playing(loop, self.outlet, self.script, self)

    def sent(self, tokens: int) -> None:
        self.tokens = tokens

    def ended(self, script: Script) -> None:
        assert script is self.script
        self.ends += 1


def test_as_fast_as_it_can_is_one_write_of_many_blocks_per_turn() -> None:
    stage = Stage()
    stage.playing.start()
    for _ in range(3):
        stage.loop.pass_time()
    assert stage.transport.writes == [b"<abc", b"def", b"ghi", b"j>"]
    assert (stage.ends, stage.loop.pending()) == (1, 0)


def test_a_client_that_does_not_read_stops_the_generator() -> None:
    stage = Stage()
    stage.playing.start()
    stage.outlet.pause()
    for _ in range(5):
        stage.loop.pass_time(1_000)
    assert stage.transport.writes == [b"<abc"]
    assert (stage.tokens, stage.loop.pending()) == (3, 0)
    stage.outlet.resume()
    assert stage.transport.writes == [b"<abc", b"def"]


def test_pausing_again_and_again_does_not_speed_it_up() -> None:
    stage = Stage()
    stage.playing.start()
    for _ in range(3):
        stage.outlet.pause()
        stage.outlet.resume()
    assert stage.loop.pending() <= 1


def test_a_paced_stream_keeps_to_its_times() -> None:
    stage = Stage(step_ms=10)
    stage.playing.start()
    assert stage.transport.writes == [b"<a"]
    stage.loop.pass_time(9)
    assert stage.transport.writes == [b"<a"]
    stage.loop.pass_time(1)
    assert stage.transport.writes == [b"<a", b"b"]
    stage.loop.pass_time(25)  # late by one and a half: what is due comes together, and the schedule stays
    assert stage.transport.writes[2:] == [b"cd"]
    stage.loop.pass_time(5)
    assert stage.transport.writes[3:] == [b"e"]


def test_what_follows_the_last_word_comes_with_it() -> None:
    stage = Stage(step_ms=10)
    stage.playing.start()
    for _ in range(7):
        stage.loop.pass_time(10)
    assert b"".join(stage.transport.writes) == b"<abcdefghij>"
    assert (stage.transport.writes[-1], stage.ends) == (b"hij>", 1)


def test_the_head_does_not_wait_for_the_first_delay() -> None:
    stage = Stage(first_delay_ms=50)
    stage.playing.start()
    assert stage.transport.writes == [b"<"]
    stage.loop.pass_time(49)
    assert stage.transport.writes == [b"<"]
    stage.loop.pass_time(1)
    assert stage.transport.writes == [b"<", b"abc"]


@pytest.mark.parametrize("step_ms", [0, 10])
def test_small_writes_have_a_turn_each_and_lose_nothing(step_ms: float) -> None:
    stage = Stage(split_bytes=1, step_ms=step_ms)
    stage.playing.start()
    for turn in range(2, 12):
        stage.loop.pass_time(step_ms / 2)
        assert len(stage.transport.writes) <= turn
    for _ in range(20):
        stage.loop.pass_time(step_ms / 2)
    assert stage.transport.writes == [b"%c" % byte for byte in b"<abcdefghij>"]
    assert (stage.ends, stage.tokens) == (1, 8)


def test_small_writes_stop_as_well_while_the_client_does_not_read() -> None:
    stage = Stage(split_bytes=1)
    stage.playing.start()
    stage.outlet.pause()
    for _ in range(5):
        stage.loop.pass_time()
    assert stage.transport.writes == [b"<"]
    stage.outlet.resume()
    for _ in range(30):
        stage.loop.pass_time()
    assert b"".join(stage.transport.writes) == b"<abcdefghij>"


@pytest.mark.parametrize("split_bytes", [0, 1])
@pytest.mark.parametrize("step_ms", [0, 10])
def test_a_stopped_playing_does_nothing_more(split_bytes: int, step_ms: float) -> None:
    stage = Stage(split_bytes=split_bytes, step_ms=step_ms)
    stage.playing.start()
    written = len(stage.transport.writes)
    stage.playing.stop()
    stage.transport.aborted = True  # as it is when a client has left
    for _ in range(20):
        stage.loop.pass_time(10)
    assert (len(stage.transport.writes), stage.ends) == (written, 0)


def test_a_reset_waits_for_what_was_written_but_not_for_ever() -> None:
    loop, transport = PaperLoop(), PaperTransport()
    transport.buffered = 10
    reset(cast(asyncio.AbstractEventLoop, loop), cast(asyncio.Transport, transport))
    loop.pass_time(1)
    before = transport.aborted
    transport.buffered = 0
    loop.pass_time(1)
    assert (before, transport.aborted) == (False, True)
    assert len(transport.socket.options) == 1


def test_a_client_that_never_reads_is_reset_all_the_same() -> None:
    loop, transport = PaperLoop(), PaperTransport()
    transport.buffered = 10
    reset(cast(asyncio.AbstractEventLoop, loop), cast(asyncio.Transport, transport))
    for _ in range(CUT_POLLS):
        loop.pass_time(1)
    assert transport.aborted
