"""The explorer itself, on worlds that are known by heart."""

from collections.abc import Iterator
from typing import TypeAlias

from tests.support.model.explorer import DEADLOCK, NO_WAY_TO_REST, Exploration, explore

Jugs: TypeAlias = tuple[int, int]
EMPTY: Jugs = (0, 0)


def pour(jugs: Jugs) -> Iterator[tuple[str, Jugs]]:
    """Two jugs that hold 3 and 5, and no other measure."""
    small, big = jugs
    yield "fill small", (3, big)
    yield "fill big", (small, 5)
    yield "empty small", (0, big)
    yield "empty big", (small, 0)
    moved = min(small, 5 - big)
    yield "small into big", (small - moved, big + moved)
    moved = min(big, 3 - small)
    yield "big into small", (small + moved, big - moved)


def has_not_four(jugs: Jugs) -> bool:
    return 4 not in jugs


def counted(
    *, most: int = 10, blind_alley: bool = False, trap: bool = False, max_states: int = 100
) -> Exploration[int]:
    """Counts to `most`, where it rests; may turn off at 3 into a state that leads nowhere, or only back to itself."""

    def steps(number: int) -> Iterator[tuple[str, int]]:
        if 0 <= number < most:
            yield "count", number + 1
        if number == 3 and blind_alley:
            yield "turn off", -1
        if (number == 3 and trap) or number == -2:
            yield "fall in", -2

    return explore(0, steps, {"small": lambda number: number < 100}, lambda number: number == most, max_states)


def test_the_first_fault_found_has_the_shortest_way() -> None:
    seen = explore(EMPTY, pour, {"never 4": has_not_four}, lambda jugs: True, 1000)
    assert seen.fault is not None
    assert seen.fault.broken == "never 4"
    assert len(seen.fault.trace) == 6
    assert seen.fault.trace[-1] == "big into small"
    assert "6. big into small" in str(seen.fault)


def test_all_that_can_be_reached_is_seen() -> None:
    seen = explore(EMPTY, pour, {}, lambda jugs: True, 1000)
    # of 4 x 6 fillings, those with an empty or a full jug: it cannot be told otherwise how much is in the other
    assert (seen.states, seen.is_complete, seen.fault) == (16, True, None)
    assert seen.transitions == 16 * 6


def test_a_state_that_leads_nowhere_is_a_fault_unless_it_is_at_rest() -> None:
    assert counted().fault is None
    fault = counted(blind_alley=True).fault
    assert fault is not None
    assert (fault.broken, fault.trace) == (DEADLOCK, ("count", "count", "count", "turn off"))


def test_a_state_that_goes_round_for_ever_is_a_fault() -> None:
    fault = counted(trap=True).fault
    assert fault is not None
    assert (fault.broken, fault.trace) == (NO_WAY_TO_REST, ("count", "count", "count", "fall in"))


def test_what_is_not_seen_is_not_said_to_hold() -> None:
    seen = counted(most=1000, max_states=50)
    assert (seen.is_complete, seen.fault) == (False, None)
    assert seen.states == 50
