"""Scripts on a real server, however it is reached, on both loops; and what becomes of them when it goes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow

from proxy import redis_client
from runtime.embedded.valkey import EmbeddedValkey
from runtime.tasks import TaskSet
from tests.support.both_loops import BOTH_LOOPS, LoopFactory, run_on
from tests.support.limits import BOUND_S
from tests.support.mortal_valkey import PASSWORD, MortalValkey

ECHO = "return ARGV[1]"


def script_of(client: Redis, source: str) -> Callable[[list[str], list[object]], Awaitable[Any]]:
    made: Any = client.register_script(source)
    return cast(Callable[[list[str], list[object]], Awaitable[Any]], made)


async def pipes_of(client: Redis, name: str) -> int:
    """How many connections of that name have called a script by its hash."""
    return sum(each["name"] == name and each["cmd"] == "evalsha" for each in await client.client_list())


@asynccontextmanager
async def client_of(url: str, timeout_s: float = BOUND_S) -> AsyncIterator[Redis]:
    client = redis_client.connect(url, timeout_s)
    try:
        yield client
    finally:
        await client.aclose()


async def answers_in_order(url: str) -> None:
    """Many at once, each gets its own answer, all over one connection; what the server does not know is sent along."""
    name = uuid4().hex
    async with client_of(f"{url}{'&' if '?' in url else '?'}client_name={name}") as client:
        echo, fail = script_of(client, ECHO), script_of(client, "return redis.error_reply('no such thing')")
        for _ in range(2):
            await client.script_flush()
            answers = await asyncio.gather(*(echo([], [n]) for n in range(100)))
            assert answers == [b"%d" % n for n in range(100)]
        for _ in range(2):
            with pytest.raises(ResponseError, match="no such thing"):
                await fail([], [])
        assert await echo([], ["after"]) == b"after"
        assert await pipes_of(client, name) == 1, "an error is no reason to begin anew"


@BOTH_LOOPS
def test_each_gets_its_own_answer_over_one_connection(redis_url: str, loop_factory: LoopFactory) -> None:
    run_on(loop_factory, lambda: answers_in_order(redis_url))


@BOTH_LOOPS
def test_the_database_of_the_url_is_the_one_that_scripts_see(redis_url: str, loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        async with client_of(redis_url.removesuffix("/0") + "/7") as client:
            await client.set("here", "seven")
            assert await script_of(client, "return redis.call('GET', KEYS[1])")(["here"], []) == b"seven"
            await client.delete("here")

    run_on(loop_factory, scenario)


@BOTH_LOOPS
def test_over_a_unix_socket(reachable_dir: Path, loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        path = reachable_dir / "socket"
        server = await EmbeddedValkey.start(reachable_dir / "valkey", PASSWORD, settings={"unixsocket": str(path)})
        try:
            await answers_in_order(f"unix://:{PASSWORD}@{path}?db=0")
        finally:
            await server.stop()

    run_on(loop_factory, scenario)


@BOTH_LOOPS
def test_over_tls(redis_url: str, certificate: tuple[Path, Path], loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
        plain = urlsplit(redis_url)
        async with in_front_of(plain.hostname or "", plain.port or 0, context) as port:
            await answers_in_order(f"rediss://:{plain.password}@127.0.0.1:{port}/0?ssl_ca_certs={certificate[0]}")

    run_on(loop_factory, scenario)


@asynccontextmanager
async def in_front_of(host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A port that speaks TLS for a server that does not."""
    tasks = TaskSet()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(host, port)
        tasks.spawn(pass_on(back, writer), name="back")
        await pass_on(reader, forth)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await tasks.drain(BOUND_S)


async def test_a_wrong_password_is_told_to_the_caller(redis_url: str) -> None:
    plain = urlsplit(redis_url)
    async with client_of(f"redis://:wrong@{plain.hostname}:{plain.port}/0") as client:
        with pytest.raises(AuthenticationError):
            await script_of(client, ECHO)([], [1])


@pytest.fixture
async def server(reachable_dir: Path) -> AsyncIterator[MortalValkey]:
    async with AsyncExitStack() as stack:
        made = MortalValkey(reachable_dir, stack)
        await made.start()
        stack.push_async_callback(made.stop)
        yield made


@BOTH_LOOPS
def test_a_server_that_is_killed_fails_what_waits_and_is_found_again(
    reachable_dir: Path, loop_factory: LoopFactory
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            server = MortalValkey(reachable_dir, stack)
            await server.start()
            stack.push_async_callback(server.stop)
            client = await stack.enter_async_context(client_of(server.url))
            script = script_of(client, ECHO)
            assert await script([], ["before"]) == b"before"
            await server.kill()
            for _ in range(3):
                with pytest.raises(RedisGone):
                    await script([], ["away"])
            await server.come_back()
            assert await script([], ["after"]) == b"after"

    run_on(loop_factory, scenario)


async def test_a_server_that_hangs_is_given_up_in_time_and_may_have_run_what_it_was_asked(
    server: MortalValkey,
) -> None:
    count = "return redis.call('INCR', KEYS[1])"
    async with client_of(server.url, 0.2) as client, client_of(server.url) as patient:
        script = script_of(client, count)
        assert await script(["n"], []) == 1
        with server.stopped():
            answers = await asyncio.gather(*(script(["n"], []) for _ in range(3)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [RedisSlow] * 3
        assert await script_of(patient, count)(["n"], []) == 5, "each was sent once"
