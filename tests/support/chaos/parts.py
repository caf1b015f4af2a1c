"""Servers and processes of the rig, each of which can be killed, stopped and started again."""

import asyncio
import itertools
import json
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psutil

from runtime.embedded.launch import EmbeddedServer
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from runtime.processes import Child, start_child
from tests.support.program import environment
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
# These servers are killed, not their machine: what they were told to write may wait in the kernel, not in them.
NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}
READY_TIMEOUT_S = 60.0


class Part(Protocol):
    """`start` returns when it works; `start` of what runs does nothing."""

    name: str

    @property
    def runs(self) -> bool: ...
    async def start(self) -> None: ...
    async def kill(self) -> None: ...
    async def end(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Server:
    """Postgres or Valkey: the same port, folder and password each time."""

    def __init__(self, kind: type[EmbeddedPostgres] | type[EmbeddedValkey], folder: Path) -> None:
        self.name = "postgres" if kind is EmbeddedPostgres else "valkey"
        self.folder = folder
        self.url = ""
        self.port = 0
        self._kind = kind
        self._password = secrets.token_urlsafe()
        self._running: EmbeddedServer | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def runs(self) -> bool:
        return self._running is not None and self._running.exit_code is None

    async def start(self) -> None:
        async with self._one_at_a_time:
            if self.runs:
                return
            if self._kind is EmbeddedPostgres:
                postgres = await EmbeddedPostgres.start(self.folder, self._password, port=self.port, settings=NO_FSYNC)
                self._running, self.url = postgres, postgres.url
            else:
                valkey = await EmbeddedValkey.start(self.folder, self._password, port=self.port)
                self._running, self.url = valkey, valkey.url
            self.port = self._running.port

    async def kill(self) -> None:
        if self.runs and self._running is not None:
            psutil.Process(self._running.pid).kill()
            await self.end()

    async def end(self) -> None:
        async with self._one_at_a_time:
            if self._running is not None:
                self.thaw()
                await self._running.stop()
                self._running = None

    def freeze(self) -> None:
        """With all that it has started: Postgres has a process per connection, each in a group of its own."""
        _signal_all(self._running, signal.SIGSTOP)

    def thaw(self) -> None:
        _signal_all(self._running, signal.SIGCONT)


def _signal_all(running: EmbeddedServer | None, number: signal.Signals) -> None:
    if running is None or running.exit_code is not None:
        return
    try:
        parent = psutil.Process(running.pid)
        parent.send_signal(number)
        for child in parent.children(recursive=True):
            try:
                child.send_signal(number)
            except psutil.NoSuchProcess:
                pass
    except psutil.NoSuchProcess:
        pass


class Process:
    """One of ours. `argv` follows `python`; it works in `folder`, where each of its starts has a log of its own."""

    def __init__(self, name: str, argv: Sequence[str], folder: Path, ready_sign: str) -> None:
        self.name = name
        self.folder = folder
        self.address: tuple[str, int] | None = None
        self._argv = [sys.executable, *argv]
        self._ready_sign = ready_sign
        self._numbers = itertools.count()
        self._child: Child | None = None
        self._log_path = folder / "none"
        # It has been ready since its last start, and nobody of ours has ended it.
        self.was_ready = False
        folder.mkdir(mode=0o700)

    @property
    def runs(self) -> bool:
        return self._child is not None and self._child.exit_code is None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def ended_by_itself(self) -> bool:
        return self.was_ready and not self.runs

    def how_it_ended(self) -> str:
        code = None if self._child is None else self._child.exit_code
        return f"{self.name} ended by itself with exit code {code}: {self.logs(3)}"

    def begin(self) -> None:
        """Starts it and does not wait."""
        if self.runs:
            return
        self._log_path = self.folder / f"{next(self._numbers):04}.log"
        self._child = start_child(
            self._argv,
            name=self.name,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            log_path=self._log_path,
        )

    async def ready(self) -> None:
        """Until it says that it works. Raises AssertionError with its log if it ends instead."""
        await until(self._is_ready, READY_TIMEOUT_S)
        self.address = _address_in(self._log_path.read_text())
        self.was_ready = True

    async def start(self) -> None:
        self.begin()
        await self.ready()

    async def kill(self) -> None:
        self.was_ready = False
        if self._child is not None and self.runs:
            self._child.send(signal.SIGKILL)
            await self._child.wait()

    async def end(self) -> None:
        self.was_ready = False
        if self._child is not None:
            self.thaw()
            await self._child.stop()

    def freeze(self) -> None:
        if self._child is not None and self.runs:
            self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._child is not None and self.runs:
            self._child.send(signal.SIGCONT)

    def logs(self, last_lines: int = 15) -> str:
        """The end of what it said, over all its starts."""
        lines = [line for path in sorted(self.folder.glob("*.log")) for line in path.read_text().splitlines()]
        return "\n".join(lines[-last_lines:])

    def _is_ready(self) -> bool:
        said = self._log_path.read_text() if self._log_path.exists() else ""
        assert self.runs, f"{self.name} ended with exit code {self._child and self._child.exit_code}: {said[-2000:]}"
        return self._ready_sign in said and said.endswith("\n")


def _address_in(said: str) -> tuple[str, int] | None:
    """Where a proxy or the simulator listens, in their own words; None for what does not listen."""
    if "listening on http://" in said:
        host, port = said.split("listening on http://")[1].split("/v1")[0].rsplit(":", 1)
        return host, int(port)
    for line in said.splitlines():
        if '"event":"serving"' in line:
            host, port = str(json.loads(line)["address"]).removeprefix("http://").rsplit(":", 1)
            return host, int(port)
    return None
