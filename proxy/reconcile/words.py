"""What came of a comparison with an upstream, for people and for programs."""

from datetime import UTC, datetime
from typing import Any

from metering.reconciliation import Line, Remarks
from proxy.reconcile.snapshots import Snapshot
from proxy.reconcile.upstream import Compared

_COLUMNS = ("billed", "counted", "difference")


def as_json(compared: Compared) -> dict[str, Any]:
    found = compared.found
    return {
        "within": compared.is_within,
        "vague": found.is_vague,
        "upstream": compared.first.upstream,
        "from": _moment(compared.first),
        "to": _moment(compared.second),
        "was_reset": found.was_reset,
        "still_running": compared.unposted.running,
        "unposted": compared.unposted.events > 0,
        "lines": [_line_json(line) for line in found.lines],
        "remarks": {model: _remarks_json(remarks) for model, remarks in found.remarks.items()},
    }


def _line_json(line: Line) -> dict[str, Any]:
    return {
        "model": line.model,
        "direction": line.direction,
        "billed": line.billed,
        "at_edges": line.at_edges,
        "counted": line.counted,
        "least": line.least,
        "most": line.most,
        "difference": line.difference,
        "percent": round(100 * line.share, 4),
        "within": line.is_within,
    }


def _remarks_json(remarks: Remarks) -> dict[str, int]:
    return {name: getattr(remarks, name) for name in remarks.__slots__}


def as_text(compared: Compared) -> str:
    found = compared.found
    window = f"{_moment(compared.first):%Y-%m-%d %H:%M:%S} to {_moment(compared.second):%Y-%m-%d %H:%M:%S} UTC"
    lines = [f"{compared.first.upstream}, {window}", ""]
    width = max([len(line.model) for line in found.lines] + [len("model")])
    lines.append(f"{'model':<{width}}  {'tokens':<6}" + "".join(f"  {name:>14}" for name in (*_COLUMNS, "percent")))
    lines += [_line(line, width) for line in found.lines] or ["nothing was billed or counted"]
    lines += _remarks(compared)
    lines.append(_verdict(compared))
    return "\n".join(lines)


def _line(line: Line, width: int) -> str:
    amounts = "".join(f"  {amount:>14,}" for amount in (line.billed, line.counted, line.difference))
    return f"{line.model:<{width}}  {line.direction:<6}{amounts}  {100 * line.share:>13.3f}%{_beside(line)}"


def _beside(line: Line) -> str:
    if not line.is_within:
        return "  DIFFERS"
    return f"  may be {line.least:,} to {line.most:,}" if line.least != line.most else ""


def _remarks(compared: Compared) -> list[str]:
    lines = []
    for model, remarks in compared.found.remarks.items():
        said = [text for count, text in _sentences(remarks) if count]
        lines += [f"  {model}: {text}" for text in said]
    return ["", *lines, ""] if lines else [""]


def _sentences(remarks: Remarks) -> list[tuple[int, str]]:
    """How many requests, and what is to be said of them."""
    return [
        (remarks.at_edges, f"{remarks.at_edges} requests ran while a counter was read: they are in it in part"),
        (
            remarks.cut,
            f"{remarks.cut} were cut (client left, or a fault): {remarks.cut_tokens:,} tokens out were billed",
        ),
        (
            remarks.drained,
            f"{remarks.drained} were read to their end without a client: {remarks.drained_tokens:,} tokens out",
        ),
        (remarks.free, f"{remarks.free} were free: what the server did for them is in its counters only"),
        (
            remarks.counted_by_us,
            f"{remarks.counted_by_us} were counted here: {remarks.counted_by_us_tokens:,} tokens out",
        ),
    ]


def _verdict(compared: Compared) -> str:
    if compared.found.was_reset:
        return "the server started anew in between: what it had counted before is gone, so nothing can be said"
    if compared.unposted.running:
        return f"{compared.unposted.running} requests (of any upstream) still ran: try again with a longer --wait"
    if compared.unposted.events:
        return "usage was waiting to be posted: is `farebox ledger` running?"
    if not compared.is_within:
        return "billed and counted DIFFER"
    if compared.found.is_vague:
        return "nothing differs, but much ran at an edge or was cut: a longer interval says more"
    return "billed and counted agree"


def _moment(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.window.begun_ms / 1000, UTC)
