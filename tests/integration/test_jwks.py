"""Keys from a real server, and tokens checked with them: rotation, and every way a server can misbehave."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from accounts.errors import NotAuthenticated
from accounts.identity import TokenVerifier, open_verifier
from accounts.jwk_set import JwksError
from accounts.jwks_fetch import MAX_BODY_BYTES, fetch_jwks
from runtime.clock import wall_ms
from runtime.settings import Identity
from tests.support.tokens import USER, PrivateKey, by_key, ec_key, jwk, key_set, rsa_key

OLD, NEW = rsa_key("one"), ec_key("one")

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Provider:
    """An identity provider; `answer` may be exchanged while it runs."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.url = ""
        self.requests: list[web.BaseRequest] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)


def publishing(*keys: dict[str, object]) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=key_set(*keys), content_type="application/jwk-set+json")

    return answer


@asynccontextmanager
async def provider(answer: Answer) -> AsyncIterator[Provider]:
    made = Provider(answer)
    runner = web.ServerRunner(web.Server(made.handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/.well-known/jwks.json?p=one"
        yield made
    finally:
        await runner.cleanup()


def token(key: PrivateKey, kid: str) -> str:
    now_s = wall_ms() // 1000
    return by_key(key, kid, iat=now_s, exp=now_s + 600)


async def is_believed(verifier: TokenVerifier, key: PrivateKey, kid: str) -> bool:
    try:
        return str((await verifier.verify(token(key, kid))).user_id) == USER
    except NotAuthenticated:
        return False


def identity(url: str) -> Identity:
    return Identity(jwks_url=url)


async def test_a_rotated_key_works_at_once_and_the_old_one_while_it_is_listed() -> None:
    async with provider(publishing(jwk(OLD, "old"))) as server, open_verifier(identity(server.url)) as verifier:
        assert await is_believed(verifier, OLD, "old")
        server.answer = publishing(jwk(OLD, "old"), jwk(NEW, "new"))
        assert await is_believed(verifier, NEW, "new")
        assert await is_believed(verifier, OLD, "old")
        assert len(server.requests) == 2
        assert [request.path_qs for request in server.requests] == ["/.well-known/jwks.json?p=one"] * 2


async def test_a_key_that_is_no_longer_listed_is_refused_after_the_next_fetch() -> None:
    async with provider(publishing(jwk(OLD, "old"))) as server, open_verifier(identity(server.url)) as verifier:
        server.answer = publishing(jwk(NEW, "new"))
        assert await is_believed(verifier, OLD, "old")
        assert await is_believed(verifier, NEW, "new")
        assert not await is_believed(verifier, OLD, "old")


async def test_many_tokens_of_an_unknown_key_cause_one_fetch() -> None:
    async with provider(publishing(jwk(OLD, "old"))) as server, open_verifier(identity(server.url)) as verifier:
        believed = await asyncio.gather(*(is_believed(verifier, NEW, f"made up {n}") for n in range(100)))
        assert not any(believed)
        assert len(server.requests) == 2


async def test_a_provider_that_fails_takes_no_key_away() -> None:
    async def fails(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=500, text="oops")

    async with provider(publishing(jwk(OLD, "old"))) as server, open_verifier(identity(server.url)) as verifier:
        server.answer = fails
        assert not await is_believed(verifier, NEW, "new")
        assert len(server.requests) == 2
        assert await is_believed(verifier, OLD, "old")


async def test_a_provider_that_comes_after_us_is_found() -> None:
    async def away(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=503)

    async with provider(away) as server, open_verifier(identity(server.url)) as verifier:
        server.answer = publishing(jwk(OLD, "old"))
        assert await is_believed(verifier, OLD, "old")


async def failure(server: Provider, timeout_s: float = 5.0) -> str:
    with pytest.raises(JwksError) as failed:
        await fetch_jwks(server.url, timeout_s)
    return failed.value.reason


async def test_the_whole_text_and_nothing_of_ours_but_the_question() -> None:
    async with provider(publishing(jwk(OLD, "old"))) as server:
        assert await fetch_jwks(server.url) == key_set(jwk(OLD, "old"))
        (request,) = server.requests
        assert request.method == "GET" and request.headers["accept-encoding"] == "identity"
        assert "authorization" not in request.headers and "cookie" not in request.headers


@pytest.mark.parametrize("status", [201, 204, 400, 404, 429, 500, 503])
async def test_a_status_that_is_no_success(status: int) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status)

    async with provider(answer) as server:
        assert await failure(server) == f"status_{status}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": "/elsewhere"})

    async with provider(answer) as server:
        assert await failure(server) == f"status_{status}"
        assert len(server.requests) == 1


async def test_a_body_of_the_largest_size() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b" " * MAX_BODY_BYTES)

    async with provider(answer) as server:
        assert len(await fetch_jwks(server.url)) == MAX_BODY_BYTES


async def test_a_body_without_end_is_given_up() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)

    async with provider(answer) as server:
        assert await failure(server) == "too_large"


async def test_a_compressed_body_is_not_unpacked() -> None:
    packed = gzip.compress(b" " * 50_000_000)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=packed, headers={"content-encoding": "gzip"})

    async with provider(answer) as server:
        assert await fetch_jwks(server.url) == packed


async def test_a_server_that_never_answers() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with provider(answer) as server:
        assert await failure(server, timeout_s=0.05) == "timeout"


async def test_a_server_that_stops_half_way() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"keys": [')
        await asyncio.Event().wait()
        raise AssertionError

    async with provider(answer) as server:
        assert await failure(server, timeout_s=0.2) == "timeout"


async def test_a_server_that_hangs_up() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with provider(answer) as server:
        assert await failure(server) == "unreachable"


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        with pytest.raises(JwksError) as failed:
            await fetch_jwks(f"http://127.0.0.1:{free.getsockname()[1]}/")
    assert failed.value.reason == "unreachable"
