import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.progress import Progress, tokens_by_length, tokens_so_far
from metering.reading import Reading


@pytest.mark.parametrize(
    ("progress", "tokens"),
    [
        (Progress(), 0),
        (Progress(pieces=3, text_bytes=4), 3),
        (Progress(pieces=3, text_bytes=17), 5),
        (Progress(pieces=3, text_bytes=17, unread_bytes=9), 8),
        (Progress(unread_bytes=1), 1),
        (Progress(Reading(prompt=9), pieces=2), 2),
        (Progress(Reading(prompt=9, completion=1)), 1),
        (Progress(Reading(prompt=9, completion=1), pieces=7), 7),
        (Progress(Reading(completion=0), is_counted=True), 0),
        (Progress(Reading(completion=5), True, pieces=7, text_bytes=90, unread_bytes=90), 5),
    ],
)
def test_the_servers_word_goes_first_then_the_pieces_and_the_length(progress: Progress, tokens: int) -> None:
    assert tokens_so_far(progress) == tokens


amounts = st.tuples(*[st.integers(0, 10_000)] * 3)


@given(amounts, amounts)
def test_more_text_is_never_fewer_tokens(before: tuple[int, int, int], more: tuple[int, int, int]) -> None:
    pieces, text, unread = (a + b for a, b in zip(before, more, strict=True))
    assert tokens_by_length(pieces, text, unread) >= tokens_by_length(*before)
