from typing import Any

import orjson
import pytest

from runtime.simulator.chat import ChatAnswer
from runtime.simulator.plan import read_chat
from runtime.simulator.script import write_script
from tests.support.dialects import (
    ANSWER_ID,
    CHAT,
    CREATED,
    SETTINGS,
    answered,
    body_of,
    chat,
    chunks_of,
    names_of,
    played,
    recorded,
    script_of,
)


@pytest.mark.parametrize("name", [*names_of("generic", path="/v1/chat"), *names_of("generic", path="/v1/comp")])
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


@pytest.mark.parametrize(
    "body",
    [
        chat(),
        chat(asked=True),
        chat(asked=True, n=3),
        chat({"tokens": 0}, asked=True),
        chat({"usage": False}, asked=True),
        chat(max_tokens=2),
        chat({"fault": "error_event", "after_chunks": 2}),
        chat({"fault": "no_done"}),
        chat({"fault": "truncate", "after_chunks": 2}),
        chat({"fault": "status", "status": 429}),
        chat(stream=False),
        chat({"content_bytes": 9}, stream=False, n=2),
        chat({"big_header_bytes": 9}, stream=False, max_completion_tokens=1),
    ],
)
def test_a_generic_chat_is_the_same_as_on_the_fast_path(body: dict[str, Any]) -> None:
    fast = ChatAnswer(read_chat(orjson.dumps({"model": "tiny"} | body), SETTINGS))
    script = write_script(fast, ANSWER_ID.encode(), b"%d" % CREATED, framed=True, close=False)
    assert played(script_of("generic", CHAT, body, framed=True)) == played(script)


def test_usage_can_be_left_out_everywhere() -> None:
    body = chat({"usage": False}, stream=False)
    assert orjson.loads(body_of("generic", CHAT, body))["usage"] is None
    for kind in ("deepseek", "openrouter", "groq"):
        assert b"total_tokens" not in body_of(kind, CHAT, chat({"usage": False}))


def test_hidden_tokens_are_counted_and_not_shown() -> None:
    chunks = chunks_of(
        body_of("openai", CHAT, chat({"tokens": 9, "hidden_tokens": 4, "reasoning_tokens": 3}, asked=True))
    )
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks[:-1])
    assert text == "w0 w1 "
    usage = chunks[-1]["usage"]
    assert (usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]) == (9, 3)


def test_an_echoed_prompt_is_shown_and_not_counted() -> None:
    body = {"prompt": ["a b", [1, 2]], "echo": True, "stream": True, "stream_options": {"include_usage": True}}
    chunks = chunks_of(body_of("generic", "/v1/completions", body))
    assert chunks[0]["choices"][0]["text"] == "a b "
    assert chunks[-1]["usage"]["completion_tokens"] == 6
