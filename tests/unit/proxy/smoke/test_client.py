"""Answers as the steps read them."""

from decimal import Decimal
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.smoke import client
from proxy.smoke.client import Reply, connected
from proxy.smoke.steps import StepFailed


def reply(body: Any, status: int = 400) -> Reply:
    return Reply(status, {}, orjson.dumps(body), body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "overloaded", "message": "Too many."}}, "overloaded"),
        ({"error": "There is no such key", "code": "key_not_found"}, "key_not_found"),
        ({"error": {"code": 5}}, None),
        ({"error": None}, None),
        ([1], None),
        (None, None),
    ],
)
def test_the_code_of_an_error_in_either_shape(body: Any, code: str | None) -> None:
    assert reply(body).code == code
    assert str(reply(body)).startswith("HTTP 400")


def test_an_error_in_words_is_short() -> None:
    assert str(reply({"error": {"code": "x", "message": "m" * 5000}})) == f"HTTP 400 x {'m' * 200}"


async def answer(request: web.Request) -> web.StreamResponse:
    if request.path == "/elsewhere":
        return web.Response(status=302, headers={"location": "/number"})
    if request.path == "/long":
        return web.Response(body=b"x" * 5000)
    if request.path == "/broken":
        return web.Response(body=b"{", content_type="application/json")
    return web.Response(body=b'{"n": 0.123456789123456789}', content_type="application/json")


async def test_numbers_are_exact_redirects_are_not_followed_and_answers_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_MAX_ANSWER_BYTES", 4999)
    app = web.Application()
    app.router.add_get("/{path}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        async with connected(url, 30) as deployment:
            assert (await deployment.ok("GET", "/number")).field("n") == Decimal("0.123456789123456789")
            assert (await deployment.ask("GET", "/elsewhere", "token")).status == 302
            assert (await deployment.ask("GET", "/broken")).json is None
            for path in ("/elsewhere", "/long"):
                with pytest.raises(StepFailed, match=path):
                    await deployment.ok("GET", path)
    async with connected(url, 30) as deployment:
        with pytest.raises(StepFailed, match="Client"):
            await deployment.ask("GET", "/number")
