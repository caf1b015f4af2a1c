"""A plain chat comes to what the long way comes to, and nothing else is taken for one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate import bound as bounds
from metering.estimate.plain import plain_chat_tokens
from metering.formats import chat
from metering.kinds import KINDS

FRAME = 5
HI = {"role": "user", "content": "hi"}

texts = st.text(max_size=40)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), texts)
roles = st.one_of(st.sampled_from(["user", "system", "assistant", "developer", "tool"]), texts)
plain = st.fixed_dictionaries({"role": roles, "content": texts})
odd = st.one_of(
    st.fixed_dictionaries({"role": roles, "content": st.one_of(st.none(), st.lists(texts, max_size=2))}),
    st.fixed_dictionaries({"role": roles, "content": texts, "name": texts}),
    st.fixed_dictionaries({"role": roles, "content": texts, "image_url": texts}),
)
names = st.sampled_from(
    [
        *("temperature", "seed", "user", "stop", "tools", "prompt", "input", "query", "documents", "image", "file_id"),
        *("previous_response_id", "conversation", "modalities", "prediction", "response_format", "metadata"),
    ]
)
values = st.one_of(scalars, st.lists(texts, max_size=2), st.dictionaries(texts, texts, max_size=2))
bodies = st.builds(
    lambda messages, more: {"model": "m", "messages": messages, **more},
    st.lists(st.one_of(plain, plain, plain, odd), min_size=1, max_size=4),
    st.dictionaries(names, values, max_size=3),
)


@given(bodies, st.sampled_from([None, 1, 60, 10**6]))
def test_it_comes_to_the_same(body: dict[str, Any], context: int | None) -> None:
    ask = chat.ask(body)
    short = bounds.bound(ask, body, 100, KINDS["generic"], context_tokens=context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "plain_chat_tokens", lambda *_: None)
        assert bounds.bound(ask, body, 100, KINDS["generic"], context_tokens=context) == short


@pytest.mark.parametrize(
    "more",
    [{}, {"temperature": 0.5, "seed": 1, "stream": True, "logprobs": None}, {"stop": ["a"], "metadata": {"a": "b"}}],
)
def test_what_is_plain(more: dict[str, Any]) -> None:
    assert plain_chat_tokens({"model": "m", "messages": [HI, HI], **more}, FRAME) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"prompt": "hi"},
        {"messages": [HI, "hi"]},
        {"messages": [HI] * 10_001},
        {"messages": [{**HI, "name": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"messages": [HI], "tools": []},
        {"messages": [HI], "previous_response_id": 5},
        {"messages": [HI], "temperature": "a text is read"},
        {"messages": [HI], "modalities": ["text", "audio"]},
        {"messages": [HI], "prediction": {"content": "a"}},
    ],
)
def test_what_is_not(fields: dict[str, Any]) -> None:
    assert plain_chat_tokens({"model": "m", **fields}, FRAME) is None
