"""Which of a model's servers takes the next request. Pure: no sockets; the time and how busy each is are handed in.

nginx's `least_conn`, with manners: of the servers in the best standing, those with a free connection before those with
a queue; of these the least busy for its weight; and where several are equally busy, each in turn by weight (smooth
weighted round robin), so that in quiet times all get their share. A server whose breaker has been open for long
enough gets one request to prove itself with.
"""

from collections.abc import Callable, Collection, Sequence
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

from proxy.upstream.standing import Fitness, Standing

ClockMs = Callable[[], int]


class Room(IntEnum):
    """Better ones first."""

    FREE = 0
    QUEUE = 1  # every connection is in use, and there is a place in the queue
    NONE = 2


class Server(Protocol):
    """What is asked of one. `busy`: its requests, waiting ones too. `weight`: how much it takes, beside the others."""

    @property
    def standing(self) -> Standing: ...
    @property
    def weight(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def room(self) -> Room: ...


ServerT = TypeVar("ServerT", bound=Server)


class Balance(Generic[ServerT]):
    """The servers of a model, of which there is at least one, and whose turn it is."""

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self.servers = tuple(servers)
        self._alone = servers[0] if len(servers) == 1 else None
        self._credits = [0] * len(servers)

    def choose(self, clock_ms: ClockMs, tried: Collection[ServerT] = ()) -> ServerT | None:
        """One that is not in `tried`; None: there is nobody to whom a request may be sent now."""
        if self._alone is not None and self._alone.standing.is_clear and not tried:
            return self._alone
        now_ms = clock_ms()
        fit = [
            (self._order(server.standing.fitness(now_ms), bool(tried)), place)
            for place, server in enumerate(self.servers)
            if server not in tried
        ]
        fit = [(order, place) for order, place in fit if order < Fitness.OUT]
        if not fit:
            return None
        best = min(fit)[0]
        chosen = self.servers[self._in_turn([place for order, place in fit if order == best])]
        if chosen.standing.fitness(now_ms) is Fitness.ON_TRIAL:
            chosen.standing.begin_trial(now_ms)
        return chosen

    def retry_after_ms(self, now_ms: int) -> int:
        """When the first of them may be tried again; 0 where nobody can tell."""
        waits_ms = [server.standing.retry_after_ms(now_ms) for server in self.servers]
        return min((wait_ms for wait_ms in waits_ms if wait_ms > 0), default=0)

    @staticmethod
    def _order(fitness: Fitness, has_failed: bool) -> int:
        """A trial goes before all else, or it would never be held; but nobody is put to the test twice."""
        return -1 if fitness is Fitness.ON_TRIAL and not has_failed else fitness

    def _in_turn(self, places: list[int]) -> int:
        """The least busy of them, for its weight; of equals each in turn, by weight."""
        loads = [(self.servers[place].room, self.servers[place].busy / self.servers[place].weight) for place in places]
        least = min(loads)
        equals = [place for place, load in zip(places, loads, strict=True) if load == least]
        if len(equals) == 1:
            return equals[0]
        for place in equals:
            self._credits[place] += self.servers[place].weight
        chosen = max(equals, key=self._credits.__getitem__)
        self._credits[chosen] -= sum(self.servers[place].weight for place in equals)
        return chosen
