"""What is imported, and what stays, is not looked through for garbage."""

import gc

import pytest

from runtime.garbage import collect_rarely, uncollected


def test_nothing_is_collected_inside_and_what_was_made_there_stays_out_of_it() -> None:
    frozen = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
        made = [[number] for number in range(1_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)
    gc.unfreeze()


def test_an_error_inside_does_not_leave_it_switched_off() -> None:
    with pytest.raises(ZeroDivisionError), uncollected():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.unfreeze()


def test_what_is_there_is_set_apart_and_the_rest_looked_through_rarely() -> None:
    before = gc.get_threshold()
    made = [[number] for number in range(1_000)]
    try:
        collect_rarely()
        assert gc.isenabled()
        assert gc.get_freeze_count() >= len(made)
        assert gc.get_threshold()[0] > 10_000
        rarely, then, _ = gc.get_threshold()
        collect_rarely(shortly=True)
        assert rarely / 4 > gc.get_threshold()[0] >= 10_000, "one collection is short"
        assert gc.get_threshold()[0] * gc.get_threshold()[1] == rarely * then, "older objects are looked at as rarely"
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
