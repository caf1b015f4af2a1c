"""The simulator's own books: a record per request, counts per model.

Tests compare them with what the proxy debited. A request is counted once it was understood (its body made a
plan); what was refused before that only counts as `refused`. Tokens count as soon as they are handed to the
operating system, whether or not anyone reads them.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

MAX_RECORDS = 100_000


class State(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    CLIENT_LEFT = "client_left"
    FAULTED = "faulted"


@dataclass(slots=True, eq=False)
class Record:
    """One request. `headers_seen` are header names as received; `authorization` only where it is recorded. `more` is
    what a dialect counts besides: parts of the tokens, seconds, characters, images.
    """

    request_id: str | None
    model: str
    prompt_tokens: int
    headers_seen: tuple[bytes, ...] = ()
    authorization: str | None = None
    completion_tokens: int = 0
    state: State = State.RUNNING
    more: Mapping[str, Any] | None = None

    def shown(self, *, credentials: bool) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "request_id": self.request_id,
            "model": self.model,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "state": self.state.value,
            "headers_seen": [name.decode("latin-1").lower() for name in self.headers_seen],
        }
        fields |= self.more or {}
        if "reasoning_tokens" in fields:  # they come first, so no more of them are out than tokens at all
            fields["reasoning_tokens"] = min(fields["reasoning_tokens"], self.completion_tokens)
        return fields | {"authorization": self.authorization} if credentials else fields


@dataclass(slots=True)
class Counts:
    """`aborted` is what ended early: the client left, or a fault was ordered. Running requests are in `requests`."""

    requests: int = 0
    finished: int = 0
    aborted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, record: Record) -> None:
        self.requests += 1
        self.finished += record.state is State.FINISHED
        self.aborted += record.state in (State.CLIENT_LEFT, State.FAULTED)
        self.prompt_tokens += record.prompt_tokens
        self.completion_tokens += record.completion_tokens


@dataclass(slots=True)
class Totals(Counts):
    refused: int = 0
    by_model: dict[str, Counts] = field(default_factory=dict)


class Meter(Protocol):
    """Counters that a server publishes about itself."""

    def ended(self, record: Record) -> None: ...
    def reset(self) -> None: ...
    def page(self, running: Iterable[Record]) -> bytes: ...


class Books:
    """Keeps the last MAX_RECORDS records, and counts over all requests since the start or the last reset."""

    def __init__(
        self, *, record_credentials: bool = False, max_records: int = MAX_RECORDS, meter: Meter | None = None
    ) -> None:
        self.record_credentials = record_credentials
        self._records: deque[Record] = deque(maxlen=max_records)
        self._running: set[Record] = set()
        self._ended: dict[str, Counts] = {}
        self._meter = meter
        self.refused = 0

    def open(self, record: Record) -> None:
        self._records.append(record)
        self._running.add(record)

    def close(self, record: Record, state: State) -> None:
        """The record's end. One that was open during a reset is forgotten."""
        record.state = state
        if record in self._running:
            self._running.remove(record)
            self._count(record)

    def add_finished(self, record: Record) -> None:
        """`open` and `close` in one, for an answer that is over as soon as it began."""
        record.state = State.FINISHED
        self._records.append(record)
        self._count(record)

    def _count(self, record: Record) -> None:
        counts = self._ended.get(record.model)
        if counts is None:
            counts = self._ended[record.model] = Counts()
        counts.add(record)
        if self._meter is not None:
            self._meter.ended(record)

    def metrics(self) -> bytes | None:
        """The page of the server's own counters; None: it has none."""
        return None if self._meter is None else self._meter.page(self._running)

    def totals(self) -> Totals:
        """Everything counted, running requests with what they emitted so far."""
        totals = Totals(refused=self.refused)
        for model, counts in self._ended.items():
            totals.by_model[model] = _sum(Counts(), counts)
            _sum(totals, counts)
        for record in self._running:
            totals.by_model.setdefault(record.model, Counts()).add(record)
            totals.add(record)
        return totals

    def records(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """The records, oldest first; with `request_id` only those that came with it."""
        return [
            record.shown(credentials=self.record_credentials)
            for record in self._records
            if request_id is None or record.request_id == request_id
        ]

    def reset(self) -> None:
        self._records.clear()
        self._running.clear()
        self._ended.clear()
        if self._meter is not None:
            self._meter.reset()
        self.refused = 0


def _sum(into: Counts, other: Counts) -> Counts:
    into.requests += other.requests
    into.finished += other.finished
    into.aborted += other.aborted
    into.prompt_tokens += other.prompt_tokens
    into.completion_tokens += other.completion_tokens
    return into
