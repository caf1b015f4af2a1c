"""From bytes to a checked model; whatever is wrong is said by field."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.api.answers import error_answer, json_answer
from accounts.api.fields import Amount, Body, Name
from accounts.api.requests import MAX_BODY_BYTES, parse_body, parse_query, read_body
from accounts.errors import AccountsError, InvalidRequest
from runtime.http.request import Reply, Request
from tests.support.memory_http import connected


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
        b'{"name":"x","amount":1E+99999999999999}', b'{"name":"x","amount":1E+' + b"9" * 40 + b"}",
        b'{"name":"x","amount":1,"amount":1}', b'{"name":"x","\\ud800":1}',
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


def test_the_name_of_a_field_that_does_not_exist_is_said_back_in_part_and_as_text() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_body(Example, b'{"name":"x","%b":1}' % (b"y" * 50_000))
    assert len(str(refused.value)) < 200


def test_not_every_one_of_a_thousand_mistakes_is_told() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_body(Example, orjson.dumps({"name": "x"} | {f"field{n}": 1 for n in range(1000)}))
    assert len(str(refused.value)) < 2000


async def ask(body: bytes, *headers: str) -> tuple[int, Any]:
    """What a route that reads a body answers."""

    async def read(request: Request) -> Reply:
        try:
            return json_answer(200, {"name": parse_body(Example, await read_body(request)).name}, "r")
        except AccountsError as error:
            return error_answer(error.status, error.code, str(error), "r")

    lines = ["POST /x HTTP/1.1", "Host: farebox", f"Content-Length: {len(body)}", *headers]
    async with connected({("POST", "/x"): read}) as client:
        answer = await client.ask("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return answer.status, answer.json()


GOOD = b'{"name": "x"}'


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/merge-patch+json",
        "application/octet-stream",
        "text/plain; charset=utf-8",
        "application/x-www-form-urlencoded",
    ],
)
async def test_json_is_read_as_such_and_so_is_what_says_nothing_of_itself(content_type: str) -> None:
    assert await ask(GOOD) == (200, {"name": "x"})
    assert await ask(GOOD, f"Content-Type: {content_type}") == (200, {"name": "x"})


@pytest.mark.parametrize("content_type", ["text/xml", "text/html", "multipart/form-data"])
async def test_what_says_that_it_is_something_else_is_not_read(content_type: str) -> None:
    status, refused = await ask(GOOD, f"Content-Type: {content_type}")
    assert (status, refused["code"]) == (415, "unsupported_media_type")


async def test_a_body_that_no_request_needs_is_not_read() -> None:
    status, refused = await ask(b" " * (MAX_BODY_BYTES + 1))
    assert (status, refused["code"]) == (413, "request_too_large")


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
    assert parse_query(Query, [("limit", "5"), ("model", "gpt")]) == Query(limit=5, model="gpt")


@pytest.mark.parametrize(
    "query", [{"limit": "x"}, {"limit": "1.5"}, {"limit": "-1x"}, {"colour": "red"}, {"model": "m" * 513}]
)
def test_a_bad_query_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_query(Query, [*query.items()])


def test_a_parameter_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse_query(Query, [("limit", "5"), ("limit", "6")])
