"""The body field `simulate`: what one request tells the server to do. Unknown fields are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.simulator import details, fields
from runtime.simulator.details import DEFAULT, Details, read_details
from runtime.simulator.errors import invalid
from runtime.simulator.faults import DIALECT_FAULTS, PATH, Fault, read_fault
from runtime.simulator.settings import SimulatorSettings

# Far above what a test or a benchmark orders, far below what would hurt the machine it runs on.
MAX_TOKENS = 1_000_000
MAX_CHUNK_DELAY_MS = 60_000
MAX_FIRST_DELAY_MS = 600_000
MAX_SPLIT_BYTES = 1 << 20
MAX_CONTENT_BYTES = 64 << 20
MAX_HEADER_BYTES = 1 << 20

# All that the fast path of a generic chat knows; whatever else is ordered, the dialects do.
PLAIN_FIELDS = frozenset(
    {
        "tokens",
        "chunk_delay_ms",
        "first_delay_ms",
        "split_bytes",
        "fault",
        "after_chunks",
        "status",
        "usage",
        "big_header_bytes",
        "content_bytes",
    }
)
FIELDS = PLAIN_FIELDS | details.FIELDS | {"after", "after_tokens", "after_bytes"}


@dataclass(frozen=True, slots=True)
class Orders:
    """`split_bytes` 0 sends whole writes; `content_bytes` None lets the content be its tokens."""

    tokens: int
    chunk_delay_ms: float
    first_delay_ms: float = 0
    split_bytes: int = 0
    usage: bool = True
    big_header_bytes: int = 0
    content_bytes: int | None = None
    fault: Fault | None = None
    details: Details = DEFAULT


def is_plain(raw: object) -> bool:
    """Whether the field `simulate` orders nothing that only a dialect can do."""
    if not isinstance(raw, dict):
        return True
    fault = raw.get("fault")
    return raw.keys() <= PLAIN_FIELDS and not (isinstance(fault, str) and fault in DIALECT_FAULTS)


def read_orders(raw: object, settings: SimulatorSettings, *, streamed: bool) -> Orders:
    """The orders in `raw` (None: none) over the server's own; a 400 names the field that is wrong."""
    if raw is None:
        return Orders(settings.tokens, settings.chunk_delay_ms)
    if not isinstance(raw, dict):
        raise invalid("'simulate' must be an object", "simulate")
    if unknown := sorted(raw.keys() - FIELDS):
        raise invalid(f"'simulate' has no field '{unknown[0]}'", PATH + unknown[0])
    tokens = fields.whole(raw, "tokens", 0, MAX_TOKENS, path=PATH)
    chunk_delay_ms = fields.number(raw, "chunk_delay_ms", MAX_CHUNK_DELAY_MS, path=PATH)
    return Orders(
        tokens=settings.tokens if tokens is None else tokens,
        chunk_delay_ms=settings.chunk_delay_ms if chunk_delay_ms is None else chunk_delay_ms,
        first_delay_ms=fields.number(raw, "first_delay_ms", MAX_FIRST_DELAY_MS, path=PATH) or 0,
        split_bytes=fields.whole(raw, "split_bytes", 1, MAX_SPLIT_BYTES, path=PATH) or 0,
        usage=fields.flag(raw, "usage", path=PATH) is not False,
        big_header_bytes=fields.whole(raw, "big_header_bytes", 0, MAX_HEADER_BYTES, path=PATH) or 0,
        content_bytes=_read_content_bytes(raw, streamed=streamed),
        fault=read_fault(raw, streamed=streamed),
        details=read_details(raw),
    )


def _read_content_bytes(raw: Mapping[str, Any], *, streamed: bool) -> int | None:
    size = fields.whole(raw, "content_bytes", 0, MAX_CONTENT_BYTES, path=PATH)
    if size is not None and streamed:
        raise invalid("'simulate.content_bytes' needs an answer that is not streamed", PATH + "content_bytes")
    return size
