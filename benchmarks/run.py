"""A whole run, repeated: all contenders are started, and each figure is asked of one after the other while the others
rest; Farebox first, for the load is set by what it manages.

So what is compared is measured within a minute or two. A machine that others use is faster at one time than at another,
by a third, and not the same half an hour later.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import click

from benchmarks import stack
from benchmarks.contenders import OTHERS, OURS, Started
from benchmarks.figure import Alone, Compared, Figure, Measurement, Values
from benchmarks.stack import Contender
from benchmarks.stage import Stage

FAREBOX = "farebox"
NAMES = (FAREBOX, *OURS, *OTHERS)
# One that takes a minute to start and is far from all others is not measured as often.
SLOW_REPEATS = 2
# Of a contender that is not ours: it does not start, does not answer, or answers wrongly. The others go on.
FAILURES = (OSError, RuntimeError, TimeoutError)

Answer = TypeVar("Answer")
Measured = dict[Figure, defaultdict[str, list[float]]]  # figure -> row -> one value a repeat


class Run:
    """`programs`: contender -> program, of those that have one; the others are left out."""

    def __init__(self, stage: Stage, chosen: Iterable[str], programs: Mapping[str, str]) -> None:
        self.stage, self.chosen, self.programs = stage, set(chosen), programs
        self.measured: Measured = {}

    async def whole(self, measurements: Sequence[Measurement]) -> Measured:
        """What was measured, in the order of the measurements."""
        self.measured = {figure: defaultdict(list) for each in measurements for figure in each.figures}
        compared = [each for each in measurements if isinstance(each, Compared)]
        alone = [each for each in measurements if isinstance(each, Alone)]
        if compared:
            async with self._starts() as starts:
                for repeat in range(self.stage.size.repeats):
                    await self._repeat(repeat, starts, compared)
        for measurement in alone:  # one after the other: what one leaves in Postgres shall not be felt by those before
            for repeat in range(self.stage.size.repeats):
                self._say(repeat, measurement.name)
                self._note(await measurement.measure(self.stage))
        return {figure: rows for figure, rows in self.measured.items() if rows}

    async def _repeat(
        self, repeat: int, starts: Mapping[str, Callable[[], Started]], compared: Sequence[Compared]
    ) -> None:
        self.stage.half_rate = 0.0  # the machine may be slower now
        async with AsyncExitStack() as running:
            started = dict[str, Contender]()
            for name, start in starts.items():
                if name != "litellm" or repeat < SLOW_REPEATS:
                    at = await self._tried(name, running.enter_async_context(start()))
                    started |= {} if at is None else {name: at}
            for measurement in compared:
                self._say(repeat, measurement.name)
                for name, at in [*started.items()]:
                    if (measurement.slow_too or not at.slow) and not await self._ask(name, at, measurement):
                        del started[name]

    async def _ask(self, name: str, at: Contender, measurement: Compared) -> bool:
        """Did it answer well?"""
        ground = self.stage.ground
        emitted = stack.emitted_tokens(ground)
        values = await self._tried(name, measurement.measure(self.stage, at))
        if name != FAREBOX:
            ground.for_others.append(stack.emitted_tokens(ground) - emitted)
        self._note(values or {})
        return values is not None

    async def _tried(self, name: str, asked: Awaitable[Answer]) -> Answer | None:
        """None: it is not one of ours and failed, which is noted."""
        try:
            return await asked
        except FAILURES as error:
            if name not in OTHERS:
                raise
            self.stage.note(f"{name}: not in every figure, it failed: {error!r}")
            return None

    def _note(self, values: Values) -> None:
        for figure, rows in values.items():
            for row, value in rows.items():
                self.measured[figure][row].append(value)

    def _say(self, repeat: int, name: str) -> None:
        click.echo(f"repeat {repeat + 1} of {self.stage.size.repeats}: {name}", err=True)

    @asynccontextmanager
    async def _starts(self) -> AsyncIterator[dict[str, Callable[[], Started]]]:
        """How each contender is started, in the order they are measured in."""
        on = self.stage.ground
        others: dict[str, Callable[[], Started]] = {
            name: partial(start, on, self.programs.get(name, ""))
            for name, start in {**OURS, **OTHERS}.items()
            if name in self.chosen and (name in OURS or name in self.programs)
        }
        if FAREBOX not in self.chosen:
            yield others
            return
        async with stack.farebox(on) as running:
            yield {FAREBOX: partial(stack.audited_proxy, on, running), **others}
