"""Walks through every state that a model can reach, in the manner of TLC: breadth first, so that the first fault found
has the shortest way to it.

A state is any hashable value; the model says which steps lead on from it. Looked for are states that break an
invariant, states from which nothing goes on though the work is not done, and states from which the work can never be
done, whatever happens next.
"""

from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

S = TypeVar("S", bound=Hashable)
Steps: TypeAlias = Callable[[S], Iterable[tuple[str, S]]]
Check: TypeAlias = Callable[[S], bool]

DEADLOCK = "nothing goes on"
NO_WAY_TO_REST = "no way to rest"


@dataclass(frozen=True)
class Fault(Generic[S]):
    """What is broken in `state`, and the fewest steps that lead there."""

    broken: str
    trace: tuple[str, ...]
    state: S

    def __str__(self) -> str:
        steps = "\n".join(f"  {number:2}. {step}" for number, step in enumerate(self.trace, start=1))
        return f"broken: {self.broken}\n{steps}\n  => {self.state}"


@dataclass(frozen=True)
class Exploration(Generic[S]):
    """What was seen. `is_complete`: there is nothing else to see; `resting`: states in which all work is done."""

    states: int
    transitions: int
    depth: int
    resting: int
    is_complete: bool
    fault: Fault[S] | None


class _Walk(Generic[S]):
    """The graph as far as it is known: states by number, and how each was first come to."""

    def __init__(self, initial: S) -> None:
        self.numbers: dict[S, int] = {initial: 0}
        self.came_from = array("I", [0])
        self.by_step: list[str] = [""]
        self.depths = array("I", [0])
        self.sources, self.targets = array("I"), array("I")
        self.resting = bytearray(1)

    def go(self, source: int, step: str, target: S) -> bool:
        """Notes one transition; True if it leads to a state that was not known."""
        number = self.numbers.setdefault(target, len(self.numbers))
        self.sources.append(source)
        self.targets.append(number)
        if number < len(self.came_from):
            return False
        self.came_from.append(source)
        self.by_step.append(step)
        self.depths.append(self.depths[source] + 1)
        self.resting.append(0)
        return True

    def trace_to(self, number: int) -> tuple[str, ...]:
        steps = []
        while number:
            steps.append(self.by_step[number])
            number = self.came_from[number]
        return tuple(reversed(steps))

    def first_that_never_rests(self) -> int | None:
        """Goes back from the states at rest. Most transitions lead on to higher numbers, so few rounds are enough."""
        can_rest, grew = bytearray(self.resting), True
        while grew:
            grew = False
            for source, target in zip(reversed(self.sources), reversed(self.targets), strict=True):
                if can_rest[target] and not can_rest[source]:
                    can_rest[source] = grew = True
        never = can_rest.find(0)
        return None if never < 0 else never


def explore(
    initial: S, steps: Steps[S], invariants: Mapping[str, Check[S]], is_at_rest: Check[S], max_states: int
) -> Exploration[S]:
    """Until a fault is found, all is seen, or `max_states` are known."""
    walk = _Walk(initial)
    waiting = deque([initial])
    fault: Fault[S] | None = None
    while waiting and fault is None and len(walk.numbers) < max_states:
        state = waiting.popleft()
        number = walk.numbers[state]
        walk.resting[number] = is_at_rest(state)
        goes_on = False
        for step, target in steps(state):
            goes_on = True
            if walk.go(number, step, target):
                waiting.append(target)
        broken = next((name for name, holds in invariants.items() if not holds(state)), None)
        if broken is None and not goes_on and not walk.resting[number]:
            broken = DEADLOCK
        if broken is not None:
            fault = Fault(broken, walk.trace_to(number), state)
    is_complete = fault is None and not waiting
    if is_complete and (never := walk.first_that_never_rests()) is not None:
        fault = Fault(NO_WAY_TO_REST, walk.trace_to(never), list(walk.numbers)[never])
    return Exploration(
        len(walk.numbers), len(walk.sources), max(walk.depths), walk.resting.count(1), is_complete, fault
    )
