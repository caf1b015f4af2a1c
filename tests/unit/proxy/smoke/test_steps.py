"""A step runs only where all that it needs passed."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from proxy.smoke.steps import Outcome, Result, Step, StepFailed, StepSkipped, all_passed, missing, run_steps

NAMES = "abcdef"


def step(name: str, does: Outcome, needs: tuple[str, ...] = (), ran: list[str] | None = None) -> Step:
    async def work() -> str:
        if ran is not None:
            ran.append(name)
        if does == "fail":
            raise StepFailed("no good")
        if does == "skip":
            raise StepSkipped("not here")
        return "good"

    return Step(name, work, needs)


async def outcomes(*steps: Step) -> list[tuple[str, Outcome, str]]:
    told: list[Result] = []
    results = await run_steps(steps, told.append, lambda: 0)
    assert told == results
    return [(result.name, result.outcome, result.reason) for result in results]


async def test_what_needs_a_failed_step_is_skipped_and_says_so() -> None:
    assert await outcomes(
        step("a", "pass"), step("b", "fail", ("a",)), step("c", "pass", ("a", "b")), step("d", "pass", ("c",))
    ) == [
        ("a", "pass", "good"),
        ("b", "fail", "no good"),
        ("c", "skip", "needs `b`, which did not pass"),
        ("d", "skip", "needs `c`, which did not pass"),
    ]


async def test_a_step_that_cannot_be_asked_here_is_no_failure() -> None:
    results = await run_steps([step("a", "skip"), step("b", "pass")], lambda _: None)
    assert [result.outcome for result in results] == ["skip", "pass"] and all_passed(results)
    assert not all_passed([*results, Result("c", "fail", "", 0)])


PLANS = st.lists(
    st.tuples(st.sampled_from(["pass", "fail", "skip"]), st.sets(st.sampled_from(NAMES))), max_size=len(NAMES)
)


@given(PLANS)
def test_nothing_runs_whose_needs_did_not_all_pass(plan: Sequence[tuple[Outcome, set[str]]]) -> None:
    ran: list[str] = []
    steps = [
        step(name, does, tuple(sorted(needs & set(NAMES[:place]))), ran)
        for place, (name, (does, needs)) in enumerate(zip(NAMES, plan, strict=False))
    ]
    results = asyncio.run(run_steps(steps, lambda _: None))
    passed = {result.name for result in results if result.outcome == "pass"}
    assert [result.name for result in results] == [one.name for one in steps]
    assert ran == [one.name for one in steps if set(one.needs) <= passed]
    assert all(missing(one, results) is None for one in steps if one.name in ran)
