import pytest

from tests.support.dialects import answered, body_of, chat, chunks_of, names_of, recorded, reply_of

KINDS = ("openai", "azure", "anthropic", "mistral", "deepseek", "openrouter", "groq")


@pytest.mark.parametrize("name", [*names_of(*KINDS, path="/v1/chat"), *names_of(*KINDS, path="/v1/comp")])
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


def test_obfuscation_can_be_switched_off() -> None:
    body = chat(stream_options={"include_obfuscation": False})
    assert b"obfuscation" not in body_of("openai", "/v1/chat/completions", body)
    assert b"obfuscation" in body_of("openai", "/v1/chat/completions", chat())


def test_groq_reports_twice_when_asked_and_once_when_not() -> None:
    for asked, reports in ((True, 2), (False, 1)):
        data = body_of("groq", "/v1/chat/completions", chat(asked=asked))
        assert data.count(b'"total_tokens":10') == reports


@pytest.mark.parametrize("kind", ["mistral", "deepseek"])
def test_usage_rides_on_the_last_choice(kind: str) -> None:
    chunks = chunks_of(body_of(kind, "/v1/chat/completions", chat(n=2)))
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk.get("usage")] == ["stop"]
    assert chunks[-1]["usage"]["completion_tokens"] == 6


def test_openrouter_names_its_generation() -> None:
    assert reply_of("openrouter", "/v1/chat/completions", chat()).answer.headers().startswith(b"x-generation-id: gen-")


def test_signs_of_life_are_as_many_as_ordered() -> None:
    data = body_of("deepseek", "/v1/chat/completions", chat({"keep_alives": 5}))
    assert data.startswith(b": keep-alive\n\n" * 5 + b"data: ")
    assert body_of("deepseek", "/v1/chat/completions", chat({"keep_alives": 5}, stream=False)).startswith(
        b"\n" * 5 + b"{"
    )
