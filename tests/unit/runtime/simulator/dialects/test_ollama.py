import pytest

from tests.support.dialects import answered, body_of, names_of, recorded, reply_of


@pytest.mark.parametrize("name", names_of(path="/api/"))
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


def test_it_streams_unless_told_not_to() -> None:
    body = {"prompt": "hello"}
    assert body_of("ollama", "/api/generate", body).count(b"\n") == 4
    assert b"\n" not in body_of("ollama", "/api/generate", body | {"stream": False})


def test_lines_of_json_say_so() -> None:
    assert reply_of("ollama", "/api/generate", {"prompt": "a"}).content_type == b"application/x-ndjson"
    assert reply_of("ollama", "/api/generate", {"prompt": "a", "stream": False}).content_type == b"application/json"


@pytest.mark.parametrize(("limit", "reason"), [(2, b"length"), (-1, b"stop"), (3, b"stop")])
def test_its_own_limit_bounds_the_output(limit: int, reason: bytes) -> None:
    data = body_of("ollama", "/api/generate", {"prompt": "hello", "options": {"num_predict": limit}})
    assert b'"done_reason":"' + reason in data


def test_what_is_zero_is_left_out() -> None:
    data = body_of("ollama", "/api/generate", {"prompt": "a", "simulate": {"prompt_tokens": 0, "tokens": 0}})
    assert b"eval_count" not in data
    assert b'"done":true' in data
