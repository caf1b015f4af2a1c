import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.framing import NDJSON, SSE, Framing, cut, framing_of
from tests.support.streams import cut as pieces_of
from tests.support.streams import cuts


@given(st.binary(max_size=60))
def test_nothing_is_lost_between_lines(buffer: bytes) -> None:
    lines, rest = NDJSON.split(buffer)
    assert b"".join(lines) + rest == buffer
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert b"\n" not in rest


@pytest.mark.parametrize("framing", [SSE, NDJSON], ids=["sse", "ndjson"])
@given(stream=st.lists(st.sampled_from([b"\r", b"\n", b"a", b"data: b"]), max_size=30).map(b"".join), data=st.data())
def test_events_taken_in_turn_are_those_of_the_whole(framing: Framing, stream: bytes, data: st.DataObject) -> None:
    taken: list[bytes] = []
    rest = bytearray()
    for piece in pieces_of(stream, data.draw(cuts(len(stream)))):
        whole, ends = framing.take(rest, piece)
        taken += cut(whole, ends)
        assert b"".join(taken) + rest == stream[: sum(map(len, taken)) + len(rest)]
    assert (taken, bytes(rest)) == framing.split(stream)


@pytest.mark.parametrize(
    ("content_type", "framing"),
    [
        (b"text/event-stream", SSE),
        (b"Text/Event-Stream; charset=utf-8", SSE),
        (b"application/x-ndjson", NDJSON),
        (b"application/json", None),
        (b"audio/mpeg", None),
        (b"", None),
    ],
)
def test_what_the_content_type_says(content_type: bytes, framing: object) -> None:
    assert framing_of(content_type) is framing
