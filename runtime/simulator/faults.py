"""Which fault, and when.

A fault either replaces the whole answer (`REPLACING`) or lets it begin and spoils it later. `after_chunks` counts
server-sent events of any kind, the role chunk included; where the stream has fewer, the fault comes after its last.
`after_tokens` and `after_bytes` (of the body) do the same by another measure, `after` by the stage the stream has
reached. An answer that is not streamed has no chunks: `stall` and `cut` then come before its first byte.
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
    FAILED = "failed"  # the format's own event for an answer that failed, where it has one; else as `error_event`
    NO_BLANK_LINE = "no_blank_line"  # the last event lacks the blank line that ends it
    ERROR_BODY = "error_body"  # a 200 whose JSON body is an error


class Stage(StrEnum):
    """Parts of a stream, in their order; a format that lacks one is through with it at once."""

    OPENING = "opening"  # all that comes before the first token
    WORDS = "words"
    FINISH = "finish"  # finish reasons
    USAGE = "usage"
    DONE = "done"  # `[DONE]`, `message_stop`


DIALECT_FAULTS = frozenset({FaultKind.FAILED, FaultKind.NO_BLANK_LINE, FaultKind.ERROR_BODY})
STREAM_ONLY = frozenset({FaultKind.ERROR_EVENT, FaultKind.NO_DONE, FaultKind.FAILED, FaultKind.NO_BLANK_LINE})
REPLACING = frozenset(
    {
        FaultKind.STATUS,
        FaultKind.GARBAGE,
        FaultKind.CLOSE,
        FaultKind.REDIRECT,
        FaultKind.BAD_JSON,
        FaultKind.ERROR_BODY,
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """When: at most one of the four `after…` is given, without them at once; `no_done` then comes after the finish
    chunk, `no_blank_line` at the very end. `status` only with kind STATUS.
    """

    kind: FaultKind
    after_chunks: int | None = None
    status: int | None = None
    after_tokens: int | None = None
    after_bytes: int | None = None
    after: Stage | None = None


def read_fault(raw: Mapping[str, Any], *, streamed: bool) -> Fault | None:
    """The fault ordered in the `simulate` object; a 400 names the field that is wrong."""
    points = _read_points(raw)
    status = fields.whole(raw, "status", 400, 599, path=PATH)
    kind = _read_kind(raw.get("fault"))
    if kind is None:
        if points or status is not None:
            raise invalid("'simulate.after…' and 'simulate.status' need a fault", PATH + "fault")
        return None
    if (kind is FaultKind.STATUS) != (status is not None):
        raise invalid("'simulate.status' goes with the fault 'status', and only with it", PATH + "status")
    if kind in STREAM_ONLY and not streamed:
        raise invalid(f"the fault '{kind}' needs a streamed answer", PATH + "fault")
    for name in points:
        if kind in REPLACING or not streamed:
            raise invalid(f"'{PATH}{name}' needs a fault inside a stream", PATH + name)
    return Fault(kind, status=status, **points)


def _read_points(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Where in the stream the fault comes: one field at most."""
    names = ("after_chunks", "after_tokens", "after_bytes")
    given = {name: fields.whole(raw, name, 0, MAX_AFTER_CHUNKS, path=PATH) for name in names}
    points: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if (stage := raw.get("after")) is not None:
        if not isinstance(stage, str) or stage not in Stage.__members__.values():
            raise invalid(f"'simulate.after' must be one of {', '.join(Stage)}", PATH + "after")
        points["after"] = Stage(stage)
    if len(points) > 1:
        raise invalid("a fault comes at one point only", PATH + sorted(points)[0])
    return points


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
