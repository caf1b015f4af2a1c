import pytest

from tests.support.dialects import answered, body_of, chat, chunks_of, names_of, recorded, reply_of


@pytest.mark.parametrize(
    "name",
    [*names_of("llamacpp", "ollama", "tgi", path="/v1/chat"), *names_of("llamacpp", "ollama", "tgi", path="/v1/comp")],
)
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


def test_llamacpps_timings_leave_out_what_was_cached() -> None:
    body = chat({"cached_tokens": 4}, timings_per_token=True)
    timings = [chunk["timings"] for chunk in chunks_of(body_of("llamacpp", "/v1/chat/completions", body))[1:]]
    assert {(one["prompt_n"], one["cache_n"]) for one in timings} == {(3, 4)}
    assert [one["predicted_n"] for one in timings] == [1, 2, 3, 3]


def test_text_generation_inference_counts_in_headers_only_unstreamed() -> None:
    whole = reply_of("tgi", "/v1/chat/completions", chat(stream=False)).answer.headers()
    assert b"x-prompt-tokens: 7\r\nx-generated-tokens: 3\r\n" in whole
    assert reply_of("tgi", "/v1/chat/completions", chat()).answer.headers() == b""


@pytest.mark.parametrize("kind", ["ollama", "tgi"])
def test_some_give_one_choice_whatever_is_asked(kind: str) -> None:
    chunks = chunks_of(body_of(kind, "/v1/chat/completions", chat(n=3)))
    assert {chunk["choices"][0]["index"] for chunk in chunks} == {0}
