from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.simulator.dialects.job import Job
from tests.support.dialects import CHAT, chat, reply_of


def job_of(simulate: dict[str, Any], **fields: Any) -> Job:
    return reply_of("vllm", CHAT, chat(simulate, **fields)).job


COUNTS = st.integers(0, 12)


@given(COUNTS, COUNTS, COUNTS, st.booleans(), st.integers(1, 4), st.integers(1, 3))
def test_every_token_is_accounted_for(
    tokens: int, reasoning: int, hidden: int, shown: bool, step: int, choices: int
) -> None:
    simulate = {"tokens": tokens, "reasoning_tokens": reasoning, "hidden_tokens": hidden, "show_reasoning": shown}
    job = job_of(simulate | {"tokens_per_chunk": step}, n=choices)
    spoken = [job.piece(number) for number in range(job.pieces)]
    assert ("".join(one for one, _ in spoken), "".join(two for _, two in spoken)) == job.whole()
    visible = sum(len(part.split()) for part in job.whole())
    assert visible + job.hidden == tokens
    assert job.tokens_after(job.pieces) == (tokens if job.pieces else 0)
    after = [job.tokens_after_words(events) for events in range(job.pieces * choices + 1)]
    assert after == sorted(after)
    assert after[-1] == job.completion_tokens == tokens * choices


def test_running_counts_of_choices_add_up_at_any_point() -> None:
    job = job_of({"tokens": 5, "hidden_tokens": 2, "tokens_per_chunk": 2}, n=2)
    assert [job.tokens_after_words(events) for events in range(5)] == [0, 4, 8, 9, 10]
    assert [job.counts_of_choice(0, pieces).completion for pieces in range(3)] == [0, 4, 5]


def test_parts_never_exceed_the_whole() -> None:
    simulate = {"tokens": 2, "cached_tokens": 99, "cache_write_tokens": 99, "reasoning_tokens": 99, "audio_tokens": 99}
    counts = job_of(simulate).counts()
    assert (counts.prompt, counts.cached, counts.cache_write, counts.audio, counts.reasoning) == (7, 7, 0, 7, 2)


def test_each_prompt_is_counted_once_however_many_choices() -> None:
    job = reply_of("vllm", "/v1/completions", {"prompt": ["a b", [1, 2, 3]], "n": 2, "best_of": 3}).job
    assert (job.choices, job.prompt_tokens, job.completion_tokens) == (4, 5, 18)
    assert [job.counts_of_choice(index, 1).prompt for index in range(4)] == [2, 2, 3, 3]
