"""How servers are asked to count, and how their answers are read."""

import orjson
import pytest

from metering.kinds import Tokenize
from metering.tokenizers.remote import about_messages, about_template, about_text, joined, read

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [], "temperature": 1}


@pytest.mark.parametrize(
    ("way", "text_field"),
    [(Tokenize.VLLM, "prompt"), (Tokenize.SGLANG, "prompt"), (Tokenize.LLAMACPP, "content"), (Tokenize.TGI, "inputs")],
)
def test_a_text_is_only_text_to_all_of_them(way: Tokenize, text_field: str) -> None:
    question = about_text(way, "m", "<|endoftext|>")
    fields = orjson.loads(question.body)
    assert question.path == "/tokenize" and fields[text_field] == "<|endoftext|>"
    assert False in (fields.get("add_special_tokens"), fields.get("add_special"))


def test_vllm_is_asked_about_the_chat_as_it_renders_it() -> None:
    question = about_messages(Tokenize.VLLM, CHAT)
    assert question is not None
    assert orjson.loads(question.body) == {
        "model": "m",
        "messages": CHAT["messages"],
        "tools": [],
        "add_generation_prompt": True,
    }


def test_llamacpp_first_writes_the_chat_out() -> None:
    first = about_messages(Tokenize.LLAMACPP, CHAT)
    assert first is not None and first.is_template and first.path == "/apply-template"
    assert orjson.loads(first.body)["messages"] == CHAT["messages"]
    then = about_template(b'{"prompt":"<|im_start|>user"}')
    assert then is not None and then.path == "/tokenize" and not then.is_template
    # of a template, unlike of what somebody wrote, control tokens are such
    assert orjson.loads(then.body) == {"content": "<|im_start|>user", "add_special": True, "parse_special": True}


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"prompt":null}', b"<html>"])
def test_a_server_that_cannot_write_it_out(answer: bytes) -> None:
    assert about_template(answer) is None


def test_tgi_is_asked_about_the_chat_too() -> None:
    question = about_messages(Tokenize.TGI, CHAT)
    assert question is not None and question.path == "/chat_tokenize"
    assert read(b'{"tokenize_response":[{"id":1,"text":"a","start":0,"stop":1}],"templated_text":"a"}') == 1


def test_sglang_is_asked_about_text_only() -> None:
    assert about_messages(Tokenize.SGLANG, CHAT) is None


@pytest.mark.parametrize("way", Tokenize)
def test_what_is_no_chat_or_cannot_be_written_is_not_asked_about(way: Tokenize) -> None:
    assert about_messages(way, {"model": "m", "prompt": "hi"}) is None
    deep: object = "x"
    for _ in range(500):
        deep = [deep]
    assert about_messages(way, {"model": "m", "messages": [deep]}) is None


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        (b'{"count":3,"max_model_len":8192,"tokens":[1,2,3]}', 3),
        (b'{"tokens":[1,2]}', 2),
        (b'[{"id":1,"text":"a","start":0,"stop":1}]', 1),
        (b'{"count":-1}', None),
        (b'{"count":true,"tokens":null}', None),
        (b'"3"', None),
        (b"<html>", None),
    ],
)
def test_answers(answer: bytes, tokens: int | None) -> None:
    assert read(answer) == tokens


def test_texts_are_asked_about_together() -> None:
    assert joined(["a", "b"]) == "a\nb"
