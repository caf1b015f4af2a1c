"""Events, their deliveries, and receivers that tell what they were sent."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from accounts.notices.deliveries import LEASE, Deliveries
from accounts.notices.outbox import EventKind, announce
from accounts.notices.retry import RetryPolicy
from runtime.postgres import Pool

POLICY = RetryPolicy(max_attempts=3, max_age_s=1000)
SECRET_BYTES = b"a secret of 32 bytes, no less..!"
SECRET = "whsec_" + base64.b64encode(SECRET_BYTES).decode()
FACTS = {"amount": "25", "balance": "26.5", "source": "checkout"}


def deliveries(pool: Pool, lease: timedelta = LEASE) -> Deliveries:
    return Deliveries(pool, POLICY, lease)


async def happened(pool: Pool, kind: EventKind = "topup.succeeded", user_id: UUID | None = None, **facts: Any) -> UUID:
    """One more event; its id."""
    once = str(uuid4())
    async with pool.acquire() as connection, connection.transaction():
        await announce(connection, kind, user_id or uuid4(), FACTS | facts, once=once)
    found: UUID = await pool.fetchval("SELECT id FROM farebox_events WHERE once = $1", once)
    return found


async def states(pool: Pool) -> list[tuple[str, str, int, str]]:
    """Channel, state, attempts and reason of all deliveries, in the order of their events."""
    rows = await pool.fetch(
        "SELECT channel, state, attempts, reason FROM farebox_deliveries d"
        " JOIN farebox_events e ON e.id = event_id ORDER BY number, channel"
    )
    return [tuple(row) for row in rows]


async def make_due(pool: Pool) -> None:
    """As if the waits were over, and the leases."""
    await pool.execute("UPDATE farebox_deliveries SET due_at = clock_timestamp() WHERE state = 'pending'")


def is_signed(headers: Any, body: bytes, secret: bytes = SECRET_BYTES) -> bool:
    """As the specification says it, written out a second time."""
    signed = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    wanted = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(given, wanted) for given in headers["webhook-signature"].split(" "))


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """A receiver of webhooks: keeps what it is sent, answers as it is told."""

    def __init__(self) -> None:
        self.received: list[tuple[Any, bytes]] = []
        self.answer: Answer = self.accept
        self.url = ""

    async def accept(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.received.append((request.headers.copy(), await request.read()))
        return await self.answer(request)


@asynccontextmanager
async def endpoint(port: int = 0) -> AsyncIterator[Endpoint]:
    made = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield made
    finally:
        await runner.cleanup()
