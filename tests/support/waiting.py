"""Waiting for what another process does: asked again and again, because it cannot set an event of ours."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psutil

# Not an expectation, a bound: what waits here takes milliseconds, on a busy machine perhaps seconds.
UNTIL_TIMEOUT_S = 30.0


async def until(condition: Callable[[], bool], timeout_s: float = UNTIL_TIMEOUT_S) -> None:
    """Raises TimeoutError if `condition` does not come true."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - see the top of this file
            await asyncio.sleep(0.01)


async def until_gone(*pids: int) -> None:
    """Until none of these processes runs any more."""
    await until(lambda: not any(runs(pid) for pid in pids))


async def until_line(path: Path) -> str:
    """The text of a file, once there is one and it ends a line."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return read(path)


def runs(pid: int) -> bool:
    """Whether a process runs. A zombie does not: in a container nobody may ever collect it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def arguments_of(pid: int) -> str:
    """The command line of a process, as everybody on the machine can read it; empty if it has just ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def read(path: Path) -> str:
    return path.read_text()


def names_in(folder: Path) -> list[str]:
    """What a folder holds, sorted."""
    return sorted(path.name for path in folder.iterdir())
