import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.framing import SSE
from metering.sse import data_of, event_ends
from tests.support.streams import cut, cuts

PIECES = [
    b"data: a",
    b"data:b",
    b"data",
    b": comment",
    b"event: x",
    b"data:  c",
    "data: é".encode(),
    b"\n",
    b"\r\n",
    b"\r",
]
wire = st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join)


split_events = SSE.split


def in_turn(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    events, rest = [], b""
    for piece in pieces:
        more, rest = split_events(rest + piece)
        events += more
    return events, rest


def plainly_read(stream: bytes) -> list[bytes]:
    """The data of every event that has ended, the slow way: the algorithm of the standard, line by line."""
    found: list[bytes] = []
    data: list[bytes] = []
    for line in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]:
        if not line:
            found += [b"\n".join(data)] if data else []
            data = []
        elif line.partition(b":")[0] == b"data":
            value = line.partition(b":")[2]
            data.append(value.removeprefix(b" "))
    return found


@given(wire)
def test_no_byte_is_lost_or_made_up(stream: bytes) -> None:
    events, rest = split_events(stream)
    assert b"".join(events) + rest == stream


@given(st.data())
def test_events_are_the_same_wherever_the_bytes_are_cut(data: st.DataObject) -> None:
    stream = data.draw(wire)
    whole = split_events(stream)
    assert in_turn(cut(stream, data.draw(cuts(len(stream))))) == whole
    assert in_turn([stream[i : i + 1] for i in range(len(stream))]) == whole


@given(wire)
def test_events_and_data_are_those_of_the_standard(stream: bytes) -> None:
    # an end that the last CR leaves open is settled by any byte that is no LF
    events, rest = split_events(stream + b"x")
    assert rest.endswith(b"x")
    assert [data_of(event) for event in events if plainly_read(event)] == plainly_read(stream + b"x")


@given(wire, wire)
def test_what_was_searched_before_need_not_be_searched_again(before: bytes, more: bytes) -> None:
    _, rest = split_events(before)
    assert event_ends(rest + more, len(rest)) == event_ends(rest + more)


def test_a_carriage_return_at_the_end_may_be_half_a_line_end() -> None:
    assert split_events(b"data: a\r\n\r") == ([], b"data: a\r\n\r")
    assert split_events(b"data: a\r\n\r\n") == ([b"data: a\r\n\r\n"], b"")
    assert split_events(b"data: a\r\rd") == ([b"data: a\r\r"], b"d")


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\n\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"id: 1\ndata: a\n: no\n\n", b"a"),
        (b"data\ndata: a\n\n", b"\na"),
        (b"database: a\n\n", b""),
        (b": data: a\n\n", b""),
    ],
)
def test_the_data_of_an_event(event: bytes, data: bytes) -> None:
    assert data_of(event) == data
