import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.chat import outgoing, read_answer, without_null_usage

MESSAGES = '"messages":[{"role":"user","content":"hi"}]'


def forwarded(raw: bytes) -> tuple[bytes, dict[str, Any], bool]:
    request = orjson.loads(raw)
    sent = outgoing(raw, request)
    return sent.body, request, sent.usage_injected


def with_usage(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "stream_options": {**(request.get("stream_options") or {}), "include_usage": True}}


def pairs_of(body: bytes) -> list[tuple[str, Any]]:
    """The top level as pairs, which keeps a key that is there twice."""
    pairs: list[tuple[str, Any]] = json.JSONDecoder(object_pairs_hook=lambda found: found).decode(body.decode())
    return pairs


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"m",' + MESSAGES.encode() + b"}",
        b'  {"model" : "m","stream":false,' + MESSAGES.encode() + b"}\n",
        b'{"model":"m","stream":true,"stream_options":{"include_usage":true},' + MESSAGES.encode() + b"}",
        b'{"model":"m","seed":123456789012345678901234567890,' + MESSAGES.encode() + b"}",
        b'{"model":"m","stream_options":null,' + MESSAGES.encode() + b"}",
        '{"model":"m","messages":[{"role":"user","content":"\\n é \\u4e16"}]}'.encode(),
    ],
)
def test_what_needs_no_change_is_the_very_same_bytes(raw: bytes) -> None:
    body, _, injected = forwarded(raw)
    assert body is raw
    assert not injected


@pytest.mark.parametrize("options", ["", '"stream_options":null,', '"stream_options":{},',
                                     '"stream_options":{"include_usage":false},',
                                     '"stream_options":{"include_usage":null,"x":1},'])  # fmt: skip
@pytest.mark.parametrize("end", ["}", "}\n", " } \r\n\t", "\n}"])
def test_a_stream_is_asked_for_its_usage(options: str, end: str) -> None:
    raw = f'{{"model":"m","stream":true,{options}{MESSAGES}{end}'.encode()
    body, request, injected = forwarded(raw)
    assert injected
    assert orjson.loads(body) == with_usage(request)
    assert len(pairs_of(body)) == len(dict(pairs_of(body)))


def test_where_nothing_stands_in_the_way_the_clients_bytes_are_kept() -> None:
    raw = b'{ "model":"m",  "stream":true, "temperature":1.0, ' + MESSAGES.encode() + b" }"
    body, _, _ = forwarded(raw)
    assert body.startswith(raw[:-1])


HOSTILE = [
    '{"model":"cheap","model":"dear",%s}',
    '{"model":"dear","mod\\u0065l":"cheap",%s}',
    '{"\\u006dodel":"cheap","model":"dear",%s}',
    '{"model":"m","max_tokens":1,"max_tokens":9999,%s}',
    '{"model":"m","n":1,"n":100,%s}',
    '{"model":"m","messages":[],%s}',
    '{"model":"m","stream":false,"stream":true,%s}',
    '{"model":"m","stream":true,"stream_options":{"include_usage":false},"stream_options":{"include_usage":true},%s}',
    '{"model":"m","stream":true,"stream_options":{"include_usage":false,"include_usage":true},%s}',
    '{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_usage":false},%s}',
    '{"model":"m","stream":true,"stream_options":{"include_\\u0075sage":true},%s}',
    '{"model":"m","metadata":{"model":"dear"},%s}',
    '{"model":"m","user":"model","seed":12345678901234567890123,%s}',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_parser_can_read_it_otherwise_than_we_did(text: str) -> None:
    raw = (text % MESSAGES).encode()
    body, request, injected = forwarded(raw)
    expected = with_usage(request) if injected else request
    assert orjson.loads(body) == expected
    # the same for a parser that lets the first of two keys count
    first: dict[str, Any] = dict(reversed(pairs_of(body)))
    assert {name: first[name] for name in ("model", "max_tokens", "n", "stream") if name in first} == {
        name: value for name, value in expected.items() if name in ("model", "max_tokens", "n", "stream")
    }
    assert body.count(b'"include_usage"') <= 1
    assert injected == (request.get("stream") is True and b'"include_usage":true' not in orjson.dumps(request))


@pytest.mark.parametrize(
    "name", ["Model", "MODEL", "me\u017f\u017fages", "max_to\u212aens", "Max_Completion_Tokens", "Stream", "N"]
)
def test_a_key_that_another_parser_takes_for_one_of_ours_is_left_out(name: str) -> None:
    """Go's parser ignores case, the Kelvin sign and the long s: Ollama would serve the model nobody priced."""
    raw = f'{{"model":"cheap",{MESSAGES},"{name}":"dear"}}'.encode()
    body, request, _ = forwarded(raw)
    assert orjson.loads(body) == {key: value for key, value in request.items() if key != name}


@pytest.mark.parametrize("asked", ["true", "false"])
def test_a_second_include_usage_in_other_letters_is_left_out(asked: str) -> None:
    options = f'"stream_options":{{"include_usage":{asked},"Include_Usage":false,"x":1}}'
    body, _, injected = forwarded(f'{{"model":"m","stream":true,{options},{MESSAGES}}}'.encode())
    assert orjson.loads(body)["stream_options"] == {"include_usage": True, "x": 1}
    assert injected == (asked == "false")


names = st.sampled_from(
    ["model", "stream", "stream_options", "include_usage", "n", "max_tokens", "messages", "x", "Model"]
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text(max_size=4), names),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(names, inner, max_size=3)),
    max_leaves=4,
)


@given(st.lists(st.tuples(names, values), min_size=1, max_size=8), st.booleans())
def test_what_is_sent_parses_to_what_was_read(pairs: list[tuple[str, Any]], stream: bool) -> None:
    pairs = [*pairs, ("stream", stream), ("stream_options", {})]
    raw = ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}").encode()
    body, request, injected = forwarded(raw)
    plain = {name: value for name, value in request.items() if name != "Model"}
    assert injected is stream
    assert orjson.loads(body) == (with_usage(plain) if injected else plain)


@pytest.mark.parametrize("data", [b"", b"[DONE]", b"[]", b"1", b"null", b'{"a"', b"\xff", b"[" * 3000])
def test_what_is_no_object_says_nothing(data: bytes) -> None:
    assert read_answer(data) is None


def test_a_null_is_left_alone_where_its_place_is_hidden() -> None:
    event = b'data: {"us\\u0061ge":null,"a":{"usage":null}}\n\n'
    assert without_null_usage(event) == event
