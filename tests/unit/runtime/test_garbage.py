"""What is imported is not looked through for garbage; afterwards all is as before."""

import gc

import pytest

from runtime.garbage import uncollected


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
