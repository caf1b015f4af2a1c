"""What is read of a request, and how a bad one is refused."""

import json
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from metering.endpoints import OLLAMA, OPENAI, Endpoint
from metering.kinds import KINDS
from proxy.asking import parse, with_fields
from proxy.failures import Failure
from tests.support.calls import chat_body

BY_PATH = {each.path: each for each in (*OPENAI, *OLLAMA[:1])}
CHAT = BY_PATH["/chat/completions"]
JSON = "application/json"


def refused(raw: bytes, endpoint: Endpoint = CHAT) -> tuple[str, str | None]:
    with pytest.raises(Failure) as caught:
        parse(raw, endpoint, JSON)
    return caught.value.code, caught.value.param


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"1", b"null", b'{"model":NaN}', b"\xff", b'"\xed\xa0\x80"'])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    assert refused(raw) == ("invalid_request_error", None)


def test_the_parsers_words_name_a_place_and_quote_nothing() -> None:
    with pytest.raises(Failure) as caught:
        parse(b'{"model":"secret" oops}', CHAT, JSON)
    assert "secret" not in caught.value.message and "byte" in caught.value.message


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/chat/completions", {"model": 1}, "model"),
        ("/chat/completions", {"model": "x" * 257}, "model"),
        ("/chat/completions", {"messages": []}, "messages"),
        ("/chat/completions", {"messages": "hi"}, "messages"),
        ("/chat/completions", {"stream": "yes"}, "stream"),
        ("/chat/completions", {"stream_options": []}, "stream_options"),
        *[("/chat/completions", {"max_tokens": bad}, "max_tokens") for bad in (0, -1, 1.5, "5", True, 10**8)],
        ("/chat/completions", {"max_completion_tokens": 0}, "max_completion_tokens"),
        ("/chat/completions", {"n": 129}, "n"),
        ("/completions", {"prompt": {}}, "prompt"),
        ("/completions", {"prompt": []}, "prompt"),
        ("/completions", {"prompt": "a", "best_of": 1000}, "best_of"),
        ("/embeddings", {"input": 1}, "input"),
        ("/responses", {"max_output_tokens": "many"}, "max_output_tokens"),
        ("/messages", {"max_tokens": None}, "max_tokens"),
        ("/messages", {"max_tokens": 5, "messages": []}, "messages"),
        ("/rerank", {"documents": []}, "documents"),
        ("/audio/speech", {"input": 1}, "input"),
        ("/chat", {"options": {"num_predict": 1.5}}, "num_predict"),
    ],
)
def test_a_field_that_decides_is_checked(path: str, fields: dict[str, Any], param: str) -> None:
    assert refused(chat_body(**fields), BY_PATH[path]) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("/chat/completions", {}, (None, 1, 1, False)),
        ("/chat/completions", {"max_tokens": 5, "max_completion_tokens": 7, "n": 3}, (7, 3, 1, False)),
        ("/completions", {"prompt": ["a", "b"], "n": 2, "best_of": 4}, (None, 4, 2, False)),
        ("/completions", {"prompt": [1, 2, 3]}, (None, 1, 1, False)),
        ("/completions", {"prompt": [[1, 2], [3]], "stream": True}, (None, 1, 2, True)),
        ("/messages", {"max_tokens": 9}, (9, 1, 1, False)),
        ("/responses", {"max_output_tokens": 9, "stream": True}, (9, 1, 1, True)),
        ("/chat", {"options": {"num_predict": 9}}, (9, 1, 1, True)),
        ("/chat", {"options": {"num_predict": -1}, "stream": False}, (None, 1, 1, False)),
    ],
)
def test_what_is_asked_for(path: str, fields: dict[str, Any], expected: tuple[Any, ...]) -> None:
    ask = parse(chat_body(**fields), BY_PATH[path], JSON).ask
    assert (ask.output_limit, ask.candidates, ask.prompts, ask.is_stream) == expected


def form(*parts: tuple[str, str], file: bytes = b"RIFF") -> bytes:
    out = b""
    for name, value in parts:
        out += f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    head = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return out + head + file + b"\r\n--x--\r\n"


def test_a_form_goes_upstream_as_it_came() -> None:
    raw = form(("model", "whisper"), ("stream", "true"))
    asked = parse(raw, BY_PATH["/audio/transcriptions"], "multipart/form-data; boundary=x")
    assert (asked.ask.model, asked.ask.is_stream) == ("whisper", True)
    assert asked.sent(KINDS["vllm"], may_ask=True).body is raw


