from typing import Any

import pytest

from runtime.simulator.dialects.job import Job
from runtime.simulator.errors import Refused
from tests.support.dialects import CHAT, chat, reply_of


def job_of(kind: str, path: str, **body: Any) -> Job:
    return reply_of(kind, path, body).job


@pytest.mark.parametrize(
    ("kind", "fields", "tokens"),
    [
        ("vllm", {"max_completion_tokens": 2, "max_tokens": 1}, 2),
        ("openai", {"max_completion_tokens": 2, "max_tokens": 1}, 1),
        ("ollama", {"max_completion_tokens": 2}, 3),
        ("ollama", {"max_tokens": 2}, 2),
        ("tgi", {"max_completion_tokens": 2}, 2),
    ],
)
def test_limits_hold_where_the_server_knows_them(kind: str, fields: dict[str, Any], tokens: int) -> None:
    job = job_of(kind, CHAT, **chat(**fields))
    assert (job.tokens, job.finish_reason) == (tokens, "length" if tokens < 3 else "stop")


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("openai", {"include_usage": True, "continuous_usage_stats": True}, (True, False)),
        ("vllm", {"include_usage": True, "continuous_usage_stats": True}, (True, True)),
        ("vllm", {"continuous_usage_stats": True}, (True, True)),
        ("sglang", {"continuous_usage_stats": True}, (False, True)),
        ("openai", {}, (False, False)),
        ("vllm", {}, (True, False)),
        ("vllm", None, (False, False)),
    ],
)
def test_usage_options_are_taken_as_each_server_does(kind: str, options: Any, expected: tuple[bool, bool]) -> None:
    job = job_of(kind, CHAT, **chat(stream_options=options))
    assert (job.include_usage, job.running) == expected


def test_limits_have_a_name_per_format() -> None:
    messages = chat()["messages"]
    assert job_of("openai", "/v1/responses", input="a", max_output_tokens=1).tokens == 1
    assert job_of("anthropic", "/v1/messages", messages=messages, max_tokens=1).tokens == 1
    assert job_of("openai", "/v1/completions", prompt="a", max_tokens=1, max_completion_tokens=2).tokens == 1
    assert job_of("ollama", "/api/chat", messages=messages, max_tokens=1, options={"num_predict": 2}).tokens == 2


def test_what_has_no_output_generates_nothing() -> None:
    assert job_of("openai", "/v1/embeddings", input="a").tokens == 0
    assert job_of("vllm", "/v1/rerank", query="a", documents=["b"]).tokens == 0


def test_sound_counts_by_its_length() -> None:
    assert job_of("openai", "/v1/audio/transcriptions", prompt="a b", simulate={"seconds": 9}).prompt_tokens == 92


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"n": 128, "best_of": 128, "simulate": {"tokens": 100_000}}, "n"),
        ({"stream": True, "stream_options": []}, "stream_options"),
    ],
)
def test_what_cannot_be_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        job_of("generic", "/v1/completions", prompt="a", **body)
    assert (caught.value.status, caught.value.param) == (400, param)
