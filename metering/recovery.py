"""Settles what a proxy left behind: requests whose lease lapsed, at their last checkpoint.

Run by every ledger process, any number at once: what is settled is what was seen, or nothing. If the request's own
settlement comes after all, posting corrects the difference.
"""

from dataclasses import dataclass
from uuid import UUID

import structlog
from redis.asyncio import Redis

from ledger.entries import EntryError, UsageEntry
from ledger.redis_schema import holds_key, looks_key
from metering.leases import LEASE_MS
from metering.scripts import script
from metering.settlements import Settlement, settle_arguments

log = structlog.get_logger("farebox.recovery")

INTERVAL_S = 1.0
# Three looks in a row may fail before those who renew get the time of a lease to catch up.
_PAUSE_MS = 3_500
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A hold whose lease lapsed; `entry` is its checkpoint, or None if nothing was noted: it is only let go."""

    request_id: UUID
    wallet_id: UUID
    key_id: UUID
    expiry_ms: int
    entry: UsageEntry | None

    @property
    def settlement(self) -> Settlement:
        ids, entry = (self.request_id, self.key_id, self.wallet_id), self.entry
        if entry is None:
            return Settlement(*ids, 0, b"")
        return Settlement(*ids, entry.cost_nanos, entry.to_json(), entry.all_tokens)


def read_lapsed(request_id: bytes, hold: bytes) -> Lapsed:
    """What `lua/shared.lua` wrote. A checkpoint that cannot be read is none: the hold goes, and somebody is told."""
    _, expiry_ms, wallet_id, key_id, checkpoint = hold.split(b" ", 4)
    entry = None
    if checkpoint:
        try:
            entry = UsageEntry.from_json(checkpoint)
        except EntryError as error:
            log.error("checkpoint_unreadable", request_id=str(UUID(bytes=request_id)), error=type(error).__name__)
    ids = UUID(bytes=request_id), UUID(wallet_id.decode()), UUID(key_id.decode())
    return Lapsed(*ids, int(expiry_ms), entry)


class Recovery:
    """Needs a client that returns bytes. Raises redis.RedisError."""

    def __init__(self, redis: Redis, shards: int = 1, *, lease_ms: int = LEASE_MS, pause_ms: int = _PAUSE_MS) -> None:
        self._lapsed = script(redis, "lapsed")
        self._settle = script(redis, "settle")
        self._shards = shards
        self._lease_ms = lease_ms
        self._pause_ms = pause_ms

    async def look(self) -> int:
        """One look at all holds; how many requests were settled."""
        return sum([await self._look_at(shard) for shard in range(self._shards)])

    async def _look_at(self, shard: int) -> int:
        cursor, settled = b"0", 0
        while True:
            names = [holds_key(shard), looks_key(shard)]
            cursor, found = await self._lapsed(names, [cursor, _PAGE, self._lease_ms, self._pause_ms])
            pairs = zip(found[::2], found[1::2], strict=True)
            settled += await self._settle_all(shard, [read_lapsed(*pair) for pair in pairs])
            if cursor == b"0":
                return settled

    async def _settle_all(self, shard: int, found: list[Lapsed]) -> int:
        if not found:
            return 0
        batch, lapsed_ms = [each.settlement for each in found], [each.expiry_ms for each in found]
        names, args = settle_arguments(shard, batch, lapsed_ms)
        charges: list[int] = await self._settle(names, args)
        for each, charge in zip(found, charges, strict=True):
            if charge >= 0:
                log.warning("request_recovered", request_id=str(each.request_id), cost_nanos=charge)
        return sum(charge >= 0 for charge in charges)
