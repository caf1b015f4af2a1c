"""The simulated LLM server: `start` it inside a test, `run` it as a process."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from runtime.simulator.connection import Connection
from runtime.simulator.settings import SimulatorSettings
from runtime.simulator.shared import Shared
from runtime.simulator.totals import Totals

BACKLOG = 4_096  # a benchmark opens all its connections at once; the kernel caps it at net.core.somaxconn
KEEP_ALIVE_S = 75  # as nginx; idle connections are closed after one to two of these
STOP_S = 5


class Simulator:
    """A running server. `url` is what an OpenAI client takes as its base URL."""

    def __init__(self, server: asyncio.Server, shared: Shared) -> None:
        self._server = server
        self._shared = shared
        self._sweep: asyncio.TimerHandle | None = None
        self.port: int = server.sockets[0].getsockname()[1]
        self._sweep_later()

    @property
    def url(self) -> str:
        host = self._shared.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    @property
    def totals(self) -> Totals:
        return self._shared.books.totals()

    def records(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """What `GET /simulator/requests` tells, oldest first."""
        return self._shared.books.records(request_id)

    def reset(self) -> None:
        """Forgets all records and counts."""
        self._shared.books.reset()

    def close_idle(self) -> None:
        """Ends the connections that were idle since this was last called."""
        for connection in list(self._shared.connections):
            connection.close_if_idle()

    async def stop(self) -> None:
        """Takes no more connections and aborts the open ones."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._server.close()
        for connection in list(self._shared.connections):
            connection.abort()
        await asyncio.wait_for(self._server.wait_closed(), STOP_S)
        await asyncio.wait_for(self._shared.deserted.wait(), STOP_S)  # before 3.12 the line above waits for none

    def _sweep_later(self) -> None:
        self._sweep = self._shared.loop.call_later(KEEP_ALIVE_S, self._sweep_now)

    def _sweep_now(self) -> None:
        self.close_idle()
        self._sweep_later()


async def start(settings: SimulatorSettings) -> Simulator:
    """Starts it on the running loop, whichever that is. Raises OSError where the port cannot be had."""
    loop = asyncio.get_running_loop()
    shared = Shared(settings, loop)
    server = await loop.create_server(
        lambda: Connection(shared), settings.host, settings.port, backlog=BACKLOG, family=socket.AF_UNSPEC
    )
    return Simulator(server, shared)


def run(settings: SimulatorSettings) -> None:
    """Runs it under uvloop until SIGINT or SIGTERM; says on stdout where it listens. Raises OSError as `start`."""
    uvloop.run(_serve(settings, _say))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _serve(settings: SimulatorSettings, say: Callable[[str], None]) -> None:
    simulator = await start(settings)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    say(f"farebox simulate: listening on {simulator.url}, models: {', '.join(settings.models)}")
    await told.wait()
    await simulator.stop()
