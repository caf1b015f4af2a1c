from typing import Any

import pytest

from runtime.simulator.dialects.prompts import MAX_PROMPTS, count_prompts, count_text
from runtime.simulator.errors import Refused
from runtime.simulator.kinds import Format

MESSAGES = [{"role": "user", "content": "one two three"}]


@pytest.mark.parametrize(
    ("format_", "raw", "counts"),
    [
        (Format.CHAT, {"messages": MESSAGES}, (7,)),
        (Format.MESSAGES, {"messages": MESSAGES, "system": [{"type": "text", "text": "a b"}]}, (9,)),
        (Format.COMPLETIONS, {"prompt": "a b"}, (2,)),
        (Format.COMPLETIONS, {"prompt": ["a b", "c", [1, 2, 3]]}, (2, 1, 3)),
        (Format.COMPLETIONS, {"prompt": [1, 2, 3, 4]}, (4,)),
        (Format.RESPONSES, {"input": "a b", "instructions": "c"}, (7,)),
        (Format.RESPONSES, {"input": [{"role": "user", "content": [{"text": "a b"}]}, "?"]}, (6,)),
        (Format.EMBEDDINGS, {"input": ["a b", [1, 2]]}, (4,)),
        (Format.RERANK, {"query": "a", "documents": ["b c", {"text": "d"}]}, (5,)),
        (Format.OLLAMA_GENERATE, {"system": "a", "prompt": "b c"}, (3,)),
        (Format.SPEECH, {"input": "a b"}, (2,)),
        (Format.TRANSCRIPTIONS, {}, (0,)),
    ],
)
def test_a_token_is_a_word(format_: Format, raw: dict[str, Any], counts: tuple[int, ...]) -> None:
    assert count_prompts(format_, raw) == counts


@pytest.mark.parametrize(
    ("format_", "raw", "param"),
    [
        (Format.COMPLETIONS, {}, "prompt"),
        (Format.COMPLETIONS, {"prompt": []}, "prompt"),
        (Format.COMPLETIONS, {"prompt": ["a"] * (MAX_PROMPTS + 1)}, "prompt"),
        (Format.EMBEDDINGS, {"input": 5}, "input"),
        (Format.RESPONSES, {"input": []}, "input"),
        (Format.RERANK, {"query": "a", "documents": "b"}, "documents"),
        (Format.CHAT, {"messages": []}, "messages"),
    ],
)
def test_a_prompt_that_is_none_is_refused(format_: Format, raw: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        count_prompts(format_, raw)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_nothing_has_no_words() -> None:
    nothing: list[object] = [None, 5, "", [], {}, [{"text": None}]]
    assert [count_text(value) for value in nothing] == [0] * 6
