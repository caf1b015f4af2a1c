from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate import Bound, bound, likely_input_tokens, likely_tokens

kinds = st.sampled_from(["text", "image_url", "input_audio", "file", None, 7, ["x"]])
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
        st.fixed_dictionaries({"type": kinds}, optional={"text": inner, "image_url": inner, "input_audio": inner}),
    ),
    max_leaves=8,
)
messages = st.lists(st.one_of(values, st.fixed_dictionaries({"role": values, "content": values})), max_size=4)
requests = st.fixed_dictionaries(
    {"messages": messages},
    optional={"tools": values, "functions": values, "response_format": values, "prediction": values, "other": values},
)


def asking(content: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **fields}


@given(requests)
def test_whatever_was_parsed_has_a_bound_above_what_is_likely(request: dict[str, Any]) -> None:
    found = bound(request, 100)
    likely = likely_input_tokens(request)
    assert 8 * len(request["messages"]) <= likely <= found.input_tokens
    assert found.output_tokens == 100


@given(requests, st.text(min_size=1, max_size=50))
def test_more_text_never_makes_the_bound_smaller(request: dict[str, Any], text: str) -> None:
    more = {**request, "messages": [*request["messages"], {"role": "user", "content": text}]}
    by = bound(more, 1).input_tokens - bound(request, 1).input_tokens
    assert by >= 8 + (len(text.encode()) + len("user")) // 2


@given(st.text(max_size=200))
def test_the_bound_covers_a_token_for_every_two_bytes(text: str) -> None:
    assert bound(asking(text), 1).input_tokens >= len(text.encode()) / 2
    assert bound(asking([{"type": "text", "text": text}]), 1).input_tokens >= len(text.encode()) / 2
    assert bound(asking("", tools=[{"function": {"description": text}}]), 1).input_tokens >= len(text.encode()) / 2


@pytest.mark.parametrize(
    ("content", "fields", "text_bytes"),
    [
        ("a", {}, 1),
        ("é", {}, 2),
        ([{"type": "text", "text": "abc"}], {}, len("typetexttextabc")),
        (None, {"tools": [{"name": "abc", "strict": True}]}, len("nameabcstrictTrue")),
    ],
)
def test_every_byte_of_text_counts_names_too(content: Any, fields: dict[str, Any], text_bytes: int) -> None:
    request = asking(content, **fields)
    assert bound(request, 1).input_tokens == 8 + -(-(len("user") + text_bytes) // 2)
    assert likely_input_tokens(request) == 8 + -(-(len("user") + text_bytes) // 4)


@pytest.mark.parametrize(
    ("limits", "output_tokens"),
    [
        ({}, 4096),
        ({"max_tokens": None, "n": None}, 4096),
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
        ({"max_completion_tokens": None, "max_tokens": 10}, 10),
        ({"max_tokens": 10, "n": 3}, 30),
        ({"n": 3}, 3 * 4096),
    ],
)
def test_the_output_is_bounded_by_limit_times_choices(limits: dict[str, Any], output_tokens: int) -> None:
    assert bound(asking("x", **limits), 4096).output_tokens == output_tokens


def test_an_image_is_bounded_by_the_dearest_rule_not_by_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    assert bound(asking([image]), 1) == Bound(48_169 + 8 + len("user") // 2, 1)
    assert bound(asking([image, image]), 1).input_tokens == 2 * 48_169 + 8 + len("user") // 2


def test_audio_is_bounded_by_its_length() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "mp3"}}
    assert 1000 <= bound(asking([audio]), 1).input_tokens <= 1100


def test_the_deepest_json_that_is_parsed_has_a_bound() -> None:
    deep = orjson.loads(b'{"messages":[' + b"[" * 1000 + b'"' + b"x" * 64 + b'"' + b"]" * 1000 + b"]}")
    assert bound({"messages": [{"content": deep}]}, 1).input_tokens >= 32


@pytest.mark.parametrize(("value", "count"), [(None, 0), ("", 0), ("abcd", 1), ("abcde", 2), ([{"a": "bcd"}], 1)])
def test_what_text_probably_comes_to(value: Any, count: int) -> None:
    assert likely_tokens(value) == count
