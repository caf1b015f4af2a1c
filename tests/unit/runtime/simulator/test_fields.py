import pytest

from runtime.simulator import fields
from runtime.simulator.errors import Refused


def test_absent_and_null_are_none() -> None:
    for raw in ({}, {"a": None}):
        assert fields.whole(raw, "a", 0, 9) is None
        assert fields.number(raw, "a", 9) is None
        assert fields.flag(raw, "a") is None


@pytest.mark.parametrize("value", [0, 9])
def test_the_bounds_belong_to_the_range(value: int) -> None:
    assert fields.whole({"a": value}, "a", 0, 9) == value
    assert fields.number({"a": value}, "a", 9) == value


@pytest.mark.parametrize("value", [-1, 10, 1.0, "1", True, [1]])
def test_no_integer_of_the_range_is_refused_by_its_path(value: object) -> None:
    with pytest.raises(Refused) as caught:
        fields.whole({"a": value}, "a", 0, 9, path="deep.")
    assert (caught.value.status, caught.value.param) == (400, "deep.a")


@pytest.mark.parametrize("value", [-0.5, 9.5, "1", False])
def test_no_number_of_the_range_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="from 0 to 9"):
        fields.number({"a": value}, "a", 9)


@pytest.mark.parametrize("value", [0, 1, "true"])
def test_only_booleans_are_flags(value: object) -> None:
    with pytest.raises(Refused, match="true or false"):
        fields.flag({"a": value}, "a")
