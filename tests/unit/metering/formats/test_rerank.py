from typing import Any

import pytest

from metering.formats.format import Ask, InvalidAsk
from metering.formats.rerank import ask, read, texts


def test_nothing_is_generated() -> None:
    assert ask({"model": "m", "query": "q", "documents": ["a"]}) == Ask("m", generates=False)
    assert list(texts({"results": []})) == []


@pytest.mark.parametrize("documents", [None, [], "a", {}])
def test_what_is_no_list_of_documents(documents: Any) -> None:
    with pytest.raises(InvalidAsk, match="documents"):
        ask({"model": "m", "documents": documents})


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ({"usage": {"prompt_tokens": 3, "total_tokens": 4}}, 3),
        ({"usage": {"total_tokens": 4}}, 4),
        ({"meta": {"tokens": {"input_tokens": 5}, "billed_units": {"input_tokens": 6}}}, 5),
        ({"meta": {"billed_units": {"input_tokens": 6, "search_units": 1}}}, 6),
        ({"meta": {"billed_units": {"search_units": 1}}}, None),
        ({"meta": "x", "usage": []}, None),
    ],
)
def test_where_it_is_said(answer: dict[str, Any], prompt: int | None) -> None:
    assert read(answer).usage.prompt == prompt
