"""`farebox up` as a child of the test, and what it has started below it."""

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil

from runtime.processes import Child, start_child
from tests.support.program import environment
from tests.support.waiting import UNTIL_TIMEOUT_S, arguments_of, read, until, until_gone


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def descendants(pid: int) -> dict[int, str]:
    """Every process below this one: id -> command line."""
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return {}
    return {process.pid: arguments_of(process.pid) for process in below}


class Installation:
    """One data folder; `start` may be called again after it ended."""

    def __init__(self, data: Path, port: int | None = None) -> None:
        self.data = data
        self.port = port or free_port()
        self.child: Child | None = None
        self._output = data.parent / f"{data.name}.output"

    @property
    def demo(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "demo.json").read_text())
        return found

    @property
    def said(self) -> str:
        return read(self._output)

    async def start(self, *options: str) -> None:
        """Returns when it says how to call it."""
        child = self.begin(*options)
        await until(lambda: child.exit_code is not None or "Ctrl-C stops everything" in self.said, 2 * UNTIL_TIMEOUT_S)
        assert child.exit_code is None, self.said

    async def fail(self, *options: str) -> tuple[int, str]:
        """Start what is expected to end by itself: exit code and output."""
        child = self.begin(*options)
        async with asyncio.timeout(UNTIL_TIMEOUT_S):
            return await child.wait(), self.said

    def begin(self, *options: str) -> Child:
        self._output.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "proxy", "up", "--port", str(self.port), "--data", str(self.data), *options]
        self.child = start_child(argv, name="up", env=environment(), log_path=self._output)
        return self.child

    def started(self) -> dict[int, str]:
        """The processes it has started: id -> command line."""
        assert self.child is not None
        return descendants(self.child.pid)

    def part(self, words: str) -> int:
        """The process id of the one part of it whose command line contains `words`."""
        assert self.child is not None
        children = [process.pid for process in psutil.Process(self.child.pid).children()]
        (pid,) = [pid for pid in children if words in arguments_of(pid)]
        return pid

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, and waits until nothing is left of what it had started. The exit code."""
        assert self.child is not None
        pids = list(self.started())
        self.child.send(how)
        async with asyncio.timeout(2 * UNTIL_TIMEOUT_S):
            code = await self.child.wait()
        await until_gone(*pids)
        return code
