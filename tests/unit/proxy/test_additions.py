"""What the operator adds takes the place of what a client says, however it says it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.additions import additions_of, merged, overlaid
from runtime.settings import ModelAdditions


# Those of RFC 7396, appendix A, that are about objects.
@pytest.mark.parametrize(
    ("fields", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
    ],
)
def test_a_merge_patch(fields: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert merged(fields, patch) == result


def test_a_client_cannot_say_it_in_other_letters() -> None:
    fields = {"Temperature": 2, "options": {"NUM_CTX": 1, "seed": 3}, "SEED": 1}
    patch = {"temperature": 0, "options": {"num_ctx": 8192}, "seed": None}
    assert merged(fields, patch) == {"temperature": 0, "options": {"num_ctx": 8192, "seed": 3}}


JSON = st.recursive(
    st.none() | st.integers(0, 3) | st.text("aAb", max_size=2),
    lambda inner: st.dictionaries(st.text("aAb", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("aAb", min_size=1, max_size=2), JSON, max_size=4)


def agrees(result: dict[str, Any], patch: dict[str, Any]) -> bool:
    """Is everything as the patch says, and nothing else by a name of its names?"""
    for name, value in patch.items():
        alike = [other for other in result if other.casefold() == name.casefold() and other not in patch]
        if alike or (value is None and name in result):
            return False
        if isinstance(value, dict):
            if not (isinstance(result[name], dict) and agrees(result[name], value)):
                return False
        elif value is not None and result[name] != value:
            return False
    return True


@given(OBJECTS, OBJECTS)
def test_whatever_a_client_sends_the_operators_word_stands(fields: dict[str, Any], patch: dict[str, Any]) -> None:
    before = repr(fields)
    result = merged(fields, patch)
    assert agrees(result, patch)
    assert merged(result, patch) == result
    names = {name.casefold() for name in patch}
    assert {name: value for name, value in result.items() if name.casefold() not in names} == {
        name: value for name, value in fields.items() if name.casefold() not in names
    }
    assert repr(fields) == before


def test_headers_are_laid_over_those_below() -> None:
    assert overlaid([(b"a", b"1"), (b"b", b"2")], [(b"a", b"3")]) == [(b"b", b"2"), (b"a", b"3")]


def test_from_the_configuration() -> None:
    settings = ModelAdditions.model_validate({"name": "tiny", "headers": {"X-Tier": "gold"}, "body": {"top_k": 3}})
    found = additions_of(settings)
    assert (found.headers, found.body) == ([(b"x-tier", b"gold")], {"top_k": 3})
