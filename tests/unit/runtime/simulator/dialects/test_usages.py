import pytest

from runtime.simulator.dialects import usages
from runtime.simulator.dialects.job import Counts

COUNTS = Counts(prompt=100, completion=40, cached=60, cache_write=10, reasoning=30, audio=5, image=4)
OPENAI_LIKE = [
    usages.plain,
    usages.generic,
    usages.openai,
    usages.azure,
    usages.vllm,
    usages.sglang,
    usages.trtllm,
    usages.llamacpp,
    usages.deepseek,
    usages.openrouter,
    usages.groq,
]


@pytest.mark.parametrize("shape", OPENAI_LIKE)
def test_openais_names_are_in_all_of_its_imitations(shape: object) -> None:
    assert callable(shape)
    usage = shape(COUNTS)
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 40, 140)


def test_what_was_cached_is_inside_or_outside() -> None:
    assert usages.anthropic_input(COUNTS) == {
        "input_tokens": 30,
        "cache_creation_input_tokens": 10,
        "cache_read_input_tokens": 60,
    }
    assert usages.deepseek(COUNTS)["prompt_cache_miss_tokens"] == 40
    assert (usages.timings(COUNTS)["prompt_n"], usages.timings(COUNTS)["cache_n"]) == (40, 60)
    assert usages.responses(COUNTS)["input_tokens_details"] == {"cached_tokens": 60, "cache_write_tokens": 10}


def test_reasoning_stands_where_each_has_it() -> None:
    assert usages.sglang(COUNTS)["reasoning_tokens"] == 30
    assert usages.openai(COUNTS)["completion_tokens_details"]["reasoning_tokens"] == 30
    assert usages.responses(COUNTS)["output_tokens_details"] == {"reasoning_tokens": 30}


def test_details_that_are_nothing_are_left_out_by_some() -> None:
    bare = Counts(prompt=7, completion=3)
    assert usages.generic(bare) == usages.plain(bare)
    assert "prompt_tokens_details" not in usages.vllm(bare)
    assert usages.sglang(bare)["prompt_tokens_details"] is None
    assert usages.trtllm(bare)["prompt_tokens_details"] == {"cached_tokens": 0}
