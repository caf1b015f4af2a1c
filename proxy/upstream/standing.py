"""What is held against an LLM server: may a request be sent to it? Pure: no sockets; the time is handed in.

There are three witnesses. Requests that fail one after another open a breaker (`runtime.breaker`): the server is left
alone, then tried with one request at a time, and is in good standing again with the first good answer. A health check,
where there is one, says by itself whether the server is up. And a server that says how long it wants to be left alone
(429) is asked last until then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from runtime.breaker import Breaker


class Fault(Enum):
    """How a server failed a request."""

    UNANSWERED = auto()  # not reached, silent, cut off
    ANSWERED = auto()  # it said so itself, with a status: it is alive, and may do better with the next


class Fitness(IntEnum):
    """Better ones first."""

    GOOD = 0
    ON_TRIAL = 1  # left alone for long enough: one request may try
    POOR = 2  # it answers, and only with errors or that it wants no more: better than nobody
    OUT = 3


class Change(Enum):
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much is forgiven. `failures`: requests in a row that open the breaker, 0: none does; it is tried again every
    `open_ms`. `bad_checks` in a row put a server down, `good_checks` in a row bring it up again.
    """

    failures: int = 5
    open_ms: int = 5_000
    bad_checks: int = 3
    good_checks: int = 1


class Standing:
    """One server's. `is_clear`: nothing at all is held against it, which every request asks first.

    `tell` hears of what changed, for the log.
    """

    __slots__ = (
        "_answers",
        "_breaker",
        "_checks_against",
        "_is_down",
        "_rests_until_ms",
        "_tell",
        "_tolerance",
        "is_clear",
    )

    def __init__(self, tolerance: Tolerance | None = None, tell: Callable[[Change], None] | None = None) -> None:
        self._tolerance = tolerance = tolerance or Tolerance()
        self._tell = tell or _nobody
        self._breaker = Breaker(tolerance.failures, tolerance.open_ms)
        self._answers = False
        self._is_down = False
        self._checks_against = 0  # results in a row that contradict what is believed
        self._rests_until_ms = 0  # 0: it does not
        self.is_clear = True

    @property
    def is_open(self) -> bool:
        """Is the breaker?"""
        return self._tolerance.failures > 0 and self._breaker.is_open

    @property
    def is_down(self) -> bool:
        """Does the health check say so?"""
        return self._is_down

    def fitness(self, now_ms: int) -> Fitness:
        if self._is_down:
            return Fitness.OUT
        if not self.is_open:
            return Fitness.POOR if self._rests(now_ms) else Fitness.GOOD
        if self._breaker.retry_after_ms(now_ms) == 0:
            return Fitness.ON_TRIAL
        return Fitness.POOR if self._answers else Fitness.OUT

    def begin_trial(self, now_ms: int) -> None:
        """The one request goes; the next one not before the time is over again, whatever becomes of this one."""
        self._breaker.allows(now_ms)

    def retry_after_ms(self, now_ms: int) -> int:
        """When it may be tried; 0 where nobody can tell."""
        return self._breaker.retry_after_ms(now_ms) if self.is_open else 0

    def succeeded(self) -> None:
        was_open = self.is_open
        self._breaker.succeeded()
        self._settle()
        if was_open:
            self._tell(Change.BREAKER_CLOSED)

    def failed(self, fault: Fault, now_ms: int) -> None:
        if self._tolerance.failures == 0:
            return
        was_open = self.is_open
        self._breaker.failed(now_ms)
        self._answers = fault is Fault.ANSWERED
        self._settle()
        if self.is_open and not was_open:
            self._tell(Change.BREAKER_OPENED)

    def rest(self, until_ms: int) -> None:
        """It asked for it. Answers to what it had taken before change nothing about that."""
        self._rests_until_ms = max(self._rests_until_ms, until_ms)
        self._settle()

    def checked(self, is_well: bool) -> None:
        """A health check has come back."""
        if is_well is not self._is_down:
            self._checks_against = 0
            return
        self._checks_against += 1
        needed = self._tolerance.good_checks if self._is_down else self._tolerance.bad_checks
        if self._checks_against >= needed:
            self._is_down, self._checks_against = not self._is_down, 0
            self._settle()
            self._tell(Change.DOWN if self._is_down else Change.UP)

    def _rests(self, now_ms: int) -> bool:
        if self._rests_until_ms and now_ms >= self._rests_until_ms:
            self._rests_until_ms = 0
            self._settle()
        return self._rests_until_ms > 0

    def _settle(self) -> None:
        self.is_clear = not (self._is_down or self._breaker.has_failures or self._rests_until_ms)


def _nobody(_: Change) -> None:
    """Nothing is told."""
