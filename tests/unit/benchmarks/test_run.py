"""Who is asked, how often, and what becomes of one that fails."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import run as runs
from benchmarks import stack
from benchmarks.affinity import plan
from benchmarks.contenders import Started
from benchmarks.figure import DIRECT, Alone, Compared, Figure, Measurement, Values
from benchmarks.run import Run
from benchmarks.stack import Contender, Ground
from benchmarks.stage import QUICK, Stage

ASKED, APART, UNTOUCHED = Figure("Asked", "ms"), Figure("Apart", "ms"), Figure("Untouched", "ms")


async def asked(_: Stage, at: Contender) -> Values:
    return {ASKED: {at.name: 1.0}}


async def apart(_: Stage) -> Values:
    return {APART: {"one writer": 2.0}}


def stack_of(at: Contender) -> Callable[..., Started]:
    """How it is started, were it a program."""
    return lambda *_: nullcontext(at)


async def breaks(_: Stage, at: Contender) -> Values:
    raise RuntimeError("answered wrongly")


MEASUREMENTS: list[Measurement] = [
    Alone("apart", (APART, UNTOUCHED), apart),
    Compared("asked", (ASKED,), asked),
]


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens by the upstream's count, told so each time it is asked."""
    counts = [0]
    monkeypatch.setattr(stack, "books", lambda _: {"tokens": counts[-1]})
    return counts


@pytest.fixture
def stage(tmp_path: Path, emitted: list[int]) -> Stage:
    ground = Ground(tmp_path, plan([0]), "postgres://", "redis://", "http://127.0.0.1:1")
    return Stage(ground, replace(QUICK, repeats=3), wrk=None, descriptors=20_000)


async def test_each_is_asked_once_a_repeat_and_told_in_the_order_of_the_measurements(stage: Stage) -> None:
    found = await Run(stage, ["direct"], {}).whole(MEASUREMENTS)
    assert [(figure, dict(rows)) for figure, rows in found.items()] == [
        (APART, {"one writer": [2.0] * 3}),
        (ASKED, {DIRECT: [1.0] * 3}),
    ]


async def test_what_was_emitted_for_others_is_not_expected_to_be_billed(stage: Stage, emitted: list[int]) -> None:
    async def emits(_: Stage, at: Contender) -> Values:
        emitted.append(emitted[-1] + 7)
        return {ASKED: {at.name: 1.0}}

    await Run(stage, ["direct"], {}).whole([Compared("asked", (ASKED,), emits)])
    assert stage.ground.for_others == [7] * 3
    assert stack.emitted_tokens(stage.ground) == 0


async def test_one_that_breaks_is_asked_no_more_in_this_repeat(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [breaks, asked, asked, asked, asked]

    async def some_turns(on: Stage, at: Contender) -> Values:
        return await turns.pop(0)(on, at)

    monkeypatch.setattr(runs, "OTHERS", {"nginx": stack_of(Contender("nginx", "http://127.0.0.1:1", [], None))})
    first, second = Compared("first", (ASKED,), some_turns), Compared("second", (APART,), some_turns)
    found = await Run(stage, ["nginx"], {"nginx": "a program"}).whole([first, second])
    assert found[ASKED] == {"nginx": [1.0] * 4} and not turns, "all but one of two figures, three times"
    assert stage.notes == ["nginx: not in every figure, it failed: RuntimeError('answered wrongly')"]


async def test_one_without_a_program_is_left_out(stage: Stage) -> None:
    found = await Run(stage, ["direct", "nginx"], {}).whole(MEASUREMENTS)
    assert list(found[ASKED]) == [DIRECT]
    assert stage.notes == []


async def test_one_that_does_not_start_is_noted_and_the_others_go_on(stage: Stage, tmp_path: Path) -> None:
    found = await Run(stage, ["direct", "nginx"], {"nginx": str(tmp_path / "none")}).whole(MEASUREMENTS)
    assert found[ASKED] == {DIRECT: [1.0] * 3}
    (note,) = stage.notes
    assert note.startswith("nginx: not in every figure, it failed: FileNotFoundError")


async def test_what_fails_of_ours_fails_the_run(stage: Stage) -> None:
    with pytest.raises(RuntimeError, match="answered wrongly"):
        await Run(stage, ["direct"], {}).whole([Compared("breaks", (ASKED,), breaks)])


async def test_a_slow_one_is_asked_less_and_less_often(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> Values:
        raise AssertionError("a slow one was asked")

    slow = replace(Contender("LiteLLM", "http://127.0.0.1:1", ["key"], None), slow=True)

    monkeypatch.setattr(runs, "OTHERS", {"litellm": stack_of(slow)})
    measurements = [Compared("fast", (APART,), never, slow_too=False), Compared("asked", (ASKED,), asked)]
    found = await Run(stage, ["litellm"], {"litellm": "a program"}).whole(measurements)
    assert found[ASKED] == {"LiteLLM": [1.0] * runs.SLOW_REPEATS}
    assert stage.notes == []


def test_no_more_streams_are_opened_than_files_may_be(stage: Stage) -> None:
    assert stage.streams(5_000) == 5_000
    assert stage.notes == []
    few = replace(stage, descriptors=2_000)
    assert few.streams(5_000) == 500
    assert "500 open streams instead of 5,000" in few.notes[0]
