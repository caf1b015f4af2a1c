"""All that one process measures -> a snapshot; the snapshots of several processes -> one.

Counters and histograms of several workers add up, also those of workers that are gone: a sum that fell would look to
Prometheus like a restart. Gauges are only believed while they are fresh.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from runtime.metrics.series import Counter, Gauge, Histogram, Labels, Metric

# A worker writes its snapshot every second: one that did not for so long is gone, or stuck.
FRESH_MS = 10_000
# Name of a metric -> labels -> its value, or a histogram's row.
Values = dict[str, dict[Labels, Any]]


class Snapshot(Struct):
    """`at_ms` is wall-clock time."""

    at_ms: int
    values: Values

    def to_bytes(self) -> bytes:
        return _ENCODER.encode(_Flat(self.at_ms, {name: list(rows.items()) for name, rows in self.values.items()}))


class _Flat(Struct):
    """JSON has no keys of several parts."""

    at_ms: int
    values: dict[str, list[tuple[Labels, int | list[int]]]]


_ENCODER = Encoder()
_DECODER = Decoder(_Flat)


def parse(raw: bytes) -> Snapshot | None:
    """What `to_bytes` made; None for anything else."""
    try:
        flat = _DECODER.decode(raw)
    except DecodeError:
        return None
    return Snapshot(flat.at_ms, {name: dict(rows) for name, rows in flat.values.items()})


class Book:
    """The metrics of one process. Each of `looks` puts the gauges that it knows, just before a snapshot is taken."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.metrics: tuple[Metric, ...] = tuple(metrics)
        self.looks: list[Callable[[], None]] = []

    def snapshot(self, now_ms: int) -> Snapshot:
        """As it is now; the values are not copied, so it is to be used before the loop goes on."""
        for metric in self.metrics:
            if isinstance(metric, Gauge):
                metric.values.clear()
        for look in self.looks:
            look()
        return Snapshot(now_ms, {metric.name: dict(metric.values) for metric in self.metrics})

    def go_on_from(self, before: Snapshot) -> None:
        """Count on from where the process before this one ended."""
        for metric in self.metrics:
            for labels, value in before.values.get(metric.name, {}).items():
                if isinstance(metric, Counter) and len(labels) == len(metric.labels):
                    metric.add(labels, value)
                elif isinstance(metric, Histogram) and _fits(metric, labels, value):
                    row = metric.row(labels)
                    row[:] = _sum(row, value)  # in place: who writes to a row may have kept it


def merged(metrics: Sequence[Metric], snapshots: Sequence[Snapshot], now_ms: int) -> Values:
    """One set of values out of those of several processes with the same metrics."""
    found: Values = {metric.name: {} for metric in metrics}
    for snapshot in snapshots:
        is_fresh = now_ms - snapshot.at_ms <= FRESH_MS
        for metric in metrics:
            rows = snapshot.values.get(metric.name, {})
            if not isinstance(metric, Gauge):
                _add(metric, found[metric.name], rows)
            elif is_fresh:
                _join(metric, found[metric.name], rows)
    return found


def _add(metric: Counter | Histogram, into: dict[Labels, Any], rows: dict[Labels, Any]) -> None:
    """What another version wrote, with other labels or other bounds, is left out."""
    for labels, value in rows.items():
        if isinstance(metric, Counter):
            if len(labels) == len(metric.labels):
                into[labels] = into.get(labels, 0) + value
        elif _fits(metric, labels, value):
            before = into.get(labels)
            into[labels] = list(value) if before is None else _sum(before, value)


def _fits(metric: Histogram, labels: Labels, row: Sequence[int]) -> bool:
    return len(labels) == len(metric.labels) and len(row) == len(metric.bounds) + 2


def _sum(row: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(row, other, strict=True)]


def _join(metric: Gauge, into: dict[Labels, Any], rows: dict[Labels, Any]) -> None:
    for labels, value in rows.items():
        before = into.get(labels)
        if before is None:
            into[labels] = value
        else:
            into[labels] = before + value if metric.across == "sum" else max(before, value)
