"""How an admitted request ended, as Redis and the spool are told it; and what was settled in the last seconds."""

import struct
from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Self
from uuid import UUID

from msgspec import Struct

from ledger.redis_schema import holds_key, key_state_key, usage_stream, wallet_key

# The version first: a process that finds what a newer one left must not read it wrongly.
_VERSION = 1
_HEAD = struct.Struct(">B16s16s16sQQ")


class UnknownRecord(ValueError):
    """Not a settlement, or one of a version that this program does not know."""


class Settlement(Struct, frozen=True):
    """An admitted request that ended. `entry`: the usage entry as JSON, or empty to let the hold go and no more."""

    request_id: UUID
    key_id: UUID
    wallet_id: UUID
    cost_nanos: int
    entry: bytes
    tokens: int = 0

    def to_record(self) -> bytes:
        ids = self.request_id.bytes, self.key_id.bytes, self.wallet_id.bytes
        return _HEAD.pack(_VERSION, *ids, self.cost_nanos, self.tokens) + self.entry

    @classmethod
    def from_record(cls, record: bytes) -> Self:
        """Raises UnknownRecord."""
        if len(record) < _HEAD.size or record[0] != _VERSION:
            raise UnknownRecord(f"version {record[0] if record else None}")
        _, request_id, key_id, wallet_id, cost_nanos, tokens = _HEAD.unpack_from(record)
        ids = UUID(bytes=request_id), UUID(bytes=key_id), UUID(bytes=wallet_id)
        return cls(*ids, cost_nanos, record[_HEAD.size :], tokens)


def settle_arguments(
    shard: int, batch: Sequence[Settlement], lapsed_ms: Sequence[int] | None = None
) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of settle.lua. `lapsed_ms`: of each, the time with which its lease was seen to have lapsed; it is
    settled only if that is still so. None: settled whatever became of its lease.
    """
    keys = [holds_key(shard), usage_stream(shard)]
    args: list[Any] = []
    seen: Sequence[int] | repeat[str] = repeat("", len(batch)) if lapsed_ms is None else lapsed_ms
    for settlement, seen_ms in zip(batch, seen, strict=True):
        keys.append(wallet_key(shard, settlement.wallet_id))
        keys.append(key_state_key(shard, settlement.key_id))
        args.extend((settlement.request_id.bytes, settlement.cost_nanos, settlement.entry, settlement.tokens, seen_ms))
    return keys, args


class Remembered:
    """What a server acknowledged lately, oldest first; of more than `most`, the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._settled: deque[tuple[int, Settlement]] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._settled)

    def add(self, settlements: Sequence[Settlement], now_ms: int) -> None:
        self._settled.extend((now_ms, settlement) for settlement in settlements)

    def forget_before(self, at_ms: int) -> None:
        while self._settled and self._settled[0][0] < at_ms:
            self._settled.popleft()

    def take(self) -> list[Settlement]:
        """All of it, which is then forgotten."""
        taken = [settlement for _, settlement in self._settled]
        self._settled.clear()
        return taken
