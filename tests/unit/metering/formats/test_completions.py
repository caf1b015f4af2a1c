"""Legacy completions: prompts come in four shapes, and `best_of` are all generated."""

from typing import Any

import pytest

from metering.formats.completions import ask, texts
from metering.formats.format import Ask, InvalidAsk


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Ask("m")),
        ({"prompt": "a"}, Ask("m")),
        ({"prompt": ["a", "b"]}, Ask("m", prompts=2)),
        ({"prompt": [1, 2, 3]}, Ask("m")),
        ({"prompt": [[1], [2, 3]]}, Ask("m", prompts=2)),
        ({"prompt": "a", "n": 2}, Ask("m", candidates=2)),
        ({"prompt": "a", "n": 2, "best_of": 5, "max_tokens": 7}, Ask("m", candidates=5, output_limit=7)),
        ({"prompt": "a", "n": 5, "best_of": 2}, Ask("m", candidates=5)),
    ],
)
def test_what_is_asked_for(fields: dict[str, Any], expected: Ask) -> None:
    assert ask({"model": "m", **fields}) == expected


@pytest.mark.parametrize("prompt", [[], {}, 1, True])
def test_what_is_no_prompt(prompt: Any) -> None:
    with pytest.raises(InvalidAsk, match="prompt"):
        ask({"model": "m", "prompt": prompt})


def test_what_was_said() -> None:
    chunk = {"choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "b"}, {"index": 2, "text": None}, "x"]}
    assert list(texts(chunk)) == [("0", "a"), ("1", "b")]
    assert list(texts({"choices": None})) == []
