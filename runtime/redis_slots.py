"""Which node of a cluster has which hash slot, and which slot a command is for. Pure.

An address is host and port. A node that does not know its own name leaves the host empty: it means itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.crc import key_slot

Address = tuple[str, int]

# Asked of any node. Everything else that we ask names a key.
_WITHOUT_KEY = frozenset(("PING", "CLUSTER SLOTS"))


class NoKey(ValueError):
    """A command of which we cannot tell the key, and so not the node."""


def slot_of(command: Sequence[Any]) -> int | None:
    """The slot of a command as redis-py has it, of its first key if there are several; None: any node will do."""
    name = _text(command[0]).upper()
    if name in _WITHOUT_KEY:
        return None
    try:
        return key_slot(_bytes(command[_place_of_key(name, command)]))
    except (IndexError, ValueError) as error:
        raise NoKey(f"{name} names no key") from error


def _place_of_key(name: str, command: Sequence[Any]) -> int:
    if name in ("EVAL", "EVALSHA"):  # the script, the number of keys, the keys
        return 3 if int(command[2]) > 0 else len(command)
    if name == "XREADGROUP":
        # GROUP, its name and the reader's come first, and may be called anything
        return [_text(part).upper() for part in command].index("STREAMS", 4) + 1
    return 1


def _text(part: Any) -> str:
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)


def _bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int
    owner: Address


@dataclass(slots=True)
class SlotMap:
    """What a node said about the cluster, and what other nodes have corrected since."""

    ranges: tuple[_Range, ...] = ()
    addresses: frozenset[Address] = frozenset()
    _moved: dict[int, Address] = field(default_factory=dict)

    @classmethod
    def read(cls, reply: Any, asked: Address) -> "SlotMap":
        """From the reply to CLUSTER SLOTS: first and last slot, the primary, its replicas, each with host and port."""
        ranges: list[_Range] = []
        addresses: set[Address] = set()
        for first, last, *nodes in reply:
            of_range = [(_text(node[0] or "") or asked[0], int(node[1])) for node in nodes]
            ranges.append(_Range(int(first), int(last), of_range[0]))
            addresses.update(of_range)
        return cls(tuple(ranges), frozenset(addresses))

    def owner(self, slot: int) -> Address | None:
        """None: nobody serves it."""
        if slot in self._moved:
            return self._moved[slot]
        return next((each.owner for each in self.ranges if each.first <= slot <= each.last), None)

    def moved(self, slot: int, address: Address) -> None:
        """A node has sent us there."""
        self._moved[slot] = address

    @property
    def owners(self) -> frozenset[Address]:
        """The nodes that have slots: the primaries."""
        return frozenset(each.owner for each in self.ranges)
