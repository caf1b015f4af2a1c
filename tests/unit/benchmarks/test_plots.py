"""Which bars stand together, and how they are labelled."""

from typing import Any

from benchmarks.plots import end, groups, label, strictest


def drawn(title: str, picture: str) -> dict[str, Any]:
    return {"title": title, "picture": picture}


def limit(kind: str, sign: str, value: float) -> dict[str, Any]:
    return {"kind": kind, "label": f"{kind} {sign} a", "value": value}


def test_figures_of_a_picture_stand_together_in_their_order() -> None:
    found = groups([drawn("c", "two"), drawn("b", "one"), drawn("x", ""), drawn("a", "two")])
    assert {name: [figure["title"] for figure in figures] for name, figures in found.items()} == {
        "one": ["b"],
        "two": ["c", "a"],
    }


def test_a_label_has_three_digits_that_count() -> None:
    assert [label(value) for value in (0.04567, 1.234, 98.76, 12_345.6)] == ["0.0457", "1.23", "98.8", "12,346"]


def test_bars_beside_which_the_others_would_not_be_seen_are_cut_off() -> None:
    assert end([2_270.0, 19.8, 14.8]) == 19.8
    assert end([90_000.0, 2_270.0, 19.8, 14.8]) == 19.8
    assert end([138_000.0, 40_000.0, 0.0]) == 138_000.0
    assert end([5.0]) == 5.0
    assert end([5.0, 0.0]) == 5.0


def test_the_limit_that_is_hardest_to_keep_is_drawn() -> None:
    low, high = limit("must", "≤", 1.0), limit("must", "≤", 2.0)
    assert strictest({"limits": [high, low]}) == [low]
    least, most = limit("must", "≥", 1.0), limit("must", "≥", 2.0)
    assert strictest({"limits": [least, most]}) == [most]
    aim = limit("aim", "≥", 3.0)
    assert strictest({"limits": [aim, limit("aim", "≥", 2.5), least, most]}) == [most, aim]
    assert strictest({"limits": []}) == []
