import pytest

from tests.support.dialects import answered, body_of, chunks_of, names_of, recorded


@pytest.mark.parametrize("name", names_of(path="/v1/responses"))
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


def test_events_are_numbered_from_zero_without_gaps() -> None:
    chunks = chunks_of(
        body_of("openai", "/v1/responses", {"input": "hello", "stream": True, "simulate": {"tokens": 7}})
    )
    assert [chunk["sequence_number"] for chunk in chunks] == list(range(15))


def test_reasoning_can_be_seen() -> None:
    simulate = {"tokens": 2, "reasoning_tokens": 1, "show_reasoning": True}
    chunks = chunks_of(body_of("generic", "/v1/responses", {"input": "hello", "stream": True, "simulate": simulate}))
    assert [chunk["type"] for chunk in chunks][4:6] == ["response.reasoning_text.delta", "response.output_text.delta"]


def test_what_a_filter_stopped_is_incomplete() -> None:
    body = {"input": [{"role": "user", "content": "hello"}], "simulate": {"finish_reason": "content_filter"}}
    assert b'"incomplete_details":{"reason":"content_filter"}' in body_of("generic", "/v1/responses", body)
