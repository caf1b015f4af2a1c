"""Several proxies on one port, and where it is wanted a ledger process beside them: started, started again, stopped.

The kernel spreads connections over processes that listen with SO_REUSEPORT. One that dies takes its own streams with it
and nobody else's; another takes its place.
"""

import asyncio
import signal
import sys
from asyncio import sleep
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from proxy.process.starting import HELD_SIGNALS, hear_and_pass_on, must_be_free, stop_event
from proxy.process.stopping import LONGEST_LEDGER_STOP_S, longest_stop_s
from runtime.backoff import Backoff
from runtime.clock import monotonic_ms
from runtime.metrics.slots import folder_of_slots
from runtime.processes import Child, start_child
from runtime.settings import Listen
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.workers")

# One that gives up by itself so soon was told something that is wrong, and would be told the same again. Longer than
# Postgres and Redis are waited for at the start.
_FIRST_START_MS = 30_000
_RESTART_FIRST_S = 0.1
_RESTART_LAST_S = 10.0
# One that ran for so long is started again at once.
_STEADY_MS = 60_000


class CannotStart(Exception):
    """One of them ended in its first moments by its own decision; what it said stands above."""


class Worker:
    """One process of ours under one name, whichever process that is at the moment."""

    def __init__(self, name: str, arguments: Sequence[str], stop_s: float) -> None:
        self.name = name
        self._argv = [sys.executable, "-m", "proxy", *arguments]
        self._stop_s = stop_s
        self._child: Child | None = None
        self._started_ms = 0

    def start(self) -> None:
        self._started_ms = monotonic_ms()
        self._child = start_child(self._argv, name=self.name, held=HELD_SIGNALS)

    def send(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send(number)

    async def keep(self) -> None:
        """Start it again whenever it ends, until cancelled; raises CannotStart if its first start was of no use."""
        backoff, is_first = Backoff(_RESTART_FIRST_S, _RESTART_LAST_S), True
        while self._child is not None:
            code = await self._child.wait()
            ran_ms = monotonic_ms() - self._started_ms
            log.error("worker_ended", worker=self.name, exit_code=code)
            if is_first and code > 0 and ran_ms < _FIRST_START_MS:
                raise CannotStart
            is_first = False
            if ran_ms >= _STEADY_MS:
                backoff.reset()
            await sleep(backoff.next_s())
            with suppress(OSError):  # no process can be had now: the one that ended is found again
                self.start()

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop(timeout_s=self._stop_s)


async def supervise(config: Path, listen: Listen, count: int, *, with_ledger: bool = False) -> int:
    """Run `count` proxies until told to stop; returns the exit code, 1 if one of them could not be started at all."""
    # with SO_REUSEPORT, listening beside a stranger would succeed and split the traffic with them
    must_be_free(listen.host, listen.port, "listen")
    if listen.admin is not None:
        must_be_free(listen.admin.host, listen.admin.port, "listen.admin")
    stop = stop_event()
    with folder_of_slots() as slots:
        workers = _workers(config, listen, count, with_ledger, slots)
        hear_and_pass_on(partial(_send_all, workers))
        return await _run(workers, stop)


async def _run(workers: Sequence[Worker], stop: asyncio.Event) -> int:
    tasks = TaskSet()
    try:
        for worker in workers:
            worker.start()
        keepers = [tasks.spawn(_keep(worker), name=f"keep-{worker.name}") for worker in workers]
        stopping = tasks.spawn(stop.wait(), name="wait-stop")
        await asyncio.wait([*keepers, stopping], return_when=asyncio.FIRST_COMPLETED)
        return 0 if stop.is_set() else 1
    finally:
        await tasks.cancel()
        await asyncio.gather(*(worker.stop() for worker in workers))


async def _keep(worker: Worker) -> None:
    try:
        await worker.keep()
    except CannotStart:
        log.error("worker_cannot_start", worker=worker.name)


def _send_all(workers: Sequence[Worker], number: signal.Signals) -> None:
    for worker in workers:
        worker.send(number)


def _workers(config: Path, listen: Listen, count: int, with_ledger: bool, slots: Path) -> list[Worker]:
    """A worker's metrics go to the slot of its name, so that one that is started in its place counts on."""
    options, stop_s = ["--config", str(config)], longest_stop_s(listen)
    names = [f"worker-{index}" for index in range(count)]
    workers = [Worker(name, ["worker", *options, "--metrics-slot", str(slots / name)], stop_s) for name in names]
    return workers + ([Worker("ledger", ["ledger", *options], LONGEST_LEDGER_STOP_S)] if with_ledger else [])
