"""Run one scenario on asyncio's loop and on uvloop's: what we promise must not depend on which one serves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

Scenario = Callable[[], Coroutine[Any, Any, None]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

BOTH_LOOPS = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
_GIVE_UP_S = 60.0


def run_on(loop_factory: LoopFactory, scenario: Scenario) -> None:
    """Run `scenario` to its end. An error the loop would only log fails it too."""
    unhandled: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        runner.run(asyncio.wait_for(scenario(), _GIVE_UP_S))
    assert not unhandled, unhandled


def on_both_loops(scenario: Scenario) -> Callable[[LoopFactory], None]:
    """Make a test of a coroutine function without arguments."""

    def test(loop_factory: LoopFactory) -> None:
        run_on(loop_factory, scenario)

    test.__name__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    return BOTH_LOOPS(test)
