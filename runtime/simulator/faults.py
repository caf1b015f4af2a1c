"""Which fault, and when.

A fault either replaces the whole answer (`REPLACING`) or lets it begin and spoils it later. `after_chunks` counts
server-sent events of any kind, the role chunk included; where the stream has fewer, the fault comes after its last.
An answer that is not streamed has no chunks: `stall` and `cut` then come before its first byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runtime.simulator import fields
from runtime.simulator.errors import invalid

MAX_AFTER_CHUNKS = 1_000_000_000
PATH = "simulate."


class FaultKind(StrEnum):
    STALL = "stall"  # sends nothing more, keeps the connection open
    CUT = "cut"  # resets the connection
    ERROR_EVENT = "error_event"  # an error as an event, then a clean end without [DONE]
    NO_DONE = "no_done"  # a clean end without usage and [DONE]
    TRUNCATE = "truncate"  # closes before the end the framing has promised
    STATUS = "status"  # an error status with an OpenAI-shaped body
    GARBAGE = "garbage"  # bytes that are not HTTP
    CLOSE = "close"  # closes without an answer
    REDIRECT = "redirect"  # a 302
    BAD_JSON = "bad_json"  # a 200 whose JSON body is none


STREAM_ONLY = frozenset({FaultKind.ERROR_EVENT, FaultKind.NO_DONE})
REPLACING = frozenset({FaultKind.STATUS, FaultKind.GARBAGE, FaultKind.CLOSE, FaultKind.REDIRECT, FaultKind.BAD_JSON})


@dataclass(frozen=True, slots=True)
class Fault:
    """`after_chunks` None: at once, for `no_done` after the finish chunk. `status` only with kind STATUS."""

    kind: FaultKind
    after_chunks: int | None = None
    status: int | None = None


def read_fault(raw: Mapping[str, Any], *, streamed: bool) -> Fault | None:
    """The fault ordered in the `simulate` object; a 400 names the field that is wrong."""
    after_chunks = fields.whole(raw, "after_chunks", 0, MAX_AFTER_CHUNKS, path=PATH)
    status = fields.whole(raw, "status", 400, 599, path=PATH)
    kind = _read_kind(raw.get("fault"))
    if kind is None:
        if after_chunks is not None or status is not None:
            raise invalid("'simulate.after_chunks' and 'simulate.status' need a fault", PATH + "fault")
        return None
    if (kind is FaultKind.STATUS) != (status is not None):
        raise invalid("'simulate.status' goes with the fault 'status', and only with it", PATH + "status")
    if kind in STREAM_ONLY and not streamed:
        raise invalid(f"the fault '{kind}' needs a streamed answer", PATH + "fault")
    if after_chunks is not None and (kind in REPLACING or not streamed):
        raise invalid("'simulate.after_chunks' needs a fault inside a stream", PATH + "after_chunks")
    return Fault(kind, after_chunks, status)


def _read_kind(name: object) -> FaultKind | None:
    if name is None:
        return None
    if not isinstance(name, str) or name not in FaultKind.__members__.values():
        raise invalid(f"'simulate.fault' must be one of {', '.join(FaultKind)}", PATH + "fault")
    return FaultKind(name)


def stop_at(fault: Fault, *, count: int, finished_at: int) -> int:
    """How many events of a stream of `count` go out before the fault; after `finished_at` come usage and [DONE]."""
    if fault.after_chunks is not None:
        return min(fault.after_chunks, count)
    return finished_at if fault.kind is FaultKind.NO_DONE else 0
