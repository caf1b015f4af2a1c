"""Every metric and alert has its line in docs/OPERATING.md, and alerts and dashboard ask for metrics that exist."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ledger.meters import LEDGER
from proxy.telemetry.meters import PROXY
from proxy.telemetry.metrics_page import ASKED
from runtime.logs import ALLOWED_FIELDS
from runtime.metrics.common import COMMON, LOG_LINES
from runtime.metrics.series import Histogram, Metric
from tests.shape.tree import ROOT

PAGE = (ROOT / "docs" / "OPERATING.md").read_text()
MONITORING = ROOT / "docs" / "monitoring"
METRICS: dict[str, Metric] = {metric.name: metric for metric in (*PROXY, *ASKED, *LEDGER, *COMMON)}
RULES = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES]
TESTED = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())

_ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| ([^|]+) \| \S.* \|$", re.MULTILINE)
_SELECTED = re.compile(r"\b((?:farebox|process)_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_LABELS_OF_PROMETHEUS = {"instance", "job"}


def series_of(metric: Metric) -> dict[str, set[str]]:
    """The names under which Prometheus has it, each with its labels."""
    labels = set(metric.labels) | _LABELS_OF_PROMETHEUS
    if isinstance(metric, Histogram):
        name = metric.name
        return {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
    return {metric.name: labels}


SERIES = {name: labels for metric in METRICS.values() for name, labels in series_of(metric).items()}


def faults(query: str) -> list[str]:
    """What a query asks for that there is not."""
    found = []
    for name, matchers in _SELECTED.findall(query):
        if name not in SERIES:
            found.append(name)
            continue
        found += [f"{name}: {label}" for label, _ in _MATCHER.findall(matchers) if label not in SERIES[name]]
    return found


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (variable["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query")


def test_every_metric_has_its_line() -> None:
    listed = {name: (kind, tuple(re.findall(r"`([a-z_]+)`", labels))) for name, kind, labels in _ROW.findall(PAGE)}
    assert listed == {name: (metric.kind, metric.labels) for name, metric in METRICS.items()}


def test_no_two_metrics_have_one_name() -> None:
    assert len(METRICS) == sum(map(len, (PROXY, ASKED, LEDGER, COMMON)))


def test_every_alert_has_its_runbook() -> None:
    runbooks = PAGE.split("\n## Alerts", 1)[1].split("\n## ", 1)[0].split("\n### ")[1:]
    assert [text.split("\n", 1)[0] for text in runbooks] == ALERTS
    assert all("**Look at:**" in text and "**Do:**" in text for text in runbooks)
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/OPERATING.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_an_alert_asks_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    assert faults(rule["expr"]) == []
    assert _SELECTED.findall(rule["expr"]) or rule["expr"].startswith("up{")


def test_the_events_that_alerts_ask_for_are_counted_from_nothing() -> None:
    """What begins with its first time has not grown, for Prometheus."""
    asked = {
        event
        for rule in RULES
        for label, events in _MATCHER.findall(rule["expr"])
        if label == "event"
        for event in events.split("|")
    }
    assert len(asked) > 10
    assert asked <= {event for level, event in LOG_LINES.values if level == "error"}


def test_every_alert_is_tried_when_all_is_well_and_when_it_is_not() -> None:
    tried = {case["alertname"]: [] for test in TESTED for case in test["alert_rule_test"]}  # type: ignore[var-annotated]
    for test in TESTED:
        for case in test["alert_rule_test"]:
            tried[case["alertname"]].append(len(case["exp_alerts"]))
    assert tried == {alert: [0, 1] for alert in ALERTS}
    assert [fault for test in TESTED for each in test["input_series"] for fault in faults(each["series"])] == []


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    found = list(queries())
    assert [fault for query in found for fault in faults(query)] == []
    assert all(_SELECTED.search(query) for query in found)
    assert len(found) > 30
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_fields_of_a_request_line_are_fields() -> None:
    table = PAGE.split("Every request to the gateway has one line", 1)[1].split("\n\nIt is a line", 1)[0]
    fields = {
        field for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for field in re.findall(r"`(\w+)`", row)
    }
    assert len(fields) > 15
    assert fields <= ALLOWED_FIELDS


@pytest.mark.parametrize(
    "query",
    ["rate(farebox_nothing_total[5m])", 'farebox_holds{model="a"}', "farebox_request_seconds", "farebox_holds_total"],
)
def test_a_fault_is_found(query: str) -> None:
    assert faults(query)
