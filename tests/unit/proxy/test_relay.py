"""The body pump between an upstream and a client that are both played here."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.answer_tap import AnswerTap
from metering.injection import NOTHING_REMOVED, Removal
from metering.tap import StreamTap
from proxy.relay import COLLECT_BYTES, NOTHING_SENT, Relay, Signal
from proxy.upstream.connection import ResponseHandle
from proxy.upstream.errors import UpstreamClosed, UpstreamProtocolError
from runtime.http.stream import AnswerStream
from tests.support.asking import begin

EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]
CHUNK = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
USAGE_CHUNK = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
CUT = UpstreamClosed("the upstream closed the connection", headers_received=True)


class Upstream(ResponseHandle):
    """The handle of a response; writes down what it is asked."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")

    def abort(self) -> None:
        self.log.append("abort")


class Client(AnswerStream):
    """Takes everything; is congested when told so."""

    def __init__(self, *, is_congested: bool = False) -> None:
        self.received = b""
        self.congested = is_congested

    def write(self, data: bytes) -> None:
        self.received += data

    def finish(self, last: bytes = b"") -> None:
        self.received += last

    @property
    def is_congested(self) -> bool:
        return self.congested


class Rig:
    def __init__(self, *, remove_usage: bool = False, begins_late: bool = False) -> None:
        removal = Removal(usage_chunk=True, nulls=True) if remove_usage else NOTHING_REMOVED
        self.relay = Relay(
            lambda _, framing: AnswerTap() if framing is None else StreamTap(removal=removal), begins_late=begins_late
        )
        self.upstream = Upstream()
        self.relay.upstream = self.upstream
        self.client = Client()

    def stream(self, *chunks: bytes) -> None:
        self.relay.on_headers(200, EVENTS)
        self.say(*chunks)

    def say(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.relay.on_body(chunk)

    async def attached(self) -> None:
        """The handler's part at the beginning of an answer."""
        assert await self.relay.next_signal() is Signal.BEGIN
        self.attach()

    def attach(self) -> None:
        self.client.write(self.relay.take())
        self.relay.attach(self.client)

    async def signals(self) -> list[Signal]:
        """What has been signalled and not yet heard."""
        found = []
        while (signal := await soon(self.relay)) is not None:
            found.append(signal)
        return found


async def soon(relay: Relay) -> Signal | None:
    """The next signal if there is one already: nothing else runs meanwhile that could cause one."""
    waiting = begin(relay.next_signal())
    await asyncio.sleep(0)
    if waiting.done():
        return waiting.result()
    waiting.cancel()
    return None


async def test_an_answer_that_is_no_stream_is_collected_until_its_end() -> None:
    rig = Rig()
    rig.relay.on_headers(200, JSON)
    rig.say(b'{"cho', b'ices": []}')
    assert await rig.signals() == []
    rig.relay.on_end()
    assert await rig.signals() == [Signal.END]
    assert (rig.relay.status, rig.relay.headers, rig.relay.body) == (200, JSON, b'{"choices": []}')
    assert not rig.relay.is_stream


async def test_a_stream_begins_with_its_headers() -> None:
    rig = Rig()
    rig.relay.on_headers(200, EVENTS)
    assert await rig.signals() == [Signal.BEGIN]
    assert rig.relay.is_stream


async def test_an_error_is_no_stream_whatever_its_content_type() -> None:
    rig = Rig()
    rig.relay.on_headers(429, EVENTS)
    rig.say(b"data: no\n\n")
    rig.relay.on_end()
    assert await rig.signals() == [Signal.END]
    assert not rig.relay.is_stream and rig.relay.body == b"data: no\n\n"


async def test_bytes_pass_in_the_upstreams_own_callback_and_wake_nobody() -> None:
    rig = Rig()
    rig.stream(CHUNK)
    await rig.attached()
    assert rig.client.received == CHUNK, "what came before the client was ready goes first"
    rig.say(CHUNK[:7])
    assert rig.client.received == CHUNK + CHUNK[:7], "half an event is not held back from a client that is not edited"
    rig.say(CHUNK[7:], DONE)
    assert await rig.signals() == []
    rig.relay.on_end()
    assert rig.client.received == CHUNK + CHUNK + DONE
    assert await rig.signals() == [Signal.END]


@given(st.lists(st.integers(0, len(CHUNK * 3 + USAGE_CHUNK + DONE)), max_size=8), st.booleans(), st.integers(0, 9))
def test_bytes_reach_the_client_whole_and_in_order(cuts: list[int], remove_usage: bool, attach_at: int) -> None:
    whole = CHUNK * 3 + USAGE_CHUNK + DONE
    places = [0, *sorted(cuts), len(whole)]
    *pieces, last = [whole[a:b] for a, b in pairwise(places)]
    rig = Rig(remove_usage=remove_usage)
    rig.relay.on_headers(200, EVENTS)
    for number, piece in enumerate(pieces):
        if number == attach_at:
            rig.attach()
        rig.say(piece)
    rig.relay.on_end(last)
    if attach_at >= len(pieces):
        rig.attach()
    rig.client.finish(rig.relay.tail)
    assert rig.client.received == (CHUNK * 3 + DONE if remove_usage else whole)
    assert rig.relay.tap.reading.completion == 2


async def test_what_comes_with_the_end_waits_for_it_and_is_metered_like_the_rest() -> None:
    rig = Rig()
    rig.stream(CHUNK)
    await rig.attached()
    rig.relay.on_end(CHUNK + DONE)
    assert (rig.client.received, rig.relay.tail) == (CHUNK, CHUNK + DONE)
    assert await rig.signals() == [Signal.END]
    assert rig.relay.passed_bytes == len(CHUNK + CHUNK + DONE)


async def test_an_answer_that_comes_whole_in_one_piece_is_collected() -> None:
    rig = Rig()
    rig.relay.on_headers(200, JSON)
    rig.relay.on_end(b'{"choices": []}')
    assert await rig.signals() == [Signal.END]
    assert (rig.relay.body, rig.relay.tail) == (b'{"choices": []}', b"")
    assert rig.relay.first_ns > 0


async def test_an_error_that_is_too_large_with_its_end_has_failed_and_nothing_else() -> None:
    rig = Rig()
    rig.relay.on_headers(500, JSON)
    rig.relay.on_end(b"x" * (COLLECT_BYTES + 1))
    assert await rig.signals() == [Signal.FAILED]


async def test_what_comes_with_the_end_for_a_client_that_is_gone_is_metered_and_not_kept() -> None:
    rig = Rig()
    rig.stream(CHUNK)
    await rig.attached()
    rig.relay.read_on()
    rig.relay.on_end(CHUNK + USAGE_CHUNK + DONE)
    assert await rig.signals() == [Signal.END]
    assert (rig.relay.tail, rig.relay.body, rig.relay.tap.reading.completion) == (b"", b"", 2)


async def test_an_answer_up_to_the_limit_is_collected_whole() -> None:
    rig = Rig()
    rig.relay.on_headers(200, JSON)
    rig.say(b"x" * COLLECT_BYTES)
    rig.relay.on_end()
    assert await rig.signals() == [Signal.END]
    assert len(rig.relay.body) == COLLECT_BYTES and rig.upstream.log == []


async def test_a_larger_answer_begins_and_the_upstream_waits_for_the_client() -> None:
    rig = Rig()
    rig.relay.on_headers(200, JSON)
    rig.say(b"x" * COLLECT_BYTES)
    rig.say(b"y")
    rig.say(b"z")
    assert rig.upstream.log == ["pause"], "nothing is collected without bound"
    await rig.attached()
    assert rig.client.received == b"x" * COLLECT_BYTES + b"yz"
    assert rig.upstream.log == ["pause", "resume"]
    assert await rig.signals() == []


async def test_an_error_answer_that_is_too_large_is_a_failure() -> None:
    rig = Rig()
    rig.relay.on_headers(400, JSON)
    rig.say(b"x" * COLLECT_BYTES)
    assert await rig.signals() == []
    rig.say(b"x")
    assert await rig.signals() == [Signal.FAILED]
    assert isinstance(rig.relay.error, UpstreamProtocolError)
    assert rig.upstream.log == ["abort"]


async def test_a_slow_client_pauses_the_upstream_once_and_resumes_it_once() -> None:
    rig = Rig()
    rig.stream()
    await rig.attached()
    rig.client.congested = True
    rig.say(CHUNK, CHUNK, CHUNK)
    assert rig.upstream.log == ["pause"]
    assert await rig.signals() == [Signal.CONGESTED]
    rig.client.congested = False
    rig.relay.resume()
    assert rig.upstream.log == ["pause", "resume"]
    rig.say(CHUNK)
    assert rig.client.received == CHUNK * 4, "nothing that came while it was slow is lost"
    assert await rig.signals() == []


async def test_a_client_may_be_slow_again_and_again() -> None:
    rig = Rig()
    rig.stream()
    await rig.attached()
    rig.client.congested = True
    for _ in range(3):
        rig.say(CHUNK, CHUNK)
        assert await rig.signals() == [Signal.CONGESTED]
        rig.relay.resume()
    assert rig.upstream.log == ["pause", "resume"] * 3


async def test_a_client_that_is_slow_from_the_first_byte_on() -> None:
    rig = Rig()
    rig.stream(CHUNK)
    rig.client.congested = True
    await rig.attached()
    assert rig.upstream.log == ["pause"]
    assert await rig.signals() == [Signal.CONGESTED]


async def test_a_large_answer_to_a_slow_client_stays_paused() -> None:
    rig = Rig()
    rig.relay.on_headers(200, JSON)
    rig.say(b"x" * (COLLECT_BYTES + 1))
    rig.client.congested = True
    await rig.attached()
    assert rig.upstream.log == ["pause"]
    assert await rig.signals() == [Signal.CONGESTED]
    rig.relay.resume()
    assert rig.upstream.log == ["pause", "resume"]


async def test_half_an_event_that_was_held_back_is_not_sent_when_the_stream_breaks() -> None:
    rig = Rig(remove_usage=True)
    rig.stream(CHUNK)
    await rig.attached()
    rig.say(CHUNK[:20])
    rig.relay.on_failure(CUT)
    assert rig.client.received == CHUNK
    assert await rig.signals() == [Signal.FAILED]
    assert rig.relay.error is CUT


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_it_knows_whether_the_client_has_whole_events_only(line_end: bytes) -> None:
    rig = Rig()
    rig.stream()
    await rig.attached()
    assert rig.relay.is_between_events, "nothing at all"
    for chunk, is_between in ((b"data: 1", False), (line_end * 2, True), (b"data: 2" + line_end, False)):
        rig.say(chunk)
        assert rig.relay.is_between_events is is_between


async def test_usage_in_half_an_event_counts_all_the_same() -> None:
    rig = Rig(remove_usage=True)
    rig.stream(CHUNK, USAGE_CHUNK.rstrip(b"\n"))
    rig.relay.on_failure(CUT)
    assert rig.relay.tap.reading.completion == 2


async def test_a_stream_that_ends_without_a_blank_line_is_passed_on_to_its_last_byte() -> None:
    rig = Rig(remove_usage=True)
    rig.stream(CHUNK)
    await rig.attached()
    rig.say(CHUNK[:20])
    rig.relay.on_end()
    assert rig.client.received + rig.relay.tail == CHUNK + CHUNK[:20]


@pytest.mark.parametrize("is_end", [True, False], ids=["end", "failure"])
async def test_the_end_is_the_last_signal(is_end: bool) -> None:
    rig = Rig()
    rig.stream()
    await rig.attached()
    rig.client.congested = True
    rig.say(CHUNK)
    if is_end:
        rig.relay.on_end()
    else:
        rig.relay.on_failure(CUT)
    assert await rig.signals() == [Signal.CONGESTED, Signal.END if is_end else Signal.FAILED]
    rig.relay.resume()
    assert await rig.signals() == []


async def test_who_waits_is_woken_by_the_next_signal() -> None:
    rig = Rig()
    waiting = begin(rig.relay.next_signal())
    await asyncio.sleep(0)
    assert not waiting.done()
    rig.relay.on_headers(200, EVENTS)
    assert await waiting is Signal.BEGIN


async def test_who_no_longer_waits_misses_nothing() -> None:
    rig = Rig()
    waiting = begin(rig.relay.next_signal())
    await asyncio.sleep(0)
    waiting.cancel()
    rig.relay.on_headers(200, EVENTS)
    assert await rig.signals() == [Signal.BEGIN]


async def test_aborting_tells_the_upstream() -> None:
    rig = Rig()
    rig.relay.abort()
    assert rig.upstream.log == ["abort"]
    Rig().relay.abort()  # nothing was sent yet: there is nobody to tell


@pytest.mark.parametrize(("status", "is_good"), [(199, False), (200, True), (299, True), (300, False), (502, False)])
def test_a_good_status(status: int, is_good: bool) -> None:
    relay = Rig().relay
    relay.on_headers(status, JSON)
    assert relay.is_good is is_good


async def test_without_a_client_the_rest_is_read_for_its_usage() -> None:
    rig = Rig()
    rig.stream(CHUNK)
    await rig.attached()
    rig.client.congested = True
    rig.say(CHUNK)
    rig.relay.read_on()
    assert rig.upstream.log == ["pause", "resume"]
    rig.say(CHUNK, USAGE_CHUNK, DONE)
    rig.relay.on_end()
    assert rig.client.received == CHUNK + CHUNK
    assert rig.relay.body == b"", "nothing is collected for nobody"
    assert rig.relay.tap.reading.completion == 2


@pytest.mark.parametrize(("length", "begins"), [([], True), ([(b"content-length", b"9")], False)])
async def test_sound_that_is_being_made_is_heard_as_it_comes(length: list[tuple[bytes, bytes]], begins: bool) -> None:
    rig = Rig()
    rig.relay.on_headers(200, [(b"content-type", b"audio/mpeg"), *length])
    assert await rig.signals() == ([Signal.BEGIN] if begins else [])


async def test_who_watches_is_called_when_so_much_has_passed() -> None:
    rig = Rig()
    looks: list[int] = []

    def look() -> None:
        looks.append(rig.relay.passed_bytes)
        rig.relay.look_at_bytes = rig.relay.passed_bytes + 2 * len(CHUNK)

    rig.relay.on_headers(200, EVENTS)
    rig.relay.watch(look, len(CHUNK))
    rig.say(CHUNK[:-1])
    assert looks == []
    rig.say(CHUNK[-1:], CHUNK, CHUNK, CHUNK * 5)
    assert looks == [len(CHUNK), 3 * len(CHUNK), 8 * len(CHUNK)]


async def test_what_nobody_watches_is_counted_all_the_same() -> None:
    rig = Rig()
    rig.stream(CHUNK, CHUNK)
    assert rig.relay.passed_bytes == 2 * len(CHUNK)


async def test_what_is_cut_ends_at_once_and_says_so() -> None:
    rig = Rig()
    rig.stream(CHUNK)
    await rig.attached()
    rig.relay.cut()
    assert (rig.upstream.log, rig.relay.upstream) == (["abort"], None)
    assert await rig.signals() == [Signal.SPENT]
    rig.relay.cut()
    assert (await rig.signals(), rig.upstream.log) == ([], ["abort"]), "once"


async def test_what_has_ended_is_not_cut() -> None:
    rig = Rig()
    rig.stream(CHUNK)
    rig.relay.on_end()
    rig.relay.cut()
    assert (await rig.signals(), rig.upstream.log) == ([Signal.BEGIN, Signal.END], [])


async def test_what_is_owed_is_what_is_delivered_or_read_on() -> None:
    waiting, begun, left = Rig(), Rig(), Rig()
    for rig in (waiting, begun, left):
        rig.stream(CHUNK)
    await begun.attached()
    left.relay.read_on()
    assert [rig.relay.is_owed for rig in (waiting, begun, left)] == [False, True, True]


async def test_a_stream_that_others_could_take_over_begins_with_its_first_byte() -> None:
    rig = Rig(begins_late=True)
    rig.stream()
    assert await rig.signals() == []
    rig.say(CHUNK)
    await rig.attached()
    assert rig.client.received == CHUNK
    rig.say(CHUNK)
    assert rig.client.received == CHUNK * 2 and await rig.signals() == []


async def test_what_others_could_take_over_and_is_no_stream_is_collected_as_ever() -> None:
    rig = Rig(begins_late=True)
    rig.relay.on_headers(200, JSON)
    rig.say(b"{}")
    rig.relay.on_end()
    assert (await rig.signals(), rig.relay.body) == ([Signal.END], b"{}")


def test_before_anything_is_sent_nothing_answers() -> None:
    NOTHING_SENT.abort()
    assert (NOTHING_SENT.status, NOTHING_SENT.body, NOTHING_SENT.is_owed) == (0, b"", False)
    with pytest.raises(AssertionError, match="nothing answers"):
        NOTHING_SENT._make_tap(b"", None)
