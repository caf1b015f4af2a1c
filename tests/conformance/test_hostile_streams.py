"""Bytes that no server means to send: they pass as they came, nothing breaks, and nothing grows without bound.

`HYPOTHESIS_PROFILE=deep` looks for much longer.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.answer_tap import MAX_ANSWER_BYTES, AnswerTap
from metering.endpoints import OLLAMA, OPENAI
from metering.formats.format import InvalidAsk, WireFormat
from metering.framing import NDJSON, SSE, Framing
from metering.injection import Removal
from metering.tap import MAX_EVENT_BYTES, StreamTap
from metering.text import FOLD_BYTES
from tests.conformance.test_what_servers_say import STREAMS, Case
from tests.support.streams import cut, cuts

WIRES = list({each.wire.name: each.wire for each in (*OPENAI, *OLLAMA)}.values())
FRAMINGS = [SSE, NDJSON]
removals = st.builds(Removal, st.booleans(), st.booleans(), st.booleans(), st.booleans())
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["choices", "usage", "delta", "content", "message", "type", "response", "error", "index"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=12,
)


def through(tap: StreamTap, pieces: list[bytes]) -> bytes:
    return b"".join([*(tap.feed(piece) for piece in pieces), tap.finish()])


@given(st.data(), st.sampled_from(STREAMS))
def test_a_stream_that_was_spoilt_passes_as_it_came(data: st.DataObject, case: Case) -> None:
    sent = bytearray(b"".join(case.sent))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sent) - 1))
        how = data.draw(st.sampled_from(["flip", "drop", "double", "insert"]))
        if how == "flip":
            sent[at] ^= data.draw(st.integers(1, 255))
        elif how == "drop":
            del sent[at : at + data.draw(st.integers(1, 20))]
        elif how == "double":
            sent[at:at] = sent[at : at + data.draw(st.integers(1, 200))]
        else:
            sent[at:at] = data.draw(st.binary(max_size=20))
        sent = sent or bytearray(b"x")
    spoilt = bytes(sent)
    tap = StreamTap(case.wire, case.framing, keeps_text=True)
    assert through(tap, cut(spoilt, data.draw(cuts(len(spoilt))))) == spoilt
    tap.texts()
    assert tap.reading.completion is None or tap.reading.completion >= 0


ASKED = [case for case in STREAMS if case.wire.name in ("chat", "completions") and case.candidates * case.prompts == 1]


@given(st.data(), st.sampled_from(ASKED), removals)
def test_where_something_is_taken_out_cutting_makes_no_difference(
    data: st.DataObject, case: Case, removal: Removal
) -> None:
    # what is glued to the beginning of an event's line makes it no event, and its end looks like one
    garbage = st.binary(max_size=60).map(lambda raw: raw + b"\n\n")
    sent = b"".join(event + data.draw(garbage) if data.draw(st.booleans()) else event for event in case.sent)
    whole, pieces = StreamTap(case.wire, SSE, removal), StreamTap(case.wire, SSE, removal)
    assert through(whole, [sent]) == through(pieces, cut(sent, data.draw(cuts(len(sent)))))
    assert (whole.reading, whole.is_done, whole.has_error) == (pieces.reading, pieces.is_done, pieces.has_error)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@given(value=json_values)
def test_no_json_breaks_a_format(wire: WireFormat, value: Any) -> None:
    fields = value if isinstance(value, dict) else {"choices": value, "usage": value, "message": value, "model": "m"}
    wire.read(fields)
    assert all(isinstance(text, str) for _, text in wire.texts(fields))
    try:
        asked = wire.ask(fields)
    except InvalidAsk:
        return
    assert asked.candidates >= 1 and asked.prompts >= 1


def held(tap: StreamTap) -> int:
    keeper = tap._keeper
    return len(tap._rest) + len(tap._running) + len(tap._oversize_tail) + (keeper._size if keeper else 0)


@pytest.mark.parametrize("framing", FRAMINGS, ids=["sse", "ndjson"])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_an_event_of_a_hundred_megabytes_is_not_kept(wire: WireFormat, framing: Framing) -> None:
    tap = StreamTap(wire, framing, Removal(usage_chunk=True, nulls=True), keeps_text=True)
    piece, passed = b"data: " + b"x" * ((1 << 20) - 6), 0
    for _ in range(100):
        passed += len(tap.feed(piece))
        assert held(tap) <= MAX_EVENT_BYTES + FOLD_BYTES + 2 * len(piece)
    assert passed + len(tap.finish()) == 100 * len(piece)


def test_a_hundred_thousand_tiny_pieces_are_read_as_one() -> None:
    events = b"".join(case.sent[0] for case in STREAMS if case.framing is SSE and case.wire is STREAMS[0].wire)
    sent = (events * 20)[:100_000]
    tap = StreamTap(keeps_text=True)
    for at in range(len(sent)):
        assert tap.feed(sent[at : at + 1]) == sent[at : at + 1]
        assert held(tap) <= MAX_EVENT_BYTES + FOLD_BYTES + 2
    whole = StreamTap(keeps_text=True)
    whole.feed(sent)
    assert (tap.finish(), tap.reading) == (whole.finish(), whole.reading)


def test_an_answer_of_a_hundred_megabytes_is_read_from_its_end() -> None:
    tap = AnswerTap()
    for _ in range(100):
        tap.feed(b"x" * (1 << 20))
        assert sum(map(len, tap._parts)) <= MAX_ANSWER_BYTES + (1 << 20)
    tap.feed(b'"],"usage":{"prompt_tokens":3,"completion_tokens":4}}')
    tap.finish()
    assert (tap.reading.prompt, tap.reading.completion) == (3, 4)


def test_a_compressed_body_passes_and_is_counted_by_its_length() -> None:
    body = b"\x1f\x8b\x08" + bytes(range(256)) * 20
    tap = AnswerTap()
    assert tap.feed(body) == body
    tap.finish()
    assert (tap.reading.is_empty, tap.text_bytes) == (True, len(body))
