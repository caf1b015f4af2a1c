"""The page is one that Prometheus reads: our own strict parser does, and prometheus_client's."""

from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics

from runtime.exposition import parse
from runtime.metrics.book import Values
from runtime.metrics.page import render
from runtime.metrics.series import NANOS, Counter, Gauge, Histogram

PAID = Counter("paid_dollars_total", "Paid.", ("model",), per_unit=NANOS)
OPEN = Gauge("open", "Open.")
TOOK = Histogram("took_seconds", "Took.", bounds=[500, 1_000_000])
METRICS = (PAID, OPEN, TOOK)
VALUES: Values = {
    "paid_dollars_total": {('a"b\\c\nd',): 1_500_000_000},
    "open": {(): 3},
    "took_seconds": {(): [1, 2, 3, 500]},
}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


# Declared without types.
parsed: Any = openmetrics.text_string_to_metric_families


def test_the_text_format() -> None:
    body, content_type = render(METRICS, VALUES, "")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    samples = {(sample.name, *sample.labels): sample.value for sample in parse(body.decode())}
    assert samples == {
        ("paid_dollars_total", ("model", 'a"b\\c\nd')): 1.5,
        ("open",): 3,
        ("took_seconds_bucket", ("le", "0.0005")): 1,
        ("took_seconds_bucket", ("le", "1")): 3,
        ("took_seconds_bucket", ("le", "+Inf")): 6,
        ("took_seconds_count",): 6,
        ("took_seconds_sum",): 0.0005,
    }


def test_openmetrics_for_who_asks_for_it() -> None:
    body, content_type = render(METRICS, VALUES, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name: family.type for family in parsed(body.decode())}
    assert families == {"paid_dollars": "counter", "open": "gauge", "took_seconds": "histogram"}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_what_has_no_values_is_declared_all_the_same(accept: str) -> None:
    body, _ = render(METRICS, {}, accept)
    assert body.decode().count("# TYPE") == len(METRICS)
