"""The parts of the money protocol as plain values. Amounts are small integers that stand for nano-dollars."""

from dataclasses import dataclass, replace
from typing import NamedTuple

# How far a request has come, as its proxy knows it.
NEW, OPEN, ENDED, UNSURE = "new", "open", "ended", "unsure"
SPOOLED, DONE, REFUSED, DEAD = "spooled", "done", "refused", "dead"
OVER = (DONE, REFUSED, DEAD)


class Hold(NamedTuple):
    """A field of `fb:{s}:holds`. The lease is not a time but a fact: it has lapsed, or not. Checkpoint 0: none."""

    amount: int
    has_lapsed: bool
    checkpoint: int


class Event(NamedTuple):
    """On the Stream. `number` makes it one of its kind."""

    request: int
    number: int
    cost: int
    charge: int
    is_recovered: bool
    is_delivered: bool = False


class Redis(NamedTuple):
    """Everything one shard knows of one wallet. `balance` None: not loaded."""

    balance: int | None
    version: int
    held: int
    unposted: int
    holds: tuple[Hold | None, ...]
    stream: tuple[Event, ...]

    @property
    def available(self) -> int:
        assert self.balance is not None
        return self.balance - self.held - self.unposted


class Row(NamedTuple):
    """A row of `ai_usage_logs`, with the number of transactions that name it. `is_dry`: it took all that there was."""

    cost: int
    paid: int
    is_recovered: bool
    debits: int
    corrections: int
    is_dry: bool

    @property
    def uncollected(self) -> int:
        return self.cost - self.paid


class Postgres(NamedTuple):
    """`credited`: the sum of the transactions that are not about usage."""

    balance: int
    version: int
    credited: int
    rows: tuple[Row | None, ...]


class Request(NamedTuple):
    """What a proxy knows of a request, and two things that only we know.

    `cost` of what was delivered; `hold` as the proxy believes it; `renewal` (checkpoint, hold) on its way to Redis;
    `is_remembered` among what was settled lately; `is_due` to be sent again. Ours: `marked`, the newest checkpoint that
    Redis ever took, and `events`, how many settlements were executed.
    """

    phase: str
    cost: int = 0
    hold: int = 0
    renewal: tuple[int, int] | None = None
    is_remembered: bool = False
    is_due: bool = False
    marked: int = 0
    events: int = 0


class Writer(NamedTuple):
    """A writer at work on one event; `version` and `balance` of the wallet once it has committed."""

    event: Event
    version: int | None = None
    balance: int | None = None


class Faults(NamedTuple):
    """How often each thing may still happen."""

    lost_answers: int = 0
    away: int = 0
    pauses: int = 0
    late_renewals: int = 0
    overruns: int = 0
    proxy_kills: int = 0
    writer_crashes: int = 0
    slow_recoveries: int = 0
    claims: int = 0
    redis_kills: int = 0
    redis_emptied: int = 0
    top_ups: int = 0
    edits: int = 0


NO_FAULTS = Faults()


class State(NamedTuple):
    """Everything. `saved`: what Redis still has after a kill, None once it is not killed any more; `seen`: (request,
    checkpoint) that a slow recoverer found lapsed."""

    requests: tuple[Request, ...]
    is_alive: tuple[bool, ...]
    redis: Redis
    saved: Redis | None
    postgres: Postgres
    writers: tuple[Writer, ...]
    seen: tuple[int, int] | None
    left: Faults


@dataclass(frozen=True)
class Rules:
    """The guards of the protocol, each of which can be left out to see what it is there for."""

    recover_only_lapsed: bool = True
    recover_after_grace: bool = True
    recover_what_was_seen: bool = True
    recovery_may_grow: bool = True
    post_once: bool = True
    post_clamped: bool = True
    acknowledge_once: bool = True
    charge_clamped: bool = True
    hold_is_collectable: bool = True
    posts_by_room: bool = True
    renewal_places_again: bool = True
    sends_again: bool = True
    replays_are_remembered: bool = True
    newer_version_only: bool = True
    truth_corrects: bool = True


# The protocol as it was planned, before this model was asked.
PLANNED = Rules(
    recover_after_grace=False,
    recover_what_was_seen=False,
    recovery_may_grow=False,
    hold_is_collectable=False,
    posts_by_room=False,
)


@dataclass(frozen=True)
class Setup:
    """How large the world is. Request i runs at proxy i modulo `proxies` and would use up to `wants[i]`."""

    balance: int = 3
    wants: tuple[int, ...] = (2, 2)
    proxies: int = 2
    writers: int = 2
    first_step: int = 1
    step: int = 1
    least: int = 1
    faults: Faults = NO_FAULTS
    rules: Rules = Rules()

    def having(self, **times: int) -> "Setup":
        """The same world, in which these things may happen."""
        return replace(self, faults=Faults(**times))

    @property
    def floor(self) -> int:
        """The overdraft is 0."""
        return 0

    def initial(self) -> State:
        count = len(self.wants)
        redis = Redis(None, 0, 0, 0, (None,) * count, ())
        return State(
            requests=(Request(NEW),) * count,
            is_alive=(True,) * self.proxies,
            redis=redis,
            saved=redis if self.faults.redis_kills else None,
            postgres=Postgres(self.balance, 1, self.balance, (None,) * count),
            writers=(),
            seen=None,
            left=self.faults,
        )
