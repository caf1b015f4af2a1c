"""Each script with what it begins with; what they do is tried in tests/conformance."""

import pytest

from metering.scripts import source_of


@pytest.mark.parametrize(
    ("name", "has", "lacks"),
    [
        ("admit", ["available", "within_budgets", "admit"], ["renew", "settle"]),
        ("renew", ["available", "within_budgets", "renew"], ["admit", "settle"]),
        ("settle", ["available", "settle"], ["within_budgets", "admit"]),
        ("lapsed", ["read_hold"], ["within_budgets", "settle"]),
    ],
)
def test_a_script_begins_with_what_it_calls(name: str, has: list[str], lacks: list[str]) -> None:
    source = source_of(name)
    places = [source.index(f"local function {function}(") for function in has]
    assert places == sorted(places)
    assert not [function for function in lacks if f"local function {function}(" in source]


def test_time_is_asked_for_once_and_first() -> None:
    for name in ("admit", "renew", "settle", "lapsed"):
        assert source_of(name).count("redis.call('TIME')") == 1
        assert source_of(name).index("redis.call(") == source_of(name).index("redis.call('TIME')")
