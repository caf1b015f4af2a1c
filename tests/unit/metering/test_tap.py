import json
from collections.abc import Iterable
from functools import reduce
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metering import tap as tap_module
from metering.formats.openai_usage import read_usage
from metering.injection import Removal
from metering.reading import Reading, Tally
from metering.tap import MAX_EVENT_BYTES, StreamTap
from metering.text import Texts
from tests.support.streams import Event, cut, cuts, streams

ASKED = Removal(usage_chunk=True, nulls=True)


def through(tap: StreamTap, pieces: Iterable[bytes]) -> list[bytes]:
    return [*(tap.feed(piece) for piece in pieces), tap.finish()]


def passed(pieces: Iterable[bytes]) -> tuple[bytes, StreamTap]:
    tap = StreamTap(removal=ASKED)
    return b"".join(through(tap, pieces)), tap


def facts(tap: StreamTap) -> tuple[Any, ...]:
    return tap.reading, tap.is_done, tap.has_error


def asked(stream: list[Event]) -> bytes:
    return b"".join(event.asked for event in stream)


def wanted(stream: list[Event], max_event_bytes: int = MAX_EVENT_BYTES) -> bytes:
    """What the client would have been sent had nobody asked for usage; an event too long to be read stays as it is."""
    return b"".join(e.asked if len(e.asked) > max_event_bytes else e.plain for e in stream)


def said(stream: list[Event], max_event_bytes: int = MAX_EVENT_BYTES) -> Reading:
    heard = [read_usage(e.usage) for e in stream if e.usage and len(e.asked) <= max_event_bytes]
    return reduce(Reading.updated, heard, Reading())


@given(st.data())
def test_what_was_not_asked_for_is_all_that_is_taken_out(data: st.DataObject) -> None:
    stream = data.draw(streams())
    sent = asked(stream)
    out, tap = passed(cut(sent, data.draw(cuts(len(sent)))))
    assert out == wanted(stream)
    assert facts(tap) == (said(stream), True, False)


@settings(max_examples=15)
@given(streams())
def test_where_the_bytes_are_cut_makes_no_difference(stream: list[Event]) -> None:
    sent = asked(stream)
    whole, tap = passed([sent])
    assert whole == wanted(stream)
    every_cut = [[sent[:at], sent[at:]] for at in range(len(sent))]
    for pieces in [*every_cut, [sent[i : i + 1] for i in range(len(sent))], [e.asked for e in stream]]:
        out, other = passed(pieces)
        assert out == whole
        assert facts(other) == facts(tap)


@given(st.data())
def test_an_event_too_long_to_be_read_passes_as_it_is_however_it_is_cut(data: st.DataObject) -> None:
    stream = data.draw(streams())
    limit = data.draw(st.integers(1, 400))
    sent = asked(stream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tap_module, "MAX_EVENT_BYTES", limit)
        out, tap = passed(cut(sent, data.draw(cuts(len(sent)))))
    assert out == wanted(stream, limit)
    assert tap.reading == said(stream, limit)


@given(st.data())
def test_with_nothing_to_remove_every_byte_passes_at_once(data: st.DataObject) -> None:
    stream = data.draw(streams())
    pieces = cut(asked(stream), data.draw(cuts(len(asked(stream)))))
    tap = StreamTap()
    assert through(tap, pieces) == [*pieces, b""]
    assert tap.reading == said(stream)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_bytes_of_another_tongue_pass(pieces: list[bytes]) -> None:
    # broken JSON with just this end is the one thing that is not told apart from a chunk
    assume(b'"usage":null}' not in b"".join(pieces))
    out, _ = passed(pieces)
    assert out == b"".join(pieces)


def chunk(**fields: Any) -> bytes:
    return f"data: {json.dumps({'choices': [], **fields}, separators=(',', ':'))}\n\n".encode()


CONTENT = [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]
FINISHED = [{"index": 0, "delta": {}, "finish_reason": "stop"}]


