"""What all connections of one server have in common."""

import asyncio
import os
from itertools import count
from typing import Protocol, TypeVar

from runtime.clock import wall_ms
from runtime.simulator.chat import ChatAnswer
from runtime.simulator.kinds import Kind
from runtime.simulator.metrics import meter_of
from runtime.simulator.orders import is_plain
from runtime.simulator.plan import plan_chat, read_object
from runtime.simulator.settings import SimulatorSettings
from runtime.simulator.totals import Books

K = TypeVar("K")
V = TypeVar("V")

# A benchmark sends the same few bodies again and again: what was understood once is kept, about 16 MB at most.
MAX_KNOWN = 256
MAX_KNOWN_BYTES = 16 << 10


class Member(Protocol):
    """A connection, as far as its server deals with it."""

    def abort(self) -> None: ...
    def close_if_idle(self) -> None: ...


class Shared:
    """The settings, the books, who is connected, and what was understood before."""

    def __init__(self, settings: SimulatorSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.loop = loop
        meter = meter_of(settings.kind, settings.models, wall_ms() / 1000)
        self.books = Books(record_credentials=settings.record_credentials, meter=meter)
        self.connections: set[Member] = set()
        self.deserted = asyncio.Event()  # set while nobody is connected
        self.deserted.set()
        self._known: dict[bytes, ChatAnswer] = {}
        self._header_names: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}
        self._id_prefix = os.urandom(8).hex().encode()
        self._ids = count(1)

    def joined(self, connection: Member) -> None:
        self.connections.add(connection)
        self.deserted.clear()

    def left(self, connection: Member) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.deserted.set()

    def new_id(self) -> bytes:
        return b"%b%016x" % (self._id_prefix, next(self._ids))

    def understand(self, body: bytes) -> ChatAnswer | None:
        """The answer to a body; None if that takes a dialect. Raises Refused."""
        if self.settings.kind is not Kind.GENERIC:
            return None
        known = self._known.get(body)
        if known is None:
            raw = read_object(body)
            if not is_plain(raw.get("simulate")):
                return None
            known = ChatAnswer(plan_chat(raw, self.settings))
            if known.small and len(body) <= MAX_KNOWN_BYTES:
                _keep(self._known, body, known)
        return known

    def same_names(self, headers: dict[bytes, bytes]) -> tuple[bytes, ...]:
        """Their names, as one object for equal requests: records are many, kinds of clients few."""
        names = tuple(headers)
        known = self._header_names.get(names)
        if known is None:
            known = _keep(self._header_names, names, names)
        return known


def _keep(known: dict[K, V], key: K, value: V) -> V:
    if len(known) >= MAX_KNOWN:
        known.clear()
    known[key] = value
    return value
