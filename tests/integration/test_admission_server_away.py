"""Limits over a Valkey that is killed and comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from metering.admission import Limits, LimitsUnavailable
from metering.verdict import Outcome
from runtime.clock import monotonic_ms
from runtime.coalesce import Overloaded
from tests.support.ledger import cached_wallet
from tests.support.limits import BOUND_S, KEY, WALLET, Postgres, asking, ended, events, held
from tests.support.mortal_valkey import MortalValkey
from tests.support.waiting import until


class Server(MortalValkey):
    async def limits(self, clock_ms: Callable[[], int] = monotonic_ms) -> tuple[Limits, Redis]:
        client = self.connect()
        postgres = Postgres(client, [WALLET], [KEY])
        await postgres.push_wallets([WALLET.wallet_id])
        await postgres.push_keys([KEY.key_id])
        return Limits(client, postgres, clock_ms=clock_ms), client


@pytest.fixture
async def server(reachable_dir: Path) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        made = Server(reachable_dir, stack)
        await made.start()
        stack.push_async_callback(made.stop)
        yield made


async def refused(limits: Limits) -> LimitsUnavailable:
    with pytest.raises(LimitsUnavailable) as caught:
        await limits.admit(asking(10))
    return caught.value


async def test_away_is_told_at_once_and_back_is_noticed(server: Server) -> None:
    now_ms = [0]
    limits, redis = await server.limits(lambda: now_ms[0])
    await server.kill()
    # a hold that may have been placed is let go: those calls fail, and are counted, too
    while limits.is_available:
        assert str(await refused(limits)) == "ConnectionError"
    told = await refused(limits)
    assert (str(told), told.retry_after_ms) == ("breaker open", 1_000)
    now_ms[0] = 1_000
    assert [str(await refused(limits)) for _ in range(3)] == ["ConnectionError", "breaker open", "breaker open"]
    await server.come_back()
    await until(lambda: limits.is_available)
    assert (await limits.admit(asking(10))).outcome is Outcome.ADMITTED
    assert await limits.drain(BOUND_S) == 0
    assert await held(redis) == (10, 1)


async def test_what_was_settled_while_the_server_was_away_arrives_once(server: Server) -> None:
    limits, redis = await server.limits()
    requests = [asking(1) for _ in range(300)]
    await asyncio.gather(*map(limits.admit, requests))
    await server.kill()
    entries = [f"{{{n}}}".encode() for n in range(300)]
    charges = [limits.settle(ended(r, 1, entry)) for r, entry in zip(requests, entries, strict=True)]
    await until(lambda: not limits.is_available)
    await server.come_back()
    async with asyncio.timeout(BOUND_S):
        assert await asyncio.gather(*charges) == [1] * 300
    assert limits.is_available
    assert sorted(event[b"entry"] for event in await events(redis)) == sorted(entries)
    cached = await cached_wallet(redis, WALLET)
    assert (cached["held"], cached["unposted"]) == (0, 300)


async def test_draining_counts_what_could_not_be_brought_and_ends_it(server: Server) -> None:
    limits, _ = await server.limits()
    requests = [asking(1) for _ in range(300)]
    await asyncio.gather(*map(limits.admit, requests))
    await server.kill()
    charges = [limits.settle(ended(request, 1)) for request in requests]
    assert await limits.drain(0.05) == 300
    assert all(charge.cancelled() for charge in charges)
    with pytest.raises(Overloaded):
        limits.settle(ended(requests[0], 1))
    await server.come_back()
