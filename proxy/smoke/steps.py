"""Steps, run in order: each passes, fails with a reason, or is skipped because one that it needs did not pass."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from runtime.clock import ClockMs, monotonic_ms

Outcome = Literal["pass", "fail", "skip"]


class StepFailed(Exception):
    """What was found instead; for people, without secrets."""


class StepSkipped(Exception):
    """This deployment cannot be asked this; why."""


@dataclass(frozen=True, slots=True)
class Step:
    """`work` returns a line that says what was found. `needs`: names of steps before it."""

    name: str
    work: Callable[[], Awaitable[str]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    outcome: Outcome
    reason: str
    duration_ms: int


OnResult = Callable[[Result], None]


async def run_steps(steps: Sequence[Step], on_result: OnResult, clock_ms: ClockMs = monotonic_ms) -> list[Result]:
    """One result for each step, told as it comes."""
    results: list[Result] = []
    for step in steps:
        began_ms = clock_ms()
        outcome, reason = await _outcome(step, results)
        results.append(Result(step.name, outcome, reason, clock_ms() - began_ms))
        on_result(results[-1])
    return results


def missing(step: Step, results: Sequence[Result]) -> str | None:
    """The first step that this one needs and that did not pass."""
    passed = {result.name for result in results if result.outcome == "pass"}
    return next((name for name in step.needs if name not in passed), None)


def all_passed(results: Sequence[Result]) -> bool:
    """Nothing failed. A skipped step is none that failed: what it needed says so for itself."""
    return not any(result.outcome == "fail" for result in results)


async def _outcome(step: Step, results: Sequence[Result]) -> tuple[Outcome, str]:
    if (name := missing(step, results)) is not None:
        return "skip", f"needs `{name}`, which did not pass"
    try:
        return "pass", await step.work()
    except StepSkipped as skipped:
        return "skip", str(skipped)
    except StepFailed as failed:
        return "fail", str(failed)
