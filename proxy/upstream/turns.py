"""What to do with the connections to one server: reuse, open, wait or close. Pure: no sockets, no clock, no await.

The idea is httpcore's `_assign_requests_to_connections`: one ordinary function looks at the lists, decides everything
that can be decided now, and returns what is to be done; `proxy.upstream` does it. The mutable state is `idle`,
`waiting` and one number, and nothing else knows of them.

    request --join--> waiting --assign--> leased --release--> idle --assign--> leased or closed
                         |                   |                 |
                       leave               retire             lose
"""

from collections import deque
from dataclasses import dataclass, fields
from typing import Generic, NamedTuple, TypeVar

ConnectionT = TypeVar("ConnectionT")
TicketT = TypeVar("TicketT")


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How long and how much, per origin. Times in seconds."""

    connect_s: float = 5.0
    """DNS, TCP and TLS together: milliseconds in one network, under a second across an ocean."""
    acquire_s: float = 5.0
    """The wait for a free connection at `max_connections`: longer, and a quick 503 serves the client better."""
    first_byte_s: float = 600.0
    """From the request being written to the response headers: a long prefill. The OpenAI client waits 600 s too."""
    idle_s: float = 120.0
    """Between two bytes of a body (ours going up, theirs coming down); stands still while we pause reading."""
    keep_alive_s: float = 4.0
    """An unused connection is closed after this. Below the 5 s of uvicorn and so of vLLM, sweep included: if
    the server closed first, its FIN could cross our next request, which is then lost and may not be sent twice."""
    max_age_s: float = 60.0
    """A connection that is older is not used again: a name may have come to mean another server. A handshake a minute
    is nothing; DNS servers tell of changes about as often."""
    sweep_s: float = 0.5
    """How often deadlines are looked at; a timeout strikes at most this much late. One timer, not one per chunk."""
    max_connections: int = 1024
    """In use, being opened or idle, together. Above what one LLM server batches at a time."""
    max_waiting: int = 1024
    """Requests waiting for a connection; beyond this they are refused at once."""
    max_header_bytes: int = 65_536
    """Response headers, or anything else that brings no body; nginx's and uvicorn's own limits are of this order."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "max_waiting"):
                raise ValueError(f"{field.name} must be more than 0, not {value}")


class Grant(NamedTuple, Generic[TicketT, ConnectionT]):
    """The waiting request's turn has come: take this idle connection, or, where it is None, open a new one."""

    ticket: TicketT
    connection: ConnectionT | None


class Plan(NamedTuple, Generic[TicketT, ConnectionT]):
    """What follows from the state: whom to let go on, in order of arrival, and which connections to close."""

    grants: list[Grant[TicketT, ConnectionT]]
    to_close: list[ConnectionT]


class _Idle(NamedTuple, Generic[ConnectionT]):
    connection: ConnectionT
    since_s: float


class PoolState(Generic[TicketT, ConnectionT]):
    """The book of one pool. A slot is `leased` from its grant until exactly one of `release` and `retire`."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._idle: deque[_Idle[ConnectionT]] = deque()  # longest unused first
        self._waiting: deque[TicketT] = deque()  # first come first
        self._leased = 0

    @property
    def leased(self) -> int:
        return self._leased

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Is a connection free, or may one be opened?"""
        return bool(self._idle) or self._may_open()

    @property
    def has_place_in_queue(self) -> bool:
        return len(self._waiting) < self._limits.max_waiting

    def reuse(self, now_s: float) -> ConnectionT | None:
        """What `join` and `assign` would come to where nobody waits and a connection is free: the one used last."""
        if self._waiting or not self._idle or self._idle[0].since_s <= now_s - self._limits.keep_alive_s:
            return None
        self._leased += 1
        return self._idle.pop().connection

    def join(self, ticket: TicketT) -> bool:
        """Queue a request; False if neither a connection nor a place in the queue is free."""
        if not (self.has_room or self.has_place_in_queue):
            return False
        self._waiting.append(ticket)
        return True

    def leave(self, ticket: TicketT) -> None:
        """A request gave up before its turn came (or after `empty` had let it go)."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)

    def release(self, connection: ConnectionT, now_s: float) -> None:
        """A leased connection is done and may be used again."""
        self._end_lease()
        self._idle.append(_Idle(connection, now_s))

    def retire(self) -> None:
        """A leased connection is closed, or was never opened."""
        self._end_lease()

    def lose(self, connection: ConnectionT) -> None:
        """A connection broke by itself. Only idle ones are ours to strike off: a leased one ends with its lease."""
        for entry in self._idle:
            if entry.connection is connection:
                self._idle.remove(entry)
                return

    def empty(self) -> tuple[list[TicketT], list[ConnectionT]]:
        """The end: the requests that wait in vain, and the idle connections to close. Leases end as they end."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting, self._take_idle()

    def assign(self, now_s: float) -> Plan[TicketT, ConnectionT]:
        """Decide all that can be decided at `now_s` (any steady clock, seconds).

        An idle connection that reached `keep_alive_s` is closed. Then, for each waiting request in turn:
        1. an idle connection is free: reuse the one used last, so that in quiet times the others can expire;
        2. there is room for one more: open it;
        3. neither: it waits, and all behind it.
        """
        to_close = self._take_idle(now_s - self._limits.keep_alive_s)
        grants: list[Grant[TicketT, ConnectionT]] = []
        while self._waiting:
            if self._idle:
                connection: ConnectionT | None = self._idle.pop().connection
            elif self._may_open():
                connection = None
            else:
                break
            self._leased += 1
            grants.append(Grant(self._waiting.popleft(), connection))
        return Plan(grants, to_close)

    def _may_open(self) -> bool:
        return self._leased + len(self._idle) < self._limits.max_connections

    def _take_idle(self, unused_since_s: float = float("inf")) -> list[ConnectionT]:
        taken = []
        while self._idle and self._idle[0].since_s <= unused_since_s:
            taken.append(self._idle.popleft().connection)
        return taken

    def _end_lease(self) -> None:
        assert self._leased > 0, "a slot was given back twice"
        self._leased -= 1
