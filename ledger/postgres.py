"""The store: what the ledger reads from and writes to Postgres, over a pool."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger import credits, lives, posting, rows
from ledger.credits import CreditType
from ledger.entries import KeyState, SettledEntry, Transaction, WalletState
from ledger.posting import OnStep, PostOutcome, no_step
from runtime.postgres import Pool
from runtime.sql import load_queries

_QUERIES = load_queries("ledger", "sql/wallets.sql")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What is needed to tell whose a presented key is. Never logged, never sent to anyone."""

    key_id: UUID
    user_id: UUID
    wallet_id: UUID
    key_prefix: str
    key_hash: str


class Store:
    """All methods raise runtime.postgres.UNAVAILABLE while Postgres cannot be reached."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def post(self, entries: Sequence[SettledEntry], on_step: OnStep = no_step) -> PostOutcome:
        """Posts each entry once; see ledger.posting."""
        return await posting.post(self.pool, entries, on_step)

    async def note_life(self, shard: int, life: UUID) -> bool:
        """True: the shard of Redis was emptied; see ledger.lives."""
        return await lives.note_life(self.pool, shard, life)

    async def bury(self, event_id: str, payload: str, reason: str) -> None:
        await posting.bury(self.pool, event_id, payload, reason)

    async def touch_keys(self, entries: Iterable[SettledEntry]) -> None:
        await posting.touch_keys(self.pool, entries)

    async def record(
        self,
        wallet_id: UUID,
        type: CreditType,
        amount_nanos: int,
        description: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> Transaction:
        """One credit in a transaction of its own. Raises InvalidAmount, InsufficientFunds, WalletNotFound."""
        async with self.pool.acquire() as connection, connection.transaction():
            return await credits.record(connection, wallet_id, type, amount_nanos, description, metadata)

    async def set_balance(
        self, wallet_id: UUID, balance_nanos: int, description: str, metadata: Mapping[str, Any] | None = None
    ) -> Transaction | None:
        """An adjustment of the difference in a transaction of its own; None if there is none. Raises as `record`."""
        async with self.pool.acquire() as connection, connection.transaction():
            return await credits.set_balance(connection, wallet_id, balance_nanos, description, metadata)

    async def ensure_wallet(self, user_id: UUID) -> WalletState:
        """The user's wallet, made if there is none; any number of callers at once get the same one."""
        row = await self.pool.fetchrow(_QUERIES["wallet_of_user"], user_id)
        if row is None:
            await self.pool.execute(_QUERIES["insert_wallet"], user_id)
            row = await self.pool.fetchrow(_QUERIES["wallet_of_user"], user_id)
        assert row is not None, "wallets are not deleted"
        return rows.wallet_state(row)

    async def wallet_states(self, wallet_ids: Iterable[UUID]) -> list[WalletState]:
        """Those of the wallets that exist, in no order."""
        return [rows.wallet_state(row) for row in await self.pool.fetch(_QUERIES["wallet_states"], list(wallet_ids))]

    async def key_states(self, key_ids: Iterable[UUID]) -> list[KeyState]:
        """Those of the keys that exist, in no order."""
        return [rows.key_state(row) for row in await self.pool.fetch(_QUERIES["key_states"], list(key_ids))]

    async def wallets_changed(self, since: datetime, after: UUID, limit: int) -> list[WalletState]:
        """A page, by id, of the wallets changed since then."""
        found = await self.pool.fetch(_QUERIES["wallets_changed"], since, after, limit)
        return [rows.wallet_state(row) for row in found]

    async def keys_changed(self, since: datetime, after: UUID, limit: int) -> list[KeyState]:
        """A page, by id, of the keys changed since then."""
        return [rows.key_state(row) for row in await self.pool.fetch(_QUERIES["keys_changed"], since, after, limit)]

    async def keys_by_prefix(self, prefixes: Sequence[str]) -> list[KeyRow]:
        """The keys with one of these prefixes, active or not, for a verifier to compare hashes with."""
        found = await self.pool.fetch(_QUERIES["keys_by_prefix"], list(prefixes))
        return [
            KeyRow(row["id"], row["user_id"], row["wallet_id"], row["key_prefix"], row["key_hash"]) for row in found
        ]

    async def ensure_partitions(self, months_ahead: int) -> int:
        """Makes this month's partition of the usage log and some more; how many were missing."""
        made: int = await self.pool.fetchval(_QUERIES["ensure_partitions"], months_ahead)
        return made
