import pytest

from tests.support.dialects import answered, body_of, names_of, recorded


@pytest.mark.parametrize("name", [*names_of(path="/v1/embeddings"), *names_of(path="/v1/rerank")])
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


@pytest.mark.parametrize(
    ("given", "count", "tokens"),
    [("one two", 1, 2), (["one two", "three"], 2, 3), ([5, 6, 7], 1, 3), ([[5, 6], [7]], 2, 3)],
)
def test_texts_and_token_ids_are_embedded(given: object, count: int, tokens: int) -> None:
    data = body_of("generic", "/v1/embeddings", {"input": given, "encoding_format": "base64"})
    assert data.count(b'"object":"embedding"') == count
    assert b'"usage":{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens) in data


def test_usage_can_be_left_out() -> None:
    for path, body in (
        ("/v1/embeddings", {"input": "a"}),
        ("/v2/rerank", {"query": "a", "documents": ["b"]}),
    ):
        assert b"usage" not in body_of("generic", path, body | {"simulate": {"usage": False}})
