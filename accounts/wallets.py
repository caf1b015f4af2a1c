"""What an administrator does to a wallet: committed in Postgres together with its line in the log, then felt by every
proxy, then reported."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from accounts.admin_log import Act, record_act
from accounts.errors import OverdraftInUse
from accounts.refunds import keep_refund, must_be_refundable
from ledger import credits
from ledger.entries import Transaction, WalletState
from ledger.errors import InvalidAmount, WalletNotFound
from ledger.money import MAX_NANOS, format_dollars, from_decimal, to_decimal
from ledger.postgres import Store
from runtime.postgres import Connection
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/admin_acts.sql")


class Mirror(Protocol):
    """Brings a committed change to every proxy before anybody is told that it is done."""

    async def push_wallets(self, wallet_ids: Iterable[UUID]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Locked:
    wallet_id: UUID
    balance_nanos: int
    overdraft_nanos: int
    is_frozen: bool


class Wallets:
    """`by` says who did it: an administrator's user id, or `cli:` and a name. What changes nothing leaves no line.

    Raises ledger.errors.LedgerError and accounts.errors.AccountsError for what cannot be, with nothing changed;
    runtime.postgres.UNAVAILABLE while Postgres is away. After redis.RedisError it is done, and Redis hears of it later.
    """

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self._store = store
        self._mirror = mirror

    async def give_bonus(self, user_id: UUID, amount_nanos: int, description: str, by: str) -> WalletState:
        """Add to a user's wallet, made if there is none. Returns the wallet as it is then."""
        wallet_id = (await self._store.ensure_wallet(user_id)).wallet_id
        async with self._store.pool.acquire() as connection, connection.transaction():
            line = await credits.record(connection, wallet_id, "bonus", amount_nanos, description, {"by": by})
            await record_act(connection, _credit("credits.bonus", user_id, line, description, by))
        return await self._changed(wallet_id)

    async def set_balance(self, user_id: UUID, balance_nanos: int, description: str, by: str) -> WalletState:
        """Set the balance of a user's wallet, made if there is none; written as an adjustment of the difference."""
        wallet_id = (await self._store.ensure_wallet(user_id)).wallet_id
        async with self._store.pool.acquire() as connection, connection.transaction():
            line = await credits.set_balance(connection, wallet_id, balance_nanos, description, {"by": by})
            if line is not None:
                await record_act(connection, _credit("credits.set", user_id, line, description, by))
        return await self._changed(wallet_id)

    async def refund(
        self, user_id: UUID, amount_nanos: int, description: str, by: str, request_id: UUID | None = None
    ) -> WalletState:
        """Give back; for a request at most what was debited for it and not given back yet.

        Raises WalletNotFound, RequestNotFound, RefundTooLarge, or InvalidAmount, also for what is not more than 0.
        """
        if amount_nanos <= 0:
            raise InvalidAmount(f"refund of {amount_nanos} nano-dollars")
        async with self._store.pool.acquire() as connection, connection.transaction():
            wallet = await _lock(connection, user_id)
            metadata = {"by": by}
            if request_id is not None:
                await must_be_refundable(connection, user_id, request_id, amount_nanos)
                metadata["refunded_request_id"] = str(request_id)
            line = await credits.record(connection, wallet.wallet_id, "refund", amount_nanos, description, metadata)
            if request_id is not None:
                await keep_refund(connection, line.id, request_id)
            await record_act(connection, _credit("credits.refund", user_id, line, description, by, request_id))
        return await self._changed(wallet.wallet_id)

    async def freeze(self, user_id: UUID, frozen: bool, reason: str, by: str) -> bool:
        """From its next request on nothing is spent from a frozen wallet. False: it was so already."""
        async with self._store.pool.acquire() as connection, connection.transaction():
            wallet = await _lock(connection, user_id)
            if is_new := wallet.is_frozen != frozen:
                await connection.execute(_QUERIES["freeze_wallet"], wallet.wallet_id, frozen)
                action = "wallet.freeze" if frozen else "wallet.unfreeze"
                before, after = {"frozen": wallet.is_frozen}, {"frozen": frozen}
                await record_act(connection, _on_wallet(action, user_id, wallet.wallet_id, before, after, reason, by))
        await self._mirror.push_wallets([wallet.wallet_id])
        return is_new

    async def set_overdraft(self, user_id: UUID, overdraft_nanos: int, reason: str, by: str) -> WalletState:
        """How far below nothing the balance may go. Raises OverdraftInUse if it is further below already."""
        if not 0 <= overdraft_nanos <= MAX_NANOS:
            raise InvalidAmount(f"an overdraft of {overdraft_nanos} nano-dollars")
        async with self._store.pool.acquire() as connection, connection.transaction():
            wallet = await _lock(connection, user_id)
            if -wallet.balance_nanos > overdraft_nanos:
                raise OverdraftInUse(f"the balance is {format_dollars(wallet.balance_nanos)} dollars")
            if wallet.overdraft_nanos != overdraft_nanos:
                await connection.execute(_QUERIES["set_overdraft"], wallet.wallet_id, to_decimal(overdraft_nanos))
                before, after = ({"overdraft": format_dollars(n)} for n in (wallet.overdraft_nanos, overdraft_nanos))
                act = _on_wallet("wallet.overdraft", user_id, wallet.wallet_id, before, after, reason, by)
                await record_act(connection, act)
        return await self._changed(wallet.wallet_id)

    async def _changed(self, wallet_id: UUID) -> WalletState:
        await self._mirror.push_wallets([wallet_id])
        (wallet,) = await self._store.wallet_states([wallet_id])
        return wallet


async def _lock(connection: Connection, user_id: UUID) -> _Locked:
    row = await connection.fetchrow(_QUERIES["lock_wallet"], user_id)
    if row is None:
        raise WalletNotFound(str(user_id))
    return _Locked(row["id"], from_decimal(row["balance"]), from_decimal(row["overdraft"]), row["is_frozen"])


def _credit(
    action: str, user_id: UUID, line: Transaction, description: str, by: str, request_id: UUID | None = None
) -> Act:
    before = {"balance": format_dollars(line.balance_before_nanos)}
    after = {"balance": format_dollars(line.balance_after_nanos), "transaction_id": str(line.id)}
    if request_id is not None:
        after["request_id"] = str(request_id)
    return _on_wallet(action, user_id, line.wallet_id, before, after, description, by)


def _on_wallet(
    action: str,
    user_id: UUID,
    wallet_id: UUID,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    reason: str,
    by: str,
) -> Act:
    return Act(by, action, "wallet", str(wallet_id), user_id, before, after, reason)
