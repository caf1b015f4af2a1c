from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import reading as reading_module
from metering.formats.openai_usage import read_usage
from metering.reading import Reading, Tally, normalise
from metering.usage import Usage
from tests.support.streams import usages

counts = st.one_of(st.none(), st.integers(0, 1000))
readings = st.builds(Reading, counts, counts, counts, counts, counts, counts)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


def openai(prompt: int, completion: int, total: int, *, cached: int | None = None, reasoning: int | None = None) -> Any:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@given(st.lists(readings, min_size=1, max_size=5))
def test_the_latest_value_of_each_field_wins_and_nothing_is_added_up(said: list[Reading]) -> None:
    merged = Reading()
    for reading in said:
        merged = merged.updated(reading)
    for name in ("prompt", "completion", "total", "cached", "cache_write", "reasoning"):
        values = [value for reading in said if (value := getattr(reading, name)) is not None]
        assert getattr(merged, name) == (values[-1] if values else None)


@pytest.mark.parametrize(
    ("reading", "is_empty"),
    [(Reading(), True), (Reading(total=5, cached=1), True), (Reading(prompt=0), False), (Reading(completion=0), False)],
)
def test_nothing_said_is_not_the_same_as_nothing_used(reading: Reading, is_empty: bool) -> None:
    assert reading.is_empty is is_empty


@given(readings)
def test_buckets_do_not_overlap(reading: Reading) -> None:
    usage = normalise(reading)
    assert usage.input_tokens + usage.cached_input_tokens + usage.cache_write_tokens == (reading.prompt or 0)
    written = usage.output_tokens + usage.reasoning_tokens
    assert written in {(reading.completion or 0), (reading.completion or 0) + (reading.reasoning or 0)}
    assert min(
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    ) >= 0  # fmt: skip
    assert usage.total_tokens == (reading.prompt or 0) + written


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        (openai(100, 50, 150, cached=30, reasoning=20), Usage(70, 30, 0, 30, 20)),
        # xAI: completion leaves the reasoning out, and only the total tells
        (openai(100, 50, 170, cached=30, reasoning=20), Usage(70, 30, 0, 50, 20)),
        (openai(100, 50, 150), Usage(100, 0, 0, 50, 0)),
        (openai(100, 50, 150, cached=0, reasoning=0), Usage(100, 0, 0, 50, 0)),
        # parts larger than the whole are believed as far as the whole goes
        (openai(10, 5, 15, cached=99, reasoning=99), Usage(0, 10, 0, 0, 5)),
    ],
)
def test_overlap_is_taken_apart(said: Any, usage: Usage) -> None:
    assert normalise(read_usage(said)) == usage


def test_cache_writes_are_part_of_the_prompt() -> None:
    said = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}}
    assert normalise(read_usage(said)) == Usage(1, 4, 5)


@pytest.mark.parametrize("count", [None, True, -1, 1.0, "1", [1], 1_000_000_001, 2**70])
def test_what_is_no_count_was_not_said(count: Any) -> None:
    assert read_usage({"prompt_tokens": count, "completion_tokens": 0}) == Reading(completion=0)


@given(usages(), json_values)
def test_odd_parts_are_as_if_they_were_not_there(usage: dict[str, Any], odd: Any) -> None:
    assert read_usage(odd).is_empty
    plain = read_usage({**usage, "prompt_tokens_details": None, "completion_tokens_details": None})
    odd = None if isinstance(odd, dict) else odd
    assert read_usage({**usage, "prompt_tokens_details": odd, "completion_tokens_details": odd}) == plain


def test_zeros_on_every_chunk_are_no_running_count() -> None:
    tally = Tally()
    for _ in range(3):
        tally.note(Reading(prompt=0, completion=0), 0)
    assert (tally.counts_along, tally.reading) == (False, Reading())
    for n in (1, 2):
        tally.note(Reading(prompt=7, completion=n), 0)
    assert (tally.counts_along, tally.reading) == (True, Reading(prompt=7, completion=2))


def test_what_choices_say_is_added_up_and_each_prompt_counted_once() -> None:
    tally = Tally(candidates=2, prompts=2)
    for choice in range(4):  # 0 and 1 answer the first prompt, 2 and 3 the second
        prompt = 10 if choice < 2 else 20
        tally.note(Reading(prompt, 1 + choice, 99, 3, 2, 1, 4, 5), choice)
    assert tally.reading == Reading(
        prompt=30, completion=1 + 2 + 3 + 4, cached=6, cache_write=4, reasoning=4, audio_input=8, audio_output=20
    )


def test_what_no_choice_said_is_not_said_by_their_sum() -> None:
    tally = Tally(candidates=2)
    for choice in (0, 1):
        tally.note(Reading(prompt=5), choice)
    assert tally.reading == Reading(prompt=5)


def test_of_one_choice_the_later_word_counts_and_the_whole_goes_before() -> None:
    tally = Tally()
    tally.note(Reading(prompt=5, completion=1), 3)
    tally.note(Reading(completion=2), 3)
    assert tally.reading == Reading(prompt=5, completion=2)
    tally.note(Reading(), None)
    tally.note(Reading(prompt=6, completion=9), None)
    assert tally.reading == Reading(prompt=6, completion=9)


def test_choices_beyond_any_that_exist_are_counted_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_module, "_MAX_CHOICES", 2)
    tally = Tally(candidates=9)
    for choice in range(5):
        tally.note(Reading(prompt=5, completion=1 + choice), choice)
    assert set(tally.by_choice) == {0, 1}
    assert tally.by_choice[0].completion == 5
