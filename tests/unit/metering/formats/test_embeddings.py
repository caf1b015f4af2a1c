from typing import Any

import pytest

from metering.formats.embeddings import ask, read, texts
from metering.formats.format import Ask, InvalidAsk


@pytest.mark.parametrize("fields", [{"input": "a"}, {"input": ["a"]}, {"input": [1, 2]}, {"messages": [{}]}])
def test_nothing_is_generated(fields: dict[str, Any]) -> None:
    assert ask({"model": "m", **fields}) == Ask("m", generates=False)


@pytest.mark.parametrize("fields", [{}, {"input": 1}, {"input": {}}, {"input": None}])
def test_what_is_no_input(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidAsk, match="input"):
        ask({"model": "m", **fields})


def test_an_error_says_no_usage_and_nothing_is_text() -> None:
    assert read({"error": {"message": "no"}}).is_error and read({}).usage.is_empty
    assert list(texts({"data": [{"embedding": [0.5]}]})) == []
