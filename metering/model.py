"""Admission and settlement in plain Python: the twin that the Lua is held against, and what they mean.

    available = balance + overdraft - held - unposted

A hold is taken from what is available; settling gives it back and takes the charge instead; acknowledging
moves the charge from `unposted` into the balance that Postgres reports.

A key with limits of its own keeps a note of each open request: what it took of them is given back by the note, once.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from ledger.entries import NO_LIMITS, NOTHING_SPENT, KeyLimits, KeySpent
from metering.bucket import DAY_MS, MINUTE_MS, Bucket
from metering.budget import changed_by, counted_until, day_at, month_of

REFUSED_MARK = "!"


class Outcome(IntEnum):
    """What admission found, in order of precedence after ADMITTED; the numbers are those of `lua/admit.lua`."""

    ADMITTED = 0
    UNKNOWN_KEY = 1
    KEY_REFUSED = 2
    KEY_FROZEN = 3
    STALE_POLICY = 4
    POLICY_REFUSED = 5
    OVER_MINUTE = 6
    OVER_DAY = 7
    OVER_TOKENS = 8
    TOO_MANY_OPEN = 9
    UNKNOWN_WALLET = 10
    WALLET_FROZEN = 11
    OVER_BUDGET_DAY = 12
    OVER_BUDGET_MONTH = 13
    OVER_BUDGET_TOTAL = 14
    NO_FUNDS = 15


@dataclass(slots=True)
class ModelWallet:
    """Nano-dollars. `balance` None: Redis does not know this wallet."""

    balance: int | None = None
    overdraft: int = 0
    version: int = 0
    held: int = 0
    unposted: int = 0
    is_frozen: bool = False

    @property
    def available(self) -> int:
        assert self.balance is not None
        return self.balance + self.overdraft - self.held - self.unposted


@dataclass(frozen=True, slots=True)
class Note:
    """An open request at its key: what it took, when, and in which count of what the key spends."""

    hold: int
    tokens: int
    day: int
    month: int
    counting: int


@dataclass(slots=True)
class ModelKey:
    """`buckets_ms` None: nothing was taken yet, the buckets are full whatever the time; so with `tokens_ms`.

    `used` is what was spent and is held; None: nobody counts. `counting` says how often counting began.
    """

    is_active: bool
    expires_ms: int
    minute: Bucket
    day: Bucket
    version: int = 0
    is_frozen: bool = False
    policy_id: str = ""
    limits: KeyLimits = NO_LIMITS
    buckets_ms: int | None = None
    tokens_level: int = 0
    tokens_ms: int | None = None
    open: dict[str, Note] = field(default_factory=dict)
    used: KeySpent | None = None
    counting: int = 0

    @classmethod
    def fresh(
        cls,
        *,
        rpm: int,
        rpd: int,
        is_active: bool = True,
        expires_ms: int = 0,
        version: int = 0,
        is_frozen: bool = False,
        policy_id: str = "",
        limits: KeyLimits = NO_LIMITS,
        spent: KeySpent = NOTHING_SPENT,
    ) -> "ModelKey":
        buckets = Bucket.full(rpm, MINUTE_MS), Bucket.full(rpd, DAY_MS)
        key = cls(is_active, expires_ms, *buckets, version, is_frozen, policy_id, limits)
        if key.has_budget:
            key.used, key.counting = spent, 1
        return key

    @property
    def has_budget(self) -> bool:
        limits = self.limits
        return (limits.budget_day_nanos, limits.budget_month_nanos, limits.budget_total_nanos) != (None, None, None)

    def buckets_at(self, now_ms: int) -> tuple[Bucket, Bucket]:
        elapsed_ms = 0 if self.buckets_ms is None else now_ms - self.buckets_ms
        return self.minute.after(elapsed_ms), self.day.after(elapsed_ms)

    def tokens_at(self, now_ms: int) -> Bucket | None:
        capacity = self.limits.tokens_per_minute
        if capacity is None:
            return None
        if self.tokens_ms is None:
            return Bucket.full(capacity, MINUTE_MS)
        return Bucket(capacity, MINUTE_MS, self.tokens_level).after(now_ms - self.tokens_ms)

    def keep_tokens(self, tokens: Bucket, now_ms: int) -> None:
        self.tokens_level, self.tokens_ms = tokens.level, max(now_ms, self.tokens_ms or now_ms)

    def over_rate(self, tokens: int, now_ms: int) -> Outcome | None:
        bucket = self.tokens_at(now_ms)
        if bucket is not None and not bucket.has(tokens):
            return Outcome.OVER_TOKENS
        most = self.limits.max_concurrent_requests
        return Outcome.TOO_MANY_OPEN if most is not None and len(self.open) >= most else None

    def over_budget(self, hold: int, now_ms: int) -> tuple[Outcome, int] | None:
        """Which budget refuses, and what it has left."""
        if self.used is None:
            return None
        used, limits = counted_until(self.used, now_ms), self.limits
        for outcome, budget, spent in (
            (Outcome.OVER_BUDGET_DAY, limits.budget_day_nanos, used.day_nanos),
            (Outcome.OVER_BUDGET_MONTH, limits.budget_month_nanos, used.month_nanos),
            (Outcome.OVER_BUDGET_TOTAL, limits.budget_total_nanos, used.total_nanos),
        ):
            if budget is not None and spent + hold > budget:
                return outcome, budget - spent
        return None

    def take(self, request: str, hold: int, tokens: int, now_ms: int) -> None:
        """Notes the request, where the key has limits of its own."""
        if self.limits == NO_LIMITS:
            return
        taken, bucket = 0, self.tokens_at(now_ms)
        if bucket is not None:
            taken = bucket.at_most(tokens)
            self.keep_tokens(bucket.taken(tokens), now_ms)
        day, month = day_at(now_ms), month_of(day_at(now_ms))
        if self.used is not None:
            now = counted_until(self.used, now_ms)
            day, month = now.day, now.month
            self.used = changed_by(now, hold, day, month)
        self.open[request] = Note(hold, taken, day, month, self.counting)

    def close(self, request: str, is_first: bool, charge: int, used_tokens: int, now_ms: int) -> None:
        """The request is open no longer; what it took becomes what it used."""
        note = self.open.pop(request, None)
        bucket = self.tokens_at(now_ms)
        if note is not None and bucket is not None and self.tokens_ms is not None:
            self.keep_tokens(bucket.corrected(note.tokens, used_tokens), now_ms)
        if self.used is None or (note is None and not is_first):
            return
        if note is None:
            self.used = changed_by(self.used, charge, self.used.day, self.used.month)
        else:
            hold = note.hold if note.counting == self.counting else 0
            self.used = changed_by(self.used, charge - hold, note.day, note.month)

    def go_on_from(self, known: "ModelKey") -> None:
        """What went on at the key stays: only what Postgres says of it is new."""
        if known.buckets_ms is not None:
            self.minute = Bucket(self.minute.capacity, MINUTE_MS, known.minute.level)
            self.day = Bucket(self.day.capacity, DAY_MS, known.day.level)
            self.buckets_ms = known.buckets_ms
        self.tokens_level, self.tokens_ms, self.open = known.tokens_level, known.tokens_ms, known.open
        self.counting = known.counting + (self.has_budget and known.used is None)
        if self.has_budget and known.used is not None:
            self.used = known.used


@dataclass(slots=True)
class Model:
    """One shard of Redis. Keys, wallets and requests are named by any string."""

    keys: dict[str, ModelKey] = field(default_factory=dict)
    wallets: dict[str, ModelWallet] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, str, int]] = field(default_factory=list)

    def admit(
        self,
        request: str,
        key_name: str,
        wallet_name: str,
        hold: int,
        now_ms: int,
        *,
        tokens: int = 0,
        judged: str = "",
    ) -> Outcome:
        """`judged` is the id of the policy that the request was judged by, after REFUSED_MARK where it says no."""
        key = self.keys.get(key_name)
        if key is None:
            return Outcome.UNKNOWN_KEY
        refusal = _key_refusal(key, tokens, judged, now_ms) or self._money_refusal(key, wallet_name, hold, now_ms)
        if refusal is not None:
            return refusal
        minute, day = key.buckets_at(now_ms)
        key.minute, key.day = minute.taken(), day.taken()
        key.buckets_ms = max(now_ms, key.buckets_ms or now_ms)
        key.take(request, hold, tokens, now_ms)
        self.wallets[wallet_name].held += hold
        self.holds[request] = hold
        return Outcome.ADMITTED

    def _money_refusal(self, key: ModelKey, wallet_name: str, hold: int, now_ms: int) -> Outcome | None:
        wallet = self.wallets.get(wallet_name)
        if wallet is None or wallet.balance is None:
            return Outcome.UNKNOWN_WALLET
        if wallet.is_frozen:
            return Outcome.WALLET_FROZEN
        over = key.over_budget(hold, now_ms)
        if over is not None:
            return over[0]
        return Outcome.NO_FUNDS if hold > wallet.available else None

    def settle(
        self,
        request: str,
        wallet_name: str,
        cost: int,
        key_name: str = "",
        *,
        tokens: int = 0,
        now_ms: int = 0,
        has_entry: bool = True,
    ) -> int:
        """Returns the charge: the cost, or as much of it as the hold and the wallet have."""
        hold = self.holds.pop(request, None)
        if hold:
            self.wallets[wallet_name].held -= hold
        charge = self._charge(request, wallet_name, cost) if has_entry else 0
        if key_name in self.keys:
            self.keys[key_name].close(request, hold is not None, charge, tokens, now_ms)
        return charge

    def _charge(self, request: str, wallet_name: str, cost: int) -> int:
        wallet = self.wallets.setdefault(wallet_name, ModelWallet())
        charge = cost if wallet.balance is None else min(cost, max(0, wallet.available))
        wallet.unposted += charge
        self.events.append((request, wallet_name, charge))
        return charge

    def release(self, request: str, wallet_name: str, key_name: str = "", *, now_ms: int = 0) -> None:
        self.settle(request, wallet_name, 0, key_name, now_ms=now_ms, has_entry=False)

    def acknowledge(self, place: int) -> None:
        """The event at `place` was posted: its charge is in the balance that comes with the wallet's next version."""
        _, wallet_name, charge = self.events.pop(place)
        wallet = self.wallets[wallet_name]
        wallet.unposted = max(0, wallet.unposted - charge)

    def put_wallet(self, name: str, balance: int, overdraft: int, version: int, *, is_frozen: bool = False) -> None:
        """What Postgres says, unless something newer is known."""
        wallet = self.wallets.setdefault(name, ModelWallet())
        if wallet.balance is None or version > wallet.version:
            wallet.balance, wallet.overdraft, wallet.version = balance, overdraft, version
            wallet.is_frozen = is_frozen

    def put_key(self, name: str, state: ModelKey) -> None:
        """What Postgres says, unless something newer is known; what went on at the key stays as it is."""
        known = self.keys.get(name)
        if known is not None and state.version <= known.version:
            return
        if known is not None:
            state.go_on_from(known)
        self.keys[name] = state


def _key_refusal(key: ModelKey, tokens: int, judged: str, now_ms: int) -> Outcome | None:
    """What the key's own state says. Whether it is good comes first: a revoked key learns nothing else."""
    minute, day = key.buckets_at(now_ms)
    if not key.is_active or 0 < key.expires_ms <= now_ms:
        return Outcome.KEY_REFUSED
    if key.is_frozen:
        return Outcome.KEY_FROZEN
    if judged == REFUSED_MARK + key.policy_id:
        return Outcome.POLICY_REFUSED
    if judged != key.policy_id:
        return Outcome.STALE_POLICY
    if not minute.has():
        return Outcome.OVER_MINUTE
    return key.over_rate(tokens, now_ms) if day.has() else Outcome.OVER_DAY
