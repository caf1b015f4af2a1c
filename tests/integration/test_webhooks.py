"""Webhooks to a real server, which checks the signature by itself and misbehaves in every way it can."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import pytest
from aiohttp import web

from accounts.notices.deliveries import Deliveries
from accounts.notices.signing import Event, body_of
from accounts.notices.webhook import WebhookSender, open_session
from accounts.notices.worker import Undelivered, Worker
from proxy.process.starting import free_port
from runtime.clock import wall_ms
from runtime.postgres import create_pool
from runtime.settings import WebhookEndpoint
from tests.support.events import POLICY, SECRET, Endpoint, endpoint, happened, is_signed, states
from tests.support.scripted_server import serve

EVENT = Event(UUID(int=7), "balance.low", UUID(int=8), {"balance": "4"}, datetime(2026, 11, 22, 10, tzinfo=UTC))
OTHER_BYTES = b"another secret, the new one: 32!"
OTHER = "whsec_YW5vdGhlciBzZWNyZXQsIHRoZSBuZXcgb25lOiAzMiE="


@pytest.fixture
async def hook() -> AsyncIterator[Endpoint]:
    async with endpoint() as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as made:
        yield made


def sender(session: aiohttp.ClientSession, url: str, **fields: Any) -> WebhookSender:
    settings = WebhookEndpoint.model_validate({"name": "shop", "url": url, "secrets": SECRET} | fields)
    return WebhookSender(settings, session)


async def reason(sending: WebhookSender) -> tuple[str, bool, float | None]:
    with pytest.raises(Undelivered) as caught:
        await sending.send(EVENT)
    return caught.value.reason, caught.value.is_final, caught.value.asked_s


async def test_what_arrives_is_signed_and_says_what_happened(session: aiohttp.ClientSession, hook: Endpoint) -> None:
    await sender(session, hook.url).send(EVENT)
    ((headers, body),) = hook.received
    assert is_signed(headers, body) and not is_signed(headers, body + b" ") and not is_signed(headers, body, b"x" * 32)
    assert abs(int(headers["webhook-timestamp"]) - wall_ms() / 1000) < 60
    assert headers["webhook-id"] == str(EVENT.id) and headers["content-type"] == "application/json"
    assert body == body_of(EVENT) and orjson.loads(body)["data"] == {"balance": "4", "user_id": str(EVENT.user_id)}


async def test_while_a_secret_is_replaced_both_sign(session: aiohttp.ClientSession, hook: Endpoint) -> None:
    await sender(session, hook.url, secrets=[SECRET, OTHER]).send(EVENT)
    ((headers, body),) = hook.received
    assert is_signed(headers, body) and is_signed(headers, body, OTHER_BYTES)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (500, {}, ("status_500", False, None)),
        (404, {}, ("status_404", False, None)),
        (410, {}, ("status_410", True, None)),
        (429, {"Retry-After": "17"}, ("status_429", False, 17.0)),
    ],
)
async def test_refusals(
    session: aiohttp.ClientSession, hook: Endpoint, status: int, headers: dict[str, str], expected: Any
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    hook.answer = refuse
    assert await reason(sender(session, hook.url)) == expected


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession, hook: Endpoint) -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": "/elsewhere"})

    hook.answer = elsewhere
    assert await reason(sender(session, hook.url)) == ("status_307", False, None)
    assert len(hook.received) == 1


async def test_one_that_hangs_is_left(session: aiohttp.ClientSession, hook: Endpoint) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    hook.answer = hang
    assert await reason(sender(session, hook.url, timeout_s=0.2)) == ("timeout", False, None)


async def test_an_endless_answer_is_not_read(session: aiohttp.ClientSession, hook: Endpoint) -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"x" * (1 << 20))
        except (ConnectionError, asyncio.CancelledError):
            ended.set()
            raise

    hook.answer = endless
    await sender(session, hook.url).send(EVENT)
    await asyncio.wait_for(ended.wait(), 30)


async def test_ten_megabytes_are_not_read_either(session: aiohttp.ClientSession, hook: Endpoint) -> None:
    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 10_000_000)

    hook.answer = large
    await sender(session, hook.url).send(EVENT)
    assert len(hook.received) == 1


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200", b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000]
)
async def test_what_is_no_answer(session: aiohttp.ClientSession, said: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await reason(sender(session, f"http://127.0.0.1:{port}/")) == ("broken_answer", False, None)


async def test_nobody_there(session: aiohttp.ClientSession) -> None:
    assert await reason(sender(session, f"http://127.0.0.1:{free_port('127.0.0.1')}/")) == ("connect", False, None)


async def test_a_certificate_nobody_vouches_for_is_refused(session: aiohttp.ClientSession, certificate: Any) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def never(*_: Any) -> None:
        raise AssertionError("nothing may be sent")

    async with serve(never, tls=context) as server:
        url = f"https://127.0.0.1:{server.origin.port}/"
        assert await reason(sender(session, url)) == ("tls", False, None)


async def test_one_dead_endpoint_does_not_hold_up_another(
    session: aiohttp.ClientSession, hook: Endpoint, database_url: str
) -> None:
    pool = await create_pool(database_url)
    async with endpoint() as dead:
        arrived = asyncio.Event()

        async def hang(_: web.Request) -> web.StreamResponse:
            arrived.set()
            await asyncio.Event().wait()
            raise AssertionError

        dead.answer = hang
        for _ in range(20):
            await happened(pool)
        deliveries = Deliveries(pool, POLICY)
        await deliveries.dispatch([("webhook:dead", "topup.succeeded"), ("webhook:shop", "topup.succeeded")], False, 1)
        stuck = Worker(deliveries, POLICY, "webhook:dead", sender(session, dead.url, timeout_s=15).send, concurrent=3)
        working = Worker(deliveries, POLICY, "webhook:shop", sender(session, hook.url).send, concurrent=8)
        async with asyncio.TaskGroup() as group:
            held_up = group.create_task(stuck.round())
            await arrived.wait()
            while await working.round() is not None:
                pass
            assert len(hook.received) == 20 and all(is_signed(*one) for one in hook.received)
            assert len(dead.received) <= 3 and not held_up.done()
            held_up.cancel()
    assert [state[1:] for state in await states(pool) if state[0] == "webhook:shop"] == [("delivered", 1, "")] * 20
    await pool.close()
