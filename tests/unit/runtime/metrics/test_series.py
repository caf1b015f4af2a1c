"""Counting with plain integers."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.metrics.series import OTHER, Bounded, Counter, Gauge, Histogram


def test_a_counter_without_labels_begins_at_nothing_and_is_there() -> None:
    counter = Counter("c_total", "C.")
    assert counter.values == {(): 0}
    counter.add((), 2)
    counter.add(())
    assert counter.values == {(): 3}
    assert Counter("c_total", "C.", ("of",)).values == {}


def test_a_gauge_is_what_it_was_put_to_last() -> None:
    gauge = Gauge("g", "G.", ("of",))
    gauge.put(1, ("a",))
    gauge.put(5, ("a",))
    assert gauge.values == {("a",): 5}


def test_a_bound_belongs_to_what_is_at_most_as_much() -> None:
    histogram = Histogram("h", "H.", bounds=[10, 20])
    for value in (0, 10, 11, 20, 21):
        histogram.observe((), value)
    assert histogram.values == {(): [2, 2, 1, 62]}


@given(st.lists(st.integers(0, 10**9)), st.lists(st.integers(0, 10**9), unique=True).map(sorted))
def test_every_value_has_its_place(values: list[int], bounds: list[int]) -> None:
    histogram = Histogram("h", "H.", ("of",), bounds=bounds)
    for value in values:
        histogram.observe(("x",), value)
    row = histogram.row(("x",))
    assert sum(row[:-1]) == len(values)
    assert row[-1] == sum(values)
    for place, bound in enumerate(bounds):
        assert sum(row[: place + 1]) == sum(value <= bound for value in values)


@given(st.lists(st.text()), st.integers(0, 5))
def test_however_many_names_there_are_only_so_many_are_kept(names: list[str], most: int) -> None:
    bounded = Bounded(most)
    labels = {bounded.label(name) for name in names}
    assert len(bounded) <= most
    assert len(labels - {OTHER}) <= most
    for name in list(dict.fromkeys(names))[:most]:
        assert bounded.label(name) == name
