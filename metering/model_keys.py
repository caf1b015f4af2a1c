"""A key in plain Python, with its buckets, budgets and open requests: part of the twin that the Lua is held against."""

from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from ledger.entries import NO_LIMITS, NOTHING_SPENT, KeyLimits, KeySpent
from metering.bucket import DAY_MS, MINUTE_MS, Bucket
from metering.budget import changed_by, counted_until, day_at, month_of
from metering.verdict import REFUSED_MARK, Outcome


class Note(Struct, frozen=True):
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

    def within_budgets(self, nanos: int, now_ms: int) -> int:
        """`nanos`, or as much of it as all budgets have left."""
        if self.used is None:
            return nanos
        used, limits = counted_until(self.used, now_ms), self.limits
        for budget, spent in (
            (limits.budget_day_nanos, used.day_nanos),
            (limits.budget_month_nanos, used.month_nanos),
            (limits.budget_total_nanos, used.total_nanos),
        ):
            if budget is not None:
                nanos = min(nanos, budget - spent)
        return nanos

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

    def hold_more(self, request: str, nanos: int, now_ms: int) -> int:
        """An open request holds more: as much of it as the budgets have left, if they count it."""
        note = self.open.get(request)
        if note is None:
            return nanos
        if self.used is not None and note.counting == self.counting:
            nanos = max(0, self.within_budgets(nanos, now_ms))
            self.used = changed_by(self.used, nanos, note.day, note.month)
        self.open[request] = replace(note, hold=note.hold + nanos)
        return nanos

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

    def refusal(self, tokens: int, judged: str, now_ms: int, *, is_backlogged: bool = False) -> Outcome | None:
        """What the key's own state says. Whether it is good comes first: a revoked key learns nothing else."""
        minute, day = self.buckets_at(now_ms)
        if not self.is_active or 0 < self.expires_ms <= now_ms:
            return Outcome.KEY_REFUSED
        if self.is_frozen:
            return Outcome.KEY_FROZEN
        if judged == REFUSED_MARK + self.policy_id:
            return Outcome.POLICY_REFUSED
        if judged != self.policy_id:
            return Outcome.STALE_POLICY
        if is_backlogged:
            return Outcome.BACKLOGGED
        if not minute.has():
            return Outcome.OVER_MINUTE
        return self.over_rate(tokens, now_ms) if day.has() else Outcome.OVER_DAY