def test_a_body_nested_too_deeply_to_be_written_again() -> None:
    deep = json.loads("[" * 300 + "]" * 300)
    raw = orjson.dumps({"model": "m", "Model": "n", "messages": [{"content": "hi"}], "x": None})
    raw = raw.replace(b'"x":null', b'"x":' + json.dumps(deep).encode())
    with pytest.raises(Failure, match="nested"):
        parse(raw, CHAT, JSON).sent(KINDS["generic"], may_ask=True)


def test_the_operators_fields_are_read_as_if_the_client_had_said_them() -> None:
    asked = parse(chat_body(max_tokens=100, Max_Tokens=7, seed=1), CHAT, JSON)
    found = with_fields(asked, {"max_tokens": 5, "seed": None})
    assert orjson.loads(found.raw) == found.fields == orjson.loads(chat_body(max_tokens=5))
    assert (asked.ask.output_limit, found.ask.output_limit) == (100, 5)


def test_operators_fields_that_make_no_request_are_refused() -> None:
    with pytest.raises(Failure) as caught:
        with_fields(parse(chat_body(), CHAT, JSON), {"max_tokens": "many"})
    assert caught.value.param == "max_tokens"


@pytest.mark.parametrize("name", ["", "tiny"])
def test_a_model_that_goes_by_its_own_name_leaves_the_body_as_it_is(name: str) -> None:
    assert parse(chat_body(), CHAT, JSON).sent(KINDS["generic"], may_ask=True, name=name).body == chat_body()


def test_a_model_that_the_server_calls_otherwise() -> None:
    raw = b'{"model":"large","model":"tiny","Model":"large","messages":[{"role":"user","content":"hi"}]}'
    sent = parse(raw, CHAT, JSON).sent(KINDS["ollama"], may_ask=True, name="org/tiny").body
    assert orjson.loads(sent) == {"model": "org/tiny", "messages": [{"role": "user", "content": "hi"}]}
    assert sent.count(b"odel") == 1


# long pictures

PICTURE = "data:image/png;base64," + "A" * 200_000


def with_picture(**fields: Any) -> bytes:
    part = {"type": "image_url", "image_url": {"url": PICTURE}}
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}], **fields})


def test_a_long_picture_is_parsed_by_its_beginning_and_goes_upstream_as_it_came() -> None:
    raw = with_picture()
    asked = parse(raw, CHAT, JSON)
    assert len(asked.parsed) < 100_000 < len(raw)
    assert (asked.fields != orjson.loads(raw), asked.whole()) == (True, orjson.loads(raw))
    assert asked.sent(KINDS["generic"], may_ask=True).body is raw


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": True, "stream_options": None}, {"Model": "x"}, {}])
@pytest.mark.parametrize("more", [{}, {"name": "there"}, {"output_limit": 7}])
@pytest.mark.parametrize("kind", ["generic", "vllm", "llamacpp"])
def test_what_is_added_or_written_anew_is_what_would_be_of_the_whole(
    fields: dict[str, Any], more: dict[str, Any], kind: str
) -> None:
    raw = with_picture(**fields)
    asked = parse(raw, CHAT, JSON)
    whole = replace(asked, fields=orjson.loads(raw), parsed=raw)
    assert asked.parsed is not raw
    assert asked.sent(KINDS[kind], may_ask=True, **more) == whole.sent(KINDS[kind], may_ask=True, **more)
    added = with_fields(asked, {"seed": 1})
    assert (added.fields, added.whole()) == ({**orjson.loads(raw), "seed": 1},) * 2


def test_a_picture_that_is_no_json_is_the_upstreams_to_refuse_unless_we_write_the_body() -> None:
    raw = with_picture().replace(b'AAAA"', b'AA\n"')
    asked = parse(raw, CHAT, JSON)
    assert asked.sent(KINDS["generic"], may_ask=True).body is raw
    assert asked.countable() is asked.fields
    with pytest.raises(Failure, match="invalid_request_error"):
        asked.sent(KINDS["generic"], may_ask=True, output_limit=7)


def test_a_long_text_is_parsed_whole_whatever_it_begins_with() -> None:
    for text in (PICTURE, "A" * 200_000):
        asked = parse(orjson.dumps({"model": "m", "prompt": text}), BY_PATH["/completions"], JSON)
        assert (asked.parsed is asked.raw, asked.fields["prompt"]) == (True, text)


def test_where_a_long_body_is_no_json_is_told_of_the_body_and_not_of_its_outline() -> None:
    raw = with_picture()[:-1] + b" oops}"
    with pytest.raises(Failure) as caught:
        parse(raw, CHAT, JSON)
    assert f"at byte {len(raw) - 5}" in caught.value.message
