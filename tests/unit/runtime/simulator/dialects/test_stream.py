import pytest

from runtime.simulator.details import Details
from runtime.simulator.dialects.stream import Layout, Stream
from runtime.simulator.faults import Fault, FaultKind, Stage

LAYOUT = Layout(
    tokens_after=lambda words: 10 * words,
    words=3,
    word=lambda number: b"data: w%d\n\n" % number,
    opening=[b"data: open\n\n"],
    finish=[b"data: finish\n\n"],
    usage=[b"data: usage\n\n"],
    done=[b"data: [DONE]\n\n"],
    error=lambda words: [b"data: error after %d\n\n" % words],
    failed=lambda words: [b"data: failed\n\n", b""],
)


def stream(details: Details | None = None, *, framed: bool = False) -> Stream:
    return Stream(LAYOUT, details or Details(), framed=framed)


def test_the_stages_come_in_their_order() -> None:
    names = [event[6:-2].decode() for event in map(stream().event, range(stream().count))]
    assert names == ["open", "w0", "w1", "w2", "finish", "usage", "[DONE]"]
    assert (stream().words_end, stream().count) == (4, 7)


def test_tokens_are_out_with_their_words() -> None:
    assert [stream().tokens_before(position) for position in range(8)] == [0, 0, 10, 20, 30, 30, 30, 30]


def test_without_words_the_tokens_are_out_at_the_end_of_the_opening() -> None:
    silent = Stream(Layout(tokens_after=lambda words: 5, opening=[b"a", b"b"], done=[b"c"]), Details(), framed=False)
    assert [silent.tokens_before(position) for position in range(4)] == [0, 0, 5, 5]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(FaultKind.CUT), 0),
        (Fault(FaultKind.CUT, after_chunks=2), 2),
        (Fault(FaultKind.CUT, after_chunks=99), 7),
        (Fault(FaultKind.CUT, after_tokens=0), 0),
        (Fault(FaultKind.CUT, after_tokens=11), 3),
        (Fault(FaultKind.CUT, after_tokens=999), 4),
        (Fault(FaultKind.STALL, after=Stage.OPENING), 1),
        (Fault(FaultKind.STALL, after=Stage.WORDS), 4),
        (Fault(FaultKind.NO_DONE), 5),
        (Fault(FaultKind.NO_DONE, after=Stage.USAGE), 6),
        (Fault(FaultKind.NO_BLANK_LINE), 7),
        (Fault(FaultKind.CUT, after=Stage.DONE), 7),
    ],
)
def test_where_a_fault_stops_it(fault: Fault, expected: int) -> None:
    assert stream().stop_at(fault) == expected


def test_it_can_be_cut_at_every_byte() -> None:
    whole = stream().block(0, 7)
    for size in range(len(whole) + 2):
        position, part = stream().split_at(size)
        assert stream().block(0, position) + part == whole[:size]


def test_a_failure_says_what_its_format_has_for_it() -> None:
    assert stream().failure(Fault(FaultKind.ERROR_EVENT), 3) == b"data: error after 2\n\n"
    assert stream(framed=True).failure(Fault(FaultKind.FAILED), 3) == b"e\r\ndata: failed\n\n\r\n"
    plain = Stream(Layout(tokens_after=lambda words: 0, error=lambda words: [b"e"]), Details(), framed=False)
    assert plain.failure(Fault(FaultKind.FAILED), 0) == b"e"


def test_it_is_spelled_as_ordered() -> None:
    assert stream(Details(line_end=b"\r\n")).event(1) == b"data: w0\r\n\r\n"
    assert stream(Details(line_end=b"\r", data_space=False)).event(1) == b"data:w0\r\r"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_the_last_blank_line_can_be_missing(line_end: bytes) -> None:
    one = stream(Details(line_end=line_end))
    one.cut_short = 6
    assert one.event(6) == b"data: [DONE]" + line_end
