import pytest

from tests.support.dialects import answered, body_of, chunks_of, names_of, recorded


@pytest.mark.parametrize("name", names_of(path="/v1/messages"))
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


def test_deltas_with_usage_are_cumulative() -> None:
    body = {"messages": [{"role": "user", "content": "a"}], "stream": True}
    body |= {"simulate": {"tokens": 90, "message_deltas": 3}}
    chunks = chunks_of(body_of("anthropic", "/v1/messages", body))
    deltas = [chunk for chunk in chunks if chunk["type"] == "message_delta"]
    assert [delta["usage"]["output_tokens"] for delta in deltas] == [30, 60, 90]
    assert [delta["delta"]["stop_reason"] for delta in deltas] == [None, None, "end_turn"]


def test_ollama_guesses_first_and_knows_last() -> None:
    body = {"messages": [{"role": "user", "content": "a " * 100}], "stream": True}
    first, *_, last, _stop = chunks_of(body_of("ollama", "/v1/messages", body))
    assert first["message"]["usage"]["input_tokens"] != last["usage"]["input_tokens"] == 104


def test_pings_are_as_many_as_ordered_and_none_without_anthropic() -> None:
    body = {"messages": [{"role": "user", "content": "a"}], "stream": True}
    assert body_of("anthropic", "/v1/messages", body).count(b"event: ping\n") == 1
    assert body_of("ollama", "/v1/messages", body).count(b"event: ping\n") == 0
    assert body_of("anthropic", "/v1/messages", body | {"simulate": {"keep_alives": 3}}).count(b"event: ping\n") == 3
