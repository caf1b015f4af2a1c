"""For tests of admission and settlement: a wallet, a key, a loader that counts, and what Redis keeps."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis

from ledger.entries import KeyState, WalletState
from ledger.redis_schema import holds_key, usage_stream
from ledger.redis_store import RedisStore
from metering.admission import Admission
from metering.settlements import Settlement
from tests.support.ledger import cached_wallet

WALLET = WalletState(UUID(int=1), UUID(int=2), 1_000, 0, 1)
KEY = KeyState(UUID(int=3), WALLET.wallet_id, WALLET.user_id, True, 0, 100_000, 100_000, 1)
# Of the client, for one answer; and of a test, for something to happen.
TIMEOUT_S = 1.0
BOUND_S = 30.0


class Postgres:
    """What the loader would find there; counts what it is asked for."""

    def __init__(self, redis: Redis, wallets: Sequence[WalletState] = (), keys: Sequence[KeyState] = ()) -> None:
        self._store = RedisStore(redis)
        self._wallets = wallets
        self._keys = keys
        self.asked: list[UUID] = []
        self.error: Exception | None = None

    async def push_wallets(self, ids: Sequence[UUID]) -> None:
        self._note(ids)
        await self._store.put_wallets([w for w in self._wallets if w.wallet_id in ids])

    async def push_keys(self, ids: Sequence[UUID]) -> None:
        self._note(ids)
        await self._store.put_keys([k for k in self._keys if k.key_id in ids])

    def _note(self, ids: Sequence[UUID]) -> None:
        if self.error is not None:
            raise self.error
        self.asked += ids


def asking(hold_nanos: int, request_id: UUID | None = None) -> Admission:
    return Admission(request_id or uuid4(), KEY.key_id, WALLET.wallet_id, hold_nanos)


def ended(request: Admission, cost_nanos: int, entry: bytes = b"{}") -> Settlement:
    return Settlement(request.request_id, request.key_id, request.wallet_id, cost_nanos, entry)


async def held(redis: Redis) -> tuple[int, int]:
    """Nano-dollars held on the wallet, and the number of holds."""
    return (await cached_wallet(redis, WALLET)).get("held", 0), await redis.hlen(holds_key(0))


async def events(redis: Redis) -> list[dict[bytes, bytes]]:
    found: Any = await redis.xrange(usage_stream(0))
    return [fields for _, fields in found]
