"""Keeps alive in Redis what this process holds, with how far each request is; holds more for those that need it.

A lease that nobody renews lapses, and its request is settled at its last checkpoint by a ledger process
(`metering/recovery.py`). So a killed proxy leaks no hold, and what it had delivered is billed but for the last second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import structlog
from msgspec import Struct
from redis.asyncio import Redis

from ledger.redis_schema import holds_key, key_state_key, shard_of, wallet_key
from metering.scripts import AWAY, script
from runtime.backoff import pause
from runtime.clock import ClockMs, monotonic_ms
from runtime.coalesce import Coalescer
from runtime.postgres import UNAVAILABLE

log = structlog.get_logger("farebox.leases")

# By Redis's clock. Five renewals may be lost before a lease lapses; so long a killed proxy's holds stay.
LEASE_MS = 5_000
RENEW_MS = 750
# An answer that has begun is noted within this time: what a prompt costs is not lost with the first second. With the
# interval above it makes a second, which is what a killed proxy's streams lose at most.
TICK_S = 0.25
# One script call, so that nobody waits long for Redis or for this process: a checkpoint takes 50 to 100 us, and no
# chunk passes while those of a batch are made.
_MAX_BATCH = 16
_MAX_WAITING = 10_000
_UNKNOWN_WALLET = -1


class Lease(Struct, eq=False):
    """One admitted request. `checkpoint` gives its usage entry so far (JSON), or nothing: no more than before."""

    request_id: UUID
    key_id: UUID
    wallet_id: UUID
    held_nanos: int
    checkpoint: Callable[[], bytes]
    is_due: bool = False
    renewed_ms: int = 0
    renewal: "asyncio.Future[Any] | None" = None


@dataclass(frozen=True, slots=True)
class _Renewal:
    lease: Lease
    more_nanos: int = 0


class WalletLoader(Protocol):
    async def push_wallets(self, ids: Sequence[UUID]) -> None: ...


@dataclass
class Leases:
    """The open requests of one proxy process. `on_answer` hears of each call to a shard if it was answered."""

    redis: Redis
    loader: WalletLoader
    shards: int = 1
    clock_ms: ClockMs = monotonic_ms
    on_answer: Callable[[int, bool], None] = lambda *_: None
    _open: dict[int, Lease] = field(default_factory=dict)  # a UUID is hashed in Python

    def __post_init__(self) -> None:
        self._script = script(self.redis, "renew")
        self._extensions = [self._coalescer(shard) for shard in range(self.shards)]

    def _coalescer(self, shard: int) -> Coalescer[_Renewal, int]:
        async def call(batch: list[_Renewal]) -> list[int]:
            return await self._call(shard, batch)

        return Coalescer(call, name=f"extend-{shard}", max_batch=_MAX_BATCH, max_in_flight=1, max_waiting=_MAX_WAITING)

    def __len__(self) -> int:
        return len(self._open)

    def open_ones(self) -> list[Lease]:
        return list(self._open.values())

    def waiting(self) -> int:
        """How many wait for more to be held."""
        return sum(map(len, self._extensions))

    def open(self, lease: Lease) -> None:
        lease.renewed_ms = self.clock_ms()
        self._open[lease.request_id.int] = lease

    def close(self, request_id: UUID) -> "asyncio.Future[Any] | None":
        """It is renewed no more. What is under way must be over before it is settled, or it would hold again."""
        lease = self._open.pop(request_id.int, None)
        if lease is not None:
            lease.checkpoint = _nothing  # it knows the lease: each request would be garbage to be searched for
        if lease is None or lease.renewal is None or lease.renewal.done():
            return None
        return lease.renewal

    async def extend(self, lease: Lease, more_nanos: int) -> int | None:
        """Hold up to so much more; what is held then. None: nobody knows, for Redis was emptied.

        Raises RedisError, OSError, TimeoutError and Overloaded.
        """
        while lease.renewal is not None and not lease.renewal.done():
            await asyncio.wait([lease.renewal])
        if lease.request_id.int not in self._open:
            return lease.held_nanos
        shard = shard_of(lease.wallet_id, self.shards)
        lease.renewal = answered = self._extensions[shard].submit(_Renewal(lease, more_nanos))
        held_nanos = await asyncio.shield(answered)
        return None if held_nanos == _UNKNOWN_WALLET else held_nanos

    async def run(self, stop: asyncio.Event) -> None:
        """Renews until told to stop."""
        while not stop.is_set():
            await self.renew_due()
            await pause(stop, TICK_S)

    async def renew_due(self) -> None:
        """Those not renewed for a while, and those that have something new to tell."""
        now_ms = self.clock_ms()
        due: list[list[Lease]] = [[] for _ in range(self.shards)]
        for lease in self._open.values():
            if lease.is_due or now_ms - lease.renewed_ms >= RENEW_MS:
                due[shard_of(lease.wallet_id, self.shards)].append(lease)
        for shard, leases in enumerate(due):
            for batch in _batches(leases):
                await self._renew(shard, batch)

    async def _renew(self, shard: int, batch: Iterable[Lease]) -> None:
        """Other requests end meanwhile: only what is open still, and not on its way already, is renewed."""
        renewals = [
            _Renewal(lease)
            for lease in batch
            if lease.request_id.int in self._open and (lease.renewal is None or lease.renewal.done())
        ]
        if not renewals:
            return
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for renewal in renewals:
            renewal.lease.renewal = answered
        try:
            await self._call(shard, renewals)
        except AWAY as error:
            log.warning("leases_not_renewed", count=len(renewals), error=type(error).__name__)
        finally:
            answered.set_result(None)

    async def _call(self, shard: int, renewals: Sequence[_Renewal]) -> list[int]:
        names = [holds_key(shard)]
        args: list[Any] = [LEASE_MS]
        now_ms = self.clock_ms()
        for renewal in renewals:
            lease = renewal.lease
            names += (key_state_key(shard, lease.key_id), wallet_key(shard, lease.wallet_id))
            # from here on, before the answer: what is new meanwhile is not in this checkpoint
            lease.is_due = False
            args += (lease.request_id.bytes, lease.held_nanos, renewal.more_nanos, _checkpoint_of(lease))
        try:
            answers: list[int] = await self._script(names, args)
        except AWAY:
            self.on_answer(shard, False)
            for renewal in renewals:
                renewal.lease.is_due = True
            raise
        self.on_answer(shard, True)
        for renewal, held_nanos in zip(renewals, answers, strict=True):
            lease = renewal.lease
            if held_nanos == _UNKNOWN_WALLET:
                lease.is_due = True
            else:
                lease.held_nanos, lease.renewed_ms = held_nanos, now_ms
        await self._load([r.lease.wallet_id for r, held in zip(renewals, answers, strict=True) if held < 0])
        return answers

    async def _load(self, wallet_ids: list[UUID]) -> None:
        """Redis was emptied: its wallets come from Postgres, and the holds with the next renewal."""
        if wallet_ids:
            try:
                await self.loader.push_wallets(list(dict.fromkeys(wallet_ids)))
            except (*AWAY, *UNAVAILABLE) as error:
                log.warning("wallets_not_loaded", count=len(wallet_ids), error=type(error).__name__)

    async def drain(self, timeout_s: float) -> None:
        """Let go of what waits to be extended."""
        work: list[Awaitable[int]] = [each.drain(timeout_s) for each in self._extensions]
        await asyncio.gather(*work)


def _nothing() -> bytes:
    return b""


def _checkpoint_of(lease: Lease) -> bytes:
    """One request whose checkpoint cannot be made must not keep the others' leases from being renewed."""
    try:
        return lease.checkpoint()
    except Exception as error:
        log.error("checkpoint_failed", request_id=str(lease.request_id), exc_info=error)
        return b""


def _batches(leases: Sequence[Lease]) -> Iterator[Sequence[Lease]]:
    for start in range(0, len(leases), _MAX_BATCH):
        yield leases[start : start + _MAX_BATCH]
