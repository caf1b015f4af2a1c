"""Asks Redis: is there room for this request. Many requests travel in one script call.

What Redis does not know (a key, a wallet) is loaded once from
where the truth is, by the `StateLoader` handed in, and asked again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace
from redis.asyncio import Redis

from ledger.redis_schema import holds_key, key_state_key, shard_of, usage_stream, wallet_key
from metering.bucket import DAY_MS, MINUTE_MS, Bucket
from metering.leases import LEASE_MS, Leases
from metering.policies import KnownPolicies
from metering.policy import UNKNOWN_USE, Policy, Refused, Use, parse_or_nothing
from metering.scripts import AWAY, script
from metering.settlements import Settlement
from metering.settling import Settler
from metering.verdict import OUTCOMES, REFUSED_MARK, Outcome
from runtime.breaker import Breaker
from runtime.clock import ClockMs, monotonic_ms
from runtime.coalesce import Coalescer, Overloaded
from runtime.postgres import UNAVAILABLE
from runtime.settings import Holds
from runtime.spool import Spool
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.admission")

# A script over 128 requests runs for about a millisecond; Redis serves nobody else meanwhile.
_MAX_BATCH = 128
# So many calls under way: with two, a request waited longer for its turn than for Redis at half load (1.1 of 1.7 ms),
# and the processor's work is the same. When Redis or we are busy, batches grow all the same.
_MAX_IN_FLIGHT = 8
_MAX_WAITING_ADMISSIONS = 10_000
_REDIS_OR_POSTGRES_AWAY: tuple[type[BaseException], ...] = (*AWAY, *UNAVAILABLE)
_NO_POLICY: tuple[type[BaseException], ...] = (*_REDIS_OR_POSTGRES_AWAY, Overloaded)
_DEFAULTS = Holds()
_BREAKER_FAILURES = 5
_BREAKER_OPEN_MS = 1_000
# Once not known, once changed by its owner at that moment, once more: whoever changes it all the time may wait.
_POLICY_TRIES = 4
_UNKNOWN = frozenset((Outcome.UNKNOWN_KEY, Outcome.UNKNOWN_WALLET))


class LimitsUnavailable(Exception):
    """Redis is away or too slow; nothing is known to have been taken."""

    def __init__(self, reason: str, retry_after_ms: int) -> None:
        super().__init__(reason)
        self.retry_after_ms = retry_after_ms


class Admission(Struct, frozen=True):
    """A request that asks to be let in; `tokens` is the most that it may use.

    The hold, in nano-dollars, may be lowered to what wallet and budgets have, down to `least_nanos` (None: not at all).
    """

    request_id: UUID
    key_id: UUID
    wallet_id: UUID
    hold_nanos: int
    tokens: int = 0
    use: Use = UNKNOWN_USE
    least_nanos: int | None = None


class Decision(Struct, frozen=True):
    """What admission found; buckets as they stand after it, `available_nanos` after the hold of `held_nanos`, if any.

    Where a budget refused, `available_nanos` is what it has left. `tokens` and `max_concurrent_requests` are there if
    the key has such a limit, `refused` if the key's policy does not allow the request.
    """

    outcome: Outcome
    minute: Bucket
    day: Bucket
    available_nanos: int
    tokens: Bucket | None = None
    max_concurrent_requests: int | None = None
    refused: Refused | None = None
    held_nanos: int = 0


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """What a key may do, for what takes nothing. `is_good`: active and not expired."""

    is_good: bool
    is_frozen: bool
    policy: Policy


class StateLoader(Protocol):
    """Brings what Redis does not know from Postgres to Redis."""

    async def push_keys(self, ids: Sequence[UUID]) -> None: ...
    async def push_wallets(self, ids: Sequence[UUID]) -> None: ...


class Limits:
    """Admission and settlement for one proxy process. `spool`: where settlements go that Redis does not take."""

    def __init__(
        self,
        redis: Redis,
        loader: StateLoader,
        *,
        shards: int = 1,
        max_backlog_events: int = _DEFAULTS.max_unposted_events,
        spool: Spool | None = None,
        clock_ms: ClockMs = monotonic_ms,
    ) -> None:
        self._redis = redis
        self._loader = loader
        self._shards = shards
        self._clock_ms = clock_ms
        self._policies = KnownPolicies(redis, shards)
        # One for each: the node of one shard may be away while the others are well.
        self._breakers = [Breaker(_BREAKER_FAILURES, _BREAKER_OPEN_MS) for _ in range(shards)]
        self._admit_script = script(redis, "admit")
        self.max_backlog_events = max_backlog_events
        self._tasks = TaskSet()
        self._background = TaskSet()
        self.leases = Leases(redis, loader, shards=shards, clock_ms=clock_ms, on_answer=self._note_answer)
        self._admissions = [self._coalescer(shard) for shard in range(shards)]
        self._settler = Settler(redis, breakers=self._breakers, shards=shards, spool=spool, clock_ms=clock_ms)

    def _coalescer(self, shard: int) -> Coalescer[tuple[Admission, str], Decision]:
        return Coalescer(
            partial(self._admit_batch, shard),
            name=f"admit-{shard}",
            max_batch=_MAX_BATCH,
            max_in_flight=_MAX_IN_FLIGHT,
            max_waiting=_MAX_WAITING_ADMISSIONS,
            abandoned=self._release_if_held,
        )

    def start(self) -> None:
        """Leases are renewed from now on, the spool is replayed, what a server may have lost is sent again."""
        self._background.spawn(self.leases.run(asyncio.Event()), name="leases")
        self._settler.start()

    async def admit(self, request: Admission) -> Decision:
        """Place the hold if everything allows it; raises LimitsUnavailable.

        If the caller is cancelled while it waits, a hold that was placed all the same is let go again.
        """
        is_loaded, tries = False, 0
        while tries < _POLICY_TRIES:
            tries += 1
            known = self._policies.of(request.key_id)
            refused = known.policy.refusal(request.use)
            # by the policy known here; Redis says if it is the current one
            decision = await self._ask(request, known.policy_id if refused is None else REFUSED_MARK + known.policy_id)
            outcome = decision.outcome
            if outcome is Outcome.ADMITTED:
                return decision
            if outcome is Outcome.POLICY_REFUSED:
                return replace(decision, refused=refused)
            if outcome is Outcome.STALE_POLICY:
                await self._learn_policy(request)
            elif outcome not in _UNKNOWN or is_loaded:
                return decision
            else:
                await self._load(request)
                is_loaded, tries = True, 0
        raise LimitsUnavailable("the policy keeps changing", _BREAKER_OPEN_MS)

    async def standing(self, key_id: UUID, wallet_id: UUID, now_ms: int) -> KeyStanding:
        """What the key may do, without taking anything; `now_ms` is wall-clock time. Raises LimitsUnavailable."""
        name = key_state_key(shard_of(wallet_id, self._shards), key_id)
        fields = ["active", "expires_ms", "frozen", "policy"]
        try:
            state = await self._redis.hmget(name, fields)
            if state[0] is None:
                await self._loader.push_keys([key_id])
                state = await self._redis.hmget(name, fields)
        except _REDIS_OR_POSTGRES_AWAY as error:
            raise LimitsUnavailable(type(error).__name__, _BREAKER_OPEN_MS) from error
        active, expires_ms, frozen, policy = state[0], int(state[1] or 0), state[2], state[3]
        is_good = active == b"1" and (expires_ms == 0 or now_ms < expires_ms)
        return KeyStanding(is_good, frozen is not None, parse_or_nothing(policy or b""))

    def settle(self, settlement: Settlement) -> "asyncio.Future[int | None]":
        """The charge in nano-dollars once Redis has it, or None once it is safe in the spool.

        It is tried until it succeeds, also if that future is cancelled; nobody need wait for it. Raises Overloaded when
        too many wait already.
        """
        renewal = self.leases.close(settlement.request_id)
        if renewal is None:
            return self._settler.settle(settlement)
        return asyncio.shield(self._tasks.spawn(self._settle_after(renewal, settlement), name="settle"))

    async def _settle_after(self, renewal: asyncio.Future[Any], settlement: Settlement) -> int | None:
        await asyncio.wait([renewal])
        try:
            return await self._settler.settle(settlement)
        except Overloaded:
            log.error("settlement_lost", request_id=str(settlement.request_id), cost_nanos=settlement.cost_nanos)
            return None

    def release(self, request: Admission) -> None:
        """Let a hold go without a usage entry: the request never went upstream."""
        try:
            self.settle(Settlement(request.request_id, request.key_id, request.wallet_id, 0, b""))
        except Overloaded:
            log.error("hold_leaked", request_id=str(request.request_id), hold_nanos=request.hold_nanos)

    async def drain(self, timeout_s: float) -> int:
        """Wait for settlements under way, at most `timeout_s`; returns how many are neither in Redis nor in the spool.

        Half of the time is kept for them: before, renewals that they wait for have as long as the other half.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        cut = await self._tasks.drain(timeout_s / 4)
        await self._background.cancel()
        await self.leases.drain(timeout_s / 4)
        return cut + await self._settler.drain(max(0.0, deadline_s - loop.time()))

    def _note_answer(self, shard: int, has_answered: bool) -> None:
        if has_answered:
            self._breakers[shard].succeeded()
        else:
            self._breakers[shard].failed(self._clock_ms())

    @property
    def is_available(self) -> bool:
        """Is there a shard that is not known to be away?"""
        return not all(breaker.is_open for breaker in self._breakers)

    def open_breakers(self) -> list[bool]:
        """Of each shard, if its server is left alone for now."""
        return [breaker.is_open for breaker in self._breakers]

    def waiting(self) -> dict[str, int]:
        """What waits to be sent to Redis, by what for."""
        admissions = sum(map(len, self._admissions))
        return {"admit": admissions, "settle": self._settler.waiting(), "extend": self.leases.waiting()}

    async def _load(self, request: Admission) -> None:
        try:
            await self._loader.push_wallets([request.wallet_id])
            await self._loader.push_keys([request.key_id])
        except _REDIS_OR_POSTGRES_AWAY as error:
            raise LimitsUnavailable(type(error).__name__, _BREAKER_OPEN_MS) from error

    async def _learn_policy(self, request: Admission) -> None:
        try:
            await self._policies.learn(request.key_id, request.wallet_id)
        except _NO_POLICY as error:
            raise LimitsUnavailable(type(error).__name__, _BREAKER_OPEN_MS) from error

    async def _ask(self, request: Admission, judged: str) -> Decision:
        now_ms, shard = self._clock_ms(), shard_of(request.wallet_id, self._shards)
        breaker = self._breakers[shard]
        if not breaker.allows(now_ms):
            raise LimitsUnavailable("breaker open", breaker.retry_after_ms(now_ms))
        try:
            future = self._admissions[shard].submit((request, judged))
        except Overloaded as error:
            raise LimitsUnavailable(str(error), _BREAKER_OPEN_MS) from error
        try:
            return await future
        except asyncio.CancelledError:
            # else the coalescer tells, when there is an answer; here there was one, a moment before the caller left
            if not future.cancelled():
                self._release_if_held((request, judged), None if future.exception() else future.result())
            raise
        except AWAY as error:
            # It may have been executed all the same: whatever it held is let go.
            self.release(request)
            raise LimitsUnavailable(type(error).__name__, _BREAKER_OPEN_MS) from error

    def _release_if_held(self, asked: tuple[Admission, str], decision: Decision | None) -> None:
        """Nobody waits for it any more. Without a decision it may have been held all the same."""
        if decision is None or decision.outcome is Outcome.ADMITTED:
            self.release(asked[0])

    async def _admit_batch(self, shard: int, batch: list[tuple[Admission, str]]) -> list[Decision]:
        keys = [holds_key(shard), usage_stream(shard)]
        args: list[Any] = [LEASE_MS, self.max_backlog_events]
        for request, judged in batch:
            keys.append(key_state_key(shard, request.key_id))
            keys.append(wallet_key(shard, request.wallet_id))
            hold_nanos = request.hold_nanos
            least_nanos = hold_nanos if request.least_nanos is None else request.least_nanos
            args.extend((request.request_id.bytes, hold_nanos, least_nanos, request.tokens, judged))
        try:
            reply = await self._admit_script(keys, args)
        except AWAY:
            self._note_answer(shard, False)
            raise
        self._note_answer(shard, True)
        return [_decision(answer) for answer in reply[1:]]


def _decision(answer: list[int]) -> Decision:
    outcome, rpm, rpm_level, rpd, rpd_level, available, held = answer[:7]
    minute, day = Bucket(rpm, MINUTE_MS, rpm_level), Bucket(rpd, DAY_MS, rpd_level)
    if len(answer) == 7:
        return Decision(OUTCOMES[outcome], minute, day, available, held_nanos=held)
    tpm, tpm_level, max_open = answer[7:]
    tokens = None if tpm < 0 else Bucket(tpm, MINUTE_MS, tpm_level)
    most = None if max_open < 0 else max_open
    return Decision(OUTCOMES[outcome], minute, day, available, tokens, most, held_nanos=held)
