"""Snapshots of one process, and of several as one."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.metrics.book import FRESH_MS, Book, Snapshot, merged, parse
from runtime.metrics.series import Counter, Gauge, Histogram

NOW_MS = 1_800_000_000_000


def metrics() -> tuple[Counter, Gauge, Gauge, Histogram]:
    return (
        Counter("asked_total", "Asked.", ("model",)),
        Gauge("open", "Open."),
        Gauge("worst", "Worst.", across="max"),
        Histogram("took_seconds", "Took.", ("model",), bounds=[10, 20]),
    )


def snapshot(asked: int = 0, gauge: int = 0, at_ms: int = NOW_MS) -> Snapshot:
    counter, sums, largest, histogram = metrics()
    book = Book([counter, sums, largest, histogram])
    book.looks = [lambda: sums.put(gauge), lambda: largest.put(gauge)]
    counter.add(("a",), asked)
    for _ in range(asked):
        histogram.observe(("a",), 15)
    return book.snapshot(at_ms)


def test_counts_of_several_processes_add_up() -> None:
    values = merged(metrics(), [snapshot(2), snapshot(3)], NOW_MS)
    assert values["asked_total"] == {("a",): 5}
    assert values["took_seconds"] == {("a",): [0, 5, 0, 75]}


def test_a_gauge_is_a_sum_or_the_largest() -> None:
    values = merged(metrics(), [snapshot(gauge=2), snapshot(gauge=3)], NOW_MS)
    assert (values["open"], values["worst"]) == ({(): 5}, {(): 3})


def test_of_a_process_that_is_gone_only_the_counts_stay() -> None:
    gone = snapshot(4, gauge=9, at_ms=NOW_MS - FRESH_MS - 1)
    values = merged(metrics(), [snapshot(1, gauge=1), gone], NOW_MS)
    assert (values["asked_total"], values["open"]) == ({("a",): 5}, {(): 1})


def test_a_gauge_that_nobody_puts_any_more_is_gone() -> None:
    _, gauge, _, _ = found = metrics()
    book = Book(found)
    gauge.put(3)
    assert book.snapshot(NOW_MS).values["open"] == {}


@given(st.dictionaries(st.tuples(st.text(max_size=5)), st.integers(0, 2**63)), st.integers(0, 2**53))
def test_a_snapshot_is_what_it_was_when_it_is_read(counts: dict[tuple[str, ...], int], at_ms: int) -> None:
    before = Snapshot(at_ms, {"asked_total": counts, "took_seconds": {("a",): [1, 2, 3, 4]}})
    assert parse(before.to_bytes()) == before


def test_what_is_no_snapshot_is_none() -> None:
    assert parse(b"") is parse(b'{"at_ms": 1}') is parse(b"\xff") is None


def test_a_process_in_a_dead_ones_place_counts_on() -> None:
    """Its rows stay the same lists: who writes to one has kept it."""
    counter, _, _, histogram = found = metrics()
    row = histogram.row(("a",))
    Book(found).go_on_from(snapshot(3))
    counter.add(("a",))
    row[0] += 1
    assert (counter.values, histogram.values) == ({("a",): 4}, {("a",): [1, 3, 0, 45]})


def test_what_another_version_wrote_otherwise_is_left_out() -> None:
    other = Snapshot(NOW_MS, {"asked_total": {("a", "b"): 7}, "took_seconds": {("a",): [1, 2]}, "unheard_of": {(): 1}})
    assert merged(metrics(), [snapshot(1), other], NOW_MS) == merged(metrics(), [snapshot(1)], NOW_MS)
    counter, _, _, histogram = found = metrics()
    Book(found).go_on_from(other)
    assert (counter.values, histogram.values) == ({}, {})
