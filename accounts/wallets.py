"""Credits by an operator: committed in Postgres, then felt by every proxy, then reported."""

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from ledger.entries import WalletState
from ledger.postgres import Store


class Mirror(Protocol):
    """Brings a committed change to every proxy before anybody is told that it is done."""

    async def push_wallets(self, wallet_ids: Iterable[UUID]) -> None: ...


class Wallets:
    """Raises ledger.errors.LedgerError for what cannot be, runtime.postgres.UNAVAILABLE while Postgres is away."""

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self._store = store
        self._mirror = mirror

    async def give_bonus(self, user_id: UUID, amount_nanos: int, description: str, by: str) -> WalletState:
        """Add to a user's wallet, made if there is none; `by` says who did it. Returns the wallet as it is then."""
        wallet = await self._store.ensure_wallet(user_id)
        await self._store.record(wallet.wallet_id, "bonus", amount_nanos, description, {"by": by})
        return await self._changed(wallet.wallet_id)

    async def set_balance(self, user_id: UUID, balance_nanos: int, description: str, by: str) -> WalletState:
        """Set a wallet's balance, written as an adjustment of the difference."""
        wallet = await self._store.ensure_wallet(user_id)
        await self._store.set_balance(wallet.wallet_id, balance_nanos, description, {"by": by})
        return await self._changed(wallet.wallet_id)

    async def _changed(self, wallet_id: UUID) -> WalletState:
        await self._mirror.push_wallets([wallet_id])
        (wallet,) = await self._store.wallet_states([wallet_id])
        return wallet
