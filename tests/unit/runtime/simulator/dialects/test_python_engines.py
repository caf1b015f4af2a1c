import pytest

from tests.support.dialects import answered, body_of, chat, chunks_of, names_of, recorded


@pytest.mark.parametrize(
    "name",
    [*names_of("vllm", "sglang", "trtllm", path="/v1/chat"), *names_of("vllm", "sglang", "trtllm", path="/v1/comp")],
)
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


@pytest.mark.parametrize("kind", ["vllm", "trtllm"])
def test_running_counts_are_given_only_with_the_final_one(kind: str) -> None:
    body = chat(stream_options={"include_usage": False, "continuous_usage_stats": True})
    assert not any("usage" in chunk for chunk in chunks_of(body_of(kind, "/v1/chat/completions", body)))


@pytest.mark.parametrize("kind", ["vllm", "trtllm"])
def test_empty_options_ask_for_usage(kind: str) -> None:
    assert chunks_of(body_of(kind, "/v1/chat/completions", chat(stream_options={})))[-1]["choices"] == []


def test_what_runs_adds_up_to_the_final_count() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = chunks_of(body_of("vllm", "/v1/chat/completions", chat({"tokens": 9}, stream_options=options, n=3)))
    running = {chunk["choices"][0]["index"]: chunk["usage"]["completion_tokens"] for chunk in chunks[:-1]}
    assert (running, chunks[-1]["usage"]["completion_tokens"]) == ({0: 9, 1: 9, 2: 9}, 27)
