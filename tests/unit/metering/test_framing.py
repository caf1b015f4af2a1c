import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.framing import NDJSON, SSE, framing_of, split_lines


@given(st.binary(max_size=60))
def test_nothing_is_lost_between_lines(buffer: bytes) -> None:
    lines, rest = split_lines(buffer)
    assert b"".join(lines) + rest == buffer
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert b"\n" not in rest


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
