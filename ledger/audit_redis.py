"""Redis' side of the books: what is held and unposted is what holds and events say, and balances are Postgres'.

Each wallet is looked at in one script call, so what is moving is not torn. What Postgres and Redis say is read one
after the other, though, and a difference only counts if it is still the same a moment later.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from redis.asyncio import Redis

from ledger import redis_schema as schema
from ledger.audit import Violation
from ledger.entries import WalletState
from ledger.postgres import Store
from runtime.lua import load_script
from runtime.redis_cluster import primaries_of

HELD = "held_is_the_sum_of_holds"
UNPOSTED = "unposted_is_the_sum_of_charges_on_the_stream"
CACHED = "cached_balances_are_those_of_postgres"
RULE_NAMES = (HELD, UNPOSTED, CACHED)

# One call reads all holds and events of a shard, and nothing else is served meanwhile: 20,000 of each take about 40 ms.
MAX_HOLDS = 20_000
MAX_EVENTS = 20_000
# Wallets of one call.
PAGE = 1_000
# Of more wallets in one shard the rest is left out: a hundred calls are enough for a busy server.
MAX_WALLETS = 100_000
# What is on its way from Postgres to Redis arrives within this, and so do acknowledgements.
SECOND_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class CachedWallet:
    """What Redis has of a wallet; None where it has nothing. `holds` and `charges`: what the sums should be made of."""

    wallet_id: UUID
    balance: int | None = None
    overdraft: int | None = None
    version: int | None = None
    held: int | None = None
    unposted: int | None = None
    is_frozen: bool = False
    holds: tuple[int, ...] = ()
    charges: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RedisReport:
    """`left_out` says in words what was not looked at."""

    violations: tuple[Violation, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class _Look:
    found: set[Violation] = field(default_factory=set)
    left_out: list[str] = field(default_factory=list)


def differences(wallet: CachedWallet, without_wallet: int, state: WalletState | None) -> list[Violation]:
    """What is wrong with a wallet. `without_wallet` is what holds come to that do not say whose they are.

    `state` was read after the wallet: it is as new or newer. A wallet that Redis has an older version of is none of
    ours, the mirror brings it up to date.
    """
    found = []
    held, holds = wallet.held or 0, sum(wallet.holds)
    if not holds <= held <= holds + without_wallet:
        found.append(_violation(HELD, wallet, f"held {held}, its holds come to {holds}"))
    unposted, charges = wallet.unposted or 0, sum(wallet.charges)
    if unposted != charges:
        found.append(_violation(UNPOSTED, wallet, f"unposted {unposted}, its events charge {charges}"))
    if wallet.balance is not None and wallet.version is not None:
        found += _against(wallet, state)
    return found


def _against(wallet: CachedWallet, state: WalletState | None) -> list[Violation]:
    if state is None:
        return [_violation(CACHED, wallet, "there is no such wallet in Postgres")]
    if wallet.version == state.version:
        in_redis = (wallet.balance, wallet.overdraft, wallet.is_frozen)
        in_postgres = (state.balance_nanos, state.overdraft_nanos, state.is_frozen)
        if in_redis != in_postgres:
            said = "balance, overdraft and frozen of version"
            return [_violation(CACHED, wallet, f"{said} {state.version} are {in_redis}, in Postgres {in_postgres}")]
    elif wallet.version is not None and wallet.version > state.version:
        return [_violation(CACHED, wallet, f"version {wallet.version}, in Postgres {state.version}: it went back")]
    return []


def _violation(rule: str, wallet: CachedWallet, detail: str) -> Violation:
    return Violation(rule, wallet.wallet_id, None, detail)


class RedisAudit:
    """Needs a client that returns bytes, and one that waits longer than the script takes."""

    def __init__(
        self,
        redis: Redis,
        store: Store,
        shards: int = 1,
        *,
        second_look_s: float = SECOND_LOOK_S,
        max_holds: int = MAX_HOLDS,
        max_events: int = MAX_EVENTS,
        max_wallets: int = MAX_WALLETS,
    ) -> None:
        self._redis = redis
        self._store = store
        self._shards = shards
        self._second_look_s = second_look_s
        self._max_holds = max_holds
        self._max_events = max_events
        self._max_wallets = max_wallets
        self._script = load_script(redis, "ledger", "lua/audit.lua")

    async def run(self) -> RedisReport:
        """Looks at every wallet that Redis knows; raises redis.RedisError and runtime.postgres.UNAVAILABLE."""
        violations: list[Violation] = []
        left_out: list[str] = []
        for shard in range(self._shards):
            look = _Look()
            async for page in self._pages(shard, look):
                await self._look(shard, page, look)
            if look.found:
                violations += await self._still_there(shard, look)
            left_out += look.left_out
        return RedisReport(tuple(violations), tuple(left_out))

    async def _still_there(self, shard: int, first: _Look) -> list[Violation]:
        await asyncio.sleep(self._second_look_s)
        second = _Look()
        suspects = list({one.wallet_id for one in first.found if one.wallet_id is not None})
        for start in range(0, len(suspects), PAGE):
            await self._look(shard, suspects[start : start + PAGE], second)
        return sorted(first.found & second.found, key=lambda one: (one.rule, str(one.wallet_id)))

    async def _pages(self, shard: int, look: _Look) -> AsyncIterator[list[UUID]]:
        """The wallets of a shard, each once."""
        prefix = schema.wallet_prefix(shard)
        seen: set[UUID] = set()
        page: list[UUID] = []
        async for name in self._names(f"{prefix}*"):
            wallet_id = _uuid(name[len(prefix) :])
            if wallet_id is None or wallet_id in seen:
                continue
            if len(seen) >= self._max_wallets:
                look.left_out.append(f"shard {shard}: all but {self._max_wallets} wallets")
                break
            seen.add(wallet_id)
            page.append(wallet_id)
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    async def _names(self, pattern: str) -> AsyncIterator[bytes]:
        """On a cluster of every node: one may have what has moved there meanwhile."""
        for node in await primaries_of(self._redis):
            async for name in node.scan_iter(match=pattern, count=PAGE):
                yield name

    async def _look(self, shard: int, wallet_ids: Sequence[UUID], look: _Look) -> None:
        keys = [schema.holds_key(shard), schema.usage_stream(shard)]
        keys += [schema.wallet_key(shard, wallet_id) for wallet_id in wallet_ids]
        args: list[str | int] = [self._max_holds, self._max_events, *map(str, wallet_ids)]
        counts, *rest = await self._script(keys=keys, args=args)
        if not rest:
            said = f"shard {shard}: {counts[0]} holds and {counts[1]} events are too many to look through"
            if said not in look.left_out:
                look.left_out.append(said)
            return
        without_wallet = sum(map(int, rest[0]))
        states = {state.wallet_id: state for state in await self._store.wallet_states(wallet_ids)}
        for wallet_id, fields in zip(wallet_ids, rest[1:], strict=True):
            wallet = _cached(wallet_id, fields)
            look.found.update(differences(wallet, without_wallet, states.get(wallet_id)))


def _cached(wallet_id: UUID, fields: Sequence[bytes | list[bytes]]) -> CachedWallet:
    balance, overdraft, version, held, unposted, frozen, holds, charges = fields
    return CachedWallet(
        wallet_id,
        _integer(balance),
        _integer(overdraft),
        _integer(version),
        _integer(held),
        _integer(unposted),
        frozen == b"1",
        _integers(holds),
        _integers(charges),
    )


def _integer(written: bytes | list[bytes]) -> int | None:
    return int(written) if isinstance(written, bytes) and written else None


def _integers(written: Iterable[bytes | int]) -> tuple[int, ...]:
    """An event that cannot be read has no charge that anybody counts."""
    return tuple(int(one) for one in written if isinstance(one, bytes) and one.isdigit())


def _uuid(written: bytes) -> UUID | None:
    try:
        return UUID(written.decode())
    except ValueError:
        return None
