"""What a refusal and an ended request count as; and that no client can make series up."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.entries import UsageEntry
from metering.usage import Usage
from proxy.failures import TABLE
from proxy.settlement import Ending, charged_entry
from proxy.telemetry import meters
from proxy.telemetry.pace import Pace
from runtime.metrics.book import Book
from runtime.metrics.series import OTHER, Bounded
from tests.support.calls import admitted
from tests.support.gateway import Rig

USED = Usage(input_tokens=3, output_tokens=2, reasoning_tokens=1, images=4, audio_ms=1500)


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test counts from nothing; the rows that are written to directly stay the same."""
    meters.fold()
    monkeypatch.setattr(meters, "MODELS", Bounded(5))
    for metric in meters.PROXY:
        monkeypatch.setattr(metric, "values", {})
    yield
    meters.fold()


def ended(entry: UsageEntry, pace: Pace | None = None, priced_as: str = "tiny") -> None:
    """As it is when somebody looks at the counters afterwards."""
    meters.ended(entry, priced_as, "main", pace or Pace())
    meters.fold()


def entry(reason: str = "completed", status: int = 200, **changes: Any) -> UsageEntry:
    made = charged_entry(admitted(stream=True), Ending(reason, status), USED, "reported", 120)
    return replace(made, **changes)


async def test_an_ended_request() -> None:
    pace = Pace()
    pace.sent_ns = pace.began_ns + 1
    pace.close(pace.began_ns + 80_000_001)
    ended(entry(), pace)
    assert meters.REQUESTS.values == {("tiny", "/v1/chat/completions", "completed"): 1}
    assert meters.ENDINGS.values == {("main", "completed", "200"): 1}
    assert meters.TOKENS.values == {("tiny", "input"): 3, ("tiny", "output"): 2, ("tiny", "reasoning"): 1}
    assert (meters.IMAGES.values, meters.AUDIO.values) == ({("tiny",): 4}, {("tiny",): 1500})
    assert meters.CHARGED.values == {("tiny",): entry().cost_nanos}
    assert meters.COUNTED_BY.values == {("reported",): 1}
    assert (meters.DURATION.values["tiny",][-1], meters.FIRST_TOKEN.values["tiny",][-1]) == (120, 80)


async def test_requests_that_are_alike_add_up_whoever_looks_in_between() -> None:
    for _ in range(3):
        meters.ended(entry(), "tiny", "main", Pace())
    ended(entry())
    ended(entry())
    assert meters.REQUESTS.values == {("tiny", "/v1/chat/completions", "completed"): 5}
    assert meters.TOKENS.values == {("tiny", "input"): 15, ("tiny", "output"): 10, ("tiny", "reasoning"): 5}
    assert meters.CHARGED.values == {("tiny",): 5 * entry().cost_nanos}
    assert sum(meters.DURATION.values["tiny",][:-1]) == 5


async def test_where_nothing_was_used_nothing_is_charged_and_no_first_token_came() -> None:
    nothing: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "reasoning_tokens": 0, "images": 0, "audio_ms": 0}
    ended(entry("upstream_error", 502, usage_source="none", cost_nanos=0, **nothing))
    assert meters.REQUESTS.values == {("tiny", "/v1/chat/completions", "failed"): 1}
    assert not (meters.CHARGED.values or meters.TOKENS.values or meters.FIRST_TOKEN.values)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("completed", "completed"),
        ("ended_without_done", "completed"),
        ("client_left_drained", "client_left"),
        ("client_left", "client_left"),
        ("upstream_refused", "refused"),
        ("shutdown", "cut"),
        ("funds_ended", "cut"),
        *((code, "failed") for code in TABLE if code.startswith("upstream_")),
        ("internal_error", "failed"),
    ],
)
async def test_what_became_of_it(reason: str, outcome: str) -> None:
    ended(entry(reason))
    assert [labels[2] for labels in meters.REQUESTS.values] == [outcome]


async def test_what_farebox_adds_is_observed_before_and_after() -> None:
    pace = Pace()
    pace.sent_ns = pace.began_ns + 700_000
    pace.close()
    before, after = list(meters._BEFORE), list(meters._AFTER)
    ended(entry(), pace)
    meters.handed_over(2_000_000)
    assert (meters._BEFORE[-1] - before[-1], meters._AFTER[-1] - after[-1]) == (700, 2_000)


def series() -> int:
    values = Book(meters.PROXY).snapshot(0).values
    return sum(len(rows) for rows in values.values())


async def test_neither_models_nor_statuses_without_number_make_series_without_number() -> None:
    for count in range(2_000):
        meters.ended(entry(status=400 + count % 500), f"model-{count}", "main", Pace())
        assert len(meters._alike) <= 1_000
    meters.fold()
    assert len(meters.DURATION.values) == 5 + 1
    assert meters.REQUESTS.values[OTHER, "/v1/chat/completions", "completed"] == 1_995
    assert ("main", "completed", OTHER) in meters.ENDINGS.values
    assert sum(meters.ENDINGS.values.values()) == 2_000
    assert series() < 150


async def test_names_that_clients_make_up_make_no_series_at_all() -> None:
    """A model that nobody priced is refused, and of refusals only the code is counted."""
    async with Rig().serving() as rig:
        for count in range(300):
            assert (await rig.ask(model=f"made-up-{count}")).status == 404
            rig.client.transport.written.clear()
    assert meters.REFUSALS.values == {("model_not_found", ""): 300}
    assert series() == 1


def test_every_metric_says_what_it_is() -> None:
    names = [metric.name for metric in meters.PROXY]
    assert len(set(names)) == len(names) > 15
    assert all(metric.help_text.endswith(".") for metric in meters.PROXY)
    assert [name for name in names if not name.startswith("farebox_")] == []
