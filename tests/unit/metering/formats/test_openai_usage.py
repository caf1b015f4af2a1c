"""OpenAI's usage in the spellings of many servers, and what only looks like it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.formats.openai_usage import (
    choice_of,
    is_error,
    is_finish,
    is_usage_only,
    read_timings,
    read_usage,
    usage_of,
)
from metering.reading import NOTHING, Reading
from tests.support.streams import usages

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@pytest.mark.parametrize("count", [None, True, -1, 1.0, "1", [1], 1_000_000_001, 2**70])
def test_what_is_no_count_was_not_said(count: Any) -> None:
    assert read_usage({"prompt_tokens": count, "completion_tokens": 0}) == Reading(completion=0)


@given(usages(), json_values)
def test_odd_parts_are_as_if_they_were_not_there(usage: dict[str, Any], odd: Any) -> None:
    odd = None if isinstance(odd, dict) else odd
    assert read_usage(odd) == NOTHING
    plain = read_usage({**usage, "prompt_tokens_details": None, "completion_tokens_details": None})
    assert read_usage({**usage, "prompt_tokens_details": odd, "completion_tokens_details": odd}) == plain


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 3}, "prompt_cache_hit_tokens": 4}, 3),
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}, 4),
        ({"cached_tokens": 5}, 5),
        ({"prompt_tokens_details": {"cached_tokens": None}, "cached_tokens": 0}, 0),
    ],
)
def test_cached_input_has_three_names(usage: dict[str, Any], cached: int) -> None:
    assert read_usage(usage).cached == cached


@pytest.mark.parametrize(
    ("timings", "reading"),
    [
        ({"prompt_n": 5, "cache_n": 4, "predicted_n": 3}, Reading(prompt=9, completion=3, cached=4)),
        ({"prompt_n": 5, "predicted_n": 3}, Reading(prompt=5, completion=3)),
        ({"cache_n": 4, "predicted_n": 3}, Reading(completion=3, cached=4)),
        (None, NOTHING),
        ([], NOTHING),
    ],
)
def test_llamacpps_timings(timings: Any, reading: Reading) -> None:
    assert read_timings(timings) == reading


def test_the_top_goes_before_the_choice_and_that_before_the_timings() -> None:
    chunk = {
        "timings": {"prompt_n": 1, "predicted_n": 1},
        "choices": [{"usage": {"prompt_tokens": 2, "completion_tokens": 2}}],
        "usage": {"prompt_tokens": 3},
    }
    assert usage_of(chunk) == Reading(prompt=3, completion=2)


@pytest.mark.parametrize(
    ("choices", "choice"),
    [([{"index": 2}], 2), ([{}], 0), ([{"index": "x"}], 0), ([], None), ([{}, {}], None), (None, None), (["x"], None)],
)
def test_whose_usage_it_is(choices: Any, choice: int | None) -> None:
    assert choice_of({"choices": choices}) == choice


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ({"error": {"message": "no"}}, True),
        ({"error": "no"}, True),
        ({"object": "error", "message": "no"}, True),
        ({"x_groq": {"error": "no"}}, True),
        ({"error": None}, False),
        ({"choices": []}, False),
    ],
)
def test_errors(chunk: dict[str, Any], expected: bool) -> None:
    assert is_error(chunk) is expected


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ([{"finish_reason": "stop"}], True),
        ([{"finish_reason": ""}], False),
        ([{"finish_reason": None}], False),
        ([], False),
        ([{"finish_reason": None}, {"finish_reason": "length"}], True),
    ],
)
def test_the_end_of_generation(choices: Any, expected: bool) -> None:
    assert is_finish({"choices": choices}) is expected


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ({"choices": [], "usage": {}}, True),
        ({"choices": [], "usage": None}, False),
        ({"choices": [{}], "usage": {}}, False),
        ({"usage": {}}, False),
        ({"choices": [], "usage": {}, "error": {"message": "no"}}, False),
    ],
)
def test_a_chunk_that_is_there_for_its_usage_alone(chunk: dict[str, Any], expected: bool) -> None:
    assert is_usage_only(chunk) is expected
