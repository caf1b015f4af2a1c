"""What a benchmark makes of what it measured."""

import pytest

from benchmarks.numbers import BEGIN, END, Figure, between_markers, figure, percentile, ratio, table


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1, 101))
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([7.0], 99) == 7.0


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_figure_is_the_median_and_how_far_apart_the_repeats_were() -> None:
    assert figure([10.0, 30.0, 20.0]) == Figure(20.0, 10.0, 30.0)
    assert figure([10.0, 30.0, 20.0]).spread_percent == 100.0
    assert figure([0.0]).spread_percent == 0.0


def test_a_ratio_to_nothing_is_none() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(3.0, 0.0) is None


def test_the_table_compares_with_its_base() -> None:
    rows = {"slow": figure([100.0]), "fast": figure([250.0])}
    assert "| fast | 250.00 | 0 % | 2.50 |" in table("requests", rows, "slow").splitlines()
    assert "| fast | 250.00 | 0 % |  |" in table("requests", rows, "another").splitlines()


def test_the_tables_take_the_place_of_those_before() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter"
    assert between_markers(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter"
    with pytest.raises(ValueError, match="markers"):
        between_markers("a page without", "new")