@pytest.mark.parametrize(
    "event",
    [
        chunk(choices=CONTENT, usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk(choices=FINISHED, usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk(prompt_filter_results=[]),
        chunk(error={"message": "no"}, usage={"prompt_tokens": 1}),
        b'data: {"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[{"usage":null}]}\n\n',
        b'data: {"choices":[],"usage":1}\n\n',
        b'data: [{"choices":[],"usage":{}}]\n\n',
        b'event: ping\ndata: {"usage"\n\n',
        b'data: {"usage":{"prompt_tokens":1},"usage":null,"choices":[{}]}\n\n',
    ],
)
def test_an_event_that_says_more_than_usage_is_not_touched(event: bytes) -> None:
    assert passed([event])[0] == event


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (b'data: {"a":1,"usage":null}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"usage":null,"a":1}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"a":1,"usage":null,"b":2}\n\n', b'data: {"a":1,"b":2}\n\n'),
        (b'data: {"a":1,"usage":null,"obfuscation":"xY9"}\n\n', b'data: {"a":1,"obfuscation":"xY9"}\n\n'),
        (b'data: {"a":{"usage":null,"b":"c"}}\n\n', b'data: {"a":{"usage":null,"b":"c"}}\n\n'),
        (b'data: {"a":1,"usage":null}\r\n\r\n', b'data: {"a":1}\r\n\r\n'),
        (b'data: {"a":{"b":1,"usage":null},"usage":null}\n\n', b'data: {"a":{"b":1,"usage":null}}\n\n'),
        (b'data: {"usage":null}\n\n', b"data: {}\n\n"),
        (b'data: {"object":"usage", "usage" : null , "a":1}\n\n', b'data: {"object":"usage" , "a":1}\n\n'),
        (b'id: "\ndata: {"a":1,\ndata: "usage":null,\ndata: "b":2}\n\n', b'id: "\ndata: {"a":1,\ndata: "b":2}\n\n'),
    ],
)
def test_a_null_that_was_not_asked_for_is_cut_out_of_its_chunk(event: bytes, left: bytes) -> None:
    assert passed([event])[0] == left
    # also after a chunk whose null was its last key
    first = b'data: {"z":0,"usage":null}\n\n'
    assert passed([first, event])[0] == b'data: {"z":0}\n\n' + left


def test_cumulative_usage_on_every_chunk_is_not_added_up() -> None:
    tap = StreamTap()
    for n in range(1, 6):
        tap.feed(chunk(choices=CONTENT, usage={"prompt_tokens": 7, "completion_tokens": n}))
    assert (tap.reading.prompt, tap.reading.completion) == (7, 5)


def test_a_later_null_does_not_unsay_a_count() -> None:
    tap = StreamTap()
    tap.feed(chunk(choices=CONTENT, usage={"prompt_tokens": 7, "completion_tokens": 0}))
    tap.feed(chunk(choices=CONTENT, usage={"prompt_tokens": None, "completion_tokens": None}))
    tap.feed(chunk(choices=CONTENT, usage=None))
    assert (tap.reading.prompt, tap.reading.completion, tap.reading.cached) == (7, 0, None)


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"error":{"message":"out of memory"}}\n\n',
        b'event: error\r\ndata: {"object":"error","message":"out of memory"}\r\n\r\n',
        b'data: {"error":"out of memory"}',
    ],
)
@pytest.mark.parametrize("removal", [Removal(), ASKED])
def test_an_error_in_the_stream_is_noticed_and_passes(error: bytes, removal: Removal) -> None:
    tap = StreamTap(removal=removal)
    assert b"".join(through(tap, [chunk(choices=CONTENT), error])) == chunk(choices=CONTENT) + error
    assert tap.has_error


@pytest.mark.parametrize("error", [b'"error":null', b'"content":"error"', b'"content":"\\"error\\":{}"'])
def test_what_only_looks_like_an_error_is_none(error: bytes) -> None:
    tap = StreamTap(removal=ASKED)
    tap.feed(b'data: {"choices":[],' + error + b"}\n\n")
    assert not tap.has_error


@pytest.mark.parametrize("removal", [Removal(), ASKED])
def test_a_line_without_end_is_not_kept(removal: Removal) -> None:
    tap = StreamTap(removal=removal)
    line = b"data: " + b"x" * 1018
    out = 0
    for _ in range(1024):
        out += len(tap.feed(line))
        assert len(tap._rest) <= MAX_EVENT_BYTES + len(line)
    assert out + len(tap.finish()) == 1024 * len(line)
    assert tap._rest == b""


