"""The policies that this process knows, and how it learns of another.

A key without a policy costs nothing here: it is the one that is taken for granted. What is known may be out of date;
admission tells, because Redis compares the id of the policy that a request was judged by with the key's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from cachetools import LRUCache
from redis.asyncio import Redis

from ledger.redis_schema import key_state_key, shard_of
from metering.policy import ANYTHING, Policy, parse_or_nothing
from runtime.coalesce import Coalescer

# Of policies as text; parsed, they take about five times as much. The longest has 60 KB, most have a hundred bytes.
_KNOWN_BYTES = 8 << 20
_MAX_BATCH = 128
_MAX_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class KnownPolicy:
    policy_id: str
    policy: Policy
    size_bytes: int


_UNRESTRICTED = KnownPolicy("", ANYTHING, 0)


class KnownPolicies:
    def __init__(self, redis: Redis, shards: int = 1) -> None:
        self._redis = redis
        self._shards = shards
        # by the numbers of the ids: a UUID is hashed in Python
        self._known: LRUCache[int, KnownPolicy] = LRUCache(_KNOWN_BYTES, getsizeof=lambda known: known.size_bytes)
        # One for each shard: what waits for a node that is away does not keep the others waiting.
        self._reads: list[Coalescer[tuple[UUID, UUID], KnownPolicy]] = [
            Coalescer(self._read, name="policies", max_batch=_MAX_BATCH, max_in_flight=1, max_waiting=_MAX_WAITING)
            for _ in range(shards)
        ]

    def of(self, key_id: UUID) -> KnownPolicy:
        return self._known.get(key_id.int, _UNRESTRICTED)

    async def learn(self, key_id: UUID, wallet_id: UUID) -> None:
        """Reads the policy that is in Redis now. Raises RedisError and Overloaded."""
        known = await self._reads[shard_of(wallet_id, self._shards)].submit((key_id, wallet_id))
        if known.policy_id:
            self._known[key_id.int] = known
        else:
            self._known.pop(key_id.int, None)

    async def _read(self, keys: list[tuple[UUID, UUID]]) -> Sequence[KnownPolicy]:
        pipeline = self._redis.pipeline(transaction=False)
        for key_id, wallet_id in keys:
            name = key_state_key(shard_of(wallet_id, self._shards), key_id)
            pipeline.hmget(name, ["policy_id", "policy"])
        return [_known(policy_id, policy) for policy_id, policy in await pipeline.execute()]


def _known(policy_id: bytes | None, text: bytes | None) -> KnownPolicy:
    if not policy_id:
        return _UNRESTRICTED
    return KnownPolicy(policy_id.decode(), parse_or_nothing(text or b"{"), len(text or b""))
