"""Several proxies on one port: the kernel spreads connections over processes that listen with SO_REUSEPORT."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from proxy.starting import LOG_SIGNALS, must_be_free, stop_event
from runtime.metrics.slots import folder_of_slots
from runtime.processes import Child, start_child
from runtime.settings import Listen
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.workers")

_STOP_MARGIN_S = 15.0


async def supervise(config: Path, listen: Listen, count: int) -> int:
    """Run `count` workers until told to stop, or until one of them ends; returns the exit code."""
    # with SO_REUSEPORT, listening beside a stranger would succeed and split the traffic with them
    must_be_free(listen.host, listen.port, "listen")
    if listen.admin is not None:
        must_be_free(listen.admin.host, listen.admin.port, "listen.admin")
    stop = stop_event()
    with folder_of_slots() as slots:
        children = [_start(config, f"worker-{index}", slots) for index in range(count)]
        _pass_on_log_level(children)
        try:
            ended = await _first_to_end(children, stop)
            if ended is not None:
                log.error("worker_ended", worker=ended.name, exit_code=ended.exit_code)
            return 0 if ended is None else 1
        finally:
            timeout_s = listen.shutdown_timeout_s + _STOP_MARGIN_S
            await asyncio.gather(*(child.stop(timeout_s=timeout_s) for child in children))


def _start(config: Path, name: str, slots: Path) -> Child:
    """Its metrics go to the slot of its name, so that one that is started in its place counts on."""
    options = ["--config", str(config), "--metrics-slot", str(slots / name)]
    return start_child([sys.executable, "-m", "proxy", "worker", *options], name=name)


def _pass_on_log_level(children: Sequence[Child]) -> None:
    loop = asyncio.get_running_loop()
    for number in LOG_SIGNALS:
        loop.add_signal_handler(number, _send_all, children, number)


def _send_all(children: Sequence[Child], number: signal.Signals) -> None:
    for child in children:
        child.send(number)


async def _first_to_end(children: list[Child], stop: asyncio.Event) -> Child | None:
    """The child that ended by itself, or None if `stop` was set first."""
    tasks = TaskSet()
    waits = {tasks.spawn(child.wait(), name=f"wait-{child.name}"): child for child in children}
    stopping = tasks.spawn(stop.wait(), name="wait-stop")
    await asyncio.wait([*waits, stopping], return_when=asyncio.FIRST_COMPLETED)
    ended = [child for task, child in waits.items() if task.done()]
    await tasks.cancel()
    return ended[0] if ended and not stop.is_set() else None
