"""What is relied on is checked, by name; the rest is the upstream's to judge."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import chat_request
from proxy.failures import Failure
from tests.support.calls import chat_body


def refusal(raw: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        chat_request.parse(raw)
    assert (caught.value.status, caught.value.code) == (400, "invalid_request_error")
    return caught.value


def test_a_plain_request() -> None:
    raw = chat_body(temperature=0.5)
    parsed = chat_request.parse(raw)
    assert parsed.raw is raw
    assert (parsed.model, parsed.is_stream, parsed.fields["temperature"]) == ("tiny", False, 0.5)


@pytest.mark.parametrize(("stream", "is_stream"), [(True, True), (False, False), (None, False)])
def test_streamed_or_not(stream: bool | None, is_stream: bool) -> None:
    assert chat_request.parse(chat_body(stream=stream)).is_stream is is_stream


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"model": NaN}', b'{"model": "\\ud800"}', b"[" * 2000])
def test_no_json(raw: bytes) -> None:
    assert "not valid JSON" in refusal(raw).message


def test_a_syntax_error_names_a_place_and_quotes_nothing() -> None:
    failure = refusal(b'{"messages": "my secret prompt", oops}')
    assert "at byte 33" in failure.message and "secret" not in failure.message and "oops" not in failure.message


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"1"])
def test_no_object(raw: bytes) -> None:
    assert "JSON object" in refusal(raw).message


@pytest.mark.parametrize("model", [..., None, "", 5, ["tiny"], "m" * 257])
def test_a_model_is_a_name(model: Any) -> None:
    assert refusal(chat_body(model=model)).param == "model"


@pytest.mark.parametrize("messages", [..., None, [], {}, "hello", 0])
def test_messages_are_a_list_with_something_in_it(messages: Any) -> None:
    assert refusal(chat_body(messages=messages)).param == "messages"


@pytest.mark.parametrize(("name", "value"), [("stream", 1), ("stream", "true"), ("stream_options", [])])
def test_switches_are_what_they_should_be(name: str, value: Any) -> None:
    assert refusal(chat_body(**{name: value})).param == name


COUNTS = {"max_tokens": 10_000_000, "max_completion_tokens": 10_000_000, "n": 128}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.0, 1.5, "5", True, False, [], 10_000_001, 10**30])
def test_what_a_hold_is_made_of_is_a_count_within_bounds(name: str, value: Any) -> None:
    raw = chat_body(**{name: value}) if not isinstance(value, int) or value < 2**63 else big(name, value)
    failure = refusal(raw)
    assert failure.param == name and str(COUNTS[name]) in failure.message


def big(name: str, value: int) -> bytes:
    return chat_body(**{name: 1}).replace(b'"%b":1' % name.encode(), b'"%b":%d' % (name.encode(), value))


@pytest.mark.parametrize(("name", "largest"), COUNTS.items())
def test_the_bounds_themselves_are_allowed(name: str, largest: int) -> None:
    for value in (1, largest, None):
        assert chat_request.parse(chat_body(**{name: value})).fields[name] == value


@given(st.binary(max_size=60) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(repr).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_400(raw: bytes) -> None:
    try:
        chat_request.parse(raw)
    except Failure as failure:
        assert failure.status == 400 and orjson.loads(failure.body())


def test_what_could_not_be_written_anew_is_refused_before_anything_is_taken() -> None:
    """The parser goes to a depth of 1,024, the writer to 254; the escape is why it would have to be written."""
    deep = b"[" * 500 + b'"\\u0041"' + b"]" * 500
    raw = b'{"model":"tiny","messages":[{"role":"user","content":"x"}],"x":' + deep + b"}"
    assert "nested too deeply" in refusal(raw).message
    assert chat_request.parse(raw.replace(b"\\u0041", b"A")).sent.usage_injected is False
