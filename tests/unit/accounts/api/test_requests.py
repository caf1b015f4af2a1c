"""From bytes to a checked model; whatever is wrong is said by field."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.api.fields import Amount, Body, Name
from accounts.api.requests import parse_body, parse_query
from accounts.errors import InvalidRequest


class Example(Body):
    name: Name
    amount: Amount = 0


class Query(Body):
    limit: int = 10
    model: str | int | None = None


def test_numbers_are_read_as_they_were_written() -> None:
    assert parse_body(Example, b'{"name":"x","amount":0.123456789}').amount == 123_456_789
    assert parse_body(Example, b'{"name":"x","amount":9000000.000000000}').amount == 9_000_000 * 10**9
    # a float would have made 8999999.999999999 of either of these
    assert parse_body(Example, b'{"name":"x","amount":8999999.999999999}').amount == 8_999_999_999_999_999


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"name":"x","amount":NaN}',
        b'{"name":"x","amount":1e309}', b'{"name":"x","amount":' + b"9" * 5000 + b"}", b'{"name":"\\ud800"}', b"{}",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_body(Example, raw)


def test_every_mistake_is_named_with_its_field_and_no_value_is_quoted() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_body(Example, b'{"name":"","amount":"secret","colour":"secret"}')
    message = str(refused.value)
    assert all(name in message for name in ("name:", "amount:", "colour:")) and "secret" not in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["name", "amount", "x"]), json_values))
def test_no_json_does_worse_than_being_refused(fields: dict[str, Any]) -> None:
    try:
        raw = orjson.dumps(fields)
    except (TypeError, ValueError):
        return  # a lone surrogate or a huge number: no client's JSON either
    try:
        parsed = parse_body(Example, raw)
    except InvalidRequest:
        return
    assert type(parsed.amount) is int


def test_whole_numbers_of_a_query_are_numbers() -> None:
    assert parse_query(Query, {"limit": "5", "model": "gpt"}) == Query(limit=5, model="gpt")


@pytest.mark.parametrize(
    "query", [{"limit": "x"}, {"limit": "1.5"}, {"limit": "-1x"}, {"colour": "red"}, {"model": "m" * 513}]
)
def test_a_bad_query_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_query(Query, query)
