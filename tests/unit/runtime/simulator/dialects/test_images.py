import pytest

from tests.support.dialects import answered, body_of, chunks_of, names_of, recorded


@pytest.mark.parametrize("name", names_of(path="/v1/images"))
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


def test_all_tokens_are_used_when_the_last_picture_is_there() -> None:
    body = {"prompt": "a", "stream": True, "partial_images": 2, "simulate": {"tokens": 100}}
    chunks = chunks_of(body_of("openai", "/v1/images/generations", body))
    assert [chunk["type"].partition(".")[2] for chunk in chunks] == ["partial_image", "partial_image", "completed"]
    assert chunks[-1]["usage"]["output_tokens"] == 100


def test_a_failure_is_an_event() -> None:
    body = {"prompt": "a", "stream": True, "partial_images": 2, "simulate": {"fault": "error_event", "after": "words"}}
    assert chunks_of(body_of("openai", "/v1/images/generations", body))[-1]["type"] == "error"
