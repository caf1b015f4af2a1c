"""Slices are the text, of bounded length; a cut before a space changes no count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.tokenizers.slices import SLICE_CHARS, in_slices
from metering.tokenizers.vocabulary import EncodingName
from tests.support.corpus import TEXTS, encoding

NAMES: tuple[EncodingName, ...] = ("o200k_base", "cl100k_base")


def count(name: EncodingName, texts: list[str]) -> int:
    return sum(len(encoding(name).encode_ordinary(text)) for text in texts)


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(1, 12))
def test_nothing_is_lost_and_no_group_is_too_long(texts: list[str], slice_chars: int) -> None:
    groups = list(in_slices(texts, slice_chars))
    assert "".join(text for group in groups for text in group) == "".join(texts)
    assert all(0 < sum(map(len, group)) <= slice_chars for group in groups)


def test_many_short_texts_are_few_jobs() -> None:
    assert len(list(in_slices(["word"] * 10_000))) == 1


@pytest.mark.parametrize("name", NAMES)
@given(
    words=st.lists(
        st.sampled_from([word for text in TEXTS.values() for word in text.split() if len(word) < 40]),
        min_size=100,
        max_size=300,
    ),
    spaces=st.sampled_from([" ", "  ", "\n", " \n", ". "]),
)
def test_words_are_counted_as_if_in_one(name: EncodingName, words: list[str], spaces: str) -> None:
    # a space between two words is within reach of every cut
    text = spaces.join(" ".join(words[at : at + 5]) for at in range(0, len(words), 5))
    groups = list(in_slices([text], 600))
    assert sum(count(name, group) for group in groups) == count(name, [text])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["word  ", "one \n two", "a.  \t", "end. Begin", "x = {\n    'y': 1,\n}\n"])
@pytest.mark.parametrize("slice_chars", [64, 97, 128])
def test_a_cut_is_made_where_no_pattern_goes_across(name: EncodingName, text: str, slice_chars: int) -> None:
    text = text * 200 + "x"
    groups = list(in_slices([text], slice_chars))
    assert sum(count(name, group) for group in groups) == count(name, [text])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["x", "中文文本没有空格", "aAbB", "\n", "👩‍👩‍👧", "1234567", "\x00", "สวัสดี", "-="])
def test_a_seam_through_a_word_costs_a_few_tokens(name: EncodingName, text: str) -> None:
    text = text * (20_000 // len(text))
    groups = list(in_slices([text], 1000))
    seams = len(groups) - 1
    assert seams >= 19
    assert abs(sum(count(name, group) for group in groups) - count(name, [text])) <= 4 * seams


def test_a_slice_is_not_longer_than_the_pattern_engine_can_take() -> None:
    # a run of a million spaces overflows its stack
    assert count("o200k_base", [" " * SLICE_CHARS + "x"]) > 0
    assert count("cl100k_base", [" " * SLICE_CHARS + "x"]) > 0
