"""The quick way reads what the thorough one reads, or nothing."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.formats.openai_usage import is_error, usage_of
from metering.formats.usual_answer import usual_usage
from metering.reading import MAX_COUNT, NOTHING, Reading

USUAL = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
DETAILED = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5, "audio_tokens": 7},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 3, "accepted_prediction_tokens": 1},
}


def said(**changed: object) -> Reading | None:
    return usual_usage(orjson.dumps(USUAL | changed))


def test_the_usual_answer_is_read() -> None:
    assert said() == Reading(prompt=9, completion=2, total=11)


def test_its_details_are_read() -> None:
    assert said(usage=DETAILED) == Reading(
        prompt=100,
        completion=50,
        total=150,
        cached=60,
        cache_write=5,
        reasoning=20,
        audio_input=7,
        audio_output=3,
    )


@pytest.mark.parametrize("place", ["prompt_cache_hit_tokens", "cached_tokens"])
def test_hits_of_a_cache_are_read_wherever_they_are_said(place: str) -> None:
    found = said(usage={"prompt_tokens": 9, place: 4})
    assert found is not None and found.cached == 4


def test_nulls_and_zeros_are_two_things() -> None:
    found = said(usage={"prompt_tokens": 0, "completion_tokens": None})
    assert found == Reading(prompt=0)


@pytest.mark.parametrize(
    "changed",
    [
        {"usage": None},
        {"usage": []},
        {"usage": {"prompt_tokens": "9"}},
        {"usage": {"prompt_tokens": 9.0}},
        {"usage": {"prompt_tokens": True}},
        {"usage": {"prompt_tokens": -1}},
        {"usage": {"prompt_tokens": MAX_COUNT + 1}},
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": []}},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"usage": {"prompt_tokens": 9}}]},
        {"object": "error"},
        {"object": None},
        {"error": {"message": "no"}},
        {"x_groq": {"usage": {"prompt_tokens": 9}}},
        {"timings": {"prompt_n": 9}},
    ],
)
def test_what_is_not_usual_is_left_to_others(changed: dict[str, object]) -> None:
    assert said(**changed) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"data: {}", b"{}", b'{"usage":{}', b"\xff", b"[" * 100_000])
def test_what_is_no_answer_is_left_to_others(body: bytes) -> None:
    assert usual_usage(body) is None


counts: st.SearchStrategy[object] = st.sampled_from(
    [None, 0, 1, 7, MAX_COUNT, MAX_COUNT + 1, -1, 3.0, 3.5, True, "3", [], {}]
)
details = st.one_of(
    counts,
    st.dictionaries(
        st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens", "else"]), counts
    ),
)
usages = st.one_of(
    counts,
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": counts,
            "completion_tokens": counts,
            "total_tokens": counts,
            "prompt_tokens_details": details,
            "completion_tokens_details": details,
            "prompt_cache_hit_tokens": counts,
            "cached_tokens": counts,
            "reasoning_tokens": counts,
        },
    ),
)
choices = st.one_of(
    counts, st.lists(st.one_of(counts, st.fixed_dictionaries({"index": counts}, optional={"usage": usages})))
)
answers = st.fixed_dictionaries(
    {"usage": usages},
    optional={
        "choices": choices,
        "object": st.sampled_from(["chat.completion", "error", "", None, 1]),
        "error": st.sampled_from([None, "", "no", {}, {"message": "no"}, False]),
        "x_groq": st.one_of(counts, st.fixed_dictionaries({}, optional={"usage": usages, "error": counts})),
        "timings": st.one_of(counts, st.fixed_dictionaries({}, optional={"prompt_n": counts, "predicted_n": counts})),
    },
)


@given(answers)
def test_it_never_says_what_the_thorough_one_does_not(answer: dict[str, object]) -> None:
    found = usual_usage(orjson.dumps(answer))
    if found is not None:
        assert found == usage_of(answer)
        assert not is_error(answer)


@given(st.integers(0, MAX_COUNT // 2), st.integers(0, MAX_COUNT // 2))
def test_it_says_it_of_every_usual_answer(prompt: int, completion: int) -> None:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    found = said(usage=usage)
    assert found is not None and found != NOTHING
    assert found == usage_of(USUAL | {"usage": usage})
