"""How many connections each address has open: what is open bounds what is remembered. Pure."""

from runtime.addresses import Network, is_within, neighbourhood, read_address
from runtime.http.limits import HttpLimits


class Crowd:
    """`total` connections are open. Those of the system's own sockets have no address, and count in `total` only."""

    __slots__ = ("_by_address", "total")

    def __init__(self) -> None:
        self.total = 0
        self._by_address: dict[str, int] = {}

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._by_address)

    def enter(self, address: str | None) -> None:
        self.total += 1
        if address is not None:
            who = neighbourhood(address)
            self._by_address[who] = self._by_address.get(who, 0) + 1

    def leave(self, address: str | None) -> None:
        self.total -= 1
        if address is not None:
            who = neighbourhood(address)
            left = self._by_address[who] - 1
            if left:
                self._by_address[who] = left
            else:
                del self._by_address[who]

    def is_over(self, address: str | None, limits: HttpLimits) -> bool:
        """Is the one that just came one too many?"""
        if self.total > limits.max_connections:
            return True
        most = limits.max_connections_per_address
        if most is None or address is None or self._by_address[neighbourhood(address)] <= most:
            return False
        return not _is_exempt(address, limits.exempt)


def _is_exempt(address: str, networks: tuple[Network, ...]) -> bool:
    read = read_address(address)
    return read is not None and is_within(read, networks)
