"""What a benchmark makes of what it measured."""

import pytest

from benchmarks.values import BEGIN, END, Summary, between_markers, digits, percentile, ratio, summary, table


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1, 101))
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([7.0], 99) == 7.0


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_summary_is_the_median_and_how_far_apart_the_repeats_were() -> None:
    assert summary([10.0, 30.0, 20.0]) == Summary(20.0, lowest=10.0, highest=30.0, values=(10.0, 30.0, 20.0))


def test_a_number_is_shown_with_three_digits_that_count() -> None:
    assert [digits(value) for value in (0.04567, 1.234, 98.76, -1.5, 12_345.6)] == [
        "0.0457",
        "1.23",
        "98.8",
        "-1.5",
        "12,346",
    ]


def test_a_ratio_to_nothing_is_none() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(3.0, 0.0) is None


def test_the_table_compares_with_its_base() -> None:
    rows = {"slow": summary([100.0] * 3), "fast": summary([240.0, 250.0, 265.0])}
    assert "| fast | 250 | 240 | 265 | 2.50 |" in table("requests", rows, "slow").splitlines()
    assert "| fast | 250 | 240 | 265 | 150 |" in table("requests", rows, "slow", adds=True).splitlines()
    assert "| fast | 250 | 240 | 265 |" in table("requests", rows, "another").splitlines()


def test_the_tables_take_the_place_of_those_before() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter"
    assert between_markers(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter"
    with pytest.raises(ValueError, match="markers"):
        between_markers("a page without", "new")
