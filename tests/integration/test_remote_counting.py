"""A server is asked to count what nobody reported; one that cannot or does not answer costs a bounded wait."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from proxy import remote_counting
from proxy.remote_counting import counter_of
from proxy.routing import Route
from proxy.upstream.pool import PoolLimits, UpstreamPool, parse_origin
from runtime.settings import Upstream

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
Answer = Callable[[dict[str, Any]], Awaitable[web.Response]]


@asynccontextmanager
async def serving(answer: Answer, kind: str, *paths: str) -> AsyncIterator[Route]:
    """`paths` are answered beside `/tokenize`."""

    async def tokenize(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer sk-upstream"
        return await answer(json.loads(await request.read()))

    app = web.Application()
    for path in ("/tokenize", *paths):
        app.router.add_post(path, tokenize)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    settings = Upstream.model_validate({"url": url, "kind": kind, "api_key": "sk-upstream"})
    pool = UpstreamPool(parse_origin(url), PoolLimits())
    try:
        yield Route(settings, pool)
    finally:
        await pool.close()
        await runner.cleanup()


def words(asked: dict[str, Any]) -> int:
    text = asked.get("prompt") or asked.get("content") or asked.get("inputs") or ""
    said = " ".join(message["content"] for message in asked.get("messages", ()))
    return len(f"{text} {said}".split())


@pytest.mark.parametrize(("kind", "prompt"), [("vllm", 3), ("sglang", 4 + 6), ("llamacpp", 4 + 6), ("tgi", 4 + 6)])
async def test_each_kind_by_its_own_way(kind: str, prompt: int) -> None:
    """vLLM counts the chat as it renders it; of SGLang, and of others that are too old to, each text and the frames are
    added up.
    """

    async def answer(asked: dict[str, Any]) -> web.Response:
        tokens = list(range(words(asked)))
        return web.json_response(tokens if kind == "tgi" else {"tokens": tokens})

    async with serving(answer, kind) as route:
        counter = counter_of(route)
        assert counter is not None
        assert await counter.count_texts("m", ["a b", "c"]) == 3
        assert await counter.count_texts("m", []) == 0
        assert await counter.count_prompt("m", CHAT) == prompt


@pytest.mark.parametrize(("kind", "path"), [("llamacpp", "/apply-template"), ("tgi", "/chat_tokenize")])
async def test_a_chat_as_the_server_renders_it(kind: str, path: str) -> None:
    asked: list[dict[str, Any]] = []

    async def answer(fields: dict[str, Any]) -> web.Response:
        asked.append(fields)
        if kind == "llamacpp" and "messages" in fields:
            return web.json_response({"prompt": "<s> user one two three assistant"})
        return web.json_response({"tokens" if kind == "llamacpp" else "tokenize_response": [1] * 6})

    async with serving(answer, kind, path) as route:
        counter = counter_of(route)
        assert counter is not None and await counter.count_prompt("m", CHAT) == 6
    assert asked[0]["messages"] == CHAT["messages"]
    assert [fields.get("content") for fields in asked[1:]] == (
        ["<s> user one two three assistant"] if kind == "llamacpp" else []
    )


@pytest.mark.parametrize("response", [(404, b"{}"), (200, b"<html>"), (200, b"x" * 100)])
async def test_a_server_that_does_not_know(response: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_counting, "_MAX_ANSWER_BYTES", 50)

    async def answer(_: dict[str, Any]) -> web.Response:
        return web.Response(status=response[0], body=response[1])

    async with serving(answer, "vllm") as route:
        counter = counter_of(route)
        assert counter is not None and await counter.count_texts("m", ["a"]) is None


async def test_a_server_that_is_gone() -> None:
    async def answer(_: dict[str, Any]) -> web.Response:
        raise AssertionError("nobody asks")

    async with serving(answer, "vllm") as route:
        counter = counter_of(route)
    assert counter is not None and await counter.count_texts("m", ["a"]) is None


async def test_kinds_that_cannot_be_asked() -> None:
    pool = UpstreamPool(parse_origin("http://h/v1"), PoolLimits())
    assert counter_of(Route(Upstream(url="http://h/v1", kind="openai"), pool)) is None
    await pool.close()
