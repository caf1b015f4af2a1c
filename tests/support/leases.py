"""For tests of leases: an open request with a checkpoint, and what time does to its hold."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from ledger.entries import RECOVERED, UsageEntry, WalletState
from ledger.redis_schema import holds_key, looks_key
from metering.admission import Admission, Limits
from metering.leases import Lease
from metering.settlements import Settlement
from metering.verdict import Outcome
from tests.support.ledger import usage_entry
from tests.support.limits import WALLET, asking

# Longer than any test takes, so that how busy the machine is decides nothing.
LONG_MS = 600_000


@dataclass
class Open:
    """An admitted request, and how far it is."""

    request: Admission
    lease: Lease
    wallet: WalletState
    noted: int | None = None

    def entry(self, cost_nanos: int, end_reason: str = RECOVERED) -> UsageEntry:
        ids = {"request_id": self.request.request_id, "api_key_id": self.request.key_id}
        return usage_entry(self.wallet, cost_nanos, end_reason=end_reason, pricing_id=None, **ids)

    def checkpoint(self) -> bytes:
        return b"" if self.noted is None else self.entry(self.noted).to_json()

    def settlement(self, cost_nanos: int) -> Settlement:
        entry = self.entry(cost_nanos, "completed").to_json()
        return Settlement(self.request.request_id, self.request.key_id, self.request.wallet_id, cost_nanos, entry)


async def open_request(limits: Limits, hold_nanos: int, request: Admission | None = None, **made: Any) -> Open:
    """Admitted and leased, as the gateway does it."""
    request = request or asking(hold_nanos)
    decision = await limits.admit(request)
    assert (decision.outcome, decision.held_nanos) == (Outcome.ADMITTED, hold_nanos)
    ids = request.request_id, request.key_id, request.wallet_id
    opened = Open(request, Lease(*ids, hold_nanos, lambda: opened.checkpoint()), made.pop("wallet", WALLET), **made)
    limits.leases.open(opened.lease)
    return opened


async def renew(limits: Limits, *requests: Open) -> None:
    """At once, whenever they were renewed before."""
    for each in requests:
        each.lease.is_due = True
    await limits.leases.renew_due()


async def hold_of(redis: Redis, request_id: UUID) -> tuple[int, int, bytes] | None:
    """Nano-dollars, expiry_ms, checkpoint."""
    found: Any = await redis.hget(holds_key(0), request_id.bytes)
    if found is None:
        return None
    nanos, expiry_ms, _, _, checkpoint = found.split(b" ", 4)
    return int(nanos), int(expiry_ms), checkpoint


async def end_leases(redis: Redis, in_ms: int = 0) -> None:
    """The leases of all holds are over, or will be soon."""
    now_ms = await redis_ms(redis)
    found: Any = await redis.hgetall(holds_key(0))
    for request_id, text in found.items():
        nanos, _, rest = text.split(b" ", 2)
        await redis.hset(holds_key(0), request_id, b"%b %d %b" % (nanos, now_ms + in_ms, rest))


async def somebody_looks(redis: Redis) -> None:
    """There was a look a moment ago, and no reason to wait since."""
    await redis.hset(looks_key(0), mapping={"seen_ms": await redis_ms(redis), "from_ms": 0})


async def redis_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000
