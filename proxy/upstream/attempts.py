"""The servers tried for one request: who is next, and whether a failure may be tried elsewhere. Pure.

What decides is the client: as long as it has seen no byte of an answer, another server may give it a whole one. Who
already knows that (the gateway) asks for the next; here is known how often, and what each failure says of its server.
"""

from enum import Enum
from typing import Generic, Protocol, TypeVar

from proxy.upstream.balance import Balance, ClockMs, Server
from proxy.upstream.errors import UpstreamBusy, UpstreamError
from proxy.upstream.rest import RawHeaders, rest_ms
from proxy.upstream.standing import Fault

# A request that three servers fail is more likely to be what they fail at: it would go through all of them otherwise.
MAX_ATTEMPTS = 3
_TOO_MANY_REQUESTS = 429
# About the credential that we send, and so about the server that refuses it.
_OF_OUR_CREDENTIAL = frozenset((401, 407))


class Failover(Enum):
    """Until when a request that this server fails may go to another one."""

    BEFORE_ANSWER = "before_answer"  # no byte of an answer has gone to the client
    BEFORE_SENT = "before_sent"  # not even the request was sent: the server cannot have worked on it, nor bill it
    NEVER = "never"


class Candidate(Server, Protocol):
    @property
    def failover(self) -> Failover: ...


CandidateT = TypeVar("CandidateT", bound=Candidate)


class Attempts(Generic[CandidateT]):
    """Of one request. `current`: who has it, or had it last, or would be the first to get it."""

    __slots__ = ("_balance", "_clock_ms", "_tried", "current")

    def __init__(self, balance: Balance[CandidateT], clock_ms: ClockMs) -> None:
        self._balance = balance
        self._clock_ms = clock_ms
        self._tried: tuple[CandidateT, ...] = ()
        self.current = balance.servers[0]

    @property
    def has_others(self) -> bool:
        """Might somebody else be asked?"""
        return len(self._tried) < min(MAX_ATTEMPTS, len(self._balance.servers))

    @property
    def before(self) -> tuple[CandidateT, ...]:
        """Who was tried before the current one, and failed."""
        return self._tried[:-1]

    def begin_next(self) -> bool:
        """Makes another server the `current` one; False: there is nobody to try, or it was tried often enough."""
        if len(self._tried) >= MAX_ATTEMPTS:
            return False
        found = self._balance.choose(self._clock_ms, self._tried)
        if found is None:
            return False
        self.current = found
        self._tried = (*self._tried, found)
        return True

    def failed(self, error: UpstreamError) -> bool:
        """The current one did not answer, or broke off; may another be asked, if the client has seen nothing?"""
        if isinstance(error, UpstreamBusy):
            return False  # all were full, or this would not have been the one
        self.current.standing.failed(Fault.UNANSWERED, self._clock_ms())
        return self._may_move(has_sent=error.request_sent)

    def answered(self, status: int, headers: RawHeaders = ()) -> bool:
        """The current one answered with `status`; is that better asked of another one?"""
        if 200 <= status < 300:
            if not self.current.standing.is_clear:
                self.current.standing.succeeded()
            return False
        if status == _TOO_MANY_REQUESTS:
            self.current.standing.rest(self._clock_ms() + rest_ms(headers))
        is_refusing_us = status in _OF_OUR_CREDENTIAL
        if is_refusing_us or not 400 <= status < 500:
            self.current.standing.failed(Fault.ANSWERED, self._clock_ms())
        elif not self.current.standing.is_clear:
            self.current.standing.succeeded()
        is_the_servers = is_refusing_us or status == _TOO_MANY_REQUESTS or not 400 <= status < 500
        return is_the_servers and self._may_move(has_sent=True)

    def retry_after_ms(self) -> int:
        """For who found nobody."""
        return self._balance.retry_after_ms(self._clock_ms())

    def _may_move(self, *, has_sent: bool) -> bool:
        failover = self.current.failover
        return failover is Failover.BEFORE_ANSWER or (failover is Failover.BEFORE_SENT and not has_sent)
