"""Values -> the page that Prometheus reads: its text format, or OpenMetrics for who asks for that.

The words are prometheus_client's. It is imported by the first who asks, in a thread: it takes forty milliseconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from runtime.metrics.book import Values
from runtime.metrics.series import Counter, Histogram, Labels, Metric

if TYPE_CHECKING:
    from prometheus_client import Metric as Family


def render(metrics: Sequence[Metric], values: Values, accept: str) -> tuple[bytes, str]:
    """The page and its content type; `accept` is what the client said it takes. Not for the event loop."""
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return encode(cast(Any, _Collected(metrics, values))), content_type


class _Collected:
    """What prometheus_client takes for a registry: something to collect from."""

    def __init__(self, metrics: Sequence[Metric], values: Values) -> None:
        self._metrics = metrics
        self._values = values

    def collect(self) -> "Iterator[Family]":
        for metric in self._metrics:
            yield _family(metric, self._values.get(metric.name, {}))


def _family(metric: Metric, rows: Mapping[Labels, Any]) -> "Family":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help_text, labels=metric.labels)
        for labels, row in rows.items():
            histogram.add_metric(labels, _buckets(metric, row), sum_value=row[-1] / metric.per_unit)
        return histogram
    kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
    family = kind(metric.name.removesuffix("_total"), metric.help_text, labels=metric.labels)
    for labels, value in rows.items():
        family.add_metric(labels, value if metric.per_unit == 1 else value / metric.per_unit)
    return family


def _buckets(metric: Histogram, row: Sequence[int]) -> list[tuple[str, float]]:
    """Each with all that is below it, as Prometheus wants it."""
    bounds = [*(f"{bound / metric.per_unit:g}" for bound in metric.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(row[:-1])), strict=True))
