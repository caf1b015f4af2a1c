"""What every format checks in the same way."""

from typing import Any

import pytest

from metering.formats.format import InvalidAsk, deciding, flag, limit_of, limited, model_of, strings, whole_number


@pytest.mark.parametrize("value", [None, 1, "", "x" * 257, ["m"], True])
def test_what_is_no_models_name(value: Any) -> None:
    with pytest.raises(InvalidAsk, match="model"):
        model_of({"model": value})


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, 10_000_001, [1]])
def test_what_is_no_count(value: Any) -> None:
    with pytest.raises(InvalidAsk) as caught:
        whole_number({"max_tokens": value}, "max_tokens")
    assert caught.value.param == "max_tokens"


def test_a_count_may_be_missing() -> None:
    assert whole_number({}, "n") is None and whole_number({"n": None}, "n") is None
    assert whole_number({"n": 0}, "n", least=0) == 0


def test_the_first_limit_counts_and_all_are_checked() -> None:
    assert limit_of({"a": 3, "b": 5}, "b", "a") == 5
    assert limit_of({}, "a", "b") is None
    with pytest.raises(InvalidAsk):
        limit_of({"a": 3, "b": -1}, "a", "b")


@pytest.mark.parametrize("value", [0, 1, "true", []])
def test_what_is_no_flag(value: Any) -> None:
    with pytest.raises(InvalidAsk):
        flag({"stream": value}, "stream")


def test_a_flag_may_be_missing() -> None:
    assert flag({}, "stream", default=True) is True and flag({"stream": None}, "stream") is False


@pytest.mark.parametrize(
    ("value", "found"),
    [("a", ["a"]), ([{"type": "text", "text": "a"}, {"text": "b"}, {"text": 1}, "c"], ["a", "b"]), (None, []), (1, [])],
)
def test_texts_in_a_value(value: Any, found: list[str]) -> None:
    assert list(strings(value)) == found


def test_model_and_stream_always_decide() -> None:
    assert deciding("n") == {"model", "stream", "n"}


@pytest.mark.parametrize(
    ("fields", "lowered"),
    [
        ({}, {"a": 5}),
        ({"a": None, "b": None}, {"a": 5, "b": None}),
        ({"b": 9}, {"b": 5}),
        ({"a": None, "b": 9}, {"a": None, "b": 5}),
        ({"a": 9, "b": 7}, {"a": 5, "b": 5}),
        ({"a": 9, "b": 3}, {"a": 5, "b": 3}),
        ({"a": -1}, {"a": 5}),
        ({"x": 9}, {"x": 9, "a": 5}),
    ],
)
def test_a_limit_is_lowered_wherever_it_stands_and_raised_nowhere(
    fields: dict[str, Any], lowered: dict[str, Any]
) -> None:
    assert limited(fields, 5, ("a", "b"), "") == lowered
    assert limited({"x": 1, "in": fields}, 5, ("a", "b"), "in") == {"x": 1, "in": lowered}


@pytest.mark.parametrize("inner", [None, 1, [], "a"])
def test_where_the_object_for_it_is_none_there_is_one(inner: Any) -> None:
    assert limited({"in": inner}, 5, ("a",), "in") == {"in": {"a": 5}}
    assert limited({}, 5, ("a",), "in") == {"in": {"a": 5}}


def test_lowering_leaves_the_request_as_it_was() -> None:
    fields = {"in": {"a": 9}}
    limited(fields, 5, ("a",), "in")
    assert fields == {"in": {"a": 9}}
