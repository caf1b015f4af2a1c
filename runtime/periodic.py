"""Work that is done again and again until a process stops, and goes on after a server was away."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from runtime.backoff import Backoff, pause

log = structlog.get_logger("farebox.periodic")

# What belongs to a process and ends with it: it runs until `stop` is set.
Job = Callable[[asyncio.Event], Awaitable[None]]
# One round of work: how long to wait before the next, in seconds, or None for the usual interval.
Round = Callable[[], Awaitable[float | None]]

_LONGEST_BACKOFF_S = 30.0


def every(interval_s: float, work: Round, *, name: str, failures: tuple[type[BaseException], ...]) -> Job:
    """A job that does `work` every `interval_s` seconds; after one of `failures`, again with a growing wait.

    Anything else that is raised ends the job, and so the process: it is a mistake of ours.
    """

    async def run(stop: asyncio.Event) -> None:
        backoff = Backoff(longest_s=max(interval_s, _LONGEST_BACKOFF_S))
        while not stop.is_set():
            try:
                wait_s = await work()
                backoff.reset()
            except failures as error:
                log.warning("job_failed", task=name, error=type(error).__name__)
                wait_s = backoff.next_s()
            await pause(stop, interval_s if wait_s is None else wait_s)

    return run
