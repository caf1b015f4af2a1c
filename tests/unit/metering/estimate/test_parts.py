"""What in a body is text, and what is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate.parts import MAX_VALUES, Parts, parts_of


def of(content: Any, **fields: Any) -> Parts:
    return parts_of({"messages": [{"role": "user", "content": content}], **fields})


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("hello", ["user", "hello"]),
        ([{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}], ["user", "a", "b"]),
        ([{"type": "tool_result", "content": [{"type": "text", "text": "x"}]}], ["user", "x"]),
        (None, ["user"]),
        ([{"type": "document", "source": {"type": "text", "data": "x"}}], ["user", "source", "data", "x"]),
        ([{"type": "x" * 33, "text": "a"}], ["user", "x" * 33, "a"]),
    ],
)
def test_texts_in_their_order(content: Any, texts: list[str]) -> None:
    assert of(content).texts == texts


def test_calls_are_written_out_with_the_names_of_their_fields() -> None:
    found = of([{"type": "tool_use", "name": "f", "input": {"city": "Rome", "days": 3, "hot": True}}])
    assert found.texts == ["user", "name", "f", "input", "city", "Rome", "days", "hot"]
    assert found.structure == 2 * 3 + 5 * 4 + len("3") + 1


def test_tools_and_schemas_are_the_json_that_they_are() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": ["string", "null"]}}}]
    found = of("hi", tools=tools, response_format={"type": "json_schema"})
    assert '[{"type":"function","function":{"name":"f","parameters":{"type":["string","null"]}}}]' in found.texts
    assert '{"type":"json_schema"}' in found.texts
    assert (found.media.hidden, found.structure) == (0, of("hi").structure)


@pytest.mark.parametrize("name", ["model", "user", "metadata", "stop", "stream_options", "options", "logit_bias"])
def test_what_the_model_does_not_read_is_not_counted(name: str) -> None:
    assert of("hi", **{name: {"x": "y" * 1000}}) == of("hi")
    assert of("hi", temperature=0.123456, seed=10**9, n=3) == of("hi")


def test_media_are_not_text() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "A" * 1000, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "B" * 500}},
    ]
    found = of(content)
    assert found.texts == ["user"] and found.structure == of([{}, {}, {}]).structure
    assert (len(found.media.images), len(found.media.recordings), found.media.file_bytes) == (1, 1, 375)


def test_ollamas_pictures_lie_beside_the_text() -> None:
    found = parts_of({"messages": [{"role": "user", "content": "hi", "images": ["AAAA", "BBBB"]}]})
    assert (len(found.media.images), found.texts) == (2, ["user", "hi"])
    assert len(parts_of({"prompt": "hi", "images": ["AAAA"]}).media.images) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1", "input": "hi"},
        {"conversation": {"id": "conv_1"}, "input": "hi"},
        {"prompt": {"id": "pmpt_1", "variables": {"x": "y"}}},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"messages": [], "web_search_options": {"x": 1}},
        {"messages": [], "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"messages": [], "chat_template": "{% for i in range(10**6) %}x{% endfor %}"},
    ],
)
def test_what_only_the_server_knows(fields: dict[str, Any]) -> None:
    assert parts_of(fields).media.hidden == 1


@pytest.mark.parametrize("tool", [{"type": "function"}, {"type": "custom"}, {"name": "f", "input_schema": {}}, "x", 1])
def test_a_tool_of_the_clients_is_known(tool: Any) -> None:
    assert parts_of({"messages": [], "tools": [tool]}).media.hidden == 0


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"prompt": [1, 2, 3]}, 3),
        ({"prompt": [[1, 2], [3]]}, 3),
        ({"input": [[1, 2], [3]]}, 3),
        ({"prompt": "x", "context": [1, 2]}, 2),
        ({"prompt": ["a", "b"]}, 0),
        ({"prompt": [True, 1]}, 0),
        ({"messages": [{"role": "user", "content": [1, 2]}]}, 0),
    ],
)
def test_token_ids_are_exact_where_they_are_such(fields: dict[str, Any], ids: int) -> None:
    assert parts_of(fields).token_ids == ids


@pytest.mark.parametrize(
    ("fields", "messages", "reads"),
    [
        ({"messages": [{}, {}]}, 2, 1),
        ({"input": "a"}, 1, 1),
        ({"input": [{}, {}, {}]}, 3, 1),
        ({"input": ["a", "b"]}, 1, 2),
        ({"input": [[1], [2], [3]]}, 1, 3),
        ({"input": [1, 2, 3]}, 1, 1),
        ({"prompt": ["a", "b"]}, 1, 2),
        ({"query": "q", "documents": ["a", {"text": "b"}]}, 1, 2),
        ({"messages": [{}], "documents": [{"text": "a"}, {"text": "b"}]}, 1, 1),
    ],
)
def test_what_is_read_together_and_what_one_by_one(fields: dict[str, Any], messages: int, reads: int) -> None:
    found = parts_of(fields)
    assert (found.messages, found.reads) == (messages, reads)


def test_a_query_is_read_again_with_each_document() -> None:
    found = parts_of({"query": "q", "documents": ["a", "b"]})
    assert (found.query, found.texts) == ("q", ["q", "a", "b"])


@pytest.mark.parametrize("name", ["messages", "tools", "input", "prompt"])
def test_depth_is_no_limit_of_ours(name: str) -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert parts_of({name: deep}).texts == ["x"]


def test_what_nobody_means_is_taken_as_it_stands() -> None:
    found = of(["x"] * (MAX_VALUES + 100))
    assert len(found.texts) <= MAX_VALUES and '"x","x","x"' in found.texts[-1]
    assert "".join(found.texts).count("x") == MAX_VALUES + 100


def test_what_cannot_even_be_written_is_held_for_as_if_endless() -> None:
    deep: Any = "x"
    for _ in range(2000):
        deep = [deep]
    assert of([deep, *["x"] * MAX_VALUES]).structure < 10_000_000
    assert of([*["x"] * MAX_VALUES, deep]).structure > 10_000_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "text", "source", "image_url", "file", "images", "input_audio", "tools", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "prompt", "tools", "query", "documents", "x"]), JSON))
def test_no_body_breaks_it(fields: dict[str, Any]) -> None:
    found = parts_of(fields)
    assert found.reads >= 1 and found.structure >= 0