def test_after_a_line_without_end_the_next_event_is_read() -> None:
    tap = StreamTap(removal=ASKED)
    long = b"data: " + b"x" * (MAX_EVENT_BYTES + 1) + b"\n"
    usage = chunk(usage={"prompt_tokens": 5, "completion_tokens": 6})
    assert b"".join(through(tap, [long, b"\n" + usage])) == long + b"\n"
    assert (tap.reading.prompt, tap.reading.completion) == (5, 6)


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_null_at_the_end_of_an_event_too_long_to_be_read_stays(pieces: int) -> None:
    event = b'data: {"a":"' + b"x" * MAX_EVENT_BYTES + b'","b":"' + b"x" * MAX_EVENT_BYTES + b'","usage":null}\n\n'
    size = len(event) // pieces + 1
    assert passed([event[at : at + size] for at in range(0, len(event), size)])[0] == event


RUNNING = chunk(choices=CONTENT, usage={"prompt_tokens": 1, "completion_tokens": 1})


@pytest.mark.parametrize("trusts_counts", [True, False])
def test_text_is_kept_until_the_server_turns_out_to_count(trusts_counts: bool) -> None:
    """A server may be asked to count along, and not do it."""
    removal = Removal(usage_chunk=True, nulls=True, running=True)
    tap = StreamTap(removal=removal, keeps_text=True, trusts_counts=trusts_counts)
    tap.feed(chunk(choices=CONTENT))
    assert tap.texts().whole() == ["x"]
    tap.feed(RUNNING)
    assert tap.counts_along
    assert tap.texts().whole() == ([] if trusts_counts else ["xx"])


def came_to(texts: Texts) -> tuple[Any, ...]:
    return texts.whole(), texts.pieces_said, texts.kept_chars, texts.kept_bytes, texts.dropped_bytes


def without_looking(tap: StreamTap) -> StreamTap:
    """The same, but no event is taken for the one before it with another text."""
    tap._usual_left = 0
    return tap


TEXTS = st.sampled_from(
    ["a", "b", "usage", "error", "", "\\", '"', "x\n", "\u00e9", "[DONE]", '","usage":{}', "\u2028"]
)


@st.composite
def alike(draw: st.DrawFn) -> bytes:
    """An event of a server that writes all alike: escapes, raw line ends and half escapes in the text included."""
    text = draw(TEXTS)
    inside = draw(st.sampled_from([json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], "a\\", "a\nb"]))
    name = draw(st.sampled_from(["content", "content", "content", "reasoning_content"]))
    end = draw(st.sampled_from(['}],"usage":null}', '}],"usage":null}', "}]}", '}],"usage":{"prompt_tokens":1}}']))
    return f'data: {{"choices":[{{"index":0,"delta":{{"{name}":"{inside}"}}{end}\n\n'.encode()


@settings(max_examples=300)
@given(st.lists(alike(), max_size=12), st.data())
def test_what_is_taken_for_the_event_before_it_comes_to_the_same_as_what_is_read(
    stream: list[bytes], data: st.DataObject
) -> None:
    removal = data.draw(st.sampled_from([Removal(), ASKED]))
    is_single = data.draw(st.booleans())
    taps = [StreamTap(removal=removal, keeps_text=True, tally=Tally(1 if is_single else 2)) for _ in range(2)]
    without_looking(taps[1])
    together = data.draw(st.integers(1, 2))
    for at in range(0, len(stream), together):
        piece = b"".join(stream[at : at + together])
        one, other = (tap.feed(piece) for tap in taps)
        assert one == other
        if data.draw(st.booleans()):
            assert taps[0].progress() == taps[1].progress()
    assert taps[0].finish() == taps[1].finish()
    assert facts(taps[0]) == facts(taps[1])
    assert came_to(taps[0].texts()) == came_to(taps[1].texts())


def test_a_stream_whose_events_are_alike_is_hardly_read(monkeypatch: pytest.MonkeyPatch) -> None:
    tap = StreamTap(removal=ASKED, keeps_text=True)
    tap.feed(chunk(choices=CONTENT, usage=None))
    monkeypatch.setattr(StreamTap, "_pass_ordinary", None)
    for _ in range(1000):
        assert tap.feed(chunk(choices=CONTENT, usage=None)) == chunk(choices=CONTENT)
    assert tap.texts().whole() == ["x" * 1001]


def test_a_stream_whose_events_never_are_alike_is_not_looked_at_for_ever() -> None:
    tap = StreamTap()
    for number in range(200):
        tap.feed(chunk(choices=CONTENT, created=number))
    assert tap._usual_left == 0
