"""Admission and settlement in plain Python: the twin that the Lua is held against, and what they mean.

    available = balance + overdraft - held - unposted

A hold is taken from what is available; settling gives it back and takes the charge instead; acknowledging
moves the charge from `unposted` into the balance that Postgres reports.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from metering.bucket import DAY_MS, MINUTE_MS, Bucket


class Outcome(IntEnum):
    """What admission found, in order of precedence after ADMITTED; the numbers are those of `lua/admit.lua`."""

    ADMITTED = 0
    UNKNOWN_KEY = 1
    KEY_REFUSED = 2
    OVER_MINUTE = 3
    OVER_DAY = 4
    UNKNOWN_WALLET = 5
    NO_FUNDS = 6


@dataclass(slots=True)
class ModelWallet:
    """Nano-dollars. `balance` None: Redis does not know this wallet."""

    balance: int | None = None
    overdraft: int = 0
    version: int = 0
    held: int = 0
    unposted: int = 0

    @property
    def available(self) -> int:
        assert self.balance is not None
        return self.balance + self.overdraft - self.held - self.unposted


@dataclass(slots=True)
class ModelKey:
    """`buckets_ms` None: nothing was taken yet, the buckets are full whatever the time."""

    is_active: bool
    expires_ms: int
    minute: Bucket
    day: Bucket
    version: int = 0
    buckets_ms: int | None = None

    @classmethod
    def fresh(cls, *, rpm: int, rpd: int, is_active: bool = True, expires_ms: int = 0, version: int = 0) -> "ModelKey":
        return cls(is_active, expires_ms, Bucket.full(rpm, MINUTE_MS), Bucket.full(rpd, DAY_MS), version)

    def buckets_at(self, now_ms: int) -> tuple[Bucket, Bucket]:
        elapsed_ms = 0 if self.buckets_ms is None else now_ms - self.buckets_ms
        return self.minute.after(elapsed_ms), self.day.after(elapsed_ms)


@dataclass(slots=True)
class Model:
    """One shard of Redis. Keys, wallets and requests are named by any string."""

    keys: dict[str, ModelKey] = field(default_factory=dict)
    wallets: dict[str, ModelWallet] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, str, int]] = field(default_factory=list)

    def admit(self, request: str, key_name: str, wallet_name: str, hold: int, now_ms: int) -> Outcome:
        key = self.keys.get(key_name)
        if key is None:
            return Outcome.UNKNOWN_KEY
        minute, day = key.buckets_at(now_ms)
        refusal = self._refusal(key, minute, day, wallet_name, hold, now_ms)
        if refusal is not None:
            return refusal
        key.minute, key.day = minute.taken(), day.taken()
        key.buckets_ms = max(now_ms, key.buckets_ms or now_ms)
        self.wallets[wallet_name].held += hold
        self.holds[request] = hold
        return Outcome.ADMITTED

    def _refusal(
        self, key: ModelKey, minute: Bucket, day: Bucket, wallet_name: str, hold: int, now_ms: int
    ) -> Outcome | None:
        if not key.is_active or 0 < key.expires_ms <= now_ms:
            return Outcome.KEY_REFUSED
        if not minute.has_token:
            return Outcome.OVER_MINUTE
        if not day.has_token:
            return Outcome.OVER_DAY
        wallet = self.wallets.get(wallet_name)
        if wallet is None or wallet.balance is None:
            return Outcome.UNKNOWN_WALLET
        return Outcome.NO_FUNDS if hold > wallet.available else None

    def settle(self, request: str, wallet_name: str, cost: int) -> int:
        """Returns the charge: the cost, or as much of it as the hold and the wallet have."""
        wallet = self.wallets.setdefault(wallet_name, ModelWallet())
        self.release(request, wallet_name)
        charge = cost if wallet.balance is None else min(cost, max(0, wallet.available))
        wallet.unposted += charge
        self.events.append((request, wallet_name, charge))
        return charge

    def release(self, request: str, wallet_name: str) -> None:
        hold = self.holds.pop(request, 0)
        if hold:
            self.wallets[wallet_name].held -= hold

    def acknowledge(self, place: int) -> None:
        """The event at `place` was posted: its charge is in the balance that comes with the wallet's next version."""
        _, wallet_name, charge = self.events.pop(place)
        wallet = self.wallets[wallet_name]
        wallet.unposted = max(0, wallet.unposted - charge)

    def put_wallet(self, name: str, balance: int, overdraft: int, version: int) -> None:
        """What Postgres says, unless something newer is known."""
        wallet = self.wallets.setdefault(name, ModelWallet())
        if wallet.balance is None or version > wallet.version:
            wallet.balance, wallet.overdraft, wallet.version = balance, overdraft, version

    def put_key(self, name: str, state: ModelKey) -> None:
        """What Postgres says, unless something newer is known; what was taken from the buckets stays taken."""
        known = self.keys.get(name)
        if known is not None and state.version <= known.version:
            return
        if known is not None and known.buckets_ms is not None:
            state.minute = Bucket(state.minute.capacity, MINUTE_MS, known.minute.level)
            state.day = Bucket(state.day.capacity, DAY_MS, known.day.level)
            state.buckets_ms = known.buckets_ms
        self.keys[name] = state
