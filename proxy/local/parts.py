"""A part of a local installation: something that runs, and is started again on the same port if it dies."""

import asyncio
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from proxy.process.starting import StartError
from proxy.process.stopping import longest_supervised_stop_s
from runtime.clock import monotonic_ms
from runtime.embedded import logfile
from runtime.embedded.launch import EmbeddedServer
from runtime.processes import Child, start_child
from runtime.settings import Listen

# A part that dies more often than this is broken, and starting it again only hides it.
_RESTARTS = 5
_RESTARTS_WINDOW_MS = 60_000
# `up` leaves the settings of a stop at their defaults.
_STOP_TIMEOUT_S = longest_supervised_stop_s(Listen()) + 1

Say = Callable[[str], None]


class Part(Protocol):
    name: str

    async def start(self) -> None: ...
    async def wait(self) -> int: ...
    async def stop(self) -> None: ...


class PrivateServer:
    """Postgres or Valkey; `launch` starts it on a port, 0 for a free one."""

    def __init__(self, name: str, launch: Callable[[int], Awaitable[EmbeddedServer]]) -> None:
        self.name = name
        self._launch = launch
        self._server: EmbeddedServer | None = None
        self._port = 0

    async def start(self) -> None:
        if self._server is not None:
            await self._server.stop()
        self._server = await self._launch(self._port)
        self._port = self._server.port

    async def wait(self) -> int:
        assert self._server is not None
        return await self._server.wait()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()


class OwnProcess:
    """`farebox ARGUMENTS`, its output in a file."""

    def __init__(self, name: str, arguments: Sequence[str], log_path: Path) -> None:
        self.name = name
        self._arguments = arguments
        self._log_path = log_path
        self._child: Child | None = None

    async def start(self) -> None:
        logfile.rotate(self._log_path)
        argv = [sys.executable, "-m", "proxy", *self._arguments]
        self._child = start_child(argv, name=self.name, log_path=self._log_path)

    @property
    def exit_code(self) -> int | None:
        return self._child.exit_code if self._child is not None else None

    def said(self) -> str:
        """The end of its output, for an error message."""
        return logfile.last_lines(logfile.read_since(self._log_path, 0))

    async def wait(self) -> int:
        assert self._child is not None
        return await self._child.wait()

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop(signal.SIGTERM, _STOP_TIMEOUT_S)


async def keep(part: Part, say: Say) -> None:
    """Start `part` again whenever it ends, until cancelled; raises StartError when it ends too often."""
    ends_ms: deque[int] = deque(maxlen=_RESTARTS)
    while True:
        code = await part.wait()
        now_ms = monotonic_ms()
        if len(ends_ms) == _RESTARTS and now_ms - ends_ms[0] < _RESTARTS_WINDOW_MS:
            raise StartError(f"{part.name} keeps ending (exit code {code})")
        ends_ms.append(now_ms)
        say(f"{part.name} ended with exit code {code}; starting it again")
        await part.start()


async def keep_all(parts: Sequence[Part], stop: asyncio.Event, say: Say) -> None:
    """Keep all parts running until `stop` is set; raises what keeping the first of them that fails raises."""
    try:
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(keep(part, say), name=f"keep-{part.name}") for part in parts]
            await stop.wait()
            for keeper in keepers:
                keeper.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
