import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import endpoints
from metering.endpoints import Endpoint
from metering.formats import chat, completions, messages, ollama, responses
from metering.formats.format import WireFormat
from metering.injection import (
    _LOOK_BYTES,
    _MAX_NAME_BYTES,
    Outgoing,
    Removal,
    _named,
    _quoted,
    outgoing,
)
from metering.kinds import KINDS

MESSAGES = '"messages":[{"role":"user","content":"hi"}]'


def forwarded(raw: bytes) -> tuple[bytes, dict[str, Any], bool]:
    request = orjson.loads(raw)
    sent = outgoing(raw, request, chat.FORMAT, KINDS["generic"])
    return sent.body, request, sent.is_asking


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


def stream_of(kind: str, path_format: WireFormat = chat.FORMAT, may_ask: bool = True, **fields: Any) -> Outgoing:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "stream": True, **fields}
    return outgoing(orjson.dumps(request), request, path_format, KINDS[kind], may_ask=may_ask)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("generic", {"stream_options": {"include_usage": True}}),
        ("openai", {"stream_options": {"include_usage": True}}),
        ("vllm", {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
        ("trtllm", {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
        ("llamacpp", {"timings_per_token": True}),
        ("mistral", {}),
        ("deepseek", {}),
        ("openrouter", {}),
        ("groq", {}),
    ],
)
def test_rule_9_each_kind_is_asked_what_it_understands(kind: str, asked: dict[str, Any]) -> None:
    sent = stream_of(kind)
    plain = orjson.loads(stream_of(kind, may_ask=False).body)
    assert orjson.loads(sent.body) == plain | asked
    assert sent.is_asking == bool(asked) and bool(sent.removal) == bool(asked)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_refused_is_not_asked_again(kind: str) -> None:
    sent = stream_of(kind, may_ask=False)
    assert (sent.is_asking, bool(sent.removal)) == (False, False)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_streamed_is_not_asked(kind: str) -> None:
    assert not stream_of(kind, stream=False).is_asking


@pytest.mark.parametrize("wire", [messages.FORMAT, responses.FORMAT, ollama.GENERATION])
def test_other_formats_report_by_themselves(wire: WireFormat) -> None:
    assert not stream_of("vllm", wire, max_tokens=5).is_asking


INCLUDE, RUNNING = {"include_usage": True}, {"continuous_usage_stats": True}


@pytest.mark.parametrize(
    ("kind", "options", "removal"),
    [
        ("vllm", {}, Removal(usage_chunk=True, nulls=True, running=True)),
        ("vllm", INCLUDE, Removal(running=True)),
        ("vllm", INCLUDE | RUNNING, Removal()),
        # without usage asked for it would have been given no counts at all
        ("vllm", RUNNING, Removal(usage_chunk=True, nulls=True, running=True)),
        # and by SGLang it would
        ("sglang", RUNNING, Removal(usage_chunk=True, nulls=True)),
        ("tgi", {}, Removal(usage_chunk=True)),
        ("openai", INCLUDE, Removal()),
        ("llamacpp", INCLUDE, Removal(timings=True)),
    ],
)
def test_what_the_client_did_not_ask_for_it_does_not_see(kind: str, options: dict[str, Any], removal: Removal) -> None:
    assert stream_of(kind, stream_options=options).removal == removal


def test_sglangs_own_nulls_stay_on_completions() -> None:
    assert not stream_of("sglang", completions.FORMAT).removal.nulls
    assert stream_of("sglang").removal.nulls


@pytest.mark.parametrize(
    ("kind", "fields", "added"),
    [
        ("ollama", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("ollama", {"max_completion_tokens": 9, "max_tokens": 7}, {}),
        ("ollama", {"max_tokens": 7}, {}),
        ("vllm", {"max_completion_tokens": 9}, {}),
    ],
)
def test_rule_13_a_limit_is_said_in_a_word_that_the_server_honours(
    kind: str, fields: dict[str, Any], added: dict[str, Any]
) -> None:
    sent = orjson.loads(stream_of(kind, stream=False, **fields).body)
    assert {name: sent.get(name) for name in fields | added} == fields | added


def test_a_null_is_not_given_twice() -> None:
    sent = stream_of("ollama", max_completion_tokens=9, max_tokens=None)
    pairs = pairs_of(sent.body)
    assert len(pairs) == len(dict(pairs)) and dict(pairs)["max_tokens"] == 9


def lowered(raw: bytes, wire: WireFormat = chat.FORMAT, kind: str = "generic") -> bytes:
    return outgoing(raw, orjson.loads(raw), wire, KINDS[kind], output_limit=50).body


@pytest.mark.parametrize(
    ("wire", "kind", "given", "sent"),
    [
        (chat.FORMAT, "openai", {"max_completion_tokens": 900}, {"max_completion_tokens": 50}),
        (chat.FORMAT, "openai", {"max_tokens": 900}, {"max_tokens": 50}),
        (chat.FORMAT, "openai", {"max_tokens": None, "max_completion_tokens": 900}, {"max_completion_tokens": 50}),
        (chat.FORMAT, "openai", {}, {"max_completion_tokens": 50}),
        (chat.FORMAT, "generic", {}, {"max_tokens": 50}),
        (chat.FORMAT, "mistral", {"max_tokens": None}, {"max_tokens": 50}),
        (chat.FORMAT, "vllm", {"max_tokens": 900, "max_completion_tokens": 900},
         {"max_tokens": 50, "max_completion_tokens": 50}),
        (chat.FORMAT, "tgi", {"max_tokens": 900}, {"max_tokens": 50}),
        (chat.FORMAT, "ollama", {}, {"max_tokens": 50}),
        (chat.FORMAT, "ollama", {"max_completion_tokens": 900}, {"max_tokens": 50}),
        (chat.FORMAT, "ollama", {"max_tokens": 900}, {"max_tokens": 50}),
        (completions.FORMAT, "vllm", {"max_tokens": 900}, {"max_tokens": 50}),
        (completions.FORMAT, "vllm", {}, {"max_tokens": 50}),
        (responses.FORMAT, "openai", {"max_output_tokens": 900}, {"max_output_tokens": 50}),
        (responses.FORMAT, "openai", {"max_output_tokens": None}, {"max_output_tokens": 50}),
        (messages.FORMAT, "anthropic", {"max_tokens": 900}, {"max_tokens": 50}),
        (ollama.GENERATION, "ollama", {}, {"options": {"num_predict": 50}}),
        (ollama.GENERATION, "ollama", {"options": None}, {"options": {"num_predict": 50}}),
        (ollama.GENERATION, "ollama", {"options": {"num_predict": -1, "seed": 7}},
         {"options": {"num_predict": 50, "seed": 7}}),
        (ollama.GENERATION, "ollama", {"options": {"num_predict": 900}}, {"options": {"num_predict": 50}}),
    ],
)  # fmt: skip
def test_a_limit_that_was_lowered_goes_out_in_the_formats_own_words(
    wire: WireFormat, kind: str, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    request = {"model": "m", "messages": [], "prompt": "hi", "seed": 3, **given}
    body = orjson.loads(lowered(orjson.dumps(request), wire, kind))
    assert {name: body[name] for name in sent} == sent
    assert {name: value for name, value in body.items() if name not in sent} == {
        name: value for name, value in request.items() if name not in sent
    }, "and nothing else is changed"


@pytest.mark.parametrize(
    "text",
    [
        '{"model":"m","max_tokens":900,"max_tokens":9999,%s}',
        '{"model":"m","max_tokens":9999,"max_\\u0074okens":900,%s}',
        '{"model":"m","max_tokens":900,"Max_Tokens":9999,%s}',
        '{"model":"m","max_tokens":900,"MAX_COMPLETION_TO\u212aENS":9999,%s}',
    ],
)
def test_a_limit_that_is_there_twice_is_lowered_for_every_parser(text: str) -> None:
    body = lowered((text % MESSAGES).encode())
    found = [(name, value) for name, value in pairs_of(body) if "max" in name.casefold()]
    assert found == [("max_tokens", 50)]


def test_a_lowered_limit_of_ollamas_is_there_once() -> None:
    raw = b'{"model":"m","prompt":"hi","options":{"num_predict":900,"num_predict":-1}}'
    assert lowered(raw, ollama.GENERATION, "ollama").count(b"num_predict") == 1


def test_a_stream_whose_limit_is_lowered_is_asked_for_its_usage_all_the_same() -> None:
    raw = b'{"model":"m","stream":true,"stream_options":{"x":1},"max_tokens":900,' + MESSAGES.encode() + b"}"
    sent = outgoing(raw, orjson.loads(raw), chat.FORMAT, KINDS["generic"], output_limit=50)
    assert orjson.loads(sent.body) == orjson.loads(raw) | {
        "max_tokens": 50, "stream_options": {"x": 1, "include_usage": True}
    }  # fmt: skip
    assert sent.is_asking and sent.removal.usage_chunk


@pytest.mark.parametrize("endpoint", [*endpoints.OPENAI, *endpoints.OLLAMA], ids=lambda each: each.name)
def test_what_generates_text_has_a_limit_or_is_never_lowered(endpoint: endpoints.Endpoint) -> None:
    """And those who could send it elsewhere are told which fields decide."""
    wire = endpoint.wire
    assert set(wire.limits) <= wire.decides and (not wire.limits_in or wire.limits_in in wire.decides)
    has_limit = endpoint.path.rpartition("/")[2] in ("completions", "responses", "messages", "chat", "generate")
    assert bool(wire.limits) == has_limit


# runs of bytes around the size that is looked at at once, with and without names in them
_runs = st.integers(1, 9000).map(lambda length: b"x" * length)
_words = st.sampled_from(
    [b'"model"', b'"stream"', b'"mode', b'"n"model"', b'"', b'"max_tokens"', b'model"', b'"modelmodel"']
)


@given(st.lists(_runs | _words, max_size=12).map(b"".join))
def test_names_are_found_in_large_bodies_as_in_small_ones(raw: bytes) -> None:
    quoted = _quoted(chat.FORMAT.decides)
    assert _named(raw, quoted) == quoted.findall(raw)


@pytest.mark.parametrize("before", range(_LOOK_BYTES - 12, _LOOK_BYTES + 2))
def test_a_name_at_the_seam_is_found_once(before: int) -> None:
    raw = b'"' + b"x" * before + b'"model"' + b"x" * _LOOK_BYTES
    assert _named(raw, _quoted(chat.FORMAT.decides)) == [b"model"]


@pytest.mark.parametrize("endpoint", [*endpoints.OPENAI, *endpoints.OLLAMA])
def test_every_name_that_decides_is_short_enough_to_be_found(endpoint: Endpoint) -> None:
    assert all(len(name) + len('""') <= _MAX_NAME_BYTES for name in endpoint.wire.decides)
